"""Numbers that describe the spectrum, the directions and the bright streaks of a picture."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.inspection.compression import Compression
from restore.inspection.crops import Plane, chroma_of, cut_in_blocks, dct_of, luma_of

Numbers = NDArray[np.float32]

_BAND = np.clip(np.hypot(*np.indices((8, 8))).round().astype(int), 0, 9)  # frequency of a coefficient: 0 to 9
_LUMA_SHARES, _CHROMA_SHARES = (0.03, 0.1, 0.25, 0.5, 0.75, 0.95), (0.05, 0.25, 0.6)
_ANGLES = tuple(range(-90, 90, 15))  # degrees from the vertical
_LINE = 17  # pixels


def traces_of(crops: Sequence[Plane], compression: Compression) -> Numbers:
    """About 200 numbers of a picture, the input of `restore.inspection.verdict`."""
    lumas = [luma_of(crop) for crop in crops]
    halves = [_reduced(y, 0.5) for y in lumas if min(y.shape) >= 32]
    parts = [_spectrum(lumas, _LUMA_SHARES), _spectrum(halves or lumas, _LUMA_SHARES), _chroma(crops)]
    parts += [_directions(lumas), _streaks(lumas), _tones(lumas), _edges(lumas)]
    quality = np.array([compression.quality / 100, min(compression.evidence, 3), compression.evidence > 0.15])
    return np.concatenate([*parts, quality]).astype(np.float32)


def _spectrum(planes: Sequence[Plane], shares: Sequence[float]) -> Numbers:
    """Log amplitude of the bands of frequency in flat to busy blocks: `len(shares) * 9`."""
    all_blocks = [dct_of(cut_in_blocks(plane)) for plane in planes if min(plane.shape) >= 8]
    if not all_blocks:
        return np.zeros(len(shares) * 9, np.float32)
    blocks = np.concatenate(all_blocks)
    # Clipped blocks have no noise. They are flat, and near black or white.
    mean = blocks[:, 0, 0] / 8
    kept = blocks[(mean > 6) & (mean < 249)] if planes[0].min() >= 0 else blocks
    blocks = kept if len(kept) > 20 else blocks
    power = np.stack([(blocks[:, band == _BAND] ** 2).mean(axis=1) for band in range(1, 10)], axis=1)
    # Sorted by the coarse bands, so that the fine ones of the flattest blocks are unbiased (Ponomarenko et al. 2007).
    numbers = []
    order = np.argsort(power[:, :3].sum(axis=1))
    for share in shares:
        low, high = int(len(order) * max(0.0, share - 0.05)), int(np.ceil(len(order) * min(1.0, share + 0.05)))
        numbers.append(power[order[low : max(high, low + 1)]].mean(axis=0))
    return np.asarray(np.log(np.concatenate(numbers) + 0.01) / 2, np.float32)


def _chroma(crops: Sequence[Plane]) -> Numbers:
    """`_spectrum` of the colour differences, at full and at a quarter of the size."""
    if crops[0].shape[2] == 1:
        return np.full(2 * len(_CHROMA_SHARES) * 9, np.log(0.01) / 2, np.float32)
    planes = [plane for crop in crops for plane in chroma_of(crop)]
    small = [_reduced(plane, 0.25) for plane in planes if min(plane.shape) >= 32]
    return np.concatenate([_spectrum(planes, _CHROMA_SHARES), _spectrum(small or planes, _CHROMA_SHARES)])


def _reduced(plane: Plane, scale: float) -> Plane:
    return np.asarray(cv2.resize(plane, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.float32)


def _directions(lumas: Sequence[Plane]) -> Numbers:
    """Log power of the spectrum by direction (8, from the weakest) and frequency (4), relative to their mean."""
    side = 64
    frequency = np.fft.fftfreq(side)
    v, u = np.meshgrid(frequency, frequency[: side // 2 + 1], indexing="ij")
    radius, angle = np.hypot(u, v), np.mod(np.arctan2(v, u), np.pi)
    window = np.outer(np.hanning(side), np.hanning(side)).astype(np.float32)
    power: NDArray[np.float64] = np.zeros((side, side // 2 + 1))
    for y in lumas:
        for top in range(0, y.shape[0] - side + 1, side):
            for left in range(0, y.shape[1] - side + 1, side):
                tile = y[top : top + side, left : left + side]
                one = np.abs(np.fft.rfft2((tile - tile.mean()) * window)) ** 2
                power += one / (one.mean() + 100)
    numbers = []
    for low, high in ((0.03, 0.08), (0.08, 0.16), (0.16, 0.28), (0.28, 0.45)):
        ring = (radius >= low) & (radius < high)
        sectors = np.minimum((angle / np.pi * 8).astype(int), 7)
        amounts = np.array([power[ring & (sectors == k)].mean() for k in range(8)]) + 1e-6
        logs = np.log(amounts) / 2
        around = np.roll(logs, -int(np.argmin(logs))) - logs.mean()
        numbers.append([*around, float(np.argmin(logs) in (3, 4)), float(np.argmin(logs) in (7, 0)), logs.mean()])
    return np.array(numbers, np.float32).ravel()


def _streaks(lumas: Sequence[Plane]) -> Numbers:
    """How strong, how skewed and how directed thin lines are, for each direction."""
    numbers = []
    rows = []
    for angle in _ANGLES:
        kernel = np.zeros((_LINE, _LINE), np.float32)
        reach = (_LINE - 1) / 2
        x, y = reach * np.sin(np.radians(angle)), reach * np.cos(np.radians(angle))
        ends = [(round((reach + s * x) * 16), round((reach + s * y) * 16)) for s in (-1, 1)]
        cv2.line(kernel, ends[0], ends[1], 1.0, 1, cv2.LINE_AA, shift=4)
        kernel /= kernel.sum()
        found = np.concatenate([cv2.filter2D(_thin(y), cv2.CV_32F, kernel)[::2, ::2].ravel() for y in lumas])
        spread = float(found.std()) + 1e-3
        low, high = np.percentile(found, (2, 98))
        skew = float((found**3).mean()) / spread**3
        rows.append((np.log(spread + 0.05), np.cbrt(skew), np.log((high + 0.2) / (0.2 - low))))
    table = np.array(rows)
    upright = table[np.abs(_ANGLES) <= 45]
    other = table[np.abs(_ANGLES) > 45]
    best = int(np.argmax(upright[:, 0]))
    numbers += [*table[:, 0] - table[:, 0].mean(), table[:, 0].mean()]
    numbers += [*table[:, 1], *table[:, 2]]
    numbers += [*(upright[best] - other.mean(axis=0)), *upright[best], *(upright.max(axis=0) - other.max(axis=0))]
    return np.array(numbers, np.float32)


def _thin(y: Plane) -> Plane:
    """What is thinner than a few pixels, limited so that edges do not outweigh streaks."""
    return np.asarray(np.clip(y - cv2.GaussianBlur(y, (0, 0), 2.5), -40, 40), np.float32)


def _tones(lumas: Sequence[Plane]) -> Numbers:
    values = np.concatenate([y.ravel()[::7] for y in lumas])
    percentiles = np.percentile(values, (1, 10, 50, 90, 99)) / 255
    return np.array([*percentiles, (values < 2).mean(), (values > 253).mean()], np.float32)


def _edges(lumas: Sequence[Plane]) -> Numbers:
    """Sharpness of the strongest edges: slopes at one pixel against those at 2, 4 and 8; kurtosis of the Laplacian."""
    ratios = []
    for y in lumas:
        if min(y.shape) < 20:
            continue
        slopes = []
        for reach in (1, 2, 4, 8):
            across = np.abs(np.roll(y, -reach, 1) - np.roll(y, reach, 1))[8:-8, 8:-8]
            down = np.abs(np.roll(y, -reach, 0) - np.roll(y, reach, 0))[8:-8, 8:-8]
            slopes.append((across, down))
        laplacian = cv2.Laplacian(y, cv2.CV_32F)
        spread = float(laplacian.std()) + 1e-2
        row = [np.log(float(((laplacian / spread) ** 4).mean()) + 1), np.log(spread)]
        for axis in (0, 1):
            strong = slopes[3][axis] >= np.percentile(slopes[3][axis], 95)
            total = float(slopes[3][axis][strong].mean()) + 1.0
            row += [float(slopes[k][axis][strong].mean()) / total for k in (0, 1, 2)]
            top = [float(np.percentile(slopes[k][axis], 99.5)) + 1 for k in range(4)]
            row += [np.log(top[k] / top[3]) for k in range(3)]
        ratios.append(row)
    if not ratios:
        return np.zeros(14, np.float32)
    return np.asarray(np.array(ratios, np.float32).mean(axis=0))

"""The quality of an earlier JPEG compression, from pixels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from restore.inspection.crops import Plane, cut_in_blocks, dct_of, luma_of

# ITU-T T.81, table K.1: luma.
_TABLE = np.array([
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51,
    87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
])  # fmt: skip
_COARSEST = 255  # step of a baseline JPEG
_REACH, _BIN = 256, 0.25  # DCT coefficients up to here, in bins of this width
_SIGMA = 0.5  # of a coefficient, after the rounding of RGB and of the conversion
_OUTLIERS = 0.02  # share of coefficients that clipping moved
_SEARCHED = 60_000  # pixels for each start of the blocks
_LEAST = 2.0  # smaller coefficients fit every step


class Compression(NamedTuple):
    """An earlier JPEG compression.

    Attributes:
        quality: The quality in libjpeg's scale, 1 to 100.
        evidence: Mean log-likelihood ratio per coefficient against no compression.
        coefficients: The number of coefficients that tell.
        top, left: The place of the first block.
    """

    quality: int
    evidence: float
    coefficients: int
    top: int
    left: int


def compression_of(crops: Sequence[Plane]) -> Compression:
    """The quality whose quantisation steps fit the DCT coefficients best, and how well.

    Coefficients of a decoded JPEG lie near multiples of the steps of its table. Each quality is scored by the
    likelihood of a comb with these teeth, blurred by the rounding of the pixels, against a uniform distribution
    (the idea of Fan & de Queiroz, "Identification of Bitmap Compression History", IEEE TIP 2003). Blocks may start
    anywhere: cropped files keep their traces.
    """
    planes = [(luma_of(crop) - 128, _is_clipped(crop)) for crop in crops if min(crop.shape[:2]) >= 16]
    best = Compression(100, 0.0, 0, 0, 0)
    if not planes:
        return best
    step = max(4, sum(plane.size for plane, _ in planes) // _SEARCHED)
    starts = {(top, left): _scores(planes, top, left, step=step) for top in range(8) for left in range(8)}
    likely = sorted(starts, key=lambda place: -float(starts[place][0].max()))[:2]
    for top, left in dict.fromkeys([(0, 0), *likely]):
        scores, count = _scores(planes, top, left, step=1)
        quality = int(np.argmax(scores)) + 1
        evidence = float(scores[quality - 1]) / max(1, count)
        if evidence > best.evidence:
            best = Compression(quality, evidence, count, top, left)
    return best


def _is_clipped(crop: Plane) -> NDArray[np.bool_]:
    """Pixels `(H, W)` with a channel at black or white: the decoder may have moved them there."""
    return np.asarray(((crop <= 0) | (crop >= 255)).any(axis=2))


def _scores(
    planes: Sequence[tuple[Plane, NDArray[np.bool_]]], top: int, left: int, *, step: int
) -> tuple[NDArray[np.float64], int]:
    """Log-likelihood ratio of each quality from 1 to 100, and the number of coefficients that tell."""
    histogram = np.zeros((64, int(_REACH / _BIN)))
    for plane, is_clipped in planes:
        whole = ~cut_in_blocks(is_clipped, top, left)[::step].any(axis=(1, 2))
        sizes = np.abs(dct_of(cut_in_blocks(plane, top, left)[::step][whole]).reshape(-1, 64))
        bins = np.minimum((sizes / _BIN + 0.5).astype(np.int64), histogram.shape[1] - 1)
        bins += np.arange(64) * histogram.shape[1]
        histogram += np.bincount(bins.ravel(), minlength=histogram.size).reshape(histogram.shape)
    histogram[:, : int(_LEAST / _BIN)] = 0
    histogram[:, -1] = 0
    histogram[0] = 0
    by_step = histogram @ _likelihoods().T
    return by_step[np.arange(64)[None], tables() - 1].sum(axis=1), int(histogram.sum())


@cache
def tables() -> NDArray[np.int64]:
    """libjpeg's luma steps `(100, 64)` for each quality from 1."""
    quality = np.arange(1, 101)
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    return np.asarray(np.clip((_TABLE * scale[:, None] + 50) // 100, 1, _COARSEST))


@cache
def _likelihoods() -> NDArray[np.float64]:
    """Log-likelihood ratio of a coefficient in each bin for each step from 1: `(255, bins)`."""
    steps = np.arange(1, _COARSEST + 1)[:, None]
    value = np.arange(int(_REACH / _BIN))[None] * _BIN
    away = np.abs(value - steps * np.round(value / steps))
    near = sum(np.exp(-(((away - k * steps) / _SIGMA) ** 2) / 2) for k in (-1, 0, 1))
    comb = near * steps / (_SIGMA * np.sqrt(2 * np.pi))
    # A comb with small steps is flat, and tells nothing.
    return np.where(steps == 1, 0.0, np.log(_OUTLIERS + (1 - _OUTLIERS) * comb))

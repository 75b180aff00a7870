"""The standard deviation of white noise, from the fine frequencies of flat blocks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from restore.inspection.crops import Plane, cut_in_blocks, dct_of

_FINE = np.add.outer(np.arange(8), np.arange(8)) >= 9  # 15 frequencies
_MIDDLE = np.hypot(*np.indices((8, 8))).round() == 5
_FEWEST = 32  # blocks


def white_noise_of(planes: Sequence[Plane], *, low: float = 0, high: float = 255) -> tuple[float, float]:
    """Sigma in the units of the planes `(H, W)`, and how much of it is left at middle frequencies: 1 for white noise.

    Blocks are sorted by their coarse frequencies; the fine ones of the flattest are then an unbiased sample
    (Ponomarenko et al., "An automatic approach to lossy compression of AVIRIS images", IGARSS 2007). Departure:
    blocks within 2.5 sigma of black (`low`) or white (`high`) are left out where others remain, because clipped noise
    is weaker.

    Returns:
        Sigma, and the ratio of fine to middle frequencies.
    """
    cut = [cut_in_blocks(plane) for plane in planes if min(plane.shape) >= 8]
    if not cut:
        return 0.0, 0.0
    coefficients = dct_of(np.concatenate(cut))
    mean = coefficients[:, 0, 0] / 8
    coarse = (coefficients[:, :3, :3] ** 2).sum(axis=(1, 2)) - coefficients[:, 0, 0] ** 2
    fine = (coefficients[:, _FINE] ** 2).mean(axis=1)
    middle = (coefficients[:, _MIDDLE] ** 2).mean(axis=1)
    sigma, ratio = 0.0, 0.0
    for _ in range(4):
        room = min(2.5 * sigma, (high - low) * 0.35)
        inside = np.flatnonzero((mean > low + 2 + room) & (mean < high - 2 - room))
        if len(inside) < _FEWEST:
            inside = np.argsort(np.abs(mean - (low + high) / 2))[:_FEWEST]
        flattest = inside[np.argsort(coarse[inside])][: max(_FEWEST, len(inside) // 20)]
        sigma = _deviation(fine[flattest])
        ratio = sigma / max(1e-3, _deviation(middle[flattest]))
    return sigma, ratio


def _deviation(power: NDArray[np.float32]) -> float:
    """Root of the median power: 15 frequencies have a median 4 % below the mean."""
    return float(np.sqrt(np.median(power) * 1.045))

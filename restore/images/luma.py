"""Luma (Y) of 8-bit RGB, as MATLAB's `rgb2ycbcr` computes it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_LUMA = np.array([[65.481], [128.553], [24.966]])  # MATLAB's rgb2ycbcr


def luma(picture: NDArray[np.generic]) -> Array:
    """Y of 8-bit RGB as MATLAB's `rgb2ycbcr` computes it, 16 to 235, rounded: `(H, W, 3)` to `(H, W, 1)`.

    >>> luma(np.array([[[255, 255, 255], [0, 0, 0]]])).ravel().tolist()
    [235.0, 16.0]
    """
    y: Array = np.round(luma_unrounded(picture))
    return y


def luma_unrounded(picture: NDArray[np.generic]) -> Array:
    """Y without rounding: that of `rgb2ycbcr` for doubles in [0, 1], times 255."""
    y: Array = 16 + (np.asarray(picture, np.float64) / 255) @ _LUMA
    return y

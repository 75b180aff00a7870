"""Which RGB pictures are black and white."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_ROWS = 256  # compared at once, to save memory


def is_neutral(pixels: NDArray[Any]) -> bool:
    """Whether RGB pixels `(H, W, 3)` have equal channels: a black-and-white picture.

    The channels may differ by 2/255 of white, because JPEG rounds its two colour differences, and colour conversions
    round too. In a dark picture that would be a colour: there they may differ by 1/32 of the largest value. A picture
    `(H, W, 1)` has no channels to compare, so the answer is False.
    """
    if pixels.shape[2] != 3:
        return False
    white = 1.0 if pixels.dtype.kind == "f" else float(np.iinfo(pixels.dtype).max)
    step = max(1, len(pixels) // 8)
    # A few rows identify nearly every colour picture, before the maximum of all is taken.
    if _largest_difference(pixels[::step]) > white * 2 / 255:
        return False
    return _largest_difference(pixels) <= min(white * 2 / 255, float(pixels.max()) / 32)


def _largest_difference(pixels: NDArray[Any]) -> float:
    largest = 0.0
    for top in range(0, len(pixels), _ROWS):
        red, green, blue = np.moveaxis(pixels[top : top + _ROWS], 2, 0)
        least = np.minimum(np.minimum(red, green), blue)
        largest = max(largest, float((np.maximum(np.maximum(red, green), blue) - least).max()))
    return largest

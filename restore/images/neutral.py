"""Which RGB pictures are black and white."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_ROWS = 256  # compared at once, to save memory


def is_neutral(pixels: NDArray[Any]) -> bool:
    """Whether RGB pixels `(H, W, 3)` have equal channels: a black-and-white picture.

    In 8 bits the channels may differ by 2, because JPEG rounds its two colour differences. A picture `(H, W, 1)` has no
    channels to compare, so the answer is False.
    """
    if pixels.shape[2] != 3:
        return False
    most = 2 if pixels.dtype == np.uint8 else 0
    step = max(1, len(pixels) // 8)
    for rows in (pixels[::step], pixels):  # a few rows identify nearly every colour picture
        for top in range(0, len(rows), _ROWS):
            red, green, blue = np.moveaxis(rows[top : top + _ROWS], 2, 0)
            least = np.minimum(np.minimum(red, green), blue)
            if (np.maximum(np.maximum(red, green), blue) - least).max() > most:
                return False
    return True

"""Mosaics of colour filters (Bayer): which pixel of a sensor saw which colour.

A pattern is named by the colours of its 2x2 cell, row by row: RGGB has red at the top left. A mosaic comes in two
forms: grey, `(H, W, 1)`, one value a pixel as the sensor has it; and RGB, `(H, W, 3)`, in which the two colours that a
pixel did not see are zero. Networks take the second.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from restore.errors import PictureError

PATTERNS = ("RGGB", "GRBG", "GBRG", "BGGR")
Scalar = TypeVar("Scalar", bound=np.generic)


def mosaic(picture: NDArray[Scalar], pattern: str = "RGGB") -> NDArray[Scalar]:
    """What a sensor sees of a picture `(H, W, 3)`: the same with two of the three values of every pixel zero."""
    seen = np.zeros_like(picture)
    for place, colour in enumerate(pattern):
        cell = np.s_[place // 2 :: 2, place % 2 :: 2, "RGB".index(colour)]
        seen[cell] = picture[cell]
    return seen


def as_rggb(pixels: NDArray[Any], pattern: str) -> tuple[NDArray[Any], tuple[int, int]]:
    """A mosaic of any pattern as an RGB mosaic of RGGB, which is the same but for a row or a column.

    Args:
        pixels: `(H, W, 1 | 3)`: grey, or RGB with zeros.
        pattern: One of `PATTERNS`.

    Returns:
        `(H, W, 3)`, with up to one mirrored row and column more at the top and left, and how many of each.

    Raises:
        PictureError: The picture is under 2 pixels, or RGB and no such mosaic.
    """
    height, width, channels = pixels.shape
    if min(height, width) < 2:
        raise PictureError(f"a mosaic of {width} x {height} pixels lacks colours", hint="2 x 2 is the least")
    if channels == 1:
        pixels = np.broadcast_to(pixels, (height, width, 3))
    elif fits := [p for p in PATTERNS if np.array_equal(mosaic(pixels, p), pixels)]:
        if pattern not in fits:
            raise PictureError(f"the picture is no mosaic of {pattern}", hint=f"--pattern {fits[0]} fits")
    else:
        raise PictureError(
            "the picture is no mosaic: every pixel of an RGB mosaic has two zeros",
            hint="a picture that has all its colours needs no demosaicing; a mosaic may also be a grey picture",
        )
    row, column = divmod(pattern.index("R"), 2)  # mirrored without the border itself, pixels keep their colour
    return np.pad(mosaic(pixels, pattern), ((row, 0), (column, 0), (0, 0)), mode="reflect"), (row, column)

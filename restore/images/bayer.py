"""Bayer mosaics: which pixel of a sensor saw which colour.

The name of a pattern is the colours of its 2x2 cell, row by row: RGGB has red at the top left. A mosaic has two
forms. Grey, `(H, W, 1)`, holds one value per pixel, as the sensor does. RGB, `(H, W, 3)`, has zeros for the two colours
that a pixel did not see. Networks take RGB.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from restore.errors import PictureError

PATTERNS = ("RGGB", "GRBG", "GBRG", "BGGR")
Scalar = TypeVar("Scalar", bound=np.generic)


def mosaic(picture: NDArray[Scalar], pattern: str = "RGGB") -> NDArray[Scalar]:
    """The mosaic of a picture `(H, W, 3)`: every pixel keeps one of its three values, the others become zero."""
    seen = np.zeros_like(picture)
    for place, colour in enumerate(pattern):
        cell = np.s_[place // 2 :: 2, place % 2 :: 2, "RGB".index(colour)]
        seen[cell] = picture[cell]
    return seen


def as_rggb(pixels: NDArray[Any], pattern: str) -> tuple[NDArray[Any], tuple[int, int]]:
    """Turn a mosaic of any pattern into an RGB mosaic of RGGB, by adding a row or a column.

    Args:
        pixels: `(H, W, 1 | 3)`: grey or RGB.
        pattern: One of `PATTERNS`.

    Returns:
        `(H, W, 3)` with up to one mirrored row at the top and column at the left, and the number of each.

    Raises:
        PictureError: A side is under 2 pixels, or an RGB picture is not such a mosaic.
    """
    height, width, channels = pixels.shape
    if min(height, width) < 2:
        raise PictureError(f"a mosaic of {width} x {height} pixels lacks colours", hint="use at least 2 x 2 pixels")
    if channels == 1:
        pixels = np.broadcast_to(pixels, (height, width, 3))
    elif fits := [p for p in PATTERNS if np.array_equal(mosaic(pixels, p), pixels)]:
        if pattern not in fits:
            raise PictureError(f"the picture is not a mosaic of {pattern}", hint=f"use --pattern {fits[0]}")
    else:
        raise PictureError(
            "the picture is not a mosaic: in RGB, every pixel of a mosaic has two zeros",
            hint="use a grey mosaic, or an RGB mosaic with zeros; a picture with all colours needs no demosaicing",
        )
    row, column = divmod(pattern.index("R"), 2)  # reflect without repeating the border: pixels keep their colour
    return np.pad(mosaic(pixels, pattern), ((row, 0), (column, 0), (0, 0)), mode="reflect"), (row, column)

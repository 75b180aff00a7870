"""A picture as a browser shows it: 8 bits, a JPEG or WebP, of at most 25 megapixels."""

from __future__ import annotations

import io
from dataclasses import dataclass

import cv2
import numpy as np

from restore.images import Picture, write_picture
from restore.images.background import is_opaque
from restore.images.picture import to_8_bits

MOST_PIXELS = 25_000_000
"""A larger picture is shown smaller. Cameras of 24 megapixels stay whole."""

QUALITY = 95
"""Of the JPEG (4:4:4) or WebP in a page."""

_LONGEST_SIDE = 16_000  # pixels; the limit of WebP and of browsers is 16,383


@dataclass(frozen=True)
class Shown:
    """An encoded picture.

    Attributes:
        data: The bytes of the file.
        mime: `image/jpeg`, or `image/webp` where pixels are transparent.
        width, height: Pixels of the encoded picture.
        divisor: How many times smaller than the picture it is, per side.
    """

    data: bytes
    mime: str
    width: int
    height: int
    divisor: int


def shown(picture: Picture, *, divisor: int = 1) -> Shown:
    """Encode the pixels, the transparency and the colour profile, and no other metadata.

    Args:
        picture: Any picture.
        divisor: Show it at least this many times smaller.
    """
    height, width = picture.pixels.shape[:2]
    divisor = max(divisor, divisor_for(width, height))
    alpha = None if picture.alpha is None or is_opaque(picture) else picture.alpha
    plain = Picture(
        _reduced(picture.pixels, divisor),
        None if alpha is None else _reduced(alpha[..., None], divisor)[..., 0],
        icc_profile=picture.icc_profile,
        colour=picture.colour,
        source_is_lossless=False,
    )
    format = "JPEG" if alpha is None else "WEBP"
    stream = io.BytesIO()
    write_picture(plain, stream, format=format, quality=QUALITY)
    high, wide = plain.pixels.shape[:2]
    return Shown(stream.getvalue(), f"image/{format.lower()}", wide, high, divisor)


def divisor_for(width: int, height: int) -> int:
    """How many times smaller a picture of this size is shown, per side.

    >>> divisor_for(6000, 4000), divisor_for(8000, 6000), divisor_for(40000, 100)
    (1, 2, 3)
    """
    divisor = 1
    while width * height > MOST_PIXELS * divisor**2 or max(width, height) > _LONGEST_SIDE * divisor:
        divisor += 1
    return divisor


def _reduced(pixels: np.ndarray, divisor: int) -> np.ndarray:
    """8-bit pixels, each the mean of `divisor` x `divisor`."""
    if divisor == 1:
        return to_8_bits(pixels)
    height, width = pixels.shape[:2]
    size = max(1, width // divisor), max(1, height // divisor)
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return to_8_bits(small.reshape(size[1], size[0], -1))

"""A colour under a picture's transparency, for formats that have none."""

from __future__ import annotations

import dataclasses
import re

import numpy as np

from restore.errors import UsageError
from restore.images.picture import Picture, bands, limit

WITHOUT_ALPHA = frozenset({"JPEG"})
"""Formats that hold no transparency."""

_NAMED = {"black": "#000000", "white": "#ffffff"}


def parse_background(text: str) -> tuple[int, int, int]:
    """Red, green and blue, 0..255, of a colour.

    >>> parse_background("white"), parse_background("#0080FF")
    ((255, 255, 255), (0, 128, 255))

    Raises:
        UsageError: It is not `white`, `black` or `#rrggbb`.
    """
    code = _NAMED.get(text.lower(), text)
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", code):
        raise UsageError(f"the background is a colour, not {text!r}", hint="use white, black or #rrggbb, quoted")
    red, green, blue = bytes.fromhex(code[1:])
    return red, green, blue


def is_opaque(picture: Picture) -> bool:
    """Whether no pixel is transparent."""
    return picture.alpha is None or bool(picture.alpha.min() >= limit(picture.alpha.dtype))


def flattened(picture: Picture) -> Picture:
    """The picture without alpha, over its background, mixed in its own encoding.

    A grey picture over a colour becomes RGB; its grey profile is dropped.
    """
    alpha = picture.alpha
    if alpha is None or is_opaque(picture):
        return dataclasses.replace(picture, alpha=None)
    assert picture.background is not None
    pixels, icc_profile = picture.pixels, picture.icc_profile
    colour = parse_background(picture.background)
    if pixels.shape[2] == 1 and len(set(colour)) > 1:
        pixels = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
        if icc_profile is not None:
            picture.note("the background makes this grey RGB, which its profile does not describe; that is dropped")
            icc_profile = None
    white = limit(pixels.dtype)
    below = np.array(colour[: pixels.shape[2]], np.float32) * np.float32(white / 255)
    mixed = np.empty(pixels.shape, pixels.dtype)
    for rows in bands(len(pixels), 4 * pixels[0].size):
        share = np.clip(alpha[rows, :, None].astype(np.float32) / np.float32(white), 0, 1)
        band = below + share * (pixels[rows] - below)
        mixed[rows] = band if pixels.dtype.kind == "f" else np.rint(band)
    return dataclasses.replace(picture, pixels=mixed, alpha=None, icc_profile=icc_profile)

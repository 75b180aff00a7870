"""A contact sheet: one crop at several strengths, side by side, to choose a strength by eye."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from restore.images import Picture
from restore.images.picture import limit

Pixels = npt.NDArray[Any]

_GAP = 8  # pixels
_GROUND, _TEXT = 0.2, 0.9  # of white
_SMALLEST_FONT = 18  # pixels
_WIDTHS_PER_FONT = 28  # a larger crop gets a larger font


def contact_sheet(original: Picture, panels: Sequence[Pixels], strengths: Sequence[float]) -> Picture:
    """The original and the results at several strengths, from left to right, with a label above each.

    Args:
        original: The input.
        panels: Pixels of each result, in the size and type of the original.
        strengths: Their strengths, from 0, the input, to 1, the full effect.

    Returns:
        A picture with the depth, colour profile and transparency of the original, and no other metadata.
    """
    height, width, channels = original.pixels.shape
    labels = ["original", *(f"strength {strength:g}" for strength in strengths)]
    font = ImageFont.load_default(max(_SMALLEST_FONT, width // _WIDTHS_PER_FONT))
    boxes = [font.getbbox(label) for label in labels]
    cell = max(width, *(int(box[2]) + 1 for box in boxes))
    head = int(max(box[3] for box in boxes)) + _GAP
    white, dtype = limit(original.pixels.dtype), original.pixels.dtype
    size = head + height + _GAP, len(labels) * (cell + _GAP) + _GAP
    sheet = np.full((*size, channels), _GROUND * white).astype(dtype)
    alpha = None if original.alpha is None else np.full(size, white, dtype)
    for index, label in enumerate(labels):
        left = _GAP + index * (cell + _GAP)
        write_label(sheet[:head, left : left + cell], label, font, white)
        place = np.s_[head : head + height, left : left + width]
        sheet[place] = panels[index - 1] if index else original.pixels
        if alpha is not None:
            alpha[place] = original.alpha
    return Picture(
        sheet,
        alpha,
        icc_profile=original.icc_profile,
        colour=dict(original.colour),
        source_format=original.source_format,
        source_is_lossless=original.source_is_lossless,
        background=original.background,
        damage=original.damage,
        page=original.page,
        pages=original.pages,
        notes=list(original.notes),
    )


def mixed(original: Pixels, restored: Pixels, strength: float) -> Pixels:
    """`original + strength * (restored - original)`, rounded where the pixels are integers.

    It differs by at most one grey level from a run at this strength, because it starts from the rounded result.

    >>> mixed(np.array([10, 200], np.uint8), np.array([20, 100], np.uint8), 0.25)
    array([ 12, 175], dtype=uint8)
    """
    levels = original.astype(np.float32)
    levels += np.float32(strength) * (restored.astype(np.float32) - levels)
    return _level(levels, original.dtype)


def _level(values: Pixels, dtype: npt.DTypeLike) -> Pixels:
    """Values between 0 and white, in the type of the pixels."""
    dtype = np.dtype(dtype)
    return (values if dtype.kind == "f" else np.rint(values)).astype(dtype)


def write_label(strip: Pixels, label: str, font: Any, white: float) -> None:
    """Draw a label into a strip of the sheet `(H, W, C)`, in place."""
    mask = Image.new("L", (strip.shape[1], strip.shape[0]))
    ImageDraw.Draw(mask).text((0, 0), label, fill=255, font=font)
    cover = np.asarray(mask, np.float32)[..., None] / 255
    strip[:] = _level(strip + cover * (_TEXT * white - strip.astype(np.float32)), strip.dtype)

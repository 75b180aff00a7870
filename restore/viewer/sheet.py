"""One picture that compares: before and after of the whole, and of the places that changed most."""

from __future__ import annotations

import unicodedata

import cv2
import numpy as np
from PIL import ImageFont

from restore.images import Picture
from restore.images.picture import to_8_bits
from restore.viewer.contact import write_label
from restore.viewer.places import MOST, ChangedPlace, changed_places

_GAP = 8  # pixels
_WIDTH = 1600  # pixels of the sheet without its margins
_GREY = 48
_LONGEST = 2  # times as high as wide: a narrower picture is drawn smaller
_CAPTION = 24  # pixels
_FONT = 15  # pixels


def comparison_sheet(
    before: Picture, after: Picture, places: tuple[ChangedPlace, ...] | None = None, name: str = ""
) -> Picture:
    """Before on the left and after on the right: the whole pictures, then pairs of the places.

    Args:
        before: The input; a smaller one is enlarged.
        after: The restored picture.
        places: What to show below the whole; None finds them with `changed_places`. Without one, nothing changed.
        name: Name of the picture, for its caption.

    Returns:
        A picture of 8 bits and 1616 pixels width, with the colour profile of `after`.
    """
    places = changed_places(before, after) if places is None else places
    shown = _plain(name)
    captions = [f"before: {shown}" if shown else "before", "after" if places else "after: nothing changed"]
    rows = [_row([before.pixels, after.pixels], captions)]
    if places:
        crops: list[np.ndarray] = []
        for place in places[:MOST]:
            crops += [_crop(before, after, place), _cut(after.pixels, place)]
        rows.append(_row(crops, ["before", "after"] * len(places[:MOST])))
    colour = dict(after.colour)
    return Picture(np.concatenate(rows), icc_profile=after.icc_profile, colour=colour)


def _plain(name: str) -> str:
    """A name in the letters that the font has.

    >>> _plain("Ärger\\n東.png")
    'Arger??.png'
    """
    letters = (letter for letter in unicodedata.normalize("NFKD", name) if not unicodedata.combining(letter))
    return "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in letters)


def _crop(before: Picture, after: Picture, place: ChangedPlace) -> np.ndarray:
    """The pixels of `before` at a place of `after`."""
    (high, wide), (height, width) = before.pixels.shape[:2], after.pixels.shape[:2]
    top, left = place.top * high // height, place.left * wide // width
    bottom = max(top + 1, -(-(place.top + place.height) * high // height))
    right = max(left + 1, -(-(place.left + place.width) * wide // width))
    return before.pixels[top:bottom, left:right]


def _cut(pixels: np.ndarray, place: ChangedPlace) -> np.ndarray:
    return pixels[place.top : place.top + place.height, place.left : place.left + place.width]


def _row(pictures: list[np.ndarray], captions: list[str]) -> np.ndarray:
    """The pictures side by side, at one size, on grey, with a caption over each."""
    width = (_WIDTH - _GAP * (len(pictures) - 1)) // len(pictures)
    high, wide = pictures[-1].shape[:2]
    scale = min(width / wide, _LONGEST * width / high)
    size = max(1, round(wide * scale)), max(1, round(high * scale))
    font = ImageFont.load_default(_FONT)
    row = np.full((size[1] + _CAPTION + _GAP, _WIDTH + 2 * _GAP, 3), _GREY, np.uint8)
    for number, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        left = _GAP + number * (width + _GAP)
        row[_CAPTION : _CAPTION + size[1], left : left + size[0]] = _resized(picture, size)
        write_label(row[: _CAPTION - 2, left : left + width], caption, font, 255)
    return row


def _resized(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """8-bit pixels (H, W, 1 | 3) of `size` (width, height). Enlarged pixels stay squares, which hides nothing."""
    smaller = size[0] < pixels.shape[1]
    resized = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_NEAREST)
    return to_8_bits(resized.reshape(size[1], size[0], -1))

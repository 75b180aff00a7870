"""EXIF: its orientation, and the parts that stay with the pixels."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from PIL import Image
from PIL.ExifTags import IFD

from restore.images.picture import Picture

_ORIENTATION = 0x0112
_DESCRIPTIVE_TAGS = (270, 271, 272, 305, 306, 315, 316, 18246, 18249, 33432, 40091, 40092, 40093, 40094, 40095)


def upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """`array` (H, W, ...) as a viewer shows it, given the EXIF orientation 2..8 (EXIF 2.3, tag 0x0112)."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    return np.ascontiguousarray(array)


def take_exif(exif: bytes, picture: Picture) -> int:
    """Sets the EXIF of `picture` with orientation 1; returns the original orientation, 0 if there is none."""
    exif = exif.removeprefix(b"Exif\0\0")
    if not exif:
        return 0
    try:
        picture.exif, orientation = _reset_orientation(exif)
    except (KeyError, ValueError, struct.error):  # the pixels are still fine
        picture.note("damaged EXIF is dropped")
        return 0
    return orientation if 1 <= orientation <= 8 else 0


def _reset_orientation(exif: bytes) -> tuple[bytes, int]:
    """EXIF with the orientation of the main picture set to 1, and the original value. All other bytes stay.

    Rewriting the block would break maker notes, which point to places in the block.

    Raises:
        ValueError, KeyError, struct.error: `exif` is damaged.
    """
    order = {b"II": "<", b"MM": ">"}[exif[:2]]
    (start,) = struct.unpack_from(order + "I", exif, 4)
    (count,) = struct.unpack_from(order + "H", exif, start)
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from(order + "HH", exif, entry)
        if tag == _ORIENTATION:
            value = order + ("I" if kind == 4 else "H")  # LONG or, as it should be, SHORT
            patched = bytearray(exif)
            struct.pack_into(value, patched, entry + 8, 1)
            return bytes(patched), struct.unpack_from(value, exif, entry + 8)[0]
    return exif, 0


def descriptive(exif: Image.Exif) -> dict[int, Any]:
    """Tags that describe the photo, not the layout of the file; the Exif and GPS directories are dicts."""
    tags: dict[int, Any] = {tag: exif[tag] for tag in _DESCRIPTIVE_TAGS if tag in exif}
    for directory in (IFD.Exif, IFD.GPSInfo):
        if values := dict(exif.get_ifd(directory)):
            if IFD.Interop in values:
                values[IFD.Interop] = exif.get_ifd(IFD.Interop)
            tags[int(directory)] = values
    return tags


def packed(tags: dict[int, Any]) -> bytes | None:
    """EXIF that holds `descriptive` tags; None where there are none."""
    exif = Image.Exif()
    for tag, value in tags.items():
        exif[tag] = value
    return exif.tobytes().removeprefix(b"Exif\0\0") if tags else None

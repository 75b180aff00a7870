"""EXIF: what it states about the pixels, and the parts that stay with them."""

from __future__ import annotations

import io
import math
import struct
from contextlib import suppress
from typing import Any

import numpy as np
from PIL import Image, JpegImagePlugin
from PIL.ExifTags import IFD

from restore.images.metadata.exif_blocks import Block, Directory
from restore.images.metadata.resolution import take_dpi
from restore.images.picture import Picture, to_8_bits

_ORIENTATION = 0x0112
_LONGEST_THUMBNAIL = 1024  # pixels; EXIF wants 160, and some cameras store more
_SMALLEST_THUMBNAIL = 16  # pixels of the longer side
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
    _take_resolution(picture)
    return orientation if 1 <= orientation <= 8 else 0


def _take_resolution(picture: Picture) -> None:
    """Sets the resolution from the EXIF. It goes before that of JFIF, which many programs fill with 72 or 96."""
    with suppress(KeyError, ValueError, struct.error):  # the block is damaged in part
        stated = resolution_of(Block(picture.exif or b""))
        if picture.dpi is None or picture.source_format == "JPEG":
            take_dpi(stated, picture)


def states_resolution(exif: bytes | None) -> bool:
    """Whether the EXIF holds a resolution."""
    with suppress(KeyError, ValueError, struct.error):
        return resolution_of(Block(exif or b"")) is not None
    return False


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


def agreeing(exif: bytes, picture: Picture) -> bytes:
    """The EXIF with the sizes, the resolution and the thumbnail of `picture`. All other bytes keep their place.

    A thumbnail that does not fit into the space of the old one is dropped, and a note says so. Smaller previews that
    a maker note holds stay as they are.
    """
    try:
        block = Block(exif)
    except (KeyError, ValueError, struct.error):  # `take_exif` checks what is read; a caller may set anything
        return exif
    height, width = picture.pixels.shape[:2]
    for directory, tags in ((block.main, (0x100, 0x101)), (block.exif, (0xA002, 0xA003))):
        _set_sides(block, directory, tags, (width, height))
    _set_sides(block, block.interop, (0x1001, 0x1002), (width, height))
    if picture.dpi:
        _set_resolution(block, picture.dpi)
    if block.main.next and not _set_thumbnail(block, picture):
        block.drop_thumbnail()
        picture.note("the thumbnail in the EXIF has no space for the restored picture; it is dropped")
    if block.is_damaged:
        picture.note("the EXIF is damaged in part; the rest agrees with the picture")
    return bytes(block.data)


def _set_sides(block: Block, directory: Directory | None, tags: tuple[int, int], sides: tuple[int, int]) -> None:
    for tag, side in zip(tags, sides, strict=True):
        if directory:
            block.set_number(directory.entries.get(tag), side)


def _set_resolution(block: Block, dpi: tuple[float, float]) -> None:
    """Sets the resolution where the EXIF has one that differs by more than rounding."""
    entries = block.main.entries
    stated = resolution_of(block)
    if stated and all(math.isclose(a, b, rel_tol=0.002) for a, b in zip(stated, dpi, strict=True)):
        return
    unit = block.number(entries.get(0x128))
    if unit == 1:
        block.set_number(entries[0x128], 2)
    for tag, value in zip((0x11A, 0x11B), dpi, strict=True):
        block.set_rational(entries.get(tag), value / 2.54 if unit == 3 else value)


def resolution_of(block: Block) -> tuple[float, float] | None:
    """Dots per inch; None where the EXIF states none."""
    entries = block.main.entries
    across, down = (block.rational(entries.get(tag)) for tag in (0x11A, 0x11B))
    unit = block.number(entries.get(0x128)) or 2
    if not across or not down or unit not in (2, 3):
        return None
    scale = 2.54 if unit == 3 else 1.0
    return scale * across, scale * down


def _set_thumbnail(block: Block, picture: Picture) -> bool:
    """Puts a new thumbnail in the place of the old one; False if that is not possible."""
    start, end = block.thumbnail_span()
    directory = block.thumbnail
    if directory is None or start == end or not block.is_free(start, end) or not block.is_free(*directory.spans()[0]):
        return False
    made = _thumbnail(picture, bytes(block.data[start:end]))
    if made is None:
        return False
    data, sides = made
    block.data[start:end] = data.ljust(end - start, b"\0")
    _set_sides(block, directory, (0x100, 0x101), sides)
    block.set_number(directory.entries.get(0x202), len(data))
    block.set_number(directory.entries.get(_ORIENTATION), 1)
    return True


def _thumbnail(picture: Picture, old: bytes) -> tuple[bytes, tuple[int, int]] | None:
    """A JPEG of at most the length of `old`, and its width and height; None if none is so short."""
    try:
        shown = JpegImagePlugin.JpegImageFile(io.BytesIO(old))  # `Image.open` would warn of stated sizes
        longest = min(max(shown.size), _LONGEST_THUMBNAIL)
    except Exception:  # on damaged files Pillow raises errors of any type
        longest = 160
    height, width = picture.pixels.shape[:2]
    longest = min(longest, max(height, width))
    step = max(1, max(height, width) // (4 * longest))  # 4 x 4 pixels or more make one of the thumbnail
    values = to_8_bits(picture.pixels[::step, ::step])
    image = Image.fromarray(np.ascontiguousarray(np.broadcast_to(values, (*values.shape[:2], 3))))
    while longest >= min(_SMALLEST_THUMBNAIL, max(height, width)):
        scale = longest / max(height, width)
        sides = max(1, round(width * scale)), max(1, round(height * scale))
        small = image.resize(sides, Image.Resampling.BOX)
        for quality in (90, 80, 70, 60, 50):
            file = io.BytesIO()
            small.save(file, "JPEG", quality=quality, optimize=True)
            if len(data := file.getvalue()) <= len(old):
                return data, sides
        longest = longest * 3 // 4
    return None


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
    if not tags:
        return None
    block = Block(exif.tobytes().removeprefix(b"Exif\0\0"))
    block.mark_undefined()
    return bytes(block.data)

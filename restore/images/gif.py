"""GIF, which is only read: its pictures are decoded with Pillow one by one and laid over each other here."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

import numpy as np
from PIL import GifImagePlugin

from restore.images import metadata
from restore.images.animation import CLEAR, KEEP, UNDO, Frame, composed, shows_gaps, stop_at_page
from restore.images.picture import Picture, check_page, check_size, contents

_IMAGE, _EXTENSION, _END = b",!;"
_CONTROL, _COMMENT, _TEXT, _APPLICATION = 0xF9, 0xFE, 0x01, 0xFF
_INTERLACED = 0x40
_AFTER = {2: CLEAR, 3: UNDO}  # disposal method (GIF89a, section 23) -> what becomes of a frame's place
_XMP_TAIL = 258  # bytes that lead readers who take the packet for blocks to its end


@dataclass
class _Contents:
    """What a walk over a GIF found.

    Attributes:
        size: Width and height.
        palette: The common colours.
        frames: Their `data` is: interlaced, own palette, transparent index or None, start and end of the pixels.
        comments: Comments.
        profile, xmp: Colour profile and XMP.
        plays: How often it is shown; 0 is for ever.
        dropped: What no other format can hold.
    """

    size: tuple[int, int]
    palette: bytes
    frames: list[Frame] = field(default_factory=list)
    comments: list[bytes] = field(default_factory=list)
    profile: bytes | None = None
    xmp: bytes | None = None
    plays: int = 1
    dropped: dict[str, None] = field(default_factory=dict)


def read(file: IO[bytes], picture: Picture, max_pixels: int) -> int:
    """Fills `picture`; returns the orientation still to apply."""
    return stop_at_page(read_frames(file, picture, max_pixels), picture)


def read_frames(file: IO[bytes], picture: Picture, max_pixels: int) -> Iterator[int]:
    """Fills `picture` with one frame after the other, as it is shown; yields the orientation still to apply.

    A picture whose colours are all grey becomes grey. Pixels that nothing covers are transparent, as in browsers.
    """
    data = contents(file)
    found = _survey(data)
    check_size(found.size, max_pixels, file)
    check_page(picture, len(found.frames))
    if found.dropped:
        picture.note(f"parts of the GIF are dropped: {', '.join(found.dropped)}")
    is_grey = all(_is_grey(palette) for palette in (found.palette, *(frame.data[1] for frame in found.frames)))
    has_gaps, has_alpha, orientation = len(found.frames) > 1 and shows_gaps(found.frames, *found.size), False, 0
    shown = composed(found.frames, found.size, lambda frame: _decode(data, found.palette, frame, is_grey))
    for number, (frame, (pixels, alpha)) in enumerate(zip(found.frames, shown, strict=True), 1):
        if number == 1:
            has_alpha = has_gaps or bool((alpha < 255).any())
        picture.pixels, picture.alpha, picture.page = pixels, alpha if has_alpha else None, number
        if len(found.frames) > 1:
            picture.duration, picture.loops = frame.duration, found.plays
        if number == 1:
            picture.comment = b"\n".join(found.comments) or None
            metadata.take_profile(found.profile, picture)
            orientation = metadata.take_xmp(found.xmp, picture)
        yield orientation


def _survey(data: bytes) -> _Contents:
    """Walks over the blocks of a GIF.

    Raises:
        OSError: There is no picture, or data after the last whole one.
        IndexError, struct.error: It ends too early.
    """
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    place = 13
    palette, place = _palette(data, place, flags)
    found = _Contents((width, height), palette)
    delay, after, transparent = 0, KEEP, None
    while place < len(data) and data[place] != _END:
        kind, place = data[place], place + 1
        if kind == _EXTENSION:
            label, start = data[place], place + 1
            place = _after_blocks(data, start)
            if label == _CONTROL:
                bits, delay, index = struct.unpack_from("<BHB", data, start + 1)
                after, transparent = _AFTER.get(bits >> 2 & 7, KEEP), index if bits & 1 else None
            else:
                _take_extension(label, data, start, place, found)
        elif kind == _IMAGE:
            left, top, width, height, flags = struct.unpack_from("<HHHHB", data, place)
            palette, start = _palette(data, place + 9, flags)
            place = _after_blocks(data, start + 1)  # the first byte is the size of the codes
            details = [flags & _INTERLACED, palette, transparent, start, place]
            found.frames.append(Frame(left, top, width, height, 10.0 * delay, after, True, details))
            delay, after, transparent = 0, KEEP, None
        else:
            raise OSError(f"a block of the unknown kind {kind}")
    if not found.frames:
        raise OSError("it has no picture")
    # Browsers show a first picture that is larger than the screen that the file states whole.
    first = found.frames[0]
    found.size = max(found.size[0], first.left + first.width), max(found.size[1], first.top + first.height)
    if (rest := len(data) - place - 1) > 0:
        found.dropped[f"{rest:,} bytes after its end"] = None
    return found


def _palette(data: bytes, place: int, flags: int) -> tuple[bytes, int]:
    """The colours that may follow a descriptor with these flags, and the place after them."""
    length = 3 << (flags & 7) + 1 if flags & 0x80 else 0
    return data[place : place + length], place + length


def _after_blocks(data: bytes, place: int) -> int:
    """The place after a chain of blocks, each with its length before it, and an empty one at the end."""
    while length := data[place]:
        place += 1 + length
    return place + 1


def _joined(data: bytes, place: int) -> bytes:
    """The content of a chain of blocks."""
    parts = []
    while length := data[place]:
        parts.append(data[place + 1 : place + 1 + length])
        place += 1 + length
    return b"".join(parts)


def _take_extension(label: int, data: bytes, start: int, end: int, found: _Contents) -> None:
    """Takes what an extension from `start` to `end` holds."""
    name = data[start + 1 : start + 1 + data[start]]
    inside = start + 1 + data[start]
    if label == _COMMENT:
        found.comments.append(_joined(data, start))
    elif label != _APPLICATION:
        found.dropped["text to draw" if label == _TEXT else f"the extension {label}"] = None
    elif name in (b"NETSCAPE2.0", b"ANIMEXTS1.0"):
        block = _joined(data, inside)
        if block[:1] == b"\1" and len(block) >= 3:
            repeats = int.from_bytes(block[1:3], "little")
            found.plays = repeats + 1 if repeats else 0  # viewers show it once, and then repeat it
    elif name == b"XMP DataXMP":
        found.xmp = data[inside : end - _XMP_TAIL]
    elif name == b"ICCRGBG1012":
        found.profile = _joined(data, inside)
    else:
        found.dropped[f"the extension {name.decode('latin-1').strip()}"] = None


def _is_grey(palette: bytes) -> bool:
    return palette[::3] == palette[1::3] == palette[2::3]


def _decode(data: bytes, common: bytes, frame: Frame, is_grey: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels and alpha of a frame. Pillow decodes a GIF of it alone, whose palette it cannot take for grey levels."""
    interlaced, palette, transparent, start, end = frame.data
    screen = struct.pack("<HHBBB", frame.width, frame.height, 0xF7, 0, 0) + bytes(768)
    picture = struct.pack("<HHHHB", 0, 0, frame.width, frame.height, interlaced)
    alone = b"GIF89a" + screen + bytes([_IMAGE]) + picture + data[start:end] + bytes([_END])
    indices = np.asarray(GifImagePlugin.GifImageFile(io.BytesIO(alone)))
    colours = palette or common or bytes(level for level in range(256) for _ in range(3))
    table = np.frombuffer(colours.ljust(768, b"\0"), np.uint8).reshape(256, 3)[:, : 1 if is_grey else 3]
    alpha = None if transparent is None else np.where(indices == transparent, 0, 255).astype(np.uint8)
    return table[indices], alpha

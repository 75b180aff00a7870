"""Mutations inside the boxes of JPEG 2000, JPEG XL, AVIF and HEIC: headers of streams, places of items, and tiles."""

from __future__ import annotations

import re
import struct
from random import Random

EXTREMES = (0, 1, 2, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1)
_FIELDS: tuple[bytes, ...] = (
    b"ihdr",
    b"colr",
    b"pclr",
    b"cdef",
    b"cmap",
    b"ispe",
    b"iloc",
    b"ipma",
    b"iref",
    b"iinf",
    b"pitm",
    b"clap",
)
_FIELDS += (b"irot", b"imir", b"av1C", b"hvcC", b"pixi", b"auxC", b"jxlp", b"jxlc", b"Exif", b"brob", b"ftyp", b"idat")


def mutated_boxes(data: bytes, random: Random) -> bytes:
    """One mutation of a field in a box, of the header of a JPEG XL stream, or of the tile-parts of JPEG 2000."""
    changes = [_fields]
    if b"\xff\x4f\xff\x51" in data:
        changes += [_markers, _tile_parts]
    if data.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL ")):
        changes.append(_jpeg_xl_header)
    return random.choice(changes)(data, random)


def _number(changed: bytearray, place: int, random: Random) -> None:
    size = random.choice((1, 2, 4))
    value = random.choice(EXTREMES) if random.random() < 0.6 else random.getrandbits(8 * size)
    if place + size <= len(changed):
        changed[place : place + size] = (value % 256**size).to_bytes(size, "big")


def _fields(data: bytes, random: Random) -> bytes:
    """A number near the start of a box that decoders trust, or the length of the box."""
    changed = bytearray(data)
    places = [found.start() for name in _FIELDS for found in re.finditer(re.escape(name), data)]
    if places:
        place = random.choice(places)
        _number(changed, place - 4 if random.random() < 0.2 else place + 4 + random.randrange(40), random)
    return bytes(changed)


def _markers(data: bytes, random: Random) -> bytes:
    """A number in the main header of a JPEG 2000 stream."""
    changed = bytearray(data)
    _number(changed, data.index(b"\xff\x4f\xff\x51") + 4 + random.randrange(90), random)
    return bytes(changed)


def _tile_parts(data: bytes, random: Random) -> bytes:
    """Tile-parts that are gone, doubled, or state another tile, length or number."""
    starts = [found.start() for found in re.finditer(rb"\xff\x90\x00\x0a", data)]
    if not starts:
        return data
    at = random.randrange(len(starts))
    start, stop = starts[at], (*starts, len(data) - 2)[at + 1]
    kind = random.randrange(3)
    if kind == 0:
        return data[:start] + data[stop:]
    if kind == 1:
        return data[:start] + data[start:stop] * random.choice((2, 30)) + data[stop:]
    changed = bytearray(data)
    _number(changed, start + 4 + random.randrange(8), random)
    return bytes(changed)


def _jpeg_xl_header(data: bytes, random: Random) -> bytes:
    """Bits of the header, which hold size, depth, channels, animation and colours; or the order of parts."""
    start = data.find(b"\xff\x0a")
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 6))):
        place = start + 2 + random.randrange(24)
        if place < len(changed):
            changed[place] ^= 1 << random.randrange(8)
    if random.random() < 0.2 and start > 8:  # cut into parts with numbers of any order
        stream = bytes(changed[start:])
        middle = random.randrange(1, len(stream)) if len(stream) > 1 else 1
        numbers = random.choice(((0, 2**31 + 1), (1, 0), (5, 5), (0, 0xFFFFFFFF)))
        parts = [
            struct.pack(">I4sI", 12 + len(part), b"jxlp", number)
            for number, part in zip(numbers, (stream[:middle], stream[middle:]), strict=True)
        ]
        return bytes(changed[: start - 8]) + parts[0] + stream[:middle] + parts[1] + stream[middle:]
    return bytes(changed)

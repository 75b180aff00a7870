"""The segments of a JPEG file, without their meaning (ITU-T T.81, annex B)."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

from restore.images.picture import Refusal

LONGEST = 65_533
"""Most bytes of a segment after its length, which has 16 bits."""

SOI, EOI, SOS, COM = 0xD8, 0xD9, 0xDA, 0xFE
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Codes of the segments that state the size."""

MAX_SCANS = 100
"""Most scans of a JPEG. Encoders write about 10; every scan costs the time of a pass over the whole picture."""

# FF 00 is a byte of entropy-coded data. FF 01 and FF D0 to FF D7 have no length; read as segments, they hide others.
_MARKER = re.compile(rb"\xff[^\0\1\xd0-\xd7\xff]")
_MOST = 20_000  # segments; a file of tiny ones would take GBs as objects


class Segment(NamedTuple):
    """A segment: its code, what follows its length, and the place of its marker."""

    code: int
    data: bytes
    place: int


def markers(data: bytes, start: int = 0) -> Iterator[tuple[int, int]]:
    """Code and position of each marker of the picture at `start`, up to and with its end or the last whole one."""
    position = start + 2
    while match := _MARKER.search(data, position):
        position, code = match.start(), data[match.start() + 1]
        if code == EOI:
            yield code, position
            return
        if position + 10 > len(data):
            return
        yield code, position
        (length,) = struct.unpack_from(">H", data, position + 2)
        position += 2 + length


def parsed(data: bytes, start: int = 0) -> tuple[list[Segment], int]:
    """The segments of the picture at `start`, and the place after its end. Without an end, that of the file."""
    found: list[Segment] = []
    for code, place in markers(data, start):
        if code == EOI:
            return found, place + 2
        (length,) = struct.unpack_from(">H", data, place + 2)
        if len(found) < _MOST:
            found.append(Segment(code, data[place + 4 : place + 2 + length], place))
    return found, len(data)


def check_scans(data: bytes) -> None:
    """Raises Refusal if a JPEG has more than `MAX_SCANS` scans. Takes 1 ms for a progressive one of 2 MB."""
    scans = 0
    is_progressive, samples = False, 0
    for code, place in markers(data):
        if code in FRAMES:
            is_progressive, samples = code & 3 == 2, data[place + 9]
        scans += code == SOS
        if code == SOS and not is_progressive and data[place + 4] == samples:
            return  # all samples at once: libjpeg reads no second scan
    if scans > MAX_SCANS:
        raise Refusal(
            f"it has {scans:,} scans; a JPEG has about 10",
            "do not open it if you do not know its source; otherwise save it as a plain JPEG first",
        )


def packed(code: int, data: bytes) -> bytes:
    """A segment as bytes.

    >>> packed(COM, b"a").hex()
    'fffe000361'
    """
    return struct.pack(">BBH", 0xFF, code, 2 + len(data)) + data


def split(code: int, head: bytes, data: bytes, room: int = LONGEST) -> bytes:
    """Data as segments that all start with `head`, as many as it takes."""
    step = room - len(head)
    return b"".join(packed(code, head + data[k : k + step]) for k in range(0, len(data), step))


def with_tables(data: bytes, tables: bytes | None) -> bytes:
    """The JPEG of a strip of a TIFF, with the tables that all strips share (tag JPEGTables)."""
    return data[:2] + tables[2:].removesuffix(b"\xff\xd9") + data[2:] if tables else data

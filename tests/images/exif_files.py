"""EXIF blocks that are made byte by byte."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Sequence
from typing import Any

from PIL import Image

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1}
Tag = tuple[int, int, Any]  # number, type, value: numbers, bytes, or a function of the place that makes bytes


def directory(tags: Sequence[Tag], start: int, order: str, following: bytes = b"\0\0\0\0") -> bytes:
    """A directory at `start`, its values behind it."""
    place = start + 2 + 12 * len(tags) + len(following)
    entries, values = struct.pack(order + "H", len(tags)), b""
    for tag, kind, value in tags:
        if callable(value):
            value = value(place + len(values))
        if isinstance(value, bytes):
            data, count = value, len(value)
        else:
            numbers = value if isinstance(value, tuple) else (value,)
            data = struct.pack(f"{order}{len(numbers)}{'H' if kind == 3 else 'I'}", *numbers)
            count = len(numbers) // (2 if kind == 5 else 1)
        if len(data) > 4:
            entries += struct.pack(order + "HHII", tag, kind, count, place + len(values))
            values += data + bytes(len(data) % 2)
        else:
            entries += struct.pack(order + "HHI", tag, kind, count) + data.ljust(4, b"\0")
    return entries + following + values


def canon_note(place: int) -> bytes:
    """A maker note as Canon writes it: offsets from the start of the TIFF, and the note's place at its end."""
    tags = [
        (0x01, 3, (92, *range(45))),
        (0x06, 2, b"Canon EOS 5D".ljust(32, b"\0")),
        (0x09, 2, b"Owner".ljust(32, b"\0")),
    ]
    return directory(tags, place, "<") + b"II*\0" + struct.pack("<I", place)


def thumbnail(size: tuple[int, int], colour: str = "red", quality: int = 90) -> bytes:
    """A JPEG of one colour, padded to the length that a photo would have."""
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "JPEG", quality=quality)
    return file.getvalue().ljust(6000, b"\0")


def block(
    *,
    order: str = "<",
    orientation: int = 1,
    sides: tuple[int, int] = (4000, 3000),
    side_kind: int = 4,
    unit: int = 2,
    resolution: tuple[int, int] = (300, 300),
    note: bytes | Callable[[int], bytes] = b"maker note of 32 bytes, not moved",
    make: bytes = b"Canon\0",
    small: bytes | None = None,
    small_sides: tuple[int, int] = (160, 120),
    cut: int | None = None,
) -> bytes:
    """An EXIF block with all directories: main, Exif, GPS, Interop and, with a `small` picture, the thumbnail's."""
    width, height = sides

    def parts(exif: int, gps: int, interop: int, following: int, data: int) -> list[tuple[int, bytes]]:
        main = directory(
            [
                (0x100, side_kind, width), (0x101, side_kind, height), (0x10F, 2, make), (0x110, 2, b"Model 1\0"),
                (0x112, 3, orientation), (0x11A, 5, (resolution[0], 1)), (0x11B, 5, (resolution[1], 1)),
                (0x128, 3, unit), (0x132, 2, b"2024:05:06 07:08:09\0"), (0x213, 3, 1), (0x4746, 3, 4),
                (0x8769, 4, exif), (0x8825, 4, gps),
            ],
            8, order, struct.pack(order + "I", following),
        )  # fmt: skip
        inner = directory(
            [
                (0x829A, 5, (1, 250)), (0x9000, 7, b"0232"), (0x9003, 2, b"2024:05:06 07:08:09\0"),
                (0x9101, 7, b"\1\2\3\0"), (0x927C, 7, note), (0xA000, 7, b"0100"), (0xA001, 3, 1),
                (0xA002, side_kind, width), (0xA003, side_kind, height), (0xA005, 4, interop),
                (0xA434, 2, b"Lens 50mm\0"),
            ],
            exif, order,
        )  # fmt: skip
        place = directory([(0, 1, b"\2\3\0\0"), (1, 2, b"N\0"), (2, 5, (48, 1, 8, 1, 14, 1))], gps, order)
        shared = directory([(1, 2, b"R98\0"), (0x1001, 4, width), (0x1002, 4, height)], interop, order)
        last = directory(
            [
                (0x100, 3, small_sides[0]), (0x101, 3, small_sides[1]), (0x103, 3, 6), (0x112, 3, orientation),
                (0x11A, 5, (72, 1)), (0x11B, 5, (72, 1)), (0x128, 3, 2),
                (0x201, 4, data), (0x202, 4, len(small or b"")),
            ],
            following, order,
        )  # fmt: skip
        return [(8, main), (exif, inner), (gps, place), (interop, shared), (following, last), (data, small or b"")]

    places = [0, 0, 0, 0, 0]
    for _ in range(2):  # the second time with the right places
        made = parts(*places)
        place, places = 8 + len(made[0][1]), []
        for _, data in made[1:]:
            places.append(place)
            place += len(data)
    if small is None:
        places[3] = 0
    made = parts(*places)
    whole = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", 8)
    whole += b"".join(data for _, data in (made if small is not None else made[:4]))
    return whole[:cut]

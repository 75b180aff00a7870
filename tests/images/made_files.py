"""Pictures, and files of them that are made byte by byte."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from odd_files import profile_of
from PIL import Image, TiffImagePlugin

from restore.images import Picture

SHAPE = (13, 17)
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><a tiff:Orientation=\"6\" note='\xc3\xa9'/></x:xmpmeta>"


def noise(*shape: int, dtype: Any = np.uint8, seed: int = 0) -> np.ndarray:
    """Samples over the whole range of `dtype`."""
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def smooth(channels: int) -> np.ndarray:
    """(64, 96, channels) uint8 that lossy formats change little."""
    y, x = np.mgrid[0:64, 0:96]
    return np.stack([(x * 2 + y * (k + 1)) % 256 // 2 + 40 for k in range(channels)], axis=-1).astype(np.uint8)


def cmyk_profile() -> bytes:
    """A tiny CMYK profile with odd inks: every mixture is mid-grey, paper is white."""

    def tag(kind: bytes, data: bytes) -> bytes:
        data = kind + b"\0\0\0\0" + data
        return data + b"\0" * (-len(data) % 4)

    ramp = bytes(range(256))
    corners = bytearray()
    for corner in range(16):
        corners += bytes((255 if corner == 0 else 128, 128, 128))  # CIELAB
    identity = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    table = bytes((4, 3, 2, 0)) + identity + ramp * 4 + bytes(corners) + ramp * 3
    text = b"\0\0\0\x05test\0" + b"\0" * 78
    parts = {
        b"desc": tag(b"desc", text),
        b"cprt": tag(b"text", b"none\0"),
        b"wtpt": tag(b"XYZ ", struct.pack(">3i", 63190, 65536, 54061)),
        b"A2B0": tag(b"mft1", table),
        b"A2B1": tag(b"mft1", table),
    }
    offset, index, body = 132 + 12 * len(parts), b"", b""
    for name, data in parts.items():
        index += name + struct.pack(">II", offset + len(body), len(data))
        body += data
    head = struct.pack(">I4sI4s4s4s", 0, b"test", 0x02400000, b"prtr", b"CMYK", b"Lab ")
    head += struct.pack(">6H4s", 2020, 1, 1, 0, 0, 0, b"acsp").ljust(44, b"\0")
    head = head[:68] + struct.pack(">3i", 63190, 65536, 54061)
    profile = head.ljust(128, b"\0") + struct.pack(">I", len(parts)) + index + body
    return struct.pack(">I", len(profile)) + profile[4:]


def exif_block(orientation: int = 1, order: str = ">") -> bytes:
    exif = Image.Exif()
    exif.endian = order
    exif[271], exif[306], exif[274] = "Maker", "2024:05:06 07:08:09", orientation
    exif[0x8769] = {0x829A: (1, 250), 0x927C: b"maker note \x00\x01\xff"}
    exif[0x8825] = {1: "N", 2: (48.0, 8.0, 14.0)}
    return exif.tobytes().removeprefix(b"Exif\0\0")


def parsed(exif: bytes | None) -> tuple[Any, ...]:
    assert exif is not None
    tags = Image.Exif()
    tags.load(exif)
    return tags.get(271), tags.get(306), tags.get(274, 1), tags.get_ifd(0x8769), tags.get_ifd(0x8825)


def png_file(array: np.ndarray, colour: int, depth: int = 16, *, before: bytes = b"", after: bytes = b"") -> bytes:
    """A handmade PNG: `before` and `after` are chunks around the pixels; `array` is (H, bytes of a row)."""
    height = len(array)
    width = array.shape[1] if depth == 16 else array.shape[1] * 8 // depth
    rows = b"".join(b"\0" + row.astype(">u2" if depth == 16 else "u1").tobytes() for row in array)
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    signature = b"\x89PNG\r\n\x1a\n"
    data = chunk(b"IDAT", zlib.compress(rows))
    return signature + chunk(b"IHDR", head) + before + data + after + chunk(b"IEND", b"")


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def tiff_file(
    array: np.ndarray,
    *,
    order: bytes = b"II",
    compressed: bool = True,
    photometric: int | None = None,
    extra: int | None = None,
    orientation: int | None = None,
    planar: bool = False,
) -> bytes:
    """A handmade TIFF of (H, W, C) samples."""
    height, width, channels = array.shape
    raw = array.astype(("<" if order == b"II" else ">") + f"u{array.itemsize}")
    planes = [np.ascontiguousarray(raw[..., k]).tobytes() for k in range(channels)] if planar else [raw.tobytes()]
    data = [zlib.compress(plane) if compressed else plane for plane in planes]
    tags: Any = TiffImagePlugin.ImageFileDirectory_v2(prefix=order)
    tags[256], tags[257], tags[258], tags[259] = width, height, (8 * array.itemsize,) * channels, 8 if compressed else 1
    tags[262] = photometric if photometric is not None else 1 if channels < 3 else 2
    tags[277], tags[278], tags[284] = channels, height, 2 if planar else 1
    tags[279] = tuple(len(plane) for plane in data)
    tags[273] = tuple(sum(len(plane) for plane in data[:k]) for k in range(len(data)))
    tags.tagtype[273] = 4
    if extra is not None:
        tags[338] = extra
    if orientation is not None:
        tags[274] = orientation
    file = io.BytesIO()
    tags.save(file)
    return file.getvalue() + b"".join(data)


def assert_same(found: Picture, pixels: np.ndarray, alpha: np.ndarray | None) -> None:
    assert found.pixels.dtype == pixels.dtype
    np.testing.assert_array_equal(found.pixels, pixels)
    assert (found.alpha is None) == (alpha is None)
    if alpha is not None:
        assert found.alpha is not None
        assert found.alpha.dtype == pixels.dtype
        np.testing.assert_array_equal(found.alpha, alpha)


def full_picture(dtype: Any = np.uint8) -> Picture:
    pixels = smooth(3).astype(dtype) * (257 if dtype == np.uint16 else 1)
    return Picture(pixels, None, profile_of("RGB"), exif_block(), XMP, (300.0, 150.0))

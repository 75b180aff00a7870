"""PNG: chunks, 16-bit colours, and writing of 8 and 16 bits in bands."""

from __future__ import annotations

import logging
import struct
import zlib
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
from PIL import PngImagePlugin

from restore.images import pillow
from restore.images.picture import Picture, bands, check_size, contents, interleaved, split, to_16_bits

_TEXT = (b"tEXt", b"zTXt", b"iTXt")
_COLOUR = (b"cICP", b"gAMA", b"cHRM", b"sRGB")
_XMP = b"XML:com.adobe.xmp\0"


def read(file: IO[bytes], picture: Picture, max_pixels: int) -> int:
    """Fills `picture`; returns the orientation still to apply."""
    image: Any = PngImagePlugin.PngImageFile(file)
    check_size(image.size, max_pixels, file)
    if (frames := getattr(image, "n_frames", 1)) > 1:
        picture.note(f"only the first of {frames} pictures in the file is used")
    _take_chunks(file, picture)
    if ";16" in pillow.layout_of(image) and image.mode in ("RGB", "RGBA"):
        _read_late_metadata(image, file)
        picture.pixels, picture.alpha = _decode_16_bit_colour(file)
    else:
        pillow.load(image, picture)
    return pillow.take_metadata(image, picture)


def chunks(file: IO[bytes]) -> Iterator[tuple[bytes, int]]:
    """Name and length of every chunk; `file` stands at its data."""
    position, name = 8, b""
    while name != b"IEND":
        file.seek(position)
        length, name = struct.unpack(">I4s", file.read(8))
        yield name, length
        position += 12 + length


def _take_chunks(file: IO[bytes], picture: Picture) -> None:
    """Sets the text and colour chunks of `picture`. Checks all checksums, because Pillow skips those of the pixels.

    Raises:
        OSError: A checksum is wrong.
        struct.error: The file is incomplete.
    """
    for name, length in chunks(file):
        is_wanted = name in _TEXT or name in _COLOUR
        data, checksum = b"", zlib.crc32(name)
        for start in range(0, length, 1 << 20):
            piece = file.read(min(1 << 20, length - start))
            checksum = zlib.crc32(piece, checksum)
            data += piece if is_wanted else b""
            if not piece:
                break
        if file.read(4) != struct.pack(">I", checksum):
            raise OSError(f"wrong checksum in chunk {name!r}")
        if name in _COLOUR:
            picture.colour[name] = data
        elif is_wanted and not data.startswith((_XMP, b"Raw profile type exif\0")):  # these have their own fields
            picture.text.append((name, data))


def _read_late_metadata(image: Any, file: IO[bytes]) -> None:
    """Reads EXIF and XMP after the pixels into Pillow's `image`, which must not be loaded yet."""
    for name, length in chunks(file):
        if name in (b"eXIf", b"iTXt"):
            image.png.call(name, file.tell(), length)


def _decode_16_bit_colour(file: IO[bytes]) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels and alpha of a 16-bit PNG in RGB(A) or grey+alpha; a transparent colour (tRNS) becomes alpha."""
    import imagecodecs

    logging.getLogger("imagecodecs").setLevel(logging.CRITICAL)  # libpng warns of every interlaced file
    values = imagecodecs.png_decode(contents(file))
    if values.dtype != np.uint16 or values.ndim != 3:
        raise OSError("its 16-bit pixels cannot be decoded")
    return split(values)


def compressor() -> Any:
    """Deflate for differences of pixels. Higher levels take up to 5 times as long and gain nothing on photos."""
    return zlib.compressobj(4, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_FILTERED)


def write(file: IO[bytes], picture: Picture) -> None:
    """Writes PNG 1.2 with iCCP, pHYs, eXIf and iTXt, and cICP of PNG 3, in bands: the picture is not copied.

    Every row uses the filter "average". On photos it is faster and compresses better than a choice per row.
    """

    def chunk(name: bytes, data: bytes) -> None:
        file.write(struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)))

    height, width, channels = picture.pixels.shape
    size = min(picture.pixels.itemsize, 2)
    colour = {1: 0, 3: 2}[channels] + (0 if picture.alpha is None else 4)
    file.write(b"\x89PNG\r\n\x1a\n")
    chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8 * size, colour, 0, 0, 0))
    for name in _COLOUR:
        if name in picture.colour and not (name == b"sRGB" and picture.icc_profile):  # the standard forbids both
            chunk(name, picture.colour[name])
    if picture.icc_profile:
        chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(picture.icc_profile))
    if picture.dpi:
        chunk(b"pHYs", struct.pack(">IIB", *(round(d / 0.0254) for d in picture.dpi), 1))
    if picture.exif:
        chunk(b"eXIf", picture.exif)
    if picture.xmp:
        chunk(b"iTXt", _XMP + b"\0\0\0\0" + picture.xmp)
    if picture.comment:
        chunk(*_comment(picture.comment))
    for name, data in picture.text:
        chunk(name, data)

    bytes_per_pixel = (channels + (picture.alpha is not None)) * size
    above = np.zeros((1, width * bytes_per_pixel), np.uint8)
    deflate = compressor()
    for rows in bands(height, width * bytes_per_pixel):
        values = np.ascontiguousarray(to_16_bits(interleaved(picture, rows)).astype(f">u{size}", copy=False))
        values = values.view(np.uint8).reshape(len(values), -1)
        prediction = np.concatenate([above, values[:-1]]).astype(np.uint16)  # the bytes above, ...
        prediction[:, bytes_per_pixel:] += values[:, :-bytes_per_pixel]  # ... and those of the pixel to the left
        filtered = np.empty((len(values), 1 + values.shape[1]), np.uint8)
        filtered[:, 0] = 3  # "average"
        np.subtract(values, prediction >> 1, out=filtered[:, 1:], casting="unsafe")
        above = values[-1:].copy()
        if data := deflate.compress(filtered.data):
            chunk(b"IDAT", data)
    chunk(b"IDAT", deflate.flush())
    chunk(b"IEND", b"")


def _comment(comment: bytes) -> tuple[bytes, bytes]:
    """The chunk for a JPEG comment: UTF-8, or else Latin-1."""
    try:
        comment.decode("utf-8")
    except UnicodeDecodeError:
        return b"tEXt", b"Comment\0" + comment.replace(b"\0", b"")
    return b"iTXt", b"Comment\0\0\0\0\0" + comment.replace(b"\0", b"")

"""PNG: pixels of 8 and 16 bits, still or animated; written in bands."""

from __future__ import annotations

import dataclasses
import itertools
import logging
import struct
import zlib
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import IO, Any

import numpy as np
from PIL import PngImagePlugin

from restore.images import pillow
from restore.images.animation import Frame, composed, shows_gaps, stop_at_page
from restore.images.picture import (
    Picture,
    Refusal,
    bands,
    check_page,
    check_size,
    contents,
    interleaved,
    limit,
    split,
    to_16_bits,
)
from restore.images.png_chunks import COLOUR, SIGNATURE, XMP, Chunks, chunks, frame_file, packed, raw_profile, survey

_LONGEST = 65_535  # numbers of a frame's duration have 16 bits


def read(file: IO[bytes], picture: Picture, max_pixels: int) -> int:
    """Fills `picture`; returns the orientation still to apply."""
    return stop_at_page(read_frames(file, picture, max_pixels), picture)


def read_frames(file: IO[bytes], picture: Picture, max_pixels: int) -> Iterator[int]:
    """Fills `picture` with one frame after the other; yields the orientation still to apply.

    The frames that are there count, not the number that the file states.
    """
    image: Any = PngImagePlugin.PngImageFile(file)
    check_size(image.size, max_pixels, file)
    found = survey(file, picture)
    check_page(picture, max(1, len(found.frames)))
    picture.page = 1
    if len(found.frames) < 2 and not found.has_own_still:
        picture.pixels, picture.alpha = _decode(image, file, picture)
        yield _take_metadata(image, file, picture)
        return
    picture.loops = int.from_bytes(_plays(file), "big")
    has_alpha = bool(found.header[9] & 4) or any(name == b"tRNS" for name, _ in found.palette)
    has_alpha = has_alpha or shows_gaps(found.frames, *image.size)
    shown = composed(found.frames, image.size, lambda frame: _decode_frame(file, found, frame, picture))
    orientation = 0
    for number, (frame, (pixels, alpha)) in enumerate(zip(found.frames, shown, strict=True), 1):
        picture.pixels, picture.alpha = pixels, alpha if has_alpha else None
        picture.page, picture.duration = number, frame.duration
        if number == 1:
            orientation = _take_metadata(image, file, picture)
        yield orientation


def _plays(file: IO[bytes]) -> bytes:
    """How often the animation is shown, from acTL."""
    for name, _ in chunks(file):
        if name == b"acTL":
            return file.read(8)[4:]
    return b""


def _decode_frame(
    file: IO[bytes], found: Chunks, frame: Frame, picture: Picture
) -> tuple[np.ndarray, np.ndarray | None]:
    alone = frame_file(file, found, frame)
    return _decode(PngImagePlugin.PngImageFile(alone), alone, picture)


def _decode(image: Any, file: IO[bytes], picture: Picture) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels and alpha of the opened `image` of `file`."""
    if ";16" in pillow.layout_of(image) and image.mode in ("RGB", "RGBA"):
        return _decode_16_bit_colour(file)
    layout = pillow.layout_of(image)
    image.load()
    pixels, alpha = pillow.decoded(image, layout, picture)
    if any((row == row[0]).all() for row in pixels[-2:]):  # as Pillow leaves rows that are missing
        _check_length(file)
    return pixels, alpha


_ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
"""Passes of an interlaced PNG: first row and column, steps down and across (PNG specification, 8.1)."""


def _check_length(file: IO[bytes]) -> None:
    """Raises OSError if the compressed pixels end early, of which Pillow says nothing."""
    file.seek(16)
    width, height, depth, colour, _, _, is_interlaced = struct.unpack(">IIBBBBB", file.read(13))
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    missing = 0
    for top, left, down, across in _ADAM7 if is_interlaced else ((0, 0, 1, 1),):
        columns, rows = max(0, -((left - width) // across)), max(0, -((top - height) // down))
        missing += rows * (1 + (columns * bits + 7) // 8) if columns else 0
    inflate = zlib.decompressobj()
    for name, length in chunks(file):
        if name == b"IDAT":
            data = file.read(length)
            while data and missing > 0:
                missing -= len(inflate.decompress(data, 1 << 20))
                data = inflate.unconsumed_tail
    if missing > 0 and len(inflate.flush()) < missing:
        raise OSError("its pixels end early")


def _take_metadata(image: Any, file: IO[bytes], picture: Picture) -> int:
    """Sets the metadata; EXIF and XMP may come after the pixels. Returns the orientation."""
    for name, length in chunks(file):
        if name in (b"eXIf", b"iTXt") and image.png is not None:  # Pillow has not read the pixels
            image.png.call(name, file.tell(), length)
    for kind, data in _raw_profiles(file):
        image.info[kind] = image.info.get(kind) or data
    orientation = pillow.take_metadata(image, picture)
    if orientation >= 5:  # turned by a quarter, a pixel has another shape
        picture.parts = [(n, d[4:8] + d[:4] + d[8:] if n == b"pHYs" else d) for n, d in picture.parts]
    return orientation


def _raw_profiles(file: IO[bytes]) -> Iterator[tuple[str, bytes]]:
    """EXIF and XMP in text chunks, where programs put them before PNG had chunks for them."""
    for name, length in chunks(file):
        if name in (b"tEXt", b"zTXt"):
            kind, data = raw_profile(name, file.read(length))
            if kind:
                yield kind, data


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
    """Writes PNG 1.2 with iCCP, pHYs, eXIf and iTXt, and cICP of PNG 3, in bands: the picture is not copied."""
    file.write(SIGNATURE + packed(b"IHDR", _header(picture)))
    _write_metadata(file, picture)
    for data in _compressed(picture):
        file.write(packed(b"IDAT", data))
    file.write(packed(b"IEND", b""))


def write_frames(file: IO[bytes], frames: Iterable[Picture]) -> None:
    """Writes an animated PNG (PNG 3) of whole frames; one frame is in memory.

    Raises:
        Refusal: Frames differ in size, depth or colours.
    """
    numbers = itertools.count()
    place = count = loops = 0
    header = b""
    for count, frame in enumerate(frames, 1):
        if not header:
            header, loops, has_alpha = _header(frame), frame.loops, frame.alpha is not None
            file.write(SIGNATURE + packed(b"IHDR", header))
            place = file.tell()
            file.write(packed(b"acTL", bytes(8)))  # set at the end
            _write_metadata(file, frame)
        frame = _with_alpha(frame) if has_alpha else _without_alpha(frame)
        if _header(frame) != header:
            raise Refusal("frames of an animated PNG have one size and one kind of pixels", "use .tif")
        # The frame replaces all before it.
        control = (next(numbers), *frame.pixels.shape[1::-1], 0, 0, *_delay(frame.duration), 0, 0)
        file.write(packed(b"fcTL", struct.pack(">IIIIIHHBB", *control)))
        for data in _compressed(frame):
            if count == 1:
                file.write(packed(b"IDAT", data))
            else:
                file.write(packed(b"fdAT", struct.pack(">I", next(numbers)) + data))
        del frame
    file.write(packed(b"IEND", b""))
    file.seek(place)
    file.write(packed(b"acTL", struct.pack(">II", count, min(loops, 2**31 - 1))))


def _with_alpha(frame: Picture) -> Picture:
    if frame.alpha is not None:
        return frame
    white = np.array(limit(frame.pixels.dtype), frame.pixels.dtype)
    return dataclasses.replace(frame, alpha=np.broadcast_to(white, frame.pixels.shape[:2]))


def _without_alpha(frame: Picture) -> Picture:
    if frame.alpha is not None and (frame.alpha < limit(frame.alpha.dtype)).any():
        raise Refusal("later frames are transparent, and the first one is not", "use .webp")
    return dataclasses.replace(frame, alpha=None)


def _delay(duration: float | None) -> tuple[int, int]:
    """Numerator and denominator of a duration in milliseconds.

    >>> _delay(40), _delay(100 / 3), _delay(100_000)
    ((1, 25), (1, 30), (100, 1))
    """
    seconds = Fraction((duration or 0.0) / 1000).limit_denominator(_LONGEST)
    while seconds.numerator > _LONGEST and seconds.denominator > 1:
        seconds = seconds.limit_denominator(max(1, seconds.denominator // 2))
    return min(seconds.numerator, _LONGEST), seconds.denominator


def _header(picture: Picture) -> bytes:
    height, width, channels = picture.pixels.shape
    colour = {1: 0, 3: 2}[channels] + (0 if picture.alpha is None else 4)
    return struct.pack(">IIBBBBB", width, height, 8 * min(picture.pixels.itemsize, 2), colour, 0, 0, 0)


def _write_metadata(file: IO[bytes], picture: Picture) -> None:
    """Writes the chunks that stand before the pixels."""
    written = [
        (name, picture.colour[name])
        for name in COLOUR
        if name in picture.colour and not (name == b"sRGB" and picture.icc_profile)  # the standard forbids both
    ]
    if picture.icc_profile:
        written.append((b"iCCP", b"ICC profile\0\0" + zlib.compress(picture.icc_profile)))
    if picture.dpi:
        written.append((b"pHYs", struct.pack(">IIB", *(round(d / 0.0254) for d in picture.dpi), 1)))
    if picture.source_format == "PNG":
        background = 2 if picture.pixels.shape[2] == 1 else 6
        written += [(n, d) for n, d in picture.parts if n != b"bKGD" or len(d) == background]
    if picture.exif:
        written.append((b"eXIf", picture.exif))
    if picture.xmp:
        written.append((b"iTXt", XMP + b"\0\0\0\0" + picture.xmp))
    if picture.comment:
        written.append(_comment(picture.comment))
    for name, data in (*written, *picture.text):
        file.write(packed(name, data))


def _compressed(picture: Picture) -> Iterator[bytes]:
    """The compressed pixels, in pieces.

    Every row uses the filter "average". On photos it is faster and compresses better than a choice per row.
    """
    height, width, channels = picture.pixels.shape
    size = min(picture.pixels.itemsize, 2)
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
            yield data
    yield deflate.flush()


def _comment(comment: bytes) -> tuple[bytes, bytes]:
    """The chunk for a JPEG comment: UTF-8, or else Latin-1."""
    try:
        comment.decode("utf-8")
    except UnicodeDecodeError:
        return b"tEXt", b"Comment\0" + comment.replace(b"\0", b"")
    return b"iTXt", b"Comment\0\0\0\0\0" + comment.replace(b"\0", b"")

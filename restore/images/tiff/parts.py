"""Decodes the strips and tiles of a TIFF, each into no more space than it should fill; damaged ones are left out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import numpy as np

from restore.images.decoder_errors import words_for
from restore.images.jpeg import pixels as jpeg_pixels
from restore.images.jpeg import segments as jpeg_segments
from restore.images.picture import Picture, Refusal
from restore.images.tiff import inner

_LARGEST_TILE = 2048 * 2048  # pixels; a small picture may lie in a tile of usual size
_ODD_PART = "do not open it if you do not know its source; otherwise save it with deflate or LZW"
_MOST_SHARED = 16  # times the file that its parts may state; empty tiles may share one place
_LZW_STEP = 1 << 17  # bytes; LZW packs up to 2,560 bytes into one
_BATCH = 64  # parts in memory at once


def samples_of(page: Any, picture: Picture, file_size: int, max_pixels: int) -> np.ndarray:
    """The samples (H, W, S) of a page; those of missing parts are 0, and `picture.damage` says so.

    Raises:
        Refusal: A part states far more than the picture.
        OSError: More than half of the picture is missing.
    """
    offsets, counts = list(page.dataoffsets), list(page.databytecounts)
    parts = math.prod(page.chunked)
    if len(offsets) != parts or len(counts) not in (parts, parts - 1) or not parts:
        raise OSError("its parts are not all there")
    counts += [0] * (parts - len(counts))
    if sum(counts) > _MOST_SHARED * file_size + (1 << 20) and not page.compression == 1:
        raise Refusal("its parts are many times larger than the file", _ODD_PART)
    _check_tiles(page, max_pixels)
    planes, height, width = page.shaped[0], page.imagelength, page.imagewidth
    decode = _decoder(page)
    if page.is_contiguous and page.predictor == 1 and sum(counts) <= file_size - min(offsets):
        return _arranged(page.asarray(squeeze=False)[:, 0])  # without a copy
    values = np.zeros((planes, height, width, page.shaped[4]), page.dtype)
    missing, lost, reasons = 0, 0.0, []
    for part in decode(_segments(page, offsets, counts, file_size)):
        plane, top, left, rows, columns, found, reason, share = part
        if reason:
            missing += 1
            lost += rows * columns * share
            reasons.append(reason)
        if found is not None:
            values[plane, top : top + rows, left : left + columns] = found[:rows, :columns]
    if missing:
        if 2 * lost > planes * height * width:
            raise OSError(f"{missing:,} of its {parts:,} parts are missing or damaged: {reasons[0]}")
        picture.damage = f"{missing:,} of {parts:,} strips or tiles are missing or damaged: {reasons[0]}"
    return _arranged(values)


def _arranged(values: np.ndarray) -> np.ndarray:
    """(planes, H, W, S of a plane) as (H, W, S)."""
    samples: np.ndarray = np.moveaxis(values[..., 0], 0, -1) if len(values) > 1 else values[0]
    return samples


def _segments(page: Any, offsets: list[int], counts: list[int], file_size: int) -> Iterator[tuple[int, bytes | None]]:
    """Number and bytes of each part, in order; None where nothing of it lies in the file."""
    file = page.parent.filehandle
    for number, (offset, count) in enumerate(zip(offsets, counts, strict=True)):
        if not count or not 0 < offset < file_size:
            yield number, None
            continue
        file.seek(offset)
        yield number, file.read(min(count, file_size - offset))


def _decoder(page: Any) -> Callable[[Iterator[tuple[int, bytes | None]]], Iterator[tuple[Any, ...]]]:
    """A function from parts to: plane, top, left, rows, columns, values (rows or more, columns or more, S), and why
    they are damaged, and how much of them is. Values of None are missing."""
    compression, order = int(page.compression), page.fillorder
    limits, workers = _limits(page), page.maxworkers
    jpeg = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader} if compression == 7 else {}
    if compression in _PACKED:
        # tifffile then unpacks and undoes the differences of what is decoded here.
        page.compression, page.fillorder = 1, 1
    decode = page.decode
    shape = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
    height, width = page.imagelength, page.imagewidth

    def one(part: tuple[int, bytes | None]) -> tuple[Any, ...]:
        number, data = part
        _, (plane, _, top, left, _), _ = decode(None, number)
        rows, columns = min(shape[0], height - top), min(shape[1], width - left)
        place = plane, top, left, rows, columns
        if data is None:
            return *place, None, "the file ends before them", 1.0
        try:
            _check_part(compression, data, limits)
            if compression in _PACKED:
                data = _unpacked(compression, data, limits[1] * limits[3], order)
            reason, share, size = None, 0.0, rows * limits[3]
            if compression == 1 and not page.is_tiled and len(data) < size:
                reason, share = "they are cut short", 1 - len(data) / size
                data += bytes(size - len(data))
            found, _, _ = decode(data, number, **jpeg)
            if jpeg and page.bitspersample == 8 and _is_plain_jpeg(data):
                reason = jpeg_pixels.warning_of(data, page.jpegtables)
            return *place, found[0], reason, share
        except (Refusal, MemoryError):
            raise
        except Exception as error:  # the decoders raise errors of any type
            return *place, None, words_for(error), 1.0

    def every(parts: Iterator[tuple[int, bytes | None]]) -> Iterator[tuple[Any, ...]]:
        if workers < 2:
            yield from map(one, parts)
            return
        with ThreadPoolExecutor(workers) as pool:
            while some := list(islice(parts, _BATCH)):
                yield from pool.map(one, some)

    return every


def _is_plain_jpeg(data: bytes) -> bool:
    """Whether it is one that TurboJPEG decodes: baseline, sequential or progressive, not lossless."""
    return any(code in (0xC0, 0xC1, 0xC2) for code, _ in jpeg_segments.markers(data))


def _limits(page: Any) -> tuple[int, int, int, int]:
    """The most columns, rows and samples of a part, and the bytes of a row of it."""
    height, width = page.imagelength, page.imagewidth
    if page.is_tiled:
        height, width = page.tilelength, page.tilewidth
    elif page.rowsperstrip:
        height = min(height, page.rowsperstrip)
    planes = 1 if page.planarconfig == 2 else page.samplesperpixel
    return width, height, planes, (width * planes * page.bitspersample + 7) // 8


def _check_tiles(page: Any, max_pixels: int) -> None:
    """Raises Refusal if a tile would be far larger than the picture. No decoder checks that."""
    if page.is_tiled:
        height, width = page.tilelength, page.tilewidth
        if height * width > min(max_pixels, max(_LARGEST_TILE, 4 * page.imagelength * page.imagewidth)):
            raise Refusal(f"its tiles have {width} x {height} pixels, more than the picture", _ODD_PART)


def _check_part(compression: int, data: bytes, limits: tuple[int, int, int, int]) -> None:
    """Raises Refusal if a picture inside a strip or tile is larger than the part."""
    if compression not in inner.SIZED:
        return
    width, height, planes, _ = limits
    columns, rows, samples = inner.stated_size(compression, data)
    if columns > width or rows > height:
        raise Refusal(f"a part of {width} x {height} pixels holds a picture of {columns} x {rows}", _ODD_PART)
    if samples > planes:
        raise Refusal(f"a part of {planes} channels holds a picture of {samples}", _ODD_PART)


_PACKED = {5: "lzw", 8: "deflate", 32946: "deflate", 32773: "packbits", 34925: "lzma", 50000: "zstd"}
"""Compressions of plain bytes -> decoder."""


def _unpacked(compression: int, data: bytes, size: int, order: int) -> bytes:
    """At most `size` decoded bytes."""
    import imagecodecs

    if order == 2:
        data = bytes(imagecodecs.bitorder_decode(data))
    if compression == 5:
        return _lzw(data, size)
    decoded: bytes = getattr(imagecodecs, f"{_PACKED[compression]}_decode")(data, out=size)
    return decoded


def _lzw(data: bytes, size: int) -> bytes:
    """Decodes ever longer starts of `data`, until there are `size` bytes or all.

    The decoder crashes on some damaged data if it is given space to fill. Without, it raises, but fills any space.
    """
    import imagecodecs

    length = _LZW_STEP
    while length < len(data):
        decoded = bytes(imagecodecs.lzw_decode(data[:length]))
        if len(decoded) >= size:
            return decoded[:size]
        length *= 4
    return bytes(imagecodecs.lzw_decode(data)[:size])

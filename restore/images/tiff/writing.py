"""Writing TIFF: deflated strips, one directory per page, and BigTIFF where the file would end beyond 4 GB."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from itertools import accumulate
from typing import IO, Any

import numpy as np
from PIL import Image, TiffImagePlugin

from restore.images import metadata
from restore.images.picture import Picture, Refusal, bands, interleaved
from restore.images.png import compressor
from restore.images.tiff import maker_notes
from restore.images.tiff import tags as tiff_tags

_LARGEST = 4_100_000_000  # bytes of pixels; below this, a file with its metadata ends before 4 GB


def write(file: IO[bytes], picture: Picture) -> None:
    """Writes a TIFF of one picture, as `write_pages` does."""
    _write(file, [picture], 1)


def write_pages(file: IO[bytes], pages: Iterable[Picture]) -> None:
    """Writes TIFF 6.0, or BigTIFF above 4 GB: little-endian, directories before their deflated strips.

    Integers are stored as horizontal differences, floats as differences of their bytes (Adobe's TIFF Technical
    Note 3). Only one page is in memory at a time. The size of the first and its number of pages (`Picture.pages`)
    decide whether the file is a BigTIFF.

    Raises:
        Refusal: Later pages are so large that the file would end beyond 4 GB after all.
    """
    _write(file, pages, None)


def _write(file: IO[bytes], pages: Iterable[Picture], count: int | None) -> None:
    is_big, link, number = False, 0, 0
    for number, picture in enumerate(pages):
        if count is None:
            count = picture.pages
        if number == 0:
            is_big = _size(picture) * count > _LARGEST
            file.write(_head(is_big))
            link = len(_head(is_big)) - (8 if is_big else 4)  # place of the offset of the next directory
        start = file.seek(0, 2)
        start += file.write(bytes(start % 2))  # a directory starts at an even place
        start, pinned = (start, None) if is_big else maker_notes.pin(file, picture.exif, start)
        if not is_big and start + _size(picture) > _LARGEST and number:
            raise Refusal("its later pages make it longer than 4 GB", "write fewer pages to a file")
        file.seek(link)
        file.write(struct.pack("<Q" if is_big else "<I", start))
        link = _write_page(file, picture, start, is_big, (number, count), pinned)
    if not number and count is None:
        raise ValueError("a TIFF needs at least one page")


def _size(picture: Picture) -> int:
    channels: int = picture.pixels.shape[2] + (picture.alpha is not None) + len(picture.extra_kinds)
    return picture.pixels[..., 0].nbytes * channels


def _head(is_big: bool) -> bytes:
    """The start of a file, up to and with the offset of its first directory."""
    return b"II+\0\x08" + bytes(11) if is_big else b"II*\0" + bytes(4)


def _write_page(
    file: IO[bytes], picture: Picture, start: int, is_big: bool, place: tuple[int, int], pinned: int | None
) -> int:
    """Writes directory and strips at `start`; returns the place of the offset of the next directory.

    `pinned` is the place of a maker note that is written already.
    """
    height = len(picture.pixels)
    tiff_tags.note_voided(picture)
    strips = list(bands(height, _size(picture) // height))
    zeros, exif = (0,) * len(strips), _exif_tags(picture)
    if pinned is not None:
        exif = maker_notes.stood_in(exif)
    try:
        packed = _directory(picture, strips, zeros, zeros, exif, is_big, place).tobytes(start)
    except Exception:  # on odd EXIF Pillow raises errors of any type
        picture.note("TIFF could not take this EXIF; it is dropped")
        exif = {}
        packed = _directory(picture, strips, zeros, zeros, exif, is_big, place).tobytes(start)
    file.seek(start + len(packed))
    counts = []
    for rows in strips:
        deflate = compressor()
        strip = _differences(_samples(picture, rows))
        counts.append(file.write(deflate.compress(strip)) + file.write(deflate.flush()))
    file.seek(start)
    # Offsets count from the end of the directory; Pillow adds its position.
    offsets = tuple(accumulate(counts[:-1], initial=0))
    directory = _directory(picture, strips, offsets, tuple(counts), exif, is_big, place)
    file.write(maker_notes.fitted(directory.tobytes(start), start, is_big, pinned, picture))
    tags: int = len(directory)
    return start + (8 + 20 * tags if is_big else 2 + 12 * tags)


def _samples(picture: Picture, rows: slice) -> np.ndarray:
    """The colours of a band, then its transparency, then its further channels."""
    values = interleaved(picture, rows)
    return values if picture.extra is None else np.concatenate([values, picture.extra[rows]], axis=2)


def _exif_tags(picture: Picture) -> dict[int, Any]:
    if not picture.exif:
        return {}
    try:
        exif = Image.Exif()
        exif.load(picture.exif)
        return metadata.descriptive(exif)
    except Exception:  # on odd EXIF Pillow raises errors of any type
        picture.note("TIFF could not take this EXIF; it is dropped")
        return {}


def _directory(
    picture: Picture,
    strips: list[slice],
    offsets: tuple[int, ...],
    counts: tuple[int, ...],
    exif: dict[int, Any],
    is_big: bool,
    place: tuple[int, int],
) -> Any:
    """The tags of a page. Its packed length depends neither on `offsets` nor on `counts`."""
    height, width, channels = picture.pixels.shape
    size, is_float = picture.pixels.itemsize, picture.pixels.dtype.kind == "f"
    kinds = (() if picture.alpha is None else (2,)) + picture.extra_kinds  # 2: not premultiplied
    samples = channels + len(kinds)
    tags: Any = TiffImagePlugin.ImageFileDirectory_v2(_head(is_big))
    for tag, (kind, values) in tiff_tags.kept(picture).items():
        tags.tagtype[tag] = kind
        tags[tag] = values
    number, count = place
    for tag, value in exif.items():
        if tag == 270 and tiff_tags.describes_other_file(value, picture, count):
            if not str(value).startswith(("{", "shape=")):  # tifffile's, which states nothing else
                picture.note("the description states the layout of the source (ImageJ, OME); it is dropped")
        else:
            tags[tag] = value
    if count > 1:
        tags[254], tags[297] = 2, (number, count)  # one page of many
        tags.tagtype[254] = 4
    tags[256], tags[257], tags[258], tags[259] = width, height, (8 * size,) * samples, 8  # 8 is deflate
    tags[262], tags[274], tags[277], tags[278] = 2 if channels == 3 else 1, 1, samples, strips[0].stop
    tags[284], tags[317] = 1, 3 if is_float else 2  # interleaved samples, differences
    if kinds:
        tags[338] = kinds
    if is_float:
        tags[339] = (3,) * samples
    if picture.dpi:
        tags[282], tags[283], tags[296] = *picture.dpi, 2
    elif 296 not in tags:
        tags[296] = 1  # no unit; without the tag, readers take 1 pixel per inch
    if picture.xmp:
        tags[700] = picture.xmp
    if profile := metadata.profile_for(picture):
        tags[34675] = profile
    for tag, values in ((273, offsets), (279, counts)):
        tags[tag] = values
        tags.tagtype[tag] = 16 if is_big else 4  # always LONG8 or LONG, so that the directory keeps its length
    return tags


def _differences(values: np.ndarray) -> bytes:
    """The bytes of a strip (H, W, S) to compress: its differences."""
    if values.dtype.kind == "f":
        import imagecodecs

        return bytes(imagecodecs.floatpred_encode(np.ascontiguousarray(values.astype("<f4", copy=False)), axis=-2))
    values = values.astype(f"<u{values.itemsize}")
    values[:, 1:] -= values[:, :-1].copy()
    return values.tobytes()

"""Reading: finds the format of a file and decodes with the module of the format."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np
from PIL import Image

from restore.errors import PictureError
from restore.images import bmp, gif, heif, jpeg, jpeg2000, jpeg_xl, kinds, metadata, png, raw, tiff, webp
from restore.images.decoder_errors import words_for
from restore.images.picture import MAX_PIXELS, RAW_SUFFIXES, Picture, Refusal, check_page


def read_picture(source: Path | BinaryIO, *, page: int | None = None, max_pixels: int = MAX_PIXELS) -> Picture:
    """Reads a picture; the content decides the format, not the extension.

    Palette pictures become RGB, 1-bit ones grey, CMYK becomes sRGB (through its own profile if it has one). Streams
    and named pipes are read to their end. Peak memory is about 2.4 times the decoded picture (docs/formats.md).

    Args:
        source: A file, or a stream.
        page: Number of the page or frame, from 1; a frame is shown as in its animation. None: the first, and a note
            if there are more.
        max_pixels: Most pixels of a picture.

    Raises:
        PictureError: The file is missing, empty, a folder, damaged, or not a picture, or has no such `page`. Or its
            pixels cannot be kept (32-bit integers, NaN), its decoder is not installed, or it has more than
            `max_pixels` pixels.
    """
    with _opened(source) as (file, path), _named(path):
        picture = _read(file, path.suffix.lower(), 1 if page is None else page, max_pixels)
    if page is None and picture.pages > 1:
        picture.note(f"only the first of {picture.pages} pictures in the file is used")
    return picture


def read_pages(source: Path | BinaryIO, *, max_pixels: int = MAX_PIXELS) -> Iterator[Picture]:
    """Reads the pages of a TIFF or the frames of an animation one by one; of other files the first picture.

    Frames are whole pictures, as they are shown. The file is open until the last; two pages are in memory at most.

    Args:
        source: A file, or a stream.
        max_pixels: Most pixels of a page.

    Raises:
        PictureError: As `read_picture`, at the page that cannot be read.
    """
    with _opened(source) as (file, path), _named(path):
        suffix = path.suffix.lower()
        kind = _kind_of_file(file, suffix)
        if frames := _FRAMES.get(kind):
            picture = Picture(np.empty(0), source_format=kind)
            for orientation in frames(file, picture, max_pixels):
                yield _upright(dataclasses.replace(picture, notes=list(picture.notes)), orientation)
            return
        if kind == "TIFF":
            for picture, orientation in tiff.read_pages(file, max_pixels):
                yield _upright(picture, orientation)
            return
        picture = _read(file, suffix, 1, max_pixels)
        if picture.pages > 1:
            picture.note(f"only the first of {picture.pages} pictures in the file is used")
            picture.pages = 1
        yield picture


@contextmanager
def _opened(source: Path | BinaryIO) -> Iterator[tuple[IO[bytes], Path]]:
    """A file that can seek, and its name in messages."""
    if not isinstance(source, Path):
        yield io.BytesIO(source.read()), Path("standard input")
        return
    if source.is_dir():
        raise PictureError(f"cannot read {source}: it is a folder", hint="name a picture file")
    try:
        file = source.open("rb")
    except FileNotFoundError as error:
        raise PictureError(f"cannot read {source}: no such file", hint="check the spelling") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or "its name is no file's"
        raise PictureError(f"cannot read {source}: {reason}", hint="check the file's permissions") from error
    with file:
        # A named pipe, such as the shell's <(...), cannot seek.
        yield (file if file.seekable() else io.BytesIO(file.read())), source


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turns errors of decoders into a PictureError that names the file."""
    try:
        yield
    except Refusal as refusal:
        raise PictureError(f"cannot read {path}: {refusal.reason}", hint=refusal.hint) from None
    except (MemoryError, Image.DecompressionBombError) as error:
        raise PictureError(
            f"cannot read {path}: decoding it needs too much memory", hint="scale it down or split it first"
        ) from error
    except Exception as error:  # On damaged files the parsers raise errors of any type.
        raise PictureError(
            f"cannot read {path}: the file is damaged or incomplete ({words_for(error)})",
            hint="copy or download it again, or open it in an image editor and save it",
        ) from error


def _read(file: IO[bytes], suffix: str, page: int, max_pixels: int) -> Picture:
    kind = _kind_of_file(file, suffix)
    picture = Picture(np.empty(0), source_format=kind, page=page)
    orientation = _READERS[kind](file, picture, max_pixels)
    check_page(picture, picture.pages)  # not every reader looks at the number
    return _upright(picture, orientation)


def _kind_of_file(file: IO[bytes], suffix: str) -> str:
    file.seek(0)
    head = file.read(kinds.HEAD)
    file.seek(0)
    kind = kinds.kind_of(head, suffix)
    if kind == "TIFF" and (suffix in RAW_SUFFIXES or raw.is_raw_tiff(file)):
        kind = "RAW"
    file.seek(0)
    return kind


def _upright(picture: Picture, orientation: int) -> Picture:
    if orientation > 1:
        picture.pixels = metadata.upright(picture.pixels, orientation)
        picture.alpha = None if picture.alpha is None else metadata.upright(picture.alpha, orientation)
        picture.extra = None if picture.extra is None else metadata.upright(picture.extra, orientation)
    if orientation > 4 and picture.dpi:  # rows and columns change places
        picture.dpi = picture.dpi[1], picture.dpi[0]
    return picture


_READERS: dict[str, Callable[[IO[bytes], Picture, int], int]] = {
    "PNG": png.read,
    "JPEG": jpeg.read,
    "WEBP": webp.read,
    "TIFF": tiff.read,
    "BMP": bmp.read,
    "JP2": jpeg2000.read,
    "J2K": jpeg2000.read,
    "JXL": jpeg_xl.read,
    "AVIF": heif.read_avif,
    "HEIC": heif.read,
    "RAW": raw.read,
    "GIF": gif.read,
}
"""Format -> function that fills a picture and returns the orientation (EXIF) still to apply; 0 or 1 for none."""

_FRAMES: dict[str, Callable[[IO[bytes], Picture, int], Iterator[int]]] = {
    "PNG": png.read_frames,
    "WEBP": webp.read_frames,
    "GIF": gif.read_frames,
}
"""Format -> generator that fills the same picture with one frame after the other, and yields their orientation."""

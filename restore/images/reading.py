"""Reading: finds the format of a file and decodes with the module of the format."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np
from PIL import Image

from restore.errors import PictureError
from restore.images import bmp, heif, jpeg, jpeg2000, metadata, png, raw, tiff, webp
from restore.images.picture import MAX_PIXELS, RAW_SUFFIXES, Picture, Refusal

_READABLE = "PNG, JPEG, WebP, TIFF, BMP, JPEG 2000, AVIF, HEIC or camera RAW"


def read_picture(source: Path | BinaryIO, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Reads a picture; the content decides the format, not the extension.

    Palette pictures become RGB, 1-bit ones grey, CMYK becomes sRGB (through its own profile if it has one). Of several
    pages or frames, only the first is read. Streams and named pipes are read to their end. Peak memory is about 2.4
    times the decoded picture (docs/formats.md).

    Raises:
        PictureError: The file is missing, empty, a folder, damaged, or not a picture. Or its pixels cannot be kept
            (32-bit integers, NaN), its decoder is not installed, or it has more than `max_pixels` pixels.
    """
    if not isinstance(source, Path):
        return _read_file(io.BytesIO(source.read()), Path("standard input"), max_pixels)
    if source.is_dir():
        raise PictureError(f"cannot read {source}: it is a folder", hint="name a picture file")
    try:
        file = source.open("rb")
    except FileNotFoundError as error:
        raise PictureError(f"cannot read {source}: no such file", hint="check the spelling") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise PictureError(f"cannot read {source}: {reason}", hint="check the file's permissions") from error
    with file:
        # A named pipe, such as the shell's <(...), cannot seek.
        return _read_file(file if file.seekable() else io.BytesIO(file.read()), source, max_pixels)


def _read_file(file: IO[bytes], path: Path, max_pixels: int) -> Picture:
    try:
        return _read(file, path.suffix.lower(), max_pixels)
    except Refusal as refusal:
        raise PictureError(f"cannot read {path}: {refusal.reason}", hint=refusal.hint) from None
    except (MemoryError, Image.DecompressionBombError) as error:
        raise PictureError(
            f"cannot read {path}: decoding it needs too much memory", hint="scale it down or split it first"
        ) from error
    except Exception as error:  # On damaged files the parsers raise errors of any type.
        raise PictureError(
            f"cannot read {path}: the file is damaged or incomplete ({error})",
            hint="copy or download it again, or open it in an image editor and save it",
        ) from error


def _read(file: IO[bytes], suffix: str, max_pixels: int) -> Picture:
    head = file.read(64)
    file.seek(0)
    kind = _kind_of(head, suffix)
    if kind == "TIFF" and (suffix in RAW_SUFFIXES or raw.is_raw_tiff(file)):
        kind = "RAW"
    file.seek(0)
    picture = Picture(np.empty(0), source_format=kind)
    orientation = _READERS[kind](file, picture, max_pixels)
    if orientation > 1:
        picture.pixels = metadata.upright(picture.pixels, orientation)
        picture.alpha = None if picture.alpha is None else metadata.upright(picture.alpha, orientation)
        picture.extra = None if picture.extra is None else metadata.upright(picture.extra, orientation)
    return picture


_READERS: dict[str, Callable[[IO[bytes], Picture, int], int]] = {
    "PNG": png.read,
    "JPEG": jpeg.read,
    "WEBP": webp.read,
    "TIFF": tiff.read,
    "BMP": bmp.read,
    "JP2": jpeg2000.read,
    "J2K": jpeg2000.read,
    "AVIF": heif.read_avif,
    "HEIC": heif.read,
    "RAW": raw.read,
}
"""Format -> function that fills a picture and returns the orientation (EXIF) still to apply; 0 or 1 for none."""


def _kind_of(head: bytes, suffix: str) -> str:
    if not head:
        raise Refusal("the file is empty", "copy or download it again")
    for start, kind in (
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"\xff\xd8\xff", "JPEG"),
        (b"BM", "BMP"),
        (jpeg2000.SIGNATURE, "JP2"),
        (jpeg2000.STREAM, "J2K"),
    ):
        if head.startswith(start):
            return kind
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WEBP"
    if raw.is_raw(head):
        return "RAW"
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    if kind_of_boxes := heif.kind_of(head):
        return kind_of_boxes
    if suffix in RAW_SUFFIXES:
        return "RAW"
    raise Refusal("it is not a picture in a known format", f"use {_READABLE}; the name does not matter")

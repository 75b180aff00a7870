"""Writing a picture: checks that it fits the format, and encodes with the module of the format."""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np

from restore.errors import PictureError
from restore.files import whole_file
from restore.images import bmp, heif, jpeg, jpeg2000, jpeg_xl, metadata, png, tiff, webp
from restore.images.background import WITHOUT_ALPHA, flattened, is_opaque, parse_background
from restore.images.jpeg import inventory as jpeg_metadata
from restore.images.metadata.exif import agreeing as agreeing_exif
from restore.images.metadata.exif import states_resolution
from restore.images.metadata.xmp import agreeing as agreeing_xmp
from restore.images.picture import FORMATS, NAMES, Picture, Refusal
from restore.images.tiff import tags as tiff_tags

# Pixels; limits of the formats. AVIF: limit of libavif's readers. HEIC: just below HEVC level 6.2.
_LONGEST_SIDE = {"JPEG": 65_500, "WEBP": 16_383, "AVIF": 32_768, "HEIC": 16_384}
_MOST_AVIF_PIXELS = 1 << 28  # limit of libavif's readers
_LONGEST_THIN_HEIC = 4_216  # pixels; x265 refuses longer pictures whose other side is under 32
_EIGHT_BITS = ("JPEG", "WEBP", "BMP", "AVIF")
_NOT_HELD = {  # fields that a format cannot store, and their names in notes
    "PNG": {"iptc": "IPTC"},
    "JPEG": {"text": "PNG text"},
    "WEBP": {"iptc": "IPTC", "dpi": "resolution", "comment": "comment", "text": "PNG text"},
    "TIFF": {"comment": "comment", "text": "PNG text"},
    "BMP": {
        "icc_profile": "colour profile",
        "exif": "EXIF",
        "xmp": "XMP",
        "iptc": "IPTC",
        "comment": "comment",
        "text": "PNG text",
    },
    "JP2": {"iptc": "IPTC", "comment": "comment", "text": "PNG text"},
    "AVIF": {"iptc": "IPTC", "dpi": "resolution", "comment": "comment", "text": "PNG text"},
    "JXL": {"iptc": "IPTC", "dpi": "resolution", "comment": "comment", "text": "PNG text"},
}
_NOT_HELD["HEIC"] = _NOT_HELD["AVIF"]
_NOT_HELD["J2K"] = _NOT_HELD["BMP"] | {"dpi": "resolution"}
_EXTRA = {"extra_kinds": "further channels"}  # which only TIFF holds


def check_output(
    path: Path, picture: Picture | None = None, *, format: str | None = None, overwrite: bool = True
) -> str:
    """Checks an output before the work starts; returns its format ("PNG", ...).

    The format is `format`; if that is None, the extension decides.

    Raises:
        PictureError: The extension is not a format to write, `path` is a folder, or its folder does not exist. Or it
            exists and `overwrite` is False. Or the format cannot hold `picture`, or its encoder is not installed.
    """
    name = format or FORMATS.get(path.suffix.lower())
    if name is None:
        shown = f"the extension {path.suffix} is unknown" if path.suffix else "its name has no extension"
        raise PictureError(f"cannot write {path}: {shown}", hint=f"use one of {', '.join(FORMATS)}")
    if path.is_dir():
        raise PictureError(f"cannot write {path}: it is a folder", hint="name a file in it")
    if not overwrite and os.path.lexists(path):
        raise _taken(path) from FileExistsError()
    if not path.parent.is_dir():
        raise PictureError(
            f"cannot write {path}: the folder {path.parent} does not exist", hint=f"mkdir -p '{path.parent}'"
        )
    try:
        _check_fits(name, picture)
    except Refusal as refusal:
        raise PictureError(f"cannot write {path}: {refusal.reason}", hint=refusal.hint) from None
    return name


def _check_fits(name: str, picture: Picture | None) -> None:
    """Raises Refusal if the format cannot hold the picture, or its encoder is not installed."""
    if name == "HEIC":
        heif.check_encoder()
    if picture is None:
        return
    height, width = picture.pixels.shape[:2]
    if name in WITHOUT_ALPHA and picture.background is None and not is_opaque(picture):
        raise Refusal(
            f"{name} cannot hold the picture's transparency", "use --background white, or .png, .webp or .tif"
        )
    if max(height, width) > _LONGEST_SIDE.get(name, 1 << 31):
        raise Refusal(
            f"{NAMES.get(name, name)} holds at most {_LONGEST_SIDE[name]} pixels a side, not {width} x {height}",
            "use .png or .tif",
        )
    if name == "HEIC" and min(height, width) < 32 and max(height, width) > _LONGEST_THIN_HEIC:
        raise Refusal(
            f"HEIC holds at most {_LONGEST_THIN_HEIC} pixels a side in pictures thinner than 32 pixels",
            "use .png or .tif",
        )
    if name == "AVIF" and height * width > _MOST_AVIF_PIXELS:
        raise Refusal(f"AVIF holds at most {_MOST_AVIF_PIXELS:,} pixels", "use .png or .tif")
    if name == "BMP" and 4 * height * width > 4.1e9:
        raise Refusal("BMP files end at 4 GB", "use .png")


def write_picture(
    picture: Picture,
    target: Path | BinaryIO,
    *,
    format: str | None = None,
    quality: int | None = None,
    overwrite: bool = True,
    rights: int | None = None,
    background: str | None = None,
) -> None:
    """Writes a complete file or none (`files.whole_file`); a stream gets bytes only when all are ready.

    docs/formats.md says what each format keeps. Losses go to `picture.notes`: 16 bits in an 8-bit format, metadata
    that does not fit.

    Args:
        format: One of the values of `FORMATS`; None: the extension of `target` decides. A stream needs one.
        quality: 1..100, for lossy formats. None: `DEFAULT_QUALITY`, or the source JPEG's if that was finer (JPEG from
            JPEG: the source's, at least 90). WebP and JPEG 2000 are lossless if the source was. Lossless formats
            ignore it.
        overwrite: Replace a file that exists.
        rights: As for `files.whole_file`.
        background: `white`, `black` or `#rrggbb`, put under transparency where the format has none (JPEG). None is the
            picture's own `background`. Without both, only a picture without a transparent pixel can be written there.

    Raises:
        UsageError: `background` is not a colour.
        PictureError: As `check_output`, or the file cannot be written, or it exists and `overwrite` is False.
        ValueError: `quality` is out of range, a stream has no format, or the arrays of `picture` have a wrong shape or
            type.
    """
    _check_arrays(picture)
    if background is not None:
        parse_background(background)
        picture = dataclasses.replace(picture, background=background)
    with _opened(target, picture, format, quality, overwrite, rights) as (file, name):
        _write(file, _prepared(picture, name), name, quality)


def write_pages(
    pages: Iterable[Picture],
    target: Path | BinaryIO,
    *,
    format: str | None = None,
    quality: int | None = None,
    overwrite: bool = True,
    rights: int | None = None,
) -> None:
    """Writes pages to a TIFF, or the frames of an animation to a TIFF, PNG or WebP, each as soon as it is there.

    Otherwise as `write_picture`. The first page brings the metadata of the file, except in TIFF, whose pages each have
    their own.

    Args:
        pages: At least one; the first tells their number in `Picture.pages`.
        target, format, quality, overwrite, rights: As for `write_picture`.

    Raises:
        PictureError: As `write_picture`, or the format holds one picture and there are several, or cannot hold a page.
        ValueError: As `write_picture`, or there is no page.
    """
    rest = iter(pages)
    first = next(rest, None)
    if first is None:
        raise ValueError("there is no page to write")
    _check_arrays(first)
    known = format or (FORMATS.get(target.suffix.lower()) if isinstance(target, Path) else None)
    if known is not None and not holds_pages(known, first):
        shown = target if isinstance(target, Path) else NAMES.get(known, known)
        raise PictureError(f"{shown} holds one picture, and there are {first.pages}", hint="write one, or .tif")
    with _opened(target, first, format, quality, overwrite, rights) as (file, name):
        is_single = first.pages == 1
        ready = _each_prepared(first, rest, name)
        del first  # it may be large
        if is_single:
            (only,) = ready
            _write(file, only, name, quality)
        elif name == "TIFF":
            tiff.write_pages(file, ready)
        elif name == "PNG":
            png.write_frames(file, ready)
        else:
            webp.write_frames(file, ready, quality)


def holds_pages(format: str, picture: Picture) -> bool:
    """Whether a file of the format can hold all pages of the file that `picture` comes from.

    TIFF holds any pages, PNG and WebP the frames of an animation.
    """
    is_animation = picture.duration is not None
    return picture.pages == 1 or format == "TIFF" or (format in ("PNG", "WEBP") and is_animation)


def _each_prepared(first: Picture, rest: Iterator[Picture], name: str) -> Iterator[Picture]:
    if name == "TIFF" and first.duration is not None:
        first.note("TIFF has no place for the delays of an animation; dropped")
    yield _prepared(first, name)
    del first
    for page in rest:
        _check_arrays(page)
        _check_fits(name, page)
        yield _prepared(page, name)


@contextmanager
def _opened(
    target: Path | BinaryIO,
    picture: Picture,
    format: str | None,
    quality: int | None,
    overwrite: bool,
    rights: int | None,
) -> Iterator[tuple[IO[bytes], str]]:
    """A file to write and its format. At the end it becomes the target; after an error it is gone."""
    if quality is not None and not 1 <= quality <= 100:
        raise ValueError(f"quality must lie in 1..100, not {quality}")
    if format is not None and format not in FORMATS.values():
        raise ValueError(f"the format must be one of {', '.join(sorted(set(FORMATS.values())))}, not {format}")
    shown = target if isinstance(target, Path) else "to the stream"
    try:
        if isinstance(target, Path):
            name = check_output(target, picture, format=format, overwrite=overwrite)
            del picture  # it may be large
            whole = whole_file(target, replace=overwrite, rights=rights)
            with whole as temporary, temporary.open("xb" if rights is None else "wb") as file:
                yield file, name
        elif format is None:
            raise ValueError("a stream needs a format")
        else:
            _check_fits(format, picture)
            del picture
            with tempfile.TemporaryFile() as file:
                yield file, format
                file.seek(0)
                shutil.copyfileobj(file, target)
    except Refusal as refusal:
        raise PictureError(f"cannot write {shown}: {refusal.reason}", hint=refusal.hint) from None
    except FileExistsError as error:
        raise _taken(shown) from error
    except OSError as error:
        hint = "check the folder's permissions and free space" if isinstance(target, Path) else None
        raise PictureError(f"cannot write {shown}: {error.strerror or error}", hint=hint) from error


def _taken(shown: object) -> PictureError:
    return PictureError(
        f"cannot write {shown}: it already exists", hint="use another -o, --skip-existing, or --overwrite"
    )


def _check_arrays(picture: Picture) -> None:
    pixels, alpha = picture.pixels, picture.alpha
    is_known = pixels.dtype in (np.uint8, np.uint16, np.float32)
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or not is_known or not pixels.size:
        raise ValueError(f"pixels must be (H, W, 1 or 3) uint8, uint16 or float32, not {pixels.shape} {pixels.dtype}")
    if alpha is not None and (alpha.shape != pixels.shape[:2] or alpha.dtype != pixels.dtype):
        raise ValueError(f"alpha must be {pixels.shape[:2]} {pixels.dtype}, not {alpha.shape} {alpha.dtype}")


def _prepared(picture: Picture, name: str) -> Picture:
    """The picture as the module of the format takes it. Notes what the format cannot hold."""
    if name in WITHOUT_ALPHA:
        picture = flattened(picture)
    picture = agreeing(jpeg_metadata.agreeing(picture, name), name)
    held = picture
    if name not in ("PNG", "HEIC", "JXL"):  # which state colours without a profile, too
        held = dataclasses.replace(picture, icc_profile=metadata.profile_for(picture))
    not_held = _NOT_HELD.get(name, {}) | ({} if name == "TIFF" else _EXTRA)
    if "exif" not in not_held and states_resolution(picture.exif):
        not_held = {field: word for field, word in not_held.items() if field != "dpi"}
    if dropped := [word for field, word in not_held.items() if getattr(held, field)]:
        picture.note(f"{NAMES.get(name, name)} has no place for {_listed(dropped)}; dropped")
    if picture.parts and picture.source_format in ("PNG", "WEBP") and picture.source_format != name:
        chunks = list(dict.fromkeys(part.decode("latin-1").strip() for part, _ in picture.parts))
        picture.note(f"{NAMES.get(name, name)} has no place for the chunks {_listed(chunks)}; dropped")
    if name != "TIFF" and (tags := tiff_tags.names(picture, name)):
        picture.note(f"{NAMES.get(name, name)} has no place for {tags}; dropped")
    if picture.pixels.dtype.kind == "f" and name not in ("TIFF", "JXL"):
        bits = 8 if name in _EIGHT_BITS else 16
        picture.note(f"{NAMES.get(name, name)} holds no floating-point numbers; 0..1 is kept, clamped, in {bits} bits")
    elif picture.pixels.dtype == np.uint16 and name in _EIGHT_BITS:
        picture.note(f"{NAMES.get(name, name)} holds 8 bits; the deeper picture is rounded to them")
    if picture.pixels.shape[2] == 1 and (name == "WEBP" or (name in ("AVIF", "HEIC") and picture.alpha is not None)):
        if picture.icc_profile:
            picture.note(f"{NAMES.get(name, name)} stores this grey as RGB, not as its profile says; that is dropped")
        rgb = np.broadcast_to(picture.pixels, (*picture.pixels.shape[:2], 3))
        return dataclasses.replace(picture, pixels=rgb, icc_profile=None)
    return picture


def _write(file: IO[bytes], picture: Picture, name: str, quality: int | None) -> None:
    if name == "PNG":
        png.write(file, picture)
    elif name == "TIFF":
        tiff.write(file, picture)
    elif name in ("JP2", "J2K"):
        jpeg2000.write(file, picture, name, quality)
    elif name == "BMP":
        bmp.write(file, picture)
    elif name == "JXL":
        jpeg_xl.write(file, picture, quality)
    elif name == "HEIC":
        heif.write(file, picture, quality)
    elif name == "AVIF":
        heif.write_avif(file, picture, quality)
    else:
        (jpeg if name == "JPEG" else webp).write(file, picture, quality)


def agreeing(picture: Picture, name: str) -> Picture:
    """The picture with EXIF and XMP that agree with its pixels, where the format `name` holds them."""
    exif, packet = picture.exif, picture.xmp
    if exif and "exif" not in _NOT_HELD.get(name, {}):
        exif = agreeing_exif(exif, picture)
    if "xmp" not in _NOT_HELD.get(name, {}):
        packet = agreeing_xmp(packet, picture)
    return dataclasses.replace(picture, exif=exif, xmp=packet)


def _listed(words: list[str]) -> str:
    """A list of words as text.

    >>> _listed(["EXIF"]), _listed(["EXIF", "XMP", "text"])
    ('EXIF', 'EXIF, XMP and text')
    """
    return " and ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words)

"""Reading: finds the format of a file and decodes with Pillow, or with `png`, `tiff`, `jpeg2000`, `heif` or `raw`."""

from __future__ import annotations

import io
import re
import struct
import warnings
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    Image,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    WebPImagePlugin,
)

from restore.errors import PictureError
from restore.images import heif, inner, jpeg2000, metadata, png, raw, tiff
from restore.images.picture import MAX_PIXELS, RAW_SUFFIXES, Picture, Refusal, bands, check_size, contents

# Pillow warns of odd metadata. Everything that matters becomes an error or a note.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

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
    orientation = 1
    if kind == "TIFF":
        orientation = tiff.read(file, picture, max_pixels)
    elif kind == "RAW":
        raw.read(file, picture, max_pixels)
    elif kind == "HEIC":
        heif.read(file, picture, max_pixels)
    elif kind in ("JP2", "J2K"):
        orientation = _read_jpeg2000(file, picture, max_pixels)
    else:
        orientation = _read_with_pillow(file, picture, max_pixels)
    if orientation > 1:
        picture.pixels = metadata.upright(picture.pixels, orientation)
        picture.alpha = None if picture.alpha is None else metadata.upright(picture.alpha, orientation)
    return picture


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


def _read_with_pillow(file: IO[bytes], picture: Picture, max_pixels: int) -> int:
    """PNG, JPEG, WebP, BMP and AVIF. Returns the orientation still to apply."""
    # Pillow limits sizes for web servers, but not where its classes are called directly.
    opened: dict[str, Any] = {
        "PNG": PngImagePlugin.PngImageFile,
        "JPEG": JpegImagePlugin.JpegImageFile,
        "WEBP": WebPImagePlugin.WebPImageFile,
        "BMP": BmpImagePlugin.BmpImageFile,
        "AVIF": AvifImagePlugin.AvifImageFile,
    }
    try:
        image = opened[picture.source_format](file)
    except SyntaxError as error:  # Pillow raises it for files that it cannot open
        if deep := re.search(r"(\d+)-bit layers", str(error)):
            raise Refusal(f"JPEG of {deep[1]} bits is not read", "save it as 16-bit PNG or TIFF first") from None
        raise
    check_size(image.size, max_pixels, file)
    frames = getattr(image, "n_frames", 1)
    if "mp" in image.info:  # MPO: JPEGs one after the other
        with suppress(Exception):  # damage in the other pictures does not matter
            frames = image._getmp()[0xB001]
    if frames > 1:
        picture.note(f"only the first of {frames} pictures in the file is used")
    raw_mode = str(image.tile[0].args) if image.tile else ""  # layout in the file, such as "RGB;16B"
    is_deep_png = picture.source_format == "PNG" and ";16" in raw_mode and image.mode in ("RGB", "RGBA")
    decoded = None
    if picture.source_format == "JPEG":
        inner.check_scans(contents(file))
        picture.jpeg_quality = _jpeg_quality(image.quantization)
        picture.jpeg_subsampling = max(JpegImagePlugin.get_sampling(image), 0)
        picture.comment = image.info.get("comment") or None
    elif picture.source_format == "PNG":
        png.take_chunks(file, picture)
        if is_deep_png:
            png.read_late_metadata(image, file)
            decoded = png.decode_16_bit_colour(file)
    elif picture.source_format == "AVIF":
        decoded = heif.deep_avif(file)
    picture.source_is_lossless = picture.source_format in ("PNG", "BMP") or (
        picture.source_format == "WEBP" and _is_lossless_webp(file)
    )

    profile = image.info.get("icc_profile")
    if decoded is None:
        image.load()
        decoded = _decode_with_pillow(image, raw_mode, picture)
    picture.pixels, picture.alpha = decoded
    if image.mode != "CMYK":
        metadata.take_profile(profile or image.info.get("icc_profile"), picture)
    if picture.source_format == "AVIF":
        heif.take_cicp(file, picture)
    metadata.take_dpi(image.info.get("dpi"), picture)
    by_xmp = metadata.take_xmp(image.info.get("xmp"), picture)
    by_exif = metadata.take_exif(_exif_of(image, picture), picture)
    return by_exif if picture.source_format == "AVIF" else by_exif or by_xmp


def _exif_of(image: Any, picture: Picture) -> bytes:
    found = image.info.get("exif") or b""
    if "Raw profile type exif" in image.info:  # EXIF in PNG before the chunk eXIf existed
        try:
            found = found or image.getexif().tobytes()
        except Exception:  # on damaged EXIF Pillow raises errors of any type
            picture.note("damaged EXIF is dropped")
    return bytes(found)


def _read_jpeg2000(file: IO[bytes], picture: Picture, max_pixels: int) -> int:
    """Returns the orientation still to apply."""
    header = jpeg2000.read_header(file, picture, max_pixels)
    by_xmp = metadata.take_xmp(picture.xmp, picture)
    picture.source_is_lossless = header.is_reversible
    profile, picture.icc_profile = picture.icc_profile, None
    if header.bits > 8 or header.palette is not None:
        picture.pixels, picture.alpha = jpeg2000.decode(file, header)
    else:
        file.seek(0)
        image = Jpeg2KImagePlugin.Jpeg2KImageFile(file)
        if image.size != (header.width, header.height):
            width, height = image.size
            raise Refusal(
                f"its header states {width} x {height} pixels, its stream {header.width} x {header.height}",
                "copy or download it again; if that does not help, it is damaged or an attack",
            )
        if profile and image.mode == "CMYK":
            image.info["icc_profile"] = profile
        image.load()
        picture.pixels, picture.alpha = _decode_with_pillow(image, "", picture)
        profile = None if image.mode == "CMYK" else profile
    metadata.take_profile(profile, picture)
    return metadata.take_exif(picture.exif or b"", picture) or by_xmp


def _decode_with_pillow(image: Any, raw_mode: str, picture: Picture) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels and alpha of a loaded picture, converted in bands to avoid a second copy inside Pillow."""
    has_key = "transparency" in image.info  # one colour (PNG, palette) means "transparent"
    transform = None
    if image.mode == "CMYK":
        target, transform = "RGB", metadata.cmyk_transform(image.info.get("icc_profile"), picture)
    elif image.mode.startswith("I;16"):
        target = image.mode
    elif image.mode in ("1", "L", "LA", "La"):
        target = "LA" if has_key or image.mode.upper() == "LA" else "L"
    else:
        target = "RGBA" if has_key or image.mode in ("RGBA", "RGBa", "PA") else "RGB"
    if has_key and image.mode == "L":  # Pillow scales 2- and 4-bit grey to 0..255 but not the key
        image.info["transparency"] *= {"L;2": 85, "L;4": 17}.get(raw_mode, 1)

    is_deep = target.startswith("I;16")
    width, height = image.size
    pixels = np.empty((height, width, 3 if target.startswith("RGB") else 1), np.uint16 if is_deep else np.uint8)
    alpha = np.empty((height, width), pixels.dtype) if target.endswith("A") or (is_deep and has_key) else None
    for rows in bands(height, 4 * width):
        band = image.crop((0, rows.start, width, rows.stop))
        if transform is not None:
            band = transform.apply(band)
        elif band.mode != target:
            band = band.convert(target)
        values = np.asarray(band).reshape(rows.stop - rows.start, width, -1)
        pixels[rows] = values[..., : pixels.shape[2]]
        if alpha is not None:
            alpha[rows] = _key_alpha(values, image.info["transparency"]) if is_deep else values[..., -1]
    return pixels, alpha


def _key_alpha(values: np.ndarray, key: int) -> np.ndarray:
    return np.where(values[..., 0] == key, 0, 65535)


def _is_lossless_webp(file: IO[bytes]) -> bool:
    position = 12
    while True:  # the first VP8L or VP8 chunk is the compression of the first picture; ANMF wraps a frame
        file.seek(position)
        name, size = struct.unpack("<4sI", file.read(8).ljust(8, b"\0"))
        if name in (b"VP8L", b"VP8 ", b"\0\0\0\0"):
            return bool(name == b"VP8L")
        position += 24 if name == b"ANMF" else 8 + size + size % 2


@cache
def _jpeg_tables(quality: int) -> dict[int, list[int]]:
    """Quantisation tables of our encoder: 0 for luma, 1 for chroma."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG", quality=quality)
    file.seek(0)
    return JpegImagePlugin.JpegImageFile(file).quantization


def _jpeg_quality(tables: dict[int, list[int]]) -> int:
    """Lowest quality whose steps are all at least as fine as those of `tables`.

    >>> _jpeg_quality(_jpeg_tables(83))
    83
    """

    def is_as_fine(quality: int) -> bool:
        ours = _jpeg_tables(quality)
        return all(a <= b for k, theirs in tables.items() for a, b in zip(ours[min(k, 1)], theirs, strict=True))

    return next((quality for quality in range(1, 100) if is_as_fine(quality)), 100)

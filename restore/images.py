"""File <-> `Picture`: the pixels plus all that must survive the round trip.

Pillow decodes, except 16-bit colour, which it would cut to 8 bits without a word: OpenCV decodes that. JPEG, WebP and
BMP are written by Pillow; PNG and TIFF are written here, in bands, at 8 and 16 bits, with every kind of metadata.

What each written format keeps (`dropped` is noted in `Picture.notes`):

| format | depth | alpha   | ICC | EXIF | XMP | DPI | compression                                              |
|--------|-------|---------|-----|------|-----|-----|----------------------------------------------------------|
| PNG    | 8, 16 | yes     | yes | yes  | yes | yes | lossless                                                 |
| TIFF   | 8, 16 | yes     | yes | (1)  | yes | yes | lossless (deflate); below 4 GB                           |
| WebP   | 8     | yes     | yes | yes  | yes | no  | lossless if the source was; grey is stored as RGB        |
| JPEG   | 8     | refused | yes | (2)  | (2) | yes | at least the source's quality and chroma resolution      |
| BMP    | 8     | refused | dropped | dropped | dropped | yes | none                                          |

(1) The descriptive tags (camera, date, author, comment) and the Exif and GPS directories.
(2) Up to 64 KB, the most that a JPEG marker holds.
"""

from __future__ import annotations

import io
import math
import os
import re
import shutil
import struct
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from PIL import BmpImagePlugin, Image, ImageCms, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin
from PIL.ExifTags import IFD

from restore.errors import PictureError
from restore.files import whole_file

MAX_PIXELS = 500_000_000
"""Largest picture read by default: beyond the largest cameras, below what fills the memory of a computer."""

FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jfif": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
}
"""File extension (lower case) -> format that is written."""

RAW_EXTENSIONS = frozenset(
    [
        ".3fr",
        ".arw",
        ".cr2",
        ".cr3",
        ".crw",
        ".dcr",
        ".dng",
        ".erf",
        ".fff",
        ".iiq",
        ".kdc",
        ".mef",
        ".mos",
        ".mrw",
        ".nef",
        ".nrw",
        ".orf",
        ".pef",
        ".raf",
        ".raw",
        ".rw2",
        ".rwl",
        ".sr2",
        ".srf",
        ".srw",
        ".x3f",
    ]
)
"""Extensions of the cameras' own formats, which are read only."""

READABLE = frozenset(FORMATS) | RAW_EXTENSIONS
"""Extensions of the files that count as pictures in a folder."""

DEFAULT_QUALITY = 95
"""JPEG and WebP quality at the least, unless the caller asks for another: restored pictures need no new artefacts."""

_BAND_BYTES = 4 << 20  # pictures are converted and compressed in bands of whole rows of about this size
_LONGEST_SIDE = {"JPEG": 65_500, "WEBP": 16_383}  # pixels; limits of the formats
_LONGEST_MARKER = 65_533  # bytes; a JPEG segment counts its length in 16 bits
_ORIENTATION = 0x0112
_DESCRIPTIVE_TAGS = (270, 271, 272, 305, 306, 315, 316, 18246, 18249, 33432, 40091, 40092, 40093, 40094, 40095)
_READABLE = "PNG, JPEG, WebP, TIFF and BMP"


@dataclass
class Picture:
    """Pixels as a viewer shows them, and everything else the file held.

    Attributes:
        pixels: (H, W, 1 | 3) uint8, uint16 or float32, grey or RGB in the file's own encoding, orientation applied.
        alpha: (H, W) of the same dtype, not premultiplied; None where the picture is opaque.
        icc_profile: Colour profile that describes `pixels`.
        exif: EXIF as a TIFF structure (no "Exif" prefix), its orientation reset to 1.
        xmp: XMP packet, UTF-8.
        dpi: Horizontal and vertical resolution, dots per inch.
        source_format: "PNG", "JPEG", "WEBP", "TIFF" or "BMP".
        source_is_lossless: The file held exactly these pixels.
        jpeg_quality: Lowest quality setting (1..100) at which no frequency is quantised more coarsely than in the file
            that was read; None where that was no JPEG.
        jpeg_subsampling: Chroma of that file as Pillow counts it: 0 is 4:4:4, 1 is 4:2:2, 2 is 4:2:0.
        notes: What changed on the way that the user should know, one sentence each; reading and writing add to it.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    icc_profile: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    source_format: str = "PNG"
    source_is_lossless: bool = True
    jpeg_quality: int | None = None
    jpeg_subsampling: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def peak(self) -> float:
        """The value of white: 255, 65535, or for float pixels 1 or, where that is more, their largest value."""
        if self.pixels.dtype.kind == "f":
            return max(1.0, float(self.pixels.max()))
        return float(np.iinfo(self.pixels.dtype).max)

    def note(self, sentence: str) -> None:
        """Adds a sentence to `notes`, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)


# ---------------------------------------------------------------------------------------------------------------- read


def default_suffix(source: Path) -> str:
    """The extension of an output whose format nobody asked for: the source's own, or ".tif" for what is read only.

    >>> default_suffix(Path("a.JPG")), default_suffix(Path("b.nef"))
    ('.JPG', '.tif')
    """
    return source.suffix if source.suffix.lower() in FORMATS else ".tif"


def read_picture(source: Path | BinaryIO, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Reads PNG, JPEG, WebP, TIFF or BMP; the content decides, not the extension.

    A stream need not be seekable; it is read to its end.

    Palette pictures become RGB, 1-bit ones grey, CMYK becomes sRGB (through its own profile if it has one). Of several
    pages or frames the first is read. Peak memory is about 2.3 times the decoded 8-bit picture.

    Raises:
        PictureError: The file is missing, a folder, empty, no picture, damaged, of a kind that cannot be kept (float,
            32-bit), or has more than `max_pixels` pixels.
    """
    if not isinstance(source, Path):
        return _read_any(io.BytesIO(source.read()), Path("stdin"), max_pixels)
    path = source
    if path.is_dir():
        raise PictureError(f"cannot read {path}: it is a folder", hint="name a picture file")
    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        raise PictureError(f"cannot read {path}: there is no such file", hint="check the spelling") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise PictureError(f"cannot read {path}: {reason}", hint="check the file's permissions") from error
    with file:
        return _read_any(file, path, max_pixels)


def _read_any(file: IO[bytes], path: Path, max_pixels: int) -> Picture:
    try:
        return _read(file, path, max_pixels)
    except PictureError:
        raise
    except (MemoryError, Image.DecompressionBombError) as error:
        raise PictureError(
            f"cannot read {path}: decoding it needs too much memory", hint="scale it down or split it first"
        ) from error
    except Exception as error:  # On a damaged file Pillow's parsers raise whatever they trip over.
        raise PictureError(
            f"cannot read {path}: the file is damaged or incomplete ({error})",
            hint="copy or download it again, or open it in an image editor and save it anew",
        ) from error


def _read(file: IO[bytes], path: Path, max_pixels: int) -> Picture:
    image, source_format = _open(file, path)
    width, height = image.size
    if width * height > max_pixels:
        raise PictureError(
            f"cannot read {path}: {width} x {height} pixels are more than the limit of {max_pixels:,}",
            hint="scale it down or split it; a small file that claims to be so large may be an attack",
        )
    raw_mode = str(image.tile[0].args) if image.tile else ""  # what lies in the file, such as "RGB;16B"
    is_deep_colour = ";16" in raw_mode and image.mode in ("RGB", "RGBA")
    kinds = {"I": "32-bit or signed integers", "F": "floating-point numbers", "LAB": "CIELAB colours"}
    if "I;12" in raw_mode:
        kinds["I;16"] = "12-bit integers"
    if is_deep_colour and isinstance(image, _TiffFile) and image.tag_v2.get(284) == 2:
        kinds[image.mode] = "16-bit colours in separate planes"  # which OpenCV 5.0 mixes up
    if image.mode in kinds:
        raise PictureError(
            f"cannot read {path}: its pixels are {kinds[image.mode]}",
            hint="save it as 8- or 16-bit grey or RGB, interleaved, first",
        )

    picture = Picture(np.empty(0), source_format=source_format)
    if getattr(image, "n_frames", 1) > 1:
        picture.note(f"only the first of {getattr(image, 'n_frames', 1)} pictures in the file is used")
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        picture.jpeg_quality = _jpeg_quality(image.quantization)
        picture.jpeg_subsampling = max(JpegImagePlugin.get_sampling(image), 0)
    picture.source_is_lossless = _is_lossless(image, file)

    if is_deep_colour:
        if isinstance(image, PngImagePlugin.PngImageFile):
            _finish_png(image, file)
        picture.pixels, picture.alpha = _decode_16_bit_colour(file, image.mode, raw_mode, "transparency" in image.info)
    else:
        image.load()
        picture.pixels, picture.alpha = _decode_with_pillow(image, raw_mode, picture)
    if isinstance(image, _TiffFile) and image.alpha_is_premultiplied and picture.pixels.dtype == np.uint16:
        _divide_by_alpha(picture.pixels, picture.alpha)  # Pillow does it for 8 bits, nobody for 16

    orientation = _read_metadata(image, picture)
    del image  # frees its pixels before others are copied
    if orientation > 1:
        picture.pixels = _upright(picture.pixels, orientation)
        picture.alpha = None if picture.alpha is None else _upright(picture.alpha, orientation)
    return picture


def _open(file: IO[bytes], path: Path) -> tuple[Any, str]:
    """The lazily opened picture and its format; Pillow's own size limits, made for web servers, do not apply here."""
    head = file.read(16)
    file.seek(0)
    if not head:
        raise PictureError(f"cannot read {path}: the file is empty", hint="copy or download it again")
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return PngImagePlugin.PngImageFile(file), "PNG"
    if head.startswith(b"\xff\xd8\xff"):
        return JpegImagePlugin.jpeg_factory(file), "JPEG"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return WebPImagePlugin.WebPImageFile(file), "WEBP"
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return _TiffFile(file), "TIFF"
    if head.startswith(b"BM"):
        return BmpImagePlugin.BmpImageFile(file), "BMP"
    raise PictureError(
        f"cannot read {path}: it is not a picture in a known format",
        hint=f"{_READABLE} are read, whatever the file's name",
    )


class _TiffFile(TiffImagePlugin.TiffImageFile):
    """A TIFF, also one of 16-bit grey + alpha: Pillow has no such mode, so two samples pass as four bytes (RGBA)."""

    def _setup(self) -> None:
        tags = self.tag_v2
        self.alpha_is_premultiplied = tags.get(338) == (1,)
        self.white_is_zero = tags.get(262) == 0
        self.is_16_bit_grey_alpha = tags.get(258) == (16, 16) and tags.get(262) == 1 and tags.get(284, 1) == 1
        if self.is_16_bit_grey_alpha:
            tags[258], tags[262], tags[277], tags[338] = (8, 8, 8, 8), 2, 4, (2,)
        super()._setup()

    def load_prepare(self) -> None:
        if self._im is None:  # as Pillow does, less its limit; ours has been applied
            self.im = Image.new(self.mode, self._tile_size, None).im
        super().load_prepare()

    @property
    def sample_type(self) -> np.dtype[Any]:
        """Byte order of the samples once decoded: libtiff swaps to the machine's, Pillow's plain copy does not."""
        return np.dtype("=u2" if self.use_load_libtiff else "<u2" if self.tag_v2.prefix == b"II" else ">u2")


def _bands(height: int, row_bytes: int) -> Iterator[slice]:
    """Slices of rows, top to bottom, of about `_BAND_BYTES` each.

    >>> list(_bands(5, row_bytes=2 << 20))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    step = max(1, _BAND_BYTES // max(1, row_bytes))
    for top in range(0, height, step):
        yield slice(top, min(top + step, height))


def _decode_with_pillow(image: Any, raw_mode: str, picture: Picture) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels and alpha of a loaded picture, converted band by band: no second whole copy inside Pillow."""
    has_key = "transparency" in image.info  # one colour (PNG, palette) stands for "transparent"
    transform = None
    if image.mode == "CMYK":
        target, transform = "RGB", _cmyk_to_srgb(image, raw_mode, picture)
    elif image.mode.startswith("I;16"):
        target = image.mode
    elif image.mode in ("1", "L", "LA", "La"):
        target = "LA" if has_key or image.mode.upper() == "LA" else "L"
    else:
        target = "RGBA" if has_key or image.mode in ("RGBA", "RGBa", "PA") else "RGB"
    if has_key and image.mode == "L":  # Pillow scales 2- and 4-bit grey to 0..255 but not the key
        image.info["transparency"] *= {"L;2": 85, "L;4": 17}.get(raw_mode, 1)

    is_grey_alpha = isinstance(image, _TiffFile) and image.is_16_bit_grey_alpha
    is_deep = is_grey_alpha or target.startswith("I;16")
    width, height = image.size
    pixels = np.empty(
        (height, width, 3 if target.startswith("RGB") and not is_deep else 1), np.uint16 if is_deep else np.uint8
    )
    alpha = np.empty((height, width), pixels.dtype) if target.endswith("A") or (is_deep and has_key) else None
    for rows in _bands(height, 4 * width):
        band = image.crop((0, rows.start, width, rows.stop))
        if transform is not None:
            band = transform.apply(band)
        elif band.mode != target:
            band = band.convert(target)
        values = np.asarray(band).reshape(rows.stop - rows.start, width, -1)
        if is_grey_alpha:
            values = values.view(image.sample_type)
        pixels[rows] = values[..., : pixels.shape[2]]
        if alpha is not None:
            alpha[rows] = (
                values[..., -1] if not has_key or not is_deep else _key_alpha(values, image.info["transparency"])
            )
        if is_deep and isinstance(image, _TiffFile) and image.white_is_zero:  # Pillow inverts 8 bits only
            pixels[rows] = 65535 - pixels[rows]
    return pixels, alpha


def _key_alpha(values: np.ndarray, key: int) -> np.ndarray:
    return np.where(values[..., 0] == key, 0, 65535)


def _cmyk_to_srgb(image: Any, raw_mode: str, picture: Picture) -> ImageCms.ImageCmsTransform | None:
    """The conversion through the picture's own profile, or None for Pillow's plain formula; says which in the notes."""
    profile = image.info.pop("icc_profile", None)
    if ";16" in raw_mode:
        picture.note("16-bit CMYK is read at 8 bits")
    if profile:
        srgb = ImageCms.createProfile("sRGB")
        try:
            transform = ImageCms.buildTransform(
                ImageCms.ImageCmsProfile(io.BytesIO(profile)),
                srgb,
                "CMYK",
                "RGB",
                ImageCms.Intent.RELATIVE_COLORIMETRIC,
                ImageCms.Flags.BLACKPOINTCOMPENSATION,
            )
        except (ImageCms.PyCMSError, OSError):
            picture.note("the CMYK profile is unusable")
        else:
            written = ImageCms.ImageCmsProfile(srgb).tobytes()
            # Bytes 24..35 are the time of creation; a fixed one gives the same file on every run.
            image.info["icc_profile"] = written[:24] + struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + written[36:]
            picture.note("CMYK became sRGB through its own profile")
            return transform
    picture.note("CMYK without a usable profile became RGB; colours are approximate")
    return None


def _decode_16_bit_colour(
    file: IO[bytes], mode: str, raw_mode: str, has_key: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels and alpha of a 16-bit RGB(A) or grey+alpha PNG or a 16-bit RGB(A) TIFF (which OpenCV turns upright)."""
    import cv2  # 0.1 s that other pictures need not pay

    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # trouble is raised below, once
    # A mapped file costs no memory, and OpenCV need not understand its name.
    encoded = np.frombuffer(file.getbuffer(), np.uint8) if isinstance(file, io.BytesIO) else np.memmap(file, mode="r")
    decoded = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.dtype != np.uint16 or decoded.ndim != 3:
        raise OSError("its 16-bit pixels cannot be decoded")
    height, width, channels = decoded.shape
    is_grey = raw_mode.startswith("LA")
    pixels = decoded if channels == 3 else np.empty((height, width, 1 if is_grey else 3), np.uint16)
    for rows in _bands(height, 8 * width):  # OpenCV's order is BGR(A); NumPy buffers where source and target overlap
        pixels[rows] = decoded[rows, :, :1] if is_grey else decoded[rows, :, 2::-1]
    has_alpha = channels == 4 and (mode == "RGBA" or has_key)
    return pixels, decoded[..., 3].copy() if has_alpha else None


def _finish_png(image: Any, file: IO[bytes]) -> None:
    """Reads the metadata that may follow the pixels, and checks all sums, so that libpng has nothing to print."""
    file.seek(image.tile[0].offset - 8)
    name = b""
    while name != b"IEND":
        length, name = struct.unpack(">I4s", file.read(8))
        data, checksum = file.read(length), file.read(4)
        if checksum != struct.pack(">I", zlib.crc32(name + data)):
            raise OSError(f"wrong checksum in chunk {name!r}")
        if name in (b"eXIf", b"iTXt"):
            file.seek(-length - 4, os.SEEK_CUR)
            image.png.call(name, file.tell(), length)
            file.seek(4, os.SEEK_CUR)


def _divide_by_alpha(pixels: np.ndarray, alpha: np.ndarray | None) -> None:
    """Undoes the multiplication by alpha of 16-bit `pixels` (H, W, C), in place."""
    if alpha is None:
        return
    for rows in _bands(len(pixels), 8 * pixels[0].size):
        opacity = np.maximum(alpha[rows, :, None], 1).astype(np.uint64)
        pixels[rows] = np.minimum((pixels[rows] * np.uint64(65535) + opacity // 2) // opacity, 65535)


def _upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """`array` (H, W, ...) as a viewer shows it, given the EXIF orientation 2..8 (EXIF 2.3, tag 0x0112)."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    return np.ascontiguousarray(array)


def _read_metadata(image: Any, picture: Picture) -> int:
    """Moves profile, EXIF, XMP and DPI of a decoded picture into `picture`; returns the orientation still to apply."""
    info = image.info
    picture.icc_profile = info.get("icc_profile") or None
    xmp = info.get("xmp")
    if isinstance(xmp, bytes) and xmp:
        picture.xmp = re.sub(rb"(tiff:Orientation(?:=\"|>))[2-8]", rb"\g<1>1", xmp)
    is_tiff = isinstance(image, _TiffFile)
    with suppress(KeyError, TypeError, ValueError, ZeroDivisionError):
        across, down = (float(d) for d in info["dpi"])
        # Pillow makes up 1 dpi for a TIFF that states none.
        if all(math.isfinite(d) and 0 < d < 65536 for d in (across, down)) and not (
            is_tiff and 282 not in image.tag_v2
        ):
            picture.dpi = across, down
    orientation = 1
    try:
        if is_tiff:  # both decoders have applied its orientation
            picture.exif = _packed(_descriptive(image.getexif()))
        else:
            exif = info.get("exif") or (image.getexif().tobytes() if len(image.getexif()) else b"")
            if exif := exif.removeprefix(b"Exif\0\0"):
                picture.exif, orientation = _reset_orientation(exif)
    except Exception:  # Pillow's and our parser trip over damaged EXIF in many ways; the pixels are fine all the same.
        picture.note("damaged EXIF is dropped")
    return orientation if 1 <= orientation <= 8 else 1


def _reset_orientation(exif: bytes) -> tuple[bytes, int]:
    """EXIF with its orientation (of the main picture) set to 1, and what it was; all else stays byte for byte.

    Parsing and writing anew would break maker notes, which point to places in the block.

    Raises:
        ValueError, KeyError, struct.error: `exif` is damaged.
    """
    order = {b"II": "<", b"MM": ">"}[exif[:2]]
    (start,) = struct.unpack_from(order + "I", exif, 4)
    (count,) = struct.unpack_from(order + "H", exif, start)
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from(order + "HH", exif, entry)
        if tag == _ORIENTATION:
            value = order + ("I" if kind == 4 else "H")  # LONG or, as it should be, SHORT
            patched = bytearray(exif)
            struct.pack_into(value, patched, entry + 8, 1)
            return bytes(patched), struct.unpack_from(value, exif, entry + 8)[0]
    return exif, 1


def _descriptive(exif: Image.Exif) -> dict[int, Any]:
    """Tags that describe the photo rather than the layout of the file, with the Exif and GPS directories as dicts."""
    tags: dict[int, Any] = {tag: exif[tag] for tag in _DESCRIPTIVE_TAGS if tag in exif}
    for directory in (IFD.Exif, IFD.GPSInfo):
        if values := dict(exif.get_ifd(directory)):
            if IFD.Interop in values:
                values[IFD.Interop] = exif.get_ifd(IFD.Interop)
            tags[int(directory)] = values
    return tags


def _packed(tags: dict[int, Any]) -> bytes | None:
    exif = Image.Exif()
    for tag, value in tags.items():
        exif[tag] = value
    return exif.tobytes().removeprefix(b"Exif\0\0") if tags else None


def _is_lossless(image: Any, file: IO[bytes]) -> bool:
    if isinstance(image, _TiffFile):
        return image.info.get("compression") not in ("jpeg", "tiff_jpeg", "webp")
    if isinstance(image, WebPImagePlugin.WebPImageFile):
        position = 12
        while True:  # the first of these chunks says how the (first) picture is compressed; ANMF wraps it in a frame
            file.seek(position)
            name, size = struct.unpack("<4sI", file.read(8).ljust(8, b"\0"))
            if name in (b"VP8L", b"VP8 ", b"\0\0\0\0"):
                return bool(name == b"VP8L")
            position += 24 if name == b"ANMF" else 8 + size + size % 2
    return not isinstance(image, JpegImagePlugin.JpegImageFile)


@cache
def _jpeg_tables(quality: int) -> dict[int, list[int]]:
    """Quantisation tables that our encoder uses: 0 for luma, 1 for chroma."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG", quality=quality)
    file.seek(0)
    return JpegImagePlugin.JpegImageFile(file).quantization


def _jpeg_quality(tables: dict[int, list[int]]) -> int:
    """Lowest quality whose steps are all as fine as those of `tables`.

    >>> _jpeg_quality(_jpeg_tables(83))
    83
    """

    def is_as_fine(quality: int) -> bool:
        ours = _jpeg_tables(quality)
        return all(a <= b for k, theirs in tables.items() for a, b in zip(ours[min(k, 1)], theirs, strict=True))

    return next((quality for quality in range(1, 100) if is_as_fine(quality)), 100)


# --------------------------------------------------------------------------------------------------------------- write


def check_output(path: Path, picture: Picture | None = None, *, format: str | None = None) -> str:
    """Checks, before the work starts, all about an output that can be known; returns its format ("PNG", ...).

    The format is `format` or, if that is None, what the extension says.

    Raises:
        PictureError: The extension names no format that is written, `path` is a folder or lies in none, or the format
            cannot hold `picture`.
    """
    name = format or FORMATS.get(path.suffix.lower())
    if name is None:
        shown = f"the extension {path.suffix} is not known" if path.suffix else "its name has no extension"
        raise PictureError(f"cannot write {path}: {shown}", hint=f"use one of {', '.join(FORMATS)}")
    if path.is_dir():
        raise PictureError(f"cannot write {path}: it is a folder", hint="name a file in it")
    if not path.parent.is_dir():
        raise PictureError(f"cannot write {path}: there is no folder {path.parent}", hint=f"mkdir -p '{path.parent}'")
    if picture is not None:
        _check_fits(picture, name, str(path))
    return name


def _check_fits(picture: Picture, name: str, path: str) -> None:
    """Raises PictureError if a file in the format `name` cannot hold `picture`."""
    height, width = picture.pixels.shape[:2]
    if picture.alpha is not None and name in ("JPEG", "BMP"):
        raise PictureError(
            f"cannot write {path}: {name} cannot hold the picture's transparency", hint="use .png, .webp or .tif"
        )
    if max(height, width) > _LONGEST_SIDE.get(name, 1 << 31):
        raise PictureError(
            f"cannot write {path}: {name} holds at most {_LONGEST_SIDE[name]} pixels a side, not {width} x {height}",
            hint="use .png or .tif",
        )
    if (
        name in ("TIFF", "BMP")
        and picture.pixels.nbytes + (0 if picture.alpha is None else picture.alpha.nbytes) > 4.1e9
    ):
        raise PictureError(f"cannot write {path}: {name} files end at 4 GB", hint="use .png")


def write_picture(
    picture: Picture, target: Path | BinaryIO, *, format: str | None = None, quality: int | None = None
) -> None:
    """Writes a whole file or none (`files.whole_file`); to a stream nothing until the whole is there.

    The table at the top says what each format keeps. What is lost (16 bits in an 8-bit
    format, metadata that does not fit) is added to `picture.notes`.

    Args:
        format: One of the values of `FORMATS`; None: the extension of `target` decides. A stream needs one.
        quality: 1..100, for JPEG and WebP. None: JPEG and lossy WebP use `DEFAULT_QUALITY`, or the source JPEG's if
            that was finer; WebP is lossless if the source was. Formats without loss ignore it.

    Raises:
        PictureError: As `check_output`, or the file cannot be written.
        ValueError: `quality` is out of range, or the arrays of `picture` are not what it promises.
    """
    _check_arrays(picture)
    if quality is not None and not 1 <= quality <= 100:
        raise ValueError(f"quality must lie in 1..100, not {quality}")
    if format is not None and format not in FORMATS.values():
        raise ValueError(f"the format must be one of {', '.join(sorted(set(FORMATS.values())))}, not {format}")
    shown = target if isinstance(target, Path) else "to the stream"
    try:
        if isinstance(target, Path):
            name = check_output(target, picture, format=format)
            with whole_file(target) as temporary, temporary.open("xb") as file:
                _write(file, picture, name, quality)
        elif format is None:
            raise ValueError("a stream needs a format")
        else:
            _check_fits(picture, format, "to the stream")
            with tempfile.TemporaryFile() as file:
                _write(file, picture, format, quality)
                file.seek(0)
                shutil.copyfileobj(file, target)
    except OSError as error:
        raise PictureError(
            f"cannot write {shown}: {error.strerror or error}", hint="check the folder's permissions and free space"
        ) from error


def _write(file: IO[bytes], picture: Picture, name: str, quality: int | None) -> None:
    if name == "PNG":
        _write_png(file, picture)
    elif name == "TIFF":
        _write_tiff(file, picture)
    else:
        _write_with_pillow(file, picture, name, quality)


def _check_arrays(picture: Picture) -> None:
    pixels, alpha = picture.pixels, picture.alpha
    if (
        pixels.ndim != 3
        or pixels.shape[2] not in (1, 3)
        or pixels.dtype not in (np.uint8, np.uint16)
        or not pixels.size
    ):
        raise ValueError(f"pixels must be (H, W, 1 or 3) uint8 or uint16, not {pixels.shape} {pixels.dtype}")
    if alpha is not None and (alpha.shape != pixels.shape[:2] or alpha.dtype != pixels.dtype):
        raise ValueError(f"alpha must be {pixels.shape[:2]} {pixels.dtype}, not {alpha.shape} {alpha.dtype}")


def _interleaved(picture: Picture, rows: slice) -> np.ndarray:
    """A band with its alpha as the last channel."""
    pixels = picture.pixels[rows]
    return pixels if picture.alpha is None else np.concatenate([pixels, picture.alpha[rows, :, None]], axis=2)


def _compressor() -> Any:
    """Deflate for differences of pixels; higher levels take up to five times as long and gain nothing on photos."""
    return zlib.compressobj(4, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_FILTERED)


def _write_png(file: IO[bytes], picture: Picture) -> None:
    """PNG 1.2 with iCCP, pHYs, eXIf and iTXt; a band at a time, so that no copy of the picture is needed.

    Every row uses the filter "average": photos become a little smaller, and sooner, than with a choice per row.
    """

    def chunk(name: bytes, data: bytes) -> None:
        file.write(struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)))

    height, width, channels = picture.pixels.shape
    size = picture.pixels.itemsize
    colour = {1: 0, 3: 2}[channels] + (0 if picture.alpha is None else 4)
    file.write(b"\x89PNG\r\n\x1a\n")
    chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8 * size, colour, 0, 0, 0))
    if picture.icc_profile:
        chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(picture.icc_profile))
    if picture.dpi:
        chunk(b"pHYs", struct.pack(">IIB", *(round(d / 0.0254) for d in picture.dpi), 1))
    if picture.exif:
        chunk(b"eXIf", picture.exif)
    if picture.xmp:
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + picture.xmp)

    bytes_per_pixel = (channels + (picture.alpha is not None)) * size
    above = np.zeros((1, width * bytes_per_pixel), np.uint8)
    compressor = _compressor()
    for rows in _bands(height, width * bytes_per_pixel):
        values = np.ascontiguousarray(_interleaved(picture, rows).astype(f">u{size}", copy=False))
        values = values.view(np.uint8).reshape(len(values), -1)
        prediction = np.concatenate([above, values[:-1]]).astype(np.uint16)  # the bytes above, ...
        prediction[:, bytes_per_pixel:] += values[:, :-bytes_per_pixel]  # ... and those of the pixel to the left
        filtered = np.empty((len(values), 1 + values.shape[1]), np.uint8)
        filtered[:, 0] = 3  # "average"
        np.subtract(values, prediction >> 1, out=filtered[:, 1:], casting="unsafe")
        above = values[-1:].copy()
        if data := compressor.compress(filtered.data):
            chunk(b"IDAT", data)
    chunk(b"IDAT", compressor.flush())
    chunk(b"IEND", b"")


def _write_tiff(file: IO[bytes], picture: Picture) -> None:
    """TIFF 6.0, little-endian: deflated strips with horizontal differences, directory first."""
    height, width, channels = picture.pixels.shape
    samples, size = channels + (picture.alpha is not None), picture.pixels.itemsize
    bands = list(_bands(height, width * samples * size))

    def directory(offsets: tuple[int, ...], counts: tuple[int, ...], with_exif: bool) -> Any:
        tags: Any = TiffImagePlugin.ImageFileDirectory_v2()
        if with_exif and picture.exif:
            exif = Image.Exif()
            exif.load(picture.exif)
            for tag, value in _descriptive(exif).items():
                tags[tag] = value
        tags[256], tags[257], tags[258], tags[259] = width, height, (8 * size,) * samples, 8  # 8 is deflate
        tags[262], tags[274], tags[277], tags[278] = 2 if channels == 3 else 1, 1, samples, bands[0].stop
        tags[284], tags[317] = 1, 2  # interleaved samples, horizontal differences
        if picture.alpha is not None:
            tags[338] = 2  # not premultiplied
        if picture.dpi:
            tags[282], tags[283], tags[296] = *picture.dpi, 2
        if picture.xmp:
            tags[700] = picture.xmp
        if picture.icc_profile:
            tags[34675] = picture.icc_profile
        for tag, values in ((273, offsets), (279, counts)):
            tags[tag] = values
            tags.tagtype[tag] = 4  # LONG whatever the values, so that the directory keeps its length
        return tags

    zeros, with_exif = (0,) * len(bands), True
    try:
        length = len(directory(zeros, zeros, with_exif).tobytes(8))
    except Exception:  # Pillow trips over odd EXIF in many ways
        picture.note("TIFF could not take this EXIF; it is dropped")
        with_exif = False
        length = len(directory(zeros, zeros, with_exif).tobytes(8))
    file.seek(8 + length)
    counts = []
    for rows in bands:
        values = _interleaved(picture, rows).astype(f"<u{size}")
        values[:, 1:] -= values[:, :-1].copy()
        compressor = _compressor()
        counts.append(file.write(compressor.compress(values.data)) + file.write(compressor.flush()))
    file.seek(0)
    # Offsets count from the end of the directory; Pillow adds where that is.
    directory(tuple(accumulate(counts[:-1], initial=0)), tuple(counts), with_exif).save(file)


def _write_with_pillow(file: IO[bytes], picture: Picture, name: str, quality: int | None) -> None:
    """JPEG, WebP and BMP. An RGB picture is copied once, into Pillow's four bytes a pixel."""
    if picture.pixels.dtype == np.uint16:
        picture.note(f"{name} holds 8 bits; the 16-bit picture is rounded to them")
    exif, xmp = picture.exif, picture.xmp
    if name == "BMP" and (picture.icc_profile or exif or xmp):
        picture.note("BMP holds no colour profile, EXIF or XMP; they are dropped")
    if name == "JPEG" and exif and len(exif) + 6 > _LONGEST_MARKER:
        picture.note("the EXIF is too long for JPEG; it is dropped")
        exif = None
    if name == "JPEG" and xmp and len(xmp) + 29 > _LONGEST_MARKER:
        picture.note("the XMP is too long for JPEG; it is dropped")
        xmp = None

    height, width, channels = picture.pixels.shape
    mode = ("L" if channels == 1 else "RGB") + ("" if picture.alpha is None else "A")
    image = Image.new(mode, (width, height))
    for rows in _bands(height, 4 * width):
        values = _interleaved(picture, rows)
        if values.dtype == np.uint16:
            values = ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)  # nearest; 65535 = 255 * 257
        image.paste(Image.fromarray(values[..., 0] if mode == "L" else values), (0, rows.start))

    options: dict[str, Any] = {"exif": b"Exif\0\0" + exif} if exif else {}
    options |= {"icc_profile": picture.icc_profile, "xmp": xmp or b"", "dpi": picture.dpi or (0, 0)}
    default = max(DEFAULT_QUALITY, picture.jpeg_quality or 0)
    if name == "WEBP" and quality is None and picture.source_is_lossless:
        options |= {"lossless": True, "exact": True}  # exact: colours under full transparency stay
    else:
        options |= {"quality": quality or default, "subsampling": picture.jpeg_subsampling}
    image.save(file, name, **options)

"""`Picture`, the names of the formats, and helpers that all readers and writers share."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

MAX_PIXELS = 500_000_000
"""Default limit of `read_picture`: above the largest cameras, below the memory of a computer."""

FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jfif": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".jp2": "JP2",
    ".j2k": "J2K",
    ".jxl": "JXL",
    ".avif": "AVIF",
    ".heic": "HEIC",
    ".heif": "HEIC",
    ".hif": "HEIC",
}
"""File extension (lower case) -> format to write. JP2 is JPEG 2000; J2K is its bare stream, without metadata."""

# fmt: off
RAW_SUFFIXES = frozenset({
    ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".kdc", ".mef", ".mos", ".mrw",
    ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f",
})
# fmt: on
"""Extensions of camera formats, which `restore` only reads."""

READABLE = frozenset(FORMATS) | RAW_SUFFIXES | {".gif"}
"""Extensions of picture files in a folder."""

NAMES = {"JP2": "JPEG 2000", "J2K": "a JPEG 2000 stream", "JXL": "JPEG XL", "WEBP": "WebP"}
"""Names of formats in messages, where they differ from `FORMATS`."""

DEFAULT_QUALITY = 95
"""Default quality of lossy formats, high enough to add no new artifacts. A finer source JPEG raises it."""

_ALWAYS_PLAUSIBLE = 50_000_000  # pixels
_DENSEST = 20_000  # pixels of one byte; deflate and JPEG reach about 1,000 on flat pictures
_BAND_BYTES = 4 << 20  # size of the bands of whole rows in which pictures are converted and compressed


class Refusal(Exception):
    """Why a file cannot be read or written. `read_picture` and `check_output` add the name of the file."""

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(reason)
        self.reason, self.hint = _shown(reason), hint


def _shown(text: str) -> str:
    """Text that may quote a file, with escapes for what cannot be printed.

    >>> print(_shown("a tag of \\x1b[31m"))
    a tag of \\x1b[31m
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


@dataclass
class Picture:
    """Pixels as a viewer shows them, and everything else in the file.

    Attributes:
        pixels: (H, W, 1 | 3) uint8, uint16 or float32, grey or RGB in the file's own encoding, orientation applied.
            Float pixels are finite and of any range; 1 is white.
        alpha: (H, W) of the same dtype, not premultiplied; None where the picture is opaque.
        icc_profile: Colour profile that describes `pixels`.
        exif: EXIF as a TIFF structure (no "Exif" prefix), its orientation set to 1.
        xmp: XMP packet, UTF-8.
        dpi: Horizontal and vertical resolution, dots per inch.
        comment: Comment of a JPEG.
        text: Text chunks of a PNG (name, data), unchanged.
        colour: Chunks of a PNG that define its colours (gAMA, cHRM, sRGB, cICP) by name, unchanged; also cICP of an
            AVIF or HEIC.
        source_format: One of the values of `FORMATS`, or "RAW".
        source_is_lossless: The compression of the file is lossless.
        jpeg_quality: Lowest quality (1..100) that quantises no frequency more coarsely than the source JPEG; None for
            other sources.
        jpeg_subsampling: Chroma of the source JPEG, numbered as in Pillow: 0 is 4:4:4, 1 is 4:2:2, 2 is 4:2:0.
        damage: What the decoder warned of, where pixels are missing or wrong; None for a whole file.
        page: Number of this picture in its file, from 1.
        pages: Number of pictures in the file: pages of a TIFF, frames of an animation.
        duration: Milliseconds that a frame of an animation is shown; None for pages.
        loops: How often an animation is shown; 0 is for ever.
        extra: (H, W, K) channels of the same dtype that are neither colour nor transparency, such as a scanner's
            infrared; None without any.
        extra_kinds: The K meanings of `extra`, as in TIFF's tag ExtraSamples.
        iptc: IPTC-IIM records.
        jpeg_is_progressive: The source is a progressive JPEG.
        parts: Pieces of the file that only its own format can hold, unchanged: (name, data), such as
            (b"APP13", ...) or a PNG chunk.
        background: `white`, `black` or `#rrggbb`: what shows through where the output's format has no transparency.
        history: What was done to the picture, for its XMP: one sentence per step.
        notes: Changes that the user should know, one sentence each; reading and writing add to them.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    icc_profile: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    comment: bytes | None = None
    text: list[tuple[bytes, bytes]] = field(default_factory=list)
    colour: dict[bytes, bytes] = field(default_factory=dict)
    source_format: str = "PNG"
    source_is_lossless: bool = True
    jpeg_quality: int | None = None
    jpeg_subsampling: int = 0
    jpeg_is_progressive: bool = False
    damage: str | None = None
    page: int = 1
    pages: int = 1
    duration: float | None = None
    loops: int = 0
    extra: np.ndarray | None = None
    extra_kinds: tuple[int, ...] = ()
    iptc: bytes | None = None
    parts: list[tuple[bytes, bytes]] = field(default_factory=list)
    background: str | None = None
    history: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)

    def note(self, sentence: str) -> None:
        """Adds a sentence to `notes`, once."""
        if (shown := _shown(sentence)) not in self.notes:
            self.notes.append(shown)


def default_suffix(source: Path) -> str:
    """The default extension of an output: the source's. Formats that are only read become ".tif", a GIF ".png".

    >>> default_suffix(Path("a.JPG")), default_suffix(Path("b.nef")), default_suffix(Path("c.gif"))
    ('.JPG', '.tif', '.png')
    """
    suffix = source.suffix.lower()
    return source.suffix if suffix in FORMATS else ".png" if suffix == ".gif" else ".tif"


def limit(dtype: np.dtype[Any]) -> float:
    """The value of white and of full opacity: 255, 65535, or 1 for floats."""
    return 1.0 if dtype.kind == "f" else float(np.iinfo(dtype).max)


def bands(height: int, row_bytes: int) -> Iterator[slice]:
    """Slices of rows, top to bottom, of about `_BAND_BYTES` each.

    >>> list(bands(5, row_bytes=2 << 20))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    step = max(1, _BAND_BYTES // max(1, row_bytes))
    for top in range(0, height, step):
        yield slice(top, min(top + step, height))


def interleaved(picture: Picture, rows: slice) -> np.ndarray:
    """The pixels of a band, with alpha as the last channel."""
    pixels = picture.pixels[rows]
    return pixels if picture.alpha is None else np.concatenate([pixels, picture.alpha[rows, :, None]], axis=2)


def split(values: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels and alpha of (H, W, 1..4) samples; where C is 2 or 4, the last is alpha."""
    return values[..., : 3 if values.shape[2] >= 3 else 1], values[..., -1] if values.shape[2] in (2, 4) else None


def straight(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Colours (H, W, C) that are multiplied by `alpha` (H, W), divided by it; they stay where alpha is 0."""
    white = limit(pixels.dtype)
    divided = np.empty_like(pixels)
    for rows in bands(len(pixels), 8 * pixels[0].size):
        opacity = alpha[rows, :, None].astype(np.float64)
        values = np.divide(pixels[rows] * white, opacity, where=opacity > 0, out=pixels[rows].astype(np.float64))
        divided[rows] = values if pixels.dtype.kind == "f" else np.rint(np.minimum(values, white))
    return divided


def to_8_bits(values: np.ndarray) -> np.ndarray:
    """Rounds to 8 bits; floats are clamped to [0, 1].

    >>> to_8_bits(np.array([0, 128, 129, 65535], np.uint16)), to_8_bits(np.array([-1, 0.5, 7], np.float32))
    (array([  0,   0,   1, 255], dtype=uint8), array([  0, 128, 255], dtype=uint8))
    """
    if values.dtype == np.uint16:
        values = ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)  # 65535 = 255 * 257
    if values.dtype.kind == "f":
        values = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    return values


def to_16_bits(values: np.ndarray) -> np.ndarray:
    """Rounds floats, clamped to [0, 1], to 16 bits; 8 and 16 bits stay as they are."""
    if values.dtype.kind == "f":
        values = np.rint(np.clip(values, 0, 1) * 65535).astype(np.uint16)
    return values


def widen(values: np.ndarray, bits: int) -> None:
    """Scales uint16 `values` (H, ...) of `bits` bits to 16 bits, in place and reversibly: white stays white."""
    if bits < 16:
        for rows in bands(len(values), 8 * values[0].size):
            values[rows] = (values[rows].astype(np.uint32) * 65535 + (1 << bits) // 2) // ((1 << bits) - 1)


def contents(file: IO[bytes]) -> bytes:
    """The bytes of an open file. Not a memory map: if the file were cut, a decoder in C would end the process."""
    file.seek(0)
    return file.read()


def check_page(picture: Picture, pages: int) -> None:
    """Sets the number of pictures in the file. Raises Refusal if `picture.page` is not one of them."""
    picture.pages = pages
    if not 1 <= picture.page <= pages:
        if pages == 1:
            raise Refusal(f"it has only one picture, and no page {picture.page}", "leave out --page")
        raise Refusal(f"it has {pages} pictures, and no page {picture.page}", f"--page is a number from 1 to {pages}")


def check_size(size: tuple[int, int], max_pixels: int, file: IO[bytes]) -> None:
    """Raises Refusal if there are no pixels, more than `max_pixels`, or far more than the file can hold."""
    width, height = size
    if width < 1 or height < 1:
        raise Refusal("it has no pixels", "copy or download it again")
    if width * height > max_pixels:
        raise Refusal(
            f"{width} x {height} pixels are more than the limit of {max_pixels:,}",
            f"--max-pixels {-(-width * height // 10**6)}M if you trust it; a small file may be an attack",
        )
    place = file.tell()
    stored = file.seek(0, io.SEEK_END)
    file.seek(place)
    if width * height > max(_ALWAYS_PLAUSIBLE, stored * _DENSEST):
        raise Refusal(
            f"its {stored:,} bytes cannot hold a photo of {width} x {height} pixels",
            "do not open it if you do not know its source; the size that it states is wrong or an attack",
        )

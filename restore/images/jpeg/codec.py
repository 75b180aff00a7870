"""JPEG: decoded with TurboJPEG, encoded with Pillow."""

from __future__ import annotations

import io
import re
from functools import cache
from typing import IO, Any

from PIL import Image, JpegImagePlugin

from restore.images import metadata, pillow
from restore.images.jpeg import appended as jpeg_appended
from restore.images.jpeg import extended_xmp
from restore.images.jpeg import inventory as jpeg_metadata
from restore.images.jpeg import pixels as jpeg_pixels
from restore.images.jpeg import segments as jpeg_segments
from restore.images.picture import DEFAULT_QUALITY, Picture, Refusal, check_page, check_size, contents

LOWEST_QUALITY = 90
"""Least quality of a JPEG from a JPEG. docs/formats.md has the measurements."""


def read(file: IO[bytes], picture: Picture, max_pixels: int) -> int:
    """Fills `picture`; returns the orientation still to apply.

    Raises:
        Refusal: It has more than 8 bits, too many pixels or scans, or no such page.
        Exception: The file is damaged.
    """
    data = contents(file)
    segments, end = jpeg_segments.parsed(data)
    index = next((s for s in segments if s.code == 0xE2 and s.data.startswith(jpeg_appended.MPF)), None)
    found = jpeg_appended.pieces(data, end, index, _main_packet(segments))
    pages = [piece for piece in found if piece.kind == "page"]
    check_page(picture, 1 + len(pages))
    if picture.page > 1:
        page = pages[picture.page - 2]
        data, found = data[page.start : page.end], []
        segments, end = jpeg_segments.parsed(data)
    image = _opened(data)
    check_size(image.size, max_pixels, io.BytesIO(data))
    jpeg_segments.check_scans(data)
    picture.source_is_lossless = False
    picture.jpeg_quality = _quality_of(image.quantization)
    picture.jpeg_subsampling = max(JpegImagePlugin.get_sampling(image), 0)
    picture.jpeg_is_progressive = bool(image.info.get("progressive"))
    _load(image, data, picture)
    jpeg_metadata.take(segments, image.info, picture)
    jpeg_appended.take(data, end, found, picture)
    image.info["xmp"] = picture.xmp
    picture.xmp = None
    orientation = pillow.take_metadata(image, picture)
    if orientation > 1:
        jpeg_appended.turn(picture, orientation)
        jpeg_metadata.turn(picture)
    return orientation


def _main_packet(segments: list[jpeg_segments.Segment]) -> bytes | None:
    head = extended_xmp.MAIN_HEAD
    found = [s.data[len(head) :] for s in segments if s.code == 0xE1 and s.data.startswith(head)]
    return found[-1] if found else None


def _opened(data: bytes) -> Any:
    try:
        return JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    except SyntaxError as error:  # Pillow raises it for files that it cannot open
        if deep := re.search(r"(\d+)-bit layers", str(error)):
            raise Refusal(f"JPEG of {deep[1]} bits is not read", "save it as 16-bit PNG or TIFF first") from None
        raise


def _load(image: Any, data: bytes, picture: Picture) -> None:
    """Sets the pixels. Pillow decodes what TurboJPEG does not, and refuses a file that is cut short."""
    pixels = None
    if image.mode in ("L", "RGB"):
        pixels = jpeg_pixels.decoded(data, image.size, len(image.mode))
    if pixels is not None:
        picture.pixels = pixels
    else:
        pillow.load(image, picture)
        picture.damage = jpeg_pixels.warning_of(data)


@cache
def _tables(quality: int) -> dict[int, list[int]]:
    """Quantisation tables of our encoder: 0 for luma, 1 for chroma."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG", quality=quality)
    file.seek(0)
    return JpegImagePlugin.JpegImageFile(file).quantization


def _quality_of(tables: dict[int, list[int]]) -> int:
    """Lowest quality whose steps are all at least as fine as those of `tables`.

    >>> _quality_of(_tables(83))
    83
    """

    def is_as_fine(quality: int) -> bool:
        ours = _tables(quality)
        return all(a <= b for k, theirs in tables.items() for a, b in zip(ours[min(k, 1)], theirs, strict=True))

    return next((quality for quality in range(1, 100) if is_as_fine(quality)), 100)


def write(file: IO[bytes], picture: Picture, quality: int | None) -> None:
    """Writes a JPEG with the chroma and the order of scans of the source.

    Without `quality`, that of the source JPEG is used, at least `LOWEST_QUALITY`; other sources have
    `DEFAULT_QUALITY`.
    """
    coded = io.BytesIO()
    pillow.image_of(picture).save(
        coded,
        "JPEG",
        dpi=picture.dpi or (0, 0),
        quality=quality or (max(LOWEST_QUALITY, picture.jpeg_quality) if picture.jpeg_quality else DEFAULT_QUALITY),
        subsampling=picture.jpeg_subsampling,
        progressive=picture.jpeg_is_progressive,
    )
    encoded = coded.getbuffer()
    start = 4 + int.from_bytes(encoded[4:6], "big")  # after the segment JFIF
    head = jpeg_metadata.packed(picture, metadata.profile_for(picture))
    index, appended = jpeg_appended.packed(picture, start + len(head), len(encoded) + len(head))
    for part in (encoded[:start], head, index, encoded[start:], appended):
        file.write(part)

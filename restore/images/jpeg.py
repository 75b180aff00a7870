"""JPEG: read and written with Pillow."""

from __future__ import annotations

import io
import re
from contextlib import suppress
from functools import cache
from typing import IO, Any

from PIL import Image, JpegImagePlugin

from restore.images import inner, pillow
from restore.images.picture import DEFAULT_QUALITY, Picture, Refusal, check_size, contents

_LONGEST_MARKER = 65_533  # bytes; a segment has a length of 16 bits


def read(file: IO[bytes], picture: Picture, max_pixels: int) -> int:
    """Fills `picture`; returns the orientation still to apply.

    Raises:
        Refusal: It has more than 8 bits, or too many pixels or scans.
        Exception: The file is damaged.
    """
    try:
        image: Any = JpegImagePlugin.JpegImageFile(file)
    except SyntaxError as error:  # Pillow raises it for files that it cannot open
        if deep := re.search(r"(\d+)-bit layers", str(error)):
            raise Refusal(f"JPEG of {deep[1]} bits is not read", "save it as 16-bit PNG or TIFF first") from None
        raise
    check_size(image.size, max_pixels, file)
    if "mp" in image.info:  # MPO: JPEGs one after the other
        with suppress(Exception):  # damage in the other pictures does not matter
            if (frames := image._getmp()[0xB001]) > 1:
                picture.note(f"only the first of {frames} pictures in the file is used")
    inner.check_scans(contents(file))
    picture.source_is_lossless = False
    picture.jpeg_quality = _quality_of(image.quantization)
    picture.jpeg_subsampling = max(JpegImagePlugin.get_sampling(image), 0)
    picture.comment = image.info.get("comment") or None
    pillow.load(image, picture)
    return pillow.take_metadata(image, picture)


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
    """Writes a JPEG of at least `DEFAULT_QUALITY` with the chroma of the source."""
    exif, xmp, comment = picture.exif, picture.xmp, picture.comment
    if exif and len(exif) + 6 > _LONGEST_MARKER:
        picture.note("the EXIF is too long for JPEG; it is dropped")
        exif = None
    if xmp and len(xmp) + 29 > _LONGEST_MARKER:
        picture.note("the XMP is too long for JPEG; it is dropped")
        xmp = None
    if comment and len(comment) > _LONGEST_MARKER:
        picture.note("the comment is too long for JPEG; it is dropped")
        comment = None
    pillow.save(
        file,
        picture,
        "JPEG",
        exif=b"Exif\0\0" + exif if exif else None,
        xmp=xmp or b"",
        comment=comment,
        quality=quality or max(DEFAULT_QUALITY, picture.jpeg_quality or 0),
        subsampling=picture.jpeg_subsampling,
    )

"""Reading TIFF with tifffile: every page, compression and layout that it decodes safely."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
from PIL import Image

from restore.images import metadata
from restore.images.picture import Picture, Refusal, check_page, check_size
from restore.images.tiff import maker_notes
from restore.images.tiff import tags as tiff_tags
from restore.images.tiff.colours import colours_of
from restore.images.tiff.directories import Directories, pictures
from restore.images.tiff.parts import samples_of

_COLOURS = {
    0: 1,
    1: 1,
    2: 3,
    3: 1,
    5: 4,
    6: 3,
    8: 3,
    9: 3,
    10: 3,
}  # PhotometricInterpretation -> samples without the extra ones
_OTHER_COLOURS = {
    4: "a transparency mask",
    32803: "the mosaic of a camera's sensor",
    32844: "LogLuv colours",
    32845: "LogLuv colours",
    34892: "a camera's linear raw colours",
}
_LOSSY = (7, 34712, 50001, 50002)  # JPEG, JPEG 2000, WebP, JPEG XL
# None, CCITT, LZW, JPEG, deflate, PackBits, JPEG 2000, LERC, LZMA, PNG, Zstandard, WebP, JPEG XL: their decoders
# survive thousands of damaged files. That of JPEG XR crashes the process.
_COMPRESSIONS = (1, 2, 3, 4, 5, 7, 8, 32773, 32946, 34712, 34887, 34925, 34933, 50000, 50001, 50002)
_SAVE_OTHERWISE = "save it as 8- or 16-bit grey or RGB first"


def opened(file: IO[bytes]) -> Any:
    """A `tifffile.TiffFile` that prints nothing."""
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # damage is raised
    directories = Directories(file)
    directories.at(directories.first)  # its tags are no larger than the file
    file.seek(0)
    return tifffile.TiffFile(file)


def read(file: IO[bytes], picture: Picture, max_pixels: int) -> int:
    """Fills `picture`; returns the orientation still to apply.

    Raises:
        Refusal: The pixels are of a kind that cannot be kept.
        Exception: The file is damaged; tifffile raises errors of any type.
    """
    directories = Directories(file)
    pages, others = pictures(directories)
    with opened(file) as tiff:
        return _read_page(file, tiff, directories, pages, others, picture, max_pixels)


def read_pages(file: IO[bytes], max_pixels: int) -> Iterator[tuple[Picture, int]]:
    """Reads all pages in turn, with the orientation still to apply. Raises as `read`, at the page."""
    directories = Directories(file)
    pages, others = pictures(directories)
    with opened(file) as tiff:
        for number in range(1, max(1, len(pages)) + 1):
            picture = Picture(np.empty(0), source_format="TIFF", page=number)
            orientation = _read_page(file, tiff, directories, pages, others, picture, max_pixels)
            yield picture, orientation


def _read_page(
    file: IO[bytes],
    tiff: Any,
    directories: Directories,
    pages: list[int],
    others: list[str],
    picture: Picture,
    max_pixels: int,
) -> int:
    import tifffile

    check_page(picture, len(pages))
    if others:
        picture.note(f"{' and '.join(others)} in the file are dropped")
    if directories.breaks_off:
        picture.note("the list of its pages breaks off; pages may be missing")
    tiff.filehandle.seek(pages[picture.page - 1])
    page: Any = tifffile.TiffPage(tiff, picture.page - 1)
    check_size((page.imagewidth, page.imagelength), max_pixels, file)
    picture.source_is_lossless = page.compression not in _LOSSY
    stated = tiff_tags.stated_pictures(page.description, page.imagelength * page.imagewidth * page.samplesperpixel)
    if stated > 1 == len(pages) and _holds(page, stated, file.seek(0, 2)):
        picture.note(f"only the first of {stated:,} pictures that are stored as one page is read")
    values, extra = _decode(page, picture, file.seek(0, 2), max_pixels)
    colours_of(page, values, extra, picture)

    described = page
    if page.offset in directories.inner:  # its metadata lie in the first directory
        tiff.filehandle.seek(directories.first)
        described = tifffile.TiffPage(tiff, 0)
    tags = described.tags
    if isinstance(profile := page.iccprofile or described.iccprofile, bytes) and page.photometric not in (5, 8, 9, 10):
        metadata.take_profile(profile, picture)
    metadata.take_xmp(tags.valueof(700), picture)
    unit, across, down = (tags.valueof(tag) for tag in (296, 282, 283))
    if across and down and unit != 1:
        scale = 2.54 if unit == 3 else 1.0  # centimetres, else inches
        metadata.take_dpi([scale * a / b if b else 0 for a, b in (across, down)], picture)
    picture.exif = read_exif(file, described.offset, picture)
    orientation = tags.valueof(274, 1)
    orientation = orientation if orientation in range(1, 9) else 1
    tiff_tags.take(directories, page.offset, orientation, page, picture)
    return orientation


def _holds(page: Any, count: int, file_size: int) -> bool:
    """Whether `count` pictures lie one behind the other, as ImageJ writes large stacks."""
    ends = zip(page.dataoffsets, page.databytecounts, strict=False)
    lengths: int = sum(page.databytecounts)
    return page.compression == 1 and max((sum(end) for end in ends), default=0) + (count - 1) * lengths <= file_size


def read_exif(file: IO[bytes], offset: int | None, picture: Picture) -> bytes | None:
    """EXIF of the descriptive tags in the directory at `offset`, or in the first directory."""
    exif = Image.Exif()
    try:
        file.seek(0)
        head = file.read(16)
        exif.endian = "<" if head[:2] == b"II" else ">"
        exif.bigtiff = 43 in head[2:4]
        file.seek(0)
        exif.load_from_fp(file, offset)
        return maker_notes.settled(metadata.packed(metadata.descriptive(exif)), file, offset, picture)
    except Exception:  # on odd EXIF Pillow raises errors of any type
        picture.note("damaged EXIF is dropped")
        return None


def _decode(page: Any, picture: Picture, file_size: int, max_pixels: int) -> tuple[np.ndarray, int]:
    """The samples (H, W, S), and how many of the S are not colours."""
    photometric, samples, bits = page.photometric, page.samplesperpixel, page.bitspersample
    colours = _COLOURS.get(photometric)
    is_jpeg = page.compression in (7, 50001)
    kind = None
    if colours is None:
        kind = _OTHER_COLOURS.get(photometric, f"of an unknown kind ({str(photometric)[:20]!a})")
    elif photometric == 6 and not is_jpeg:
        kind = "YCbCr colours"
    elif page.dtype is None or page.imagedepth != 1 or page.sampleformat not in (1, 3, 4, 2 if photometric == 8 else 1):
        kind = "signed integers, complex numbers or volumes"
    elif not isinstance(bits, int) or (page.sampleformat != 3 and bits > 16):
        kind = "integers of more than 16 bits or of unequal length"
    elif page.sampleformat == 3 and (bits not in (16, 32, 64) or photometric not in (1, 2)):
        kind = f"{bits}-bit floating-point numbers that are neither grey nor RGB"
    elif photometric in (8, 9, 10) and (bits not in (8, 16) or page.sampleformat == 3 or is_jpeg or 433 in page.tags):
        kind = "CIELAB colours of an unusual encoding"
    elif photometric == 5 and (page.tags.valueof(332, 1) != 1 or samples < 4):
        kind = "inks other than cyan, magenta, yellow and black"
    elif not colours <= samples <= colours + 8:
        kind = f"{samples} samples of which {colours} should be colours"
    if kind:
        raise Refusal(f"its pixels are {kind}", _SAVE_OTHERWISE)
    if page.compression not in _COMPRESSIONS:
        name = getattr(page.compression, "name", "of an unknown kind")
        raise Refusal(f"its compression ({name}, {int(page.compression)}) is not read", "save it with deflate or LZW")
    values = samples_of(page, picture, file_size, max_pixels)
    if values.shape != (page.imagelength, page.imagewidth, samples):
        raise OSError("its pixels are not laid out as it states")
    return values, samples - int(colours or 0)

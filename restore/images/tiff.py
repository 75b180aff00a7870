"""Reading TIFF with tifffile: every page, compression and layout that it decodes safely."""

from __future__ import annotations

import logging
import math
from typing import IO, Any

import numpy as np
from PIL import Image

from restore.images import inner, metadata
from restore.images.picture import Picture, Refusal, check_size
from restore.images.tiff_colours import colours_of

_COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3}  # PhotometricInterpretation -> samples without the extra ones
_OTHER_COLOURS = {
    4: "a transparency mask",
    8: "CIELAB colours",
    9: "CIELAB colours",
    10: "CIELAB colours",
    32803: "the mosaic of a camera's sensor",
    32844: "LogLuv colours",
    32845: "LogLuv colours",
    34892: "a camera's linear raw colours",
}
_LOSSY = (7, 34712, 50001, 50002)  # JPEG, JPEG 2000, WebP, JPEG XL
# None, CCITT, LZW, JPEG, deflate, PackBits, JPEG 2000, LERC, LZMA, PNG, Zstandard, WebP, JPEG XL: their decoders
# survive thousands of damaged files. That of JPEG XR crashes the process.
_COMPRESSIONS = (1, 2, 3, 4, 5, 7, 8, 32773, 32946, 34712, 34887, 34925, 34933, 50000, 50001, 50002)
_LARGEST_TILE = 2048 * 2048  # pixels; a small picture may lie in a tile of usual size
_ODD_PART = "do not open it if you do not know its source; otherwise save it with deflate or LZW"
_SAVE_OTHERWISE = "save it as 8- or 16-bit grey or RGB first"


def opened(file: IO[bytes]) -> Any:
    """A `tifffile.TiffFile` that prints nothing."""
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # damage is raised
    return tifffile.TiffFile(file)


def read(file: IO[bytes], picture: Picture, max_pixels: int) -> int:
    """Fills `picture`; returns the orientation still to apply.

    Raises:
        Refusal: The pixels are of a kind that cannot be kept.
        Exception: The file is damaged; tifffile raises errors of any type.
    """
    with opened(file) as tiff:
        count = len(tiff.pages)
        page: Any = tiff.pages[0]
        for number in range(min(count, 8)):  # thumbnails may come before the picture
            candidate: Any = tiff.pages[number]
            if not candidate.subfiletype & 1:
                page = candidate
                break
        check_size((page.imagewidth, page.imagelength), max_pixels, file)
        if count > 1:
            picture.note(f"only the first of {count} pictures in the file is used")
        picture.source_is_lossless = page.compression not in _LOSSY
        values, extra = _decode(page, picture, file.seek(0, 2), max_pixels)
        picture.pixels, picture.alpha = colours_of(page, values, extra, picture)

        tags = page.tags
        if isinstance(profile := page.iccprofile, bytes) and page.photometric != 5:
            metadata.take_profile(profile, picture)
        metadata.take_xmp(tags.valueof(700), picture)
        unit, across, down = (tags.valueof(tag) for tag in (296, 282, 283))
        if across and down and unit != 1:
            scale = 2.54 if unit == 3 else 1.0  # centimetres, else inches
            metadata.take_dpi([scale * a / b if b else 0 for a, b in (across, down)], picture)
        picture.exif = read_exif(file, page.offset, picture)
        orientation = tags.valueof(274, 1)
    return orientation if orientation in range(1, 9) else 1


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
        return metadata.packed(metadata.descriptive(exif))
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
        kind = _OTHER_COLOURS.get(photometric, f"of an unknown kind ({photometric})")
    elif photometric == 6 and not is_jpeg:
        kind = "YCbCr colours"
    elif page.sampleformat not in (1, 3, 4) or page.dtype is None or page.imagedepth != 1:
        kind = "signed integers, complex numbers or volumes"
    elif not isinstance(bits, int) or (page.sampleformat != 3 and bits > 16):
        kind = "integers of more than 16 bits or of unequal length"
    elif page.sampleformat == 3 and (bits not in (16, 32, 64) or photometric not in (1, 2)):
        kind = f"{bits}-bit floating-point numbers that are neither grey nor RGB"
    elif photometric == 5 and (page.tags.valueof(332, 1) != 1 or samples < 4):
        kind = "inks other than cyan, magenta, yellow and black"
    elif not colours <= samples <= colours + 8:
        kind = f"{samples} samples of which {colours} should be colours"
    if kind:
        raise Refusal(f"its pixels are {kind}", _SAVE_OTHERWISE)
    if page.compression not in _COMPRESSIONS:
        name = getattr(page.compression, "name", "of an unknown kind")
        raise Refusal(f"its compression ({name}, {int(page.compression)}) is not read", "save it with deflate or LZW")
    offsets, counts = page.dataoffsets, page.databytecounts
    if len(offsets) != math.prod(page.chunked) or len(counts) != len(offsets):
        raise OSError("its parts are not all there")
    if any(not c or o + c > file_size for o, c in zip(offsets, counts, strict=True)):
        raise OSError("the file ends before its pixels")
    if page.compression == 5:
        import imagecodecs

        for segment, _ in page.parent.filehandle.read_segments(offsets, counts):
            # Damaged strips can crash the process when decoded into a given space. Decoded without one, they raise.
            # This takes 1.6 times the time of decoding, and no memory.
            imagecodecs.lzw_decode(segment)
    _check_parts(page, max_pixels)
    values = page.asarray(squeeze=False)  # (planes, 1, H, W, samples of a plane)
    values = np.moveaxis(values[:, 0, :, :, 0], 0, -1) if page.planarconfig == 2 and samples > 1 else values[0, 0]
    if values.shape != (page.imagelength, page.imagewidth, samples):
        raise OSError("its pixels are not laid out as it states")
    return values, samples - int(colours or 0)


def _check_parts(page: Any, max_pixels: int) -> None:
    """Raises Refusal if a strip or tile would be far larger than the picture. No decoder checks that."""
    height, width = page.imagelength, page.imagewidth
    if page.is_tiled:
        height, width = page.tilelength, page.tilewidth
        if height * width > min(max_pixels, max(_LARGEST_TILE, 4 * page.imagelength * page.imagewidth)):
            raise Refusal(f"its tiles have {width} x {height} pixels, more than the picture", _ODD_PART)
    elif page.rowsperstrip:
        height = min(height, page.rowsperstrip)
    if int(page.compression) not in inner.SIZED:
        return
    planes = 1 if page.planarconfig == 2 else page.samplesperpixel
    for data, _ in page.parent.filehandle.read_segments(page.dataoffsets, page.databytecounts):
        columns, rows, samples = inner.stated_size(int(page.compression), data)
        if columns > width or rows > height:
            raise Refusal(f"a part of {width} x {height} pixels holds a picture of {columns} x {rows}", _ODD_PART)
        if samples > planes:
            raise Refusal(f"a part of {planes} channels holds a picture of {samples}", _ODD_PART)

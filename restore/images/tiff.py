"""TIFF: read with tifffile; written in bands, as BigTIFF where the file would end beyond 4 GB."""

from __future__ import annotations

import logging
import math
from itertools import accumulate
from typing import IO, Any

import numpy as np
from PIL import Image, TiffImagePlugin

from restore.images import inner, metadata
from restore.images.picture import Picture, Refusal, bands, check_size, interleaved, limit, widen
from restore.images.png import compressor

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
        picture.pixels, picture.alpha = _colours(page, values, extra, picture)

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


def _colours(page: Any, values: np.ndarray, extra: int, picture: Picture) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels and alpha of the decoded samples (H, W, S)."""
    bits, colours = page.bitspersample, values.shape[2] - extra
    if page.photometric != 3:
        values = _full_range(values, bits, picture)
    # Extra samples without a stated meaning are transparency, as Photoshop writes them.
    meanings = page.extrasamples or (2,)
    alpha = None
    if extra:
        place = next((k for k, meaning in enumerate(meanings[:extra]) if meaning in (1, 2)), None)
        alpha = None if place is None else values[..., colours + place]
        if extra > (alpha is not None):
            picture.note("channels that are neither colour nor transparency are dropped")
    pixels = values[..., :colours]
    if page.photometric == 3:
        palette = (np.asarray(page.colormap).reshape(3, -1) >> 8).T.astype(np.uint8)
        pixels = palette[pixels[..., 0]]
        alpha = None if alpha is None else _full_range(alpha[..., None], bits, picture)[..., 0]
    elif page.photometric == 0:
        np.subtract(np.array(limit(pixels.dtype), pixels.dtype), pixels, out=pixels)
    elif page.photometric == 5:
        if pixels.dtype != np.uint8:
            picture.note("16-bit CMYK is read at 8 bits")
            pixels = (pixels >> 8).astype(np.uint8)
            alpha = None if alpha is None else (alpha >> 8).astype(np.uint8)
        pixels = _cmyk_to_rgb(pixels, page.iccprofile, picture)
    if alpha is not None and 1 in meanings:
        _divide_by_alpha(pixels, alpha)
    return pixels, alpha


def _cmyk_to_rgb(inks: np.ndarray, profile: bytes | None, picture: Picture) -> np.ndarray:
    """uint8 (H, W, 4) to (H, W, 3)."""
    transform = metadata.cmyk_transform(profile, picture)
    height, width = inks.shape[:2]
    pixels = np.empty((height, width, 3), np.uint8)
    for rows in bands(height, 4 * width):
        values = np.ascontiguousarray(inks[rows])
        band = Image.frombuffer("CMYK", (width, len(values)), values.tobytes(), "raw", "CMYK", 0, 1)
        pixels[rows] = np.asarray(transform.apply(band) if transform else band.convert("RGB"))
    return pixels


def _full_range(values: np.ndarray, bits: int, picture: Picture) -> np.ndarray:
    """uint8 or uint16 over their whole range, or float32; writable and in native byte order."""
    if values.dtype.kind == "f":
        if values.dtype.itemsize == 8:
            picture.note("64-bit floating-point numbers are read as 32-bit ones")
        with np.errstate(over="ignore"):
            values = values.astype(np.float32, copy=False)
        for rows in bands(len(values), values[0].nbytes):
            if not np.isfinite(values[rows]).all():
                raise Refusal("its pixels hold NaN or infinity", "replace them with numbers first")
        return values
    if bits < 8:
        return (values * np.uint8(255 // (2**bits - 1))).astype(np.uint8) if 8 % bits == 0 else _few_bits(values, bits)
    values = values.astype("=u2" if bits > 8 else "u1", copy=False)
    if bits not in (8, 16):
        widen(values, bits)
    return values


def _few_bits(values: np.ndarray, bits: int) -> np.ndarray:
    table = np.rint(np.arange(2**bits) * 255 / (2**bits - 1)).astype(np.uint8)
    found: np.ndarray = table[values]
    return found


def _divide_by_alpha(pixels: np.ndarray, alpha: np.ndarray) -> None:
    """Divides premultiplied `pixels` (H, W, C) by alpha, in place."""
    white = limit(pixels.dtype)
    for rows in bands(len(pixels), 8 * pixels[0].size):
        opacity = alpha[rows, :, None].astype(np.float64)
        straight = np.divide(pixels[rows] * white, opacity, where=opacity > 0, out=pixels[rows].astype(np.float64))
        pixels[rows] = straight if pixels.dtype.kind == "f" else np.rint(np.minimum(straight, white))


def write(file: IO[bytes], picture: Picture) -> None:
    """Writes TIFF 6.0, or BigTIFF above 4 GB: little-endian, directory first, deflated strips.

    Integers are stored as horizontal differences, floats as differences of their bytes (Adobe's TIFF Technical
    Note 3).
    """
    height, width, channels = picture.pixels.shape
    samples, size = channels + (picture.alpha is not None), picture.pixels.itemsize
    is_float = picture.pixels.dtype.kind == "f"
    strips = list(bands(height, width * samples * size))
    is_big = height * width * samples * size > _LARGEST
    start = 16 if is_big else 8
    profile = metadata.profile_for(picture)

    def directory(offsets: tuple[int, ...], counts: tuple[int, ...], with_exif: bool) -> Any:
        tags: Any = TiffImagePlugin.ImageFileDirectory_v2(b"II+\0\x08" + bytes(11) if is_big else b"II*\0" + bytes(4))
        if with_exif and picture.exif:
            exif = Image.Exif()
            exif.load(picture.exif)
            for tag, value in metadata.descriptive(exif).items():
                tags[tag] = value
        tags[256], tags[257], tags[258], tags[259] = width, height, (8 * size,) * samples, 8  # 8 is deflate
        tags[262], tags[274], tags[277], tags[278] = 2 if channels == 3 else 1, 1, samples, strips[0].stop
        tags[284], tags[317] = 1, 3 if is_float else 2  # interleaved samples, differences
        if picture.alpha is not None:
            tags[338] = 2  # not premultiplied
        if is_float:
            tags[339] = (3,) * samples
        if picture.dpi:
            tags[282], tags[283], tags[296] = *picture.dpi, 2
        if picture.xmp:
            tags[700] = picture.xmp
        if profile:
            tags[34675] = profile
        for tag, values in ((273, offsets), (279, counts)):
            tags[tag] = values
            tags.tagtype[tag] = 16 if is_big else 4  # always LONG8 or LONG, so that the directory keeps its length
        return tags

    zeros, with_exif = (0,) * len(strips), True
    try:
        length = len(directory(zeros, zeros, with_exif).tobytes(start))
    except Exception:  # on odd EXIF Pillow raises errors of any type
        picture.note("TIFF could not take this EXIF; it is dropped")
        with_exif = False
        length = len(directory(zeros, zeros, with_exif).tobytes(start))
    file.seek(start + length)
    counts = []
    for rows in strips:
        deflate = compressor()
        strip = _differences(interleaved(picture, rows))
        counts.append(file.write(deflate.compress(strip)) + file.write(deflate.flush()))
    file.seek(0)
    # Offsets count from the end of the directory; Pillow adds its position.
    directory(tuple(accumulate(counts[:-1], initial=0)), tuple(counts), with_exif).save(file)


_LARGEST = 4_100_000_000  # bytes of pixels; below this, a file with its metadata ends before 4 GB


def _differences(values: np.ndarray) -> bytes:
    """The bytes of a strip (H, W, S) to compress: its differences."""
    if values.dtype.kind == "f":
        import imagecodecs

        return bytes(imagecodecs.floatpred_encode(np.ascontiguousarray(values.astype("<f4", copy=False)), axis=-2))
    values = values.astype(f"<u{values.itemsize}")
    values[:, 1:] -= values[:, :-1].copy()
    return values.tobytes()

"""Makes picture files of every kind, with other libraries or by hand, from known pixels and metadata."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from functools import cache
from typing import Any

import imagecodecs
import numpy as np
import pillow_heif
import tifffile
from PIL import Image, ImageCms

from restore.images import jpeg_xl_header

HEIGHT, WIDTH = 40, 56
DEPTHS = {"8": 255, "10": 1023, "12": 4095, "16": 65535, "float": 1.0}
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><a note='\xc3\xa9'/></x:xmpmeta>"
GAMMA = struct.pack(">I", 100_000 * 10 // 18)  # 1.8
TEXT = (b"tEXt", b"Author\0J\xf6rg")
COMMENT = "Grüße".encode()


@dataclass(frozen=True)
class Odd:
    """The content of a file to make.

    Attributes:
        colours: "grey", "RGB", "grey + alpha", "RGBA", "palette", "palette + alpha", "1 bit" or "CMYK".
        depth: One of `DEPTHS`.
        extras: "icc", "exif", "xmp", "dpi", "text", "comment", "gamma"; "turned": orientation 6; "pages": a second
            picture; "lossy": where the format has a choice; and variants, which the function of a format lists.
    """

    colours: str = "RGB"
    depth: str = "8"
    extras: frozenset[str] = frozenset()

    def __contains__(self, extra: str) -> bool:
        return extra in self.extras


def samples(colours: str, depth: str = "8") -> np.ndarray:
    """(H, W, C) that lossy formats change little: slopes, and an opacity of blocks, some of them 0."""
    channels = {"grey": 1, "RGB": 3, "grey + alpha": 2, "RGBA": 4, "palette": 1, "palette + alpha": 1, "CMYK": 4}
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    slopes = [((x * 2 + y * (k + 1)) % 200 + 20) / 255 for k in range(channels[colours])]
    if "alpha" in colours or colours == "RGBA":
        slopes[-1] = (x // 8 + y // 8) % 3 / 2
    values = np.stack(slopes, axis=-1) * DEPTHS[depth]
    return values.astype(np.float32) if depth == "float" else np.rint(values).astype(f"u{1 if depth == '8' else 2}")


@cache
def profile_of(space: str) -> bytes:
    """A colour profile: "RGB" or "GRAY". Cached, because it holds its creation time."""
    if space == "GRAY":
        return bytes(imagecodecs.cms_profile("gray", gamma=2.2))
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def exif_block(orientation: int = 1) -> bytes:
    """EXIF with camera, exposure, maker note and place."""
    exif = Image.Exif()
    exif.endian = ">"
    exif[271], exif[274] = "Maker", orientation
    exif[0x8769] = {0x829A: (1, 250), 0x927C: b"maker note \x00\x01\xff"}
    exif[0x8825] = {1: "N", 2: (48.0, 8.0, 14.0)}
    return exif.tobytes().removeprefix(b"Exif\0\0")


def chunk(name: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _icc(odd: Odd) -> bytes | None:
    return profile_of("GRAY" if "grey" in odd.colours else "RGB") if "icc" in odd else None


def _exif(odd: Odd) -> bytes | None:
    return exif_block(6 if "turned" in odd else 1) if {"exif", "turned"} & odd.extras else None


def _image(odd: Odd) -> Image.Image:
    """An 8-bit Pillow image."""
    if odd.colours == "1 bit":
        return Image.fromarray(samples("grey")[..., 0] > 127)
    values = samples(odd.colours)
    if "palette" in odd.colours:
        image = Image.fromarray(values[..., 0]).convert("P")
        image.putpalette(palette().tobytes())
        return image
    mode = {"grey": "L", "RGB": "RGB", "grey + alpha": "LA", "RGBA": "RGBA", "CMYK": "CMYK"}[odd.colours]
    return Image.frombytes(mode, (WIDTH, HEIGHT), values.tobytes())


def palette() -> np.ndarray:
    """The colours of palette files, (256, 3)."""
    return np.stack([np.arange(256), 255 - np.arange(256), np.arange(256) // 2], axis=-1).astype(np.uint8)


def opacities() -> np.ndarray:
    """The opacities of the palette, (256,); some are 0."""
    return (np.arange(256) // 32 * 36).astype(np.uint8)


def _saved(image: Image.Image, name: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, name, **{key: value for key, value in options.items() if value is not None})
    return file.getvalue()


_ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
"""Passes of an interlaced PNG: first row and column, and steps down and across (PNG specification, 8.1)."""


def png(odd: Odd) -> bytes | None:
    """Variants: "interlaced"."""
    if odd.depth not in ("8", "16") or odd.colours == "CMYK" or "comment" in odd:
        return None
    chunks = b""
    if "gamma" in odd:
        chunks += chunk(b"gAMA", GAMMA)
    if profile := _icc(odd):
        chunks += chunk(b"iCCP", b"p\0\0" + zlib.compress(profile))
    if "dpi" in odd:
        chunks += chunk(b"pHYs", struct.pack(">IIB", 11811, 5906, 1))
    if exif := _exif(odd):
        chunks += chunk(b"eXIf", exif)
    if "xmp" in odd:
        chunks += chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP)
    if "text" in odd:
        chunks += chunk(*TEXT)
    if odd.depth == "8" and "interlaced" not in odd:
        alpha = opacities().tobytes() if odd.colours == "palette + alpha" else None
        pages = {"save_all": True, "append_images": [Image.new("RGB", (WIDTH, HEIGHT))]} if "pages" in odd else {}
        if pages and odd.colours == "palette + alpha":
            return None
        data = _saved(_image(odd), "PNG", transparency=alpha, **pages)
    elif "palette" in odd.colours or odd.colours == "1 bit" or "pages" in odd:
        return None
    else:
        values = samples(odd.colours, odd.depth)
        colour = {1: 0, 2: 4, 3: 2, 4: 6}[values.shape[2]]
        values = values.astype(f">u{values.itemsize}")
        passes = _ADAM7 if "interlaced" in odd else ((0, 0, 1, 1),)
        parts = [values[top::down, left::across] for top, left, down, across in passes]
        rows = b"".join(b"\0" + row.tobytes() for part in parts for row in part)
        head = (WIDTH, HEIGHT, int(odd.depth), colour, 0, 0, "interlaced" in odd)
        data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", *head))
        data += chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return data[:33] + chunks + data[33:]


def jpeg(odd: Odd) -> bytes | None:
    """Variants: "progressive"."""
    if odd.depth != "8" or odd.colours not in ("grey", "RGB", "CMYK") or odd.extras & {"text", "gamma"}:
        return None
    options: dict[str, Any] = {"quality": 97, "subsampling": 0, "progressive": "progressive" in odd}
    exif = _exif(odd)
    options |= {"icc_profile": _icc(odd), "exif": exif and b"Exif\0\0" + exif, "xmp": XMP if "xmp" in odd else None}
    options |= {"dpi": (300, 150) if "dpi" in odd else None, "comment": COMMENT if "comment" in odd else None}
    if "pages" in odd:
        other = Image.new(_image(odd).mode, (WIDTH, HEIGHT))
        return _saved(_image(odd), "MPO", save_all=True, append_images=[other], **options)
    return _saved(_image(odd), "JPEG", **options)


def webp(odd: Odd) -> bytes | None:
    """WebP has no grey."""
    if odd.depth != "8" or odd.colours not in ("RGB", "RGBA") or odd.extras & {"text", "comment", "gamma", "dpi"}:
        return None
    options: dict[str, Any] = {"icc_profile": _icc(odd), "exif": _exif(odd), "xmp": XMP if "xmp" in odd else None}
    if "pages" in odd:
        options |= {"save_all": True, "append_images": [Image.new(_image(odd).mode, (WIDTH, HEIGHT))]}
    return _saved(_image(odd), "WEBP", lossless="lossy" not in odd, exact=True, quality=95, **options)


def tiff(odd: Odd) -> bytes | None:
    """Variants: "big", "tiled", "planar", "big-endian", and the compressions "deflate", "lzw" and "packbits"."""
    if odd.depth in ("10",) or odd.extras & {"text", "comment", "gamma"}:
        return None
    if odd.depth == "float" and odd.colours not in ("grey", "RGB", "grey + alpha", "RGBA"):
        return None
    options: dict[str, Any] = {"metadata": None, "software": False, "iccprofile": _icc(odd)}
    values: np.ndarray
    if odd.colours == "1 bit":
        if odd.depth != "8" or odd.extras & {"planar", "packbits"}:
            return None
        values, options["photometric"] = samples("grey")[..., 0] > 127, "minisblack"
        options["bitspersample"] = 1
    else:
        values = samples(odd.colours, odd.depth)
        if odd.colours == "palette":
            if odd.depth != "8":
                return None
            options |= {"photometric": "palette", "colormap": (palette().astype(np.uint16) * 257).T}
        elif odd.colours == "palette + alpha":
            return None
        elif odd.colours == "CMYK":
            options["photometric"] = "separated"
        else:
            options["photometric"] = "rgb" if odd.colours.startswith("RGB") else "minisblack"
        if "alpha" in odd.colours or odd.colours == "RGBA":
            options["extrasamples"] = ["unassalpha"]
        options["planarconfig"] = None if values.shape[2] == 1 else "contig"
        if "planar" in odd:
            if values.shape[2] == 1:
                return None
            values, options["planarconfig"] = np.moveaxis(values, -1, 0), "separate"
        if odd.depth == "12":
            if "palette" in odd.colours or odd.extras & {"planar", "deflate", "lzw", "packbits"}:
                return None  # tifffile cannot write these
            options["bitspersample"] = 12
        values = values[..., 0] if values.shape[-1] == 1 else values
    options["compression"] = next((c for c in ("deflate", "lzw", "packbits") if c in odd), None)
    if "tiled" in odd:
        options["tile"] = (16, 16)
    tags: list[tuple[int, int, int, Any, bool]] = []
    if "turned" in odd:
        tags.append((274, 3, 1, 6, True))
    if "exif" in odd:
        tags.append((271, 2, 6, "Maker", True))
    if "xmp" in odd:
        tags.append((700, 1, len(XMP), XMP, True))
    if "dpi" in odd:
        options |= {"resolution": (300, 150), "resolutionunit": "inch"}
    file = io.BytesIO()
    order = ">" if "big-endian" in odd else "<"
    with tifffile.TiffWriter(file, bigtiff="big" in odd, byteorder=order) as writer:  # type: ignore[arg-type]
        writer.write(values, extratags=tags, **{key: value for key, value in options.items() if value is not None})
        if "pages" in odd:
            writer.write(np.zeros((8, 8), np.uint8), photometric="minisblack", metadata=None)
    return file.getvalue()


def bmp(odd: Odd) -> bytes | None:
    """Transparency uses bit fields in a header of version 4."""
    known = odd.colours in ("grey", "RGB", "palette", "1 bit", "RGBA") and odd.extras <= {"dpi"}
    if odd.depth != "8" or not known:
        return None
    if odd.colours == "RGBA":
        pixels = samples("RGBA")[::-1, :, [2, 1, 0, 3]].tobytes()
        head = struct.pack("<IiiHHIIiiII", 108, WIDTH, HEIGHT, 1, 32, 3, len(pixels), 0, 0, 0, 0)
        head += struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000).ljust(68, b"\0")
        return b"BM" + struct.pack("<IHHI", 14 + len(head) + len(pixels), 0, 0, 14 + len(head)) + head + pixels
    return _saved(_image(odd), "BMP", dpi=(300, 150) if "dpi" in odd else None)


def _box(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(data), name) + data


def jpeg2000(odd: Odd) -> bytes | None:
    """Variants: "stream", without the surrounding boxes."""
    if odd.depth == "float" or odd.colours in ("1 bit", "CMYK") or odd.extras & {"text", "comment", "gamma", "pages"}:
        return None
    if odd.colours == "palette + alpha" or (odd.colours == "palette" and odd.depth != "8"):
        return None
    values = samples(odd.colours, odd.depth)
    count = values.shape[2]
    coded: Any = values[..., 0] if count == 1 else values
    bits = 8 if odd.depth == "8" else int(odd.depth)
    options: dict[str, Any] = {"reversible": False, "level": 50} if "lossy" in odd else {"reversible": True, "level": 0}
    stream = bytes(imagecodecs.jpeg2k_encode(coded, codecformat="j2k", bitspersample=bits, **options))
    if "stream" in odd:
        return stream if odd.extras <= {"stream", "lossy"} and odd.colours != "palette" else None
    head = _box(b"ihdr", struct.pack(">IIHBBBB", HEIGHT, WIDTH, count, bits - 1, 7, 0, 0))
    space = 17 if odd.colours.startswith("grey") else 16
    profile = _icc(odd)
    head += _box(b"colr", b"\2\0\0" + profile if profile else struct.pack(">BBBI", 1, 0, 0, space))
    if odd.colours == "palette":
        head += _box(b"pclr", struct.pack(">HB3B", 256, 3, 7, 7, 7) + palette().tobytes())
        head += _box(b"cmap", b"".join(struct.pack(">HBB", 0, 1, k) for k in range(3)))
    if count in (2, 4):
        kinds = [(k, 0, k + 1) for k in range(count - 1)] + [(count - 1, 1, 0)]
        head += _box(b"cdef", struct.pack(">H", count) + b"".join(struct.pack(">HHH", *kind) for kind in kinds))
    if "dpi" in odd:
        head += _box(b"res ", _box(b"resc", struct.pack(">HHHHbb", 5906, 1, 11811, 1, 0, 0)))
    data = b"\0\0\0\x0cjP  \r\n\x87\n" + _box(b"ftyp", b"jp2 \0\0\0\0jp2 ") + _box(b"jp2h", head)
    if exif := _exif(odd):
        data += _box(b"uuid", b"JpgTiffExif->JP2" + exif)
    if "xmp" in odd:
        data += _box(b"uuid", bytes.fromhex("be7acfcb97a942e89c71999491e3afac") + XMP)
    return data + _box(b"jp2c", stream)


def jpeg_xl(odd: Odd) -> bytes | None:
    """The orientation of "turned" is in the stream; that of EXIF contradicts it, and does not count."""
    if odd.colours not in ("grey", "RGB", "grey + alpha", "RGBA") or odd.extras & {"text", "comment", "gamma", "dpi"}:
        return None
    if "pages" in odd and odd.depth != "8":
        return None  # imagecodecs cuts deep animations into parts
    values = samples(odd.colours, odd.depth)
    coded: Any = values[..., 0] if values.shape[2] == 1 else values
    coded = np.stack([coded, np.zeros_like(coded)]) if "pages" in odd else coded
    options: dict[str, Any] = {"distance": 0.3} if "lossy" in odd else {"lossless": True}
    options["bitspersample"] = None if odd.depth == "float" else int(odd.depth)
    stream = bytes(imagecodecs.jpegxl_encode(coded, usecontainer=False, **options))
    if not stream.startswith(b"\xff\x0a"):  # more than 12 bits need a container
        stream = stream[stream.index(b"jxlc") + 4 :]
    if profile := _icc(odd):
        stream = jpeg_xl_header.with_colours(stream, profile=profile) or b""
    if "turned" in odd:
        stream = _turned(stream)
    data = b"\0\0\0\x0cJXL \r\n\x87\n" + _box(b"ftyp", b"jxl \0\0\0\0jxl ")
    if {"exif", "turned"} & odd.extras:
        data += _box(b"Exif", b"\0\0\0\0" + exif_block(3 if "turned" in odd else 1))
    if "xmp" in odd:
        data += _box(b"brob", b"xml " + bytes(imagecodecs.brotli_encode(XMP)))
    return data + _box(b"jxlc", stream)


def _turned(stream: bytes) -> bytes:
    """The stream of an upright JPEG XL with orientation 6 (ISO/IEC 18181-1, annex D.3)."""
    header = jpeg_xl_header.read(stream)
    assert header.depth_at and header.colours_at and header.end
    bits = f"{int.from_bytes(stream[:256], 'little'):02048b}"[::-1]
    depth, colours, end = header.depth_at, header.colours_at[1], header.end
    bits = bits[: depth - 1] + "1" + "101" + "000" + bits[depth:colours] + "1" + bits[colours:end]
    bits += "0" * (-len(bits) % 8)
    return int(bits[::-1], 2).to_bytes(len(bits) // 8, "little") + stream[-(-end // 8) :]


def avif(odd: Odd) -> bytes | None:
    """10 and 12 bits have no metadata: no available library writes both."""
    known = odd.colours in ("grey", "RGB", "RGBA")
    if odd.depth in ("10", "12") and known and not odd.extras:
        values: Any = samples(odd.colours, odd.depth)
        layout = "400" if odd.colours == "grey" else "444"
        values = values[..., 0] if odd.colours == "grey" else values
        return bytes(imagecodecs.avif_encode(values, 100, bitspersample=int(odd.depth), pixelformat=layout))
    if odd.depth != "8" or not known or odd.extras & {"text", "comment", "gamma", "dpi"}:
        return None
    options: dict[str, Any] = {"icc_profile": _icc(odd), "exif": _exif(odd), "xmp": XMP if "xmp" in odd else None}
    if "pages" in odd:
        options |= {"save_all": True, "append_images": [Image.new(_image(odd).mode, (WIDTH, HEIGHT))]}
    return _saved(_image(odd), "AVIF", quality=98, subsampling="4:0:0" if odd.colours == "grey" else "4:4:4", **options)


def heic(odd: Odd) -> bytes | None:
    """10 and 12 bits come from 16 bits, which pillow-heif cuts."""
    known = odd.colours in ("grey", "RGB", "RGBA") and odd.depth in ("8", "10", "12")
    if not known or odd.extras & {"text", "comment", "gamma", "dpi"}:
        return None
    values = samples(odd.colours, odd.depth)
    mode = {"grey": "L", "RGB": "RGB", "RGBA": "RGBA"}[odd.colours]
    if odd.depth != "8":
        values, mode = values << (16 - int(odd.depth)), mode + ";16"
        pillow_heif.options.SAVE_HDR_TO_12_BIT = odd.depth == "12"
    file = io.BytesIO()
    options: dict[str, Any] = {"icc_profile": _icc(odd), "exif": _exif(odd), "xmp": XMP if "xmp" in odd else None}
    options = {key: value for key, value in options.items() if value is not None}
    if "pages" in odd:
        if odd.depth != "8":
            return None
        images = pillow_heif.from_pillow(_image(odd))
        images.add_from_pillow(Image.new("RGB", (WIDTH, HEIGHT)))
        images.save(file, quality=95, chroma=444, **options)
    else:
        size = (WIDTH, HEIGHT)
        pillow_heif.encode(mode, size, values.tobytes(), file, quality=95, chroma=444, **options)
    return file.getvalue()


def raw(odd: Odd) -> bytes | None:
    """A DNG: the mosaic of a grey card, twice as bright on the right; 12 bits stored in 16."""
    if odd.depth != "16" or odd.colours != "RGB" or not odd.extras <= {"exif", "turned"}:
        return None
    mosaic = np.full((64, 96), 1000, np.uint16)
    mosaic[:, 48:] = 2000
    identity = (1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1)
    tags = [
        (271, 2, 6, "Maker", True),
        (272, 2, 6, "Model", True),
        (274, 3, 1, 6 if "turned" in odd else 1, True),
        (33421, 3, 2, (2, 2), True),  # CFARepeatPatternDim
        (33422, 1, 4, b"\0\1\1\2", True),  # CFAPattern
        (50706, 1, 4, b"\1\4\0\0", True),  # DNGVersion
        (50708, 2, 6, "Model", True),  # UniqueCameraModel
        (50714, 3, 1, 0, True),  # BlackLevel
        (50717, 3, 1, 4095, True),  # WhiteLevel
        (50721, 10, 9, identity, True),  # ColorMatrix1
        (50728, 5, 3, (1, 1, 1, 1, 1, 1), True),  # AsShotNeutral
        (50778, 3, 1, 21, True),  # CalibrationIlluminant1
    ]
    file = io.BytesIO()
    with tifffile.TiffWriter(file, byteorder="<") as writer:
        writer.write(mosaic, photometric="cfa", metadata=None, software=False, extratags=tags)
    return file.getvalue()


MAKERS = {
    "PNG": (png, ".png"),
    "JPEG": (jpeg, ".jpg"),
    "WebP": (webp, ".webp"),
    "TIFF": (tiff, ".tif"),
    "BMP": (bmp, ".bmp"),
    "JPEG 2000": (jpeg2000, ".jp2"),
    "JPEG XL": (jpeg_xl, ".jxl"),
    "AVIF": (avif, ".avif"),
    "HEIC": (heic, ".heic"),
    "RAW": (raw, ".dng"),
}
"""Format -> the function that makes its files (None for content that it cannot hold), and their extension."""

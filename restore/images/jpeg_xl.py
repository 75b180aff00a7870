"""JPEG XL: boxes, colours and metadata; imagecodecs codes the pixels."""

from __future__ import annotations

import ctypes
import io
import struct
from typing import IO, Any

import numpy as np

from restore.images import jpeg2000, jpeg_xl_header, metadata
from restore.images.jpeg_xl_header import SIGNATURE, STREAM, Header
from restore.images.picture import (
    DEFAULT_QUALITY,
    Picture,
    Refusal,
    bands,
    check_page,
    check_size,
    contents,
    interleaved,
    limit,
    split,
    straight,
    widen,
)

__all__ = ["SIGNATURE", "STREAM", "read", "write"]

_MOST_METADATA = 16 << 20  # bytes, of one decompressed box
# 12 megapixels on 2 cores: lossless, effort 1 takes 0.2 s for 18.8 MB, 2 takes 2.8 s for 17.7 MB, 4 takes 17.5 s for
# 16.8 MB. Lossy, effort 3 and 4 take 2.3 s for 2.9 MB; 5 takes 9 s and gains nothing.
_LOSSLESS_EFFORT, _LOSSY_EFFORT = 2, 4
# States and targets of libjxl, from jxl/decode.h and jxl/color_encoding.h.
_DONE, _COLOURS, _FRAME, _ORIGINAL = 0, 0x100, 0x400, 0


def read(file: IO[bytes], picture: Picture, max_pixels: int) -> int:
    """Fills `picture`, upright: the decoder applies the orientation of the stream, and that of EXIF does not count."""
    data = contents(file)
    stream, boxes = _boxes(data)
    header = jpeg_xl_header.read(stream)
    check_size((header.width, header.height), max_pixels, file)
    if jpeg_xl_header.BLACK in header.extras:
        raise Refusal("it is a CMYK JPEG XL", "convert it to RGB first")
    if header.bits > 16 and not header.is_float:
        raise Refusal(f"its pixels are integers of {header.bits} bits", "save it with 16 bits or as floats first")
    picture.source_is_lossless = not header.is_xyb and b"jbrd" not in boxes
    if header.is_animated:
        frames = _count_frames(stream)
        check_page(picture, frames or picture.page)
        picture.loops = header.loops
        if frames is None:
            picture.note("it is an animation; how many frames it has is not known here")
    else:
        check_page(picture, 1)
    _take_pixels(stream, header, picture)
    _take_colours(stream, header, picture)
    if others := sum(kind != jpeg_xl_header.ALPHA for kind in header.extras):
        picture.note(f"{others} further channel{'s are' if others > 1 else ' is'} dropped")
    if exif := boxes.get(b"Exif"):
        (offset,) = struct.unpack_from(">I", exif.ljust(4, b"\0"))
        metadata.take_exif(exif[4 + offset :], picture)
    metadata.take_xmp(boxes.get(b"xml "), picture)
    if b"jumb" in boxes:
        picture.note("the record of its origin (C2PA) is dropped")
    return 0


def _boxes(data: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    """The codestream, and the data of the other boxes by name; of several with one name, the first."""
    if not data.startswith(SIGNATURE):
        return data, {}
    found: dict[bytes, bytes] = {}
    pieces: dict[int, bytes] = {}
    for name, start, stop in jpeg2000.boxes(io.BytesIO(data), 0, len(data)):
        if name == b"jxlc":
            pieces.setdefault(0, data[start:stop])
        elif name == b"jxlp":
            (number,) = struct.unpack(">I", data[start : start + 4])
            pieces.setdefault(number & 0x7FFFFFFF, data[start + 4 : stop])
        elif name == b"brob":
            found.setdefault(data[start : start + 4], _decompressed(data[start : start + 4], data[start + 4 : stop]))
        else:
            found.setdefault(name, data[start:stop])
    return b"".join(pieces[number] for number in sorted(pieces)), found


def _decompressed(name: bytes, data: bytes) -> bytes:
    if name not in (b"Exif", b"xml "):
        return b""
    import imagecodecs

    size = 1 << 16
    while True:  # Brotli does not state the size
        try:
            return bytes(imagecodecs.brotli_decode(data, out=size))
        except imagecodecs.BrotliError:
            size *= 8
            if size > _MOST_METADATA:
                return b""


def _take_pixels(stream: bytes, header: Header, picture: Picture) -> None:
    import imagecodecs

    is_converted = header.has_profile and header.is_xyb
    coded = jpeg_xl_header.with_depth_of_12(stream, header) if is_converted else stream
    values = imagecodecs.jpegxl_decode(coded, index=picture.page - 1 if header.is_animated else None)
    has_alpha = jpeg_xl_header.ALPHA in header.extras
    samples = (1 if header.is_grey else 3) + has_alpha
    shape = (header.height, header.width)[:: -1 if header.orientation > 4 else 1]
    values = values.reshape(*shape, -1)
    if values.shape[2] < samples:
        raise OSError("its pixels are not of the kind that it states")
    values = values[..., :samples]
    if values.dtype.kind == "f":
        values = values.astype(np.float32, copy=False)
        if not np.isfinite(values).all():
            raise Refusal("its pixels include NaN or infinity", "replace them first")
    elif values.dtype == np.uint16:
        values = np.ascontiguousarray(values)
        widen(values, 12 if coded is not stream else header.bits)
    elif header.bits < 8:
        values = np.rint(values * (255 / ((1 << header.bits) - 1))).astype(np.uint8)
    picture.pixels, picture.alpha = split(values)
    if picture.alpha is not None and header.is_premultiplied:
        picture.pixels = straight(picture.pixels, picture.alpha)
    if is_converted:
        _leave_linear(picture, header.bits)


def _leave_linear(picture: Picture, bits: int) -> None:
    """Converts linear sRGB, in which libjxl returns XYB of a file with a profile, to sRGB of 8 or 16 bits or floats."""
    picture.note("its colours became sRGB, because JPEG XL's lossy colours do not depend on the profile")
    if picture.pixels.dtype.kind == "f":
        picture.colour[b"gAMA"] = struct.pack(">I", 100_000)
        return
    kind = np.uint8 if bits <= 8 else np.uint16
    white = limit(picture.pixels.dtype)
    levels = np.arange(int(white) + 1) / white
    table = np.rint(_encoded(levels) * np.iinfo(kind).max).astype(kind)
    picture.pixels = table[picture.pixels]
    if picture.alpha is not None and kind == np.uint8 and picture.alpha.dtype == np.uint16:
        picture.alpha = np.rint(picture.alpha / 257.0).astype(np.uint8)


def _encoded(light: np.ndarray) -> np.ndarray:
    """Light as values of sRGB (IEC 61966-2-1)."""
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def _linear(values: np.ndarray) -> np.ndarray:
    """Values of sRGB as light."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _grey_srgb() -> bytes:
    import imagecodecs

    curve = _linear(np.linspace(0, 1, 1024)).astype(np.float32)
    return bytes(imagecodecs.cms_profile("gray", whitepoint=(0.3127, 0.329, 1.0), transferfunction=curve))


def _take_colours(stream: bytes, header: Header, picture: Picture) -> None:
    """Sets the profile, or chunks as of a PNG that state the same colours."""
    if header.has_profile:
        if not header.is_xyb:
            profile = _profile_of(stream)
            metadata.take_profile(profile, picture)
            if profile is None:
                picture.note("its colour profile cannot be read here; it is dropped")
        return
    primaries = 12 if (header.primaries, header.white) == (11, 1) else header.primaries
    if header.transfer in (1, 13, 16, 18) and (header.white == 1 or primaries == 11) and primaries in (1, 9, 11, 12):
        if header.transfer > 13 or primaries != 1:
            picture.colour[b"cICP"] = bytes((primaries, header.transfer, 0, 1))
        return
    gamma = {8: 1.0, 17: 1 / 2.6}.get(header.transfer or 0, header.gamma or 1 / 2.2)
    picture.colour[b"gAMA"] = struct.pack(">I", round(gamma * 100_000))
    corners = {
        1: [(0.64, 0.33), (0.3, 0.6), (0.15, 0.06)],
        9: [(0.708, 0.292), (0.17, 0.797), (0.131, 0.046)],
        11: [(0.68, 0.32), (0.265, 0.69), (0.15, 0.06)],
    }.get(header.primaries)
    places = [header.chromaticities[0], *corners] if corners else header.chromaticities
    flat = [round(100_000 * value) for point in places for value in point]
    if len(flat) == 8 and min(flat) >= 0:
        picture.colour[b"cHRM"] = struct.pack(">8I", *flat)
    else:
        picture.note("its primaries cannot be kept; they are dropped")


def _library() -> Any:
    """libjxl inside imagecodecs, which itself tells neither profiles nor the number of frames; None without."""
    from imagecodecs import _jpegxl

    try:
        library = ctypes.CDLL(_jpegxl.__file__)
        library.JxlDecoderCreate.restype = ctypes.c_void_p
        _ = library.JxlDecoderGetColorAsICCProfile
    except (OSError, AttributeError):  # linked without its names, as on Windows
        return None
    return library


class _Decoder:
    """Walks through a stream without decoding pixels."""

    def __init__(self, library: Any, stream: bytes, events: int) -> None:
        self.library = library
        self.decoder = ctypes.c_void_p(library.JxlDecoderCreate(None))
        self._stream = stream  # libjxl reads it where it lies
        library.JxlDecoderSubscribeEvents(self.decoder, ctypes.c_int(events))
        library.JxlDecoderSetInput(self.decoder, ctypes.c_char_p(stream), ctypes.c_size_t(len(stream)))
        library.JxlDecoderCloseInput(self.decoder)

    def __enter__(self) -> _Decoder:
        return self

    def __exit__(self, *_: object) -> None:
        self.library.JxlDecoderDestroy(self.decoder)

    def step(self) -> int:
        return int(self.library.JxlDecoderProcessInput(self.decoder))


def _profile_of(stream: bytes) -> bytes | None:
    """The ICC profile in a stream; None where libjxl cannot be asked, or finds none."""
    library = _library()
    if library is None:
        return None
    with _Decoder(library, stream, _COLOURS) as decoder:
        size = ctypes.c_size_t()
        if decoder.step() != _COLOURS:
            return None
        library.JxlDecoderGetICCProfileSize(decoder.decoder, _ORIGINAL, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        failed = library.JxlDecoderGetColorAsICCProfile(decoder.decoder, _ORIGINAL, buffer, size)
        return None if failed or not size.value else buffer.raw


def _count_frames(stream: bytes) -> int | None:
    """Number of frames that an animation shows; None where libjxl cannot be asked."""
    library = _library()
    if library is None:
        return None
    frames = 0
    with _Decoder(library, stream, _FRAME) as decoder:
        while (status := decoder.step()) == _FRAME:
            frames += 1
    if status != _DONE:
        raise OSError("its frames end early")
    return frames


def write(file: IO[bytes], picture: Picture, quality: int | None) -> None:
    """Writes a JPEG XL: lossless if the source was and `quality` is None, else by libjxl's measure of quality."""
    import imagecodecs

    values = interleaved(picture, slice(None))
    values = np.ascontiguousarray(values[..., 0] if values.shape[2] == 1 else values)
    cicp = picture.colour.get(b"cICP") if not picture.icc_profile else None
    is_hdr = bool(cicp and cicp[1] in (16, 18) and cicp[0] in (1, 9, 11, 12))
    profile = None if is_hdr else metadata.profile_for(picture)
    is_lossless = quality is None and picture.source_is_lossless
    if not is_lossless and (is_hdr or (profile and picture.pixels.dtype.kind == "f")):
        picture.note(f"{'HDR is' if is_hdr else 'floats with a colour profile are'} written as lossless JPEG XL")
        is_lossless = True
    effort = _LOSSLESS_EFFORT if is_lossless else _LOSSY_EFFORT
    options: dict[str, Any] = {"effort": effort, "usecontainer": False, "lossless": is_lossless}
    if not is_lossless:
        values, profile = _in_srgb(values, picture, profile), None
        options["distance"] = _distance(quality or max(DEFAULT_QUALITY, picture.jpeg_quality or 0))
    stream, boxes = _boxes(bytes(imagecodecs.jpegxl_encode(values, **options)))
    named = jpeg_xl_header.with_colours(stream, profile=profile, cicp=(cicp[0], cicp[1]) if cicp and is_hdr else None)
    if named is None:
        picture.note("JPEG XL has no place for this colour profile; it is dropped")
        named = stream
    file.write(SIGNATURE + _box(b"ftyp", b"jxl \0\0\0\0jxl "))
    for name, data in (
        (b"jxll", boxes.get(b"jxll")),
        (b"Exif", b"\0\0\0\0" + picture.exif if picture.exif else None),
        (b"xml ", picture.xmp),
    ):
        if data:
            file.write(_box(name, data))
    file.write(struct.pack(">I4s", 0, b"jxlc"))  # 0: to the end of the file
    file.write(named)


def _in_srgb(values: np.ndarray, picture: Picture, profile: bytes | None) -> np.ndarray:
    """The samples as the encoder takes them for lossy files: 8 bits are sRGB, all others linear sRGB."""
    import imagecodecs

    channels = picture.pixels.shape[2]
    shape = (*picture.pixels.shape[:2], -1)
    colours = values.reshape(shape)[..., :channels]
    if profile:
        space = "rgb" if channels == 3 else "gray"
        try:
            colours = imagecodecs.cms_transform(
                np.ascontiguousarray(colours if channels == 3 else colours[..., 0]),
                profile,
                metadata.srgb_profile() if channels == 3 else _grey_srgb(),
                colorspace=space,
                outcolorspace=space,
                intent=1,  # relative colorimetric
            ).reshape(shape)
            picture.note("its colours became sRGB, because lossy JPEG XL has no profile")
        except (RuntimeError, ValueError):
            picture.note("the colour profile is unusable; it is dropped")
    if colours.dtype == np.uint16:
        colours = np.rint(65535 * _linear(np.arange(65536) / 65535)).astype(np.uint16)[colours]
    elif colours.dtype.kind == "f":
        light = np.empty_like(colours)
        for rows in bands(len(colours), 16 * colours[0].size):
            light[rows] = np.copysign(_linear(np.abs(colours[rows])), colours[rows])
        colours = light
    if picture.alpha is not None:
        colours = np.concatenate([colours, picture.alpha[..., None]], axis=2)
    return np.ascontiguousarray(colours[..., 0] if colours.shape[2] == 1 else colours)


def _box(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(data), name) + data


def _distance(quality: int) -> float:
    """The distance of libjxl's own scale of qualities; 1 is visually lossless.

    >>> _distance(95), _distance(90)
    (0.55, 1.0)
    """
    if quality >= 30:
        return round(0.1 + (100 - quality) * 0.09, 4)
    return min(25.0, 53 / 3000 * quality**2 - 23 / 20 * quality + 25)

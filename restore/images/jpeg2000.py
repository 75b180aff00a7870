"""JPEG 2000: headers, pixels of more than 8 bits, and writing."""

from __future__ import annotations

import io
import math
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np
from PIL import Jpeg2KImagePlugin

from restore.images import metadata, pillow
from restore.images.picture import (
    Picture,
    Refusal,
    bands,
    check_size,
    contents,
    interleaved,
    split,
    straight,
    to_16_bits,
    widen,
)

SIGNATURE = b"\0\0\0\x0cjP  \r\n\x87\n"
STREAM = b"\xff\x4f\xff\x51"
_SAVE_OTHERWISE = "save it as 8- or 16-bit grey or RGB first"
_EXIF = b"JpgTiffExif->JP2"  # name of a uuid box, like the next
_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_TILE_PART, _END = b"\xff\x90", b"\xff\xd9"  # markers
_MARKERS = re.compile(rb"\xff[\x90-\xff]")  # none of these lies in the data of packets (ISO/IEC 15444-1, B.10.1, D.4.1)
_MARGIN = 16  # zero bytes in a row that coded data may hold by chance
_SPACES = (12, 16, 17, 18)  # CMYK, sRGB, grey, sYCC
_TILE = 2048  # pixels; a multiple of 64 * 2**5, so that code blocks align with those of an untiled picture
_NARROW = 256  # pixels
_SMALLEST_TILE = 1024  # pixels, on average


@dataclass
class Header:
    """The main header of the stream.

    Attributes:
        start: First byte of the stream in the file.
        width, height: Pixels.
        bits: Bits per sample of the deepest component.
        components: Number of components.
        is_plain: All components are unsigned, of equal depth and not subsampled.
        is_reversible: The wavelet is the one for lossless files.
        tiles: Number of tiles that the picture consists of.
        first_tile: Position of the first tile-part in the file.
        longest_zeros: Most zero bytes in a row that an encoder may write: one for each empty packet. None where the
            coding style allows more.
        palette: (N, C) uint8 colours; the samples are their indices.
        space: Colour space of a JP2 (EnumCS of its colr box): 12 is CMYK, 16 sRGB, 17 grey, 18 sYCC; None for others.
        last_kind: Meaning of the last channel, from the cdef box: 0 colour, 1 opacity, 2 premultiplied opacity, 65535
            unknown; None where the file does not say.
    """

    start: int
    width: int
    height: int
    bits: int
    components: int
    is_plain: bool
    is_reversible: bool
    tiles: int
    first_tile: int
    longest_zeros: int | None = None
    palette: np.ndarray | None = None
    space: int | None = None
    last_kind: int | None = None


def read(file: IO[bytes], picture: Picture, max_pixels: int) -> int:
    """Fills `picture`; returns the orientation still to apply. Missing tiles stay black; `picture.damage` tells it."""
    header = _read_header(file, picture, max_pixels)
    found = _survey(file, header)
    if 2 * len(found.parts) < header.tiles:
        raise Refusal(f"only {len(found.parts)} of its {header.tiles} tiles are there", "copy or download it again")
    picture.damage = found.damage(header.tiles)
    if found.lacks_end:
        file = io.BytesIO(contents(file) + _END)  # decoders refuse a stream without
    by_xmp = metadata.take_xmp(picture.xmp, picture)
    picture.source_is_lossless = header.is_reversible
    profile, picture.icc_profile = picture.icc_profile, None
    if header.bits > 8 or header.palette is not None:
        picture.pixels, picture.alpha = _decode(file, header)
    else:
        profile = _decode_8_bits(file, header, picture, profile)
    _take_last_channel(header, picture)
    metadata.take_profile(profile, picture)
    return metadata.take_exif(picture.exif or b"", picture) or by_xmp


def _decode_8_bits(file: IO[bytes], header: Header, picture: Picture, profile: bytes | None) -> bytes | None:
    """Decodes with Pillow; returns the profile that still describes the pixels."""
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
    picture.pixels, picture.alpha = pillow.decoded(image, "", picture)
    return None if image.mode == "CMYK" else profile


def _take_last_channel(header: Header, picture: Picture) -> None:
    """Corrects what was taken for transparency, where the file says otherwise."""
    if picture.alpha is None:
        return
    if header.last_kind == 2:
        picture.pixels = straight(picture.pixels, picture.alpha)
    elif header.last_kind == 65535:
        picture.extra, picture.extra_kinds, picture.alpha = picture.alpha[..., None], (0,), None


@dataclass
class _Survey:
    """What the tile-parts of a stream state about themselves (ISO/IEC 15444-1, A.4.2).

    Attributes:
        parts: Tile -> numbers of its tile-parts that are there.
        totals: Tile -> number of its tile-parts, where it is stated.
        wrong: Tiles whose data holds bytes that an encoder never writes, or lacks packets.
        lacks_end: The stream is whole but for the marker at its end.
    """

    parts: dict[int, set[int]] = field(default_factory=dict)
    totals: dict[int, int] = field(default_factory=dict)
    wrong: set[int] = field(default_factory=set)
    lacks_end: bool = False

    def damage(self, tiles: int) -> str | None:
        """A sentence; None for a stream without visible damage."""
        missing = tiles - len(self.parts)
        cut = {tile for tile, total in self.totals.items() if len(self.parts[tile]) < total}
        words = []
        if missing:
            words.append(f"{missing} of {tiles} tiles {'are' if missing > 1 else 'is'} missing and black")
        if broken := len(cut | self.wrong):
            words.append(f"{broken} of {tiles} tiles {'are' if broken > 1 else 'is'} damaged")
        if self.lacks_end:
            words.append("the end of the file is missing")
        return "; ".join(words) or None


def damage_of(data: bytes) -> str | None:
    """What is visibly missing or wrong in a stream or the first stream of a JP2; None where nothing is."""
    file = io.BytesIO(data)
    header = read_codestream(file)
    return _survey(file, header).damage(header.tiles)


def _survey(file: IO[bytes], header: Header) -> _Survey:
    found = _Survey()
    packets: dict[int, int] = {}
    position = header.first_tile
    while True:
        file.seek(position)
        head = file.read(12)
        if len(head) < 12 or not head.startswith(_TILE_PART):
            found.lacks_end = not head
            return found
        tile, length, number, total = struct.unpack(">HIBB", head[4:])
        data = file.read(length - 12 if length >= 14 else -1)
        if tile < header.tiles:
            found.parts.setdefault(tile, set()).add(number)
            if total:
                found.totals[tile] = total
            start = data.find(b"\xff\x93") + 2  # the data begins; before it are headers
            if length and len(data) < length - 12:
                found.wrong.add(tile)
            if header.longest_zeros is not None and data.find(bytes(header.longest_zeros), start) >= 0:
                found.wrong.add(tile)
            for marker in _MARKERS.finditer(data, start):
                place = marker.start()
                if data[place + 1] == 0x91:  # a packet with its number
                    expected = packets[tile] = packets.get(tile, -1) + 1
                    if int.from_bytes(data[place + 4 : place + 6], "big") != expected & 0xFFFF:
                        found.wrong.add(tile)
                elif data[place:] != _END and data[place + 1] != 0x92:
                    found.wrong.add(tile)
        if length < 14:  # 0: this is the last one
            return found
        position += length


def boxes(file: IO[bytes], start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Name of each box, and the start and end of its data."""
    while start + 8 <= end:
        file.seek(start)
        length, name = struct.unpack(">I4s", file.read(8))
        head = 8
        if length == 1:
            (length,), head = struct.unpack(">Q", file.read(8)), 16
        stop = end if length == 0 else start + length
        if not start + head <= stop <= end:
            raise OSError(f"the box {name.decode('latin-1')!r} is longer than the file")
        yield name, start + head, stop
        start = stop


def _read_header(file: IO[bytes], picture: Picture, max_pixels: int) -> Header:
    """Reads everything before the pixels into `picture`; EXIF and XMP keep their orientation.

    Raises:
        Refusal: The picture is too large.
        OSError, struct.error: The file is damaged.
    """
    end = file.seek(0, 2)
    file.seek(0)
    stream = 0 if file.read(4) == STREAM else None
    streams = 0
    colours: tuple[np.ndarray | None, int | None, int | None] = None, None, None
    if stream is None:
        for name, start, stop in boxes(file, 0, end):
            file.seek(start)
            if name == b"jp2c":
                stream, streams = start if stream is None else stream, streams + 1
            elif name == b"jp2h":
                colours = _read_jp2h(file, start, stop, picture)
            elif name == b"uuid" and stop - start > 16:
                kind, data = file.read(16), file.read(stop - start - 16)
                if kind == _XMP:
                    picture.xmp = data
                elif kind == _EXIF:
                    picture.exif = data.removeprefix(b"Exif\0\0")
    if stream is None:
        raise OSError("it holds no stream of pixels")
    header = _read_stream(file, stream)
    header.palette, header.space, header.last_kind = colours
    if streams > 1:
        picture.note(f"only the first of {streams} pictures in the file is used")
    check_size((header.width, header.height), max_pixels, file)
    # OpenJPEG takes 12 KB for each tile of three components, however small the tile is.
    if header.components > 4:
        raise Refusal(f"it has {header.components} channels", _SAVE_OTHERWISE)
    if header.tiles > max(256, header.width * header.height // _SMALLEST_TILE):
        raise Refusal(f"it consists of {header.tiles:,} tiles of a few pixels", "save it with larger tiles first")
    return header


def read_codestream(file: IO[bytes]) -> Header:
    """The header of a bare stream or of the first stream of a JP2.

    Raises:
        OSError, struct.error: The file is damaged.
    """
    file.seek(0)
    start = 0
    if file.read(4) != STREAM:
        start = next((s for name, s, _ in boxes(file, 0, file.seek(0, 2)) if name == b"jp2c"), 0)
    file.seek(start)
    if file.read(4) != STREAM:
        raise OSError("a part of it is not JPEG 2000")
    return _read_stream(file, start)


def _read_jp2h(
    file: IO[bytes], start: int, end: int, picture: Picture
) -> tuple[np.ndarray | None, int | None, int | None]:
    """Sets the profile and resolution of `picture`; returns the palette, colour space and last kind of `Header`."""
    palette = space = last_kind = None
    for name, data, stop in boxes(file, start, end):
        file.seek(data)
        if name == b"colr" and stop - data > 3:
            method = file.read(3)[0]
            if method in (2, 3):
                picture.icc_profile = file.read(stop - data - 3)
            elif method == 1 and space is None:
                (space,) = struct.unpack(">I", file.read(4))
                if space not in _SPACES:
                    known = {14: "CIELAB", 21: "ROMM RGB"}.get(space, f"of kind {space}")
                    raise Refusal(f"its colours are {known}", _SAVE_OTHERWISE)
        elif name == b"cdef":
            (count,) = struct.unpack(">H", file.read(2))
            kinds = dict(struct.unpack(">HHH", file.read(6))[:2] for _ in range(min(count, 4)))
            last_kind = kinds.get(max(kinds, default=0))
        elif name == b"pclr":
            entries, columns = struct.unpack(">HB", file.read(3))
            if any(depth != 7 for depth in file.read(columns)):
                raise Refusal("its palette is not one of 8 bits", _SAVE_OTHERWISE)
            palette = np.frombuffer(file.read(entries * columns), np.uint8).reshape(entries, columns)
        elif name == b"res ":
            for kind, place, _ in boxes(file, data, stop):
                if kind == b"resc":
                    file.seek(place)
                    down, d, across, a, down_power, across_power = struct.unpack(">HHHHbb", file.read(10))
                    if d and a:
                        resolution = across / a * 10.0**across_power, down / d * 10.0**down_power
                        metadata.take_dpi([0.0254 * v for v in resolution], picture)
    return palette, space, last_kind


def _read_stream(file: IO[bytes], start: int) -> Header:
    file.seek(start + 2)
    *_, right, bottom, left, top, width, height, x, y, count = struct.unpack(">HHHIIIIIIIIH", file.read(40))
    if not (width and height and x <= left < right and y <= top < bottom):
        raise OSError("its stream states an impossible size")
    tiles = -(-(right - x) // width) * -(-(bottom - y) // height)
    parts = [struct.unpack("BBB", file.read(3)) for _ in range(count)]
    depths = {depth for depth, _, _ in parts}
    is_plain = len(depths) == 1 and all(depth < 128 and (dx, dy) == (1, 1) for depth, dx, dy in parts)
    is_reversible, longest = False, None
    marker = b""
    while marker != _TILE_PART:
        marker, length = struct.unpack(">2sH", file.read(4))
        data = file.read(length - 2)
        if marker == b"\xff\x52":  # coding style
            is_reversible = data[9] == 1
            if not (data[0] & 1 or data[8] & 0x41):  # no small precincts, no bits that bypass the coder, no HTJ2K
                longest = _MARGIN + int.from_bytes(data[2:4], "big") * (data[5] + 1) * count
    bits = max((depth & 127) + 1 for depth in depths)
    first_tile = file.tell() - length - 2
    return Header(start, right - left, bottom - top, bits, count, is_plain, is_reversible, tiles, first_tile, longest)


def _decode(file: IO[bytes], header: Header) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels and alpha of a file of 9 to 16 bits or with a palette.

    Raises:
        Refusal: The samples are signed, subsampled, of more than 16 bits or of unequal depth.
    """
    import imagecodecs

    if not header.is_plain or header.bits > 16 or header.components > 4:
        raise Refusal(
            f"its pixels are {header.components} samples of {header.bits} bits that are signed, subsampled or too many",
            _SAVE_OTHERWISE,
        )
    # Only the stream: imagecodecs would apply the colour profile of a whole file.
    file.seek(header.start)
    values = imagecodecs.jpeg2k_decode(file.read())
    values = values.reshape(header.height, header.width, -1)
    if header.palette is not None:
        values = header.palette[values[..., 0]]  # each column is a channel
    elif values.dtype != np.uint16:
        raise OSError("its pixels are not of the depth that it states")
    else:
        widen(values, header.bits)
    if header.space == 18 and header.components >= 3:
        _leave_ycc(values)
    return split(values)


def _leave_ycc(values: np.ndarray) -> None:
    """Converts uint16 sYCC (H, W, 3 or 4) to sRGB in place (IEC 61966-2-1, annex F)."""
    for rows in bands(len(values), 32 * values[0].size):
        y, blue, red = np.moveaxis(values[rows, :, :3].astype(np.float32), -1, 0)
        blue, red = blue - 32768, red - 32768
        colours = y + 1.402 * red, y - 0.344136 * blue - 0.714136 * red, y + 1.772 * blue
        values[rows, :, :3] = np.rint(np.clip(np.stack(colours, axis=-1), 0, 65535))


def write(file: IO[bytes], picture: Picture, name: str, quality: int | None) -> None:
    """Writes JP2, or for J2K the bare stream. Lossless if the source was and `quality` is None."""
    if name == "JP2":
        file.write(SIGNATURE + _box(b"ftyp", b"jp2 \0\0\0\0jp2 ") + _box(b"jp2h", _header_boxes(picture)))
        if picture.exif:
            file.write(_box(b"uuid", _EXIF + picture.exif))
        if picture.xmp:
            file.write(_box(b"uuid", _XMP + picture.xmp))
        file.write(struct.pack(">I4s", 0, b"jp2c"))  # 0: to the end of the file
    if quality is None and picture.source_is_lossless:
        _write_stream(file, picture, {"reversible": True, "level": 0})
    else:
        _write_stream(file, picture, {"reversible": False, "level": _decibels(quality)})


def _write_stream(file: IO[bytes], picture: Picture, options: dict[str, Any]) -> None:
    """Writes tile by tile, because OpenJPEG takes eight times the memory of its input.

    imagecodecs cannot write tiles. So each is encoded as a separate picture, then gets its number and the size of the
    whole picture (ISO/IEC 15444-1, annex A).
    """
    import imagecodecs

    height, width = picture.pixels.shape[:2]
    rows, columns = _tile(height), _tile(width)
    number = 0
    for top in range(0, height, rows):
        values = to_16_bits(interleaved(picture, slice(top, top + rows)))
        values = values[..., 0] if values.shape[2] == 1 else values
        for left in range(0, width, columns):
            tile = np.ascontiguousarray(values[:, left : left + columns])
            stream = imagecodecs.jpeg2k_encode(tile, codecformat="j2k", **options)
            start = 2  # of the tile, after the headers that all tiles share
            while stream[start : start + 2] != _TILE_PART:
                start += 2 + struct.unpack_from(">H", stream, start + 2)[0]
            if number == 0:
                file.write(stream[:8] + struct.pack(">II", width, height) + stream[16:start])
            file.write(_TILE_PART + struct.pack(">HH", 10, number))
            file.write(memoryview(stream)[start + 6 : -2])  # without the end marker
            number += 1
    file.write(_END)


def _tile(length: int) -> int:
    """Pixels of a tile along one axis. Leaves no narrow tile, in which OpenJPEG would miss the target quality.

    >>> _tile(1000), _tile(5000), _tile(4100)
    (2048, 2048, 6144)
    """
    size = _TILE
    while size < length and 0 < length % size < _NARROW:
        size += _TILE
    return size


def _decibels(quality: int | None) -> int:
    """The target PSNR: 50 dB at quality 100, about that of JPEG; 30 dB at 1."""
    return 30 + (quality or 95) // 5


def _box(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(data), name) + data


def _header_boxes(picture: Picture) -> bytes:
    height, width, channels = picture.pixels.shape
    samples, bits = channels + (picture.alpha is not None), 8 * min(picture.pixels.itemsize, 2)
    boxes = _box(b"ihdr", struct.pack(">IIHBBBB", height, width, samples, bits - 1, 7, 0, 0))
    if profile := metadata.profile_for(picture):
        boxes += _box(b"colr", b"\2\0\0" + profile)
    else:
        boxes += _box(b"colr", struct.pack(">BBBI", 1, 0, 0, 16 if channels == 3 else 17))  # sRGB, or grey like it
    if picture.alpha is not None:  # channel k is colour k + 1; the last is the opacity
        kinds = [(k, 0, k + 1) for k in range(channels)] + [(channels, 1, 0)]
        boxes += _box(b"cdef", struct.pack(">H", samples) + b"".join(struct.pack(">HHH", *kind) for kind in kinds))
    if picture.dpi:
        numbers = [_decimal(d / 0.0254) for d in reversed(picture.dpi)]
        (down, down_power), (across, across_power) = numbers
        resolution = struct.pack(">HHHHbb", down, 1, across, 1, down_power, across_power)
        boxes += _box(b"res ", _box(b"resc", resolution))
    return boxes


def _decimal(value: float) -> tuple[int, int]:
    """A value as digits of at most 16 bits and a power of ten.

    >>> _decimal(11811.02), _decimal(2834645.7)
    ((11811, 0), (28346, 2))
    """
    power = max(0, math.ceil(math.log10(value / 65535)))
    return round(value / 10**power), power

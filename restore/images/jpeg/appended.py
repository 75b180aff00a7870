"""What follows the first picture in a JPEG file: further pictures, a gain map, and the video of a motion photo.

Sources: CIPA DC-007 (Multi-Picture Format, MPF), Google's Ultra HDR and Motion Photo formats, ISO 21496-1. All places
count from the end of the first picture or from the end of the file, except in the index (MPF), which is made anew.
"""

from __future__ import annotations

import dataclasses
import io
import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image, JpegImagePlugin

from restore.images.jpeg import segments as jpeg_segments
from restore.images.metadata import xmp
from restore.images.metadata.exif import upright
from restore.images.metadata.packets import Packet
from restore.images.picture import Picture

MPF = b"MPF\0"
ISO_GAIN_MAP = b"urn:iso:std:iso:ts:21496:-1\0"
_GOOGLE = b"http://ns.google.com/photos/"
_MAP, _REST, FRAME = b"further picture", b"bytes after the end", b"SOF"
_NO_INDEX = 0xFFFFFFFF
_GAIN_MARKS = (b"hdr-gain-map", b"21496:-1", b"HDRGainMap", b"hdrgainmap")
_MAP_MARKS = (
    *_GAIN_MARKS,
    b"urn:com:apple:photo",
    b"ns.apple.com/pixeldatainfo/",  # depth and disparity, too
    b"ns.apple.com/depthData/",
)
_PAGES = (0x020001, 0x020002, 0x020003, 0x030000)  # panorama, stereo, angles, and the main picture of MPF
_VIDEOS = ("MotionPhoto", "MicroVideo")  # meanings of items
_MOST = 1_000  # pictures
_LARGEST_MAP = 50_000_000  # pixels


class Piece(NamedTuple):
    """A part of a file: a "page", a "preview", a "map" or the "rest". `attributes` as in the index that names it."""

    kind: str
    start: int
    end: int
    attributes: int = _NO_INDEX


class Item(NamedTuple):
    """An item of the directory in XMP: its meaning, its length in bytes, and the place of the length in the packet."""

    meaning: str
    length: int
    span: tuple[int, int]


def items(packet: bytes | None) -> list[Item]:
    """The items of Google's container after the first; none where the packet is damaged."""
    if not packet or _GOOGLE not in packet:
        return []
    try:
        parsed = Packet(packet)
    except ValueError:
        return []
    found: dict[int, dict[str, tuple[str, tuple[int, int]]]] = {}
    for node in parsed.nodes:
        if node.namespace.startswith(_GOOGLE.decode()) and node.namespace.endswith("/item/"):
            found.setdefault(id(node.parent), {})[node.name] = (parsed.value(node).strip(), node.inner)
    listed = []
    for item in found.values():
        meaning, (length, span) = item.get("Semantic", ("", (0, 0)))[0], item.get("Length", ("0", (0, 0)))
        if meaning and meaning != "Primary":
            listed.append(Item(meaning, int(length) if length.isdecimal() and len(length) < 12 else 0, span))
    return listed[:_MOST]


def pieces(data: bytes, end: int, index: jpeg_segments.Segment | None, packet: bytes | None) -> list[Piece]:
    """The parts of a file after the first picture, which ends at `end`, in their order."""
    stated = [item for item in items(packet) if item.meaning not in _VIDEOS]
    found: list[Piece] = []
    places = _indexed(index, data, end) if index else []
    for k, (attributes, start, stop) in enumerate(places):
        if start >= (found[-1].end if found else end):
            meaning = stated[k].meaning if k < len(stated) else ""
            found.append(Piece(_kind(attributes, data[start:stop], meaning), start, stop, attributes))
    place = found[-1].end if found else end
    for k in range(len(found), _MOST):
        start = place + len(data[place : place + 65_536]) - len(data[place : place + 65_536].lstrip(b"\0"))
        if data[start : start + 3] != b"\xff\xd8\xff":
            break
        stop = jpeg_segments.parsed(data, start)[1]
        item = stated[k] if k < len(stated) else Item("", 0, (0, 0))
        if stop < start + item.length <= len(data):
            stop = start + item.length
        is_map = item.meaning or _is_map(data[start:stop])
        found.append(Piece("map" if is_map else "preview", start, stop))
        place = stop
    if data[place:].strip(b"\0\xff"):
        found.append(Piece("rest", place, len(data)))
    return found


def _kind(attributes: int, data: bytes, meaning: str) -> str:
    kind = attributes & 0xFFFFFF
    if 0x010000 <= kind < 0x020000:
        return "preview"
    if kind not in _PAGES and (kind or meaning or _is_map(data)):
        return "map"
    return "page"


def _is_map(data: bytes) -> bool:
    """Whether the header of a JPEG says that it is a gain map, or another map of an iPhone."""
    head = data[: 1 << 17]
    return any(mark in head for mark in _MAP_MARKS)


def _indexed(index: jpeg_segments.Segment, data: bytes, end: int) -> list[tuple[int, int, int]]:
    """Attributes, start and end of the pictures after the first that an index names and the file has."""
    found = []
    table = index.data.removeprefix(MPF)
    base = index.place + 4 + len(MPF)
    try:
        for attributes, size, offset in list(_entries(table))[1:_MOST]:
            start = base + offset
            if start >= end and start + size <= len(data) and data[start : start + 2] == b"\xff\xd8":
                found.append((attributes, start, start + size))
    except (KeyError, ValueError, struct.error):
        return []
    return sorted(found, key=lambda place: place[1])


def _entries(table: bytes) -> Iterator[tuple[int, int, int]]:
    """Attributes, size and offset of each picture. Raises KeyError or struct.error where the index is damaged."""
    order = {b"II": "<", b"MM": ">"}[table[:2]]
    (start,) = struct.unpack_from(order + "I", table, 4)
    (count,) = struct.unpack_from(order + "H", table, start)
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        tag, _, size, place = struct.unpack_from(order + "HHII", table, entry)
        if tag == 0xB002:
            yield from (struct.unpack_from(order + "III", table, place + 16 * k) for k in range(min(size // 16, _MOST)))


def with_true_lengths(picture: Picture) -> bytes | None:
    """The XMP with the lengths of the maps that follow. All other bytes stay."""
    stated = [item for item in items(picture.xmp) if item.meaning not in _VIDEOS]
    lengths = [len(data) - 8 for name, data in picture.parts if name == _MAP]
    edits = [
        (*item.span, str(length))
        for item, length in zip(stated, lengths, strict=False)
        if item.span[1] and item.length != length
    ]
    return Packet(picture.xmp).edited(edits) if edits and picture.xmp else picture.xmp


def take(data: bytes, end: int, found: list[Piece], picture: Picture) -> None:
    """Adds maps and further bytes to the parts of `picture`, and makes its XMP fit what the file has."""
    place = end
    for piece in found:
        if piece.kind == "map":
            head = struct.pack(">II", min(piece.start - place, 0xFFFFFF), piece.attributes)
            picture.parts.append((_MAP, head + data[piece.start : piece.end]))
        elif piece.kind == "preview" and piece.attributes == _NO_INDEX:
            picture.note("a picture after the end of the first, which nothing announces, is dropped")
        elif piece.kind == "rest":
            rest = data[piece.start : piece.end]
            if not picture.damage or is_video(rest):  # what follows damaged data may belong to it
                picture.parts.append((_REST, rest))
        place = piece.end
    if picture.xmp:
        rest = next((data for name, data in picture.parts if name == _REST), b"")
        if _stated_video(picture.xmp) > len(rest):
            picture.note("the XMP announces a video that is not in the file; that is dropped")
            picture.xmp = xmp.without(picture.xmp, ["motion photo"]) or None


def turn(picture: Picture, orientation: int) -> None:
    """Turns the maps as the picture is turned. If one cannot be turned, none fits the picture any more."""
    turned = []
    try:
        for name, data in picture.parts:
            if name == _MAP:
                data = data[:8] + _turned(data[8:], orientation)
            elif name == FRAME and orientation > 4:
                data = data[:1] + data[3:5] + data[1:3] + data[5:]
            turned.append((name, data))
    except Exception:  # on damaged pictures Pillow raises errors of any type
        turned = [part for part in picture.parts if part[0] != FRAME]
    picture.parts = turned


def _turned(data: bytes, orientation: int) -> bytes:
    """A small JPEG, decoded and encoded again with the same tables and metadata."""
    image = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    if image.width * image.height > _LARGEST_MAP or image.mode not in ("L", "RGB"):
        raise ValueError("it is no gain map")
    jpeg_segments.check_scans(data)
    tables = [
        list(np.reshape(table, (8, 8)).T.flat) if orientation > 4 else table for table in image.quantization.values()
    ]
    coded = io.BytesIO()
    pixels = upright(np.asarray(image), orientation)
    Image.fromarray(pixels).save(coded, "JPEG", qtables=tables, subsampling=0)
    kept = [s for s in jpeg_segments.parsed(data)[0] if 0xE1 <= s.code <= 0xEF and s.code != 0xEE]
    start = 4 + int.from_bytes(coded.getvalue()[4:6], "big")
    head = b"".join(jpeg_segments.packed(s.code, s.data) for s in kept)
    return coded.getvalue()[:start] + head + coded.getvalue()[start:]


def _stated_video(packet: bytes) -> int:
    """Bytes of the video that the XMP announces; 0 without one."""
    lengths = [item.length for item in items(packet) if item.meaning in _VIDEOS]
    if b"MicroVideoOffset" not in packet:
        return max([0, *lengths])
    try:
        nodes = Packet(packet)
    except ValueError:
        return 0
    offsets = [nodes.value(node).strip() for node in nodes.nodes if node.name == "MicroVideoOffset"]
    return max([0, *lengths, *(int(offset) for offset in offsets if offset.isdecimal() and len(offset) < 12)])


def is_video(rest: bytes) -> bool:
    """Whether the bytes hold the video of a motion photo: MP4, with Samsung's trailer around it or without."""
    return rest[4:8] == b"ftyp" or b"MotionPhoto_Data" in rest or b"ftyp" in rest[: 1 << 16]


def agreeing(picture: Picture, format: str) -> Picture:
    """The picture with the parts after its end that fit it and `format`, and XMP that announces no others.

    A map fits while the picture keeps its size. Notes what is dropped.
    """
    if picture.source_format != "JPEG":
        return picture
    parts, packet = picture.parts, picture.xmp
    names = {name for name, _ in parts}
    height, width = picture.pixels.shape[:2]
    frame = next((data for name, data in parts if name == FRAME), b"")
    is_same = format == "JPEG" and [*struct.iter_unpack(">HH", frame[1:5])] == [(height, width)]
    gone = []
    if not (is_same and _MAP in names):
        gone.append("gain map")
        parts = [(name, data) for name, data in parts if name != _MAP and not data.startswith(ISO_GAIN_MAP)]
        if _MAP in names:
            why = "fits another size or orientation" if format == "JPEG" else "has a place only in JPEG"
            picture.note(f"{_named_maps(picture)} {why}; it is dropped")
    if format != "JPEG" or _REST not in names:
        gone.append("motion photo")
        if rest := next((data for name, data in parts if name == _REST), None):
            what = "the video of the motion photo" if is_video(rest) else f"{len(rest):,} bytes after the picture's end"
            picture.note(f"{what} has a place only in JPEG; it is dropped")
        parts = [(name, data) for name, data in parts if name != _REST]
    packet = xmp.without(packet, gone) if packet else packet
    if packet and "gain map" in gone:
        packet = _without_other_items(packet)
    picture = dataclasses.replace(picture, parts=parts, xmp=packet or None)
    picture.xmp = with_true_lengths(picture)
    return picture


def _named_maps(picture: Picture) -> str:
    """What the maps of a picture are, for a note."""
    maps = [data[8 : 1 << 17] for name, data in picture.parts if name == _MAP]
    gains = sum(any(mark in data for mark in _GAIN_MARKS) for data in maps)
    if gains < len(maps):
        gains = max(gains, sum(item.meaning == "GainMap" for item in items(picture.xmp)))
    if gains >= len(maps):
        return "the gain map"
    return "a gain map with further maps, such as depth," if gains else "a depth map or another map"


def _without_other_items(packet: bytes) -> bytes:
    """The packet without the items of depth maps and further pictures in Google's directory."""
    if not any(item.meaning not in _VIDEOS for item in items(packet)):
        return packet
    parsed = Packet(packet)
    gone = []
    for node in parsed.nodes:
        if node.name == "Semantic" and parsed.value(node).strip() not in ("Primary", *_VIDEOS):
            gone += [around for around in node.ancestors() if around.name == "li"][:1]
    return parsed.edited(map(parsed.removal, gone))


def packed(picture: Picture, place: int, length: int) -> tuple[bytes, bytes]:
    """The index as a segment (empty where no picture needs one) and the bytes after the end of the first picture.

    Args:
        place: Where in the file the index will be.
        length: Bytes of the first picture without the index.
    """
    parts = picture.parts if picture.source_format == "JPEG" else []
    maps = [(*struct.unpack_from(">II", data), data[8:]) for name, data in parts if name == _MAP]
    rest = b"".join(data for name, data in parts if name == _REST)
    tail = b"".join(b"\0" * gap + data for gap, _, data in maps) + rest
    indexed = [attributes != _NO_INDEX for _, attributes, _ in maps]
    if not any(indexed):
        return b"", tail
    count = 1 + sum(indexed)
    head = struct.pack(">2sHIH", b"MM", 42, 8, 3) + struct.pack(">HHI4s", 0xB000, 7, 4, b"0100")
    head += struct.pack(">HHII", 0xB001, 4, 1, count) + struct.pack(">HHIII", 0xB002, 7, 16 * count, 50, 0)
    length += 4 + len(MPF) + len(head) + 16 * count
    start, base = length, place + 4 + len(MPF)
    table = struct.pack(">IIIHH", 0x030000, length, 0, 0, 0)
    for gap, attributes, data in maps:
        start += gap
        if attributes != _NO_INDEX:
            table += struct.pack(">IIIHH", attributes, len(data), start - base, 0, 0)
        start += len(data)
    return jpeg_segments.packed(0xE2, MPF + head + table), tail

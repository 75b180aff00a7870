"""The items of a HEIF or AVIF file (ISO/IEC 23008-12): their types, places, properties and links."""

from __future__ import annotations

import io
import re
import struct
from dataclasses import dataclass, field

from restore.images.jpeg2000 import boxes

_MOST_ITEMS = 20_000
_ZEROS = bytes(64)  # AV1's coder writes no such run
_FORBIDDEN = re.compile(rb"\x00\x00(?:[\x00-\x02]|\x03[\x04-\xff])")  # in a unit of HEVC (ITU-T H.265, 7.4.2)
_GAIN_MAP = b"hdrgainmap"
_DEPTH = (b"auxid:2", b"auxiliary:depth", b"portraiteffectsmatte", b"semantic")


@dataclass
class Item:
    """One item of a file.

    Attributes:
        kind: Type, such as b"hvc1", b"av01", b"grid" or b"Exif".
        extents: First byte and length of each piece in the file; length 0 is to its end.
        in_file: `extents` count from the start of the file, not in another box.
        properties: (name, data) of its properties, in their order.
        links: Type of reference -> items that this one refers to.
    """

    kind: bytes = b""
    extents: list[tuple[int, int]] = field(default_factory=list)
    in_file: bool = True
    properties: list[tuple[bytes, bytes]] = field(default_factory=list)
    links: dict[bytes, list[int]] = field(default_factory=dict)


@dataclass
class Items:
    """The items of a file by number, and the number of the primary one; 0 where there is none."""

    items: dict[int, Item] = field(default_factory=dict)
    primary: int = 0

    def shown(self) -> list[Item]:
        """The items that hold the pixels of the primary picture, without its transparency."""
        first = self.items.get(self.primary, Item())
        return [first] + [self.items[k] for k in first.links.get(b"dimg", []) if k in self.items]

    def crop(self) -> tuple[int, int, int, int] | None:
        """Left, top, width and height of the part of the primary picture that is shown; None for all of it."""
        properties = dict(self.items.get(self.primary, Item()).properties)
        clap, size = properties.get(b"clap"), properties.get(b"ispe")
        if not clap or not size or len(clap) < 32 or len(size) < 12:
            return None
        width, width_by, height, height_by, x, x_by, y, y_by = struct.unpack(">IIIIiIiI", clap[:32])
        across, down = struct.unpack(">II", size[4:12])
        if not (width_by and height_by and x_by and y_by):
            return None
        wide, high = width // width_by, height // height_by
        left, top = round(x / x_by + (across - wide) / 2), round(y / y_by + (down - high) / 2)
        is_inside = 0 <= left <= left + wide <= across and 0 <= top <= top + high <= down and wide and high
        return (left, top, wide, high) if is_inside else None

    def left_out(self) -> list[str]:
        """Names of parts beside the picture that a copy of its pixels loses, each once."""
        found: set[str] = set()
        for item in self.items.values():
            kind = dict(item.properties).get(b"auxC", b"")
            if item.kind == b"tmap" or _GAIN_MAP in kind:
                found.add("gain map")
            elif any(word in kind for word in _DEPTH):
                found.add("depth map")
        return sorted(found)


def read(data: bytes) -> Items:
    """The items of a file. Damaged boxes leave out what they hold; the decoders report them."""
    file = io.BytesIO(data)
    found = Items()
    properties: list[tuple[bytes, bytes]] = []
    try:
        meta = next((s + 4, e) for name, s, e in boxes(file, 0, len(data)) if name == b"meta")
        for name, start, stop in boxes(file, *meta):
            body = data[start:stop]
            if name == b"pitm":
                found.primary = int.from_bytes(body[4 : 8 if body[0] else 6], "big")
            elif name == b"iinf":
                head = start + (8 if body[0] else 6)
                for _, place, _ in boxes(file, head, stop):
                    wide = data[place] == 3
                    number = int.from_bytes(data[place + 4 : place + (8 if wide else 6)], "big")
                    after = place + (10 if wide else 8)
                    _item(found, number).kind = data[after : after + 4]
            elif name == b"iloc":
                _take_places(body, found)
            elif name == b"iref":
                for kind, place, end in boxes(file, start + 4, stop):
                    _take_links(data[place:end], kind, "I" if body[0] else "H", found)
            elif name == b"iprp":
                for part, place, end in boxes(file, start, stop):
                    if part == b"ipco":
                        properties = [(kind, data[s : min(e, s + 4096)]) for kind, s, e in boxes(file, place, end)]
                    elif part == b"ipma":
                        _take_properties(data[place:end], properties, found)
    except (OSError, struct.error, StopIteration, IndexError):
        pass
    return found


def _item(found: Items, number: int) -> Item:
    if len(found.items) > _MOST_ITEMS:
        raise OSError("too many items")
    return found.items.setdefault(number, Item())


def _take_places(body: bytes, found: Items) -> None:
    """iloc (ISO/IEC 14496-12, 8.11.3)."""
    stream = io.BytesIO(body)

    def number(size: int) -> int:
        return int.from_bytes(stream.read(size), "big")

    version = number(1)
    number(3)
    sizes = number(2)
    offset_size, length_size, base_size, index_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15, sizes & 15
    for _ in range(number(4 if version == 2 else 2)):
        if stream.tell() >= len(body):
            break
        item = _item(found, number(4 if version == 2 else 2))
        item.in_file = not (version and number(2) & 15)
        number(2)
        base = number(base_size)
        for _ in range(number(2)):
            if stream.tell() >= len(body):
                break
            if version:
                number(index_size)
            item.extents.append((base + number(offset_size), number(length_size)))


def _take_links(body: bytes, kind: bytes, size: str, found: Items) -> None:
    source, count = struct.unpack_from(f">{size}H", body)
    targets = struct.unpack_from(f">{count}{size}", body, struct.calcsize(f">{size}H"))
    _item(found, source).links.setdefault(kind, []).extend(targets)


def _take_properties(body: bytes, properties: list[tuple[bytes, bytes]], found: Items) -> None:
    version, flags, count = body[0], body[3], struct.unpack_from(">I", body, 4)[0]
    place = 8
    for _ in range(min(count, _MOST_ITEMS)):
        (number,) = struct.unpack_from(">I" if version else ">H", body, place)
        place += 4 if version else 2
        item = _item(found, number)
        for _ in range(body[place]):
            place += 1 + bool(flags & 1)
            index = (struct.unpack_from(">H", body, place - 1)[0] & 0x7FFF) if flags & 1 else body[place] & 0x7F
            if 1 <= index <= len(properties):
                item.properties.append(properties[index - 1])
        place += 1


def damage_of(data: bytes, found: Items) -> str | None:
    """What is visibly wrong in the data of the primary picture; None where nothing is.

    Only data that no encoder writes can be seen: decoders turn the rest into wrong pixels without a word.
    """
    shown = [item for item in found.shown() if item.kind in (b"hvc1", b"av01")]
    wrong = sum(_is_wrong(data, item) for item in shown if item.in_file)
    if not wrong:
        return None
    return f"{wrong} of {len(shown)} tiles {'are' if wrong > 1 else 'is'} damaged" if shown[1:] else "its data is wrong"


def _is_wrong(data: bytes, item: Item) -> bool:
    pieces = [data[start : start + length if length else None] for start, length in item.extents]
    coded = b"".join(pieces)
    if any(length and len(piece) < length for piece, (_, length) in zip(pieces, item.extents, strict=True)):
        return True
    if item.kind == b"av01":
        return _ZEROS in coded
    place = 0
    while place + 4 <= len(coded):  # units, each after its length
        (length,) = struct.unpack_from(">I", coded, place)
        unit = coded[place + 4 : place + 4 + length]
        if not length or len(unit) < length or _FORBIDDEN.search(unit):
            return True
        place += 4 + length
    return place != len(coded)

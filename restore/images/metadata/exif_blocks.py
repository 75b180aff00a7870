"""The directories of an EXIF block by their places, so that values can be changed without moving anything.

Maker notes point to places in the block; a library that packs it anew breaks them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

MAKER_NOTE = 0x927C
EXIF, _GPS, _INTEROP = 0x8769, 0x8825, 0xA005  # tags that point to directories
BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 129: 1}  # type -> size
_UNDEFINED = frozenset({
    0x1B, 0x1C, 0x8828, 0x9000, 0x9101, MAKER_NOTE, 0x9286, 0xA000, 0xA20C, 0xA300, 0xA301, 0xA302, 0xA40B,
})  # fmt: skip
_SHORT, _LONG, _RATIONAL = 3, 4, 5


@dataclass(frozen=True)
class Entry:
    """A tag of a directory.

    Attributes:
        kind: Its type as in TIFF 6.0, such as 3 for SHORT.
        place: Where its 12 bytes start.
        start, end: Where its value lies.
    """

    kind: int
    count: int
    place: int
    start: int
    end: int


@dataclass
class Directory:
    """Tags by number, the first of each.

    Attributes:
        start, end: Its bytes. Only those of the main directory hold the offset of the next one: some programs (piexif)
            leave it out of others.
        next: Offset of the next directory, 0 for none.
    """

    start: int
    end: int
    entries: dict[int, Entry] = field(default_factory=dict)
    next: int = 0

    def spans(self) -> list[tuple[int, int]]:
        """All bytes that it uses."""
        return [(self.start, self.end)] + [(entry.start, entry.end) for entry in self.entries.values()]


class Block:
    """An EXIF block (a TIFF structure without pixels) to read and patch in place.

    Attributes:
        data: Its bytes.
        main, exif, gps, interop, thumbnail: Its directories; None where there is none.
        is_damaged: A directory or a value lies outside the block.

    Raises:
        ValueError, KeyError, struct.error: The header or the main directory is damaged.
    """

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        self.is_damaged = False
        self.order = {b"II*\0": "<", b"MM\0*": ">"}[data[:4]]
        self.main = self.directory(self.unpack("I", 4))
        if self.main.end + 4 <= len(data):
            self.main.next = self.unpack("I", self.main.end)
            self.main.end += 4
        self.exif = self._below(self.main, EXIF)
        self.gps = self._below(self.main, _GPS)
        self.interop = self._below(self.exif, _INTEROP)
        self.thumbnail = self._directory_or_none(self.main.next)

    def unpack(self, code: str, place: int) -> int:
        """One number at `place`."""
        value: int = struct.unpack_from(self.order + code, self.data, place)[0]
        return value

    def directory(self, start: int) -> Directory:
        """The directory at `start`.

        Raises:
            ValueError, struct.error: It lies outside the block.
        """
        count = self.unpack("H", start)
        found = Directory(start, start + 2 + 12 * count)
        if start < 8 or found.end > len(self.data):
            raise ValueError("the directory lies outside the block")
        for place in range(start + 2, found.end, 12):
            tag, kind, number = struct.unpack_from(self.order + "HHI", self.data, place)
            length = BYTES.get(kind, 1) * number
            first = place + 8 if length <= 4 else self.unpack("I", place + 8)
            if first + length > len(self.data):
                self.is_damaged = True
            else:
                found.entries.setdefault(tag, Entry(kind, number, place, first, first + length))
        return found

    def _directory_or_none(self, start: int) -> Directory | None:
        try:
            return self.directory(start) if start else None
        except (ValueError, struct.error):
            self.is_damaged = True
            return None

    def _below(self, directory: Directory | None, tag: int) -> Directory | None:
        entry = directory.entries.get(tag) if directory else None
        return self._directory_or_none(self.number(entry) or 0) if entry else None

    def number(self, entry: Entry | None) -> int | None:
        """The value of a SHORT or LONG; None for anything else."""
        if entry is None or entry.count != 1 or entry.kind not in (_SHORT, _LONG, 13):
            return None
        return self.unpack("H" if entry.kind == _SHORT else "I", entry.start)

    def set_number(self, entry: Entry | None, value: int) -> None:
        """Sets the value of a SHORT or LONG. A SHORT becomes a LONG if the value needs it."""
        if self.number(entry) is None or entry is None:
            return
        is_short = entry.kind == _SHORT and value < 1 << 16
        struct.pack_into(self.order + "H", self.data, entry.place + 2, _SHORT if is_short else _LONG)
        struct.pack_into(self.order + ("H2x" if is_short else "I"), self.data, entry.start, value)

    def rational(self, entry: Entry | None) -> float | None:
        """The value of a RATIONAL; None for anything else."""
        if entry is None or (entry.kind, entry.count) != (_RATIONAL, 1):
            return None
        divisor = self.unpack("I", entry.start + 4)
        return self.unpack("I", entry.start) / divisor if divisor else None

    def set_rational(self, entry: Entry | None, value: float) -> None:
        """Sets the value of a RATIONAL."""
        if entry is not None and (entry.kind, entry.count) == (_RATIONAL, 1):
            scale = 1 if value == round(value) else 10_000
            struct.pack_into(self.order + "II", self.data, entry.start, round(value * scale), scale)

    def mark_undefined(self) -> None:
        """Gives tags that must be UNDEFINED this type. Pillow writes bytes as BYTE."""
        for directory in (self.exif, self.gps):
            for tag, entry in directory.entries.items() if directory else ():
                if entry.kind == 1 and tag in _UNDEFINED:
                    struct.pack_into(self.order + "H", self.data, entry.place + 2, 7)

    def clear(self, start: int, end: int) -> None:
        """Sets bytes to zero, unless a directory other than the thumbnail's uses one of them."""
        if self.is_free(start, end):
            self.data[start:end] = bytes(end - start)

    def is_free(self, start: int, end: int) -> bool:
        """Whether no directory other than the thumbnail's uses the bytes."""
        used = [(0, 8)]
        for directory in (self.main, self.exif, self.gps, self.interop):
            used += directory.spans() if directory else []
        return all(end <= first or last <= start for first, last in used)

    def drop_thumbnail(self) -> None:
        """Ends the chain of directories after the main one, and sets the thumbnail and its directory to zero."""
        if self.main.next:
            struct.pack_into(self.order + "I", self.data, self.main.end - 4, 0)
        if self.thumbnail:
            for start, end in [*self.thumbnail.spans(), self.thumbnail_span(), self.thumbnail_span(0x111, 0x117)]:
                self.clear(start, end)
        self.thumbnail, self.main.next = None, 0

    def thumbnail_span(self, offset_tag: int = 0x201, length_tag: int = 0x202) -> tuple[int, int]:
        """Where the thumbnail lies, by default as a JPEG; (0, 0) if there is none in the block."""
        entries = self.thumbnail.entries if self.thumbnail else {}
        start, length = self.number(entries.get(offset_tag)), self.number(entries.get(length_tag))
        if not start or not length or start + length > len(self.data):
            return 0, 0
        return start, start + length

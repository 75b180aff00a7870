"""The directories of a TIFF, read before any library parses them: which pictures there are, and how much they state.

A hostile file can chain directories in a loop, overlap them, or let each tag state the whole file as its value.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from restore.images.picture import Refusal

_MOST = 65_535  # directories; the tag PageNumber counts no further
_MOST_INNER = 100  # directories inside others that are looked at
_MOST_TAGS = 4096  # of one directory, as in tifffile
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_SLACK = 1 << 16  # bytes; tags may share a value
_HINT = "do not open it if you do not know its source"


@dataclass(frozen=True)
class Layout:
    """How the numbers of a TIFF are stored: `order` is "<" or ">"; `is_big` marks a BigTIFF."""

    order: str
    is_big: bool

    @property
    def offset(self) -> str:
        return self.order + ("Q" if self.is_big else "I")

    @property
    def width(self) -> int:
        """Bytes of an offset."""
        return 8 if self.is_big else 4


@dataclass(frozen=True)
class Entry:
    """A tag: type, number of values, and the bytes of its field: the values, or where they lie."""

    kind: int
    count: int
    field: bytes

    @property
    def size(self) -> int:
        return self.count * _SIZES.get(self.kind, 0)


class Directories:
    """The chain of directories of an open file.

    Attributes:
        inner: Offsets of pages that lie inside directories of the chain, known after `pictures`.
        breaks_off: A directory could not be read, so that the chain may lack pictures. True only after the walk.

    Raises:
        OSError: The file is not a TIFF.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.file_size = file.seek(0, 2)
        file.seek(0)
        head = file.read(16).ljust(16, b"\0")
        order = {b"II": "<", b"MM": ">"}.get(head[:2])
        if order is None:
            raise OSError("it is not a TIFF")
        self.layout = Layout(order, struct.unpack_from(order + "H", head, 2)[0] == 43)
        (self.first,) = struct.unpack_from(self.layout.offset, head, 8 if self.layout.is_big else 4)
        self.breaks_off = False
        self.inner: set[int] = set()

    def __iter__(self) -> Iterator[tuple[int, dict[int, Entry]]]:
        """Offset and tags of each directory; a loop ends the chain.

        Raises:
            Refusal: There are more than `_MOST`, or they overlap.
            OSError: The first cannot be read.
        """
        seen: set[int] = set()
        read, offset = 0, self.first
        while offset and offset not in seen:
            seen.add(offset)
            try:
                entries, length, following = self.at(offset)
            except OSError:
                if len(seen) == 1:
                    raise
                self.breaks_off = True
                return
            read += length
            if len(seen) > _MOST or read > self.file_size:
                raise Refusal(f"it has more than {_MOST:,} directories, or they overlap", _HINT)
            yield offset, entries
            offset = following

    def at(self, offset: int) -> tuple[dict[int, Entry], int, int]:
        """The tags of the directory at `offset`, its length in bytes, and the offset of the next one.

        Raises:
            OSError: It does not lie in the file, or states more than the file has.
        """
        order, width = self.layout.order, self.layout.width
        if not 8 <= offset <= self.file_size - 2:
            raise OSError("a directory lies beyond its end")
        self.file.seek(offset)
        count_size = 8 if self.layout.is_big else 2
        (count,) = struct.unpack(order + ("Q" if self.layout.is_big else "H"), _exactly(self.file, count_size))
        if not 1 <= count <= _MOST_TAGS:
            raise OSError(f"a directory has {count:,} tags")
        entry = struct.Struct(f"{order}HH{'Q' if self.layout.is_big else 'I'}{width}s")
        data = _exactly(self.file, count * entry.size)
        entries: dict[int, Entry] = {}
        stated = 0
        for tag, kind, values, field in entry.iter_unpack(data):
            found = Entry(kind, values, field)
            entries.setdefault(tag, found)
            if width < found.size <= self.file_size:  # libraries drop a tag with more than the file
                stated += found.size
        if stated > self.file_size + _SLACK:
            raise OSError("its tags state more than it holds")
        following = self.file.read(width)
        return entries, count_size + len(data), struct.unpack(self.layout.offset, following.ljust(width, b"\0"))[0]

    def numbers(self, entry: Entry | None, most: int = 16) -> tuple[int, ...]:
        """The first values of a tag of unsigned integers; none if it has another type or lies outside the file."""
        letter = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}.get(entry.kind) if entry else None
        if entry is None or letter is None:
            return ()
        data = self.value(entry, most * _SIZES[entry.kind])
        count = min(entry.count, most, len(data) // _SIZES[entry.kind])
        return struct.unpack_from(f"{self.layout.order}{count}{letter}", data)

    def value(self, entry: Entry, most: int) -> bytes:
        """The bytes of a value, up to `most`; fewer if the file ends."""
        if entry.size <= self.layout.width:
            return entry.field[: entry.size]
        self.file.seek(struct.unpack(self.layout.offset, entry.field)[0])
        return self.file.read(min(entry.size, most))


def _exactly(file: IO[bytes], count: int) -> bytes:
    data = file.read(count)
    if len(data) != count:
        raise OSError("a directory is cut short")
    return data


def pictures(directories: Directories) -> tuple[list[int], list[str]]:
    """The offsets of the pages of a TIFF, and what its other directories are.

    Not pages: reduced copies (thumbnails, pyramids), transparency masks, and directories without pixels. A page
    that is marked as a mask but holds grey, as scanners store infrared, is one. Where the chain has no page, those
    inside its directories (SubIFDs) are pages, as in a DNG.
    """
    inside: list[int] = []
    pages, others = _sorted(directories, _noting_inner(directories, inside))
    if not pages:
        pages, inner_others = _sorted(directories, _readable(directories, inside))
        directories.inner.update(pages)
        others += inner_others
    return pages or [directories.first], sorted(set(others)) if pages else []


def _noting_inner(directories: Directories, inside: list[int]) -> Iterator[tuple[int, dict[int, Entry]]]:
    """The chain; adds the offsets of the directories inside its own to `inside`."""
    for offset, entries in directories:
        if len(inside) < _MOST_INNER:
            inside += directories.numbers(entries.get(330))
        yield offset, entries


def _readable(directories: Directories, offsets: list[int]) -> Iterator[tuple[int, dict[int, Entry]]]:
    for offset in offsets:
        with suppress(OSError):
            yield offset, directories.at(offset)[0]


def _sorted(directories: Directories, found: Iterable[tuple[int, dict[int, Entry]]]) -> tuple[list[int], list[str]]:
    """The offsets of pages, and what the other directories are."""
    pages, others = [], []
    for offset, entries in found:
        (kind,) = directories.numbers(entries.get(254), 1) or (0,)
        (old_kind,) = directories.numbers(entries.get(255), 1) or (0,)
        (photometric,) = directories.numbers(entries.get(262), 1) or (0,)
        if 256 not in entries or 257 not in entries:
            others.append("directories without pixels")
        elif kind & 1 or (254 not in entries and old_kind == 2):
            others.append("reduced copies")
        elif photometric == 4:
            others.append("transparency masks")
        else:
            pages.append(offset)
    return pages, others

"""Maker notes: data of a camera inside EXIF, often a directory whose offsets count from the start of the file.

Where such a note moves, its offsets must move with it (https://exiftool.org/idiosyncracies.html lists the kinds).
"""

from __future__ import annotations

import struct
from typing import IO, Any

from restore.images.metadata.exif_blocks import BYTES, EXIF, MAKER_NOTE, Block
from restore.images.picture import Picture
from restore.images.tiff.directories import Directories

_FARTHEST = 1 << 20  # bytes; a gap of this length may lie before a note that keeps its place
_MOST = 32  # directories within a note
_STAND_IN = b"the note lies elsewhere"  # packed in place of a note that keeps its place
# Beginnings of notes whose offsets count from the note itself, or which hold a TIFF of their own.
_MOVABLE = (b"Nikon\0\2", b"FUJIFILM", b"GENERALE", b"Apple iOS\0", b"PENTAX \0", b"OM SYSTEM\0", b"OLYMPUS\0")
_STARTS = (0, 6, 8, 10, 12, 14)  # bytes before the directory of a note: a maker's name


def in_block(exif: bytes) -> tuple[int, bytes] | None:
    """Offset and bytes of the note in an EXIF block."""
    try:
        block = Block(exif)
    except (KeyError, ValueError, struct.error):
        return None
    entry = block.exif.entries.get(MAKER_NOTE) if block.exif else None
    return (entry.start, exif[entry.start : entry.end]) if entry and entry.end - entry.start > 4 else None


def _in_file(file: IO[bytes], directory: int | None) -> int | None:
    """Offset of the note that belongs to a directory of a TIFF; None: the first directory."""
    directories = Directories(file)
    tags, _, _ = directories.at(directories.first if directory is None else directory)
    for offset in directories.numbers(tags.get(EXIF), 1):
        entry = directories.at(offset)[0].get(MAKER_NOTE)
        if entry and entry.size > directories.layout.width:
            place: int = struct.unpack(directories.layout.offset, entry.field)[0]
            return place
    return None


def settled(exif: bytes | None, file: IO[bytes], directory: int | None, picture: Picture) -> bytes | None:
    """An EXIF block that was packed from a directory of a TIFF, with a note that fits its new place."""
    found = in_block(exif) if exif else None
    if exif is None or found is None:
        return exif
    old = _in_file(file, directory)
    place, note = found
    new = None if old is None else moved(note, old, place)
    if new is None:
        picture.note("the maker note cannot be moved; it is dropped")
        new = bytes(len(note))
    return exif[:place] + new + exif[place + len(note) :]


def pin(file: IO[bytes], exif: bytes | None, start: int) -> tuple[int, int | None]:
    """Writes the note of `exif` into a TIFF at the place that it has in `exif`, if that is free from `start` on.

    Returns:
        Where the file goes on, and the place of the note; None if it must move.
    """
    found = in_block(exif) if exif else None
    if found is None or not start <= found[0] <= start + _FARTHEST:
        return start, None
    place, note = found
    file.seek(place)
    file.write(note + bytes(len(note) % 2))
    return file.tell() + file.tell() % 2, place


def stood_in(tags: dict[int, Any]) -> dict[int, Any]:
    """Tags of EXIF with a short text in place of the note, for a file in which `pin` wrote the note."""
    return tags | {EXIF: tags[EXIF] | {MAKER_NOTE: _STAND_IN}} if MAKER_NOTE in tags.get(EXIF, {}) else tags


def fitted(packed: bytes, start: int, is_big: bool, pinned: int | None, picture: Picture) -> bytes:
    """A packed directory of a TIFF whose note is right at its place.

    Args:
        packed: The little-endian directory, with all that belongs to it.
        start: Its place in the file.
        is_big: It is of a BigTIFF.
        pinned: As `pin` returns it. With one, `packed` holds the stand-in.
        picture: Its EXIF is the block that the note comes from. Gets a note if the maker note is dropped.
    """
    packed = packed if is_big else _typed(packed, start)
    found = in_block(picture.exif) if picture.exif else None
    held = b"" if found is None else _STAND_IN if pinned is not None else found[1]
    position = packed.find(held)
    if found is None or position < 0:
        return packed
    old, note = found
    new = note if pinned is not None else moved(note, old, start + position)
    if new is None:
        picture.note("the maker note cannot be moved; it is dropped")
        new = bytes(len(note))
    if pinned is None:
        packed = packed[:position] + new + packed[position + len(note) :]
    else:
        for kind in (1, 7):
            entry = struct.pack("<HHII", MAKER_NOTE, kind, len(held), start + position)
            packed = packed.replace(entry, struct.pack("<HHII", MAKER_NOTE, 7, len(note), pinned), 1)
    return packed


def _typed(packed: bytes, start: int) -> bytes:
    """A packed directory whose bytes have the types that EXIF wants. Far behind in the file it stays as it is."""
    if start > 2 * _FARTHEST:
        return packed
    try:
        block = Block((b"II*\0" + struct.pack("<I", start)).ljust(start, b"\0") + packed)
    except (ValueError, struct.error):
        return packed
    block.mark_undefined()
    return bytes(block.data[start:])


def moved(note: bytes, old: int, new: int) -> bytes | None:
    """The note with the offsets that it needs at another place; None if it points to data that do not move with it.

    A note that is no directory, or whose offsets count from its own start, stays as it is.
    """
    if old == new or note.startswith(_MOVABLE):
        return note
    for start in _STARTS:
        for order in "<>":
            entries = _entries(note, start, order)
            if entries is not None:
                patched = bytearray(note)
                if not _move(patched, start, order, (old, new), set()):
                    return None
                _move_footer(patched, old, new)
                return bytes(patched)
    return note


def _entries(note: bytes | bytearray, start: int, order: str) -> list[tuple[int, int, int, int]] | None:
    """Place, type, length and offset of the values that lie outside their entries; None if it is no directory."""
    if start + 2 > len(note):
        return None
    (count,) = struct.unpack_from(order + "H", note, start)
    if not 1 <= count <= 512 or start + 2 + 12 * count > len(note):
        return None
    found = []
    for place in range(start + 2, start + 2 + 12 * count, 12):
        _, kind, values, offset = struct.unpack_from(order + "HHII", note, place)
        if not 1 <= kind <= 13:
            return None
        length = BYTES[kind] * values
        if length > 4 or kind == 13:
            found.append((place, kind, length, offset))
    return found


def _move(note: bytearray, start: int, order: str, places: tuple[int, int], done: set[int]) -> bool:
    """Corrects the offsets of a directory in place; False if they point outside the note."""
    old, new = places
    done.add(start)
    entries = _entries(note, start, order) or []
    inside = [entry for entry in entries if old <= entry[3] and entry[3] + entry[2] <= old + len(note)]
    relative = [entry for entry in entries if entry[3] + entry[2] <= len(note)]
    (count,) = struct.unpack_from(order + "H", note, start)
    end = start + 2 + 12 * count
    first = min((entry[3] for entry in entries), default=0)
    if relative == entries and (inside != entries or abs(first - end) < abs(first - old - end)):
        return True  # they count from the note
    if 2 * len(inside) < len(entries):
        return False
    for place, kind, _, offset in inside:
        struct.pack_into(order + "I", note, place + 8, offset - old + new)
        below = offset - old
        if kind == 13 and below not in done and len(done) < _MOST and _entries(note, below, order):
            _move(note, below, order, places, done)
    return True


def _move_footer(note: bytearray, old: int, new: int) -> None:
    """Corrects the place of the note that Canon repeats at its end."""
    for order, mark in (("<", b"II*\0"), (">", b"MM\0*")):
        if note[-8:-4] == mark and struct.unpack_from(order + "I", note, len(note) - 4)[0] == old:
            struct.pack_into(order + "I", note, len(note) - 4, new)

"""Maker notes in TIFF: a note keeps its place, or its offsets move with it."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from exif_files import block, canon_note, directory
from made_files import smooth
from PIL import Image

from restore.images import Picture, read_picture, write_pages, write_picture
from restore.images.tiff import maker_notes


def panasonic_note(place: int) -> bytes:
    return b"Panasonic\0\0\0" + directory([(1, 3, 2), (0x25, 7, b"serial number 12")], place + 12, "<")


def nikon_note(place: int) -> bytes:
    inner = directory([(1, 7, b"0210"), (4, 2, b"FINE   \0")], 8, "<")  # counts from the TIFF inside the note
    return b"Nikon\0\2\x10\0\0II*\0\x08\0\0\0" + inner


NOTES = {"Canon": canon_note, "Panasonic": panasonic_note, "NIKON CORPORATION": nikon_note}


def note_in(path: Path) -> tuple[int, bytes]:
    """Place and bytes of the maker note in a little-endian TIFF, found without the code under test."""
    data = path.read_bytes()

    def entries(start: int) -> dict[int, tuple[int, int]]:
        (count,) = struct.unpack_from("<H", data, start)
        found = (struct.unpack_from("<HHII", data, start + 2 + 12 * k) for k in range(count))
        return {tag: (length, value) for tag, _, length, value in found}

    length, place = entries(entries(struct.unpack_from("<I", data, 4)[0])[0x8769][1])[0x927C]
    return place, data[place : place + length]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("make", NOTES)
def test_a_note_from_a_jpeg_keeps_its_place_in_a_tiff(tmp_path: Path, make: str, order: str) -> None:
    exif = block(order=order, make=make.encode() + b"\0", note=NOTES[make])
    Image.fromarray(smooth(3)).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + exif)
    write_picture(read_picture(tmp_path / "a.jpg"), tmp_path / "a.tif")
    place, note = note_in(tmp_path / "a.tif")
    assert exif[place : place + len(note)] == note == NOTES[make](place)


def test_a_note_that_cannot_keep_its_place_gets_offsets_for_the_new_one(tmp_path: Path) -> None:
    exif = block(note=canon_note)
    pages = [Picture(smooth(3), pages=2), Picture(smooth(3), exif=exif, pages=2)]
    write_pages(iter(pages), tmp_path / "a.tif")
    found = read_picture(tmp_path / "a.tif", page=2)
    place, note = maker_notes.in_block(found.exif or b"") or (0, b"")
    assert note == canon_note(place)
    write_picture(found, tmp_path / "b.tif")
    place, note = note_in(tmp_path / "b.tif")
    assert note == canon_note(place)


def test_a_note_of_no_known_structure_keeps_its_bytes() -> None:
    note = b"maker note \0\1\xff" * 9
    assert maker_notes.moved(note, 100, 900) == note


def test_a_note_whose_values_lie_elsewhere_cannot_move() -> None:
    note = struct.pack("<HHHII", 1, 1, 2, 40, 70_000) + bytes(40)
    assert maker_notes.moved(note, 100, 900) is None


def test_directories_that_hold_each_other_end() -> None:
    place = 100
    entries = b"".join(struct.pack("<HHII", tag, 13, 1, place + tag % 64) for tag in range(300))
    maker_notes.moved(struct.pack("<H", 300) + entries, place, 900)


@pytest.mark.skipif(not shutil.which("exiftool"), reason="exiftool is not installed")
@pytest.mark.parametrize("make", NOTES)
def test_exiftool_reads_the_same_note_without_new_warnings(tmp_path: Path, make: str) -> None:
    exif = block(make=make.encode() + b"\0", note=NOTES[make])
    Image.fromarray(smooth(3)).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + exif)
    names = ["a.jpg", "b.tif", "c.tif", "d.jpg"]
    for source, target in pairwise(names):
        write_picture(read_picture(tmp_path / source), tmp_path / target)
    command = ["exiftool", "-warning", "-a", "-j", "-G1", "-MakerNotes:all", *(str(tmp_path / name) for name in names)]
    found: list[dict[str, Any]] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    for facts in found:
        del facts["SourceFile"]
        assert len(facts) > 1
        assert facts == found[0]

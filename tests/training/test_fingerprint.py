from __future__ import annotations

import os
from pathlib import Path

import pytest

from restore.training.fingerprint import Fingerprint, content_of, contents_of, fingerprint_of


def of_folder(folder: Path, before: Fingerprint | None = None) -> Fingerprint:
    """The fingerprint of a folder whose last file is held out."""
    files = [(path,) for path in sorted(folder.iterdir())]
    return fingerprint_of(files[:-1], files[-1:], "words", contents_of(path for (path,) in files), before)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    for name in "abc":
        (tmp_path / "photos" / name).write_bytes(name.encode() * 200_000)
    return tmp_path / "photos"


def test_moved_files_and_new_times_are_the_same_files(folder: Path) -> None:
    before = of_folder(folder)
    os.utime(folder / "a", (1, 1))
    moved = folder.rename(folder.with_name("moved"))
    assert of_folder(moved).is_same(before)
    assert Fingerprint.from_json(before.to_json()) == before


@pytest.mark.parametrize("name", ["a", "c"])
@pytest.mark.parametrize("place", [0, 100_000, 199_999])
def test_changed_bytes_are_other_files(folder: Path, name: str, place: int) -> None:
    before = of_folder(folder)
    content = bytearray((folder / name).read_bytes())
    content[max(0, place - 4000) : place + 20_000] = bytes(min(place, 4000) + 20_000)  # as long as a few rows
    (folder / name).write_bytes(content[:200_000])
    assert not of_folder(folder).is_same(before)


def test_a_renamed_a_removed_and_a_further_file_are_other_files(folder: Path) -> None:
    before = of_folder(folder)
    (folder / "a").rename(folder / "aa")
    assert not of_folder(folder).is_same(before)
    (folder / "aa").unlink()
    assert not of_folder(folder).is_same(before)


def test_the_list_of_what_was_held_out_only_grows(folder: Path) -> None:
    before = of_folder(folder)
    (folder / "d").write_bytes(b"d")
    after = of_folder(folder, before)
    assert after.held_out == (content_of(folder / "c"), content_of(folder / "d"))

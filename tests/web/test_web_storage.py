"""The temporary folder of the local page's server."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from restore.web.storage import Full, Storage

HOLD = """
import sys, time
from pathlib import Path
from restore.web.storage import Storage
storage = Storage(1000, Path(sys.argv[1]))
print(storage.folder, flush=True)
time.sleep(60)
"""


def test_the_folder_belongs_to_its_owner_alone_and_goes_at_the_end(tmp_path: Path) -> None:
    storage = Storage(1000, tmp_path)
    assert stat.S_IMODE(storage.folder.stat().st_mode) == 0o700
    (storage.folder / "a").mkdir()
    (storage.folder / "a" / "b").write_bytes(b"x")
    storage.close()
    assert list(tmp_path.iterdir()) == []


def test_room_is_reserved_up_to_the_limit(tmp_path: Path) -> None:
    storage = Storage(1000, tmp_path)
    storage.reserve(600)
    with pytest.raises(Full, match="too large together"):
        storage.reserve(401)
    storage.release(600)
    storage.reserve(1000)
    storage.close()


def test_a_full_disk_is_told_before_it_is_full(tmp_path: Path) -> None:
    storage = Storage(1 << 60, tmp_path)
    with pytest.raises(Full, match="the disk for temporary files is full"):
        storage.reserve(1 << 59)
    storage.close()


def test_the_folder_of_a_killed_server_is_removed_and_that_of_a_living_one_stays(tmp_path: Path) -> None:
    def start() -> tuple[subprocess.Popen[str], Path]:
        child = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        return child, Path(child.stdout.readline().strip())

    (killed, left), (living, kept) = start(), start()
    try:
        killed.kill()
        killed.wait()
        (tmp_path / "restore-web-mine.txt").write_text("no folder")
        for folder in (left, kept):
            os.utime(folder, (0, 0))  # long ago
        storage = Storage(1000, tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {kept.name, storage.folder.name, "restore-web-mine.txt"}
        storage.close()
    finally:
        living.kill()
        living.wait()
        for child in (killed, living):
            assert child.stdout is not None
            child.stdout.close()


def test_a_link_in_the_temporary_folder_leads_to_no_removal(tmp_path: Path) -> None:
    theirs, temporary = tmp_path / "theirs", tmp_path / "tmp"
    theirs.mkdir()
    temporary.mkdir()
    (theirs / "lock").write_bytes(b"")
    os.utime(theirs, (0, 0))
    (temporary / "restore-web-link").symlink_to(theirs)
    Storage(1000, temporary).close()
    assert theirs.exists()

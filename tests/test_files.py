from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from restore.files import remove_leftovers, remove_unfinished, temporary_folder, whole_file


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    with whole_file(tmp_path / "a") as temporary:
        temporary.write_text("new")
        assert names(tmp_path) == [temporary.name] and temporary.name.startswith(".restore-")
    assert names(tmp_path) == ["a"] and (tmp_path / "a").read_text() == "new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_goes_wrong_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: type[BaseException]) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(error), whole_file(tmp_path / "a") as temporary:
        temporary.write_text("half")
        raise error
    assert names(tmp_path) == ["a"] and (tmp_path / "a").read_text() == "old"


def test_a_link_stays_a_link_and_a_mode_stays(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "a").chmod(0o444)
    os.symlink("a", tmp_path / "link")
    with whole_file(tmp_path / "link") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "a").read_text() == "new" and (tmp_path / "a").stat().st_mode & 0o777 == 0o444


@pytest.mark.skipif(os.name != "posix", reason="has no such files")
def test_what_is_there_and_no_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    os.symlink("pipe", tmp_path / "link")
    for name in ("pipe", "link"):
        with pytest.raises(OSError, match="not a regular file"), whole_file(tmp_path / name):
            pytest.fail("it was written")
    assert (tmp_path / "pipe").is_fifo()


def test_the_bytes_are_on_the_disk_before_the_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []

    def noted(name: str, real: Callable[..., None]) -> Callable[..., None]:
        def call(*args: Any) -> None:
            steps.append(name)
            real(*args)

        return call

    for name in ("fsync", "replace"):
        monkeypatch.setattr(os, name, noted(name, getattr(os, name)))
    with whole_file(tmp_path / "a") as temporary:
        temporary.write_text("new")
    assert steps == ["fsync", "replace"]


def test_a_process_that_ends_at_once_takes_its_temporary_files_along(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), whole_file(tmp_path / "a") as temporary:
        temporary.write_text("half")
        remove_unfinished()
        assert names(tmp_path) == []


LEAVE = """
import os, sys
from pathlib import Path
from restore.files import whole_file
with whole_file(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    print(flush=True)
    sys.stdin.read()
    os._exit(1)
"""


@pytest.mark.parametrize("taken_by", ["file", "folder", "link", "dangling link"])
@pytest.mark.parametrize("is_early", [True, False])
@pytest.mark.parametrize("has_hard_links", [True, False])
def test_a_name_that_must_be_free_is_never_taken_from_another(
    tmp_path: Path, taken_by: str, is_early: bool, has_hard_links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_hard_links:

        def refused(*_: Any) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", refused)
    (tmp_path / "other").write_text("old")

    def take() -> None:
        match taken_by:
            case "file":
                (tmp_path / "a").write_text("old")
            case "folder":
                (tmp_path / "a").mkdir()
            case _:
                os.symlink("other" if taken_by == "link" else "nowhere", tmp_path / "a")

    if is_early:
        take()
    with pytest.raises(FileExistsError), whole_file(tmp_path / "a", replace=False) as temporary:
        temporary.write_text("new")
        take()
    assert names(tmp_path) == ["a", "other"] and (tmp_path / "other").read_text() == "old"
    assert taken_by != "file" or (tmp_path / "a").read_text() == "old"


@pytest.mark.parametrize("has_hard_links", [True, False])
def test_a_free_name_is_taken_without_hard_links_too(
    tmp_path: Path, has_hard_links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_hard_links:
        monkeypatch.setattr(os, "link", lambda *_: os.stat(tmp_path / "nothing"))  # any OSError
    with whole_file(tmp_path / "a", replace=False) as temporary:
        temporary.write_text("new")
    assert names(tmp_path) == ["a"] and (tmp_path / "a").read_text() == "new"


def test_a_users_file_with_a_similar_name_stays(tmp_path: Path) -> None:
    for name in (".restore-notes.tmp", ".restore-0123abcd-1-89ab.tmp", ".restore-0123abcd-x-89abcdef.tmp"):
        (tmp_path / name).write_text("the user's own")
        os.utime(tmp_path / name, (0, 0))
    before = names(tmp_path)
    remove_leftovers(tmp_path)
    assert names(tmp_path) == before and len(before) == 3


@pytest.mark.skipif(os.name != "posix", reason="processes are not asked whether they live here")
def test_what_a_killed_process_left_is_removed_and_what_a_live_one_writes_is_not(tmp_path: Path) -> None:
    (tmp_path / "mine.tmp").write_text("the user's own")
    command = [sys.executable, "-c", LEAVE, str(tmp_path / "a")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None and writer.stdout.readline() == b"\n"
        remove_leftovers(tmp_path)
        assert len(names(tmp_path)) == 2
    remove_leftovers(tmp_path)
    assert names(tmp_path) == ["mine.tmp"]


def test_what_another_machine_left_is_removed_after_a_day(tmp_path: Path) -> None:
    (tmp_path / ".restore-0123abcd-1-89abcdef.tmp").write_text("half")
    remove_leftovers(tmp_path)
    assert len(names(tmp_path)) == 1
    day = 24 * 3600
    last_write = (tmp_path / ".restore-0123abcd-1-89abcdef.tmp").stat().st_mtime
    os.utime(tmp_path / ".restore-0123abcd-1-89abcdef.tmp", (last_write - day - 60, last_write - day - 60))
    remove_leftovers(tmp_path)
    assert names(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="has no permission bits")
@pytest.mark.parametrize(
    ("source", "umask", "expected"),
    [(0o600, 0o022, 0o600), (0o666, 0o022, 0o644), (0o777, 0o000, 0o666), (0o640, 0o027, 0o640), (0o444, 0o022, 0o444)],
)
def test_a_new_file_has_no_more_rights_than_asked_for_not_even_while_it_is_written(
    source: int, umask: int, expected: int, tmp_path: Path
) -> None:
    before = os.umask(umask)
    try:
        with whole_file(tmp_path / "a", rights=stat.S_IFREG | source) as temporary:
            temporary.write_text("private")
            assert stat.S_IMODE(temporary.stat().st_mode) & ~source & 0o077 == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == expected


@pytest.mark.skipif(os.name != "posix", reason="has no permission bits")
def test_a_replaced_file_keeps_its_mode_and_is_never_readable_by_others_meanwhile(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    for mode, source in ((0o600, 0o644), (0o644, 0o600)):
        (tmp_path / "a").chmod(mode)
        with whole_file(tmp_path / "a", rights=source) as temporary:
            temporary.write_text("new")
            assert stat.S_IMODE(temporary.stat().st_mode) == 0o600
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode


def test_a_temporary_folder_goes_at_the_end_and_when_the_process_ends_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(KeyboardInterrupt), temporary_folder() as folder:
        (folder / "deep").mkdir()
        (folder / "deep/a").touch()
        assert os.name != "posix" or stat.S_IMODE(folder.stat().st_mode) == 0o700
        raise KeyboardInterrupt
    assert names(tmp_path) == []
    with temporary_folder() as folder:
        (folder / "a").touch()
        remove_unfinished()
        assert names(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="nobody can tell there whether the process is alive")
def test_the_temporary_folder_of_a_killed_run_goes_when_the_next_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    program = (
        "import os; from restore.files import temporary_folder\n"
        "with temporary_folder() as folder: open(folder / 'a', 'w'); os._exit(1)"
    )
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    assert subprocess.run([sys.executable, "-c", program], env=environment).returncode == 1
    (left,) = names(tmp_path)
    with temporary_folder() as folder:
        assert names(tmp_path) == [folder.name] and folder.name != left

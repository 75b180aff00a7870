"""What a folder or a pattern leaves out is counted and told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from restore.batch import planning
from restore.errors import PictureError


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)


def touch(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


def test_what_a_folder_leaves_out_is_one_note_with_the_most_frequent_kind_first() -> None:
    touch("in/a.png", "in/b.PSD", "in/c.psd", "in/d.exr", "in/e.MP4", "in/f.mov", "in/g.avi", "in/README")
    plan = planning.plan(["in"], "out")
    assert plan.notes == ("left out of in: 3 videos, 2 .psd, 1 .exr, 1 without extension",)
    assert plan.left_out == {"video": 3, ".psd": 2, ".exr": 1, "without extension": 1}


def test_hidden_files_are_not_counted() -> None:
    touch("in/a.png", "in/.b.psd", "in/._a.png", "in/._c.psd", "in/.DS_Store", "in/Thumbs.db", "in/Desktop.ini")
    plan = planning.plan(["in"], "out")
    assert (plan.notes, plan.left_out) == ((), {})


def test_only_folders_that_are_walked_count() -> None:
    touch("in/a.png", "in/b.svg", "in/deep/c.svg", "in/out/d.svg")
    assert planning.plan(["in"], "in/out").left_out == {".svg": 1}
    assert planning.plan(["in"], "in/out", recursive=True).left_out == {".svg": 2}


@pytest.mark.skipif(os.name != "posix", reason="links need rights on Windows")
def test_a_linked_folder_is_not_followed_and_that_is_told() -> None:
    touch("in/a.png", "elsewhere/b.png")
    os.symlink("../elsewhere", "in/link")
    os.symlink(".", "in/circle")
    plan = planning.plan(["in"], "out", recursive=True)
    assert [str(job.source) for job in plan.jobs] == ["in/a.png"]
    assert plan.notes == ("left out of in: 2 linked folders",)
    os.symlink("in", "top")
    assert [str(job.source) for job in planning.plan(["top"], "out").jobs] == ["top/a.png"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="has no named pipes")
def test_a_pipe_in_a_subfolder_matters_only_with_r() -> None:
    touch("in/a.png", "in/deep/c.txt")
    os.mkfifo("in/deep/b.png")
    assert planning.plan(["in"], "out").notes == ()
    plan = planning.plan(["in"], "out", recursive=True)
    assert plan.notes == ("left out, because they are not regular files: in/deep/b.png", "left out of in: 1 .txt")
    assert plan.left_out == {".txt": 1, "pipe or device": 1}


def test_a_pattern_and_several_inputs_count_every_file_once() -> None:
    touch("in/a.png", "in/b.psd", "other/c.jpg", "other/d.pdf")
    plan = planning.plan(["in/*.*", "in", "other"], "out")
    assert plan.notes == ("left out: 1 .pdf, 1 .psd",)


def test_many_kinds_stay_one_short_line() -> None:
    touch("in/a.png", *(f"in/{i}.x{i}" for i in range(30)))
    (note,) = planning.plan(["in"], "out").notes
    assert note.endswith(" and 22 of other kinds") and len(note) < 120


def test_a_folder_without_pictures_says_what_it_holds() -> None:
    touch("in/a.psd", "in/b.psd", "in/c.mp4")
    for text in ("in", "in/*"):
        with pytest.raises(PictureError) as raised:
            planning.plan([text], "out")
        assert (raised.value.hint or "").startswith("found only 2 .psd, 1 video; looked for .avif")


def test_sidecars_that_are_copied_are_not_left_out() -> None:
    touch("in/a.png", "in/a.xmp", "in/b.psd")
    assert planning.plan(["in"], "out").left_out == {".psd": 1, ".xmp": 1}
    assert planning.plan(["in"], "out", copied=frozenset({".xmp"})).left_out == {".psd": 1}

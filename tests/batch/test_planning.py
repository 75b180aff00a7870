from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest

from restore.batch import planning
from restore.errors import PictureError, UsageError


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def touch(*names: str) -> list[str]:
    """Make files that nobody reads."""
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"")
    return list(names)


def planned(inputs: list[str], output: str | None, **options: Any) -> dict[str, str]:
    """What goes where."""
    return {str(job.source): str(job.target) for job in planning.plan(inputs, output, **options).jobs}


def test_one_file_goes_to_the_file_that_is_named() -> None:
    assert planned(touch("a.png"), "b.jpg") == {"a.png": "b.jpg"}


def test_one_file_goes_into_a_folder_that_exists_or_ends_in_a_slash() -> None:
    os.mkdir("out")
    assert planned(touch("in/a.png"), "out") == {"in/a.png": "out/a.png"}
    assert planned(touch("in/a.png"), "new/deep/") == {"in/a.png": "new/deep/a.png"}


def test_a_folder_called_like_a_picture_is_no_output_for_one_file() -> None:
    os.mkdir("b.png")
    with pytest.raises(PictureError, match=r"b\.png is a folder, but its name looks like a file") as raised:
        planning.plan(touch("a.png"), "b.png")
    assert raised.value.hint == "-o b.png/"
    assert planned(touch("a.png"), "b.png/") == {"a.png": "b.png/a.png"}


@pytest.mark.parametrize(("output", "why"), [("b", "its name has no extension"), ("b.xyz", r"unknown format \.xyz")])
def test_an_output_without_a_known_format_is_wrong_usage(output: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        planning.plan(touch("a.png"), output)


def test_the_tree_of_a_folder_is_kept() -> None:
    touch("in/a.png", "in/deep/er/B.JPG", "in/notes.txt", "in/.hidden.png", "in/.git/c.png")
    expected = {"in/a.png": "out/a.png", "in/deep/er/B.JPG": "out/deep/er/B.JPG"}
    assert planned(["in"], "out", recursive=True) == expected


def test_without_r_a_folder_is_the_pictures_in_it_and_a_note_tells_of_those_below() -> None:
    touch("in/a.png", "in/deep/er/b.png", "flat/c.png", "flat/deep/notes.txt")
    plan = planning.plan(["in", "flat"], "out")
    assert [str(job) for job in plan.jobs] == ["in/a.png -> out/a.png", "flat/c.png -> out/c.png"]
    assert plan.notes == ("in also has pictures in subfolders; -r includes them",)


def test_a_folder_whose_pictures_all_lie_deeper_needs_r() -> None:
    touch("in/deep/a.png", "in/notes.txt")
    with pytest.raises(PictureError, match="no pictures in in, only in its subfolders") as raised:
        planning.plan(["in"], "out")
    assert raised.value.hint == "add -r to include subfolders"


def test_files_and_folders_go_into_one_folder() -> None:
    touch("in/a.png", "x/b.png")
    assert planned(["in", "x/b.png"], "out") == {"in/a.png": "out/a.png", "x/b.png": "out/b.png"}


def test_an_output_inside_the_input_is_not_restored_again() -> None:
    touch("in/a.png", "in/out/old.png")
    assert planned(["in"], "in/out", recursive=True) == {"in/a.png": "in/out/a.png"}
    assert planned(["in/**/*.png"], "in/out") == {"in/a.png": "in/out/a.png"}
    assert planning.plan(["in"], "in/out").notes == ()


def test_several_inputs_need_a_folder() -> None:
    inputs = touch("a.png", "b.png")
    with pytest.raises(UsageError, match=r"out\.png is the name of a file") as raised:
        planning.plan(inputs, "out.png")
    assert raised.value.hint == "-o out/"
    touch("out")
    with pytest.raises(PictureError, match="out is a file"):
        planning.plan(inputs, "out")


def test_two_pictures_for_one_file_are_refused() -> None:
    with pytest.raises(UsageError, match=r"x/a\.png and y/a\.png would both be written to out/a\.png"):
        planning.plan(touch("x/a.png", "y/a.png"), "out")


def test_outputs_that_exist_are_refused_or_known_as_done() -> None:
    touch("out/a.png", "out/b.png")
    jobs = planning.plan(touch("a.png", "b.png", "c.png"), "out").jobs
    assert [planning.is_done(job) for job in jobs] == [True, True, False]
    with pytest.raises(PictureError, match=r"out/a\.png already exists \(and 1 more\)"):
        planning.refuse_existing(jobs)
    planning.refuse_existing(jobs[2:])


@pytest.mark.parametrize("output", ["a.png", ".", "../{}/a.png", "link.png"])
def test_a_picture_replaces_itself_only_with_overwrite(here: Path, output: str) -> None:
    inputs = touch("a.png")
    os.symlink("a.png", "link.png")
    output = output.format(here.name)
    with pytest.raises(PictureError, match="would replace its own source"):
        planning.plan(inputs, output)
    assert len(planning.plan(inputs, output, overwrite=True).jobs) == 1


def test_a_picture_that_is_still_to_be_read_is_never_replaced() -> None:
    with pytest.raises(UsageError, match=r"y/a\.png is also an input"):
        planning.plan(touch("x/a.png", "y/a.png"), "y", overwrite=True)


def test_a_link_to_nowhere_at_the_outputs_name_counts_as_taken() -> None:
    os.mkdir("out")
    os.symlink("nowhere.png", "out/a.png")
    (job,) = planning.plan(touch("a.png"), "out").jobs
    assert planning.is_done(job)
    with pytest.raises(PictureError, match=r"out/a\.png already exists"):
        planning.refuse_existing([job])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="has no named pipes")
def test_a_named_pipe_in_a_folder_is_left_out_with_a_note() -> None:
    touch("in/a.png")
    os.mkfifo("in/b.png")
    plan = planning.plan(["in"], "out")
    assert [str(job.source) for job in plan.jobs] == ["in/a.png"]
    assert plan.notes == ("left out, because they are not regular files: in/b.png",)


def test_a_missing_input_is_an_error_with_the_nearest_name() -> None:
    touch("holiday.png")
    with pytest.raises(PictureError, match=r"cannot find holyday\.png") as raised:
        planning.plan(["holyday.png"], "out.png")
    assert raised.value.hint == "did you mean 'holiday.png'?"
    with pytest.raises(PictureError, match="cannot find"):
        planning.plan(["x" * 5000 + ".png"], "out.png")
    with pytest.raises(PictureError, match="cannot find") as raised:
        planning.plan(["gone/holiday.png"], "out.png")
    assert raised.value.hint == "there is no folder gone"


def test_a_folder_without_pictures_is_an_error() -> None:
    touch("in/notes.txt")
    with pytest.raises(PictureError, match="no pictures in in"):
        planning.plan(["in"], "out")


def test_a_file_with_a_slash_at_its_end_is_named_as_a_file() -> None:
    with pytest.raises(PictureError, match=r"cannot read a\.png/: it is a file, not a folder") as raised:
        planning.plan([f"{name}/" for name in touch("a.png")], "out/")
    assert raised.value.hint == "type a.png"


def test_a_link_that_leads_nowhere_is_named_as_one() -> None:
    os.symlink("gone.png", "a.png")
    with pytest.raises(PictureError, match=r"cannot read a\.png: it is a link") as raised:
        planning.plan(["a.png"], "out.png")
    assert raised.value.hint is None
    os.symlink("out", "out")
    with pytest.raises(PictureError, match="cannot write into out/b: out is a link that leads nowhere"):
        planning.plan(touch("b.png"), "out/b/")


def test_a_folder_that_cannot_be_made_is_an_error() -> None:
    inputs = touch("a.png", "file")
    with pytest.raises(PictureError, match="cannot write into file/out: file is a file"):
        planning.plan(inputs[:1], "file/out/")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="everything is writable")
def test_a_folder_that_is_not_writable_is_an_error() -> None:
    inputs = touch("a.png")
    os.mkdir("out", 0o500)
    with pytest.raises(PictureError, match="cannot write into out: no permission"):
        planning.plan(inputs, "out")


# Patterns


def test_a_pattern_takes_the_pictures_that_match_in_order() -> None:
    touch("in/b.png", "in/a.png", "in/c.jpg", "in/.hidden.png", "in/a.txt")
    os.mkdir("in/folder.png")
    assert planned(["in/*.png", "in/c*"], "out") == {
        "in/a.png": "out/a.png",
        "in/b.png": "out/b.png",
        "in/c.jpg": "out/c.jpg",
    }


def test_a_pattern_that_matches_nothing_is_an_error() -> None:
    touch("a.txt")
    with pytest.raises(PictureError, match=r"no picture matches \*"):
        planning.plan(["*"], "out")


def test_a_file_called_like_a_pattern_is_that_file() -> None:
    assert planned(touch("photo[1].png"), "b.png") == {"photo[1].png": "b.png"}


def test_a_picture_that_is_named_twice_is_done_once() -> None:
    touch("in/a.png")
    assert len(planning.plan(["in/a.png", "in", "./in/*.png"], "out").jobs) == 1


# Names


def test_a_suffix_writes_beside_the_source() -> None:
    touch("in/a.png", "in/deep/b.tar.jpg")
    assert planned(["in"], None, recursive=True, suffix="_clean") == {
        "in/a.png": "in/a_clean.png",
        "in/deep/b.tar.jpg": "in/deep/b.tar_clean.jpg",
    }
    assert planned(["in/a.png"], None, suffix="_clean", format="jpg") == {"in/a.png": "in/a_clean.jpg"}


def test_a_format_is_that_of_all_outputs_and_spares_names_that_have_it() -> None:
    touch("in/a.png", "in/b.jpeg", "in/c.JPG")
    assert planned(["in"], "out", format="jpg", suffix="_x") == {
        "in/a.png": "out/a_x.jpg",
        "in/b.jpeg": "out/b_x.jpeg",
        "in/c.JPG": "out/c_x.JPG",
    }


def test_a_second_run_with_a_suffix_leaves_out_the_outputs_of_the_first() -> None:
    touch("in/a.png", "in/a_clean.png", "in/a_clean_clean.png", "in/b_clean.png")
    plan = planning.plan(["in"], None, suffix="_clean")
    assert [str(job.source) for job in plan.jobs] == ["in/a.png", "in/b_clean.png"]
    assert plan.notes == ("left out, because they are outputs of other inputs: in/a_clean.png, in/a_clean_clean.png",)


@pytest.mark.parametrize(
    ("inputs", "output", "options", "why"),
    [
        (["a.png"], None, {}, "no output given"),
        (["in"], None, {}, "no output given"),
        (["-"], None, {}, "no output given"),
        (["a.png"], "b.png", {"suffix": "_x"}, r"b\.png is the full name"),
        (["a.png"], "b.png", {"format": "jpg"}, r"b\.png does not fit --format jpg"),
        (["a.png"], "out/", {"format": "xyz"}, "unknown format xyz"),
        (["a.png"], None, {"suffix": ".jpg"}, r"\.jpg is a format"),
        (["a.png"], None, {"suffix": "/x"}, "cannot be '/x'"),
        (["in"], "-", {}, "a pipe takes one picture, but this input is many"),
        (["a.png", "-"], "out", {}, "a pipe takes one picture, but there are several inputs"),
        (["-"], "in", {}, "a picture from a pipe has no name"),
        (["-"], "b.png", {"suffix": "_x"}, "a pipe has none"),
        (["a.png"], "-", {"suffix": "_x"}, "a pipe has none"),
    ],
)
def test_names_that_make_no_sense_are_wrong_usage(
    inputs: list[str], output: str | None, options: dict[str, Any], why: str
) -> None:
    touch("a.png", "in/b.png")
    with pytest.raises(UsageError, match=why):
        planning.plan(inputs, output, stdin=io.BytesIO(), stdout=io.BytesIO(), **options)


def test_two_pictures_that_a_format_gives_one_name_are_refused() -> None:
    with pytest.raises(UsageError, match=r"in/a\.jpg and in/a\.png would both be written to out/a\.webp"):
        planning.plan(touch("in/a.jpg", "in/a.png"), "out", format="webp")


@pytest.mark.parametrize(
    ("name", "other"),
    [("a.png", "A.png"), ("b\N{LATIN SMALL LETTER U WITH DIAERESIS}.png", "bu\N{COMBINING DIAERESIS}.png")],
)
def test_names_that_are_one_on_some_file_systems_are_refused_there_only(
    name: str, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = touch(f"x/{name}", f"y/{other}")
    monkeypatch.setattr(planning, "_ignores_case", lambda folder: False)
    assert len(planning.plan(inputs, "out").jobs) == 2
    monkeypatch.setattr(planning, "_ignores_case", lambda folder: True)
    with pytest.raises(UsageError, match="would both be written"):
        planning.plan(inputs, "out")


def test_whether_a_folder_ignores_case_is_tried_and_leaves_nothing(here: Path) -> None:
    touch("a.png")
    assert planning._ignores_case(here) == Path("A.PNG").exists()
    assert os.listdir(here) == ["a.png"]


# Pipes


def test_a_pipe_stands_on_either_side_of_a_file() -> None:
    touch("a.png", "in/-")
    stdin, stdout = io.BytesIO(), io.BytesIO()
    (job,) = planning.plan(["-"], "-", stdin=stdin, stdout=stdout).jobs
    assert (job.source, job.target, str(job)) == (stdin, stdout, "- -> -")
    (job,) = planning.plan(["a.png"], "-", stdout=stdout).jobs
    assert (job.source, job.target) == (Path("a.png"), stdout)
    (job,) = planning.plan(["-"], "b.png", stdin=stdin).jobs
    assert (job.source, job.target) == (stdin, Path("b.png"))


def test_a_file_called_like_a_pipe_needs_its_folder() -> None:
    touch("-")
    assert planned(["./-"], "b.png") == {"-": "b.png"}

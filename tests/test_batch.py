from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from restore import batch
from restore.batch import Job
from restore.errors import PictureError, RestoreError, UsageError
from restore.images import Picture, read_picture, write_picture


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def touch(*names: str) -> list[Path]:
    """Make files that nobody reads."""
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"")
    return [Path(name) for name in names]


def planned(inputs: list[Path], output: str, *, overwrite: bool = False) -> dict[str, str]:
    """What goes where."""
    return {str(job.source): str(job.target) for job in batch.plan(inputs, output, overwrite=overwrite)}


def test_one_file_goes_to_the_file_that_is_named() -> None:
    assert planned(touch("a.png"), "b.jpg") == {"a.png": "b.jpg"}


def test_one_file_goes_into_a_folder_that_exists_or_ends_in_a_slash() -> None:
    os.mkdir("out")
    assert planned(touch("in/a.png"), "out") == {"in/a.png": "out/a.png"}
    assert planned(touch("in/a.png"), "new/deep/") == {"in/a.png": "new/deep/a.png"}


def test_a_folder_called_like_a_picture_is_no_output_for_one_file() -> None:
    os.mkdir("b.png")
    with pytest.raises(PictureError, match=r"b\.png is a folder, though it is called like a file") as raised:
        batch.plan(touch("a.png"), "b.png")
    assert raised.value.hint == "-o b.png/"
    assert planned(touch("a.png"), "b.png/") == {"a.png": "b.png/a.png"}


@pytest.mark.parametrize(("output", "why"), [("b", "no suffix"), ("b.xyz", r"format \.xyz is not known")])
def test_an_output_without_a_known_format_is_wrong_usage(output: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        batch.plan(touch("a.png"), output)


def test_the_tree_of_a_folder_is_kept() -> None:
    touch("in/a.png", "in/deep/er/B.JPG", "in/notes.txt", "in/.hidden.png", "in/.git/c.png")
    assert planned([Path("in")], "out") == {"in/a.png": "out/a.png", "in/deep/er/B.JPG": "out/deep/er/B.JPG"}


def test_files_and_folders_go_into_one_folder() -> None:
    touch("in/a.png", "x/b.png")
    assert planned([Path("in"), Path("x/b.png")], "out") == {"in/a.png": "out/a.png", "x/b.png": "out/b.png"}


def test_an_output_inside_the_input_is_not_restored_again() -> None:
    touch("in/a.png", "in/out/old.png")
    assert planned([Path("in")], "in/out") == {"in/a.png": "in/out/a.png"}


def test_several_inputs_need_a_folder() -> None:
    inputs = touch("a.png", "b.png")
    with pytest.raises(UsageError, match=r"out\.png is the name of a file") as raised:
        batch.plan(inputs, "out.png")
    assert raised.value.hint == "-o out/"
    touch("out")
    with pytest.raises(PictureError, match="out is a file"):
        batch.plan(inputs, "out")


def test_two_pictures_for_one_file_are_refused() -> None:
    with pytest.raises(UsageError, match=r"x/a\.png and y/a\.png would both be written to out/a\.png"):
        batch.plan(touch("x/a.png", "y/a.png"), "out")


def test_an_output_that_exists_needs_overwrite() -> None:
    inputs = touch("a.png", "b.png")
    touch("out/a.png", "out/b.png")
    with pytest.raises(PictureError, match=r"out/a\.png is there already \(and 1 more\)"):
        batch.plan(inputs, "out")
    assert len(batch.plan(inputs, "out", overwrite=True)) == 2


@pytest.mark.parametrize("output", ["a.png", ".", "../{}/a.png", "link.png"])
def test_a_picture_replaces_itself_only_with_overwrite(here: Path, output: str) -> None:
    inputs = touch("a.png")
    os.symlink("a.png", "link.png")
    output = output.format(here.name)
    with pytest.raises(PictureError, match="would replace its own source"):
        batch.plan(inputs, output)
    assert len(batch.plan(inputs, output, overwrite=True)) == 1


def test_a_picture_that_is_still_to_be_read_is_never_replaced() -> None:
    with pytest.raises(UsageError, match=r"y/a\.png is an input too"):
        batch.plan(touch("x/a.png", "y/a.png"), "y", overwrite=True)


def test_a_missing_input_is_an_error_with_the_nearest_name() -> None:
    touch("holiday.png")
    with pytest.raises(PictureError, match=r"cannot find holyday\.png") as raised:
        batch.plan([Path("holyday.png")], "out.png")
    assert raised.value.hint == "did you mean 'holiday.png'?"
    with pytest.raises(PictureError, match="cannot find"):
        batch.plan([Path("x" * 5000 + ".png")], "out.png")
    with pytest.raises(PictureError, match="cannot find") as raised:
        batch.plan([Path("gone/holiday.png")], "out.png")
    assert raised.value.hint == "there is no folder gone either"


def test_a_folder_without_pictures_is_an_error() -> None:
    touch("in/notes.txt")
    with pytest.raises(PictureError, match="no pictures in in"):
        batch.plan([Path("in")], "out")


def test_a_folder_that_cannot_be_made_is_an_error() -> None:
    inputs = touch("a.png", "file")
    with pytest.raises(PictureError, match="cannot write into file/out: file is a file"):
        batch.plan(inputs[:1], "file/out/")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="everything is writable")
def test_a_folder_that_is_not_writable_is_an_error() -> None:
    inputs = touch("a.png")
    os.mkdir("out", 0o500)
    with pytest.raises(PictureError, match="cannot write into out: no permission"):
        batch.plan(inputs, "out")


def save(name: str, value: int, alpha: np.ndarray | None = None) -> Path:
    """Write a picture of one grey level."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_picture(Picture(np.full((4, 5, 3), value, np.uint8), alpha=alpha), path)
    return path


def invert(picture: Picture) -> Picture:
    """Stands in for a network."""
    picture.pixels = 255 - picture.pixels
    return picture


def test_every_job_is_done_and_reported_as_it_ends() -> None:
    jobs = [Job(save("a.png", 1), Path("out/a.png")), Job(save("b.png", 2), Path("out/deep/b.png"))]
    started: list[Job] = []
    outcomes = batch.run(jobs, invert, started=started.append)
    assert next(outcomes).job == jobs[0]
    assert started == jobs[:1]
    assert [outcome.error for outcome in outcomes] == [None]
    assert read_picture(jobs[1].target).pixels.flat[0] == 253


def test_a_broken_picture_does_not_stop_the_others() -> None:
    Path("broken.png").write_text("this is no picture")
    jobs = [Job(Path("broken.png"), Path("out/broken.png")), Job(save("b.png", 2), Path("out/b.png"))]
    first, second = batch.run(jobs, invert)
    assert isinstance(first.error, PictureError) and first.reason == first.error.message
    assert "broken.png" in first.reason
    assert second.error is None
    assert os.listdir("out") == ["b.png"]


def test_a_result_that_its_format_cannot_hold_is_refused_before_the_work() -> None:
    source = save("a.png", 1, alpha=np.zeros((4, 5), np.uint8))
    (outcome,) = batch.run([Job(source, Path("a.jpg"))], lambda _: pytest.fail("the work was done"))
    assert outcome.error is not None and "transparency" in outcome.error.message


def test_wrong_usage_stops_all_and_a_bug_is_not_hidden() -> None:
    jobs = [Job(save("a.png", 1), Path("b.png"))]

    def refuse(_: Picture) -> Picture:
        raise UsageError("tiles too small")

    with pytest.raises(UsageError):
        list(batch.run(jobs, refuse))

    def fail(_: Picture) -> Picture:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(batch.run(jobs, fail))
    assert not Path("b.png").exists()


def test_the_reason_names_the_picture_where_the_error_does_not() -> None:
    def fail(_: Picture) -> Picture:
        raise RestoreError("the result is not finite")

    (outcome,) = batch.run([Job(save("a.png", 1), Path("b.png"))], fail)
    assert outcome.reason == "a.png: the result is not finite"


def test_a_folder_that_vanishes_is_an_error_of_its_picture() -> None:
    Path("file").write_bytes(b"")
    (outcome,) = batch.run([Job(save("a.png", 1), Path("file/out/a.png"))], invert)
    assert isinstance(outcome.error, RestoreError) and "cannot make the folder" in outcome.error.message

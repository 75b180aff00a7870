"""Watching folders: when a picture counts, and what becomes of one that changes, vanishes or is an output."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from conftest import Run
from picture_files import save_flat

from restore.batch import watching
from restore.batch.pipeline import Pipeline
from restore.batch.planning import Job
from restore.batch.processes import Rank
from restore.batch.report import RunReport
from restore.batch.watching import Batch, FolderWatch
from restore.cli.progress_bar import Progress
from restore.cli.task_run import _do, _tell
from restore.errors import PictureError, UsageError


class Clock:
    """Seconds that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock, in an empty folder with `in`."""
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    return Clock()


def put(path: str, content: str = "content") -> Path:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(content)
    return Path(path)


def watch_of(
    clock: Clock, *folders: str, out: str | None = "out", recursive: bool = False, suffix: str = "", format: str = ""
) -> FolderWatch:
    folder = None if out is None else Path(out)
    return FolderWatch([Path(f) for f in folders or ("in",)], folder, recursive, suffix, format or None, clock)


def next_of(watch: FolderWatch, clock: Clock, seconds: float = 0.0) -> Batch:
    """What is to do after some seconds."""
    clock.now += seconds
    watch.look()
    return watch._next()


def names(batch: Batch) -> list[str]:
    return [f"{job.source} -> {job.target}" for job in batch.new]


def test_a_picture_counts_when_it_is_still_for_two_seconds(clock: Clock) -> None:
    put("in/a.png")
    watch = watch_of(clock)
    assert not next_of(watch, clock)
    assert not next_of(watch, clock, 1.75)
    put("in/a.png", "it grows")
    assert not next_of(watch, clock, 0.25)
    assert not next_of(watch, clock, 1.75)
    assert names(next_of(watch, clock, 0.25)) == ["in/a.png -> out/a.png"]
    assert not next_of(watch, clock, 10)


def test_a_change_of_time_alone_is_a_change(clock: Clock) -> None:
    put("in/a.png")
    watch = watch_of(clock)
    next_of(watch, clock)
    os.utime("in/a.png", (1, 1))
    assert not next_of(watch, clock, 2.0)
    assert names(next_of(watch, clock, 2.0)) == ["in/a.png -> out/a.png"]


def test_an_empty_file_waits_for_its_content(clock: Clock) -> None:
    put("in/a.png", "")
    watch = watch_of(clock)
    next_of(watch, clock)
    assert not next_of(watch, clock, 100)
    put("in/a.png")
    next_of(watch, clock)
    assert names(next_of(watch, clock, 2)) == ["in/a.png -> out/a.png"]


def settled(watch: FolderWatch, clock: Clock) -> Batch:
    """What is to do when everything is still."""
    next_of(watch, clock)
    return next_of(watch, clock, watching.STILL)


def test_other_files_hidden_files_links_to_folders_and_pipes_are_left_out(clock: Clock) -> None:
    for name in (".a.png", ".restore-1.tmp", "a.txt", "a.png.part", ".hidden/a.png", "sub/b.png"):
        put(f"in/{name}")
    put("elsewhere/c.png")
    Path("in/link").symlink_to("../elsewhere")
    os.mkfifo("in/pipe.png")
    Path("in/lost.png").symlink_to("nowhere")
    assert names(settled(watch_of(clock), clock)) == []
    assert names(settled(watch_of(clock, recursive=True), clock)) == ["in/sub/b.png -> out/sub/b.png"]


def test_the_output_folder_inside_the_watched_folder_is_left_out(clock: Clock) -> None:
    put("in/a.png")
    put("in/done/b.png")
    put("in/deep/done/c.png")
    watch = watch_of(clock, out="in/done", recursive=True)
    assert names(settled(watch, clock)) == [
        "in/a.png -> in/done/a.png",
        "in/deep/done/c.png -> in/done/deep/done/c.png",
    ]
    assert {str(path) for path in watch._seen} == {"in/a.png", "in/deep/done/c.png"}


def test_outputs_beside_their_sources_are_never_sources(clock: Clock) -> None:
    put("in/a.png")
    watch = watch_of(clock, out=None, suffix="_clean")
    assert names(settled(watch, clock)) == ["in/a.png -> in/a_clean.png"]
    put("in/a_clean.png")
    assert not settled(watch, clock)


def test_an_output_of_an_earlier_run_is_no_source_while_its_own_is_written(clock: Clock) -> None:
    put("in/a_clean.png")
    watch = watch_of(clock, out=None, suffix="_clean")
    next_of(watch, clock)
    clock.now += 1
    put("in/a.png")
    assert names(next_of(watch, clock, 1)) == []


def test_existing_outputs_are_skipped(clock: Clock) -> None:
    put("in/a.png")
    put("out/a.png")
    batch = settled(watch_of(clock), clock)
    assert [(o.status, o.reason) for o in batch.others] == [("skipped", "out/a.png already exists")] and not batch.new


def test_a_picture_that_changes_after_its_run_is_restored_again_but_no_edited_output_is_replaced(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: setattr(clock, "now", clock.now + 0.5))
    put("in/a.png", "part")
    watch = watch_of(clock)
    batches = watch.batches(threading.Event())
    first = next(batches)
    put("out/a.png", "restored")
    put("in/a.png", "the whole file")
    second = next(batches)
    put("out/a.png", "restored again")
    put("in/a.png", "changed once more")
    third = next(batches)
    assert [len(first.new), len(second.new), len(third.new)] == [1, 0, 0]
    assert [first.again, second.again, third.again] == [[], first.new, first.new]
    put("in/a.png", "and once more")
    put("out/a.png", "restored once more")
    next_of(watch, clock)
    put("out/a.png", "edited by hand")
    assert settled(watch, clock).notes == ["in/a.png changed, but so did out/a.png; it is not replaced"]


def test_a_failed_picture_is_tried_again_when_it_changes(clock: Clock) -> None:
    put("in/a.png", "broken")
    watch = watch_of(clock)
    assert names(settled(watch, clock)) == ["in/a.png -> out/a.png"]
    put("in/a.png", "mended now")
    assert names(settled(watch, clock)) == ["in/a.png -> out/a.png"]


def test_files_and_folders_may_vanish_and_change_names(clock: Clock) -> None:
    put("in/sub/a.png")
    put("in/b.png")
    watch = watch_of(clock, recursive=True)
    next_of(watch, clock)
    Path("in/b.png").unlink()
    Path("in/sub").rename("in/new")
    assert names(next_of(watch, clock, 2)) == []
    assert names(next_of(watch, clock, 2)) == ["in/new/a.png -> out/new/a.png"]
    Path("in").rename("moved")
    assert next_of(watch, clock, 2).notes == ["cannot read in: No such file or directory; waiting until it is back"]
    assert not next_of(watch, clock, 2)  # said once
    Path("moved").rename("in")
    put("in/c.png")
    assert "in/c.png -> out/c.png" in names(settled(watch, clock))


def test_pictures_that_vanish_and_are_back_as_they_were_are_not_restored_again(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: setattr(clock, "now", clock.now + 0.5))
    for name in ("a", "b", "c"):
        put(f"in/{name}.png")
    watch = watch_of(clock)
    batches = watch.batches(threading.Event())
    assert len(next(batches).new) == 3
    for name in ("a", "b", "c"):
        put(f"out/{name}.png", "restored")
    Path("in").rename("moved")
    assert "waiting until it is back" in next(batches).notes[0]
    Path("moved").rename("in")
    put("in/b.png", "another picture")
    Path("out/c.png").unlink()
    batch = next(batches)
    assert [job.name for job in batch.again] == ["in/b.png"] and not batch.notes and not batch.others
    assert [job.name for job in batch.new] == ["in/c.png"]


def test_two_pictures_for_one_output_are_an_error_of_the_second(clock: Clock) -> None:
    put("in/a.jpg")
    put("in/a.tif")
    batch = settled(watch_of(clock, format="png"), clock)
    assert names(batch) == ["in/a.jpg -> out/a.png"] or names(batch) == ["in/a.tif -> out/a.png"]
    assert len(batch.others) == 1 and "would both be written to out/a.png" in (batch.others[0].reason or "")


def test_an_output_that_cannot_be_written_is_an_error_of_its_picture(clock: Clock) -> None:
    put("in/a.png")
    put("in/b.png")
    Path("out/a.png").mkdir(parents=True)
    batch = settled(watch_of(clock), clock)
    assert names(batch) == ["in/b.png -> out/b.png"]
    assert [outcome.status for outcome in batch.others] == ["failed"]


def test_stopping_ends_the_waiting_at_once(clock: Clock) -> None:
    stop = threading.Event()
    watch = FolderWatch([Path("in")], Path("out"))
    timer = threading.Timer(0.2, stop.set)
    timer.start()
    begun = time.monotonic()
    assert list(watch.batches(stop)) == [] and time.monotonic() - begun < 0.9


def test_only_folders_can_be_watched(clock: Clock) -> None:
    put("a.png")
    for inputs, message in ((["a.png"], "a.png is none"), (["-"], "- is none"), (["in", "a.png"], "a.png is none")):
        with pytest.raises(UsageError, match=message):
            watching.watch(inputs, "out/")
    with pytest.raises(PictureError, match="cannot find inn"):
        watching.watch(["inn"], "out/")
    with pytest.raises(UsageError, match="no output given"):
        watching.watch(["in"], None)
    with pytest.raises(UsageError, match="a pipe takes one picture"):
        watching.watch(["in"], "-")
    with pytest.raises(UsageError, match="also the output folder"):
        watching.watch(["in"], "in/../in")
    assert watching.watch(["in"], "in", suffix="_clean").out == Path("in")


@pytest.mark.parametrize("other", ["--overwrite", "--dry-run"])
def test_watch_refuses_what_contradicts_it(run: Run, other: str) -> None:
    Path("in").mkdir()
    ran = run("denoise", "in", "-o", "out/", "--watch", other)
    assert ran.code == 2 and f"--watch and {other} contradict each other" in ran.err


def test_several_processes_cannot_watch(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("in").mkdir()
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "0"), ("LOCAL_WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    assert "--watch takes one process" in run("denoise", "in", "-o", "out/", "--watch").err


def test_a_picture_that_vanishes_before_its_turn_is_no_error(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    job = Job(Path("in/a.png"), Path("out/a.png"))
    progress, report = Progress(0, is_shown=False), RunReport([], Rank(), None)
    tell = partial(_tell, report=report, progress=progress, end="\n", verbose=False)
    for batch in (Batch(new=[job]), Batch(again=[job])):
        _do(batch, Pipeline(None, tell, stop_on_error=True), report, progress)  # type: ignore[arg-type]
    assert [outcome.status for outcome in report.outcomes] == ["skipped"]
    assert capsys.readouterr() == ("", "")


def test_a_watch_restores_new_files_until_ctrl_c_and_then_reports(tmp_path: Path) -> None:
    save_flat(str(tmp_path / "in/a.png"), 200)
    save_flat(str(tmp_path / "b.png"), 100)
    command = [sys.executable, "-m", "restore", "denoise", "in", "-o", "in/out", "--watch", "--json", "r.json"]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    child = subprocess.Popen([*command, "--threads", "1"], cwd=tmp_path, text=True, **streams)  # type: ignore[call-overload]
    assert child.stdout.readline() == "in/out/a.png\n"
    (tmp_path / "in/aa-broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")  # first in time and name: done before b.png
    shutil.copy(tmp_path / "b.png", tmp_path / "in/b.png")
    assert child.stdout.readline() == "in/out/b.png\n"
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=30)
    assert child.returncode == 130 and out == ""
    assert "watching in; Ctrl-C ends it" in err and "2 restored, 1 failed" in err
    assert "run the same command to continue" in err
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["interrupted"] and report["totals"]["restored"] == 2 and report["totals"]["failed"] == 1

"""Runs that are interrupted or killed, in processes that are forked from one that has imported torch already."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Tiny

from restore import checkpoints, files, pipeline, restorer
from restore.batch import Job
from restore.cli import app
from restore.images import Picture, write_picture
from restore.networks import NETWORKS

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")

if sys.platform != "win32":
    FORK = multiprocessing.get_context("forkserver")
    FORK.set_forkserver_preload(["pytest", "restore.restorer", "restore.cli.restore_run"])


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with weights and the pictures `in/00.png` to `in/11.png`."""
    monkeypatch.chdir(tmp_path)
    checkpoints.save(Path("tiny.safetensors"), Tiny(), "tiny", {"task": "denoise"})
    generator = np.random.default_rng(0)
    os.mkdir("in")
    for i in range(12):
        write_picture(Picture(generator.integers(0, 256, (250, 300, 3), np.uint8)), Path(f"in/{i:02}.png"))
    return tmp_path


def command(folder: Path, options: tuple[str, ...], change: Callable[[], None] | None) -> None:
    """`restore denoise in -o out` in a process of its own."""
    os.chdir(folder)
    sys.stdout = sys.stderr = open("said", "a")  # noqa: SIM115 - for as long as the process lives
    torch.set_num_threads(1)
    NETWORKS["tiny"] = Tiny
    if change is not None:
        change()
    sys.argv = ["restore", "denoise", "in", "-o", "out", "--weights", "tiny.safetensors", *options]
    run = pipeline.Pipeline.run

    def noted(self: pipeline.Pipeline, jobs: Sequence[Job]) -> None:
        Path("begun").touch()
        run(self, jobs)

    pipeline.Pipeline.run = noted  # type: ignore[method-assign]
    app.main()


def start(*options: str, change: Callable[[], None] | None = None) -> BaseProcess:
    process = FORK.Process(target=command, args=(Path.cwd(), options, change), daemon=True)
    process.start()
    return process


def end(process: BaseProcess) -> int | None:
    process.join(60)
    assert process.exitcode is not None, "it hangs"
    return process.exitcode


def outputs() -> dict[str, bytes]:
    """What is in the output folder, temporary files included."""
    return {path.name: path.read_bytes() for path in Path("out").iterdir()} if Path("out").exists() else {}


def wait_for(path: str) -> None:
    deadline = time.monotonic() + 60
    while not Path(path).exists():
        assert time.monotonic() < deadline, f"{path} does not appear"
        time.sleep(0.001)


def kill_at_random(kills: int) -> None:
    process = start()
    wait_for("begun")
    begun = time.monotonic()
    assert end(process) == 0
    seconds = time.monotonic() - begun
    whole = outputs()
    assert len(whole) == 12
    random = Random(0)
    were_at_work = 0
    for _ in range(kills):
        for name in random.sample(sorted(whole), 10):
            Path("out", name).unlink(missing_ok=True)
        before = len([name for name in outputs() if name in whole])
        Path("begun").unlink()
        process = start("--skip-existing")
        wait_for("begun")
        time.sleep(random.uniform(0, seconds))
        process.kill()
        end(process)
        left = {name: content for name, content in outputs().items() if not name.endswith(".tmp")}
        assert left.items() <= whole.items()
        were_at_work += before < len(left) < 12
    assert were_at_work > kills / 4
    assert end(start("--skip-existing")) == 0
    assert outputs() == whole


def test_kills_leave_whole_files_and_the_resumed_run_does_the_rest() -> None:
    kill_at_random(10)


@pytest.mark.slow
def test_200_kills_leave_whole_files_and_the_resumed_run_does_the_rest() -> None:
    kill_at_random(200)


def endless_tiles() -> None:
    """The network never comes to an end of the sixth picture."""
    count = 0
    restore_picture = restorer.Restorer.restore_picture

    def endless(self: restorer.Restorer, picture: Picture, *, progress: Any, **options: Any) -> restorer.Restored:
        nonlocal count
        count += 1
        while count == 6:
            Path("at work").touch()
            time.sleep(0.01)
            progress(1, 1000)
        return restore_picture(self, picture, progress=progress, **options)

    restorer.Restorer.restore_picture = endless  # type: ignore[method-assign,assignment]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_after_the_tile_and_reports_what_was_done(number: signal.Signals) -> None:
    process = start("--json", "report.json", change=endless_tiles)
    wait_for("at work")
    assert process.pid is not None
    os.kill(process.pid, number)
    assert end(process) == 128 + number
    assert sorted(outputs()) == [f"{i:02}.png" for i in range(5)]
    report = json.loads(Path("report.json").read_text())
    assert report["interrupted"] and report["totals"]["restored"] == 5 and report["totals"]["not reached"] == 7
    assert [picture["status"] for picture in report["pictures"]] == ["restored"] * 5 + ["not reached"] * 7
    *_, summary, last = Path("said").read_text().splitlines()
    assert summary.startswith("5 restored, 7 not reached; ") and last.startswith("interrupted; with --skip-existing")
    assert end(start("--skip-existing")) == 0
    assert len(outputs()) == 12


def hang() -> None:
    Path("at work").touch()
    while True:
        time.sleep(0.01)


def hanging_network() -> None:
    restorer.Restorer.restore_picture = lambda *_, **__: hang()  # type: ignore[method-assign,assignment]


def hanging_write() -> None:
    def write(picture: Picture, target: Path, **options: Any) -> None:
        with files.whole_file(target) as temporary:
            temporary.write_bytes(b"half")
            hang()

    setattr(pipeline, "write_picture", write)  # noqa: B010 - which mypy forbids where it is imported


@pytest.mark.parametrize("change", [hanging_network, hanging_write])
def test_a_second_signal_ends_at_once_and_leaves_no_temporary_file(change: Callable[[], None]) -> None:
    process = start("--json", "report.json", change=change)
    wait_for("at work")
    while process.is_alive():  # signals that come together are one
        assert process.pid is not None
        os.kill(process.pid, signal.SIGINT)
        time.sleep(0.05)
    assert end(process) == 130
    assert outputs() == {}
    report = json.loads(Path("report.json").read_text())
    assert report["interrupted"] and report["totals"]["not reached"] == 12

"""Runs that are killed, interrupted or shared, in processes forked from one that has imported torch already."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
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
from tiny_networks import Tiny

from restore import checkpoints, files
from restore.batch import pipeline
from restore.batch.planning import Job
from restore.batch.processes import Rank
from restore.cli import app
from restore.images import Picture, write_picture
from restore.inference import restorer
from restore.inference.restored import Restored
from restore.networks import NETWORKS

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")

if sys.platform != "win32":
    FORK = multiprocessing.get_context("forkserver")
    FORK.set_forkserver_preload(["pytest", "restore.inference.restorer", "restore.cli.task_run"])


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


def command(
    folder: Path, options: tuple[str, ...], change: Callable[[], None] | None, environment: dict[str, str]
) -> None:
    """`restore denoise in -o out` in a process of its own."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the tests run in the background
    os.chdir(folder)
    os.environ.update(environment)
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


def start(*options: str, change: Callable[[], None] | None = None, **environment: str) -> BaseProcess:
    process = FORK.Process(target=command, args=(Path.cwd(), options, change, environment), daemon=True)
    process.start()
    return process


def end(process: BaseProcess, wait: float = 60) -> int | None:
    process.join(wait)
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
    """Kill runs after a random number of pictures and a random part of the next one."""
    assert end(start()) == 0
    whole = outputs()
    assert len(whole) == 12
    random = Random(0)
    were_at_work = 0
    for _ in range(kills):
        for name in random.sample(sorted(whole), 10):
            Path("out", name).unlink(missing_ok=True)
        left_to_do = random.randint(2, 10)
        Path("begun").unlink()
        process = start("--skip-existing")
        wait_for("begun")
        while process.is_alive() and len(whole.keys() - os.listdir("out")) > left_to_do:
            time.sleep(0.001)
        time.sleep(random.uniform(0, 0.03))
        process.kill()
        were_at_work += end(process) == -signal.SIGKILL
        left = {name: content for name, content in outputs().items() if not name.endswith(".tmp")}
        assert left.items() <= whole.items()
    assert were_at_work > kills / 2
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

    def endless(self: restorer.Restorer, picture: Picture, *, progress: Any, **options: Any) -> Restored:
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
    assert summary.startswith("5 restored, 7 not reached; ")
    assert last == "interrupted; run the same command with --skip-existing to continue"
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


def share_with_a_broken_picture() -> dict[str, bytes]:
    """The outputs of one process, gone again, and one more picture, which is broken."""
    assert end(start()) == 0
    whole = outputs()
    shutil.rmtree("out")
    Path("in/broken.png").write_bytes(bytes(1000))
    return whole


def test_two_processes_share_a_folder_at_the_same_time() -> None:
    whole = share_with_a_broken_picture()
    both = [start("--json", "report.json", RANK=rank, WORLD_SIZE="2") for rank in "01"]
    ends = [end(process) for process in both]
    assert ends == [int(Rank(index, 2).owns("broken.png")) for index in range(2)]
    assert outputs() == whole
    reports = [json.loads(Path(f"report.rank{rank}.json").read_text()) for rank in "01"]
    names = [[Path(picture["source"]).name for picture in report["pictures"]] for report in reports]
    assert sorted(names[0] + names[1]) == sorted(os.listdir("in")) and all(names)


@pytest.mark.slow
def test_under_torchrun_a_picture_that_fails_does_not_end_the_other_process() -> None:
    share_with_a_broken_picture()
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    restore = ["-m", "restore", "denoise", "in", "-o", "out", "--json", "report.json"]
    ran = subprocess.run([*launch, *restore], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    owner = [Rank(index, 2).owns("broken.png") for index in range(2)].index(True)
    assert f"rank {owner}: error: cannot read in/broken.png: " in ran.stderr
    assert re.search(rf"rank {1 - owner}: \d+ restored; .*; share {2 - owner}/2", ran.stderr)
    shared = outputs()
    shutil.rmtree("out")
    Path("in/broken.png").unlink()
    subprocess.run([sys.executable, *restore], check=True)
    assert len(shared) == 12 and shared == outputs()


def ranks_with_a_kill(count: int) -> None:
    """Three processes of srun share small pictures; the second is killed at its sixth and started again."""
    for path in Path("in").iterdir():
        path.unlink()
    generator = np.random.default_rng(1)
    for i in range(count):
        pixels = generator.integers(0, 256, (20, 24, 3), np.uint8)
        path = Path("in", f"{i % 7}" if i % 3 else "", f"{i:04}.png")
        path.parent.mkdir(exist_ok=True)
        write_picture(Picture(pixels), path)
    wait = 60 + count / 2
    assert end(start("-r"), wait) == 0
    whole = {str(path): path.read_bytes() for path in Path("out").rglob("*.png")}
    assert len(whole) == count
    shutil.rmtree("out")

    def started(rank: int, change: Callable[[], None] | None = None) -> BaseProcess:
        options = ("-r", "--skip-existing", "--json-lines", "lines.jsonl")
        return start(*options, change=change, SLURM_STEP_ID="0", SLURM_NTASKS="3", SLURM_PROCID=str(rank))

    killed = started(1, endless_tiles)
    others = [started(rank) for rank in (0, 2)]
    wait_for("at work")
    deadline = time.monotonic() + 60
    while Path("lines.rank1.jsonl").read_text().count("\n") < 5:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    killed.kill()
    assert [end(process, wait) for process in (killed, *others)] == [-signal.SIGKILL, 0, 0]
    left = {str(path): path.read_bytes() for path in Path("out").rglob("*.png")}
    assert left.items() < whole.items()
    assert end(started(1), wait) == 0
    assert {str(path): path.read_bytes() for path in Path("out").rglob("*.png")} == whole
    lines = [json.loads(line) for rank in "012" for line in Path(f"lines.rank{rank}.jsonl").read_text().splitlines()]
    assert sorted(line["target"] for line in lines) == sorted(whole)
    assert {line["status"] for line in lines} == {"restored"}


def test_a_killed_rank_that_is_started_again_does_the_rest_of_its_share() -> None:
    ranks_with_a_kill(30)


@pytest.mark.slow
def test_three_ranks_restore_each_of_2000_pictures_once_though_one_is_killed() -> None:
    ranks_with_a_kill(2000)

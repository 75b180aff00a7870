"""Ray as the engine: the same bytes as one process, also if an actor is killed on the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from conftest import Run, save

from restore.batch.ray_engine import actors_of
from restore.errors import UsageError
from restore.images import Picture, write_picture

PROGRAM = """
import ray
ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False, logging_level="error")
from restore.cli.start import main
main()
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def start(*args: str, task: str = "denoise") -> subprocess.Popen[str]:
    """A command on a cluster of three CPUs: two actors."""
    pytest.importorskip("ray", reason="needs Ray: pip install 'ray'")
    command = [sys.executable, "-c", PROGRAM, *task.split(), *args, "--engine", "ray"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until(is_so: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 240
    while not is_so():
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.02)


def actors(process: subprocess.Popen[str]) -> list[psutil.Process]:
    children = psutil.Process(process.pid).children(recursive=True)
    return [child for child in children if child.is_running() and "Restoring" in "".join(child.cmdline())]


def one_process(*args: str) -> None:
    subprocess.run([sys.executable, "-m", "restore", "denoise", *args], check=True, capture_output=True)


@pytest.mark.slow
def test_every_picture_is_restored_once_with_the_same_bytes_though_an_actor_is_killed(here: Path) -> None:
    names = [f"{i:02}.png" for i in range(40)]
    for seed, name in enumerate(names):
        save(f"in/{name}", seed=seed, side=48)
    (here / "in/broken.png").write_bytes(b"no picture")
    process = start("in", "-o", "out", "--json", "report.json", "--json-lines", "lines.jsonl")
    until(lambda: len(list(Path("out").glob("*.png"))) >= 4, process)
    killed = actors(process)[0]
    killed.kill()
    out, err = process.communicate(timeout=300)
    assert process.returncode == 1 and "40 restored, 1 failed" in err, err
    assert "note:  an actor ended; " in err
    assert sorted(out.split()) == [os.path.join("out", name) for name in names]
    report = json.loads(Path("report.json").read_text())
    assert report["totals"]["restored"] == 40 and report["device"] == "cpu" and report["pictures"][0]["weights"]
    lines = [json.loads(line) for line in Path("lines.jsonl").read_text().splitlines()]
    assert sorted(line["source"] for line in lines) == sorted(str(path) for path in Path("in").iterdir())
    (here / "in/broken.png").unlink()
    one_process("in", "-o", "alone")
    for name in names:
        assert Path("out", name).read_bytes() == Path("alone", name).read_bytes()


@pytest.mark.slow
def test_ctrl_c_stops_the_actors_and_skip_existing_goes_on(here: Path) -> None:
    names = [f"{i:02}.png" for i in range(30)]
    for name in names:
        write_picture(Picture(np.zeros((128, 128, 3), np.uint8)), here / name)
    args = ("*.png", "-o", "out")
    process = start(*args)
    until(lambda: len(list(Path("out").glob("*.png"))) >= 3, process)
    process.send_signal(2)
    _, err = process.communicate(timeout=300)
    done = len(list(Path("out").glob("*.png")))
    assert process.returncode == 130 and done < 30 and f"{done} restored, {30 - done} not reached" in err, err
    process = start(*args, "--skip-existing")
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0 and f"{30 - done} restored, {done} skipped" in err, err


def test_a_cluster_that_does_not_answer_is_one_error(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="needs Ray: pip install 'ray'")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    save("a.png")
    ran = run("denoise", "a.png", "-o", "b.png", "--engine", "ray")
    assert ran.code == 2 and ran.err.startswith("error: no Ray cluster answers at 127.0.0.1:9: "), ran.err
    assert not Path("b.png").exists()


@pytest.mark.slow
def test_an_error_of_every_picture_is_told_once(here: Path) -> None:
    save("in/a.png")
    save("in/b.png")
    process = start("in", "-o", "out", "--weights", "none.safetensors")
    _, err = process.communicate(timeout=300)
    assert process.returncode in (1, 2) and err.count("none.safetensors") == 1, err


@pytest.mark.slow
@pytest.mark.parametrize("task", ["auto", "run denoise,upscale:2"])
def test_other_commands_give_the_same_bytes(here: Path, task: str) -> None:
    for seed in range(3):
        save(f"in/{seed}.png", seed=seed)
    process = start("in", "-o", "out", task=task)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0 and "3 restored" in err, err
    command = [sys.executable, "-m", "restore", *task.split(), "in", "-o", "alone"]
    subprocess.run(command, check=True, capture_output=True)
    for path in Path("alone").iterdir():
        assert Path("out", path.name).read_bytes() == path.read_bytes()


DEADLY = """
import os, threading
from pathlib import Path
import ray
from restore.batch.job import Job
from restore.batch.processes import Rank
from restore.batch.ray_engine import Pool
from restore.batch.report import RunReport
from restore.inference.restored import Restored

def load(report):
    def restore(picture, after_tile):
        if picture.pixels[0, 0, 0] == 13:
            os._exit(1)
        return Restored(picture, (8, 8), 1, None)
    return restore

ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False, logging_level="error")
jobs = [Job(path, Path("out", path.name)) for path in sorted(Path("in").iterdir())]
outcomes, options = [], {"overwrite": False, "stop_on_error": False}
Pool(load, options, outcomes.append, RunReport(jobs, Rank(), None), print, "cpu", None).run(jobs)
for outcome in outcomes:
    print("OUTCOME", outcome.job.name, outcome.status, outcome.reason)
"""


@pytest.mark.slow
def test_a_picture_that_ends_its_actor_fails_after_three_tries_and_the_others_are_restored(here: Path) -> None:
    pytest.importorskip("ray", reason="needs Ray: pip install 'ray'")
    (here / "in").mkdir()
    for value in range(10, 30):
        write_picture(Picture(np.full((8, 8, 3), value, np.uint8)), here / f"in/{value}.png")
    ran = subprocess.run([sys.executable, "-c", DEADLY], capture_output=True, text=True, check=True, timeout=300)
    told = [line.split()[1:] for line in ran.stdout.splitlines() if line.startswith("OUTCOME")]
    assert sorted(name for name, *_ in told) == [os.path.join("in", f"{value}.png") for value in range(10, 30)]
    (failed,) = ([name, " ".join(reason)] for name, status, *reason in told if status != "restored")
    assert failed[0] == os.path.join("in", "13.png") and "its actor ended 3 times" in failed[1]
    assert len(list(Path("out").glob("*.png"))) == 19


def test_the_number_of_actors_leaves_a_cpu_free() -> None:
    assert actors_of(2, 0, None, "auto") == (1, {"num_cpus": 1})
    assert actors_of(16, 0, None, "cpu") == (15, {"num_cpus": 1})
    assert actors_of(16, 0, 5, "auto") == (3, {"num_cpus": 5})
    assert actors_of(4, 0, 16, "auto") == (1, {"num_cpus": 3})
    assert actors_of(16, 2, None, "cpu") == (15, {"num_cpus": 1})
    assert actors_of(16, 2, None, "cuda") == (2, {"num_gpus": 1, "num_cpus": 1})
    assert actors_of(1, 4, None, "auto") == (4, {"num_gpus": 1, "num_cpus": 0})
    for cpus in (0, 1, 2, 3, 7.5, 64):
        for gpus in (0, 1, 3):
            for threads in (None, 1, 2, 100):
                count, needs = actors_of(cpus, gpus, threads, "auto")
                assert count >= 1 and count * needs["num_cpus"] <= max(cpus - 1, 1)
    with pytest.raises(UsageError, match="no GPU"):
        actors_of(4, 0, None, "cuda")


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (["-", "-o", "b.png"], "--engine ray takes files and URLs, not pipes"),
        (["in", "-o", "out", "--watch"], "--engine ray and --watch contradict each other"),
        (["in", "-o", "out", "--report", "r.html"], "--engine ray and --report contradict each other"),
        (["in", "-o", "in", "--overwrite"], "--engine ray cannot replace a source: " + os.path.join("in", "a.png")),
        (["in", "-o", "out", "--shard", "1/2"], "--engine ray shares the pictures itself"),
        (["in", "-o", "out"], "--engine ray needs Ray"),
    ],
)
def test_what_ray_cannot_do_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch, args: list[str], error: str) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    save("in/a.png")
    ran = run("denoise", *args, "--engine", "ray")
    assert ran.code == 2 and f"error: {error}" in ran.err, ran.err

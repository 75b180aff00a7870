"""Training in processes of its own: several that share a batch, and some that are killed."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_training import TINY
from torch import Tensor

from restore.batch.processes import rank_from
from restore.errors import UsageError
from restore.images import Picture, write_picture
from restore.networks import NETWORKS
from restore.training.loop import train
from restore.training.options import Options
from restore.training.recipe import load_recipe

SCRIPT = str(Path(__file__).parents[1] / "tiny_training.py")
LIMIT = 120  # seconds, against hanging


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`photos/` of 72x80 pixels, of which the last is held out, and `tiny.toml`, which validates after each step."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(NETWORKS["cs-kit"].CONFIGS, "tiny", TINY)
    # The order of summation, and so the last digits, depend on the number of threads.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    Path("photos").mkdir()
    for seed in range(4):
        pixels = np.random.default_rng(seed).integers(20, 236, (9, 10, 3)).repeat(8, 0).repeat(8, 1)
        write_picture(Picture(pixels.astype(np.uint8)), Path(f"photos/{seed}.png"))
    values = dataclasses.asdict(load_recipe("cs-kit-s-denoise")) | {
        "config": "tiny", "steps": 4, "local_steps": 2, "stages": [], "batch": 2, "crop": 64, "learning_rate": 1e-3,
        "warm_up": 1,
        "held_out": 1, "validate_every": 1, "precision": "float32",
    }  # fmt: skip
    Path("tiny.toml").write_text("".join(f"{k} = {json.dumps(v)}\n" for k, v in values.items() if v is not None))
    yield
    torch.set_num_threads(threads)


def command(out: str, *args: str) -> list[str]:
    """Train into `out`, by tiny.toml or by the recipe of the run."""
    recipe = [] if "--resume" in args else ["tiny.toml"]
    where = ["--data", "photos", "--out", out, "--device", "cpu", "--threads", "1"]
    return [sys.executable, SCRIPT, "train", *recipe, *where, *args]


def here_and_now(out: str, *, resume: bool = False, **changes: str) -> None:
    """The same in this process."""
    train(
        load_recipe(f"{out}/recipe.json" if resume else "tiny.toml", changes), Path("photos"), Path(out), resume=resume
    )


@contextmanager
def started(*command: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A process, which is killed at the end with all that it has started if it is still there."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        command, env=os.environ | environment, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def finish(process: subprocess.Popen[str], code: int = 0) -> tuple[str, str]:
    out, err = process.communicate(timeout=LIMIT)
    assert process.returncode == code, err
    return out, err


def steps_of(out: str) -> list[int]:
    log = Path(out, "log.jsonl")
    return [json.loads(line)["step"] for line in log.read_text().splitlines()] if log.is_file() else []


def logged(out: str, key: str) -> list[float]:
    return [json.loads(line)[key] for line in Path(out, "log.jsonl").read_text().splitlines()]


def wait_for(step: int, out: str, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + LIMIT
    while time.monotonic() < end and process.poll() is None:
        log = Path(out, "log.jsonl")
        if log.is_file() and log.read_text().count("\n") >= step:
            return
        time.sleep(0.01)
    raise AssertionError(f"step {step} was not reached: {process.communicate() if process.poll() is not None else ''}")


def weights_of(out: str) -> dict[str, Tensor]:
    state = torch.load(Path(out, "state.pt"), weights_only=True)
    return {f"{kind}.{key}": value for kind in ("network", "average") for key, value in state[kind].items()}


def differences(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    assert ours.keys() == theirs.keys()
    return max(float((ours[key].double() - theirs[key].double()).abs().max()) for key in ours)


def test_two_processes_give_the_weights_of_one_with_the_same_batch(here: None) -> None:
    launch = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    with started(*launch, *command("both")[1:]) as process:
        here_and_now("whole")
        here_and_now("parts", accumulate="2")
        out, err = finish(process)
    assert out == "both/last.safetensors\n"  # the first process speaks for both
    assert "from 4 photos, on cpu, 2 processes" in err
    assert steps_of("both") == [1, 2, 3, 4]
    # Loss and PSNR are of the whole batch, whoever takes which part of it.
    for key in ("loss", "psnr"):
        both, parts, whole = (logged(name, key) for name in ("both", "parts", "whole"))
        assert both == pytest.approx(parts, rel=1e-5) and both == pytest.approx(whole, rel=1e-3)
    # Half a batch each, added up, is the very sum of one process that takes it in two parts ...
    assert differences(weights_of("both"), weights_of("parts")) == 0
    # ... and that of the batch as one in another order of summation. Adam divides by the size of the gradient, so that
    # the last digits of a gradient near zero count as much as others; all steps together are 4e-3 at most in a weight.
    assert 0 < differences(weights_of("both"), weights_of("whole")) < 4e-4


@pytest.mark.slow
def test_a_run_of_two_processes_stops_at_sigterm_and_goes_on_with_one(here: None) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meet = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    both = command("run", "--set", "steps=40")
    with started(*both, RANK="0", **meet) as first, started(*both, RANK="1", **meet) as second:
        wait_for(2, "run", first)
        first.terminate()  # the other stops after the same step
        _, err = finish(first, 128 + signal.SIGTERM)
        finish(second)
    assert "interrupted; the state is saved, continue with: restore train --resume" in err
    done = torch.load("run/state.pt", weights_only=True)["step"]
    assert 2 <= done < 40
    with started(*command("run", "--resume")) as alone:
        wait_for(done + 1, "run", alone)
    assert steps_of("run")[: done + 1] == list(range(1, done + 2))


@pytest.mark.parametrize("kills", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_a_run_that_is_killed_at_any_step_reaches_the_weights_of_one_that_is_not(here: None, kills: int) -> None:
    chance = random.Random(kills)
    for kill in range(kills):
        begin_or_go_on = ["--resume"] if kill else ["--set", "steps=12"]
        before = len(steps_of("run"))
        with started(*command("run", *begin_or_go_on, "--save-every", "0.01s")) as process:
            wait_for(before + chance.randint(1, 3), "run", process)
            time.sleep(chance.random() / 20)  # amid a step, or while the state is written
            process.send_signal(signal.SIGKILL)
            process.wait(LIMIT)
    here_and_now("run", resume=True)
    here_and_now("whole", steps="12")
    assert steps_of("run") == list(range(1, 13))  # none twice
    assert differences(weights_of("run"), weights_of("whole")) == 0
    assert len(Path("run/sessions.jsonl").read_text().splitlines()) == kills + 1
    assert not list(Path("run").glob(".restore-*"))


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"RANK": "0", "WORLD_SIZE": "2"}, "2 processes cannot connect: .* MASTER_ADDR is missing"),
        ({"RANK": "0", "WORLD_SIZE": "8"}, "8 processes cannot share a batch of 2"),
    ],
)
def test_processes_that_cannot_train_together_are_told_why(
    here: None, environment: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=message):
        train(load_recipe("tiny.toml"), Path("photos"), Path("run"), options=Options(rank=rank_from(os.environ)))
    assert not Path("run").exists()

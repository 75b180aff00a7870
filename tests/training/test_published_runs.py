"""A run from the first command to the score of the pulled weights, in processes of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import Run
from hub_server import Hub
from tiny_training import TINY

from restore import checkpoints
from restore.networks import NETWORKS

pytest_plugins = ["hub_fixtures"]
SCRIPT = str(Path(__file__).parents[1] / "tiny_training.py")
SET = {
    "config": "tiny", "steps": 60, "local_steps": 0, "stages": "[]", "batch": 2, "crop": 64, "held_out": 2,
    "warm_up": 0, "validate_every": 3, "validate": "[]", "precision": "float32",
}  # fmt: skip


def rain200(root: Path) -> None:
    """Rain200L as its authors store it, eight pairs to train on and four to test."""
    for part, count in (("train", 8), ("test", 4)):
        for index in range(1, count + 1):
            generator = np.random.default_rng(index + 100 * count)
            clean = generator.integers(40, 200, (9, 8, 3)).repeat(8, 0).repeat(8, 1)
            rainy = np.clip(clean + generator.normal(0, 20, clean.shape), 0, 255)
            for path, pixels in ((f"norain/{index}.png", clean), (f"rain/X2/{index}x2.png", rainy)):
                file = root / part / path
                file.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(file), pixels.astype(np.uint8))


def started(*options: str) -> subprocess.Popen[str]:
    """Two processes that train together."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", port, SCRIPT, "train",
        "cs-kit-s-denoise", *[word for key, value in SET.items() for word in ("--set", f"{key}={value}")],
        "--dataset", "Rain200L", "--root", "Rain200L", "--out", "runs/rain", "--device", "cpu", "--threads", "1",
        "--save-every", "1s", *options,
    ]  # fmt: skip
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


def lines_of(path: str) -> int:
    return Path(path).read_text().count("\n") if Path(path).is_file() else 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
def test_a_run_of_two_processes_is_killed_resumed_published_pulled_and_scores_the_same(
    run: Run, hub: Hub, logged_in: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(NETWORKS["cs-kit"].CONFIGS, "tiny", TINY)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    rain200(Path("Rain200L"))
    process = started()
    end = time.monotonic() + 300
    while lines_of("runs/rain/log.jsonl") < 3 and process.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    assert process.poll() is None, process.communicate()
    now = json.loads(run("train", "--status", "runs/rain", "--json").out)
    assert now["is_running"] and 0 < now["step"] < 60
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    time.sleep(0.2)
    assert json.loads(run("train", "--status", "runs/rain", "--json").out)["is_running"] is False
    process = started("--resume")
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    now = json.loads(run("train", "--status", "runs/rain", "--json").out)
    assert (now["step"], now["is_running"]) == (60, False)
    sessions = Path("runs/rain/sessions.jsonl").read_text().splitlines()
    assert [json.loads(line)["processes"] for line in sessions] == [2, 2]

    ran = run("weights", "push", "runs/rain", "--repo", "owner/rain", "--licence", "MIT", "--dataset", "owner/rain200")
    assert ran.code == 0, ran.err
    monkeypatch.setenv("RESTORE_WEIGHTS", str(tmp_path / "elsewhere"))
    assert run("weights", "pull", "hf://owner/rain").code == 0
    data = ("--dataset", "Rain200L", "--root", "Rain200L", "--protocol", "rgb", "--device", "cpu")
    ours, theirs = (run("eval", *data, "--weights", name) for name in ("runs/rain/best.safetensors", "rain"))
    numbers = [re.findall(r"[\d.]+ dB", ran.out) for ran in (ours, theirs)]
    assert ours.code == theirs.code == 0 and numbers[0] == numbers[1] != [], (ours, theirs)

    card = hub.repos["owner/rain"].commits[hub.repos["owner/rain"].refs["main"]]["README.md"].decode()
    step, before, after = now["best"]
    for part in (
        "license: mit", "owner/rain200", "6 pairs of Rain200L train, 2 more held out", "degradation pairs",
        "cs-kit-s-denoise, changed", f"{step:,} steps", "hours on", f"2 held-out pictures at step {step:,}",
        f"| {before:.2f} | {after:.2f} |", "`recipe.json` has all settings",
    ):  # fmt: skip
        assert part in card, (part, card)
    shown = " ".join(run("weights", "show", "rain").out.split())
    assert f"rgb {after:.2f} {before:.2f}" in shown and "6 pairs of Rain200L train" in shown
    verified = run("weights", "verify", "rain")
    assert verified.code == 0 and checkpoints.resolve("rain").sha256 in verified.out

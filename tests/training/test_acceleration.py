"""Precision, layout and compilation."""

from __future__ import annotations

import dataclasses
import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from training_runs import RECIPE, assert_same_weights, interrupt_at, weights_of

from restore.training import acceleration
from restore.training.loop import train
from restore.training.options import Options
from restore.training.progress import Progress

pytest_plugins = ["training_fixtures"]
pytestmark = pytest.mark.usefixtures("tiny_configs")


def test_auto_precision_is_resolved_in_the_saved_recipe(photos: Path, tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, steps=1, precision="auto")
    train(recipe, photos, tmp_path / "run")
    chosen = json.loads((tmp_path / "run" / "recipe.json").read_text())["precision"]
    assert chosen in ("float32", "bfloat16")
    train(recipe, photos, tmp_path / "run", resume=True)


def test_auto_precision_is_what_took_less_time_over_the_steps_of_the_run(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first of 4 steps costs 3 s in float32 and 1 s in bfloat16, the other three 4 s and 5 s: 15 s against 16 s.
    times = iter((3.0, 1.0, 4.0, 5.0))
    monkeypatch.setattr(acceleration, "_fastest", lambda run: (run(), next(times))[1])
    recipe = dataclasses.replace(RECIPE, precision="auto", stages=((1, 2, 64),))
    told: list[Progress] = []
    train(recipe, photos, tmp_path / "run", on_progress=told.append)
    assert json.loads((tmp_path / "run" / "recipe.json").read_text())["precision"] == "float32"
    assert [progress.note for progress in told] == [
        "precision float32: 3.75 s a step; bfloat16 takes 4 s",
        None,
        None,
        None,
    ]


def test_timing_precisions_changes_no_weights(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = itertools.cycle((1.0, 2.0))  # float32 is faster
    monkeypatch.setattr(acceleration, "_fastest", lambda run: (run(), next(seconds))[1])
    for name, precision in (("asked", "float32"), ("chosen", "auto")):
        train(dataclasses.replace(RECIPE, precision=precision, local_steps=2), photos, tmp_path / name)
    assert_same_weights(tmp_path / "asked", tmp_path / "chosen")


def test_what_is_slow_is_timed_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter((0.0, 15.0, 20.0, 32.0))  # 15 s, then 12 s: over 20 s in all
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    runs: list[None] = []
    assert acceleration._fastest(lambda: runs.append(None)) == 12
    assert len(runs) == 3  # one to warm up


def test_where_compiling_fails_the_network_trains_as_it_is(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(network: torch.nn.Module, *, mode: str) -> Callable[[Tensor], Tensor]:
        def call(x: Tensor) -> Tensor:
            raise RuntimeError("no compiler\nat all")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    told: list[Progress] = []
    train(
        dataclasses.replace(RECIPE, steps=2),
        photos,
        tmp_path / "run",
        options=Options(compiled=True),
        on_progress=told.append,
    )
    assert told[0].note == "the network is not compiled: no compiler"
    assert told[-1].step == 2


@pytest.mark.parametrize("optimizer", [pytest.param("adamw", marks=pytest.mark.slow), "muon"])
def test_weights_that_lie_channels_last_are_trained_and_resumed(photos: Path, tmp_path: Path, optimizer: str) -> None:
    recipe = dataclasses.replace(RECIPE, optimizer=optimizer)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, photos, tmp_path / "run", options=Options(channels_last=True), on_progress=interrupt_at(2))
    train(recipe, photos, tmp_path / "run", options=Options(channels_last=True), resume=True)
    train(recipe, photos, tmp_path / "plain")
    ours, theirs = weights_of(tmp_path / "run"), weights_of(tmp_path / "plain")
    # The same sums in another order; Adam's first steps make much of small differences.
    differences = torch.cat([(ours[key] - theirs[key]).abs().flatten() for key in ours])
    assert differences.mean() < 1e-5

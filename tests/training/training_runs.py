"""Runs of training so small that they take a moment: recipe, photos, and what a run left."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from restore import checkpoints
from restore.training.progress import Progress
from restore.training.recipe import Recipe

RECIPE = Recipe(
    task="denoise",
    network="cs-kit",
    config="tiny",
    degradation="blind-noise",
    steps=4,
    batch=1,
    crop=64,
    learning_rate=1e-3,
    final_learning_rate=1e-5,
    warm_up=1,
    weight_decay=1e-4,
    clip_norm=1.0,
    ema=0.9,
    edge_weight=0.05,
    seed=3,
    held_out=1,
    validate_every=1,  # on_progress is called after each
    precision="float32",
)


def weights_of(run: Path) -> dict[str, Tensor]:
    """Both sets of weights: those that are trained and their average."""
    state = torch.load(run / "state.pt", weights_only=True)
    average, _ = checkpoints.load(run / "last.safetensors")
    saved = {f"average.{key}": value for key, value in average.state_dict().items()}
    return saved | {f"network.{key}": value for key, value in state["network"].items()}


def assert_same_weights(run: Path, other: Path) -> None:
    ours, theirs = weights_of(run), weights_of(other)
    assert ours.keys() == theirs.keys()
    different = [key for key in ours if not torch.equal(ours[key], theirs[key])]
    assert not different


def interrupt_at(step: int) -> Callable[[Progress], None]:
    def stop(progress: Progress) -> None:
        if progress.step == step:
            raise KeyboardInterrupt

    return stop


def log_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]

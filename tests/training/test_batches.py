"""Batches of crops."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from torch import Tensor
from training_runs import RECIPE, assert_same_weights

from restore.images import Picture, read_picture, write_picture
from restore.networks import NETWORKS, Network
from restore.training.loop import train
from restore.training.options import Options

pytest_plugins = ["training_fixtures"]
pytestmark = pytest.mark.usefixtures("tiny_configs")


def test_crops_of_worker_processes_are_those_of_threads(photos: Path, tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, batch=3, stages=((2, 2, 64),))
    train(recipe, photos, tmp_path / "threads", options=Options(threads=2))
    train(recipe, photos, tmp_path / "workers", options=Options(workers=2))
    assert_same_weights(tmp_path / "threads", tmp_path / "workers")


def test_stages_change_the_batch_and_the_crops_and_resume_exactly(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in photos.iterdir():
        write_picture(Picture(read_picture(path).pixels.repeat(2, 0).repeat(2, 1)), path)
    seen = []
    forward = NETWORKS["cs-kit"].forward

    def noted(network: Network, x: Tensor) -> Tensor:
        seen.append(tuple(x.shape))
        return forward(network, x)

    monkeypatch.setattr(NETWORKS["cs-kit"], "forward", noted)
    monkeypatch.setattr("restore.training.loop.with_room", lambda recipe, *_: (recipe, ()))  # which runs it, too
    recipe = dataclasses.replace(RECIPE, crop=128, stages=((1, 3, 64), (3, 2, 64)), validate_every=100, held_out=0)
    train(recipe, photos, tmp_path / "whole")
    assert seen == [(3, 3, 64, 64), (2, 3, 64, 64), (2, 3, 64, 64), (1, 3, 128, 128)]
    train(recipe, photos, tmp_path / "parts", options=Options(max_seconds=0))
    for _ in range(2):
        train(recipe, photos, tmp_path / "parts", resume=True)
    assert_same_weights(tmp_path / "whole", tmp_path / "parts")

"""Gradients of a batch, and batches that are skipped."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.random import Generator
from training_runs import RECIPE, weights_of

from restore.datasets.crops import PhotoCrops
from restore.degradations import DEGRADATIONS, Degradation, Image
from restore.errors import DataError
from restore.images import Picture, write_picture
from restore.training.loop import train
from restore.training.progress import Progress

pytest_plugins = ["training_fixtures"]
pytestmark = pytest.mark.usefixtures("tiny_configs")


@pytest.fixture
def poison(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A degradation that makes NaN of 1.png, which is white."""
    write_picture(Picture(np.full((72, 80, 3), 255, np.uint8)), photos / "1.png")

    def poisoned(clean: Image, _: Generator) -> tuple[Image, Image]:
        return clean, clean * np.float32("nan" if clean.min() == 1 else 0.9)

    monkeypatch.setitem(DEGRADATIONS, "poison", lambda _: lambda _: Degradation(poisoned))


def test_a_batch_in_parts_gives_the_weights_of_the_batch_as_one(photos: Path, tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, batch=3, steps=1)
    train(recipe, photos, tmp_path / "one")
    for parts in (2, 5):  # one has two crops and the other one; five are as many as there are crops, three
        train(dataclasses.replace(recipe, accumulate=parts), photos, tmp_path / str(parts))
        one, found = weights_of(tmp_path / "one"), weights_of(tmp_path / str(parts))
        for key in one:  # in another order of summation; a step of Adam is the learning rate, 1e-3, at most
            torch.testing.assert_close(found[key], one[key], rtol=0, atol=1e-4)


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_batch_with_a_gradient_that_is_not_finite_is_skipped_and_named(
    photos: Path, tmp_path: Path, poison: None, precision: str
) -> None:
    told: list[Progress] = []
    recipe = dataclasses.replace(RECIPE, degradation="poison", steps=8, precision=precision)
    train(recipe, photos, tmp_path / "run", on_progress=told.append)
    crops = PhotoCrops([photos / "0.png", photos / "1.png"], DEGRADATIONS["poison"](None), crop=64, seed=RECIPE.seed)
    spoiled = [bool(np.isnan(crops[number][1]).any()) for number in range(8)]
    assert 0 < sum(spoiled) < 8
    fault = "the gradient is not finite for crop {} of 1.png; the batch is skipped"
    expected = [fault.format(n) if spoiled[n] else None for n in range(8)]
    assert [progress.note for progress in told] == expected
    assert all(weight.isfinite().all() for weight in weights_of(tmp_path / "run").values())


def test_when_no_gradient_is_finite_the_run_stops_with_the_pictures_named(
    photos: Path, tmp_path: Path, poison: None
) -> None:
    for name in ("0.png", "2.png"):
        shutil.copy(photos / "1.png", photos / name)
    recipe = dataclasses.replace(RECIPE, degradation="poison", batch=2, skip_limit=2, held_out=0)
    with pytest.raises(DataError, match=r"step 3: the gradient is not finite for crops 4 to 5 of .*\.png") as caught:
        train(recipe, photos, tmp_path / "run")
    assert "so were the last 3 steps" in caught.value.message
    assert all(weight.isfinite().all() for weight in weights_of(tmp_path / "run").values())

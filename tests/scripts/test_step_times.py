"""How many steps fit into some hours."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_training import SET

from restore.training.loop import train
from restore.training.recipe import Recipe, load_recipe
from scripts import step_times

pytest_plugins = ["training_fixtures"]
pytestmark = pytest.mark.usefixtures("tiny_configs")


def test_steps_are_as_many_as_the_hours_hold() -> None:
    recipe = load_recipe("cs-kit-s-denoise")
    # 30,000 of 40,000 steps have no attention and 8 crops of 64.
    seconds = {(8, 64, True): 0.2, (3, 128, False): 1.0}
    asked = []

    def fake(train: object, part: Recipe, clock: object) -> float:
        asked.append(part)
        return seconds[part.batch, part.crop, part.local_steps > 0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step_times, "seconds_a_step", fake)
        patch.setattr(step_times, "seconds_to_validate", lambda *_: 100.0)
        fitted = step_times.fitted(recipe, 2.0, lambda *_: None, time.process_time)
        short = step_times.fitted(recipe, 0.1, lambda *_: None, time.process_time)
    assert len(asked) == 4
    # Seven validations of 100 s are a tenth of two hours; the first is before the first step.
    assert fitted.steps == round((7200 - 700) / (0.75 * 0.2 + 0.25 * 1.0))
    assert fitted.local_steps == fitted.stages[0][0] == round(0.75 * fitted.steps)
    assert -(-fitted.steps // fitted.validate_every) == 6
    assert short.validate_every == short.steps == 400  # once at the end in any case: (360 - 2 * 100) / 0.4


def test_a_validation_is_estimated_by_one_picture_for_all() -> None:
    recipe = load_recipe("cs-kit-s-denoise", {"config": "tiny", "held_out": "5", "validate_crop": "64"})
    recipe = dataclasses.replace(recipe, validate=("grain", "mosaic"))
    times = iter((0.0, 9.0, 12.0))  # the second picture takes 3 s
    assert step_times.seconds_to_validate(recipe, lambda: next(times)) == 3.0 * 5 * 2


def test_a_step_is_timed_as_a_whole_and_leaves_nothing_behind(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 5.0, 9.0, 10.0, *(10.0 + 2 * n for n in range(1, 100))])  # slow ones to warm up, then 2 s each
    recipe = load_recipe("cs-kit-s-denoise", {k: v if isinstance(v, str) else json.dumps(v) for k, v in SET.items()})
    folders = []

    def probe(recipe: Recipe, folder: Path, should_stop: Callable[[], bool]) -> None:
        folders.append(folder)
        train(recipe, photos, folder, should_stop=should_stop)

    assert step_times.seconds_a_step(probe, recipe, lambda: next(times)) == 2.0
    assert not folders[0].exists()


def test_a_gpu_gets_larger_batches_in_bfloat16() -> None:
    recipe = load_recipe("cs-kit-s-denoise")
    assert step_times.for_gpu(recipe, {}).batch == 4 * recipe.batch
    grown = step_times.for_gpu(recipe, {"batch": 8, "crop": 2, "learning_rate": 0.5})
    assert (grown.batch, grown.crop, grown.precision) == (8 * recipe.batch, 2 * recipe.crop, "bfloat16")
    assert grown.learning_rate == recipe.learning_rate / 2
    assert grown.stages == ((30000, 64, 128),)

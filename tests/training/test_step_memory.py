"""Memory of a step is measured before a run starts, and a batch passes in parts that fit."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from training_runs import RECIPE, assert_same_weights, weights_of

from restore.batch.processes import Rank
from restore.errors import DeviceError
from restore.training import step_memory
from restore.training.loop import train
from restore.training.losses import loss_of
from restore.training.progress import Progress
from restore.training.schedules import phases
from restore.training.starting_weights import new_network
from restore.training.step_memory import Peak, StepMemory, measured, with_room
from restore.training.team import Team

pytest_plugins = ["training_fixtures"]
pytestmark = pytest.mark.usefixtures("tiny_configs")
CPU = torch.device("cpu")
NEED = StepMemory(first_bytes=30e6, more_bytes=20e6, crop=64)


@pytest.fixture
def needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step takes 10 MB, and 20 MB for each crop of 64 pixels."""
    monkeypatch.setattr(step_memory, "measured", lambda *_, **__: NEED)


def free(monkeypatch: pytest.MonkeyPatch, megabytes: float) -> None:
    monkeypatch.setattr(step_memory, "free_memory", lambda _: megabytes * 1e6)


def test_what_is_measured_of_one_crop_foretells_a_batch() -> None:
    recipe = dataclasses.replace(RECIPE, batch=6, crop=128)
    network, loss = new_network(recipe), loss_of("l1", 0)
    phase = phases(recipe)[-1]
    need = measured(network, recipe, loss, phase, room=10e9, device=CPU, most=10**6)
    started = step_memory._held(CPU)
    with Peak(CPU, started, 10e9) as peak, torch.autograd.graph.saved_tensors_hooks(peak.keep, lambda kept: kept):
        network(torch.rand(6, 3, 128, 128)).mean().backward()
    assert 0.9 * peak._kept < need.of(6, 128) < 20 * peak._kept  # at least what the backward pass keeps


def test_the_measurement_changes_neither_weights_nor_random_numbers() -> None:
    network = new_network(RECIPE)
    before, random = {k: v.clone() for k, v in network.state_dict().items()}, torch.get_rng_state()
    measured(network, RECIPE, loss_of("l1", 0), phases(RECIPE)[-1], room=1e9, device=CPU, most=99)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert torch.equal(random, torch.get_rng_state()) and all(p.grad is None for p in network.parameters())


@pytest.mark.parametrize(("megabytes", "parts"), [(210, 1), (130, 2), (60, 4), (40, 8)])
def test_a_batch_gets_the_fewest_parts_that_fit(
    monkeypatch: pytest.MonkeyPatch, needs: None, megabytes: float, parts: int
) -> None:
    free(monkeypatch, megabytes)
    recipe = dataclasses.replace(RECIPE, batch=8)
    found, notes = with_room(recipe, new_network(recipe), loss_of("l1", 0), Team(Rank(), CPU))
    assert found == dataclasses.replace(recipe, accumulate=parts)
    assert bool(notes) == (parts > 1) and all(f"accumulate = {parts}" in note for note in notes)


def test_stages_count_by_their_pixels(monkeypatch: pytest.MonkeyPatch, needs: None) -> None:
    free(monkeypatch, 130)
    recipe = dataclasses.replace(RECIPE, steps=4, batch=1, crop=128, stages=((2, 4, 64),))  # one large crop is as four
    network = new_network(recipe)
    assert with_room(recipe, network, loss_of("l1", 0), Team(Rank(), CPU))[0].accumulate == 1
    recipe = dataclasses.replace(recipe, stages=((2, 8, 64),))
    assert with_room(recipe, network, loss_of("l1", 0), Team(Rank(), CPU))[0].accumulate == 2


def test_a_crop_that_does_not_fit_is_one_error_before_anything_is_written(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(monkeypatch, 1)
    monkeypatch.setattr(step_memory, "_LOOK", 1 << 16)
    with pytest.raises(
        DeviceError, match=r"one crop of 64 pixels takes more than .* GB, and 0\.0 GB are free"
    ) as error:
        train(RECIPE, photos, tmp_path / "run")
    assert "--set crop=N" in str(error.value.hint) and not (tmp_path / "run").exists()


def test_a_chosen_number_of_parts_is_said_kept_and_resumed(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, needs: None
) -> None:
    recipe = dataclasses.replace(RECIPE, batch=2, steps=2)
    told: list[Progress] = []
    free(monkeypatch, 35)
    train(recipe, photos, tmp_path / "run", on_progress=told.append, should_stop=lambda: bool(told))
    assert "accumulate = 2" in str(told[0].note)
    assert json.loads((tmp_path / "run/recipe.json").read_text())["accumulate"] == 2
    free(monkeypatch, 1000)
    train(recipe, photos, tmp_path / "run", resume=True)  # the recipe as it was given
    train(dataclasses.replace(recipe, accumulate=2), photos, tmp_path / "asked")
    assert_same_weights(tmp_path / "run", tmp_path / "asked")
    assert weights_of(tmp_path / "run")

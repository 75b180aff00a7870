"""Whole runs of training."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.random import Generator
from training_runs import RECIPE, assert_same_weights, interrupt_at, log_of, weights_of

from restore import checkpoints
from restore.degradations import DEGRADATIONS, Degradation, Image
from restore.errors import DataError, UsageError
from restore.images import read_picture
from restore.networks import NETWORKS
from restore.training import loop
from restore.training.loop import train
from restore.training.options import Options
from restore.training.progress import Progress
from restore.training.recipe import Recipe
from restore.training.training_data import load_training_data

pytest_plugins = ["training_fixtures"]
pytestmark = pytest.mark.usefixtures("tiny_configs")


def test_a_run_leaves_its_recipe_a_log_and_weights_that_load(photos: Path, tmp_path: Path) -> None:
    path = train(RECIPE, photos, tmp_path / "run")
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == [
        "README.md", "best.safetensors", "curves.png", "last.safetensors", "log.jsonl", "recipe.json", "sessions.jsonl",
        "state.pt", "validation.png",
    ]  # fmt: skip
    assert path == tmp_path / "run" / "last.safetensors"
    assert Recipe(**json.loads((tmp_path / "run" / "recipe.json").read_text())) == RECIPE
    _, info = checkpoints.load(path)
    assert (info.network, info.task, info.metadata["step"]) == ("cs-kit", "denoise", "4")
    assert [entry["step"] for entry in log_of(tmp_path / "run")] == [1, 2, 3, 4]


def test_two_runs_give_the_same_weights_and_another_seed_gives_others(photos: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        train(dataclasses.replace(RECIPE, steps=2, seed=seed), photos, tmp_path / name, options=Options(threads=2))
    assert_same_weights(tmp_path / "a", tmp_path / "b")
    with pytest.raises(AssertionError):
        assert_same_weights(tmp_path / "a", tmp_path / "c")


@pytest.mark.parametrize(("config", "local_steps"), [("tiny", 0), ("tiny", 2), ("tiny-hard", 0)])
def test_interrupted_training_resumes_to_identical_weights(
    photos: Path, tmp_path: Path, config: str, local_steps: int
) -> None:
    recipe = dataclasses.replace(RECIPE, config=config, local_steps=local_steps)
    train(recipe, photos, tmp_path / "whole")
    for step in (1, 3):
        with pytest.raises(KeyboardInterrupt):
            train(recipe, photos, tmp_path / "parts", resume=step > 1, on_progress=interrupt_at(step))
    torch.rand(5)  # what else happens in the process does not matter
    train(recipe, photos, tmp_path / "parts", resume=True)
    assert_same_weights(tmp_path / "whole", tmp_path / "parts")


def test_max_seconds_stops_in_a_state_that_resumes_to_identical_weights(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(RECIPE, photos, tmp_path / "whole")
    ticks: Iterator[int] = iter(range(100))  # the run starts at 0, and each step takes a second
    with monkeypatch.context() as patch:
        patch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
        path = train(RECIPE, photos, tmp_path / "parts", options=Options(max_seconds=2))
    assert checkpoints.load(path)[1].metadata["step"] == "2"
    train(RECIPE, photos, tmp_path / "parts", resume=True)
    assert_same_weights(tmp_path / "whole", tmp_path / "parts")


def test_max_seconds_counts_what_comes_before_the_first_step(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]

    def slowly(*arguments: Any, **given: Any) -> Any:
        now[0] += 300  # of 299 s
        return load_training_data(*arguments, **given)

    monkeypatch.setattr(loop, "load_training_data", slowly)
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: now[0]))
    path = train(RECIPE, photos, tmp_path / "run", options=Options(max_seconds=299))
    assert checkpoints.load(path)[1].metadata["step"] == "0"


def test_loss_goes_down_on_an_easy_problem(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def brighter(clean: Image, _: Generator) -> tuple[Image, Image]:
        return clean, clean + np.float32(0.1)

    monkeypatch.setitem(DEGRADATIONS, "brighter", lambda _: lambda _: Degradation(brighter))
    told: list[Progress] = []
    recipe = dataclasses.replace(
        RECIPE, degradation="brighter", steps=30, learning_rate=5e-3, ema=0.5, validate_every=29
    )
    train(recipe, photos, tmp_path / "run", on_progress=told.append)
    assert told[-1].loss < 0.05  # it begins at 0.1
    assert told[-1].validation is not None
    before, after = told[-1].validation
    assert before == pytest.approx(20, abs=0.5)  # an error of 0.1 everywhere
    assert after > before + 6


def test_attention_is_left_out_of_the_local_steps_and_trained_after_them(photos: Path, tmp_path: Path) -> None:
    for steps in (1, 2, 3):
        train(dataclasses.replace(RECIPE, steps=steps, local_steps=2), photos, tmp_path / str(steps))
    one, two, three = (weights_of(tmp_path / str(steps)) for steps in (1, 2, 3))
    for key in one:
        of_attention = any(part in key for part in ("norm1", "attention", "embed"))
        assert torch.equal(one[key], two[key]) == of_attention, key
        assert not torch.equal(two[key], three[key]), key
    # What is saved on the way restores as it was trained.
    assert [checkpoints.load(tmp_path / f"{steps}" / "last.safetensors")[0].attends for steps in (1, 2, 3)] == [
        False, False, True,
    ]  # fmt: skip


@pytest.mark.parametrize(("network", "degradation", "level"), [("panet", "mosaic", None), ("pa-edsr", "bicubic", 2)])
def test_pyramid_attention_can_be_left_out_and_comes_back(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: str, degradation: str, level: int | None
) -> None:
    monkeypatch.setitem(NETWORKS[network].CONFIGS, "tiny", {"dim": 8, "blocks": 2, "reduction": 2})
    recipe = dataclasses.replace(
        RECIPE, network=network, degradation=degradation, level_low=level, level_high=level, crop=16, local_steps=1,
        task="demosaic" if level is None else "upscale",
    )  # fmt: skip
    for steps in (1, 2):
        train(dataclasses.replace(recipe, steps=steps), photos, tmp_path / str(steps))
    one, two = (weights_of(tmp_path / str(steps)) for steps in (1, 2))
    torch.manual_seed(recipe.seed)
    begun = NETWORKS[network](**NETWORKS[network].CONFIGS["tiny"]).state_dict()
    for key, weights in begun.items():
        assert torch.equal(one[f"network.{key}"], weights) == ("attention" in key), key
        assert not torch.equal(two[f"network.{key}"], weights), key


@pytest.mark.parametrize("changes", [{"optimizer": "adam"}, {"optimizer": "muon"}, {"loss": "l1"}, {"clip_norm": 0.0}])
def test_every_choice_of_a_recipe_changes_what_is_learned(
    photos: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    recipe = dataclasses.replace(RECIPE, steps=1, held_out=0, weight_decay=0.5, clip_norm=1e-9)
    train(recipe, photos, tmp_path / "a")
    train(dataclasses.replace(recipe, **changes), photos, tmp_path / "b")
    ours, theirs = weights_of(tmp_path / "a"), weights_of(tmp_path / "b")
    assert any(not torch.equal(ours[key], theirs[key]) for key in ours)


def test_a_network_for_grey_pictures_trains_on_luma(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(NETWORKS["panet"].CONFIGS, "tiny", {"channels": 1, "dim": 8, "blocks": 2})
    recipe = dataclasses.replace(
        RECIPE, task="dejpeg", network="panet", degradation="jpeg-luma", level_low=10, level_high=10, crop=32, steps=2
    )
    path = train(dataclasses.replace(recipe, precision="auto"), photos, tmp_path / "run")
    assert checkpoints.load(path)[0].channels == 1
    before, after = log_of(tmp_path / "run")[-1]["validation"]
    assert 20 < before < 50 and np.isfinite(after)


def test_a_network_that_enlarges_learns_from_smaller_pictures(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(NETWORKS["pa-edsr"].CONFIGS, "tiny", {"scale": 2, "dim": 8, "blocks": 2, "reduction": 2})
    recipe = dataclasses.replace(
        RECIPE, task="upscale", network="pa-edsr", degradation="bicubic", level_low=2, level_high=2, crop=16, steps=2
    )
    train(recipe, photos, tmp_path / "run")
    before, after = log_of(tmp_path / "run")[-1]["validation"]
    assert 20 < before < 50 and np.isfinite(after)
    # Degraded (its pixels doubled), restored and clean beside each other, whole, for the photo is smaller than a strip.
    assert read_picture(tmp_path / "run" / "validation.png").pixels.shape == (72, 3 * 80, 3)


def test_a_folder_that_is_not_empty_is_refused(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").touch()
    with pytest.raises(DataError, match="is not empty"):
        train(RECIPE, photos, tmp_path / "run")
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["mine.txt"]


def test_where_no_run_is_none_is_resumed(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no state\.pt"):
        train(RECIPE, photos, tmp_path / "run", resume=True)

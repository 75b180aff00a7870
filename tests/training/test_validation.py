"""Validation of a run."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch
from training_runs import RECIPE, interrupt_at, log_of

from restore import checkpoints
from restore.datasets.pairs import degraded
from restore.degradations import DEGRADATIONS, Degradation, blind_noise
from restore.evaluation.scoring import PictureScore, evaluate
from restore.inference.restorer import Restorer
from restore.training import validation
from restore.training.held_out import middle
from restore.training.loop import train
from restore.training.progress import Progress, Validation
from restore.training.validation import mean_psnrs

pytest_plugins = ["training_fixtures"]
pytestmark = pytest.mark.usefixtures("tiny_configs")


def test_validation_is_what_evaluate_gives_for_the_saved_weights(photos: Path, tmp_path: Path) -> None:
    told: list[Progress] = []
    path = train(RECIPE, photos, tmp_path / "run", on_progress=told.append)
    restorer = Restorer(checkpoints.load(path)[0], device="cpu")
    scores = evaluate(restorer, degraded([photos / "2.png"], blind_noise, seed=RECIPE.seed))
    assert told[-1].step == told[-1].steps == 4
    assert told[-1].validation == (scores.mean("input_psnr"), scores.mean("psnr"))
    assert log_of(tmp_path / "run")[-1]["validation"] == list(told[-1].validation)


def test_without_held_out_photos_nothing_is_validated(photos: Path, tmp_path: Path) -> None:
    told: list[Progress] = []
    train(dataclasses.replace(RECIPE, steps=1, held_out=0), photos, tmp_path / "run", on_progress=told.append)
    assert [progress.validation for progress in told] == [None]


def test_held_out_photos_are_validated_under_each_kind_that_the_recipe_names(photos: Path, tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, steps=2, held_out=2, validate=("jpeg:10", "grain"), validate_crop=48)
    told: list[Progress] = []
    path = train(recipe, photos, tmp_path / "run", on_progress=told.append)
    restorer = Restorer(checkpoints.load(path)[0], device="cpu")
    expected = {}
    for kind, draw in (("jpeg:10", DEGRADATIONS["jpeg"]((10, 10))), ("grain", DEGRADATIONS["grain"](None))):
        pairs = degraded([photos / "1.png", photos / "2.png"], draw, seed=RECIPE.seed)
        scores = evaluate(restorer, [middle(pair, 48) for pair in pairs])
        expected[kind] = scores.mean("input_psnr"), scores.mean("psnr")
    assert told[-1].kinds == expected
    assert told[-1].validation == tuple((a + b) / 2 for a, b in zip(*expected.values(), strict=True))
    logged = log_of(tmp_path / "run")[-1]["kinds"]
    assert {kind: tuple(psnrs) for kind, psnrs in logged.items()} == expected
    card = (tmp_path / "run" / "README.md").read_text()
    assert f"| {expected['grain'][0]:.2f} | {expected['grain'][1]:.2f} |" in card


def test_weights_that_a_run_begins_from_are_validated_and_stay_the_best_if_none_are_better(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = train(dataclasses.replace(RECIPE, steps=1), photos, tmp_path / "start")
    scores = iter((25.0, 24.0, 23.0))
    monkeypatch.setattr(validation, "score_held_out", lambda *_: Validation((20.0, next(scores)), None))
    told: list[Progress] = []
    recipe = dataclasses.replace(RECIPE, steps=2)
    train(recipe, photos, tmp_path / "run", start_from=str(start), on_progress=told.append)
    assert [(entry["step"], entry["validation"][1]) for entry in log_of(tmp_path / "run")] == [
        (0, 25),
        (1, 24),
        (2, 23),
    ]
    first = log_of(tmp_path / "run")[0]
    assert first == {
        "step": 0,
        "steps": 2,
        "validation": [20, 25],
        "kinds": None,
        "infinite": 0,
    }  # there is no loss or rate yet
    best, _ = checkpoints.load(tmp_path / "run" / "best.safetensors")
    weights, _ = checkpoints.load(start)
    assert all(torch.equal(value, weights.state_dict()[key]) for key, value in best.state_dict().items())


def test_the_best_weights_are_those_of_the_best_validation(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter((21.0, 23.0, 22.0, 22.5))
    monkeypatch.setattr(validation, "score_held_out", lambda *_: Validation((20.0, next(scores)), None))
    with pytest.raises(KeyboardInterrupt):
        train(RECIPE, photos, tmp_path / "run", on_progress=interrupt_at(3))
    train(RECIPE, photos, tmp_path / "run", resume=True)  # which remembers the best
    assert checkpoints.load(tmp_path / "run" / "best.safetensors")[1].metadata["step"] == "2"
    assert checkpoints.load(tmp_path / "run" / "last.safetensors")[1].metadata["step"] == "4"
    card = (tmp_path / "run" / "README.md").read_text()
    assert "| 2 (best) | 20.00 | 23.00 |\n| 4 | 20.00 | 22.50 |" in card


def test_only_the_middle_of_held_out_photos_is_scored_where_the_recipe_says_so(photos: Path, tmp_path: Path) -> None:
    told: list[Progress] = []
    recipe = dataclasses.replace(RECIPE, steps=1, validate_crop=32)
    path = train(recipe, photos, tmp_path / "run", on_progress=told.append)
    pairs = [middle(pair, 32) for pair in degraded([photos / "2.png"], blind_noise, seed=RECIPE.seed)]
    assert pairs[0].clean.shape == (32, 32, 3)
    scores = evaluate(Restorer(checkpoints.load(path)[0], device="cpu"), pairs, with_ssim=False)
    assert told[-1].validation == (scores.mean("input_psnr"), scores.mean("psnr"))


def test_pictures_that_are_to_stay_as_they_are_do_not_decide_a_mean_alone() -> None:
    def score(input_psnr: float, psnr: float) -> PictureScore:
        return PictureScore("", input_psnr, math.nan, psnr, math.nan)

    assert mean_psnrs([score(20, 30), score(30, 32)]) == (25, 31)
    assert mean_psnrs([score(math.inf, math.inf), score(math.inf, 40)]) == (None, 50)  # (60 + 40) / 2
    assert mean_psnrs([score(math.inf, 50), score(20, 30)]) == (20, 40)


def test_kinds_that_leave_pictures_as_they_are_are_validated(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DEGRADATIONS, "sharp", lambda _: lambda _: Degradation(lambda clean, _: (clean, clean)))
    recipe = dataclasses.replace(RECIPE, steps=1, validate=("jpeg:10", "sharp"), start="identity", learning_rate=0)
    told: list[Progress] = []
    train(recipe, photos, tmp_path / "run", on_progress=told.append)
    assert told[-1].kinds is not None and told[-1].validation is not None
    before, after = told[-1].kinds["jpeg:10"]
    assert told[-1].kinds["sharp"] == (None, 60)  # an identity gives them back exactly
    assert told[-1].validation == (before, (after + 60) / 2)
    assert "| sharp | - | 60.00 |" in (tmp_path / "run/README.md").read_text()
    assert log_of(tmp_path / "run")[-1]["kinds"]["sharp"] == [None, 60]

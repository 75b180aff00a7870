"""What a run is asked to do, before torch is imported."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from conftest import save

from restore.errors import DataError, UsageError, WeightsError
from restore.training.plan import check_run_folder, plan_training
from restore.training.recipe import load_recipe


def test_a_run_goes_into_a_new_or_empty_folder(tmp_path: Path) -> None:
    check_run_folder(tmp_path / "new", resume=False)
    check_run_folder(tmp_path, resume=False)
    (tmp_path / "a").touch()
    with pytest.raises(DataError, match="is not empty"):
        check_run_folder(tmp_path, resume=False)
    with pytest.raises(DataError, match="is a file"):
        check_run_folder(tmp_path / "a", resume=False)
    with pytest.raises(UsageError, match=r"holds no state\.pt"):
        check_run_folder(tmp_path, resume=True)
    (tmp_path / "state.pt").touch()
    check_run_folder(tmp_path, resume=True)


def test_a_run_that_was_killed_before_it_had_a_state_can_begin_again(tmp_path: Path) -> None:
    for name in ("recipe.json", "sessions.jsonl", "log.jsonl", ".restore-12-34-56.tmp"):
        (tmp_path / name).touch()
    check_run_folder(tmp_path, resume=False)
    (tmp_path / "last.safetensors").touch()
    with pytest.raises(DataError, match="is not empty"):
        check_run_folder(tmp_path, resume=False)


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`photos/`, two pictures, in an empty working folder."""
    monkeypatch.chdir(tmp_path)
    for seed in range(2):
        save(f"photos/{seed}.png", seed=seed)


RUN, PHOTOS = Path("run"), Path("photos")
BOTH = PHOTOS, PHOTOS


@pytest.mark.usefixtures("folders")
def test_photos_are_degraded_by_the_recipe_of_the_task() -> None:
    plan = plan_training(None, RUN, data=PHOTOS)
    assert (plan.recipe, plan.source) == (load_recipe("cs-kit-s-denoise"), "cs-kit-s-denoise")
    assert (plan.data, plan.pairs, plan.sources.counts) == (PHOTOS, None, "2 photos")
    assert plan_training(None, RUN, data=PHOTOS, task="derain", network="drsformer").source == "drsformer-s-derain"


@pytest.mark.usefixtures("folders")
def test_without_photos_every_recipe_is_for_pairs() -> None:
    plan = plan_training(None, RUN, data=None, pairs=BOTH)
    assert plan.recipe == dataclasses.replace(load_recipe("cs-kit-s-denoise"), degradation="pairs")
    assert (plan.data, plan.pairs, plan.sources.counts) == (None, BOTH, "2 pairs")


@pytest.mark.usefixtures("folders")
def test_photos_and_pairs_are_planned_together() -> None:
    plan = plan_training("drsformer-s-derain", RUN, data=PHOTOS, pairs=BOTH)
    assert (plan.data, plan.pairs, plan.sources.counts) == (PHOTOS, BOTH, "2 photos and 2 pairs")


@pytest.mark.usefixtures("folders")
def test_changes_come_after_network_and_config() -> None:
    changes = {"steps": "7", "config": "paper"}
    plan = plan_training(None, RUN, data=PHOTOS, network="kit", config="s", changes=changes)
    assert (plan.recipe.network, plan.recipe.config, plan.recipe.steps) == ("kit", "paper", 7)


@pytest.mark.usefixtures("folders")
def test_a_resumed_run_has_its_own_recipe() -> None:
    RUN.mkdir()
    (RUN / "state.pt").touch()
    (RUN / "recipe.json").write_text(json.dumps(dataclasses.asdict(load_recipe("kit-s-denoise"))))
    plan = plan_training(None, RUN, data=PHOTOS, resume=True)
    assert (plan.recipe, plan.source) == (load_recipe("kit-s-denoise"), "run/recipe.json")


@pytest.mark.usefixtures("folders")
def test_only_the_first_process_needs_an_empty_folder() -> None:
    RUN.mkdir()
    (RUN / "log.jsonl").touch()
    with pytest.raises(DataError, match="is not empty"):
        plan_training(None, RUN, data=PHOTOS)
    assert plan_training(None, RUN, data=PHOTOS, is_first=False).data == PHOTOS


@pytest.mark.usefixtures("folders", "tiny_catalogue")
def test_weights_to_start_from_are_found(tiny_file: Path) -> None:
    assert plan_training(None, RUN, data=PHOTOS, start_from="tiny-denoise").start_from == str(tiny_file)
    assert plan_training(None, RUN, data=PHOTOS, transfer_from="tiny-denoise").transfer_from == str(tiny_file)
    with pytest.raises(WeightsError, match="tiny-denose"):
        plan_training(None, RUN, data=PHOTOS, start_from="tiny-denose")


@pytest.mark.usefixtures("folders")
@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"data": None}, "nothing to train on"),
        ({"data": PHOTOS, "pairs": (PHOTOS, None)}, "nothing to train on"),
        ({"data": None, "pairs": (None, PHOTOS)}, "nothing to train on"),
        ({"data": PHOTOS, "task": "upscale"}, "several recipes are for upscale"),
        ({"data": PHOTOS, "resume": True, "start_from": "a"}, "--resume continues with the run's own weights"),
        ({"data": PHOTOS, "start_from": "a", "transfer_from": "b"}, "--from and --transfer both name weights"),
        ({"data": PHOTOS, "changes": {"degradation": "pairs"}}, "is a recipe for pairs of pictures"),
        (
            {"data": None, "pairs": BOTH, "changes": {"degradation": "blind-noise"}},
            "blind-noise needs photos to degrade, and there is no --data",
        ),
    ],
)
def test_a_plan_that_contradicts_itself_is_refused(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plan_training(None, RUN, **asked)


@pytest.mark.usefixtures("folders")
def test_the_task_of_a_recipe_must_be_the_one_asked_for() -> None:
    with pytest.raises(UsageError, match="cs-kit-s-denoise is a recipe for denoise, not for derain"):
        plan_training("cs-kit-s-denoise", RUN, data=PHOTOS, task="derain")

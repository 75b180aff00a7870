"""The state of a run, and runs that are resumed from it."""

from __future__ import annotations

import dataclasses
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_training import TINY
from training_runs import RECIPE, assert_same_weights, interrupt_at, log_of, weights_of

from restore.errors import DataError, UsageError
from restore.networks import NETWORKS
from restore.training import state
from restore.training.loop import train
from restore.training.options import Options

pytest_plugins = ["training_fixtures"]
pytestmark = pytest.mark.usefixtures("tiny_configs")


def test_the_average_moves_by_one_minus_decay() -> None:
    config = NETWORKS["cs-kit"].CONFIGS["tiny"]
    average, network = NETWORKS["cs-kit"](**config), NETWORKS["cs-kit"](**config)
    before = [p.detach().clone() for p in average.parameters()]
    state.update_average(average, network, 0.9)
    for old, new, target in zip(before, average.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(new.detach(), 0.9 * old + 0.1 * target.detach())


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """SIGINT as Python has it, which a shell's background job ignores instead."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_amid_an_update_does_not_tear_it(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(RECIPE, photos, tmp_path / "whole")
    update = state.update_average

    def pressed(*args: Any) -> None:  # after the optimiser's part of the step
        signal.raise_signal(signal.SIGINT)
        update(*args)

    monkeypatch.setattr(state, "update_average", pressed)
    with pytest.raises(KeyboardInterrupt):
        train(RECIPE, photos, tmp_path / "parts")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    monkeypatch.undo()
    monkeypatch.setitem(NETWORKS["cs-kit"].CONFIGS, "tiny", TINY)
    train(RECIPE, photos, tmp_path / "parts", resume=True)
    assert_same_weights(tmp_path / "whole", tmp_path / "parts")


def test_resuming_a_finished_run_changes_nothing(photos: Path, tmp_path: Path) -> None:
    train(RECIPE, photos, tmp_path / "run")
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    train(RECIPE, photos, tmp_path / "run", resume=True)
    assert_same_weights(tmp_path / "run", tmp_path / "copy")
    assert len(log_of(tmp_path / "run")) == 4


@pytest.mark.parametrize("changes", [{"precision": "float16"}, {"optimizer": "muon"}])
def test_other_choices_train_and_resume_to_identical_weights(
    photos: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    recipe = dataclasses.replace(RECIPE, **changes)
    train(recipe, photos, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(recipe, photos, tmp_path / "parts", on_progress=interrupt_at(2))
    train(recipe, photos, tmp_path / "parts", resume=True)
    assert_same_weights(tmp_path / "whole", tmp_path / "parts")
    assert all(entry["note"] is None for entry in log_of(tmp_path / "whole"))


def test_a_run_resumes_only_with_its_own_recipe(photos: Path, tmp_path: Path) -> None:
    train(RECIPE, photos, tmp_path / "run", options=Options(max_seconds=0))
    with pytest.raises(UsageError, match="started with steps = 4, not 5"):
        train(dataclasses.replace(RECIPE, steps=5), photos, tmp_path / "run", resume=True)


def test_a_damaged_state_is_refused_with_the_weights_to_begin_from(photos: Path, tmp_path: Path) -> None:
    train(RECIPE, photos, tmp_path / "run", options=Options(max_seconds=0))
    for content in (b"", b"nonsense", (tmp_path / "run" / "state.pt").read_bytes()[:5000]):
        (tmp_path / "run" / "state.pt").write_bytes(content)
        with pytest.raises(DataError, match=r"cannot resume from .*state\.pt") as caught:
            train(RECIPE, photos, tmp_path / "run", resume=True)
        assert caught.value.hint == f"start a new run from its weights: --from {tmp_path / 'run' / 'last.safetensors'}"


def test_without_averaging_the_saved_weights_are_the_trained_ones(photos: Path, tmp_path: Path) -> None:
    train(dataclasses.replace(RECIPE, ema=0), photos, tmp_path / "run")
    weights = weights_of(tmp_path / "run")
    for key in (key for key in weights if key.startswith("average.")):
        assert torch.equal(weights[key], weights[key.replace("average.", "network.")])

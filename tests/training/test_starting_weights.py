"""What a run starts from."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from training_runs import RECIPE, weights_of

from restore import checkpoints
from restore.errors import UsageError
from restore.networks import NETWORKS
from restore.training.loop import train
from restore.training.options import Options

pytest_plugins = ["training_fixtures"]
pytestmark = pytest.mark.usefixtures("tiny_configs")


def test_options_change_the_config_and_are_in_the_weights(photos: Path, tmp_path: Path) -> None:
    path = train(dataclasses.replace(RECIPE, steps=1, options={"dim": 12}), photos, tmp_path / "run")
    assert checkpoints.load(path)[0].config["dim"] == 12
    with pytest.raises(UsageError, match="cs-kit has no option 'dimm'"):
        train(dataclasses.replace(RECIPE, options={"dimm": 12}), photos, tmp_path / "other")


def test_training_can_begin_from_weights(photos: Path, tmp_path: Path) -> None:
    first = train(dataclasses.replace(RECIPE, steps=1), photos, tmp_path / "first")
    path = train(RECIPE, photos, tmp_path / "second", start_from=str(first), options=Options(max_seconds=0))
    assert path.read_bytes() != first.read_bytes()  # their metadata differ
    expected, found = (checkpoints.load(p)[0].state_dict() for p in (first, path))
    assert all(torch.equal(expected[key], found[key]) for key in expected)


def test_what_fits_of_other_weights_can_be_begun_from(photos: Path, tmp_path: Path) -> None:
    first = train(dataclasses.replace(RECIPE, steps=1), photos, tmp_path / "first")
    recipe = dataclasses.replace(RECIPE, network="kit")
    train(recipe, photos, tmp_path / "second", transfer_from=str(first), options=Options(max_seconds=0))
    given, found = (weights_of(tmp_path / run) for run in ("first", "second"))
    assert {key for key in given if key not in found} == {key for key in given if ".embed." in key}
    own = {key: weights for key, weights in found.items() if key.startswith("average.")}
    assert all(torch.equal(given[key], weights) for key, weights in own.items())
    taken = sum(weights.numel() for weights in own.values())
    assert f"It starts from `last.safetensors`, {taken:,} of {taken:,} parameters." in (
        tmp_path / "second" / "README.md"
    ).read_text(encoding="utf-8")


def test_tensors_of_another_shape_begin_anew(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configs = {f"tiny-x{scale}": {"scale": scale, "dim": 8, "blocks": 12, "reduction": 2} for scale in (2, 3)}
    for name, config in configs.items():
        monkeypatch.setitem(NETWORKS["pa-edsr"].CONFIGS, name, config)
    two, three = (
        dataclasses.replace(
            RECIPE,
            task="upscale",
            network="pa-edsr",
            config=name,
            degradation="bicubic",
            level_low=scale,
            level_high=scale,
            crop=8,
        )
        for scale, name in zip((2, 3), configs, strict=True)
    )
    first = train(dataclasses.replace(two, steps=1, local_steps=1), photos, tmp_path / "2")
    train(three, photos, tmp_path / "3", transfer_from=str(first), options=Options(max_seconds=0))
    torch.manual_seed(three.seed)
    fresh = NETWORKS["pa-edsr"](**configs["tiny-x3"]).state_dict()
    given, found = (weights_of(tmp_path / run) for run in ("2", "3"))
    for key, weights in fresh.items():
        is_new = key.startswith("up.")
        assert torch.equal(found[f"network.{key}"], weights if is_new else given[f"average.{key}"]), key


def test_weights_of_which_nothing_fits_are_refused(photos: Path, tmp_path: Path) -> None:
    first = train(dataclasses.replace(RECIPE, steps=1), photos, tmp_path / "first")
    recipe = dataclasses.replace(RECIPE, network="panet", config="s")
    with pytest.raises(UsageError, match="only 0 of 650,000 parameters fit"):
        train(recipe, photos, tmp_path / "second", transfer_from=str(first))
    assert not (tmp_path / "second").exists()


def test_weights_of_another_network_or_config_are_refused(photos: Path, tmp_path: Path) -> None:
    first = train(dataclasses.replace(RECIPE, steps=1), photos, tmp_path / "first")
    for changes in ({"network": "kit"}, {"config": "tiny-hard"}):  # CS-KiT is a subclass of KiT
        recipe = dataclasses.replace(RECIPE, **changes)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match=f"does not hold a {recipe.network} of config {recipe.config}"):
            train(recipe, photos, tmp_path / "second", start_from=str(first))
    assert not (tmp_path / "second").exists()


def test_crops_that_the_network_does_not_take_are_refused(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not accept crops of 48 pixels") as caught:
        train(dataclasses.replace(RECIPE, crop=48), photos, tmp_path / "run")
    assert caught.value.hint == "use a multiple of 64, at least 64"

"""What a run knows goes along when its weights are published, and `weights show` and `verify` say what a file is."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from conftest import Run
from hub_server import Hub
from tiny_networks import Tiny
from training_runs import RECIPE

import restore
from restore import checkpoints
from restore.checkpoints import catalogue
from restore.networks import Network
from restore.training.loop import train

pytest_plugins = ["hub_fixtures", "training_fixtures"]
# The client warns when it uploads without Xet.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


def pushed(hub: Hub, repo: str) -> dict[str, bytes]:
    files: dict[str, bytes] = hub.repos[repo].commits[hub.repos[repo].refs["main"]]
    return files


def weights_in(restorer: restore.Restorer) -> list[torch.Tensor]:
    assert isinstance(restorer.network, Network)
    return list(restorer.network.parameters())


@pytest.fixture
def trained(photos: Path, tmp_path: Path, tiny_configs: None) -> Path:
    """A finished run, scored under two kinds of degradation."""
    import dataclasses

    train(dataclasses.replace(RECIPE, validate=("grain", "jpeg:40")), photos, tmp_path / "runs/mine")
    return tmp_path / "runs/mine"


def test_a_run_is_pushed_with_all_that_it_knows_and_pulled_weights_show_it(
    run: Run, trained: Path, hub: Hub, logged_in: None
) -> None:
    ran = run("weights", "push", str(trained), "--repo", "owner/mine", "--licence", "MIT")
    assert ran.code == 0, ran.err
    files = pushed(hub, "owner/mine")
    assert set(files) == {"README.md", "config.json", "curves.png", "model.safetensors", "recipe.json"}
    assert files["model.safetensors"] == (trained / "best.safetensors").read_bytes()
    assert json.loads(files["recipe.json"]) == json.loads((trained / "recipe.json").read_text())
    log = [json.loads(line) for line in (trained / "log.jsonl").read_text().splitlines()]
    best = max((entry for entry in log if entry["validation"]), key=lambda entry: entry["validation"][1])
    card = files["README.md"].decode()
    assert "2 pictures of the folder" in card and "blind-noise" in card and "`recipe.json` has all settings" in card
    assert run("weights", "pull", "hf://owner/mine").code == 0
    shown = " ".join(run("weights", "show", "mine").out.split())
    for kind, (before, after) in (("", best["validation"]), *best["kinds"].items()):
        name = f"1 held-out pictures at step {best['step']}" + (f": {kind}" if kind else "")
        assert f"{name} rgb {after:.2f} {before:.2f}" in shown
        assert f"| {name} | rgb | {before:.2f} | {after:.2f} | - |" in card
    assert "licence: mit" in shown and "2 pictures of the folder" in shown


def test_a_folder_without_a_run_is_not_pushed(run: Run, tmp_path: Path, hub: Hub, logged_in: None) -> None:
    ran = run("weights", "push", str(tmp_path), "--repo", "owner/mine", "--licence", "MIT")
    assert ran.code == 1 and "holds no weights of a run" in ran.err and not hub.repos


def test_a_file_and_a_run_are_shown_like_names(run: Run, trained: Path) -> None:
    for source in (trained, trained / "best.safetensors"):
        shown = " ".join(run("weights", "show", str(source)).out.split())
        assert "trained on: 2 pictures of the folder 'photos', 1 more held out; degradation blind-noise" in shown
        assert "1 held-out pictures at step" in shown and ", blind" not in shown


def test_python_pushes_what_a_restorer_was_loaded_from(run: Run, trained: Path, hub: Hub, logged_in: None) -> None:
    restorer = restore.load(trained / "best.safetensors", device="cpu")
    address = restorer.push_to_hub("owner/python", licence="MIT", message="by hand")
    files = pushed(hub, "owner/python")
    assert address == f"hf://owner/python@{hub.repos['owner/python'].refs['main']}"
    assert files["model.safetensors"] == (trained / "best.safetensors").read_bytes() and "recipe.json" in files
    back = restore.Restorer.from_pretrained("owner/python", device="cpu")
    for theirs, ours in zip(weights_in(back), weights_in(restorer), strict=True):
        assert torch.equal(theirs, ours)


def test_a_changed_network_is_pushed_without_what_does_not_hold_any_more(
    trained: Path, hub: Hub, logged_in: None
) -> None:
    restorer = restore.load(trained / "best.safetensors", device="cpu")
    with torch.no_grad():
        weights_in(restorer)[0].add_(1)
    restorer.push_to_hub("owner/changed", licence="MIT")
    files = pushed(hub, "owner/changed")
    assert "recipe.json" not in files and "scores" not in json.loads(files["config.json"])
    back = restore.Restorer.from_pretrained("owner/changed", device="cpu")
    assert torch.equal(weights_in(back)[0], weights_in(restorer)[0])


def test_a_restorer_without_a_task_is_not_pushed(tiny: type[Network], hub: Hub, logged_in: None) -> None:
    with pytest.raises(restore.UsageError, match="has no task"):
        restore.Restorer(tiny(), device="cpu").push_to_hub("owner/none", licence="MIT")


def test_verify_loads_a_file_and_restores_a_picture(run: Run, tiny_catalogue: Path, tiny_file: Path) -> None:
    listed = catalogue.find("tiny-denoise").sha256
    for source in ("tiny-denoise", str(tiny_file)):
        ran = run("weights", "verify", source)
        assert ran.code == 0 and f"ok, SHA-256 {listed}, that of tiny-denoise in the catalogue" in ran.out
        assert "tiny for denoise, 3 parameters, finite numbers on a small picture" in ran.out


def test_verify_names_what_is_wrong_with_a_file(
    run: Run, tiny: type[Tiny], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "own.safetensors"
    network = tiny()
    checkpoints.save(path, network, "tiny", {"task": "denoise"})
    assert "not in the catalogue" in run("weights", "verify", str(path)).out
    with torch.no_grad():
        network.offset.fill_(torch.finfo(torch.float32).max)
    checkpoints.save(path, network, "tiny", {"task": "denoise"})
    whole = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(tiny, "forward", lambda self, x: self.offset * 2 - x)
        ran = run("weights", "verify", str(path))
    assert ran.code == 1 and "gives numbers that are not finite for a small picture" in ran.out
    path.write_bytes(whole[:-4])
    ran = run("weights", "verify", str(path))
    assert ran.code == 1 and "is damaged" in ran.out and "1 of 1 weights cannot be used" in ran.err
    os.remove(path)
    assert run("weights", "verify", str(path)).code == 1

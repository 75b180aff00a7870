"""Weights for the examples of the docs: a tiny network behind every name that they use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import table_of, to_toml
from tiny_networks import Repeats

from restore import checkpoints
from restore.checkpoints import catalogue
from restore.networks import NETWORKS


def save_repeats(path: Path, task: str, scale: int = 1) -> None:
    """Write a checkpoint of `Repeats`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    checkpoints.save(path, Repeats(scale=scale), "repeats", {"task": task})


def bundle(folder: Path) -> None:
    """Write a weights folder with the names of the bundled one, and `Repeats` behind each."""
    text = ""
    for e in catalogue.load_catalogue(catalogue.weights_folder() / "catalogue.toml").values():
        path = folder / f"{e.name}.safetensors"
        save_repeats(path, e.task, int(e.level or 1) if e.task == "upscale" else 1)
        table = table_of(path, network="repeats", parameters=1, task=e.task, level=e.level, default=e.default)
        text += to_toml(e.name, table) + "\n"
    (folder / "catalogue.toml").write_text(text)


def add_own(name: str, task: str) -> None:
    """Add `Repeats` to the user's own weights."""
    path = catalogue.own_folder() / f"{name}.safetensors"
    save_repeats(path, task)
    catalogue.add_own(name, table_of(path, network="repeats", parameters=1, task=task, default=False))


@contextmanager
def tiny_weights(folder: Path) -> Iterator[None]:
    """Make `bundle` the bundled weights while it is entered."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, "repeats", Repeats)
        bundle(folder)
        patch.setattr(catalogue, "weights_folder", lambda: folder)
        yield

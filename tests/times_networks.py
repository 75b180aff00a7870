"""Weights that multiply, for chains of steps whose exact result is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from conftest import table_of, to_toml
from tiny_networks import Repeats
from torch import Tensor, nn

from restore import checkpoints
from restore.checkpoints import catalogue
from restore.networks import NETWORKS, Network


class Times(Network):
    """Multiplies by its only parameter."""

    CONFIGS: ClassVar[dict[str, dict[str, Any]]] = {"s": {}}
    halo = 0

    def __init__(self) -> None:
        super().__init__()
        self.config = {}
        self.factor = nn.Parameter(torch.ones(1))

    def forward(self, degraded: Tensor) -> Tensor:
        return degraded * self.factor


FACTORS = {"denoise": 4.0, "dejpeg": 0.25, "derain": 0.01, "deblur": 100.0}


def bundle_times(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Make weights that multiply by `FACTORS` the defaults of their tasks; `upscale` repeats pixels."""
    patch.setitem(NETWORKS, "times", Times)
    patch.setitem(NETWORKS, "repeats", Repeats)
    folder.mkdir()
    text = ""
    for task, factor in FACTORS.items():
        network, file = Times(), folder / f"{task}.safetensors"
        nn.init.constant_(network.factor, factor)
        checkpoints.save(file, network, "times", {"task": task})
        text += to_toml(f"times-{task}", table_of(file, network="times", task=task, parameters=1)) + "\n"
    file = folder / "x2.safetensors"
    checkpoints.save(file, Repeats(scale=2), "repeats", {"task": "upscale"})
    text += to_toml("x2", table_of(file, network="repeats", task="upscale", level=2.0, parameters=1))
    (folder / "catalogue.toml").write_text(text)
    patch.setattr(catalogue, "weights_folder", lambda: folder)

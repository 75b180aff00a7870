"""Networks in ONNX Runtime give what they give in torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_networks import Repeats

from restore.checkpoints import CheckpointInfo, ResolvedWeights
from restore.errors import RestoreError, UsageError
from restore.export import onnx_file
from restore.export.contract import Facts
from restore.networks import NETWORKS, Network

for package in ("onnx", "onnxscript"):
    pytest.importorskip(package, reason="needs the extra onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra onnx")

SMALL: dict[str, dict[str, Any]] = {
    "cs-kit": {"dim": 4, "shuffle": 1, "refine": 1, "refine_width": 4},
    "kit": {"dim": 4, "h": 2},
    "drsformer": {"dim": 4, "blocks": [1, 1, 1, 1], "heads": [1, 1, 2, 2]},
    "panet": {"dim": 4, "blocks": 2, "shuffle": 2},
    "pa-edsr": {"dim": 4, "blocks": 2, "reduction": 2, "scale": 3},
}


def info_of(name: str, task: str) -> CheckpointInfo:
    return CheckpointInfo(ResolvedWeights(Path("mine.safetensors"), "0" * 64), name, task, {})


def run(content: bytes, x: np.ndarray[Any, Any]) -> tuple[Any, dict[str, str]]:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(["output"], {"input": x})[0], session.get_modelmeta().custom_metadata_map


@pytest.mark.slow
def test_a_file_for_all_sizes_says_what_it_needs_and_runs_any_size() -> None:
    told: list[str] = []
    exported = onnx_file.export(Repeats(scale=2), info_of("repeats", "upscale"), say=told.append)
    x = np.random.default_rng(0).random((1, 3, 21, 34), np.float32)
    found, metadata = run(exported.content, x)
    assert np.array_equal(found, x.repeat(2, axis=2).repeat(2, axis=3))
    facts = Facts.from_metadata(metadata, "a.onnx")
    assert facts == exported.facts
    assert (facts.scale, facts.tile, facts.halo, facts.task, facts.weights) == (2, None, 0, "upscale", "mine")
    assert told[-1].startswith("largest difference from torch: 0.0e+00")


class OtherWhenExported(Repeats):
    """A network that the exporter changes."""

    def forward(self, degraded: torch.Tensor) -> torch.Tensor:
        return super().forward(degraded) + (0.01 if torch.compiler.is_compiling() else 0)


@pytest.mark.slow
def test_a_file_that_differs_from_torch_is_refused() -> None:
    with pytest.raises(RestoreError, match=r"differs from torch by 2\.55 grey levels; nothing is written"):
        onnx_file.export(OtherWhenExported(), info_of("other", "denoise"), tile=16)


def test_a_picture_that_differs_is_measured_and_nan_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of ONNX Runtime: a session that adds a value."""

    class Session:
        added = 0.25

        def __init__(self, *_: object, **__: object) -> None: ...

        def run(self, _: list[str], inputs: dict[str, Any]) -> list[Any]:
            return [inputs["input"] + np.float32(self.added)]

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    assert onnx_file._difference(b"", Repeats(), [(8, 8), (9, 9)]) == pytest.approx(0.25, abs=1e-6)
    monkeypatch.setattr(Session, "added", np.nan)
    assert np.isnan(onnx_file._difference(b"", Repeats(), [(8, 8)]))


def test_a_tile_that_the_network_cannot_take_is_refused() -> None:
    with pytest.raises(UsageError, match="multiples of 32") as error:
        onnx_file.check_tile(NETWORKS["kit"](dim=4, r=4), 100)
    assert error.value.hint == "use --tile 128"


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_every_network_equals_torch_in_its_fast_form(name: str) -> None:
    torch.manual_seed(0)
    network: Network = NETWORKS[name](**SMALL[name])
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    tile = None if onnx_file.takes_all_sizes(network) else 2 * network.size_multiple
    exported = onnx_file.export(network, info_of(name, "upscale" if network.scale > 1 else "denoise"), tile=tile)
    sides = (tile, tile) if tile else (6 * network.size_multiple, 10 * network.size_multiple)
    x = np.random.default_rng(1).random((1, network.channels, *sides), np.float32)
    found, _ = run(exported.content, x)
    with torch.inference_mode():
        expected = network(torch.from_numpy(x)).numpy()
    assert found.shape == expected.shape and np.abs(found - expected).max() < 1e-4
    assert exported.facts.tile == tile and exported.facts.difference < 1e-4


def test_the_rounding_of_a_network_is_that_of_float32() -> None:
    class Cancelling(Repeats):
        """Adds a large number and takes it away: float32 loses 12 bits."""

        def forward(self, degraded: torch.Tensor) -> torch.Tensor:
            return super().forward(degraded) + 4096 - 4096

    assert onnx_file._rounding(Repeats(), [(8, 8)]) == 0
    assert 1e-5 < onnx_file._rounding(Cancelling(), [(8, 8)]) < 1e-3

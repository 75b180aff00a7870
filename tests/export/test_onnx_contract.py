"""What an ONNX file of restore says about itself."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from restore.errors import WeightsError
from restore.export.contract import Facts

FACTS = Facts(
    weights="mine", sha256="0" * 64, task="denoise", network="cs-kit", config={"dim": 8}, attends=True, version="1",
    channels=3, scale=1, size_multiple=64, tile_grid=16, min_size=64, halo=None, largest_auto_tile=None, tile=128,
    difference=1e-6, licence="MIT",
)  # fmt: skip


def test_facts_come_back_from_the_metadata() -> None:
    metadata = FACTS.to_metadata()
    assert all(type(value) is str for value in metadata.values())
    assert Facts.from_metadata(metadata | {"other": "x"}, "a.onnx") == FACTS


@pytest.mark.parametrize(
    "changed",
    [{"scale": 0}, {"tile_grid": "8"}, {"tile": -1}, {"task": "cook"}, {"unknown": 1}, {"halo": 1.5}],
    ids=lambda changed: next(iter(changed)),
)
def test_facts_out_of_their_limits_are_refused(changed: dict[str, Any]) -> None:
    facts = json.dumps(dataclasses.asdict(FACTS) | changed)
    with pytest.raises(WeightsError, match=r"a\.onnx has"):
        Facts.from_metadata({"restore": "restore-onnx/1", "facts": facts}, "a.onnx")


@pytest.mark.parametrize("metadata", [{}, {"restore": "restore-onnx/2", "facts": "{}"}])
def test_another_file_is_refused(metadata: dict[str, str]) -> None:
    with pytest.raises(WeightsError, match=r"a\.onnx is not an export of restore"):
        Facts.from_metadata(metadata, "a.onnx")

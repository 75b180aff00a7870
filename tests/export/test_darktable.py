"""The `.dtmodel` for darktable."""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile

import pytest
from test_onnx_contract import FACTS
from tiny_networks import Repeats, Tiny

from restore.errors import UsageError
from restore.export.darktable import package, tile_for


def test_a_package_has_one_folder_with_the_network_and_its_config() -> None:
    with zipfile.ZipFile(io.BytesIO(package(b"onnx", FACTS, "for photographs"))) as archive:
        assert archive.namelist() == ["denoise-restore-mine/model.onnx", "denoise-restore-mine/config.json"]
        assert archive.read("denoise-restore-mine/model.onnx") == b"onnx"
        config = json.loads(archive.read("denoise-restore-mine/config.json"))
    assert config["id"] == "denoise-restore-mine" and config["name"] and config["backend"] == "onnx"
    assert config["task"] == "denoise" and config["attributes"] == {"input_sizes": [128]}


def test_upscaling_has_the_name_of_its_factor() -> None:
    facts = dataclasses.replace(FACTS, task="upscale", scale=4)
    with zipfile.ZipFile(io.BytesIO(package(b"onnx", facts, ""))) as archive:
        assert archive.namelist()[0] == "upscale-restore-mine/model_x4.onnx"
        config = json.loads(archive.read("upscale-restore-mine/config.json"))
    assert config["task"] == "upscale" and config["attributes"]["model_x4"] == {"input_sizes": [128]}


def test_the_same_export_gives_the_same_bytes() -> None:
    assert package(b"onnx", FACTS, "") == package(b"onnx", FACTS, "")


def test_what_darktable_cannot_run_is_refused() -> None:
    for network, mosaic in ((Repeats(scale=3), False), (Tiny(), True)):
        with pytest.raises(UsageError, match="darktable takes no network for"):
            tile_for(network, mosaic, None)
    with pytest.raises(UsageError, match="leave nothing"):
        tile_for(Tiny(), False, 128)  # twice the 64 pixels that darktable cuts off


def test_tiles_are_multiples_of_the_networks_own() -> None:
    network = Tiny()
    network.size_multiple = 24
    assert tile_for(network, False, None) == 528
    assert tile_for(network, False, 240) == 240

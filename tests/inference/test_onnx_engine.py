"""Exported networks in ONNX Runtime: the same pictures as in torch, by the same tiles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx_files
import pytest
import torch
from fake_networks import Pixels, ThreeConvolutions, noise
from torch.nn import functional

import restore
from restore.errors import DeviceError, RestoreError, UsageError, WeightsError
from restore.images import Picture
from restore.inference import onnx_engine
from restore.inference.devices import AUTO_TILES
from restore.inference.memory import Need
from restore.inference.onnx_engine import CPU, OnnxNetwork, providers_for
from restore.inference.restorer import Restorer


def restorer_of(path: Path, task: str = "denoise", **options: Any) -> Restorer:
    return Restorer(OnnxNetwork.read(path), device="cpu", task=task, **options)


def assert_near(found: Any, expected: Any, limit: float = 1) -> None:
    assert found.dtype == expected.dtype and found.shape == expected.shape
    assert np.abs(found.astype(np.float64) - expected).max() <= limit


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tile": 40, "overlap": 8},
        {"tile": 40, "overlap": 8, "strength": 0.3},
        {"self_ensemble": True},
        {"region": (20, 30, 50, 40), "tile": 40, "overlap": 8},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_picture_is_as_in_torch(options: dict[str, Any], dtype: type, tmp_path: Path) -> None:
    picture = Picture(noise(90, 113, 3, dtype=dtype), alpha=noise(90, 113, dtype=dtype))
    restorers = restorer_of(onnx_files.convolving(tmp_path / "a.onnx")), Restorer(ThreeConvolutions(), device="cpu")
    found, expected = (one.restore_picture(picture, **options) for one in restorers)
    assert_near(found.picture.pixels, expected.picture.pixels)
    np.testing.assert_array_equal(found.picture.alpha, expected.picture.alpha)
    assert (found.tile, found.tiles, found.precision) == (expected.tile, expected.tiles, "float32")


def test_grey_pictures_dark_pictures_and_tensors_are_as_in_torch(tmp_path: Path) -> None:
    restorers = restorer_of(onnx_files.convolving(tmp_path / "a.onnx")), Restorer(ThreeConvolutions(), device="cpu")
    for pixels in (noise(40, 50, 1), noise(40, 50, 3) // 9):
        found, expected = (one(pixels) for one in restorers)
        assert_near(found, expected)
    x = torch.rand(2, 3, 20, 31, generator=torch.Generator().manual_seed(0))
    assert restorers[0].restore_tensor(x).allclose(restorers[1].restore_tensor(x), atol=1e-5)
    assert restorers[0](x).shape == x.shape


def test_lights_above_white_are_enlarged_as_in_torch(tmp_path: Path) -> None:
    restorer = restorer_of(onnx_files.enlarging(tmp_path / "a.onnx"), "upscale")
    pixels = np.full((20, 30, 3), 0.5, np.float32)
    pixels[5, 7] = 4.0
    result = restorer.restore_picture(Picture(pixels)).picture.pixels
    expected = Picture(pixels.clip(0, 1)).pixels.repeat(2, 0).repeat(2, 1)
    excess = torch.from_numpy(pixels - pixels.clip(0, 1)).permute(2, 0, 1)[None]
    light = functional.interpolate(excess, scale_factor=2, mode="bilinear")[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(result, expected + light, atol=1e-5)


@pytest.mark.parametrize("shape", [(30, 50, 3), (100, 160, 3), (64, 64, 3), (3, 200, 3)], ids=str)
def test_a_file_of_one_size_gets_tiles_of_this_size_only(shape: tuple[int, ...], tmp_path: Path) -> None:
    """ONNX Runtime refuses other sizes."""
    pixels = noise(*shape)
    restorer = restorer_of(onnx_files.inverting(tmp_path / "a.onnx", tile=64, size_multiple=16, tile_grid=8))
    for tile in ("auto", 64):
        restored = restorer.restore_picture(Picture(pixels), tile=tile)
        np.testing.assert_array_equal(restored.picture.pixels, 255 - pixels)
        assert restored.tile == (min(64, shape[0]), min(64, shape[1]))
    for tile in (32, 128):
        with pytest.raises(UsageError, match=f"takes tiles of 64 pixels only, not of {tile}"):
            restorer.restore_picture(Picture(pixels), tile=tile)
    with pytest.raises(UsageError, match="overlap"):
        restorer.restore_picture(Picture(pixels), overlap=64)


def test_a_whole_image_larger_than_the_only_size_is_one_error(tmp_path: Path) -> None:
    restorer = restorer_of(onnx_files.inverting(tmp_path / "a.onnx", tile=64))
    with pytest.raises(UsageError, match="up to 64 x 64"):
        restorer.restore_tensor(torch.zeros(1, 3, 65, 64))


def test_where_memory_runs_out_tiles_become_smaller(tmp_path: Path) -> None:
    restorer = restorer_of(onnx_files.inverting(tmp_path / "a.onnx"))
    session = restorer._engine._session  # type: ignore[attr-defined]

    class Small:
        def run(self, names: list[str], given: dict[str, Pixels]) -> Any:
            if given["input"].size > 3 * 60 * 60:
                raise Exception("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Failed to allocate memory for requested")
            return session.run(names, given)

    restorer._engine._session = Small()  # type: ignore[attr-defined]
    pixels = noise(100, 100, 3)
    restored = restorer.restore_picture(Picture(pixels), overlap=8)
    np.testing.assert_array_equal(restored.picture.pixels, 255 - pixels)
    assert restored.retiled is not None and restored.picture.notes


def test_tiles_fit_into_the_memory_that_onnx_runtime_takes(tmp_path: Path) -> None:
    config = {"channels": 3, "dim": 64, "blocks": 8, "reduction": 2}
    own = restorer_of(onnx_files.inverting(tmp_path / "a.onnx", config=config))._need
    others = restorer_of(onnx_files.inverting(tmp_path / "b.onnx", network="of others"))._need
    assert isinstance(own, Need) and 0 < own.bytes_per_pixel < others.bytes_per_pixel


@pytest.mark.parametrize("fault", ["nan", "shape"])
def test_results_that_cannot_be_used_are_refused(fault: str, tmp_path: Path) -> None:
    node = onnx_files.onnx.helper.make_node
    constants: dict[str, Any] = {"zero": np.float32(0)}
    if fault == "nan":
        nodes = [node("Div", ["input", "zero"], ["output"])]
    else:
        nodes = [node("Sub", ["input", "wide"], ["output"])]
        constants = {"wide": np.zeros((1, 3, 1, 7), np.float32)}
    restorer = restorer_of(onnx_files.write(tmp_path / "a.onnx", nodes, constants))
    with pytest.raises(RestoreError, match="NaN or infinity" if fault == "nan" else "ONNX Runtime cannot run"):
        restorer(np.zeros((20, 20, 3), np.uint8))


def test_files_that_are_no_export_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"no model")
    with pytest.raises(WeightsError, match="damaged"):
        OnnxNetwork.read(tmp_path / "a.onnx")
    path = onnx_files.inverting(tmp_path / "b.onnx")
    model = onnx_files.onnx.load(path)
    del model.metadata_props[:]
    onnx_files.onnx.save(model, path)
    with pytest.raises(WeightsError, match="not an export of restore"):
        OnnxNetwork.read(path)
    with pytest.raises(WeightsError, match="cannot read"):
        OnnxNetwork.read(tmp_path / "missing.onnx")


def test_only_float32_without_compiling(tmp_path: Path) -> None:
    path = onnx_files.inverting(tmp_path / "a.onnx")
    with pytest.raises(UsageError, match="does not compute in bfloat16"):
        restorer_of(path, precision="bfloat16")
    with pytest.raises(UsageError, match="compiles its networks itself"):
        restorer_of(path, compile_network=True)
    assert restorer_of(path).precision_for(np.uint8) == "float32"


def test_threads_are_those_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = onnx_files.inverting(tmp_path / "a.onnx")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    restorer = Restorer(OnnxNetwork.read(path, threads=2), device="cpu")
    assert restorer.threads == 2
    options = restorer._engine._session.get_session_options()  # type: ignore[attr-defined]
    assert options.intra_op_num_threads == 2
    assert restorer_of(path).threads == 3
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert restorer_of(path).threads >= 1


def test_providers_are_those_present_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    class Runtime:
        @staticmethod
        def get_available_providers() -> list[str]:
            return [
                "TensorrtExecutionProvider",
                "CUDAExecutionProvider",
                "DmlExecutionProvider",
                "AzureExecutionProvider",
                CPU,
            ]

    monkeypatch.setattr(onnx_engine, "_runtime", Runtime)
    assert providers_for("auto") == ["CUDAExecutionProvider", "DmlExecutionProvider", CPU]
    assert providers_for("cpu") == [CPU]
    assert providers_for("cuda:1") == [("CUDAExecutionProvider", {"device_id": "1"}), CPU]
    with pytest.raises(DeviceError, match="cannot use mps: this ONNX Runtime has CUDA, DirectML, cpu"):
        providers_for("mps")
    assert "onnx" in AUTO_TILES


def test_python_calls_it_by_its_file(tmp_path: Path) -> None:
    path = onnx_files.inverting(tmp_path / "a.onnx")
    restorer = restore.load(path)
    pixels = noise(20, 30, 3)
    np.testing.assert_array_equal(restorer(pixels), 255 - pixels)
    assert str(restorer.device) == "onnx:cpu" and restorer.task is not None and restorer.task.name == "denoise"
    with pytest.raises(UsageError, match="not for torch"):
        restore.load(path, backend="torch")
    with pytest.raises(UsageError, match="unknown backend"):
        restore.load(path, backend="tensorflow")
    with pytest.raises(UsageError, match="published"):
        restorer.push_to_hub("owner/name")

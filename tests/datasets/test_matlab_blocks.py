from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from restore.datasets.checking import faults
from restore.datasets.layouts import find
from restore.datasets.registry import datasets
from restore.errors import DataError


def test_sidd_blocks_are_read_and_paired(tmp_path: Path) -> None:
    io = pytest.importorskip("scipy.io")
    blocks = np.random.default_rng(0).integers(0, 256, (2, 2, 2, 256, 256, 3), dtype=np.uint8)
    for kind, array in zip(("Noisy", "Gt"), blocks, strict=True):
        io.savemat(tmp_path / f"Validation{kind}BlocksSrgb.mat", {f"Validation{kind}BlocksSrgb": array})
    found = find("SIDD", tmp_path)
    assert [item.name for item in found.items] == ["0001_01", "0001_02", "0002_01", "0002_02"]
    pair = list(found.pairs())[2]
    np.testing.assert_array_equal(pair.degraded, blocks[0, 1, 0] / np.float32(255))
    np.testing.assert_array_equal(pair.clean, blocks[1, 1, 0] / np.float32(255))
    assert [fault for fault in faults(found, datasets()["SIDD"]) if fault] == ["4 pictures instead of 1280"]


@pytest.mark.parametrize("content", [b"", b"no MATLAB file" * 50])
def test_a_damaged_matlab_file_is_named(tmp_path: Path, content: bytes) -> None:
    pytest.importorskip("scipy.io")
    (tmp_path / "ValidationNoisyBlocksSrgb.mat").write_bytes(content)
    with pytest.raises(DataError, match=r"cannot read .*ValidationNoisyBlocksSrgb\.mat"):
        find("SIDD", tmp_path)


def test_a_matlab_file_of_something_else_is_named(tmp_path: Path) -> None:
    io = pytest.importorskip("scipy.io")
    io.savemat(tmp_path / "ValidationNoisyBlocksSrgb.mat", {"ValidationNoisyBlocksSrgb": np.zeros((2, 2))})
    with pytest.raises(DataError, match="holds no blocks of 8-bit RGB called ValidationNoisyBlocksSrgb"):
        find("SIDD", tmp_path)


def test_the_boxes_of_dnd_are_cut_out(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    picture = np.random.default_rng(0).random((40, 50, 3)).astype(np.float32)
    boxes = np.array([[1, 1, 10, 12], [5, 7, 24, 26]])  # top, left, bottom, right, counted from 1
    (tmp_path / "images_srgb").mkdir()
    with h5py.File(tmp_path / "images_srgb/0001.mat", "w") as file:
        file["InoisySRGB"] = picture.T
    with h5py.File(tmp_path / "info.mat", "w") as file:
        file["info/boxes_of_1"] = boxes.T.astype(float)
        references = file.create_dataset("info/boundingboxes", (1, 1), h5py.ref_dtype)
        references[0, 0] = file["info/boxes_of_1"].ref
    found = find("DND", tmp_path)
    assert [item.name for item in found.items] == ["0001_01", "0001_02"]
    crops = [pair.degraded for pair in found.pairs()]
    np.testing.assert_array_equal(crops[0], picture[:10, :12])
    np.testing.assert_array_equal(crops[1], picture[4:24, 6:26])

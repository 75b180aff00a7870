from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest

from restore.datasets.layouts import Absent, degrading, faults, find, find_folders
from restore.datasets.registry import DATASETS, Layout
from restore.errors import DataError, UsageError
from restore.images import Picture, write_picture


def save(path: Path, *, size: tuple[int, int] = (12, 16), seed: int = 0, channels: int = 3) -> np.ndarray:
    """Write noise of `size` (height, width) and return its pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, channels), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_picture(Picture(pixels), path)
    return pixels


LAYOUTS = [
    (dataset.name, split, layout)
    for dataset in DATASETS.values()
    for split, part in dataset.splits.items()
    for layout in part.layouts
    if isinstance(layout, Layout)
]


@pytest.mark.parametrize(("name", "split", "layout"), LAYOUTS)
def test_every_accepted_layout_is_found_and_paired(tmp_path: Path, name: str, split: str, layout: Layout) -> None:
    for count, place in enumerate(layout.within):
        root = tmp_path / str(count)
        sides: list[list[Path] | list[None]] = []
        for pattern in (layout.clean, layout.degraded):  # the stars stand for 1 in one picture, for 2 in another
            paths = None if pattern is None else [root / place / f"{pattern.replace('*', n)}.bmp" for n in "12"]
            sides.append(paths or [None, None])
            for path in paths or ():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
        found = find(name, root, split)
        assert [(item.clean, item.degraded) for item in found.items] == list(zip(*sides, strict=True))
        assert not found.faults


def test_one_clean_picture_may_have_several_degraded_versions(tmp_path: Path) -> None:
    pixels = save(tmp_path / "ground_truth/901.png")
    for version in (1, 2):
        save(tmp_path / f"rainy_image/901_{version}.png", seed=version)
    found = find("DDN-Data", tmp_path)
    assert [item.name for item in found.items] == ["901/1", "901/2"]
    for pair in found.pairs():
        np.testing.assert_array_equal(pair.clean, pixels / np.float32(255))
    assert [fault for fault in faults(found) if fault] == []


def test_endings_and_the_case_of_names_do_not_matter(tmp_path: Path) -> None:
    save(tmp_path / "CroppedImages/Canon_1_mean.JPG")
    save(tmp_path / "CroppedImages/Canon_1_Real.png")
    (item,) = find("PolyU", tmp_path).items
    assert item.name == "Canon_1"


def broken(tmp_path: Path) -> list[str]:
    """The faults of a Rain100L that should have four pairs."""
    found = find("Rain100L", tmp_path)
    found = dataclasses.replace(found, layout=dataclasses.replace(found.layout, pictures=4))
    return [fault for fault in faults(found, DATASETS["Rain100L"]) if fault is not None]


@pytest.fixture
def rain(tmp_path: Path) -> Path:
    """A whole Rain100L of four tiny pairs, 7 to 10."""
    for side, index in itertools.product(("input", "target"), range(7, 11)):
        save(tmp_path / f"{side}/{index:03d}.bmp", size=(3, 4), seed=index)
    return tmp_path


def test_a_whole_set_has_no_fault(rain: Path) -> None:
    assert broken(rain) == []


def test_a_missing_partner_is_named_whichever_side_it_is(rain: Path) -> None:
    (rain / "input/007.bmp").unlink()
    (rain / "target/010.bmp").unlink()
    assert broken(rain) == [
        f"{rain / 'input/010.bmp'} has no clean partner",
        f"{rain / 'target/007.bmp'} has no degraded partner",
        "2 pictures instead of 4",
    ]


def test_two_pictures_of_one_name_are_named(rain: Path) -> None:
    save(rain / "input/007.png", size=(3, 4))
    assert broken(rain) == [f"007.bmp and 007.png in {rain / 'input'} have the same name"]


def test_a_size_mismatch_is_named(rain: Path) -> None:
    save(rain / "target/007.bmp", size=(4, 3))
    assert broken(rain) == ["007: 3x4 clean and 4x3 degraded"]
    with pytest.raises(DataError, match="'007' is 3x4 clean and 4x3 degraded"):
        list(find("Rain100L", rain).pairs())


@pytest.mark.parametrize("content", [b"", b"not a picture"])
def test_a_file_that_cannot_be_read_is_named(rain: Path, content: bytes) -> None:
    (rain / "target/007.bmp").write_bytes(content)
    (fault,) = broken(rain)
    assert str(rain / "target/007.bmp") in fault


def test_a_truncated_file_is_named(rain: Path) -> None:
    save(rain / "target/007.bmp", size=(3, 4))
    (rain / "target/007.bmp").write_bytes((rain / "target/007.bmp").read_bytes()[:-10])
    (fault,) = broken(rain)
    assert str(rain / "target/007.bmp") in fault


def test_grey_among_colour_is_named(rain: Path) -> None:
    for side in ("input", "target"):
        save(rain / side / "007.png", size=(3, 4), channels=1)
        (rain / side / "007.bmp").unlink()
    assert broken(rain) == ["1 grey among colour: 007"]


def test_an_empty_folder_is_named_by_all_that_lack_it(tmp_path: Path) -> None:
    save(tmp_path / "target/1.png")
    (tmp_path / "input").mkdir()
    assert broken(tmp_path) == [f"{tmp_path / 'target/1.png'} has no degraded partner", "0 pictures instead of 4"]


def test_folders_of_grey_alone_are_whole(tmp_path: Path) -> None:
    save(tmp_path / "a.png", channels=1)
    assert [fault for fault in faults(find_folders(tmp_path)) if fault] == []


def test_a_folder_that_holds_no_such_set_is_told_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="holds no test pictures of GoPro") as error:
        find("GoPro", tmp_path)
    assert "test/*/blur/* + test/*/sharp/* (authors (GOPRO_Large)" in str(error.value.hint)


# MATLAB files


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
    assert [fault for fault in faults(found, DATASETS["SIDD"]) if fault] == ["4 pictures instead of 1280"]


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


# Records


def test_sets_are_keyed_by_their_names() -> None:
    assert all(name == dataset.name for name, dataset in DATASETS.items())


# Degradations that sets are scored with


def test_jpeg_is_of_one_quality_and_subsampling_on_every_draw() -> None:
    clean = np.random.default_rng(0).random((32, 32, 3)).astype(np.float32)
    results = []
    for seed in range(6):
        generator = np.random.default_rng(seed)
        results.append(degrading("jpeg", 30)(generator).apply(clean, generator)[1])
    assert all(np.array_equal(results[0], result) for result in results)


def test_a_level_out_of_range_is_refused() -> None:
    with pytest.raises(UsageError):
        degrading("jpeg", 0)

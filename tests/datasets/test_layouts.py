from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from picture_files import save_noise

from restore.datasets.layouts import Absent, find
from restore.datasets.registry import Layout, datasets
from restore.errors import DataError, UsageError

LAYOUTS = [
    (dataset.name, split, layout)
    for dataset in datasets().values()
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
    pixels = save_noise(tmp_path / "ground_truth/901.png")
    for version in (1, 2):
        save_noise(tmp_path / f"rainy_image/901_{version}.png", seed=version)
    found = find("DDN-Data", tmp_path)
    assert [item.name for item in found.items] == ["901/1", "901/2"]
    for pair in found.pairs():
        np.testing.assert_array_equal(pair.clean, pixels / np.float32(255))


def test_reds_has_jpegs_beside_sharp_pngs_and_300_pictures_where_nafnet_picked_them(tmp_path: Path) -> None:
    for sequence in ("000", "001"):
        save_noise(tmp_path / f"REDS/val/val_sharp/{sequence}/00000009.png")
        save_noise(tmp_path / f"REDS/val/val_blur_jpeg/{sequence}/00000009.jpg")
        save_noise(tmp_path / f"picked/val/sharp_300/{sequence}_00000009.png")
        save_noise(tmp_path / f"picked/val/blur_300/{sequence}_00000009.jpg")
    found, picked = find("REDS", tmp_path), find("REDS", tmp_path / "picked")
    assert [item.name for item in found.items] == ["000/00000009", "001/00000009"]
    assert [item.name for item in picked.items] == ["000_00000009", "001_00000009"] and picked.layout.pictures == 300
    assert all(pair.clean.shape == pair.degraded.shape for pair in (*found.pairs(), *picked.pairs()))


def test_endings_and_the_case_of_names_do_not_matter(tmp_path: Path) -> None:
    save_noise(tmp_path / "CroppedImages/Canon_1_mean.JPG")
    save_noise(tmp_path / "CroppedImages/Canon_1_Real.png")
    (item,) = find("PolyU", tmp_path).items
    assert item.name == "Canon_1"


def test_a_folder_that_holds_no_such_set_is_told_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="holds no test pictures of GoPro") as error:
        find("GoPro", tmp_path)
    assert "test/*/blur/* + test/*/sharp/* (authors (GOPRO_Large)" in str(error.value.hint)


def test_a_pair_of_two_sizes_is_refused_when_it_is_read(tmp_path: Path) -> None:
    save_noise(tmp_path / "input/007.png", size=(3, 4))
    save_noise(tmp_path / "target/007.png", size=(4, 3))
    with pytest.raises(DataError, match="'007' is 3x4 clean and 4x3 degraded"):
        list(find("Rain100L", tmp_path).pairs())


def test_a_split_that_does_not_exist_is_refused_with_those_that_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="PolyU has no split 'train'") as error:
        find("PolyU", tmp_path, "train")
    assert error.value.hint == "choose one of test"


def test_a_set_that_does_not_exist_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown dataset 'polyu'") as error:
        find("polyu", tmp_path)
    assert error.value.hint == "did you mean 'PolyU'?"

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from restore.datasets.found import Found, Item
from restore.datasets.pairs import Pair
from restore.datasets.registry import Layout
from restore.errors import DataError, RestoreError
from restore.evaluation.restored_files import find_restored, reading, save
from restore.images import Picture, read_picture, write_picture

CLEAN = np.zeros((4, 4, 3), np.float32)


def found(*items: Item) -> Found:
    return Found(Layout("own", "*", "*"), Path("."), items)


def test_a_restored_file_is_called_as_the_picture_or_as_one_of_its_files(tmp_path: Path) -> None:
    items = (
        Item("1", Path("norain-1.png"), Path("rain-1.png")),
        Item("2", Path("norain-2.png"), Path("rain-2.png")),
        Item("901/3", Path("901.png"), Path("901_3.png")),
    )
    (tmp_path / "901").mkdir()
    for name in ("1.png", "rain-2.jpg", "901/3.bmp", "901/notes.txt"):
        (tmp_path / name).touch()
    names = {"1": "1.png", "2": "rain-2.jpg", "901/3": "901/3.bmp"}
    assert find_restored(found(*items), tmp_path) == {name: tmp_path / file for name, file in names.items()}


def test_a_picture_without_a_restored_file_is_named(tmp_path: Path) -> None:
    for name in ("b.png", "._a.png"):
        (tmp_path / name).touch()
    with pytest.raises(DataError, match="holds no restored 'a'"):
        find_restored(found(Item("a", Path("a.png"), None)), tmp_path)
    with pytest.raises(DataError, match="gone is not a folder"):
        find_restored(found(), tmp_path / "gone")


def test_another_tools_files_are_the_answers(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    write_picture(Picture(pixels), tmp_path / "a.png")
    answer = reading({"a": tmp_path / "a.png"})
    np.testing.assert_array_equal(answer(Pair("a", CLEAN, CLEAN)), pixels / np.float32(255))


def test_restored_pictures_are_saved_clipped_and_rounded(tmp_path: Path) -> None:
    restored = np.full((4, 4, 3), 100.4 / 255, np.float32)
    restored[0, 0] = (-0.5, 1.5, 0.2)
    save(restored, tmp_path / "out/sub/a.png")
    pixels = read_picture(tmp_path / "out/sub/a.png").pixels
    assert pixels[1, 1].tolist() == [100] * 3 and pixels[0, 0].tolist() == [0, 255, 51]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(RestoreError, match=r"cannot make the folder .*out"):
        save(CLEAN, tmp_path / "out/a.png")


def items(*names: str) -> tuple[Item, ...]:
    return tuple(Item(name, Path(f"{name}.png"), None) for name in names)


@pytest.mark.parametrize(
    ("names", "files"),
    [
        (("0", "1"), {"0": "0_SwinIR.png", "1": "1_SwinIR.png"}),
        (("1", "10"), {"1": "1_out.png", "10": "10_out.png"}),  # 10_out belongs to 10 alone
        (("1", "10"), {"1": "1.png", "10": "10_out.png"}),
        (("a", "a_b"), {"a": "a_x.png", "a_b": "a_b_x.png"}),  # the longest name takes a file
        (("sub/a", "sub/b"), {"sub/a": "sub/a-EDSR.png", "sub/b": "sub/b-EDSR.png"}),
    ],
)
def test_a_file_whose_name_goes_on_behind_that_of_a_picture_is_its_own(
    tmp_path: Path, names: tuple[str, ...], files: dict[str, str]
) -> None:
    for file in (*files.values(), "2other.png"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    assert find_restored(found(*items(*names)), tmp_path) == {name: tmp_path / file for name, file in files.items()}


def test_the_results_of_two_tools_are_told_apart_by_a_suffix(tmp_path: Path) -> None:
    for file in ("0_EDSR.png", "0_SwinIR.png"):
        (tmp_path / file).touch()
    with pytest.raises(DataError, match="holds several pictures for '0': 0_EDSR, 0_SwinIR") as caught:
        find_restored(found(*items("0")), tmp_path)
    assert caught.value.hint is not None and caught.value.hint.startswith("--suffix _")
    assert find_restored(found(*items("0")), tmp_path, suffix="_SwinIR") == {"0": tmp_path / "0_SwinIR.png"}
    with pytest.raises(DataError, match="holds no restored '0_HINet'"):
        find_restored(found(*items("0")), tmp_path, suffix="_HINet")
    (tmp_path / "0.png").touch()  # a file of the same name is never in doubt
    assert find_restored(found(*items("0")), tmp_path) == {"0": tmp_path / "0.png"}


@pytest.mark.parametrize("file", ["01.png", "0a.png", "x0.png", "0/a.png"])
def test_a_name_that_only_looks_alike_is_no_partner(tmp_path: Path, file: str) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).touch()
    with pytest.raises(DataError, match="holds no restored '0'"):
        find_restored(found(*items("0")), tmp_path)

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from restore.datasets.found import Found, Item
from restore.datasets.pairs import Pair
from restore.datasets.registry import Layout
from restore.errors import DataError, RestoreError
from restore.evaluation.restored_files import find_restored, reading, saving
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


def test_answers_are_saved_clipped_and_rounded_and_given_on_as_they_are(tmp_path: Path) -> None:
    restored = np.full((4, 4, 3), 100.4 / 255, np.float32)
    restored[0, 0] = (-0.5, 1.5, 0.2)
    answer = saving(lambda pair: restored, tmp_path / "out")
    assert answer(Pair("sub/a", CLEAN, CLEAN)) is restored
    pixels = read_picture(tmp_path / "out/sub/a.png").pixels
    assert pixels[1, 1].tolist() == [100] * 3 and pixels[0, 0].tolist() == [0, 255, 51]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(RestoreError, match=r"cannot make the folder .*out"):
        saving(lambda pair: CLEAN, tmp_path / "out")(Pair("a", CLEAN, CLEAN))

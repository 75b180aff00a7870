from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import pytest
from picture_files import save_noise

from restore.datasets.checking import faults
from restore.datasets.layouts import find, find_folders
from restore.datasets.registry import datasets


def broken(tmp_path: Path) -> list[str]:
    """The faults of a Rain100L that should have four pairs."""
    found = find("Rain100L", tmp_path)
    found = dataclasses.replace(found, layout=dataclasses.replace(found.layout, pictures=4))
    return [fault for fault in faults(found, datasets()["Rain100L"]) if fault is not None]


@pytest.fixture
def rain(tmp_path: Path) -> Path:
    """A whole Rain100L of four tiny pairs, 7 to 10."""
    for side, index in itertools.product(("input", "target"), range(7, 11)):
        save_noise(tmp_path / f"{side}/{index:03d}.bmp", size=(3, 4), seed=index)
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
    save_noise(rain / "input/007.png", size=(3, 4))
    assert broken(rain) == [f"007.bmp and 007.png in {rain / 'input'} have the same name"]


def test_a_size_mismatch_is_named(rain: Path) -> None:
    save_noise(rain / "target/007.bmp", size=(4, 3))
    assert broken(rain) == ["007: 3x4 clean and 4x3 degraded"]


@pytest.mark.parametrize("content", [b"", b"not a picture"])
def test_a_file_that_cannot_be_read_is_named(rain: Path, content: bytes) -> None:
    (rain / "target/007.bmp").write_bytes(content)
    (fault,) = broken(rain)
    assert str(rain / "target/007.bmp") in fault


def test_a_truncated_file_is_named(rain: Path) -> None:
    save_noise(rain / "target/007.bmp", size=(3, 4))
    (rain / "target/007.bmp").write_bytes((rain / "target/007.bmp").read_bytes()[:-10])
    (fault,) = broken(rain)
    assert str(rain / "target/007.bmp") in fault


def test_grey_among_colour_is_named(rain: Path) -> None:
    for side in ("input", "target"):
        save_noise(rain / side / "007.png", size=(3, 4), channels=1)
        (rain / side / "007.bmp").unlink()
    assert broken(rain) == ["1 grey among colour: 007"]


def test_an_empty_folder_is_named_by_all_that_lack_it(tmp_path: Path) -> None:
    save_noise(tmp_path / "target/1.png")
    (tmp_path / "input").mkdir()
    assert broken(tmp_path) == [f"{tmp_path / 'target/1.png'} has no degraded partner", "0 pictures instead of 4"]


def test_folders_of_grey_alone_are_whole(tmp_path: Path) -> None:
    save_noise(tmp_path / "a.png", channels=1)
    assert [fault for fault in faults(find_folders(tmp_path)) if fault] == []


def test_several_degraded_versions_of_one_clean_picture_are_no_fault(tmp_path: Path) -> None:
    save_noise(tmp_path / "ground_truth/901.png")
    for version in (1, 2):
        save_noise(tmp_path / f"rainy_image/901_{version}.png", seed=version)
    assert [fault for fault in faults(find("DDN-Data", tmp_path)) if fault] == []


def test_colour_among_grey_is_named(tmp_path: Path) -> None:
    for name, channels in (("a", 1), ("b", 3)):
        save_noise(tmp_path / f"{name}.png", channels=channels)
    assert list(faults(find("Classic5", tmp_path), datasets()["Classic5"])) == [
        "2 pictures instead of 5", None, None, "1 in colour, and all should be grey",
    ]  # fmt: skip

from __future__ import annotations

from pathlib import Path

import pytest

from restore.datasets.listing import Passed, list_pictures
from restore.errors import DataError


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A folder with two pictures, one in a subfolder, and what only looks like pictures."""
    for name in ("b.png", "a.JPG", "below/c.tif", "._a.JPG", ".hidden.png", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    for folder in ("folder.png", ".git", "__MACOSX"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "d.png").touch()
    (tmp_path / "gone.png").symlink_to("nowhere.png")
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "link.png").symlink_to("b.png")
    return tmp_path


def test_what_only_looks_like_a_picture_is_passed_over_and_counted(odd: Path) -> None:
    passed = Passed()
    assert [path.name for path in list_pictures(odd, passed=passed)] == ["a.JPG", "b.png", "link.png"]
    assert passed.notes(odd) == [
        f"passed over in {odd}: 2 dot files, 1 folder named like a picture, 2 links to nothing"
    ]


def test_subfolders_are_included_on_request_but_not_those_of_tools(odd: Path) -> None:
    found = [path.relative_to(odd).as_posix() for path in list_pictures(odd, recursive=True)]
    assert found == ["a.JPG", "b.png", "below/c.tif", "folder.png/d.png", "link.png"]


def test_a_folder_whose_subfolders_may_hold_pictures_is_told_how_to_include_them(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    with pytest.raises(DataError, match="no pictures in") as refused:
        list_pictures(tmp_path)
    assert str(refused.value.hint).endswith("or add -r for the subfolders")

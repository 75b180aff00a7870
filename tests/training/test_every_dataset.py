"""`restore train --dataset` on a layout of each named set, built small, by the code that finds them for `eval`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
from training_runs import RECIPE

from restore.datasets.registry import Blocks, Layout, datasets
from restore.errors import DataError
from restore.training.loop import train
from restore.training.recipe import PAIRS
from restore.training.sources import find_dataset

pytest_plugins = ["training_fixtures"]
pytestmark = pytest.mark.usefixtures("tiny_configs")


def picture(seed: int, *, is_grey: bool) -> np.ndarray:
    """A picture of 72x64 pixels."""
    drawn = np.random.default_rng(seed).integers(20, 236, (9, 8, 1 if is_grey else 3), dtype=np.uint8)
    return drawn.repeat(8, 0).repeat(8, 1)


def build(layout: Layout | Blocks, root: Path, *, is_grey: bool) -> None:
    """Three pictures, or pairs of them, as the layout stores them in the last of its places."""
    place = root / layout.within[-1]
    place.mkdir(parents=True, exist_ok=True)
    if isinstance(layout, Blocks):
        io = pytest.importorskip("scipy.io")
        for seed, side in enumerate((layout.clean, layout.degraded)):
            if side is not None:
                blocks = np.stack([picture(3 * seed + index, is_grey=False) for index in range(3)])
                io.savemat(place / side[0], {side[1]: blocks[None]})
        return
    for seed, pattern in enumerate((layout.clean, layout.degraded)):
        for index, name in enumerate("123"):
            if pattern is not None:
                path = place / f"{pattern.replace('*', name)}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), picture(3 * seed + index, is_grey=is_grey))


# Each set with the split that is trained on by default, and the one that is stored in MATLAB files.
SETS = [*((name, None) for name in datasets() if name != "DND"), ("SIDD", "validation")]
FAST = [("Rain200L", None), ("DIV2K", None), ("Classic5", None), ("SIDD", "validation")]  # one of each kind


@pytest.mark.parametrize(
    ("name", "split"), [one if one in FAST else pytest.param(*one, marks=pytest.mark.slow) for one in SETS]
)
def test_a_set_is_trained_on_as_it_is_downloaded(tmp_path: Path, name: str, split: str | None) -> None:
    record = datasets()[name]
    part = split or ("train" if "train" in record.splits else record.scored_split)
    layout = record.splits[part].layouts[0]
    build(layout, tmp_path / "set", is_grey=record.colour == "grey")
    sources = find_dataset(name, tmp_path / "set", split)
    pairs = isinstance(layout, Blocks) or layout.degraded is not None
    assert sources.counts == ("3 pairs" if pairs else "3 photos")
    assert any(f"holds 3 pictures of {name} {part}, not" in note for note in sources.notes)
    recipe = dataclasses.replace(RECIPE, steps=1, degradation=PAIRS if pairs else RECIPE.degradation)
    train(recipe, None, tmp_path / "run", sources=sources)
    card = (tmp_path / "run/README.md").read_text()
    assert f"2 {'pairs' if pairs else 'pictures'} of {name} {part}, 1 more held out" in card


def test_all_sets_are_trained_on_but_those_whose_clean_pictures_the_authors_keep(tmp_path: Path) -> None:
    without = [
        (name, part)
        for name, record in datasets().items()
        for part, split in record.splits.items()
        if all(layout.clean is None for layout in split.layouts)
    ]
    assert without == [("SIDD", "benchmark"), ("DND", "benchmark")] and len(datasets()) == 30
    build(datasets()["SIDD"].splits["benchmark"].layouts[0], tmp_path, is_grey=False)
    with pytest.raises(DataError, match="SIDD benchmark has no clean pictures to train on"):
        find_dataset("SIDD", tmp_path, "benchmark")

"""What a run trains on, and the pictures that it holds out to validate by."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restore.datasets.crops import Crops, MixedCrops, PairCrops, PhotoCrops, check_pairs, check_photos, rain_layers
from restore.datasets.pairs import Pair, degraded, list_pictures, pair_up, read_rgb
from restore.degradations import Draw, Image
from restore.degradations.any_rain import WITH_STREAKS
from restore.degradations.rain import pasted_rain
from restore.errors import DataError, first_few
from restore.tasks import TASKS
from restore.training.recipe import DEGRADATIONS, PAIRS, Recipe, degradation_of


class HeldOut:
    """Pairs in memory. Pictures of 8 bits are kept as such, a quarter of the size, and come out as they went in."""

    def __init__(self) -> None:
        self._pairs: list[tuple[str, NDArray[Any], NDArray[Any], str]] = []

    def add(self, pairs: Iterable[Pair]) -> None:
        self._pairs += ((pair.name, _small(pair.clean), _small(pair.degraded), pair.kind) for pair in pairs)

    @property
    def kinds(self) -> list[str]:
        """How each pair was degraded."""
        return [kind for *_, kind in self._pairs]

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> Pair:
        name, clean, degraded, kind = self._pairs[index]
        return Pair(name, _float(clean), _float(degraded), kind)

    def __iter__(self) -> Iterator[Pair]:
        return (self[i] for i in range(len(self)))


def _small(picture: Image) -> NDArray[Any]:
    levels = np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    return levels if np.array_equal(_float(levels), picture) else picture


def _float(picture: NDArray[Any]) -> Image:
    if picture.dtype != np.uint8:
        return picture
    return picture.astype(np.float32) / np.float32(255)


def load(recipe: Recipe, scale: int, data: Path | None, pairs: tuple[Path, Path] | None) -> tuple[Crops, HeldOut, str]:
    """What to train on, the held-out pairs, and both in words; `scale` is that of the network.

    Where there are photos and pairs, and the photos are to have rain, half of them have that of the pairs.
    """
    crops: Crops | None = None
    held_out = HeldOut()
    words: list[str] = []
    count = 0

    def split(files: list[Any], what: str, key: str) -> tuple[list[Any], list[Any]]:
        keep = getattr(recipe, key)
        cut = len(files) - keep
        if cut <= 0:
            few = len(files) // 8 or min(1, len(files) - 1)
            raise DataError(
                f"there are {len(files)} {what}, of which {keep} would be held out", hint=f"--set {key}={few}"
            )
        nonlocal count
        count += keep
        words.append(f"{cut} {what}")
        return files[:cut], files[cut:]

    draw = None if recipe.degradation == PAIRS else DEGRADATIONS[recipe.degradation](recipe.levels)
    if pairs is not None:
        names = " and ".join(f"`{folder.absolute().name}`" for folder in pairs)
        key = "held_out" if recipe.held_out_pairs is None else "held_out_pairs"
        used, kept = split(pair_up(*pairs), f"pairs of the folders {names}", key)
        is_upright = TASKS[recipe.task].is_upright
        crops = PairCrops(used, crop=recipe.largest_crop, seed=recipe.seed, scale=scale, is_upright=is_upright)
        check_pairs(kept, scale=scale)
        kind = PAIRS if recipe.validate else ""
        whole = (Pair(clean.stem, read_rgb(clean), read_rgb(other), kind) for clean, other in kept)
        held_out.add(middle(pair, recipe.validate_crop) if recipe.validate_crop else pair for pair in whole)
        if recipe.degradation in WITH_STREAKS:
            draw = WITH_STREAKS[recipe.degradation](pasted_rain(rain_layers(used)))
    if data is not None:
        assert draw is not None
        used, kept = split(list_pictures(data), f"pictures of the folder `{data.absolute().name}`", "held_out")
        labels = labels_of(used, Path(recipe.labels)) if recipe.labels else None
        photos = PhotoCrops(
            used, draw, crop=recipe.largest_crop, seed=recipe.seed, labels=labels, label_share=recipe.teacher_share
        )
        check_photos(kept)
        draws = {kind: degradation_of(kind) for kind in recipe.validate} or {"": draw}
        held_out.add(validating(kept, draws, seed=recipe.seed, side=recipe.validate_crop))
        crops = photos if crops is None else MixedCrops(photos, crops, share=recipe.pairs_share, seed=recipe.seed)
    assert crops is not None
    return crops, held_out, f"{' and '.join(words)}, {count} more held out."


def validating(paths: Sequence[Path], draws: Mapping[str, Draw], *, seed: int, side: int) -> Iterator[Pair]:
    """Photos under every kind of degradation, of which `side` pixels of the middle, or with 0 all, are kept."""
    for kind, draw in draws.items():
        for pair in degraded(paths, draw, seed=seed):
            pair = dataclasses.replace(pair, kind=kind)
            yield middle(pair, side) if side else pair


def labels_of(paths: Sequence[Path], folder: Path) -> list[Path]:
    """The labels of photos: the pictures of a folder that have their names, whatever the endings.

    Raises:
        DataError: A photo has none.
    """
    named = {path.stem: path for path in list_pictures(folder)}
    if missing := [path.stem for path in paths if path.stem not in named]:
        raise DataError(
            f"{len(missing)} photos have no label in {folder}: {first_few(missing)}",
            hint="make them by scripts/make_labels.py",
        )
    return [named[path.stem] for path in paths]


def middle(pair: Pair, side: int) -> Pair:
    """The middle of a pair, `side` pixels of the clean picture or a little less; of a smaller picture all.

    The degraded picture may be smaller than the clean one by a whole number.
    """
    scale = pair.clean.shape[0] // pair.degraded.shape[0]
    cuts = []
    for length in pair.degraded.shape[:2]:
        wanted = min(length, max(1, side // scale))
        start = (length - wanted) // 2
        start -= start % 16  # so that neither a mosaic nor the blocks of a JPEG are shifted
        cuts.append((start, start + wanted))
    (top, bottom), (left, right) = cuts
    clean, degraded = (
        np.ascontiguousarray(x[factor * top : factor * bottom, factor * left : factor * right])  # lets go of the rest
        for x, factor in ((pair.clean, scale), (pair.degraded, 1))
    )
    return dataclasses.replace(pair, clean=clean, degraded=degraded)

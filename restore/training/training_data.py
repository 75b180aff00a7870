"""The pictures of a run: crops to train on, and pictures held out for validation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from restore.datasets.crops import Crops, MixedCrops, PairCrops, PhotoCrops, check_pairs, check_photos, rain_layers
from restore.datasets.pairs import Pair, list_pictures, pair_up, read_rgb
from restore.degradations import DEGRADATIONS, Draw
from restore.degradations.mixtures import WITH_STREAKS
from restore.degradations.rain import pasted_rain
from restore.errors import DataError, first_few
from restore.tasks import TASKS
from restore.training.held_out import HeldOut, degraded_middles, middle
from restore.training.recipe import PAIRS, Recipe, degradation_of

T = TypeVar("T")


def load_training_data(
    recipe: Recipe, scale: int, data: Path | None, pairs: tuple[Path, Path] | None
) -> tuple[Crops, HeldOut, str]:
    """The crops to train on, the held-out pairs, and both in words.

    If a recipe for rain gets photos and pairs, half of the photos get the rain of the pairs.

    Args:
        recipe: Says how photos are degraded and how many pictures are held out.
        scale: By what factor the network upscales.
        data: Folder of clean photos.
        pairs: Folders of clean and of degraded pictures with the same names.

    Raises:
        DataError: There are too few pictures, or they do not fit together.
    """
    held_out = HeldOut()
    crops: list[Crops] = []
    words: list[str] = []
    draw = None if recipe.degradation == PAIRS else DEGRADATIONS[recipe.degradation](recipe.levels)
    if pairs is not None:
        used, kept, about = _split_pairs(recipe, pairs)
        words.append(about)
        is_upright = TASKS[recipe.task].is_upright
        crops.append(PairCrops(used, crop=recipe.largest_crop, seed=recipe.seed, scale=scale, is_upright=is_upright))
        check_pairs(kept, scale=scale)
        held_out.add(_whole_or_middle(recipe, kept))
        if recipe.degradation in WITH_STREAKS:
            draw = WITH_STREAKS[recipe.degradation](pasted_rain(rain_layers(used)))
    count = len(held_out)  # pictures, before each photo is degraded in several ways
    if data is not None:
        assert draw is not None
        photos, last, about = _split(list_pictures(data), recipe, "held_out", f"pictures of the folder {_name(data)}")
        words.append(about)
        crops.insert(0, _photo_crops(recipe, photos, draw))
        check_photos(last)
        draws = {kind: degradation_of(kind) for kind in recipe.validate} or {"": draw}
        held_out.add(degraded_middles(last, draws, seed=recipe.seed, side=recipe.validate_crop))
        count += len(last)
    whole = crops[0] if len(crops) == 1 else MixedCrops(*crops, share=recipe.pairs_share, seed=recipe.seed)
    return whole, held_out, f"{' and '.join(words)}, {count} more held out."


def _split(files: list[T], recipe: Recipe, key: str, what: str) -> tuple[list[T], list[T], str]:
    """Files to train on, the last ones to hold out, and the first in words.

    Args:
        files: In order.
        recipe: Says how many to hold out.
        key: The field of the recipe that says so.
        what: What the files are.

    Raises:
        DataError: No file would be left to train on.
    """
    keep = getattr(recipe, key)
    cut = len(files) - keep
    if cut <= 0:
        few = len(files) // 8 or min(1, len(files) - 1)
        raise DataError(
            f"too few: {len(files)} {what}, of which the recipe holds out {keep}", hint=f"use --set {key}={few}"
        )
    return files[:cut], files[cut:], f"{cut} {what}"


def _split_pairs(
    recipe: Recipe, folders: tuple[Path, Path]
) -> tuple[list[tuple[Path, Path]], list[tuple[Path, Path]], str]:
    key = "held_out" if recipe.held_out_pairs is None else "held_out_pairs"
    return _split(pair_up(*folders), recipe, key, f"pairs of the folders {' and '.join(map(_name, folders))}")


def _name(folder: Path) -> str:
    return f"`{folder.absolute().name}`"


def _whole_or_middle(recipe: Recipe, pairs: Sequence[tuple[Path, Path]]) -> Iterator[Pair]:
    """Held-out pairs, cut to what is scored of them."""
    for clean, degraded in pairs:
        pair = Pair(clean.stem, read_rgb(clean), read_rgb(degraded), PAIRS if recipe.validate else "")
        yield middle(pair, recipe.validate_crop) if recipe.validate_crop else pair


def _photo_crops(recipe: Recipe, photos: Sequence[Path], draw: Draw) -> PhotoCrops:
    labels = labels_of(photos, Path(recipe.labels)) if recipe.labels else None
    return PhotoCrops(
        photos, draw, crop=recipe.largest_crop, seed=recipe.seed, labels=labels, label_share=recipe.teacher_share
    )


def labels_of(paths: Sequence[Path], folder: Path) -> list[Path]:
    """The labels of photos: the pictures of a folder with the same names, with any suffix.

    Raises:
        DataError: A photo has no label.
    """
    named = {path.stem: path for path in list_pictures(folder)}
    if missing := [path.stem for path in paths if path.stem not in named]:
        raise DataError(
            f"{len(missing)} photos have no label in {folder}: {first_few(missing)}",
            hint="make labels with scripts/make_labels.py",
        )
    return [named[path.stem] for path in paths]

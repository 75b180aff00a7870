"""What a training run is fed: crops made ahead, batch by batch, and the pictures that are kept to validate by."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from restore.data import (
    Crops,
    MixedCrops,
    Pair,
    PairCrops,
    PhotoCrops,
    check_pairs,
    check_photos,
    degraded,
    list_pictures,
    pair_up,
    rain_layers,
    read_rgb,
)
from restore.degradations.any_rain import WITH_STREAKS
from restore.degradations.rain import pasted_rain
from restore.distributed import Team
from restore.errors import DataError, first_few
from restore.recipes import DEGRADATIONS, PAIRS, Recipe
from restore.runs import middle
from restore.schedules import crops_of, share_of
from restore.tasks import TASKS


def load(
    recipe: Recipe, scale: int, data: Path | None, pairs: tuple[Path, Path] | None
) -> tuple[Crops, list[Pair], str]:
    """What to train on, the held-out pairs, and both in words; `scale` is that of the network.

    Where there are photos and pairs, and the photos are to have rain, half of them have that of the pairs.
    """
    crops: Crops | None = None
    held_out: list[Pair] = []
    words: list[str] = []

    def split(files: list[Any], what: str) -> tuple[list[Any], list[Any]]:
        cut = len(files) - recipe.held_out
        if cut <= 0:
            raise DataError(f"there are {len(files)} {what}, of which {recipe.held_out} would be held out")
        words.append(f"{cut} {what}")
        return files[:cut], files[cut:]

    draw = None if recipe.degradation == PAIRS else DEGRADATIONS[recipe.degradation](recipe.levels)
    if pairs is not None:
        names = " and ".join(f"`{folder.absolute().name}`" for folder in pairs)
        used, kept = split(pair_up(*pairs), f"pairs of the folders {names}")
        is_upright = TASKS[recipe.task].is_upright
        crops = PairCrops(used, crop=recipe.largest_crop, seed=recipe.seed, scale=scale, is_upright=is_upright)
        check_pairs(kept, scale=scale)
        held_out += [Pair(clean.stem, read_rgb(clean), read_rgb(other)) for clean, other in kept]
        if recipe.degradation in WITH_STREAKS:
            draw = WITH_STREAKS[recipe.degradation](pasted_rain(rain_layers(used)))
    if data is not None:
        assert draw is not None
        used, kept = split(list_pictures(data), f"pictures of the folder `{data.absolute().name}`")
        photos = PhotoCrops(used, draw, crop=recipe.largest_crop, seed=recipe.seed)
        check_photos(kept)
        held_out += degraded(kept, draw, seed=recipe.seed)
        crops = photos if crops is None else MixedCrops(photos, crops, share=recipe.pairs_share, seed=recipe.seed)
    assert crops is not None
    if recipe.validate_crop:
        held_out = [middle(pair, recipe.validate_crop) for pair in held_out]
    return crops, held_out, f"{' and '.join(words)}, {len(held_out)} more held out."


def batches(
    crops: Crops, channels: int, recipe: Recipe, step: int, team: Team, pool: ThreadPoolExecutor
) -> Iterator[tuple[Tensor, ...]]:
    """This process's share of the batches of the steps from `step` on, made ahead in the pool's threads."""
    sized = {recipe.largest_crop: crops}

    def ask(at: int) -> Iterator[tuple[Any, Any]]:
        wanted = crops_of(recipe, at)
        if wanted.side not in sized:
            sized[wanted.side] = copy.copy(crops)
            sized[wanted.side].crop = wanted.side
        return pool.map(sized[wanted.side].__getitem__, share_of(wanted.numbers, team.index, team.count))

    ahead = [ask(at) for at in range(step, min(step + 2, recipe.steps))]
    for at in range(step, recipe.steps):
        references, inputs = zip(*ahead.pop(0), strict=True)
        if at + 2 < recipe.steps:
            ahead.append(ask(at + 2))
        yield tuple(torch.from_numpy(np.stack(x)[:, :channels]) for x in (references, inputs))


def parts_of(length: int, count: int) -> list[slice]:
    """A batch in `count` parts, or as many as it has crops."""
    shares = (share_of(range(length), index, count) for index in range(count))
    return [slice(share.start, share.stop) for share in shares if share]


def sources(crops: Crops, numbers: range) -> str:
    """Which crops of which pictures these are."""
    names = list(dict.fromkeys(crops.source(number) for number in numbers))
    which = f"crop {numbers[0]} is" if len(numbers) == 1 else f"crops {numbers[0]} to {numbers[-1]} are"
    return f"{which} of {first_few(names)}"

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

from restore.data import Crops, Pair, PairCrops, PhotoCrops, check_pairs, degraded, list_pictures, pair_up, read_rgb
from restore.distributed import Team
from restore.errors import DataError, first_few
from restore.recipes import DEGRADATIONS, Recipe
from restore.runs import middle
from restore.schedules import crops_of, share_of


def load(recipe: Recipe, scale: int, data: Path, degraded_data: Path | None) -> tuple[Crops, list[Pair], str]:
    """What to train on, the held-out pairs, and both in words; `scale` is that of the network."""
    files: list[Any] = list_pictures(data) if degraded_data is None else pair_up(data, degraded_data)
    if len(files) <= recipe.held_out:
        raise DataError(f"{data} holds {len(files)} pictures, of which {recipe.held_out} would be held out")
    cut = len(files) - recipe.held_out
    crops: Crops
    if degraded_data is None:
        draw = DEGRADATIONS[recipe.degradation](recipe.levels)
        crops = PhotoCrops(files[:cut], draw, crop=recipe.largest_crop, seed=recipe.seed)
        held_out = list(degraded(files[cut:], draw, seed=recipe.seed))
    else:
        check_pairs(files[cut:], scale=scale)
        crops = PairCrops(files[:cut], crop=recipe.largest_crop, seed=recipe.seed, scale=scale)
        held_out = [Pair(clean.stem, read_rgb(clean), read_rgb(other)) for clean, other in files[cut:]]
    if recipe.validate_crop:
        held_out = [middle(pair, recipe.validate_crop) for pair in held_out]
    what = f"pictures of the folder `{data.absolute().name}`"
    if degraded_data is not None:
        what = f"pairs of the folders `{data.absolute().name}` and `{degraded_data.absolute().name}`"
    return crops, held_out, f"{cut} {what}, {len(held_out)} more held out."


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

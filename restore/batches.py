"""What a training run is fed: crops made ahead, batch by batch, and the pictures that are kept to validate by."""

from __future__ import annotations

import copy
import dataclasses
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

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
from restore.degradations import Draw, Image
from restore.degradations.any_rain import WITH_STREAKS
from restore.degradations.rain import pasted_rain
from restore.distributed import Team
from restore.errors import DataError, UsageError, first_few
from restore.recipes import DEGRADATIONS, PAIRS, Recipe, degradation_of
from restore.runs import middle
from restore.schedules import crops_of, share_of
from restore.tasks import TASKS


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


@dataclass(frozen=True)
class Batches(Dataset[tuple[NDArray[np.float32], NDArray[np.float32]]]):
    """This process's share of the crops of every step.

    Attributes:
        crops: Where they come from.
        channels: How many of the colours the network takes.
        recipe: Says which crops a step takes.
        team: Says which of them are this process's.
    """

    crops: Crops
    channels: int
    recipe: Recipe
    team: Team
    _sized: dict[int, Crops] = field(default_factory=dict)

    def numbers(self, step: int) -> list[tuple[int, int]]:
        """Number and side of each crop of a step."""
        wanted = crops_of(self.recipe, step)
        return [(number, wanted.side) for number in share_of(wanted.numbers, self.team.index, self.team.count)]

    def __getitem__(self, asked: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        number, side = asked
        if side not in self._sized:
            sized = copy.copy(self.crops)
            sized.crop = side
            self._sized[side] = sized
        return self._sized[side][number]

    def stacked(self, made: Iterable[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> tuple[Tensor, ...]:
        """References and degraded crops, `(B, channels, side, side)` each."""
        return tuple(torch.from_numpy(np.stack(x)[:, : self.channels]) for x in zip(*made, strict=True))

    def of_step(self, step: int) -> tuple[Tensor, ...]:
        """The batch of one step, made at once."""
        return self.stacked(self[asked] for asked in self.numbers(step))

    @contextmanager
    def feed(self, step: int, *, threads: int, workers: int, pinned: bool) -> Iterator[Iterator[tuple[Tensor, ...]]]:
        """The batches of the steps from `step` on, made ahead by threads or, where there are any, by worker processes.

        Raises:
            UsageError: There are to be worker processes where processes cannot be forked.
        """
        steps = range(step, self.recipe.steps)
        if not workers:
            with ThreadPoolExecutor(threads) as pool:
                yield _ahead(lambda at: pool.map(self.__getitem__, self.numbers(at)), self.stacked, steps)
            return
        if "fork" not in torch.multiprocessing.get_all_start_methods():
            raise UsageError("worker processes cannot be forked on this system", hint="leave out --workers")
        loader = DataLoader(
            self, batch_sampler=map(self.numbers, steps), num_workers=workers, collate_fn=self.stacked,
            pin_memory=pinned, prefetch_factor=4, worker_init_fn=_begin_worker, multiprocessing_context="fork",
            generator=torch.Generator(),  # it would draw from the one that training goes on with
        )  # fmt: skip
        yield iter(loader)


def _begin_worker(_: int) -> None:
    """Ctrl-C is for the process that trains; it ends the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    cv2.setNumThreads(1)


def _ahead(
    ask: Callable[[int], Iterator[Any]], stacked: Callable[[Iterator[Any]], tuple[Tensor, ...]], steps: range
) -> Iterator[tuple[Tensor, ...]]:
    """Batches that are asked for two steps ahead."""
    asked = [ask(at) for at in steps[:2]]
    for at in steps:
        batch = stacked(asked.pop(0))
        if at + 2 < steps.stop:
            asked.append(ask(at + 2))
        yield batch


def parts_of(length: int, count: int) -> list[slice]:
    """A batch in `count` parts, or as many as it has crops."""
    shares = (share_of(range(length), index, count) for index in range(count))
    return [slice(share.start, share.stop) for share in shares if share]


def sources(crops: Crops, numbers: range) -> str:
    """Which crops of which pictures these are."""
    names = list(dict.fromkeys(crops.source(number) for number in numbers))
    which = f"crop {numbers[0]} is" if len(numbers) == 1 else f"crops {numbers[0]} to {numbers[-1]} are"
    return f"{which} of {first_few(names)}"

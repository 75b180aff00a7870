"""Batches of crops, made ahead by threads or by worker processes."""

from __future__ import annotations

import copy
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from restore.datasets.crops import Crops
from restore.errors import UsageError
from restore.training.options import Options
from restore.training.recipe import Recipe
from restore.training.schedules import crops_of, share_of
from restore.training.team import Team


@dataclass(frozen=True)
class Batches(Dataset[tuple[NDArray[np.float32], NDArray[np.float32]]]):
    """This process's share of the crops of every step.

    Attributes:
        crops: Where the crops come from.
        channels: How many of the colour channels the network accepts.
        recipe: Says which crops belong to a step.
        team: Says which of them belong to this process.
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
        """Clean and degraded crops, `(B, channels, side, side)` each."""
        return tuple(torch.from_numpy(np.stack(x)[:, : self.channels]) for x in zip(*made, strict=True))

    def of_step(self, step: int) -> tuple[Tensor, ...]:
        """The batch of one step, made at once."""
        return self.stacked(self[asked] for asked in self.numbers(step))

    @contextmanager
    def feed(self, step: int, options: Options) -> Iterator[Feed]:
        """The batches of the steps from `step` on, made ahead by `options.threads` or `options.workers`.

        Raises:
            UsageError: Worker processes are asked for on a system that cannot fork.
        """
        steps = range(step, self.recipe.steps)
        if not options.workers:
            with ThreadPoolExecutor(options.threads) as pool:
                ahead = _ahead(lambda at: pool.map(self.__getitem__, self.numbers(at)), self.stacked, steps)
                yield Feed(ahead, options)
            return
        if "fork" not in torch.multiprocessing.get_all_start_methods():
            raise UsageError("this system cannot fork worker processes", hint="leave out --workers")
        loader = DataLoader(
            self, batch_sampler=map(self.numbers, steps), num_workers=options.workers, collate_fn=self.stacked,
            pin_memory=options.device.type == "cuda", prefetch_factor=4, worker_init_fn=_begin_worker,
            multiprocessing_context="fork",
            generator=torch.Generator(),  # without it, the loader draws from the generator of the training
        )  # fmt: skip
        yield Feed(iter(loader), options)


class Feed:
    """Iterates over batches on their device, `(clean, degraded)`, and measures the waiting.

    Attributes:
        waited: Seconds spent waiting for crops.
    """

    def __init__(self, batches: Iterator[tuple[Tensor, ...]], options: Options) -> None:
        self._batches, self._device, self._layout = batches, options.device, options.layout
        self.waited = 0.0

    def __iter__(self) -> Feed:
        return self

    def __next__(self) -> tuple[Tensor, ...]:
        asked = time.perf_counter()
        batch = next(self._batches)
        self.waited += time.perf_counter() - asked
        return tuple(x.to(self._device, non_blocking=True, memory_format=self._layout) for x in batch)


def _begin_worker(_: int) -> None:
    """Leave Ctrl-C to the process that trains, which ends the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    cv2.setNumThreads(1)


def _ahead(
    ask: Callable[[int], Iterator[Any]], stacked: Callable[[Iterator[Any]], tuple[Tensor, ...]], steps: range
) -> Iterator[tuple[Tensor, ...]]:
    """Batches that are requested two steps ahead."""
    asked = [ask(at) for at in steps[:2]]
    for at in steps:
        batch = stacked(asked.pop(0))
        if at + 2 < steps.stop:
            asked.append(ask(at + 2))
        yield batch

"""What a training run is fed: crops made ahead, batch by batch, and the pictures that are kept to validate by."""

from __future__ import annotations

import copy
import signal
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
from restore.errors import UsageError, first_few
from restore.training.recipe import Recipe
from restore.training.schedules import crops_of, share_of
from restore.training.team import Team


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

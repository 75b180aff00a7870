"""Processes that train one network together, each on its share of every batch."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from restore.batch.processes import Rank
from restore.errors import UsageError

T = TypeVar("T")
_groups: list[Any] = []


class Team:
    """All processes of a run. A single process is a team as well.

    `told` and `gathered` exchange pickles, but only between processes of one run.

    Args:
        rank: Which of the processes this is.
        device: Where this process trains.
    """

    def __init__(self, rank: Rank, device: torch.device) -> None:
        self.index, self.count, self.device = rank.index, rank.count, device
        self.is_alone, self.is_first = rank.is_alone, rank.index == 0

    def share(self, network: nn.Module, *, has_unused: bool) -> nn.Module:
        """The network to call in training, which averages gradients over the processes.

        Args:
            network: Gets the weights of the first process.
            has_unused: Whether some parameters do not influence the result.
        """
        if self.is_alone:
            return network
        devices = [self.device] if self.device.type == "cuda" else None
        # Gradients of 1x1 and depthwise kernels may have different strides for the same layout.
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        return DistributedDataParallel(network, device_ids=devices, find_unused_parameters=has_unused)

    def adding(self, network: nn.Module) -> AbstractContextManager[None]:
        """A block in which gradients are only added; a later pass averages them."""
        return network.no_sync() if isinstance(network, DistributedDataParallel) else nullcontext()

    def any(self, claim: bool) -> bool:
        """Whether a claim is true in any process."""
        if self.is_alone:
            return claim
        flag = torch.tensor(float(claim), device=self.device)
        dist.all_reduce(flag, dist.ReduceOp.MAX)
        return bool(flag)

    def summed(self, values: torch.Tensor) -> torch.Tensor:
        """The sum of a tensor over all processes."""
        if not self.is_alone:
            dist.all_reduce(values)
        return values

    def gathered(self, items: list[T]) -> list[T]:
        """The items of all processes, in the order of the processes."""
        if self.is_alone:
            return items
        lists: list[Any] = [None] * self.count
        dist.all_gather_object(lists, items)
        return [item for part in lists for item in part]

    def told(self, value: T) -> T:
        """The value of the first process."""
        if self.is_alone:
            return value
        box: list[Any] = [value]
        dist.broadcast_object_list(box, device=self.device)
        return box[0]  # type: ignore[no-any-return]


@contextmanager
def join(rank: Rank, device: torch.device) -> Iterator[Team]:
    """Connect the processes at the address that torchrun sets, with NCCL between GPUs and Gloo otherwise.

    Raises:
        UsageError: The launcher sets no address.
    """
    if rank.is_alone:
        yield Team(rank, device)
        return
    if missing := [name for name in ("MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]:
        raise UsageError(
            f"{rank.count} processes cannot connect: the environment variable {missing[0]} is missing",
            hint="start them with `torchrun --nproc-per-node N -m restore train ...`",
        )
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        rank=rank.index,
        world_size=rank.count,
        timeout=timedelta(hours=1),  # one process may load or validate for long while the others wait
    )
    # Trap: a shared network that outlives the group would end it while holding Python's lock. The group's threads may
    # wait for that lock: a deadlock. This reference outlives the network and is dropped without the lock.
    _groups.append(dist.group.WORLD)
    try:
        yield Team(rank, device)
    finally:
        dist.destroy_process_group()

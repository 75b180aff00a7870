"""Memory of one step, measured before a run starts against what is free: a system kills without a word.

A batch needs memory in proportion to its crops. So one crop is measured, forward and backward, and a second one only if
the first does not settle it. That costs a part of one step. The measurement itself stops before the memory is full.
"""

from __future__ import annotations

import dataclasses
import math
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from restore.batch.processes import Rank
from restore.errors import DeviceError
from restore.inference.memory import free_memory, held_memory, is_out_of_memory
from restore.networks import Network
from restore.training.gradients import add_gradients
from restore.training.losses import Loss
from restore.training.recipe import Recipe
from restore.training.schedules import Phase, phases
from restore.training.team import Team

_USED = 0.9  # of what is free
_COPIES = 3  # of the weights, which a run adds: their average and two moments of the optimizer
_FORWARD = 0.9  # of the room: the backward pass needs some of its own
_LOOK = 16 << 20  # bytes that are kept for the backward pass between two looks at the free memory
_EVERY = 0.002  # seconds between two looks at the memory that a CPU holds


@dataclass(frozen=True)
class StepMemory:
    """What one step takes.

    Attributes:
        first_bytes: With one crop of the largest side, beside the weights.
        more_bytes: With each further crop.
        crop: That side in pixels.
    """

    first_bytes: float
    more_bytes: float
    crop: int

    def of(self, count: int, side: int) -> float:
        """Bytes for crops of this side; smaller crops take less in proportion to their pixels."""
        crops = count * (side / self.crop) ** 2
        return max(0.0, self.first_bytes - self.more_bytes) + self.more_bytes * crops


def with_room(recipe: Recipe, network: Network, loss_function: Loss, team: Team) -> tuple[Recipe, list[str]]:
    """The recipe with as many parts of a batch as the memory asks for, and a note of it.

    Args:
        recipe: What to do.
        network: On its device, with the weights of the run.
        loss_function: Of the recipe.
        team: The first process measures, for all.

    Raises:
        DeviceError: Not even one crop fits.
    """
    answer: tuple[int, str] | DeviceError | None
    try:
        answer = _parts(recipe, network, loss_function, team) if team.is_first else None
    except DeviceError as error:
        answer = error
    answer = team.told(answer)
    if isinstance(answer, DeviceError):
        raise answer
    assert answer is not None
    parts, note = answer
    return dataclasses.replace(recipe, accumulate=parts), [note] if note else []


def _parts(recipe: Recipe, network: Network, loss_function: Loss, team: Team) -> tuple[int, str]:
    """In how many parts a batch fits, and a note if these are more than the recipe says."""
    largest = max(phases(recipe), key=lambda phase: (phase.attends, phase.crop))
    most = max(_crops_of(phase, recipe, team.count) for phase in phases(recipe))
    room = _USED * free_memory(team.device) / _sharing(team) - _COPIES * _bytes_of(network)
    need = measured(network, recipe, loss_function, largest, room=room, device=team.device, most=most)

    def needed(parts: int) -> float:
        asked = dataclasses.replace(recipe, accumulate=parts)
        return max(need.of(_crops_of(phase, asked, team.count), phase.crop) for phase in phases(recipe))

    if needed(recipe.accumulate) <= room:
        return recipe.accumulate, ""
    share = math.ceil(max(phase.batch for phase in phases(recipe)) / team.count)
    parts = next((parts for parts in range(recipe.accumulate + 1, share + 1) if needed(parts) <= room), None)
    if parts is None:
        raise _too_small(need.first_bytes, room, largest.crop)
    note = (
        f"a step takes about {needed(recipe.accumulate) / 1e9:.1f} GB beside the weights, and {room / 1e9:.1f} GB are "
        f"free: each batch passes in {parts} parts (accumulate = {parts}), which gives the same gradient"
    )
    return parts, note


def _crops_of(phase: Phase, recipe: Recipe, processes: int) -> int:
    """Crops that pass through the network of one process at once."""
    return math.ceil(math.ceil(phase.batch / processes) / recipe.accumulate)


def measured(
    network: Network, recipe: Recipe, loss_function: Loss, phase: Phase, *, room: float, device: torch.device,
    most: int = 2,
) -> StepMemory:  # fmt: skip
    """Measure a step with one crop, and with two if `most` crops of that size might not fit.

    Args:
        network: On its device.
        recipe: Gives the precision.
        loss_function: Of the recipe.
        phase: Gives the side of the crops, and whether attention is in use.
        room: Bytes that may be used.
        device: Where to measure.
        most: The most crops at once.

    Raises:
        DeviceError: One crop does not fit.
    """
    recipe = dataclasses.replace(recipe, accumulate=1, precision=recipe.precision.replace("auto", "float32"))
    random, before = torch.get_rng_state(), network.attends
    alone, unscaled = Team(Rank(), device), torch.amp.GradScaler(device.type, enabled=False)
    seen: list[float] = []
    if phase.attends != before:
        network.use_attention(phase.attends)
    start = _held(device)
    try:
        for count in (1, 2):
            drawn = torch.Generator().manual_seed(recipe.seed)
            shape = count, network.channels, phase.crop, phase.crop
            degraded = torch.rand(shape, generator=drawn).to(device)
            clean = degraded.repeat_interleave(network.scale, -1).repeat_interleave(network.scale, -2)
            with _watched(device, start, room, phase.crop) as peak:
                add_gradients(network, (clean, degraded), recipe, loss_function, unscaled, alone, count)
            network.zero_grad(set_to_none=True)
            seen.append(peak())
            if most * seen[0] <= room:  # even if all of it were of the crop
                return StepMemory(seen[0], seen[0], phase.crop)
        return StepMemory(seen[0], max(seen[1] - seen[0], 0.0), phase.crop)
    except DeviceError:
        if not seen:
            raise
        return StepMemory(seen[0], seen[0], phase.crop)  # two crops do not fit
    finally:
        network.zero_grad(set_to_none=True)
        if phase.attends != before:
            network.use_attention(before)
        torch.set_rng_state(random)


class _Full(Exception):
    """The memory is nearly full."""


@contextmanager
def _watched(device: torch.device, start: int, room: float, side: int) -> Iterator[Peak]:
    """A block whose peak of memory above `start` is measured, and which ends before `room` is full.

    Raises:
        DeviceError: It is.
    """
    peak = Peak(device, start, room)
    try:
        with peak, torch.autograd.graph.saved_tensors_hooks(peak.keep, lambda kept: kept):
            yield peak
    except Exception as error:
        if isinstance(error, _Full) or is_out_of_memory(error):
            raise _too_small(peak(), room, side) from None
        raise


class Peak:
    """The most memory that a block holds above `start`; a context manager.

    On a CPU a thread looks every 2 ms. What the backward pass keeps is counted as well, for blocks that are shorter.
    """

    def __init__(self, device: torch.device, start: int, room: float) -> None:
        self._device, self._start, self._room = device, start, room
        self._most, self._kept, self._looked = 0, 0, 0
        self._storages: set[int] = set()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Peak:
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        else:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._device.type == "cuda":
            self._most = max(self._most, torch.cuda.max_memory_allocated(self._device) - self._start)
        else:
            self._done.set()
            self._thread.join()

    def __call__(self) -> float:
        """Bytes."""
        return float(max(self._most, self._kept))

    def keep(self, tensor: Tensor) -> Tensor:
        """Count a tensor that the backward pass needs."""
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._storages:  # what is kept stays where it is until the backward pass
            self._storages.add(storage.data_ptr())
            self._kept += storage.nbytes()
        if self._kept - self._looked > _LOOK:
            self._looked = self._kept
            if _held(self._device) - self._start > _FORWARD * self._room:
                raise _Full
        return tensor.detach()

    def _look(self) -> None:
        while True:
            self._most = max(self._most, _held(self._device) - self._start)
            if self._done.wait(_EVERY):
                return


def _held(device: torch.device) -> int:
    """Bytes that this process holds on a device."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    if device.type == "mps":
        return torch.mps.driver_allocated_memory()
    return held_memory()


def _sharing(team: Team) -> int:
    """How many processes of the run share the memory of this device."""
    here = int(os.environ.get("LOCAL_WORLD_SIZE", team.count))
    return math.ceil(here / torch.cuda.device_count()) if team.device.type == "cuda" else here


def _bytes_of(network: Network) -> int:
    return sum(parameter.nbytes for parameter in network.parameters())


def _too_small(need: float, room: float, side: int) -> DeviceError:
    return DeviceError(
        f"one crop of {side} pixels takes more than {need / 1e9:.1f} GB, and {max(0, room) / 1e9:.1f} GB are free",
        hint="use smaller crops (--set crop=N), a smaller network (--config), or end other programs",
    )

"""Schedules of a run: the learning rate and the crops of each step."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from restore.training.recipe import Recipe


def learning_rate(recipe: Recipe, step: int) -> float:
    """Learning rate of step 0 .. steps - 1: linear warm-up, then cosine or halving down to `final_learning_rate`."""
    if step < recipe.warm_up:
        return recipe.learning_rate * (step + 1) / recipe.warm_up
    low, high = recipe.final_learning_rate, recipe.learning_rate
    if recipe.schedule == "halving":
        return max(low, high * 0.5 ** (step // recipe.halve_every))
    start = recipe.warm_up + recipe.hold
    share = max(0, step - start) / max(1, recipe.steps - start)
    return low + (high - low) * 0.5 * (1 + math.cos(math.pi * share))


@dataclass(frozen=True)
class StepCrops:
    """The crops of one step.

    Attributes:
        numbers: Every crop of a run has its own number, for any number of processes.
        side: Side of the degraded crops in pixels.
    """

    numbers: range
    side: int


def crops_of(recipe: Recipe, step: int) -> StepCrops:
    """The crops of step 0 .. steps - 1."""
    first = begin = 0
    batch, side = recipe.batch, recipe.crop
    for until, stage_batch, stage_side in recipe.stages:
        if step < until:
            batch, side = stage_batch, stage_side
            break
        first += (until - begin) * stage_batch
        begin = until
    first += (step - begin) * batch
    return StepCrops(range(first, first + batch), side)


@dataclass(frozen=True)
class Phase:
    """Steps in a row that cost the same.

    Attributes:
        steps: How many steps.
        batch, crop: Crops a step, and their side in pixels.
        attends: Whether attention is in use.
    """

    steps: int
    batch: int
    crop: int
    attends: bool


def phases(recipe: Recipe) -> list[Phase]:
    """The phases of a run, in order."""
    ends = {recipe.steps, recipe.local_steps, *(until for until, _, _ in recipe.stages)}
    found, before = [], 0
    for end in sorted(end for end in ends if 0 < end <= recipe.steps):
        crops = crops_of(recipe, before)
        found.append(Phase(end - before, len(crops.numbers), crops.side, before >= recipe.local_steps))
        before = end
    return found


def stretched(recipe: Recipe, steps: int) -> Recipe:
    """The recipe with another number of steps; stages, hold and the steps without attention keep their shares."""
    factor = steps / recipe.steps
    ends = {round(until * factor): (batch, crop) for until, batch, crop in reversed(recipe.stages)}
    return dataclasses.replace(
        recipe, steps=steps, stages=tuple((end, *ends[end]) for end in sorted(ends) if end > 0),
        hold=round(recipe.hold * factor), local_steps=round(recipe.local_steps * factor),
        warm_up=min(recipe.warm_up, steps // 4),
    )  # fmt: skip


def share_of(numbers: range, index: int, count: int) -> range:
    """The part of a range for process or part `index` of `count`; the lengths of parts differ by one at most.

    >>> [share_of(range(10, 17), index, 3) for index in range(3)]
    [range(10, 12), range(12, 14), range(14, 17)]
    """
    return numbers[index * len(numbers) // count : (index + 1) * len(numbers) // count]

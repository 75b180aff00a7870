"""How many steps of a recipe fit into some hours on this machine: steps and validations are timed."""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from restore.training.recipe import Recipe
from restore.training.schedules import phases, stretched

if TYPE_CHECKING:
    import torch

WARM_UP, TIMED = 3, 10  # steps of each phase: the first are not timed


def parts(recipe: Recipe) -> list[tuple[float, Recipe]]:
    """Parts of a run with steps of equal cost: their share of the steps, and a recipe of such steps alone."""
    return [
        (
            phase.steps / recipe.steps,
            dataclasses.replace(
                recipe, steps=10**6, stages=(), batch=phase.batch, crop=phase.crop,
                local_steps=0 if phase.attends else 10**6,
            ),
        )
        for phase in phases(recipe)
    ]  # fmt: skip


def seconds_a_step(train: Callable[..., object], recipe: Recipe, clock: Callable[[], float]) -> float:
    """Median seconds of a step, after a warm-up.

    Args:
        train: Called as `train(recipe, folder, should_stop)`.
        recipe: Of a single phase.
        clock: Gives seconds.
    """
    times: list[float] = []

    def should_stop() -> bool:
        times.append(clock())
        return len(times) > WARM_UP + TIMED

    with tempfile.TemporaryDirectory() as folder:
        train(dataclasses.replace(recipe, held_out=1, validate=()), Path(folder) / "run", should_stop)
    return statistics.median(b - a for a, b in zip(times[WARM_UP:], times[WARM_UP + 1 :], strict=False))


def fitted(
    recipe: Recipe,
    hours: float,
    train: Callable[..., object],
    clock: Callable[[], float],
    device: torch.device | None = None,
) -> Recipe:
    """The recipe with as many steps as fit into the hours, and up to ten validations in a tenth of them.

    Args:
        recipe: What to fit.
        hours: On this machine.
        train, clock: As for `seconds_a_step`.
        device: Where to validate; by default the CPU.
    """
    mean = sum(share * seconds_a_step(train, part, clock) for share, part in parts(recipe))
    once = seconds_to_validate(recipe, clock, device)
    times = max(1, min(10, int(hours * 360 / max(once, 1e-9)) - 1))  # one more comes before the first step
    steps = max(1, round((hours * 3600 - (times + 1) * once) / mean))
    return dataclasses.replace(stretched(recipe, steps), validate_every=-(-steps // times))


def seconds_to_validate(recipe: Recipe, clock: Callable[[], float], device: torch.device | None = None) -> float:
    """Estimate of a validation: the time of one picture after a warm-up, times the number of pictures."""
    import torch

    from restore.inference.restorer import Restorer
    from restore.networks import NETWORKS

    network_class = NETWORKS[recipe.network]
    network = network_class(**network_class.CONFIGS[recipe.config] | recipe.options)
    network.use_attention(recipe.local_steps < recipe.steps)
    restorer = Restorer(network, device=device or torch.device("cpu"))
    side = (recipe.validate_crop or 512) // network.scale
    times = []
    for _ in range(3):
        times.append(clock())
        restorer.restore_tensor(torch.zeros(1, 3, side, side)).cpu()
    return (times[2] - times[1]) * recipe.held_out * max(1, len(recipe.validate))


def for_gpu(recipe: Recipe, factors: dict[str, float]) -> Recipe:
    """The recipe in bfloat16 with larger batches: 4x, or as the factors of the plan say."""
    factors = {"batch": 4.0} | factors
    changed: dict[str, Any] = {
        key: type(getattr(recipe, key))(getattr(recipe, key) * factor) for key, factor in factors.items()
    }
    grown = [factors.get(key, 1) for key in ("batch", "crop")]
    stages = tuple((until, int(batch * grown[0]), int(crop * grown[1])) for until, batch, crop in recipe.stages)
    return dataclasses.replace(recipe, **changed, stages=stages, precision="bfloat16")

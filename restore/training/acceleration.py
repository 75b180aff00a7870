"""What makes steps faster: the precision that is faster here, and a compiled network."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from restore.batch.processes import Rank
from restore.networks import Network
from restore.training.batches import Batches
from restore.training.gradients import add_gradients
from restore.training.losses import Loss
from restore.training.options import Options
from restore.training.recipe import Recipe
from restore.training.schedules import phases
from restore.training.state import State
from restore.training.team import Team


def chosen_precision(
    recipe: Recipe, network: Network, batches: Batches, loss_function: Loss, team: Team
) -> tuple[Recipe, list[str]]:
    """The recipe with `auto` replaced by the precision that the first process finds faster, and a note of it."""
    if recipe.precision != "auto":
        return recipe, []
    precision, why = team.told(
        faster_precision(network, batches, loss_function, team.device) if team.is_first else ("", "")
    )
    return dataclasses.replace(recipe, precision=precision), [why]


def faster_precision(network: Network, batches: Batches, loss_function: Loss, device: torch.device) -> tuple[str, str]:
    """The precision that runs the steps of the run faster on this device, and why in words.

    Whole batches are timed, forward and backward, the fastest of up to five. They are the batch of the first step and,
    if its crops or the use of attention differ, that of the last step.
    """
    recipe, random = batches.recipe, torch.get_rng_state()
    timed = [(0, first := phases(recipe)[0])]
    if (last := phases(recipe)[-1]) != first:
        timed.append((recipe.steps - 1, last))
    seconds = dict.fromkeys(("float32", "bfloat16"), 0.0)
    alone, unscaled = Team(Rank(), device), torch.amp.GradScaler(device.type, enabled=False)
    for step, phase in timed:
        network.use_attention(phase.attends)
        batch = tuple(x.to(device) for x in batches.of_step(step))
        for precision in seconds:
            asked = dataclasses.replace(recipe, precision=precision)

            def run(asked: Recipe = asked, batch: tuple[Tensor, ...] = batch) -> None:
                loss, _ = add_gradients(network, batch, asked, loss_function, unscaled, alone, len(batch[0]))
                float(loss)  # waits for the device
                network.zero_grad()

            seconds[precision] += _fastest(run) * phase.steps / sum(phase.steps for _, phase in timed)
    torch.set_rng_state(random)
    chosen, other = sorted(seconds, key=seconds.__getitem__)
    return chosen, f"precision {chosen}: {seconds[chosen]:.3g} s a step; {other} takes {seconds[other]:.3g} s"


def _fastest(run: Callable[[], None], *, times: int = 5, enough: float = 20) -> float:
    """Seconds of the fastest call after a warm-up.

    Args:
        run: What to time.
        times: Calls at most.
        enough: Seconds after which no further call is made.
    """
    run()
    taken: list[float] = []
    while len(taken) < times and sum(taken) < enough:
        started = time.perf_counter()
        run()
        taken.append(time.perf_counter() - started)
    return min(taken)


def trainable(state: State, batches: Batches, options: Options, notes: list[str]) -> nn.Module:
    """What to call in training: the network with or without attention, shared by the processes, compiled if asked for.

    Args:
        state: Holds the network.
        batches: Give an example batch to compile for.
        options: Say whether to compile.
        notes: Gets a sentence if compiling fails.
    """
    module = batches.team.share(state.network, has_unused=not state.network.attends)
    if not options.compiled:
        return module
    degraded = batches.of_step(min(state.step, state.recipe.steps - 1))[1]
    return _compiled(module, degraded.to(state.device, memory_format=options.layout), state.recipe, notes)


def _compiled(network: nn.Module, x: Tensor, recipe: Recipe, notes: list[str]) -> nn.Module:
    """The compiled network if it trains on a batch like `x`; else the network and a note of the reason."""
    compiled: nn.Module = torch.compile(network, mode="max-autotune-no-cudagraphs")  # type: ignore[assignment]
    random = torch.get_rng_state()
    try:
        with torch.autocast(x.device.type, getattr(torch, recipe.precision), enabled=recipe.precision != "float32"):
            loss = compiled(x).float().mean()
        loss.backward()
    except Exception as failure:  # the compiler raises nearly anything
        notes.append(f"the network is not compiled: {str(failure).partition(chr(10))[0]}")
        return network
    finally:
        network.zero_grad()
        torch.set_rng_state(random)
    return compiled

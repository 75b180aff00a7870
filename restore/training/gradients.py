"""Gradients of a batch, and batches whose gradients are not finite."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore.datasets.crops import Crops
from restore.errors import DataError, first_few
from restore.training.losses import Loss
from restore.training.recipe import Recipe
from restore.training.schedules import crops_of, share_of
from restore.training.team import Team


def add_gradients(
    trained: nn.Module,
    batch: tuple[Tensor, ...],
    recipe: Recipe,
    loss_function: Loss,
    scaler: Any,
    team: Team,
    whole: int,
) -> tuple[Tensor, Tensor]:
    """Add the gradients of this process's share of a batch, part by part.

    Args:
        trained: The network, shared by the processes of `team`.
        batch: Clean and degraded crops, `(B, C, H, W)` in 0..1 each.
        recipe: Gives the precision and the number of parts (`accumulate`).
        loss_function: Compares restored and clean crops.
        scaler: `torch.amp.GradScaler`.
        team: The processes that share the batch.
        whole: Crops of the whole batch, of all processes.

    Returns:
        The mean loss and the mean square error of the whole batch: of all parts, and of all processes.
    """
    clean, degraded = batch
    is_mixed = recipe.precision != "float32"
    sums = torch.zeros(2, device=degraded.device)
    for part in (parts := parts_of(len(degraded), recipe.accumulate)):
        with nullcontext() if part is parts[-1] else team.adding(trained):
            with torch.autocast(degraded.device.type, getattr(torch, recipe.precision), enabled=is_mixed):
                restored = trained(degraded[part])
            part_loss = loss_function(restored.float(), clean[part])
            # A mean over the batch. The mean over the processes comes with the exchange of gradients.
            scaler.scale(part_loss * (len(restored) * team.count / whole)).backward()
        error = F.mse_loss(restored.detach().float().clamp(0, 1), clean[part].clamp(0, 1))
        sums += torch.stack([part_loss.detach(), error]) * len(restored)
    loss, error = team.summed(sums) / whole
    return loss, error


def parts_of(length: int, count: int) -> list[slice]:
    """Slices of a batch in `count` parts, or in as many as it has crops."""
    shares = (share_of(range(length), index, count) for index in range(count))
    return [slice(share.start, share.stop) for share in shares if share]


class SkippedBatches:
    """Counts the batches in a row that are skipped because their gradient is not finite.

    Args:
        recipe: Says how many may be (`skip_limit`).
        crops: Names the pictures of a batch.
    """

    def __init__(self, recipe: Recipe, crops: Crops) -> None:
        self._recipe, self._crops, self._in_a_row = recipe, crops, 0

    def note(self, step: int, *, is_finite: bool) -> list[str]:
        """A sentence on the batch of step 0 .. steps - 1 if it is skipped, else none.

        Raises:
            DataError: More than `skip_limit` batches in a row are skipped.
        """
        self._in_a_row = 0 if is_finite else self._in_a_row + 1
        if is_finite:
            return []
        fault = f"the gradient is not finite for {_sources(self._crops, crops_of(self._recipe, step).numbers)}"
        if self._in_a_row > self._recipe.skip_limit:
            repeated = f"; so were the last {self._in_a_row} steps" * (self._in_a_row > 1)
            raise DataError(
                f"step {step + 1}: {fault}{repeated}",
                hint="check these pictures, lower learning_rate or clip_norm, or set precision=float32",
            )
        return [f"{fault}; the batch is skipped"]


def _sources(crops: Crops, numbers: range) -> str:
    """Crops by number, and the pictures they are from."""
    names = list(dict.fromkeys(crops.source(number) for number in numbers))
    which = f"crop {numbers[0]}" if len(numbers) == 1 else f"crops {numbers[0]} to {numbers[-1]}"
    return f"{which} of {first_few(names)}"

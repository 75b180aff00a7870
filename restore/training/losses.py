"""Losses by the name that a recipe gives them: those of the papers, and the root mean square error."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]


def charbonnier(difference: Tensor, epsilon: float = 1e-3) -> Tensor:
    """Mean of sqrt(d^2 + epsilon^2) over all elements (the terms of CS-KiT eq. 12, per pixel as in MPRNet)."""
    return (difference.square() + epsilon**2).sqrt().mean()


def charbonnier_and_edges(restored: Tensor, clean: Tensor, edge_weight: float) -> Tensor:
    """CS-KiT eq. 12 for `(B, C, H, W)`: Charbonnier loss plus `edge_weight` times that of the 4-neighbour Laplacian."""
    difference = restored - clean
    # The Laplacian is linear: that of the difference is the difference of the Laplacians.
    centre = difference[..., 1:-1, 1:-1]
    neighbours = (
        difference[..., :-2, 1:-1] + difference[..., 2:, 1:-1] + difference[..., 1:-1, :-2] + difference[..., 1:-1, 2:]
    )
    return charbonnier(difference) + edge_weight * charbonnier(neighbours - 4 * centre)


def rmse(restored: Tensor, clean: Tensor) -> Tensor:
    """Root mean square error of each crop of `(B, C, H, W)`, averaged over the batch.

    Like PSNR, it aims at the mean of the possible clean crops; absolute errors aim at the median. Unlike in the mean
    square, crops that are hard to restore do not outweigh the others.
    """
    return (restored - clean).square().mean((1, 2, 3)).add(1e-8).sqrt().mean()


def rmse_and_mean(restored: Tensor, clean: Tensor) -> Tensor:
    """`rmse` plus the absolute error of each channel's mean, averaged over batch and channels.

    A uniform error of one grey level hardly counts in `rmse` beside errors of detail, but people see a picture that
    darkens as a whole.
    """
    return rmse(restored, clean) + (restored - clean).mean((2, 3)).abs().mean()


def loss_of(name: str, edge_weight: float) -> Loss:
    """The loss that a recipe names, such as `l1` (DRSformer eq. 1, PANet eq. 6) or `charbonnier-edge` (CS-KiT eq. 12).

    Args:
        name: One of `restore.training.recipe.CHOICES`.
        edge_weight: lambda of CS-KiT eq. 12, for `charbonnier-edge`.
    """
    losses: dict[str, Loss] = {
        "l1": F.l1_loss,
        "l2": F.mse_loss,
        "rmse": rmse,
        "rmse-mean": rmse_and_mean,
        "charbonnier": lambda restored, clean: charbonnier(restored - clean),
        "charbonnier-edge": lambda restored, clean: charbonnier_and_edges(restored, clean, edge_weight),
    }
    return losses[name]

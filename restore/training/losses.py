"""What training makes small: the losses of the papers, and the root mean square error, with brightness or alone."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]


def charbonnier(difference: Tensor, epsilon: float = 1e-3) -> Tensor:
    """Mean of sqrt(d^2 + epsilon^2) over all elements (the terms of eq. 12, taken per pixel as MPRNet does)."""
    return (difference.square() + epsilon**2).sqrt().mean()


def charbonnier_and_edges(restored: Tensor, clean: Tensor, edge_weight: float) -> Tensor:
    """CS-KiT eq. 12 of `(B, C, H, W)`: Charbonnier loss plus `edge_weight` times that of the 4-neighbour Laplacian."""
    difference = restored - clean
    # The Laplacian is linear, so that of the difference is the difference of the Laplacians.
    centre = difference[..., 1:-1, 1:-1]
    neighbours = (
        difference[..., :-2, 1:-1] + difference[..., 2:, 1:-1] + difference[..., 1:-1, :-2] + difference[..., 1:-1, 2:]
    )
    return charbonnier(difference) + edge_weight * charbonnier(neighbours - 4 * centre)


def rmse(restored: Tensor, clean: Tensor) -> Tensor:
    """Root of the mean square error of each of `(B, C, H, W)`, the mean over the batch.

    It aims at the mean of what a crop may have been, as PSNR does, where absolute errors aim at the median; and crops
    that cannot be restored well do not outweigh the others, as they do in the mean square.
    """
    return (restored - clean).square().mean((1, 2, 3)).add(1e-8).sqrt().mean()


def rmse_and_mean(restored: Tensor, clean: Tensor) -> Tensor:
    """`rmse` plus the absolute error of each channel's mean over the crop, the mean over batch and channels.

    Errors of a grey level that are the same everywhere hardly count in `rmse` beside those of detail, but a picture
    that darkens as a whole is seen.
    """
    return rmse(restored, clean) + (restored - clean).mean((2, 3)).abs().mean()


def loss_of(name: str, edge_weight: float) -> Loss:
    """The loss a recipe names: `l1` (DRSformer eq. 1, PANet eq. 6), `l2`, `rmse`, `rmse-mean`, `charbonnier`, or
    `charbonnier-edge`.
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

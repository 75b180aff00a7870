"""What training makes small: the losses of the papers, each a mean over all elements."""

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


def loss_of(name: str, edge_weight: float) -> Loss:
    """The loss that a recipe names: `l1` (DRSformer eq. 1, PANet eq. 6), `l2`, `charbonnier`, `charbonnier-edge`."""
    losses: dict[str, Loss] = {
        "l1": F.l1_loss,
        "l2": F.mse_loss,
        "charbonnier": lambda restored, clean: charbonnier(restored - clean),
        "charbonnier-edge": lambda restored, clean: charbonnier_and_edges(restored, clean, edge_weight),
    }
    return losses[name]

"""Optimizers by the name that a recipe gives them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, AdamW, Optimizer

# Newton-Schulz iteration towards the nearest orthogonal matrix, with the coefficients of Jordan et al. 2024. They raise
# small singular values most.
_NEWTON_SCHULZ = 3.4445, -4.7750, 2.0315
_FEWEST = 16  # channels on each side of a parameter that counts as a matrix


class Muon(Optimizer):
    """Muon: momentum with orthogonalized matrices, so that every direction learns at one rate; AdamW for the rest.

    Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024.

    Matrices are the weights of linear layers and convolutions, `(out, in * height * width)`, with at least 16 channels
    on each side. This leaves out first and last layers and depthwise convolutions, as the authors do.

    Departures: a step changes the entries of a matrix by 0.6 of the learning rate (root mean square). Liu et al. ("Muon
    is Scalable for LLM Training", 2025, Section 2.2) use 0.2, to match AdamW. 0.6 learns faster in short runs of these
    networks, and 1.6 fails. PyTorch's own Muon accepts matrices alone and computes in bfloat16, which is ten times
    slower on a CPU without it; this one computes in float32.

    Keep Muon at or below 4e-4 for compact PANet in float16: higher rates diverged. For demosaicing stay at or below
    1.5e-4. A rate that is too high may show only after thousands of steps.

    Args:
        parameters: What to train.
        lr: Learning rate of both parts.
        betas: Decay rates of AdamW.
        weight_decay: Decoupled weight decay of both parts.
        momentum: Decay of the averaged gradient of matrices, used as by Nesterov.
        size: Root mean square of the change of a step, divided by the learning rate.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, betas: tuple[float, float], weight_decay: float,
        momentum: float = 0.95, size: float = 0.6,
    ) -> None:  # fmt: skip
        parts: dict[bool, list[nn.Parameter]] = {True: [], False: []}
        for parameter in parameters:
            parts[parameter.ndim >= 2 and min(parameter.shape[:2]) >= _FEWEST].append(parameter)
        self._rest = AdamW(parts[False], lr=lr, betas=betas, weight_decay=weight_decay, fused=True)
        own = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "size": size}
        super().__init__([{"params": parts[True]}, *self._rest.param_groups], own)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Change the parameters by their gradients. Parameters without a gradient stay."""
        self._rest.state, self._rest.param_groups = self.state, self.param_groups[1:]  # loading a state replaces both
        self._rest.step()
        group = self.param_groups[0]
        alike: dict[torch.Size, list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for parameter in group["params"]:
            if parameter.grad is None:
                continue
            gradient = parameter.grad.flatten(1)
            if not (state := self.state[parameter]):
                state["momentum"] = torch.zeros_like(gradient)
            state["momentum"].lerp_(gradient, 1 - group["momentum"])
            alike[gradient.shape].append((parameter, gradient.lerp(state["momentum"], group["momentum"])))
        for shape, pairs in alike.items():
            # An orthogonal matrix has as many singular values of 1 as its shorter side has entries.
            rate = group["lr"] * group["size"] * math.sqrt(max(shape))
            for (parameter, _), change in zip(pairs, orthogonal(torch.stack([x for _, x in pairs])), strict=True):
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.sub_(change.view_as(parameter), alpha=rate)


def orthogonal(matrices: Tensor, steps: int = 5) -> Tensor:
    """Approximate the nearest matrices with orthonormal rows or columns: singular values between 0.7 and 1.2.

    Args:
        matrices: `(N, rows, columns)`.
        steps: Steps of the Newton-Schulz iteration.
    """
    a, b, c = _NEWTON_SCHULZ
    is_tall = matrices.shape[1] > matrices.shape[2]
    x: Tensor = matrices.mT if is_tall else matrices
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if is_tall else x


def optimizer_of(name: str, parameters: Iterable[nn.Parameter], **options: Any) -> Optimizer:
    """The optimizer that a recipe names: `adamw`, `adam` or `muon`. Options: `lr`, `betas` and `weight_decay`."""
    if name == "muon":
        return Muon(parameters, **options)
    return (AdamW if name == "adamw" else Adam)(parameters, fused=True, **options)

"""Optimisers by the name that a recipe gives them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, AdamW, Optimizer

# Newton-Schulz iteration towards the nearest orthogonal matrix: the coefficients that raise small singular values most.
_NEWTON_SCHULZ = 3.4445, -4.7750, 2.0315
_FEWEST = 16  # channels on either side of what counts as a matrix


class Muon(Optimizer):
    """Muon: momentum whose matrices are made orthogonal, so that every direction is learned at one rate; AdamW for the
    rest (Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024).

    Matrices are the weights of linear layers and convolutions, `(out, in * height * width)`, with at least 16 channels
    on either side; that leaves out first and last layers and depthwise convolutions, as the authors do.

    A step changes a matrix's entries by 0.6 of the learning rate (root mean square), where Moonshot have 0.2 to match
    AdamW's (Liu et al., "Muon is Scalable for LLM Training", 2025, Section 2.2). Measured on held-out photos:

    =====================================================  ======  ======  ======  ======
    run                                                      Adam     0.2     0.6     1.6
    =====================================================  ======  ======  ======  ======
    `pa-edsr-s-x2`, the first 600 steps (bicubic 35.86)     36.73   36.76   36.91
    `cs-kit-s`, one known blur, 200 steps (blurred 33.11)   34.10   34.33   35.04   33.11
    =====================================================  ======  ======  ======  ======

    (36.76 and the second row are of a first version that took layers from 8 channels on, and depthwise ones.)

    Going on from trained weights `pa-edsr-s-x4` rose from 30.52 to 31.06 dB on Set5 in 2,400 steps (from 1.5e-3).
    `panet-s` needs smaller rates: that for demosaicing fell by 1.1 dB on Kodak24 in 1,560 steps from 1e-3, and rose by
    0.12 in 480 from 1.5e-4; that against JPEG forgot all within 800 from 1.2e-3, and gained 0.3 dB on LIVE1 in 4,000
    from 4e-4. A rate that is too high does not show at once: from 1e-3 `panet-s-denoise-gaussian` rose by 0.37 dB in
    500 steps, but after 3,200 more from 1.2e-3 some matrices were four times as large, twice those of the other two,
    and 25,000 further steps did not reach what 1,000 at 4e-4 made of those against JPEG. Against random blurs with
    noise (`mild-blur`) `cs-kit-s` learned as much with AdamW.

    PyTorch's own takes matrices alone and works in bfloat16, which is ten times slower on a CPU that does not have it;
    this one works in float32.

    Args:
        parameters: What is trained.
        lr: Learning rate of both parts.
        betas: AdamW's.
        weight_decay: Of both parts, decoupled.
        momentum: Decay of the matrices' averaged gradient, which is used as Nesterov does.
        size: Root mean square of a step's change over the learning rate.
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
        """Change the parameters by their gradients; those that have none stay."""
        self._rest.state, self._rest.param_groups = self.state, self.param_groups[1:]  # a loaded state is another
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
            # Orthogonal, a matrix has as many singular values of 1 as its shorter side has entries.
            rate = group["lr"] * group["size"] * math.sqrt(max(shape))
            for (parameter, _), change in zip(pairs, orthogonal(torch.stack([x for _, x in pairs])), strict=True):
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.sub_(change.view_as(parameter), alpha=rate)


def orthogonal(matrices: Tensor, steps: int = 5) -> Tensor:
    """About the nearest matrices with orthonormal rows or columns: singular values between 0.7 and 1.2.

    Args:
        matrices: `(N, rows, columns)`.
        steps: Of the Newton-Schulz iteration.
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
    """The optimiser that a recipe names: `adamw`, `adam` or `muon`, with its `lr`, `betas` and `weight_decay`."""
    if name == "muon":
        return Muon(parameters, **options)
    return (AdamW if name == "adamw" else Adam)(parameters, fused=True, **options)

"""Layers of channels-last features, `(..., C)`, that networks share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TwoForms(nn.Module):
    """A layer written twice: `plain`, the paper's equations as they stand, and `fast`, with the same values.

    What makes them the same stands in the docstring of `fast`. `Network.use_plain_forms` chooses.
    """

    use_plain = False

    def plain(self, *inputs: Any) -> Any:
        raise NotImplementedError

    def fast(self, *inputs: Any) -> Any:
        raise NotImplementedError

    def forward(self, *inputs: Any) -> Any:
        return self.plain(*inputs) if self.use_plain else self.fast(*inputs)


class Convolution(nn.Conv2d):
    """A convolution of channels-last features: `(B, H, W, C)` to `(B, H', W', C')`."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class ResidualBlock(nn.Module):
    """x + res_scale * conv(act(conv(x))), 3x3 convolutions without normalisation (EDSR, Lim et al., CVPRW 2017,
    Section 3.1). The activation is given, for PANet's blocks share one that learns.
    """

    def __init__(self, channels: int, *, res_scale: float = 1) -> None:
        super().__init__()
        self.res_scale = res_scale
        self.first = Convolution(channels, channels, 3, padding=1)
        self.second = Convolution(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, activation: Callable[[Tensor], Tensor]) -> Tensor:
        return torch.add(x, self.second(activation(self.first(x))), alpha=self.res_scale)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`F.linear`; without gradients as a 1x1 convolution: on a CPU that adds the bias on the way and is up to 1.5
    times faster, but its gradients take twice as long.
    """
    if torch.is_grad_enabled():
        return F.linear(x, weight, bias)
    columns = x.reshape(1, -1, 1, x.shape[-1]).permute(0, 3, 1, 2)
    out = F.conv2d(columns, weight[:, :, None, None], bias)
    return out.permute(0, 2, 3, 1).reshape(*x.shape[:-1], len(weight))


class Linear(nn.Linear):
    """`nn.Linear` of channels-last features by `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)

"""Layers that networks share. Features are channels-last, `(..., C)`, unless stated otherwise."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TwoForms(nn.Module):
    """A layer in two forms: `plain`, the paper's equations literally, and `fast`, with the same values.

    The docstring of `fast` says why they are equal. `Network.use_plain_forms` chooses.
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


class Float32Convolution(Convolution):
    """A convolution that stays in float32 under autocast, for values of the picture itself.

    bfloat16 keeps 8 significant bits: bright values would be a grey level apart.
    """

    def forward(self, x: Tensor) -> Tensor:
        with without_autocast(x):
            return super().forward(x.to(self.weight.dtype))


class WinogradConvolution(Convolution):
    """A 3x3 convolution, padded by one, that uses NNPACK's Winograd transforms (Lavin and Gray, CVPR 2016).

    It uses them only where they are faster than oneDNN: 64 channels or more, on a CPU with AVX2 but not AVX-512 (not
    measured there). Their result is dense as `(B, C, H, W)`. Adding a channels-last tensor to it is slow, so the other
    summand goes through `arranged`.
    """

    def uses_winograd(self, x: Tensor) -> bool:
        return (
            min(self.in_channels, self.out_channels) >= 64
            and uses_vectors(x)
            and torch.backends.cpu.get_cpu_capability() == "AVX2"
            and torch.backends.nnpack.is_available()  # type: ignore[no-untyped-call]  # this call starts NNPACK
        )

    def arranged(self, x: Tensor) -> Tensor:
        """x in the layout that the result will have."""
        return x.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1) if self.uses_winograd(x) else x

    def forward(self, x: Tensor) -> Tensor:
        if not self.uses_winograd(x):
            return super().forward(x)
        x, weight = x.permute(0, 3, 1, 2).contiguous(), self.weight.contiguous()
        return torch._nnpack_spatial_convolution(x, weight, self.bias, padding=1).permute(0, 2, 3, 1)


class ResidualBlock(nn.Module):
    """x + res_scale * conv(act(conv(x))), 3x3 convolutions without normalisation.

    EDSR (Lim et al., CVPRW 2017, Section 3.1). The caller gives the activation, because PANet's blocks share a learned
    one. `convolution` is the class of both convolutions.
    """

    def __init__(self, channels: int, *, res_scale: float = 1, convolution: type[Convolution] = Convolution) -> None:
        super().__init__()
        self.res_scale = res_scale
        self.first = convolution(channels, channels, 3, padding=1)
        self.second = convolution(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, activation: Callable[[Tensor], Tensor]) -> Tensor:
        return torch.add(x, self.second(activation(self.first(x))), alpha=self.res_scale)


def autocast(x: Tensor) -> Tensor:
    """x in the dtype of autocast, if autocast is on."""
    kind = x.device.type
    is_on = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    return x.to(torch.get_autocast_dtype(kind)) if is_on else x


def without_autocast(x: Tensor) -> AbstractContextManager[Any]:
    """A context without autocast: x keeps its dtype."""
    kind = x.device.type  # the device `meta` has no autocast
    return torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext()


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`F.linear`; without gradients a 1x1 convolution, which on a CPU is up to 1.5 times faster.

    Its gradients would take twice as long. From 256 channels on, oneDNN splits the sums between threads, and the last
    bits would depend on their number; so `F.linear` does these too.
    """
    if torch.is_grad_enabled() or weight.shape[1] >= 256:
        return F.linear(x, weight, bias)
    columns = x.reshape(1, -1, 1, x.shape[-1]).permute(0, 3, 1, 2)
    out = F.conv2d(columns, weight[:, :, None, None], bias)
    return out.permute(0, 2, 3, 1).reshape(*x.shape[:-1], len(weight))


class Linear(nn.Linear):
    """`nn.Linear` of channels-last features, computed by `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


def uses_blocks(x: Tensor) -> bool:
    """Whether `laid_out` returns oneDNN tensors, which have no gradients."""
    return uses_vectors(x) and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]


def uses_vectors(x: Tensor) -> bool:
    """Whether `x` is float32 on a CPU with AVX, without gradients, autocast or compilation."""
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and torch.backends.cpu.get_cpu_capability().startswith("AVX")
        and not (torch.is_grad_enabled() or torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling())
    )


def laid_out(x: Tensor, scale: Tensor | None = None, shift: Tensor | None = None) -> Tensor:
    """`scale * x + shift` in the fastest layout for a chain of depth-wise and 1x1 convolutions.

    On a CPU that is oneDNN's own layout, blocks of eight or sixteen channels: depth-wise convolutions are twice as fast
    as in channels-last (measured on AVX2). Convolutions, pooling, ReLU and sums accept such a tensor; `dense` converts
    it back.

    Args:
        x: `(B, C, H, W)`.
        scale, shift: `(C,)`; None: 1 and 0.
    """
    if uses_blocks(x):
        # The first convolution creates the blocks for all that follow; a 1x1 depth-wise one can also scale.
        scale = x.new_ones(x.shape[1]) if scale is None else scale
        return F.conv2d(x.to_mkldnn(), scale[:, None, None, None], shift, groups=len(scale))
    if scale is not None:
        x = x * scale[:, None, None]
    return (x if shift is None else x + shift[:, None, None]).contiguous(memory_format=torch.channels_last)


def dense(x: Tensor) -> Tensor:
    """A tensor in any layout as an ordinary tensor."""
    return x.to_dense() if x.is_mkldnn else x

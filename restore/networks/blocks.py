"""Layers that networks share. Features are channels-last, `(..., C)`, unless it says otherwise."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
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


class Float32Convolution(Convolution):
    """A convolution that autocast leaves in float32: for values of the picture itself, of which bfloat16 keeps 8 bits
    only: the brightest are a grey level apart.
    """

    def forward(self, x: Tensor) -> Tensor:
        with without_autocast(x):
            return super().forward(x.to(self.weight.dtype))


class WinogradConvolution(Convolution):
    """A 3x3 convolution, padded by one, that takes NNPACK's Winograd transforms (Lavin and Gray, CVPR 2016) where they
    were faster than oneDNN: with 64 channels or more, on a CPU with AVX2 and no more (AVX-512 was not measured).

    What they give is dense as `(B, C, H, W)`. A sum with a channels-last tensor is slow, so what they are added to goes
    through `arranged`.
    """

    def uses_winograd(self, x: Tensor) -> bool:
        return (
            min(self.in_channels, self.out_channels) >= 64
            and uses_vectors(x)
            and torch.backends.cpu.get_cpu_capability() == "AVX2"
            and torch.backends.nnpack.is_available()  # type: ignore[no-untyped-call]  # and this starts it
        )

    def arranged(self, x: Tensor) -> Tensor:
        """x, laid out as the result for it will be."""
        return x.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1) if self.uses_winograd(x) else x

    def forward(self, x: Tensor) -> Tensor:
        if not self.uses_winograd(x):
            return super().forward(x)
        x, weight = x.permute(0, 3, 1, 2).contiguous(), self.weight.contiguous()
        return torch._nnpack_spatial_convolution(x, weight, self.bias, padding=1).permute(0, 2, 3, 1)


class ResidualBlock(nn.Module):
    """x + res_scale * conv(act(conv(x))), 3x3 convolutions without normalisation (EDSR, Lim et al., CVPRW 2017,
    Section 3.1). The activation is given, for PANet's blocks share one that learns; `convolution` is the class of both.
    """

    def __init__(self, channels: int, *, res_scale: float = 1, convolution: type[Convolution] = Convolution) -> None:
        super().__init__()
        self.res_scale = res_scale
        self.first = convolution(channels, channels, 3, padding=1)
        self.second = convolution(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, activation: Callable[[Tensor], Tensor]) -> Tensor:
        return torch.add(x, self.second(activation(self.first(x))), alpha=self.res_scale)


def autocast(x: Tensor) -> Tensor:
    """x in the type that autocast computes in, where it is on."""
    kind = x.device.type
    is_on = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    return x.to(torch.get_autocast_dtype(kind)) if is_on else x


def without_autocast(x: Tensor) -> AbstractContextManager[Any]:
    """What is computed of x inside is computed in its own type."""
    kind = x.device.type  # shapes alone, on `meta`, know no autocast
    return torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext()


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`F.linear`; without gradients as a 1x1 convolution: on a CPU that adds the bias on the way and is up to 1.5
    times faster, but its gradients take twice as long, and oneDNN shares sums of 256 and more between the threads, so
    that the last bits depend on how many there are.
    """
    if torch.is_grad_enabled() or weight.shape[1] >= 256:
        return F.linear(x, weight, bias)
    columns = x.reshape(1, -1, 1, x.shape[-1]).permute(0, 3, 1, 2)
    out = F.conv2d(columns, weight[:, :, None, None], bias)
    return out.permute(0, 2, 3, 1).reshape(*x.shape[:-1], len(weight))


class Linear(nn.Linear):
    """`nn.Linear` of channels-last features by `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


def uses_blocks(x: Tensor) -> bool:
    """Whether `laid_out` gives oneDNN's tensors, which have no gradients."""
    return uses_vectors(x) and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]


def uses_vectors(x: Tensor) -> bool:
    """Whether `x` is float32 on a CPU with AVX, and nothing but values is asked for."""
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and torch.backends.cpu.get_cpu_capability().startswith("AVX")
        and not (torch.is_grad_enabled() or torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling())
    )


def laid_out(x: Tensor, scale: Tensor | None = None, shift: Tensor | None = None) -> Tensor:
    """`scale * x + shift`, each `(C,)` of `x`, `(B, C, H, W)`, in the layout in which a chain of depth-wise and 1x1
    convolutions is fastest.

    On a CPU that is oneDNN's own, blocks of eight or sixteen channels: depth-wise convolutions are twice as fast as in
    channels-last (measured on AVX2). Convolutions, pooling, ReLU and sums take such a tensor; `dense` takes it back.
    """
    if uses_blocks(x):
        # The first convolution makes the blocks, for all that follow; a 1x1 depth-wise one can scale, too.
        scale = x.new_ones(x.shape[1]) if scale is None else scale
        return F.conv2d(x.to_mkldnn(), scale[:, None, None, None], shift, groups=len(scale))
    if scale is not None:
        x = x * scale[:, None, None]
    return (x if shift is None else x + shift[:, None, None]).contiguous(memory_format=torch.channels_last)


def dense(x: Tensor) -> Tensor:
    """A result of `laid_out` and what followed, as an ordinary tensor."""
    return x.to_dense() if x.is_mkldnn else x

"""PANet and PA-EDSR: residual blocks with pyramid attention (Mei et al., "Pyramid Attention Networks for Image
Restoration", 2020).

Features are channels-last, `(B, H, W, C)`. The published code has the MIT licence. This code is written from the paper
and from measurements of that code.
"""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore.networks.base import Network
from restore.networks.blocks import (
    Convolution,
    Float32Convolution,
    ResidualBlock,
    TwoForms,
    WinogradConvolution,
    autocast,
    without_autocast,
)
from restore.networks.pyramid_attention import PyramidAttention

MEAN = (0.4488, 0.4371, 0.4040)  # of DIV2K's RGB; PA-EDSR subtracts it and adds it back
_TILE = 128  # pixels; time grows with the square of the tile area; the published code uses at most 82x82
_TILE_TO_UPSCALE = 96  # the same for PA-EDSR, whose features have all pixels


class Body(nn.Module):
    """Residual blocks with the attention in their middle, a convolution, and a skip around all (Figure 2).

    Args:
        channels: C.
        blocks: Residual blocks; half of them before the attention.
        activation: The activation that all blocks share, as published.
        attention: The attention between the two halves.
        res_scale: Factor of a block's residual.
    """

    def __init__(
        self, channels: int, *, blocks: int, activation: nn.Module, attention: PyramidAttention, res_scale: float
    ) -> None:
        super().__init__()
        self.activation = activation
        self.blocks = nn.ModuleList(
            ResidualBlock(channels, res_scale=res_scale, convolution=WinogradConvolution) for _ in range(blocks)
        )
        self.attention = attention
        self.last = WinogradConvolution(channels, channels, 3, padding=1)
        self.reach = 2 * blocks + 1  # distance up to which an output pixel depends on the input, without the attention

    def forward(self, x: Tensor) -> Tensor:
        x = self.last.arranged(x)
        out = autocast(x)  # the skip keeps its precision: it carries the picture itself
        for i, block in enumerate(self.blocks):
            if i == len(self.blocks) // 2:
                out = self.last.arranged(self.attention(out))
            out = block(out, self.activation)
        last: Tensor = self.last(out)
        return last + x

    def start_as_identity(self) -> None:
        """Set the residual to 0."""
        for layer in (self.last, self.attention.conv_assembly[0]):
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)


@torch.no_grad()
def _pass_on(layer: Convolution, channels: int, repeat: int = 1) -> None:
    """Let a convolution copy its first `channels` inputs, each to `repeat` outputs."""
    outputs = layer.weight[: channels * repeat]
    outputs.zero_()
    for channel in range(channels):
        outputs[channel * repeat : (channel + 1) * repeat, channel, 1, 1] = 1
    assert layer.bias is not None
    layer.bias[: channels * repeat] = 0


class PANet(Network):
    """Residual blocks with pyramid attention in their middle, for denoising, demosaicing and JPEG artifacts.

    `(B, channels, H, W)` to the same. As published, all blocks share one PReLU, and there is no skip from input to
    output. The attention looks at the whole image: its time grows with the square of the pixels.

    Args:
        channels: 3, or 1 for grey (the published network for JPEG artifacts).
        dim: Channels inside.
        blocks: Residual blocks; half of them before the attention.
        reduction: `dim` over the channels that the attention matches.
        shuffle: Pixel-unshuffle factor before the head, undone after the tail (1: none, as in the paper). A factor of 2
            is FFDNet's (IEEE TIP 2018, Section III-B): a quarter of the work, a sixteenth of the attention's. A channel
            then holds one position of a Bayer cell.
    """

    CONFIGS: ClassVar[dict[str, dict[str, Any]]] = {
        "paper": {},
        "paper-grey": {"channels": 1},
        # Except for `shuffle`, the size of table 4's PANet-S, which has 0.665 M parameters.
        "s": {"blocks": 8, "shuffle": 2},
        "s-grey": {"blocks": 8, "shuffle": 2, "channels": 1},
    }

    def __init__(
        self, *, channels: int = 3, dim: int = 64, blocks: int = 80, reduction: int = 2, shuffle: int = 1
    ) -> None:
        super().__init__()
        self.config = {
            "channels": channels, "dim": dim, "blocks": blocks, "reduction": reduction, "shuffle": shuffle,
        }  # fmt: skip
        self.channels, self.shuffle, self.size_multiple, self.min_size = channels, shuffle, shuffle, shuffle
        pixels = channels * shuffle**2
        self.head = Float32Convolution(pixels, dim, 3, padding=1)
        attention = PyramidAttention(dim, reduction=reduction, res_scale=1)
        self.body = Body(dim, blocks=blocks, activation=nn.PReLU(), attention=attention, res_scale=1)
        self.tail = Float32Convolution(dim, pixels, 3, padding=1)
        self.use_attention(True)

    def start_as_identity(self) -> None:
        """Not in the paper. Without it a network needs thousands of steps just to reproduce its input."""
        self.body.start_as_identity()
        for layer in (self.head, self.tail):
            _pass_on(layer, self.channels * self.shuffle**2)

    def use_attention(self, use: bool) -> None:
        """Switch the attention off or on. Without it only its skip remains; tiles can be large, and give the values of
        the whole image.
        """
        self.attends = self.body.attention.attends = use
        self.largest_auto_tile = _TILE if use else None
        # A pixel for each convolution (head, body, tail), and the rest of a shuffled cell.
        self.halo = None if use else self.shuffle * (self.body.reach + 2) + self.shuffle - 1

    def forward(self, degraded: Tensor) -> Tensor:
        """Restore a batch; images of a batch do not influence each other."""
        self.check_size(degraded)
        x = F.pixel_unshuffle(degraded, self.shuffle) if self.shuffle > 1 else degraded
        x = self.head(x.contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1))
        restored: Tensor = self.tail(self.body(x)).permute(0, 3, 1, 2)
        return F.pixel_shuffle(restored, self.shuffle) if self.shuffle > 1 else restored


class LastEnlargement(TwoForms):
    """The last upsampling and the tail: `(B, H, W, C)` to `(B, factor * H, factor * W, C')`.

    It has no parameters; the two layers are arguments.
    """

    def plain(self, x: Tensor, up: Convolution, tail: Convolution, factor: int) -> Tensor:
        large: Tensor = tail(_shuffled(up(x), factor))
        return large

    def fast(self, x: Tensor, up: Convolution, tail: Convolution, factor: int) -> Tensor:
        """The two 3x3 convolutions, with no activation between them, are one of 5x5 at low resolution; for 32 channels
        that is a quarter of the products.

        At the outermost pixels it would use real neighbours where the tail sees zero padding. The plain form computes
        these from the two nearest rows or columns of `x`. Gradients use the plain form.
        """
        if torch.is_grad_enabled():
            return self.plain(x, up, tail, factor)
        with without_autocast(x):
            x = x.to(tail.weight.dtype)
            weight, bias = _composed(up, tail, factor)
            out = _shuffled(F.conv2d(x.permute(0, 3, 1, 2), weight, bias, padding=2).permute(0, 2, 3, 1), factor)
            out[:, 0] = self.plain(x[:, :2], up, tail, factor)[:, 0]
            out[:, -1] = self.plain(x[:, -2:], up, tail, factor)[:, -1]
            out[:, :, 0] = self.plain(x[:, :, :2], up, tail, factor)[:, :, 0]
            out[:, :, -1] = self.plain(x[:, :, -2:], up, tail, factor)[:, :, -1]
        return out


def _shuffled(x: Tensor, factor: int) -> Tensor:
    """Pixel shuffle of channels-last features."""
    return F.pixel_shuffle(x.permute(0, 3, 1, 2), factor).permute(0, 2, 3, 1)


def _composed(up: Convolution, tail: Convolution, factor: int) -> tuple[Tensor, Tensor]:
    """`up` (3x3), pixel shuffle and `tail` (3x3) as one convolution: weight `(C' factor^2, C, 5, 5)` and bias."""
    out, channels = tail.weight.shape[:2]
    # First the tail as a convolution of the shuffle's input. An output pixel of a cell, moved by -1 to 1 pixels, is
    # pixel `% factor` of the neighbouring cell `// factor`.
    small = tail.weight.new_zeros(out, factor, factor, channels, factor, factor, 3, 3)
    for row, column, y, x in itertools.product(range(factor), range(factor), range(3), range(3)):
        (down, in_row), (right, in_column) = divmod(row + y - 1, factor), divmod(column + x - 1, factor)
        small[:, row, column, :, in_row, in_column, down + 1, right + 1] = tail.weight[:, :, y, x]
    small = small.view(out * factor**2, channels * factor**2, 3, 3)
    weight = F.conv2d(up.weight.transpose(0, 1), small.flip(2, 3), padding=2).transpose(0, 1)
    assert up.bias is not None and tail.bias is not None
    return weight, tail.bias.repeat_interleave(factor**2) + small.sum((2, 3)) @ up.bias


class PAEDSR(Network):
    """EDSR (Lim et al., CVPRW 2017) with pyramid attention in its middle, to upscale by 2, 3 or 4 (Section 4.6).

    `(B, 3, H, W)` to `(B, 3, scale * H, scale * W)`, RGB.

    Args:
        scale: 2, 3 or 4.
        dim: Channels inside.
        blocks: Residual blocks; half of them before the attention.
        reduction: `dim` over the channels that the attention matches.
        res_scale: Factor of a block's residual, and of the attention's skip.
    """

    CONFIGS: ClassVar[dict[str, dict[str, Any]]] = {
        **{f"paper-x{scale}": {"scale": scale} for scale in (2, 3, 4)},
        **{f"s-x{scale}": {"scale": scale, "dim": 32, "blocks": 8, "reduction": 2} for scale in (2, 3, 4)},
        **{f"m-x{scale}": {"scale": scale, "dim": 48, "blocks": 10, "reduction": 2} for scale in (2, 3, 4)},
    }

    def __init__(
        self, *, scale: int = 2, dim: int = 256, blocks: int = 32, reduction: int = 8, res_scale: float = 0.1
    ) -> None:
        super().__init__()
        if scale not in (2, 3, 4):
            raise ValueError(f"PA-EDSR upscales by 2, 3 or 4, not by {scale}")
        self.config = {"scale": scale, "dim": dim, "blocks": blocks, "reduction": reduction, "res_scale": res_scale}
        self.scale = scale
        self.register_buffer("mean", torch.tensor(MEAN), persistent=False)
        self.head = Float32Convolution(3, dim, 3, padding=1)
        attention = PyramidAttention(dim, reduction=reduction, res_scale=res_scale)
        self.body = Body(dim, blocks=blocks, activation=nn.ReLU(inplace=True), attention=attention, res_scale=res_scale)
        factors = {2: [2], 3: [3], 4: [2, 2]}[scale]
        self.up = nn.ModuleList(Convolution(dim, factor**2 * dim, 3, padding=1) for factor in factors)
        self.tail = Float32Convolution(dim, 3, 3, padding=1)
        self.finish = LastEnlargement()
        self.use_attention(True)

    def start_as_identity(self) -> None:
        """The output repeats pixels. Not in the paper."""
        self.body.start_as_identity()
        _pass_on(self.head, 3)
        for up in self.up:
            assert isinstance(up, Convolution)
            _pass_on(up, up.in_channels, up.out_channels // up.in_channels)
        _pass_on(self.tail, 3)

    def use_attention(self, use: bool) -> None:
        """Switch the attention off or on. Without it only its skip remains; tiles can be large, and give the values of
        the whole image.
        """
        self.attends = self.body.attention.attends = use
        self.largest_auto_tile = _TILE_TO_UPSCALE if use else None
        # A pixel for each convolution: head, body, each upsampling, tail; those after the first upsampling are smaller.
        self.halo = None if use else self.body.reach + 2 + len(self.up)

    def forward(self, degraded: Tensor) -> Tensor:
        """Upscale a batch; images of a batch do not influence each other."""
        self.check_size(degraded)
        mean = self.get_buffer("mean")
        x = self.head(degraded.contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1) - mean)
        x = self.body(x)
        factor = 3 if self.scale == 3 else 2
        for up in self.up[:-1]:
            x = _shuffled(up(x), factor)
        restored: Tensor = self.finish(x, self.up[-1], self.tail, factor) + mean
        return restored.permute(0, 3, 1, 2)

"""KiT: k-NN image transformer (Lee et al., "KNN Local Attention for Image Restoration", CVPR 2022), and its U shape.

The authors published neither code nor weights. This follows the paper's supplement (table 2) and CS-KiT Section IV-A.
Where the papers are silent, the docstrings here and docs/networks.md state our choice.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore.networks.base import Network
from restore.networks.blocks import Convolution, Linear, ResidualBlock
from restore.networks.knn import KNNLocalAttention

STAGES = 7  # three in the encoder, the bottleneck, three in the decoder


class FeedForward(nn.Module):  # FFN
    """FFN(X) = MLP(DW(MLP(X))) (CS-KiT eq. 4): linear, depth-wise 3x3, GELU (position: our choice), linear."""

    def __init__(self, channels: int, *, expansion: int) -> None:
        super().__init__()
        hidden = expansion * channels
        self.expand = Linear(channels, hidden)
        self.mix = Convolution(hidden, hidden, 3, padding=1, groups=hidden, bias=False)
        self.reduce = Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.reduce(F.gelu(self.mix(self.expand(x))))
        return out


class KNNTransformerBlock(nn.Module):  # KTB
    """X' = KLA(LN(X)) + X; X'' = FFN(LN(X')) + X' (KiT supplement, table 2), `(B, H, W, C)` to the same.

    Args:
        attention: KLA; None: no first half, the block is X'' = FFN(LN(X)) + X.
        embed: Applied before the first norm; in CS-KiT the scale-aware patch embedding (eq. 3).
    """

    def __init__(
        self, channels: int, *, attention: KNNLocalAttention | None, expansion: int, embed: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.attends = attention is not None
        self.attention = attention
        if attention is not None:
            self.embed = embed or nn.Identity()
            self.norm1 = nn.LayerNorm(channels)
        self.norm2 = nn.LayerNorm(channels)
        self.feed_forward = FeedForward(channels, expansion=expansion)

    def forward(self, x: Tensor, order: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The block's output, and the patch order that it used; without an `order` it hashes."""
        if self.attends:
            assert self.attention is not None
            normed = self.norm1(self.embed(x))
            if order is None:
                order = self.attention.order(normed)
            x = x + self.attention(normed, order)
        return x + self.feed_forward(self.norm2(x)), order


class KNNTransformerStage(nn.Module):
    """b blocks at one resolution; in KiT every block hashes for itself."""

    def __init__(self, blocks: list[KNNTransformerBlock]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x, _ = block(x, None)
        return x


class Refinement(nn.Module):
    """EDSR's residual blocks on the decoder's features.

    X' = X + reduce(blocks(expand(X, I_d))), `(B, H, W, C)` to the same. I_d is the network's input at this resolution:
    C channels hardly hold both I_d and the decoder's features.

    Args:
        channels: C.
        image_channels: Channels of I_d.
        width: Channels inside.
        blocks: Number of residual blocks.
    """

    def __init__(self, channels: int, image_channels: int, *, width: int, blocks: int) -> None:
        super().__init__()
        self.expand = Convolution(channels + image_channels, width, 3, padding=1)
        self.blocks = nn.ModuleList(ResidualBlock(width) for _ in range(blocks))
        self.reduce = Convolution(width, channels, 3, padding=1)

    def forward(self, x: Tensor, degraded: Tensor) -> Tensor:
        refined = self.expand(torch.cat((x, degraded), dim=-1))
        for block in self.blocks:
            refined = block(refined, F.relu_)
        out: Tensor = x + self.reduce(refined)
        return out


class KiT(Network):
    """Three convolutions, encoder (three stages), bottleneck, decoder (three stages), three convolutions.

    `(B, channels, H, W)` to the same; H and W are multiples of `size_multiple`. The output is I = I_d + I_r (CS-KiT
    Section IV-D).

    Our choices where the papers are silent: GELU between the three convolutions; a 2x2 convolution of stride 2 down, a
    1x1 convolution and pixel shuffle up. Without `fuse_skips` the decoder works on the concatenated features (2C
    channels), as the paper's parameter count needs; with it, a 1x1 convolution reduces them to C.

    Args:
        channels: Image channels.
        dim: C, the channels of the first stage; the others have 2C, 4C and 8C.
        blocks: b, blocks in a stage.
        k: Patches in a chunk (1 in the bottleneck).
        h: Rounds of hashing.
        r: Side of a patch.
        heads: Attention heads.
        expansion: Hidden channels of the FFN over its outer channels.
        fuse_skips: Whether a 1x1 convolution reduces the concatenated features.
        shuffle: Pixel-unshuffle factor before the first convolution, undone after the last (1: none, as in the papers).
            A factor of 2 is FFDNet's (IEEE TIP 2018, Section III-B): a quarter of the work at full resolution.
        refine: Residual blocks of `Refinement` after the decoder (0: none, as in the papers). A small network lacks
            dense convolutions at the highest resolution, and a CPU is fast at them.
        refine_width: Channels inside `Refinement`.
        attend: The stages with attention, 0 to 6 from the input on (3 is the bottleneck); None: all, as in the papers.
            The blocks of other stages have only their feed-forward half.
        seed: Fixes the rotations of the hashing.
    """

    CONFIGS: ClassVar[dict[str, dict[str, Any]]] = {
        "paper": {"dim": 70, "expansion": 4, "fuse_skips": False},
        "s": {"dim": 32, "h": 1, "shuffle": 2, "refine": 3, "attend": [2, 3, 4]},
    }

    def __init__(
        self,
        *,
        channels: int = 3,
        dim: int = 64,
        blocks: int = 2,
        k: int = 4,
        h: int = 4,
        r: int = 4,
        heads: int = 1,
        expansion: int = 2,
        fuse_skips: bool = True,
        shuffle: int = 1,
        refine: int = 0,
        refine_width: int = 64,
        attend: list[int] | None = None,
        seed: int = 0,
        **variant: Any,
    ) -> None:
        super().__init__()
        self.config = {
            "channels": channels, "dim": dim, "blocks": blocks, "k": k, "h": h, "r": r, "heads": heads,
            "expansion": expansion, "fuse_skips": fuse_skips, "shuffle": shuffle,
            "refine": refine, "refine_width": refine_width, "attend": attend, "seed": seed, **variant,
        }  # fmt: skip
        if attend is not None and not set(attend) <= set(range(STAGES)):
            raise ValueError(f"{type(self).__name__} has stages 0 to {STAGES - 1}, not all of {attend}")
        self.channels, self.shuffle = channels, shuffle
        self.tile_grid = shuffle * 8
        self.size_multiple = self.min_size = self.tile_grid * r * _smallest_square_of_chunks(k)
        pixels = channels * shuffle**2
        self.first = three_convolutions(pixels, dim, dim)
        widths = [dim, 2 * dim, 4 * dim]
        self.encoder = nn.ModuleList(self.make_stage(width, k=k, position=i) for i, width in enumerate(widths))
        self.down = nn.ModuleList(Convolution(width, 2 * width, 2, stride=2) for width in widths)
        self.bottleneck = self.make_stage(8 * dim, k=1, position=3)
        self.up, self.fuse, self.decoder = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        below = 8 * dim
        for i, width in reversed(list(enumerate(widths))):
            self.up.append(Linear(below, 4 * width))
            below = width if fuse_skips else 2 * width
            self.fuse.append(Linear(2 * width, width) if fuse_skips else nn.Identity())
            self.decoder.append(self.make_stage(below, k=k, position=6 - i))
        self.refine = Refinement(below, pixels, width=refine_width, blocks=refine) if refine else None
        self.last = three_convolutions(below, below, pixels)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                # PyTorch's default shrinks the signal by 1.7 per layer; the biases would drown the noise to be found.
                nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        with torch.no_grad():
            # Blocks and the upsampled features start small. Attention averages over a chunk: at full strength its means
            # bury each pixel's own value, and training stays at a residual of zero for very long.
            for module in self.modules():
                if isinstance(module, KNNTransformerBlock):
                    if module.attention is not None:
                        project = module.attention.project
                        project.weight[2 * project.in_features :] *= 0.02
                    module.feed_forward.reduce.weight *= 0.02
            for up in self.up:
                up.get_parameter("weight").mul_(0.2)
            if self.refine is not None:
                for block in self.refine.blocks:
                    block.get_parameter("second.weight").mul_(0.1)
                self.refine.reduce.weight *= 0.02
            self.last[-1].get_parameter("weight").mul_(0.1)

    def start_as_identity(self) -> None:
        """Set the residual to 0. Not in the papers.

        Otherwise training first learns to add nothing, at a rate that destroys the features; with a hard task it stays
        there.
        """
        for parameter in self.last[-1].parameters():
            nn.init.zeros_(parameter)

    def use_attention(self, use: bool) -> None:
        """Without attention a block is X'' = FFN(LN(X)) + X, and does not hash."""
        self.attends = use
        for module in self.modules():
            if isinstance(module, KNNTransformerBlock):
                module.attends = use and module.attention is not None

    def make_attention(
        self, channels: int, *, k: int, position: int, block: int, with_previous_chunk: bool
    ) -> KNNLocalAttention | None:
        """The attention of one block of the stage at `position`; None if the stage does not attend."""
        config = self.config
        if config["attend"] is not None and position not in config["attend"]:
            return None
        return KNNLocalAttention(
            channels, k=k, h=config["h"], r=config["r"], heads=config["heads"],
            with_previous_chunk=with_previous_chunk, seed=config["seed"] + 100 * position + block,
        )  # fmt: skip

    def make_stage(self, channels: int, *, k: int, position: int) -> nn.Module:
        """The blocks of one stage; `position` counts the stages from the input."""
        return KNNTransformerStage(
            [
                KNNTransformerBlock(
                    channels,
                    attention=self.make_attention(channels, k=k, position=position, block=i, with_previous_chunk=True),
                    expansion=self.config["expansion"],
                )
                for i in range(self.config["blocks"])
            ]
        )

    def forward(self, degraded: Tensor) -> Tensor:
        """Restore a batch; images of a batch do not influence each other."""
        self.check_size(degraded)
        x = F.pixel_unshuffle(degraded, self.shuffle) if self.shuffle > 1 else degraded
        pixels = x.contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1)
        x = self.first(pixels)
        skips = []
        for stage, down in zip(self.encoder, self.down, strict=True):
            skips.append(stage(x))
            x = down(skips[-1])
        x = self.bottleneck(x)
        for up, fuse, stage in zip(self.up, self.fuse, self.decoder, strict=True):
            x = stage(fuse(torch.cat((double(up(x)), skips.pop()), dim=-1)))
        if self.refine is not None:
            x = self.refine(x, pixels)
        residual = self.last(x).permute(0, 3, 1, 2)
        return degraded + (F.pixel_shuffle(residual, self.shuffle) if self.shuffle > 1 else residual)


def double(x: Tensor) -> Tensor:
    """Pixel shuffle by 2 of channels-last values, `(B, H, W, 4C)` to `(B, 2H, 2W, C)`: channels hold row, column, C."""
    batch, height, width, channels = x.shape
    x = x.view(batch, height, width, 2, 2, channels // 4).transpose(2, 3)
    return x.reshape(batch, 2 * height, 2 * width, channels // 4)


def three_convolutions(before: int, between: int, after: int) -> nn.Sequential:
    """3x3 convolutions with GELU between them, for both ends of the network (CS-KiT Section IV-A)."""
    return nn.Sequential(
        Convolution(before, between, 3, padding=1),
        nn.GELU(),
        Convolution(between, between, 3, padding=1),
        nn.GELU(),
        Convolution(between, after, 3, padding=1),
    )


def _smallest_square_of_chunks(k: int) -> int:
    """Smallest t for which 4 t^2 patches fill whole chunks of k: the fewest in a stage, at 8 r t pixels."""
    t = 1
    while 4 * t * t % k:
        t += 1
    return t

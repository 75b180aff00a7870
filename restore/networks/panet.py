"""PANet and PA-EDSR: pyramid attention (Mei et al., "Pyramid Attention Networks for Image Restoration", 2020).

Features are channels-last, `(B, H, W, C)`. The published code is MIT-licensed; this is written from the paper and from
what was measured of that code.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore.networks.base import Network
from restore.networks.blocks import (
    Convolution,
    Float32Convolution,
    Linear,
    ResidualBlock,
    TwoForms,
    WinogradConvolution,
    autocast,
    without_autocast,
)

SCALES = (1.0, 0.9, 0.8, 0.7, 0.6)  # of the pyramid (Section 4.1)
MEAN = (0.4488, 0.4371, 0.4040)  # of DIV2K's RGB, which PA-EDSR takes away and gives back
_BLOCK_BYTES = (64 << 20, 1 << 20)  # of one row of queries against one band of keys: on a GPU, and in a core's cache
_PARTS = 16  # of the bands, for the cores
_TILE = 128  # pixels; time grows with the square of a tile's area, and the published code goes no higher than 82x82


class PyramidAttention(TwoForms):
    """Every 3x3 patch is a mean of the patches that look like it, at its own scale and at four smaller ones (eq. 4, 5).

    y = softmax(10 f(x) . g(z) / |g(z)|) theta(z) over all positions of all scales z of x; the patches of theta are
    pasted where they belong, and the nine that meet in a pixel are added and divided by 4, as published.

    Args:
        channels: C.
        reduction: C over the channels of f and g.
        res_scale: Factor of the input that is added.
    """

    def __init__(self, channels: int, *, reduction: int, res_scale: float) -> None:
        super().__init__()
        self.res_scale = res_scale
        self.attends = True
        self.conv_match_L_base = nn.Sequential(Linear(channels, channels // reduction), nn.PReLU())  # f
        self.conv_match = nn.Sequential(Linear(channels, channels // reduction), nn.PReLU())  # g
        self.conv_assembly = nn.Sequential(Linear(channels, channels), nn.PReLU())  # theta

    def embed(self, x: Tensor) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """f(x), and g(z) and theta(z) of each scale z."""
        _, height, width, _ = x.shape
        levels = []
        for scale in SCALES:
            # Bicubic coordinates from the ratio of the sizes, as the PyTorch 1.1 of the authors took them.
            size = max(1, int(height * scale)), max(1, int(width * scale))
            z = x if scale == 1 else F.interpolate(x.permute(0, 3, 1, 2), size, mode="bicubic").permute(0, 2, 3, 1)
            levels.append((self.conv_match(z), self.conv_assembly(z)))
        return self.conv_match_L_base(x), levels

    def plain(self, x: Tensor) -> Tensor:
        if not self.attends:
            return self.res_scale * x
        query, levels = self.embed(x)
        q = _patches(query)  # (B, 9c, N)
        k = torch.cat([_patches(key) for key, _ in levels], dim=-1)
        v = torch.cat([_patches(value) for _, value in levels], dim=-1)
        k = k / k.norm(dim=1, keepdim=True).clamp_min(1e-4)
        attention = (10 * q.transpose(1, 2) @ k).softmax(-1)
        y = F.fold((attention @ v.transpose(1, 2)).transpose(1, 2), x.shape[1:3], 3, padding=1) / 4
        return y.permute(0, 2, 3, 1) + self.res_scale * x

    def fast(self, x: Tensor) -> Tensor:
        """By `attend`, whose memory grows with the picture and not with its square; it works in place, so that
        gradients take the plain form.
        """
        if torch.is_grad_enabled() or not self.attends:
            return self.plain(x)
        query, levels = self.embed(x)
        y = torch.stack([attend(q, [(k[i], v[i]) for k, v in levels]) for i, q in enumerate(query)])
        return y.add_(x, alpha=self.res_scale)


def _patches(x: Tensor) -> Tensor:
    """`(B, H, W, C)` to its 3x3 patches, `(B, 9C, H W)`, zeros beyond the borders."""
    return F.unfold(x.permute(0, 3, 1, 2), 3, padding=1)


def attend(query: Tensor, levels: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Pyramid attention of one image without its patches: y of `PyramidAttention.plain` before `res_scale` comes in.

    Two identities save nine tenths of the products. The product of two 3x3 patches is the sum of nine products of
    pixels along a diagonal, S(p, j) = sum_d G(p + d, j + d) with G = Q K^T; and pasting patches is one product with the
    pixels of V after the same sum over the probabilities. Both sums are separable, and where keys are told by how many
    rows they lie below the query, the one over rows is elementwise. The rows of queries go by one after the other
    against a band of such offsets, small enough for the cache; G is made twice, for the sums of the softmax and for y.
    Powers are of two: on a CPU they are faster than those of e, and as fast where they vanish. They are relative to the
    patch's score with itself, so that no sum is below one; one that is too large for a float is taken again, lower.

    Args:
        query: `(H, W, c)`.
        levels: Keys `(h, w, c)` and values `(h, w, C)` of every scale.

    Returns:
        `(H, W, C)`.
    """
    scales = [_Scale(query, key, value) for key, value in levels]
    bands = [(scale, band) for scale in scales for band in scale.bands]
    zeros = query.new_zeros(query.shape[:2])

    def totals(part: int) -> Tensor:
        """The softmax's sum over the keys of a part of the bands, times two to the power of `shift`."""
        total = zeros.clone()
        for scale, band in bands[part::_PARTS]:
            for y, framed in scale.scores(band, shift):
                total[y] += framed[1:-1, 1:-1].exp2_().sum(1)
        return total

    shift = -scales[0].own_scores()
    while not (total := sum(_parallel(totals, query.device), start=zeros)).isfinite().all():
        shift = torch.where(total.isfinite(), shift, shift - 100)
    minus_log_total = shift - total.log2()

    def pastes(part: int) -> Tensor:
        """What the keys of a part of the bands give to y, times 4."""
        out = query.new_zeros(*query.shape[:2], levels[0][1].shape[-1])
        for scale, band in bands[part::_PARTS]:
            probabilities = (_along_x(framed.exp2()) for _, framed in scale.scores(band, minus_log_total))
            for y, summed in scale.along_y(band, probabilities):
                out[y] += summed @ scale.value[scale.line(y, band)]
        return out

    return sum(_parallel(pastes, query.device), start=query.new_zeros(())) / 4


def _parallel(work: Callable[[int], Tensor], device: torch.device) -> Iterator[Tensor]:
    """The results of all parts, in order; on a CPU a thread a core takes one after the other.

    Blocks that fit into a core's cache are too small to be shared by cores, so each core has its own. The parts and
    their order do not depend on how many there are, nor does the result.
    """
    if device.type != "cpu":
        yield from map(work, range(_PARTS))
        return

    def alone(part: int) -> Tensor:
        torch.set_num_threads(1)  # of this thread
        with torch.inference_mode():
            return work(part)

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        yield from pool.map(alone, range(_PARTS))


class _Scale:
    """Queries against the keys of one scale, by bands: a band is the keys that lie `band` .. `band` + `rows` - 1 rows
    below each query.

    Keys lie in one line, row after row, each between two zeros: the neighbours of a key along x are then its neighbours
    in the line, and all that follows has two axes, the W queries of a row and the N keys of a line.
    """

    def __init__(self, query: Tensor, key: Tensor, value: Tensor) -> None:
        self.height, self.key_height, self.key_width = len(query), len(key), key.shape[1] + 2
        block_bytes = _BLOCK_BYTES[query.device.type == "cpu"]
        self.rows = min(max(1, block_bytes // (4 * query.shape[1] * self.key_width)), len(key) + len(query))
        self.bands = range(1 - len(query), len(key), self.rows)
        self.query = F.pad(query, (0, 0, 1, 1))
        self.key, self.value = (F.pad(x, (0, 0, 1, 1)).flatten(0, 1) for x in (key, value))
        self.framed_key = F.pad(self.key, (0, 0, 1, 1))
        energy = 9 * F.avg_pool2d(key.square().sum(-1)[None], 3, 1, 1)[0]
        self.factor = F.pad(10 / math.log(2) / energy.sqrt().clamp_min(1e-4), (1, 1)).flatten()

    def own_scores(self) -> Tensor:
        """What the queries score with the keys at their own place, `(H, W)`; for the scale of the queries only."""
        products = (self.query * self.key.view_as(self.query)).sum(-1)
        factor = self.factor.view(products.shape)
        return (9 * F.avg_pool2d(products[None], 3, 1, 1)[0] * factor)[:, 1:-1]

    def queries(self, band: int) -> range:
        """The rows of queries that have keys in the band."""
        return range(max(0, 1 - self.rows - band), min(self.height, self.key_height - band))

    def line(self, y: int, band: int) -> slice:
        """Where the band's keys at query row y are in the line of all."""
        first, last = max(0, y + band), min(self.key_height, y + band + self.rows)
        return slice(first * self.key_width, last * self.key_width)

    def scores(self, band: int, shift: Tensor) -> Iterator[tuple[int, Tensor]]:
        """y, and the scores of its queries plus `shift[y]`, `(W, N)` in a frame of minus infinity, `(W + 2, N + 2)`; so
        are the zeros between the rows of keys. The next overwrites it.
        """
        block = self.query.new_full((self.query.shape[1], self.rows * self.key_width + 2), -torch.inf)

        def products() -> Iterator[Tensor]:
            for y in self.queries(band):
                line = self.line(y, band)
                yield _along_x(self.query[y] @ self.framed_key[line.start : line.stop + 2].T)

        for y, summed in self.along_y(band, products()):
            framed = block[:, : summed.shape[1] + 2]
            scores = framed[1:-1, 1:-1]
            torch.addcmul(shift[y, :, None], summed, self.factor[self.line(y, band)], out=scores)
            scores[:, :: self.key_width] = -torch.inf
            framed[:, self.key_width :: self.key_width] = -torch.inf
            framed[:, -1] = -torch.inf
            yield y, framed

    def along_y(self, band: int, rows: Iterator[Tensor]) -> Iterator[tuple[int, Tensor]]:
        """y, and its item plus those before and after, whose keys lie a row away; `rows` has one for each y."""
        before: Tensor | None = None
        now: Tensor | None = next(rows)
        for y in self.queries(band):
            assert now is not None
            after = next(rows, None)
            line, total = self.line(y, band), now
            for other, below in ((before, -1), (after, 1)):
                if other is not None:
                    start = self.line(y + below, band).start - below * self.key_width
                    first, last = max(line.start, start), min(line.stop, start + other.shape[1])
                    part, added = slice(first - line.start, last - line.start), other[:, first - start : last - start]
                    if total is now and added.shape == now.shape:
                        total = now + added
                    else:
                        total = now.clone() if total is now else total
                        total[:, part] += added
            yield y, total
            before, now = now, after


def _along_x(x: Tensor) -> Tensor:
    """Sum of three along the diagonal, without the frame."""
    return (x[:-2, :-2] + x[1:-1, 1:-1]).add_(x[2:, 2:])


class Body(nn.Module):
    """Residual blocks with the attention in their middle, a convolution, and a skip around all (Figure 2).

    Args:
        channels: C.
        blocks: Residual blocks; half of them before the attention.
        activation: Shared by all blocks, as published.
        attention: In their middle.
        res_scale: Factor of what a block adds.
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
        self.reach = 2 * blocks + 1  # pixels that one of its own depends on around it, without the attention

    def forward(self, x: Tensor) -> Tensor:
        x = self.last.arranged(x)
        out = autocast(x)  # the skip stays as exact as it is: the picture itself goes that way
        for i, block in enumerate(self.blocks):
            if i == len(self.blocks) // 2:
                out = self.last.arranged(self.attention(out))
            out = block(out, self.activation)
        last: Tensor = self.last(out)
        return last + x

    def start_as_identity(self) -> None:
        """Set what is added to the input to 0."""
        for layer in (self.last, self.attention.conv_assembly[0]):
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)


@torch.no_grad()
def _pass_on(layer: Convolution, channels: int, repeat: int = 1) -> None:
    """Let the first `channels` of a convolution through as they are, each to `repeat` channels."""
    outputs = layer.weight[: channels * repeat]
    outputs.zero_()
    for channel in range(channels):
        outputs[channel * repeat : (channel + 1) * repeat, channel, 1, 1] = 1
    assert layer.bias is not None
    layer.bias[: channels * repeat] = 0


class PANet(Network):
    """Residual blocks with pyramid attention in their middle, for denoising, demosaicing and JPEG artifacts.

    `(B, channels, H, W)` to the same. As published, all blocks share one PReLU, and nothing leads from the input to the
    output past the network. The attention looks at the whole image: its time grows with the square of the pixels.

    Args:
        channels: 3, or 1 for grey (the published network for JPEG artifacts).
        dim: Channels inside.
        blocks: Residual blocks; half of them before the attention.
        reduction: Of the channels that the attention matches.
        shuffle: Pixel-unshuffle factor before the head and after the tail (1: none, as the paper). A factor of 2 is
            FFDNet's (IEEE TIP 2018, Section III-B): a quarter of the work, a sixteenth of the attention's; a channel
            then holds one place of a Bayer mosaic's cell.
    """

    CONFIGS: ClassVar[dict[str, dict[str, Any]]] = {
        "paper": {},
        "paper-grey": {"channels": 1},
        # But for `shuffle` the size of table 4's PANet-S, which has 0.665 M parameters.
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
        """Not in the paper. Without it a network first spends thousands of steps to learn what a picture is."""
        self.body.start_as_identity()
        for layer in (self.head, self.tail):
            _pass_on(layer, self.channels * self.shuffle**2)

    def use_attention(self, use: bool) -> None:
        """Without, what passes by the attention is all that comes through: tiles may be large, and give the whole's
        values.
        """
        self.attends = self.body.attention.attends = use
        self.largest_auto_tile = _TILE * self.shuffle if use else None
        # A pixel for each convolution: head, body, tail; and to the end of the cell that is shuffled.
        self.halo = None if use else self.shuffle * (self.body.reach + 2) + self.shuffle - 1

    def forward(self, degraded: Tensor) -> Tensor:
        """Restore a batch; images of a batch do not influence each other."""
        self.check_size(degraded)
        x = F.pixel_unshuffle(degraded, self.shuffle) if self.shuffle > 1 else degraded
        x = self.head(x.contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1))
        restored: Tensor = self.tail(self.body(x)).permute(0, 3, 1, 2)
        return F.pixel_shuffle(restored, self.shuffle) if self.shuffle > 1 else restored


class LastEnlargement(TwoForms):
    """The last step up and the tail: `(B, H, W, C)` to `(B, factor * H, factor * W, C')`. Of the two layers' own
    parameters it has none.
    """

    def plain(self, x: Tensor, up: Convolution, tail: Convolution, factor: int) -> Tensor:
        large: Tensor = tail(_shuffled(up(x), factor))
        return large

    def fast(self, x: Tensor, up: Convolution, tail: Convolution, factor: int) -> Tensor:
        """Nothing stands between the two 3x3 convolutions: they are one of 5x5 on the small side, which for 32 channels
        takes a quarter of the products. In the outermost pixels it takes for a neighbour what is zero padding to the
        tail; these are made by the plain form, of the two rows or columns of `x` next to them. Gradients take the plain
        form.
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
    """Weight `(C' factor^2, C, 5, 5)` and bias of `tail`, of 3x3, after a pixel shuffle after `up`, also of 3x3."""
    out, channels = tail.weight.shape[:2]
    # First the tail as a convolution of what goes into the shuffle: output pixel p of a cell, moved by 0 to 2 pixels
    # less 1, is pixel `cell % factor` of the neighbour at `cell // factor`.
    small = tail.weight.new_zeros(out, factor, factor, channels, factor, factor, 3, 3)
    for row, column, y, x in itertools.product(range(factor), range(factor), range(3), range(3)):
        (down, in_row), (right, in_column) = divmod(row + y - 1, factor), divmod(column + x - 1, factor)
        small[:, row, column, :, in_row, in_column, down + 1, right + 1] = tail.weight[:, :, y, x]
    small = small.view(out * factor**2, channels * factor**2, 3, 3)
    weight = F.conv2d(up.weight.transpose(0, 1), small.flip(2, 3), padding=2).transpose(0, 1)
    assert up.bias is not None and tail.bias is not None
    return weight, tail.bias.repeat_interleave(factor**2) + small.sum((2, 3)) @ up.bias


class PAEDSR(Network):
    """EDSR (Lim et al., CVPRW 2017) with pyramid attention in its middle, to enlarge by 2, 3 or 4 (Section 4.6).

    `(B, 3, H, W)` to `(B, 3, scale * H, scale * W)`, RGB.

    Args:
        scale: 2, 3 or 4.
        dim: Channels inside.
        blocks: Residual blocks; half of them before the attention.
        reduction: Of the channels that the attention matches.
        res_scale: Factor of what a block adds, and of what passes by the attention.
    """

    CONFIGS: ClassVar[dict[str, dict[str, Any]]] = {
        **{f"paper-x{scale}": {"scale": scale} for scale in (2, 3, 4)},
        **{f"s-x{scale}": {"scale": scale, "dim": 32, "blocks": 8, "reduction": 2} for scale in (2, 3, 4)},
    }

    def __init__(
        self, *, scale: int = 2, dim: int = 256, blocks: int = 32, reduction: int = 8, res_scale: float = 0.1
    ) -> None:
        super().__init__()
        if scale not in (2, 3, 4):
            raise ValueError(f"PA-EDSR enlarges by 2, 3 or 4, not by {scale}")
        self.config = {"scale": scale, "dim": dim, "blocks": blocks, "reduction": reduction, "res_scale": res_scale}
        self.scale, self.largest_auto_tile = scale, _TILE
        self.register_buffer("mean", torch.tensor(MEAN), persistent=False)
        self.head = Float32Convolution(3, dim, 3, padding=1)
        attention = PyramidAttention(dim, reduction=reduction, res_scale=res_scale)
        self.body = Body(dim, blocks=blocks, activation=nn.ReLU(inplace=True), attention=attention, res_scale=res_scale)
        factors = {2: [2], 3: [3], 4: [2, 2]}[scale]
        self.up = nn.ModuleList(Convolution(dim, factor**2 * dim, 3, padding=1) for factor in factors)
        self.tail = Float32Convolution(dim, 3, 3, padding=1)
        self.finish = LastEnlargement()

    def start_as_identity(self) -> None:
        """Every pixel becomes a square of its colour. Not in the paper."""
        self.body.start_as_identity()
        _pass_on(self.head, 3)
        for up in self.up:
            assert isinstance(up, Convolution)
            _pass_on(up, up.in_channels, up.out_channels // up.in_channels)
        _pass_on(self.tail, 3)

    def use_attention(self, use: bool) -> None:
        """Without, what passes by the attention is all that comes through: tiles may be large, and give the whole's
        values.
        """
        self.attends = self.body.attention.attends = use
        self.largest_auto_tile = _TILE if use else None
        # A pixel for each convolution: head, body, each step up, tail; those after the first step are smaller.
        self.halo = None if use else self.body.reach + 2 + len(self.up)

    def forward(self, degraded: Tensor) -> Tensor:
        """Enlarge a batch; images of a batch do not influence each other."""
        self.check_size(degraded)
        mean = self.get_buffer("mean")
        x = self.head(degraded.contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1) - mean)
        x = self.body(x)
        factor = 3 if self.scale == 3 else 2
        for up in self.up[:-1]:
            x = _shuffled(up(x), factor)
        restored: Tensor = self.finish(x, self.up[-1], self.tail, factor) + mean
        return restored.permute(0, 3, 1, 2)

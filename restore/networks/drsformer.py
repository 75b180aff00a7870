"""DRSformer: deraining by sparse attention over channels (Chen, Li, Li, Pan, "Learning A Sparse Transformer Network for
Effective Image Deraining", CVPR 2023).

The three slow layers have two forms (`blocks.TwoForms`). Without gradients the fast forms work on strips of rows, so
that their temporary memory does not grow with the picture. Their convolutions use the device's fastest layout
(`blocks.laid_out`).
Written from the paper and from measurements of the published network, whose code has no licence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore.networks.base import Network
from restore.networks.blocks import TwoForms, dense, laid_out, uses_blocks

_FRACTIONS = (1 / 2, 2 / 3, 3 / 4, 4 / 5)  # k over the channels of a head: [Delta_1, Delta_2] of Section 4.1
_STRIP_BYTES = 64 << 20  # of a strip's widest feature; smaller strips repeat more rows, larger ones only need memory


def strips(x: Tensor, channels: int, halo: int) -> Iterator[tuple[slice, slice, slice]]:
    """Strips of rows of `x`, `(B, C, H, W)`, whose features of `channels` stay near `_STRIP_BYTES`.

    With gradients there is only one strip.

    Yields:
        The rows to read (up to `halo` more on both sides), which of those to keep, and their place in the picture.
    """
    batch, _, height, width = x.shape
    rows = height if torch.is_grad_enabled() else max(_STRIP_BYTES // (4 * batch * width * channels), 4 * halo, 1)
    for start in range(0, height, rows):
        end = min(start + rows, height)
        first, last = max(0, start - halo), min(height, end + halo)
        yield slice(first, last), slice(start - first, end - first), slice(start, end)


def by_strips(f: Callable[[Tensor], Tensor], x: Tensor, *, channels: int, halo: int) -> Tensor:
    """`f(x)` by strips, for an f that keeps the size, has a reach of `halo` rows and `channels` inside."""
    if torch.is_grad_enabled():
        return f(x)
    out = torch.empty_like(x)
    for read, keep, write in strips(x, channels, halo):
        out[:, :, write] = f(x[:, :, read])[:, :, keep]
    return out


class LayerNorm(nn.Module):  # LN
    """Normalises the channels of each pixel, biased variance; without bias (`BiasFree`) the mean stays."""

    def __init__(self, channels: int, *, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, H, W)` to the same, `laid_out` for convolutions."""
        # Five temporary tensors: strips that fit into the cache.
        normalised = by_strips(self.normalised, x, channels=5 * x.shape[1], halo=0)
        return laid_out(normalised, self.weight, self.bias)

    def normalised(self, x: Tensor) -> Tensor:
        centred = x - x.mean(1, keepdim=True)
        scale = torch.rsqrt(centred.square().mean(1, keepdim=True) + 1e-5)
        return (x if self.bias is None else centred) * scale


class TopKSparseAttention(TwoForms):  # TKSA
    """X + TKSA(LN(X)): the weighted sum of four attentions among the channels of a head (eq. 2, 5, 6).

    Each keeps the k largest scores of a row. As published: Q and K are L2-normalised over the pixels, `temperature`
    multiplies, and a softmax over the k kept scores replaces eq. 6's zeros.
    """

    def __init__(self, channels: int, *, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.attn1, self.attn2, self.attn3, self.attn4 = (nn.Parameter(torch.full((1,), 0.2)) for _ in _FRACTIONS)
        self.qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.qkv_dwconv = nn.Conv2d(3 * channels, 3 * channels, 3, padding=1, groups=3 * channels, bias=False)
        self.project_out = nn.Linear(channels, channels, bias=False)

    @property
    def shares(self) -> tuple[Tensor, ...]:
        return self.attn1, self.attn2, self.attn3, self.attn4

    def kept(self, channels: int) -> list[int]:
        return [int(channels * fraction) for fraction in _FRACTIONS]

    def plain(self, x: Tensor, norm: Callable[[Tensor], Tensor]) -> Tensor:
        qkv = _convolve(_convolve(dense(norm(x)).contiguous(), self.qkv.weight), self.qkv_dwconv.weight)
        batch, _, height, width = qkv.shape
        q, k, v = (p.reshape(batch, self.heads, -1, height * width) for p in qkv.chunk(3, dim=1))  # (B, heads, c, H W)
        scores = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1) * self.temperature
        out = torch.zeros_like(v)
        for share, kept in zip(self.shares, self.kept(scores.shape[-1]), strict=True):
            chosen = torch.zeros_like(scores, dtype=torch.bool)
            chosen.scatter_(-1, scores.topk(kept, dim=-1).indices, True)
            out = out + share * (scores.masked_fill(~chosen, -torch.inf).softmax(-1) @ v)
        return x + _convolve(out.reshape(batch, -1, height, width), self.project_out.weight)

    def fast(self, x: Tensor, norm: Callable[[Tensor], Tensor]) -> Tensor:
        """The four products with V and `project_out` are linear in V: one C x C map. It needs only sums of Q and K over
        the pixels.
        """
        channels = x.shape[1]
        weight, mix = self.qkv.weight, self.qkv_dwconv.weight
        gram, square_q, square_k = (torch.zeros((), device=x.device, dtype=x.dtype),) * 3
        values = []
        for read, keep, write in strips(x, 3 * channels, halo=1):
            rows = norm(x[:, :, read])
            values.append((_convolve(_convolve(rows, weight[2 * channels :]), mix[2 * channels :]), keep, write))
            rows = _convolve(_convolve(rows, weight[: 2 * channels]), mix[: 2 * channels])
            rows = dense(rows)[:, :, keep]
            q, k = rows.reshape(len(x), 2, self.heads, -1, *rows.shape[2:]).unbind(1)  # (B, heads, c, rows, W)
            # One product for each row: threads would split a long sum, and the result would depend on their number.
            gram = gram + (q.transpose(2, 3) @ k.permute(0, 1, 3, 4, 2)).sum(2)
            square_q, square_k = square_q + q.square().sum((-2, -1)), square_k + k.square().sum((-2, -1))
        lengths = square_q.sqrt().clamp_min(1e-12)[..., None] * square_k.sqrt().clamp_min(1e-12)[..., None, :]
        attention = self.sparse(gram / lengths * self.temperature)
        out = self.project_out.weight.view(channels, self.heads, -1).transpose(0, 1)  # (heads, C, c)
        # In double precision: the last bit of such small products depends on the number of threads.
        to_out = (out.double() @ attention.double()).to(x.dtype).transpose(1, 2).flatten(2)  # (B, C, V's channels)
        return torch.cat(
            [x[:, :, write] + dense(_convolve_each(v, to_out))[:, :, keep] for v, keep, write in values], 2
        )

    def sparse(self, scores: Tensor) -> Tensor:
        """The weighted sum of the four softmaxes of `scores`, `(B, heads, c, c)`, by one sort.

        A softmax over the k largest is exp(s) over their sum. In sorted order the four differ only in a factor and in
        their end.
        """
        ordered, position = scores.sort(dim=-1, descending=True)
        powers = (ordered - ordered[..., :1]).exp()
        sums = powers.cumsum(-1)
        rank = torch.arange(scores.shape[-1], device=scores.device)
        factor = torch.zeros_like(powers)
        for share, kept in zip(self.shares, self.kept(scores.shape[-1]), strict=True):
            factor = factor + (rank < kept) * share / sums[..., kept - 1 : kept]
        return torch.zeros_like(scores).scatter(-1, position, powers * factor)


def _convolve(x: Tensor, weight: Tensor, dilation: int = 1, *, padded: bool = False) -> Tensor:
    """Convolution of `(B, C, H, W)`, zero-padded to keep the size unless `padded`.

    The number of groups follows from the shapes; a 1x1 weight can be `(C', C)`.
    """
    if weight.dim() == 2:
        weight = weight[:, :, None, None]
    padding = 0 if padded else dilation * (weight.shape[-1] // 2)
    return F.conv2d(x, weight, None, 1, padding, dilation, x.shape[1] // weight.shape[1])


def _convolve_each(x: Tensor, weights: Tensor) -> Tensor:
    """1x1 convolution of `(B, C, H, W)` with its own weights for each image, `(B, C', C)`."""
    if len(weights) == 1:
        return _convolve(x, weights[0])
    out: Tensor = weights @ dense(x).flatten(2)
    return out.view(*out.shape[:2], *x.shape[2:])


class MixedScaleFeedForward(TwoForms):  # MSFN
    """X + MSFN(LN(X)): two depth-wise paths of 3x3 and 5x5 that exchange halves between their two steps (eq. 3, 7).

    As published, the convolutions of the second step are grouped in pairs: output i depends on channels 2i and 2i+1 of
    the concatenated halves.
    """

    def __init__(self, channels: int, *, expansion: float) -> None:
        super().__init__()
        hidden = int(expansion * channels)
        self.hidden = hidden
        self.project_in = nn.Linear(channels, 2 * hidden, bias=False)
        self.dwconv3x3 = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, bias=False)
        self.dwconv5x5 = nn.Conv2d(2 * hidden, 2 * hidden, 5, padding=2, groups=2 * hidden, bias=False)
        self.dwconv3x3_1 = nn.Conv2d(2 * hidden, hidden, 3, padding=1, groups=hidden, bias=False)
        self.dwconv5x5_1 = nn.Conv2d(2 * hidden, hidden, 5, padding=2, groups=hidden, bias=False)
        self.project_out = nn.Linear(2 * hidden, channels, bias=False)

    def plain(self, x: Tensor, norm: Callable[[Tensor], Tensor]) -> Tensor:
        hidden = _convolve(dense(norm(x)).contiguous(), self.project_in.weight)
        p1a, p1b = F.relu(_convolve(hidden, self.dwconv3x3.weight)).chunk(2, dim=1)
        s1a, s1b = F.relu(_convolve(hidden, self.dwconv5x5.weight)).chunk(2, dim=1)
        p2 = F.relu(_convolve(torch.cat((p1a, s1a), dim=1), self.dwconv3x3_1.weight))
        s2 = F.relu(_convolve(torch.cat((p1b, s1b), dim=1), self.dwconv5x5_1.weight))
        return x + _convolve(torch.cat((p2, s2), dim=1), self.project_out.weight)

    def fast(self, x: Tensor, norm: Callable[[Tensor], Tensor]) -> Tensor:
        """A convolution of channel pairs is a sum of two depth-wise ones, of the first and of the second channels. The
        3x3 and 5x5 paths then need no concatenation.

        If a half has an odd number n of channels, the pairs of the 5x5 path are (1, 2), (3, 4), .. The last channel of
        the 3x3 path pairs with the first of the 5x5 path. That pair comes last in the 5x5 path, its 3x3 kernel padded
        with zeros.
        """
        n, odd = self.hidden, self.hidden % 2
        even = torch.arange(0, n, 2, device=x.device)
        uneven = torch.cat((even[:-1] + 1, even[-1:] + 1 - odd))  # of equal length: the last one fills the gap
        pairs3, pairs5 = (even, uneven), (uneven, even.roll(-1)) if odd else (even, uneven)
        halves = []
        for start, second in ((0, self.dwconv3x3_1), (n, self.dwconv5x5_1)):
            kernels = second.weight.flatten(0, 1)[:, None]  # one for each of the 2n concatenated channels
            through3 = [(self.dwconv3x3.weight[start + side], kernels[side]) for side in pairs3]
            through5 = [(self.dwconv5x5.weight[start + side], kernels[n + side]) for side in pairs5]
            if odd:
                first, last = through5[0]
                first3 = F.pad(self.dwconv3x3.weight[start + n - 1 : start + n], (1, 1, 1, 1))
                through5[0] = torch.cat((first[:-1], first3)), torch.cat((last[:-1], kernels[n - 1 : n]))
            into = [self.project_in.weight[start + side] for side in (even, uneven, even.roll(-1))[: 2 + odd]]
            out = self.project_out.weight[:, start : start + n]
            out3, out5 = F.pad(out[:, : n // 2], (0, odd)), out[:, n // 2 :].roll(-odd, dims=1)
            halves.append((into, ((0, through3, out3), (odd, through5, out5))))

        def feed(rows: Tensor) -> Tensor:
            normed, fed = norm(rows), None
            for into, paths in halves:
                hidden = [_convolve(normed, weight) for weight in into]
                for turn, sides, out in paths:
                    left, right = (
                        _convolve(_convolve(side, first).relu_(), second)
                        for side, (first, second) in zip(hidden[turn:], sides, strict=False)
                    )
                    value = _convolve(left.add_(right).relu_(), out)
                    fed = value if fed is None else fed.add_(value)
            assert fed is not None
            return rows + dense(fed)

        return by_strips(feed, x, channels=n, halo=4)


class SparseTransformerBlock(nn.Module):  # STB
    """X' = X + TKSA(LN(X)); X'' = X' + MSFN(LN(X')) (eq. 2, 3)."""

    def __init__(self, channels: int, *, heads: int, expansion: float, norm_bias: bool) -> None:
        super().__init__()
        self.norm1 = LayerNorm(channels, bias=norm_bias)
        self.attn = TopKSparseAttention(channels, heads=heads)
        self.norm2 = LayerNorm(channels, bias=norm_bias)
        self.ffn = MixedScaleFeedForward(channels, expansion=expansion)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.ffn(self.attn(x, self.norm1), self.norm2)
        return out


class Separable(nn.Module):
    """One expert: depth-wise and pointwise convolution; without dilation twice, with a ReLU between."""

    def __init__(self, channels: int, size: int, *, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.halo = size // 2 * (2 if dilation == 1 else dilation)
        self.depthwise = nn.ParameterList(
            nn.Parameter(torch.empty(channels, 1, size, size)) for _ in range(2 if dilation == 1 else 1)
        )
        self.pointwise = nn.ModuleList(nn.Linear(channels, channels, bias=False) for _ in self.depthwise)
        for weight in self.depthwise:
            nn.init.kaiming_uniform_(weight, a=5**0.5)

    def plain(self, x: Tensor) -> Tensor:
        """`(B, C, H, W)` to the same."""
        for i, (depthwise, pointwise) in enumerate(zip(self.depthwise, self.pointwise, strict=True)):
            x = _convolve(_convolve(F.relu(x) if i else x, depthwise, self.dilation), pointwise.get_parameter("weight"))
        return x

    def before_last(self, x: Tensor, blocks: Tensor) -> Tensor:
        """All but the last pointwise convolution; a kernel of one pixel is part of the weights (`last_pointwise`).

        Args:
            x: `(B, C, H, W)`.
            blocks: `x`, `laid_out`.
        """
        first, weight = self.depthwise[0], self.pointwise[0].get_parameter("weight")
        if first.shape[-1] == 1:
            return _convolve(blocks, weight * first.flatten()).relu_()
        if self.halo > 4 and self.dilation > 1:
            # Padded here: oneDNN's fast depth-wise convolution (46 times faster) takes a padding of at most 4.
            x = F.pad(x, (self.halo,) * 4)
            return _convolve(laid_out(x), first, self.dilation, padded=True)
        x = _convolve(blocks, first, self.dilation)
        return x if len(self.depthwise) == 1 else _convolve(_convolve(x, weight).relu_(), self.depthwise[1])

    @property
    def last_pointwise(self) -> Tensor:
        weight, last = self.pointwise[-1].get_parameter("weight"), self.depthwise[-1]
        return weight * last.flatten() if last.shape[-1] == 1 else weight


class MixtureOfExperts(TwoForms):
    """One step of MEFC: eight experts, weighted by the gate, concatenated, 1x1 convolution and ReLU (eq. 9)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.separable = nn.ModuleList(Separable(channels, size, dilation=1) for size in (1, 3, 5, 7))
        self.dilated = nn.ModuleList(Separable(channels, size, dilation=2) for size in (3, 5, 7))
        self.out = nn.Linear(8 * channels, channels, bias=False)

    def plain(self, x: Tensor, gate: Tensor) -> Tensor:
        """`x`: `(B, C, H, W)`; `gate`: `(B, 8)`."""
        x = x.contiguous()
        values = [expert.plain(x) for expert in (*self.separable, *self.dilated)]
        values.append(F.avg_pool2d(x, 3, 1, 1, count_include_pad=False))
        weighted = [g[:, None, None, None] * y for g, y in zip(gate.unbind(1), values, strict=True)]
        mixed = F.relu(_convolve(torch.cat(weighted, dim=1), self.out.weight))
        return F.relu(mixed + x)

    def fast(self, x: Tensor, gate: Tensor) -> Tensor:
        """The last pointwise convolution, the gate and `out` are linear: one 8C x C map for each image.

        The mean is a depth-wise convolution that does not count pixels outside the image.
        """
        out = self.out.weight.view(x.shape[1], 8, -1).transpose(0, 1)  # (8, C, C)
        experts = (*self.separable, *self.dilated)
        folded = torch.cat((out[:7] @ torch.stack([expert.last_pointwise for expert in experts]), out[7:]))
        weights = (gate[..., None, None] * folded).unbind(1)  # eight (B, C, C)

        def mix(rows: Tensor) -> Tensor:
            blocks = laid_out(rows)
            inside = F.avg_pool2d(rows.new_ones(1, 1, *rows.shape[2:]), 3, 1, 1)  # the share of a 3x3 in the image
            sums = _convolve(blocks, rows.new_full((rows.shape[1], 1, 3, 3), 1 / 9))
            mean = dense(_convolve_each(sums, weights[7])) / inside
            mixed = _convolve_each(experts[0].before_last(rows, blocks), weights[0])
            for expert, weight in zip(experts[1:], weights[1:], strict=False):
                mixed = mixed.add_(_convolve_each(expert.before_last(rows, blocks), weight))
            return F.relu(F.relu(mean + dense(mixed)) + rows)

        return by_strips(mix, x, channels=4 * x.shape[1], halo=max(expert.halo for expert in experts))


class FeatureCompensator(nn.Module):  # MEFC
    """A 1x1 convolution with ReLU, then `steps` mixtures of experts; one gate sees the whole image (eq. 8, 9).

    As published, one gate weighs all steps, with a softmax over the eight experts of each.
    """

    def __init__(self, channels: int, *, steps: int = 4) -> None:
        super().__init__()
        self.gate = nn.Sequential(nn.Linear(channels, 2 * 8 * steps), nn.ReLU(), nn.Linear(2 * 8 * steps, 8 * steps))
        self.squeeze = nn.Linear(channels, channels, bias=False)
        self.steps = nn.ModuleList(MixtureOfExperts(channels) for _ in range(steps))

    def forward(self, x: Tensor) -> Tensor:
        gates = self.gate(x.mean((2, 3))).unflatten(1, (len(self.steps), 8)).softmax(-1)
        x = F.relu(_convolve(x, self.squeeze.weight))
        for step, gate in zip(self.steps, gates.unbind(1), strict=True):
            x = step(x, gate)
        return x


class DRSformer(Network):
    """A U shape of four levels of sparse transformer blocks between two feature compensators (Figure 2).

    `(B, channels, H, W)` to the same; H and W are multiples of `size_multiple`. Attention and gates see the whole
    image, so a tile gives slightly different values. The paper scores whole images.

    Args:
        channels: Image channels.
        dim: C, the channels of the first level; the others have 2C, 4C and 8C, the decoder's first 2C.
        blocks: Sparse transformer blocks of each level (the paper's [N_1, .., N_4]).
        heads: Attention heads of each level.
        expansion: Hidden channels of MSFN over its outer channels.
        norm_bias: Whether the norms subtract the mean and have a bias; False is the published `BiasFree`.
        compensator: Whether there is a MEFC before the first level and after the last. The published networks for
            Rain200L and SPA-Data have none.
        shuffle: Pixel-unshuffle factor before the first convolution, undone after the last (1: none, as in the paper).
    """

    CONFIGS: ClassVar[dict[str, dict[str, Any]]] = {
        "paper": {},
        "paper-lite": {"compensator": False},
        "s": {"dim": 24, "blocks": [1, 2, 2, 2], "shuffle": 2, "compensator": False},
    }

    def __init__(
        self,
        *,
        channels: int = 3,
        dim: int = 48,
        blocks: Sequence[int] = (4, 6, 6, 8),
        heads: Sequence[int] = (1, 2, 4, 8),
        expansion: float = 2.66,
        norm_bias: bool = True,
        compensator: bool = True,
        shuffle: int = 1,
    ) -> None:
        super().__init__()
        self.config = {
            "channels": channels, "dim": dim, "blocks": list(blocks), "heads": list(heads), "expansion": expansion,
            "norm_bias": norm_bias, "compensator": compensator, "shuffle": shuffle,
        }  # fmt: skip
        self.channels, self.shuffle = channels, shuffle
        self.size_multiple = self.min_size = 8 * shuffle

        def stage(level: int, width: int) -> nn.Sequential:
            return nn.Sequential(
                *(
                    SparseTransformerBlock(width, heads=heads[level], expansion=expansion, norm_bias=norm_bias)
                    for _ in range(blocks[level])
                )
            )

        def convolve(before: int, after: int) -> nn.Conv2d:
            return nn.Conv2d(before, after, 3, padding=1, bias=False)

        pixels, widths = channels * shuffle**2, [dim, 2 * dim, 4 * dim, 8 * dim]
        self.patch_embed = convolve(pixels, dim)
        self.encoder_level0 = FeatureCompensator(dim) if compensator else None
        self.encoder_level1, self.encoder_level2, self.encoder_level3, self.latent = map(stage, range(4), widths)
        self.down1_2, self.down2_3, self.down3_4 = (convolve(width, width // 2) for width in widths[:3])
        self.up4_3, self.up3_2, self.up2_1 = (convolve(width, 2 * width) for width in reversed(widths[1:]))
        self.reduce_chan_level3, self.reduce_chan_level2 = (nn.Linear(2 * w, w, bias=False) for w in (4 * dim, 2 * dim))
        self.decoder_level3, self.decoder_level2 = stage(2, 4 * dim), stage(1, 2 * dim)
        self.decoder_level1 = stage(0, 2 * dim)  # the paper keeps the concatenated channels here
        self.refinement = FeatureCompensator(2 * dim) if compensator else None
        self.output = convolve(2 * dim, pixels)

    def forward(self, degraded: Tensor) -> Tensor:
        """Restore a batch; images of a batch do not influence each other."""
        self.check_size(degraded)
        x = F.pixel_unshuffle(degraded, self.shuffle)
        layout = torch.contiguous_format if uses_blocks(x) else torch.channels_last
        x = self.patch_embed(x.contiguous(memory_format=layout))
        if self.encoder_level0 is not None:
            x = self.encoder_level0(x)
        skip1 = self.encoder_level1(x)
        skip2 = self.encoder_level2(F.pixel_unshuffle(self.down1_2(skip1), 2))
        skip3 = self.encoder_level3(F.pixel_unshuffle(self.down2_3(skip2), 2))
        x = F.pixel_shuffle(self.up4_3(self.latent(F.pixel_unshuffle(self.down3_4(skip3), 2))), 2)
        x = self.decoder_level3(_convolve(torch.cat((x, skip3), dim=1), self.reduce_chan_level3.weight))
        del skip3  # here and below: to lower the peak memory
        x = torch.cat((F.pixel_shuffle(self.up3_2(x), 2), skip2), dim=1)
        x = self.decoder_level2(_convolve(x, self.reduce_chan_level2.weight))
        del skip2
        x = self.decoder_level1(torch.cat((F.pixel_shuffle(self.up2_1(x), 2), skip1), dim=1))
        del skip1
        if self.refinement is not None:
            x = self.refinement(x)
        return degraded + F.pixel_shuffle(self.output(x), self.shuffle)

"""DRSformer: deraining by sparse attention over channels (Chen, Li, Li, Pan, "Learning A Sparse Transformer Network for
Effective Image Deraining", CVPR 2023).

Features are channels-last, `(B, H, W, C)`. The three layers that cost time have two forms (`blocks.TwoForms`); without
gradients the fast ones work on strips of rows, so that what they hold for a moment does not grow with the picture.
Written from the paper and from measured facts about the published network, whose code has no licence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore.networks.base import Network
from restore.networks.blocks import Convolution, Linear, TwoForms, linear

_FRACTIONS = (1 / 2, 2 / 3, 3 / 4, 4 / 5)  # k over the channels of a head: [Delta_1, Delta_2] of Section 4.1
_STRIP_BYTES = 32 << 20  # of a strip's widest feature; smaller ones repeat more rows, larger ones only take memory


def strips(x: Tensor, channels: int, halo: int) -> Iterator[tuple[slice, slice, slice]]:
    """Cuts the rows of `x`, `(B, H, W, C)`, so that a feature of `channels` stays near `_STRIP_BYTES`; one strip where
    gradients are kept.

    Yields:
        The rows to read (`halo` more on either side, where the picture has them), which of those to keep, and where
        those lie in the picture.
    """
    batch, height, width, _ = x.shape
    rows = height if torch.is_grad_enabled() else max(_STRIP_BYTES // (4 * batch * width * channels), 4 * halo, 1)
    for start in range(0, height, rows):
        end = min(start + rows, height)
        first, last = max(0, start - halo), min(height, end + halo)
        yield slice(first, last), slice(start - first, end - first), slice(start, end)


def by_strips(f: Callable[[Tensor], Tensor], x: Tensor, *, channels: int, halo: int) -> Tensor:
    """`f(x)` for an f that keeps the size and looks `halo` rows around, `channels` wide inside."""
    if torch.is_grad_enabled():
        return f(x)
    out = torch.empty_like(x)
    for read, keep, write in strips(x, channels, halo):
        out[:, write] = f(x[:, read])[:, keep]
    return out


class LayerNorm(nn.Module):  # LN
    """Normalises each pixel's channels, biased variance; without bias (`BiasFree`) the mean stays in."""

    def __init__(self, channels: int, *, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        if self.bias is not None:
            return F.layer_norm(x, self.weight.shape, self.weight, self.bias, 1e-5)
        return x * torch.rsqrt(x.var(-1, keepdim=True, correction=0) + 1e-5) * self.weight


class TopKSparseAttention(TwoForms):  # TKSA
    """X + TKSA(LN(X)): attention among the channels of a head, four times with k of them kept a row, weighted and
    summed (eq. 2, 5, 6).

    As published: Q and K are L2-normalised over the pixels, `temperature` multiplies, and a softmax over the k largest
    scores of each row replaces eq. 6's zeros.
    """

    def __init__(self, channels: int, *, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.attn1, self.attn2, self.attn3, self.attn4 = (nn.Parameter(torch.full((1,), 0.2)) for _ in _FRACTIONS)
        self.qkv = Linear(channels, 3 * channels, bias=False)
        self.qkv_dwconv = Convolution(3 * channels, 3 * channels, 3, padding=1, groups=3 * channels, bias=False)
        self.project_out = Linear(channels, channels, bias=False)

    @property
    def shares(self) -> tuple[Tensor, ...]:
        return self.attn1, self.attn2, self.attn3, self.attn4

    def kept(self, channels: int) -> list[int]:
        return [int(channels * fraction) for fraction in _FRACTIONS]

    def plain(self, x: Tensor, norm: nn.Module) -> Tensor:
        qkv = _convolve(_convolve(norm(x).permute(0, 3, 1, 2).contiguous(), self.qkv.weight), self.qkv_dwconv.weight)
        batch, _, height, width = qkv.shape
        q, k, v = (p.reshape(batch, self.heads, -1, height * width) for p in qkv.chunk(3, dim=1))  # (B, heads, c, H W)
        scores = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1) * self.temperature
        out = torch.zeros_like(v)
        for share, kept in zip(self.shares, self.kept(scores.shape[-1]), strict=True):
            chosen = torch.zeros_like(scores, dtype=torch.bool)
            chosen.scatter_(-1, scores.topk(kept, dim=-1).indices, True)
            out = out + share * (scores.masked_fill(~chosen, -torch.inf).softmax(-1) @ v)
        attended = _convolve(out.reshape(batch, -1, height, width), self.project_out.weight)
        return x + attended.permute(0, 2, 3, 1)

    def fast(self, x: Tensor, norm: nn.Module) -> Tensor:
        """The four products with V and `project_out` are linear in V: they are one C x C map, which needs Q and K only
        as sums over the pixels.
        """
        channels = x.shape[-1]
        weight, mix = self.qkv.weight, self.qkv_dwconv.weight
        gram, square_q, square_k = (torch.zeros((), device=x.device, dtype=x.dtype),) * 3
        for read, keep, _ in strips(x, 3 * channels, halo=1):
            rows = linear(norm(x[:, read]), weight[: 2 * channels], None)
            rows = _depthwise(rows, mix[: 2 * channels])[:, keep].flatten(1, 2)
            split = rows.view(*rows.shape[:2], 2, self.heads, channels // self.heads)
            q, k = split.permute(2, 0, 3, 1, 4)  # (B, heads, pixels, c)
            gram = gram + q.transpose(-2, -1) @ k
            square_q, square_k = square_q + q.square().sum(-2), square_k + k.square().sum(-2)
        lengths = square_q.sqrt().clamp_min(1e-12)[..., None] * square_k.sqrt().clamp_min(1e-12)[..., None, :]
        attention = self.sparse(gram / lengths * self.temperature)
        out = self.project_out.weight.view(channels, self.heads, -1).transpose(0, 1)  # (heads, C, c)
        to_out = (out @ attention).transpose(1, 2).flatten(2).transpose(1, 2)  # (B, V's channels, C)

        def attend(rows: Tensor) -> Tensor:
            v = _depthwise(linear(norm(rows), weight[2 * channels :], None), mix[2 * channels :])
            attended: Tensor = (v.flatten(1, 2) @ to_out).view_as(rows)
            return rows + attended

        return by_strips(attend, x, channels=2 * channels, halo=1)

    def sparse(self, scores: Tensor) -> Tensor:
        """The weighted sum of the four softmaxes of `scores`, `(B, heads, c, c)`, by one sort: the k-th softmax is
        exp(s) over the sum of the k largest, so in sorted order the four differ by a factor and by where they end.
        """
        ordered, position = scores.sort(dim=-1, descending=True)
        powers = (ordered - ordered[..., :1]).exp()
        sums = powers.cumsum(-1)
        rank = torch.arange(scores.shape[-1], device=scores.device)
        factor = torch.zeros_like(powers)
        for share, kept in zip(self.shares, self.kept(scores.shape[-1]), strict=True):
            factor = factor + (rank < kept) * share / sums[..., kept - 1 : kept]
        return torch.zeros_like(scores).scatter(-1, position, powers * factor)


def _convolve(x: Tensor, weight: Tensor, dilation: int = 1) -> Tensor:
    """Convolution of `(B, C, H, W)`, zero padded to keep the size; the shapes tell the groups, 1x1 may be `(C', C)`."""
    if weight.dim() == 2:
        weight = weight[:, :, None, None]
    padding, groups = dilation * (weight.shape[-1] // 2), x.shape[1] // weight.shape[1]
    return F.conv2d(x, weight, None, 1, padding, dilation, groups)


def _depthwise(x: Tensor, weight: Tensor, dilation: int = 1) -> Tensor:
    """Depth-wise convolution of `(B, H, W, C)` by `(C, 1, k, k)`, zero padded to keep the size."""
    if dilation == 2:
        # One that is not dilated on each of the four phases of the picture. CPUs have no fast dilated 7x7: measured on
        # AVX2 at 2 GFLOP/s, where this has 40.
        batch, height, width, channels = x.shape
        x = F.pad(x, (0, 0, 0, width % 2, 0, height % 2))
        rows, columns = x.shape[1] // 2, x.shape[2] // 2
        phases = x.view(batch, rows, 2, columns, 2, channels).permute(0, 2, 4, 1, 3, 5)
        x = _depthwise(phases.reshape(4 * batch, rows, columns, channels), weight)
        x = x.view(batch, 2, 2, rows, columns, channels).permute(0, 3, 1, 4, 2, 5)
        return x.reshape(batch, 2 * rows, 2 * columns, channels)[:, :height, :width]
    return _convolve(x.permute(0, 3, 1, 2), weight).permute(0, 2, 3, 1)


class MixedScaleFeedForward(TwoForms):  # MSFN
    """X + MSFN(LN(X)): two depth-wise paths of 3x3 and 5x5 that exchange halves between their two steps (eq. 3, 7).

    As published, the second step's convolutions are grouped in pairs: output i is made of channels 2i and 2i+1 of the
    concatenated halves.
    """

    def __init__(self, channels: int, *, expansion: float) -> None:
        super().__init__()
        hidden = int(expansion * channels)
        self.hidden = hidden
        self.project_in = Linear(channels, 2 * hidden, bias=False)
        self.dwconv3x3 = Convolution(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, bias=False)
        self.dwconv5x5 = Convolution(2 * hidden, 2 * hidden, 5, padding=2, groups=2 * hidden, bias=False)
        self.dwconv3x3_1 = Convolution(2 * hidden, hidden, 3, padding=1, groups=hidden, bias=False)
        self.dwconv5x5_1 = Convolution(2 * hidden, hidden, 5, padding=2, groups=hidden, bias=False)
        self.project_out = Linear(2 * hidden, channels, bias=False)

    def plain(self, x: Tensor, norm: nn.Module) -> Tensor:
        hidden = _convolve(norm(x).permute(0, 3, 1, 2).contiguous(), self.project_in.weight)
        p1a, p1b = F.relu(_convolve(hidden, self.dwconv3x3.weight)).chunk(2, dim=1)
        s1a, s1b = F.relu(_convolve(hidden, self.dwconv5x5.weight)).chunk(2, dim=1)
        p2 = F.relu(_convolve(torch.cat((p1a, s1a), dim=1), self.dwconv3x3_1.weight))
        s2 = F.relu(_convolve(torch.cat((p1b, s1b), dim=1), self.dwconv5x5_1.weight))
        return x + _convolve(torch.cat((p2, s2), dim=1), self.project_out.weight).permute(0, 2, 3, 1)

    def fast(self, x: Tensor, norm: nn.Module) -> Tensor:
        """A convolution of pairs of channels is a depth-wise one and a sum of two halves, where the even channels come
        first; what goes through the 3x3 and what through the 5x5 then needs no concatenation.

        Where a half has an odd number of channels, the last of the 3x3 pairs with the first of the 5x5. It is computed
        there, too, as the last odd channel, whose kernel has zeros around.
        """
        n, odd = self.hidden, self.hidden % 2
        order = torch.cat((torch.arange(0, n, 2), torch.arange(1, n, 2), torch.full((odd,), n - 1))).to(x.device)
        halves = []
        for start, second in ((0, self.dwconv3x3_1), (n, self.dwconv5x5_1)):
            chosen = start + order
            kernels = second.weight.flatten(0, 1)[:, None]  # one for each of the 2n channels
            first3, first5 = self.dwconv3x3.weight[chosen], self.dwconv5x5.weight[chosen]
            second3, second5 = kernels[order], kernels[n + order]
            if odd:
                first5 = torch.cat((first5[:-1], F.pad(first3[-1:], (1, 1, 1, 1))))
                second5 = torch.cat((second5[:-1], second3[-1:]))
                second3 = second3 * (order != n - 1)[:, None, None, None]
            out = self.project_out.weight[:, start : start + n].T
            through3 = (first3, second3, F.pad(out[: n // 2], (0, 0, 0, odd)), 0)
            through5 = (first5, second5, out[n // 2 :], odd)
            halves.append((self.project_in.weight[chosen], (through3, through5)))

        def feed(rows: Tensor) -> Tensor:
            fed, normed = rows.flatten(0, 2), norm(rows)
            for weight, paths in halves:
                hidden = linear(normed, weight, None)
                for first, second, out, turn in paths:
                    left, right = _depthwise(_depthwise(hidden, first).relu_(), second).chunk(2, dim=-1)
                    pairs = left + (right.roll(turn, dims=-1) if turn else right)
                    fed = torch.addmm(fed, pairs.relu_().flatten(0, 2), out)
            return fed.view_as(rows)

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
    """The expert: depth-wise and pointwise convolution, twice with a ReLU between if it is not dilated."""

    def __init__(self, channels: int, size: int, *, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.halo = size // 2 * (2 if dilation == 1 else dilation)
        self.depthwise = nn.ParameterList(
            nn.Parameter(torch.empty(channels, 1, size, size)) for _ in range(2 if dilation == 1 else 1)
        )
        self.pointwise = nn.ModuleList(Linear(channels, channels, bias=False) for _ in self.depthwise)
        for weight in self.depthwise:
            nn.init.kaiming_uniform_(weight, a=5**0.5)

    def plain(self, x: Tensor) -> Tensor:
        """`(B, C, H, W)` to the same."""
        for i, (depthwise, pointwise) in enumerate(zip(self.depthwise, self.pointwise, strict=True)):
            x = _convolve(_convolve(F.relu(x) if i else x, depthwise, self.dilation), pointwise.get_parameter("weight"))
        return x

    def before_last(self, x: Tensor) -> Tensor:
        """All but the last pointwise convolution, `(B, H, W, C)` to the same; a kernel of one pixel is part of the
        weights (`last_pointwise`).
        """
        first, weight = self.depthwise[0], self.pointwise[0].get_parameter("weight")
        if first.shape[-1] == 1:
            return linear(x, weight * first.flatten(), None).relu_()
        x = _depthwise(x, first, self.dilation)
        return x if len(self.depthwise) == 1 else _depthwise(linear(x, weight, None).relu_(), self.depthwise[1])

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
        self.out = Linear(8 * channels, channels, bias=False)

    def plain(self, x: Tensor, gate: Tensor) -> Tensor:
        """`x`: `(B, H, W, C)`; `gate`: `(B, 8)`."""
        image = x.permute(0, 3, 1, 2).contiguous()
        values = [expert.plain(image) for expert in (*self.separable, *self.dilated)]
        values.append(F.avg_pool2d(image, 3, 1, 1, count_include_pad=False))
        weighted = [g[:, None, None, None] * y for g, y in zip(gate.unbind(1), values, strict=True)]
        mixed = F.relu(_convolve(torch.cat(weighted, dim=1), self.out.weight))
        return F.relu(mixed + image).permute(0, 2, 3, 1)

    def fast(self, x: Tensor, gate: Tensor) -> Tensor:
        """The last pointwise convolution, the gate and `out` are linear: together one 8C x C map for each image."""
        out = self.out.weight.view(x.shape[-1], 8, -1).transpose(0, 1)  # (8, C, C)
        experts = (*self.separable, *self.dilated)
        folded = torch.cat((out[:7] @ torch.stack([expert.last_pointwise for expert in experts]), out[7:]))
        weights = (gate[..., None, None] * folded).transpose(-2, -1).unbind(1)  # eight (B, C, C)

        def mix(rows: Tensor) -> Tensor:
            mean = F.avg_pool2d(rows.permute(0, 3, 1, 2), 3, 1, 1, count_include_pad=False).permute(0, 2, 3, 1)
            mixed = mean.flatten(1, 2) @ weights[7]
            for expert, weight in zip(experts, weights, strict=False):
                mixed = torch.baddbmm(mixed, expert.before_last(rows).flatten(1, 2), weight)
            return F.relu(F.relu(mixed.view_as(rows)) + rows)

        return by_strips(mix, x, channels=4 * x.shape[-1], halo=max(expert.halo for expert in experts))


class FeatureCompensator(nn.Module):  # MEFC
    """A 1x1 convolution with ReLU and `steps` mixtures of experts; one gate looks at the whole image (eq. 8, 9).

    As published, the gate speaks for all steps at once, a softmax over the eight experts each.
    """

    def __init__(self, channels: int, *, steps: int = 4) -> None:
        super().__init__()
        self.gate = nn.Sequential(nn.Linear(channels, 2 * 8 * steps), nn.ReLU(), nn.Linear(2 * 8 * steps, 8 * steps))
        self.squeeze = Linear(channels, channels, bias=False)
        self.steps = nn.ModuleList(MixtureOfExperts(channels) for _ in range(steps))

    def forward(self, x: Tensor) -> Tensor:
        gates = self.gate(x.mean((1, 2))).unflatten(1, (len(self.steps), 8)).softmax(-1)
        x = F.relu(self.squeeze(x))
        for step, gate in zip(self.steps, gates.unbind(1), strict=True):
            x = step(x, gate)
        return x


class DRSformer(Network):
    """A U shape of four levels of sparse transformer blocks between two feature compensators (Figure 2).

    `(B, channels, H, W)` to the same; H and W are multiples of `size_multiple`. Attention and gates look at the whole
    image, so a tile does not give quite the values that the whole would: the paper's scores are of whole images.

    Args:
        channels: Image channels.
        dim: C, the channels of the first level; the others have 2C, 4C and 8C, the decoder's first 2C.
        blocks: Sparse transformer blocks a level (the paper's [N_1, .., N_4]).
        heads: Attention heads a level.
        expansion: Hidden over outer channels of MSFN.
        norm_bias: Whether the norms take the mean away and have a bias; without it is the published `BiasFree`.
        compensator: Whether MEFC stands before the first level and after the last. The published Rain200L and SPA-Data
            networks have none.
        shuffle: Pixel-unshuffle factor before the first convolution and after the last (1: none, as the paper).
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

        def convolve(before: int, after: int) -> Convolution:
            return Convolution(before, after, 3, padding=1, bias=False)

        pixels, widths = channels * shuffle**2, [dim, 2 * dim, 4 * dim, 8 * dim]
        self.patch_embed = convolve(pixels, dim)
        self.encoder_level0 = FeatureCompensator(dim) if compensator else None
        self.encoder_level1, self.encoder_level2, self.encoder_level3, self.latent = map(stage, range(4), widths)
        self.down1_2, self.down2_3, self.down3_4 = (convolve(width, width // 2) for width in widths[:3])
        self.up4_3, self.up3_2, self.up2_1 = (convolve(width, 2 * width) for width in reversed(widths[1:]))
        self.reduce_chan_level3, self.reduce_chan_level2 = (Linear(2 * w, w, bias=False) for w in (4 * dim, 2 * dim))
        self.decoder_level3, self.decoder_level2 = stage(2, 4 * dim), stage(1, 2 * dim)
        self.decoder_level1 = stage(0, 2 * dim)  # the paper keeps the concatenated channels here
        self.refinement = FeatureCompensator(2 * dim) if compensator else None
        self.output = convolve(2 * dim, pixels)

    def forward(self, degraded: Tensor) -> Tensor:
        """Restore a batch; images of a batch do not influence each other."""
        self.check_size(degraded)
        x = F.pixel_unshuffle(degraded, self.shuffle) if self.shuffle > 1 else degraded
        x = self.patch_embed(x.contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1))
        if self.encoder_level0 is not None:
            x = self.encoder_level0(x)
        skip1 = self.encoder_level1(x)
        skip2 = self.encoder_level2(_halve(self.down1_2(skip1)))
        skip3 = self.encoder_level3(_halve(self.down2_3(skip2)))
        x = _double(self.up4_3(self.latent(_halve(self.down3_4(skip3)))))
        x = self.decoder_level3(self.reduce_chan_level3(torch.cat((x, skip3), dim=-1)))
        del skip3  # here and below, for the peak of memory
        x = self.decoder_level2(self.reduce_chan_level2(torch.cat((_double(self.up3_2(x)), skip2), dim=-1)))
        del skip2
        x = self.decoder_level1(torch.cat((_double(self.up2_1(x)), skip1), dim=-1))
        del skip1
        if self.refinement is not None:
            x = self.refinement(x)
        residual = self.output(x).permute(0, 3, 1, 2)
        return degraded + (F.pixel_shuffle(residual, self.shuffle) if self.shuffle > 1 else residual)


def _halve(x: Tensor) -> Tensor:
    """Pixel unshuffle by 2 of channels-last values, `(B, H, W, C)` to `(B, H/2, W/2, 4C)`, in PyTorch's order."""
    return F.pixel_unshuffle(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1).contiguous()


def _double(x: Tensor) -> Tensor:
    """Its inverse."""
    return F.pixel_shuffle(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1).contiguous()

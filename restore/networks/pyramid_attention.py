"""Pyramid attention (Mei et al., "Pyramid Attention Networks for Image Restoration", 2020), in two forms.

Features are channels-last, `(B, H, W, C)`. Written from the paper and from measurements of the published code.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore.networks.blocks import Linear, TwoForms

SCALES = (1.0, 0.9, 0.8, 0.7, 0.6)  # of the pyramid (Section 4.1)
_BLOCK_BYTES = (64 << 20, 1 << 20)  # one row of queries against one band of keys: on a GPU; in a core's cache
_PARTS = 16  # parts of the bands, for the cores


class PyramidAttention(TwoForms):
    """Every 3x3 patch becomes a mean of similar patches, at its own scale and at four smaller ones (eq. 4, 5).

    y = softmax(10 f(x) . g(z) / |g(z)|) theta(z) over all positions of all scales z of x. The patches of theta are
    pasted in their places; the nine that meet in a pixel are added and divided by 4, as published.

    Args:
        channels: C.
        reduction: C over the channels of f and g.
        res_scale: Factor of the skip connection.
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
            # Coordinates from the ratio of the sizes, as in the authors' PyTorch 1.1.
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
        """By `attend`, whose memory grows with the picture, not with its square. It works in place, so gradients need
        the plain form.
        """
        if torch.is_grad_enabled() or not self.attends:
            return self.plain(x)
        query, levels = self.embed(x)
        y = torch.stack([attend(q, [(k[i], v[i]) for k, v in levels]) for i, q in enumerate(query)])
        return y.add_(x, alpha=self.res_scale)


def _patches(x: Tensor) -> Tensor:
    """The 3x3 patches of `(B, H, W, C)`: `(B, 9C, H W)`, zeros beyond the borders."""
    return F.unfold(x.permute(0, 3, 1, 2), 3, padding=1)


def attend(query: Tensor, levels: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Pyramid attention of one image without forming patches: y of `PyramidAttention.plain` without its skip.

    Two identities save nine tenths of the products. The product of two 3x3 patches is a sum of nine pixel products
    along a diagonal: S(p, j) = sum_d G(p + d, j + d) with G = Q K^T. Pasting patches is one product with the pixels of
    V, after the same sum over the probabilities.

    Both sums are separable. If keys are indexed by their row offset to the query, the sum over rows is elementwise. So
    the rows of queries pass, one after the other, over a band of offsets that fits into the cache. G is computed twice:
    for the softmax's sums and for y.

    Powers are of two: on a CPU they are faster than those of e, also where they underflow. They are relative to the
    patch's score with itself, so no sum is below one. A sum that overflows is computed again with a lower shift.

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
        """The softmax's sum over the keys of a part of the bands, times 2 ** `shift`."""
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
        """The contribution to y of the keys of a part of the bands, times 4."""
        out = query.new_zeros(*query.shape[:2], levels[0][1].shape[-1])
        for scale, band in bands[part::_PARTS]:
            probabilities = (_along_x(framed.exp2()) for _, framed in scale.scores(band, minus_log_total))
            for y, summed in scale.along_y(band, probabilities):
                out[y] += summed @ scale.value[scale.line(y, band)]
        return out

    return sum(_parallel(pastes, query.device), start=query.new_zeros(())) / 4


def _parallel(work: Callable[[int], Tensor], device: torch.device) -> Iterator[Tensor]:
    """The results of all parts, in order; on a CPU one thread for each core.

    Blocks that fit into a core's cache are too small to share between cores, so each core has its own. The parts and
    their order do not depend on the number of cores, so neither does the result.
    """
    if device.type != "cpu":
        yield from map(work, range(_PARTS))
        return

    def alone(part: int) -> Tensor:
        torch.set_num_threads(1)  # of this thread only
        with torch.inference_mode():
            return work(part)

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        yield from pool.map(alone, range(_PARTS))


class _Scale:
    """Queries against the keys of one scale, by bands.

    A band is the keys that lie `band` to `band` + `rows` - 1 rows below each query. The rows of keys form one line,
    with zeros between them, so that neighbours along x are neighbours in the line. Everything that follows has two
    axes: the W queries of a row and the N keys of a line.
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
        """The scores of the queries with the keys at their own position, `(H, W)`; only for the queries' own scale."""
        products = (self.query * self.key.view_as(self.query)).sum(-1)
        factor = self.factor.view(products.shape)
        return (9 * F.avg_pool2d(products[None], 3, 1, 1)[0] * factor)[:, 1:-1]

    def queries(self, band: int) -> range:
        """The query rows that have keys in the band."""
        return range(max(0, 1 - self.rows - band), min(self.height, self.key_height - band))

    def line(self, y: int, band: int) -> slice:
        """The band's keys of query row y, as a slice of the line."""
        first, last = max(0, y + band), min(self.key_height, y + band + self.rows)
        return slice(first * self.key_width, last * self.key_width)

    def scores(self, band: int, shift: Tensor) -> Iterator[tuple[int, Tensor]]:
        """y, and the scores of its queries plus `shift[y]`: `(W, N)` in a frame of minus infinity, `(W + 2, N + 2)`.

        The zeros between the rows of keys also get minus infinity. The next item overwrites the tensor.
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
        """y, and its item plus its two neighbours, whose keys lie a row away; `rows` has one item for each y."""
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
    """The sum of three along the diagonal, without the frame."""
    return (x[:-2, :-2] + x[1:-1, 1:-1]).add_(x[2:, 2:])

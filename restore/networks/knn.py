"""k-nearest-neighbour local attention (KLA): hash patches, sort, cut into chunks, attend inside each chunk.

Sources: CS-KiT (IEEE Access 2023) Sections IV-B.2 and IV-C, equations 7 to 11; KiT (CVPR 2022). Features are
channels-last, `(B, H, W, C)`. A patch has r x r pixels; a picture has N = H * W / r^2 patches, counted row by row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore.errors import UsageError
from restore.networks.blocks import Linear, linear

MAX_BUCKETS = 64  # limit of m in eq. 7: more buckets only split groups of similar patches
_MOST_ROTATIONS = 2**24  # values that are drawn for a block; the papers' largest needs 2.3 million


def rotations(rounds: int, length: int, seed: int) -> Tensor:
    """The random rotations R of eq. 7: `(length, rounds * MAX_BUCKETS / 2)`, standard normal, equal on every machine.

    The papers do not say when R is drawn. Here `seed` fixes it (NumPy's frozen legacy generator), so that one input
    always gives one output. On the device `meta` they have no values.

    Raises:
        UsageError: There are too many.
    """
    if rounds * length * MAX_BUCKETS > _MOST_ROTATIONS:
        raise UsageError(f"{rounds} rounds of hashing for patches of {length} values are too many")
    if torch.get_default_device().type == "meta":
        return torch.empty(length, rounds * (MAX_BUCKETS // 2))
    drawn = np.random.RandomState(seed).standard_normal((rounds, length, MAX_BUCKETS // 2))
    return torch.from_numpy(drawn.transpose(1, 0, 2).reshape(length, -1).astype(np.float32))


def bucket_count(patches: int, k: int) -> int:
    """Number of hash buckets m: about one for each chunk, even, 2 to `MAX_BUCKETS` (the papers give no number).

    >>> [bucket_count(patches, k=4) for patches in (4, 36, 256, 65536)]
    [2, 8, 64, 64]
    """
    return min(MAX_BUCKETS, max(2, patches // k // 2 * 2))


def hash_patches(x: Tensor, rotation: Tensor, *, r: int, rounds: int, buckets: int) -> Tensor:
    """L(x) = argmax([xR; -xR]) (eq. 7) of every flattened patch: `(B, H, W, C)` to `(B, rounds, N)` in [0, buckets)."""
    channels, half = x.shape[-1], buckets // 2
    # xR for all patches is a convolution with kernel and stride r; its weight is R with rows in (r, r, C) order.
    weight = rotation.view(r, r, channels, rounds, -1)[..., :half].reshape(r, r, channels, rounds * half)
    weight = weight.permute(3, 2, 0, 1)
    projected = F.conv2d(x.permute(0, 3, 1, 2), weight.to(x.dtype), stride=r).flatten(2)
    projected = projected.view(x.shape[0], rounds, half, -1)
    return torch.cat((projected, -projected), dim=2).argmax(dim=2)


def sort_patches(hashes: Tensor) -> Tensor:
    """pi of eq. 8: patch numbers by ascending hash, equal hashes in reading order; same shape as `hashes`.

    >>> sort_patches(torch.tensor([[[2, 0, 2, 1, 0]]])).tolist()
    [[[1, 4, 3, 0, 2]]]
    """
    if not torch.compiler.is_compiling():
        return hashes.argsort(dim=-1, stable=True)
    # ONNX has no stable sort. Unique keys have the same order; on a CPU they take up to twice as long.
    return (hashes * hashes.shape[-1] + torch.arange(hashes.shape[-1], device=hashes.device)).argsort(dim=-1)


def shift_chunks(order: Tensor, k: int) -> Tensor:
    """Eq. 11: the order rolled by k / 2, so that the next block's chunks straddle this block's boundaries.

    >>> shift_chunks(torch.tensor([[[1, 4, 3, 0]]]), k=4).tolist()
    [[[3, 0, 1, 4]]]
    """
    return order.roll(-(k // 2), dims=-1)


def patch_rows(order: Tensor, *, r: int, height: int, width: int) -> Tensor:
    """The rows in memory of one round's patches: `(B, N)` patch numbers to `(B * N * r)` row numbers.

    A row is r neighbouring pixels, row i of the features viewed as `(B * H * W / r, r * C)`; a patch is r rows.
    """
    across = width // r
    rows = torch.arange(height * across, device=order.device).view(height // r, r, across)
    first = rows[:, 0].flatten()[order]  # of every patch, its first row
    image = torch.arange(len(order), device=order.device)[:, None] * (height * across)
    return ((first + image)[..., None] + torch.arange(r, device=order.device) * across).flatten()


def inverse_permutation(permutation: Tensor) -> Tensor:
    """The inverse of a permutation `(L,)`.

    >>> inverse_permutation(torch.tensor([2, 0, 1])).tolist()
    [1, 2, 0]
    """
    inverse = torch.empty_like(permutation)
    inverse[permutation] = torch.arange(len(permutation), device=permutation.device)
    return inverse


class Permute(torch.autograd.Function):
    """`x[permutation]` with the inverse gather as its gradient: on a CPU much faster than indexing's scatter-add."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, permutation: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(permutation, inverse)
        return x.index_select(0, permutation)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        permutation, inverse = ctx.saved_tensors
        # The same function, so that the gradient is differentiable too.
        return permute(gradients[0], inverse, permutation), None, None


def permute(x: Tensor, permutation: Tensor, inverse: Tensor) -> Tensor:
    """Rows of `x` in the order of `permutation`; `inverse` is its inverse."""
    result: Tensor = Permute.apply(x, permutation, inverse)  # type: ignore[no-untyped-call]
    return result


def attend(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """softmax(q k^T / sqrt(C)) v (eq. 10) and the log-sum-exp of its scores; `(..., L, C)` and `(..., L, 1)`."""
    scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
    total = scores.logsumexp(dim=-1, keepdim=True)
    return (scores - total).exp() @ value, total


class KNNLocalAttention(nn.Module):  # KLA
    """Attention among the pixels of each chunk of k similar patches (CS-KiT eq. 8-11), `(B, H, W, C)` to the same.

    `h` rounds of hashing are merged by their log-sum-exp weights, as in Reformer (ICLR 2020, eq. 6). They act as one
    attention over all their chunks; a key met in two rounds counts twice. The papers do not define the merge.

    Args:
        channels: C.
        k: Patches in a chunk; with 1 there is no hashing, and a patch attends to itself.
        h: Rounds of hashing.
        r: Side of a patch in pixels of the feature map.
        heads: Attention heads; eq. 10 has one.
        with_previous_chunk: Whether a chunk's queries also see the keys of the chunk before it (the first sees the
            last), as in KiT.
        seed: Fixes the rotations.
    """

    rotation: Tensor

    def __init__(
        self, channels: int, *, k: int, h: int, r: int, heads: int = 1, with_previous_chunk: bool = False, seed: int = 0
    ) -> None:
        super().__init__()
        self.k, self.h, self.r, self.heads = k, h if k > 1 else 1, r, heads
        self.with_previous_chunk = with_previous_chunk and k > 1
        self.project = Linear(channels, 3 * channels)  # phi, theta and psi of eq. 10
        if k > 1:
            self.register_buffer("rotation", rotations(self.h, r * r * channels, seed), persistent=False)

    def order(self, x: Tensor) -> Tensor:
        """The sorted patch numbers of every round: `(B, H, W, C)` to `(B, h, N)`."""
        batch, height, width, _ = x.shape
        patches = height * width // self.r**2
        if self.k == 1:
            return torch.arange(patches, device=x.device).expand(batch, 1, patches)
        with torch.no_grad():
            buckets = bucket_count(patches, self.k)
            return sort_patches(hash_patches(x, self.rotation, r=self.r, rounds=self.h, buckets=buckets))

    def forward(self, x: Tensor, order: Tensor) -> Tensor:
        """Attention inside the chunks of `order`, `(B, h, N)`."""
        # Three products instead of one of width 3C: attention is faster on separate queries, keys and values.
        parts = zip(self.project.weight.chunk(3), self.project.bias.chunk(3), strict=True)
        projected = [linear(x, weight, bias) for weight, bias in parts]
        rounds = [self._attend_in_chunks(projected, order[:, i]) for i in range(self.h)]
        if self.h == 1:
            return rounds[0][0]
        weights = torch.stack([total for _, total in rounds]).softmax(dim=0)
        by_heads = (*x.shape[:3], self.heads, -1)
        return (weights * torch.stack([out.view(by_heads) for out, _ in rounds])).sum(dim=0).flatten(3)

    def _attend_in_chunks(self, projected: list[Tensor], order: Tensor) -> tuple[Tensor, Tensor]:
        """One round, in pixel order: `(B, H, W, C)`, and the log-sum-exp of the queries, `(B, H, W, heads, 1)`."""
        batch, height, width, channels = projected[0].shape
        tokens = self.k * self.r**2
        there = patch_rows(order, r=self.r, height=height, width=width)
        back = inverse_permutation(there)
        query, key, value = (
            permute(part.reshape(-1, self.r * channels), there, back)
            .view(batch, -1, tokens, self.heads, channels // self.heads)
            .transpose(2, 3)
            for part in projected
        )
        if self.with_previous_chunk:
            key, value = (torch.cat((part.roll(1, dims=1), part), dim=3) for part in (key, value))
        if self.h == 1:
            out = F.scaled_dot_product_attention(query.flatten(0, 1), key.flatten(0, 1), value.flatten(0, 1))
            total = query.new_zeros(())  # one round needs no weights
        else:
            out, total = attend(query, key, value)
            total = permute(total.transpose(2, 3).reshape(-1, self.r * self.heads), back, there)
            total = total.view(batch, height, width, self.heads, 1)
        out = out.view_as(query).transpose(2, 3).reshape(-1, self.r * channels)
        return permute(out, back, there).view(batch, height, width, channels), total

"""Hash, sort, chunk, shift, attend and merge, against sums done by hand."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from restore.networks.cskit import ScaleAwarePatchEmbedding
from restore.networks.kit import double
from restore.networks.knn import (
    KNNLocalAttention,
    attend,
    bucket_count,
    hash_patches,
    inverse_permutation,
    patch_rows,
    permute,
    rotations,
    shift_chunks,
    sort_patches,
)


def patches_of(x: torch.Tensor, r: int) -> torch.Tensor:
    """`(B, H, W, C)` to `(B, N, r * r, C)` by plain indexing."""
    batch, height, width, _ = x.shape
    corners = [(i, j) for i in range(0, height, r) for j in range(0, width, r)]
    return torch.stack([x[:, i : i + r, j : j + r].reshape(batch, r * r, -1) for i, j in corners], dim=1)


def literal_attention(kla: KNNLocalAttention, x: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    """Eq. 8 to 10 patch by patch: every pixel attends to the pixels of all its chunks (over all rounds) at once."""
    r, k = kla.r, kla.k
    patches = patches_of(x, r)
    batch, count, _, channels = patches.shape
    query, key, value = kla.project(patches).chunk(3, dim=-1)
    out = torch.zeros_like(patches)
    for b in range(batch):
        for p in range(count):
            seen: list[int] = []
            for sorted_patches in order[b].tolist():
                chunk = sorted_patches.index(p) // k
                if kla.with_previous_chunk:
                    before = (chunk - 1) % (count // k)
                    seen += sorted_patches[before * k : before * k + k]
                seen += sorted_patches[chunk * k : chunk * k + k]
            scores = query[b, p] @ key[b, seen].reshape(-1, channels).T / math.sqrt(channels)
            out[b, p] = scores.softmax(-1) @ value[b, seen].reshape(-1, channels)
    back = torch.empty_like(x)
    p = 0
    for i in range(0, x.shape[1], r):
        for j in range(0, x.shape[2], r):
            back[:, i : i + r, j : j + r] = out[:, p].view(batch, r, r, channels)
            p += 1
    return back


def test_hash_is_the_argmax_of_both_signs_of_the_rotation() -> None:
    x = torch.randn(2, 8, 12, 3, generator=torch.Generator().manual_seed(0))
    rotation = rotations(2, 4 * 4 * 3, seed=5)
    hashes = hash_patches(x, rotation, r=4, rounds=2, buckets=6)
    flat = patches_of(x, 4).flatten(2)
    for i in range(2):
        projected = flat @ rotation.view(-1, 2, 32)[:, i, :3]
        assert torch.equal(hashes[:, i], torch.cat((projected, -projected), -1).argmax(-1))


def test_patches_of_one_direction_share_a_hash_whatever_their_length() -> None:
    x = torch.randn(1, 4, 4, 2, generator=torch.Generator().manual_seed(0))
    row = torch.cat((x, 7 * x, 0.1 * x), dim=2)
    hashes = hash_patches(row, rotations(3, 32, seed=0), r=4, rounds=3, buckets=64)
    assert torch.equal(hashes, hashes[..., :1].expand_as(hashes))


def test_a_tiny_example_by_hand_of_sort_chunk_and_shift() -> None:
    hashes = torch.tensor([[[3, 0, 3, 1, 0, 1, 0, 3]]])
    order = sort_patches(hashes)
    # Bucket 0 holds patches 1, 4, 6; bucket 1 holds 3, 5; bucket 3 holds 0, 2, 7: chunks of 4 cut bucket 1 in two ...
    assert order.tolist() == [[[1, 4, 6, 3, 5, 0, 2, 7]]]
    # ... and the shift by k / 2 = 2 brings its halves together, wrapping at the end.
    assert shift_chunks(order, 4).tolist() == [[[6, 3, 5, 0, 2, 7, 1, 4]]]


def test_rows_of_a_patch_are_where_its_pixels_lie_in_memory() -> None:
    x = torch.arange(2 * 4 * 6).view(2, 4, 6, 1)
    order = torch.tensor([[5, 0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 5]])
    rows = patch_rows(order, r=2, height=4, width=6)
    gathered = x.reshape(-1, 2)[rows].view(2, 6, 4)
    assert gathered[0, 0].tolist() == [16, 17, 22, 23]  # patch 5: rows 2 and 3, columns 4 and 5
    assert gathered[1, 1].tolist() == [24 + 2, 24 + 3, 24 + 8, 24 + 9]


def test_one_round_equals_the_literal_equation() -> None:
    check_against_literal(k=4, h=1, with_previous_chunk=False)


def test_rounds_merged_equal_one_attention_over_all_their_chunks() -> None:
    check_against_literal(k=2, h=3, with_previous_chunk=False)


def test_previous_chunk_of_kit_equals_the_literal_equation() -> None:
    check_against_literal(k=2, h=2, with_previous_chunk=True)


def check_against_literal(*, k: int, h: int, with_previous_chunk: bool) -> None:
    torch.manual_seed(0)
    kla = KNNLocalAttention(6, k=k, h=h, r=2, with_previous_chunk=with_previous_chunk).double()
    x = torch.randn(2, 8, 4, 6, dtype=torch.float64)
    order = kla.order(x)
    torch.testing.assert_close(kla(x, order), literal_attention(kla, x, order))


def test_chunk_of_one_attends_within_the_patch_and_hashes_nothing() -> None:
    torch.manual_seed(0)
    kla = KNNLocalAttention(4, k=1, h=4, r=2)
    assert kla.h == 1 and not list(kla.buffers())
    x = torch.randn(1, 4, 4, 4)
    out = kla(x, kla.order(x))
    changed = x.clone()
    changed[0, 0, 0] += 1  # Only the patch that holds the changed pixel may differ.
    differs = (kla(changed, kla.order(changed)) != out).any(-1)[0]
    assert differs[:2, :2].any() and not differs[2:].any() and not differs[:, 2:].any()


def test_rotation_follows_the_seed_alone() -> None:
    assert torch.equal(rotations(2, 8, seed=3), rotations(2, 8, seed=3))
    assert not torch.equal(rotations(2, 8, seed=3), rotations(2, 8, seed=4))
    # The legacy generator of NumPy is frozen: these are its numbers on every machine.
    assert abs(float(rotations(1, 1, seed=0)[0, 0]) - 1.7640524) < 1e-6


def test_buckets_are_even_and_grow_with_the_patches() -> None:
    counts = [bucket_count(n, 4) for n in range(4, 1000, 4)]
    assert counts == sorted(counts) and all(c % 2 == 0 for c in counts) and counts[0] == 2 and counts[-1] == 64


def test_permute_has_the_gradient_of_indexing() -> None:
    permutation = torch.tensor([2, 0, 3, 1])
    inverse = inverse_permutation(permutation)
    x = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(permute(x, permutation, inverse), x[permutation])
    assert torch.autograd.gradcheck(lambda t: permute(t, permutation, inverse), x)


def test_attend_is_softmax_attention_with_its_log_sum_exp() -> None:
    q, k, v = torch.randn(3, 5, 7, 4, generator=torch.Generator().manual_seed(0))
    out, total = attend(q, k, v)
    torch.testing.assert_close(out, F.scaled_dot_product_attention(q, k, v))
    torch.testing.assert_close(total[..., 0], (q @ k.transpose(-1, -2) / 2).exp().sum(-1).log())


def test_scale_aware_embedding_is_the_weighted_sum_of_eq_6() -> None:
    torch.manual_seed(0)
    spe = ScaleAwarePatchEmbedding(3, r=2, hard=False)
    x = torch.randn(1, 4, 4, 3)
    scales = [s(x) for s in spe.scales]
    weight = spe.score.weight[0].permute(1, 2, 0).flatten()
    scores = torch.stack([patches_of(s, 2).flatten(2) @ weight for s in scales])
    alpha = scores.softmax(0)
    expected = sum(a[..., None, None] * patches_of(s, 2) for a, s in zip(alpha, scales, strict=True))
    torch.testing.assert_close(patches_of(spe(x), 2), expected)


def test_hard_scales_choose_the_best_score() -> None:
    torch.manual_seed(0)
    spe = ScaleAwarePatchEmbedding(3, r=2, hard=True).eval()
    scores = [torch.tensor([[[[1.0]]]]), torch.tensor([[[[3.0]]]]), torch.tensor([[[[2.0]]]])]
    assert [float(a) for a in spe.merge_weights(scores)] == [0.0, 1.0, 0.0]


def test_double_is_pixel_shuffle_with_channels_last() -> None:
    x = torch.arange(8.0).view(1, 1, 1, 8)
    assert double(x)[0, :, :, 0].tolist() == [[0, 2], [4, 6]]


def test_unique_keys_sort_as_a_stable_sort(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = torch.randint(0, 5, (2, 3, 200), generator=torch.Generator().manual_seed(0))
    stable = sort_patches(hashes)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)  # as in an export
    assert torch.equal(sort_patches(hashes), stable)
    assert torch.equal(stable, hashes.argsort(dim=-1, stable=True))

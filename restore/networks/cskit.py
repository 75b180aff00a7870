"""CS-KiT: cross-scale k-NN image transformer (Lee et al., IEEE Access 2023, doi 10.1109/ACCESS.2023.3242556).

KiT, plus scale-aware patch embedding before the norm (eq. 3, 5, 6) and chunk shift between the blocks of a stage
(eq. 11).
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore.networks.blocks import Convolution
from restore.networks.kit import KiT, KNNTransformerBlock, KNNTransformerStage
from restore.networks.knn import shift_chunks

SCALES = (3, 5, 7)  # kernel sizes S of the depth-wise convolutions (Section IV-E)


class ScaleAwarePatchEmbedding(nn.Module):  # SPE
    """x^S = sum_j alpha_j x_j, alpha = softmax_j(g(x_j)), x_j a depth-wise convolution of kernel S_j (eq. 5, 6).

    g is one linear map R^(r^2 C) -> R of a patch, shared by the scales; a bias would cancel in the softmax.
    `(B, H, W, C)` to the same.

    Args:
        channels: C.
        r: Side of a patch.
        hard: Whether each patch takes one scale (table 6): Gumbel softmax in training, the best score otherwise.
    """

    def __init__(self, channels: int, *, r: int, hard: bool) -> None:
        super().__init__()
        self.r, self.hard = r, hard
        # No bias: the norm that follows has one, and on a CPU its gradient would cost as much as the kernel's.
        self.scales = nn.ModuleList(
            Convolution(channels, channels, s, padding=s // 2, groups=channels, bias=False) for s in SCALES
        )
        self.score = Convolution(channels, 1, r, stride=r, bias=False)  # g

    def forward(self, x: Tensor) -> Tensor:
        embedded = [scale(x) for scale in self.scales]
        scores = [self.score(e) for e in embedded]
        alpha = self.merge_weights(scores)
        batch, height, width, channels = x.shape
        patched = (batch, height // self.r, self.r, width // self.r, self.r, channels)
        mixed = torch.zeros((), device=x.device)
        for e, a in zip(embedded, alpha, strict=True):  # eq. 6, one pass over memory for each scale
            mixed = torch.addcmul(mixed, e.view(patched), a.to(e.dtype)[:, :, None, :, None])
        return mixed.view_as(x)

    def merge_weights(self, scores: list[Tensor]) -> tuple[Tensor, ...]:
        """alpha of eq. 5 from the scores of the scales, `(B, H / r, W / r, 1)` each."""
        stacked = torch.stack(scores)
        if not self.hard:
            return stacked.softmax(dim=0).unbind()
        if self.training:
            return F.gumbel_softmax(stacked, hard=True, dim=0).unbind()
        return F.one_hot(stacked.argmax(dim=0), len(scores)).to(stacked.dtype).unbind(dim=-1)


class ChunkShiftStage(KNNTransformerStage):
    """b blocks; odd blocks reuse the order of the block before them, rolled by k / 2 (eq. 11).

    Args:
        blocks: The blocks in order.
        k: Patches in a chunk.
        shift, share: Rows of table 5. Without `share` every block hashes; without `shift` a shared order is not rolled.
    """

    def __init__(self, blocks: list[KNNTransformerBlock], *, k: int, shift: bool, share: bool) -> None:
        super().__init__(blocks)
        self.k, self.shift, self.share = k, shift, share

    def forward(self, x: Tensor) -> Tensor:
        order = None
        for i, block in enumerate(self.blocks):
            if order is not None and self.share and i % 2:
                x, _ = block(x, shift_chunks(order, self.k) if self.shift else order)
            else:
                x, order = block(x, None)
        return x


class CSKiT(KiT):
    """KiT's U shape with `ScaleAwarePatchEmbedding` and chunk shift instead of attention to the previous chunk.

    Args:
        shift: Roll a shared order by k / 2 (eq. 11; table 5).
        share: The second block of a pair reuses the first one's order and hashes nothing (table 5).
        hard_scales: One scale for each patch instead of a mixture (table 6).
        **options: The options of `KiT`.
    """

    CONFIGS: ClassVar[dict[str, dict[str, Any]]] = KiT.CONFIGS

    def __init__(self, *, shift: bool = True, share: bool = True, hard_scales: bool = False, **options: Any) -> None:
        super().__init__(shift=shift, share=share, hard_scales=hard_scales, **options)

    def make_stage(self, channels: int, *, k: int, position: int) -> nn.Module:
        config = self.config
        blocks = []
        for i in range(config["blocks"]):
            attention = self.make_attention(channels, k=k, position=position, block=i, with_previous_chunk=False)
            embed = attention and ScaleAwarePatchEmbedding(channels, r=config["r"], hard=config["hard_scales"])
            blocks.append(
                KNNTransformerBlock(channels, attention=attention, expansion=config["expansion"], embed=embed)
            )
        return ChunkShiftStage(blocks, k=k, shift=config["shift"], share=config["share"])

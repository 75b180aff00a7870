"""Networks with next to no weights, which stand for real ones."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from restore.networks import Network


class Tiny(Network):
    """Inverts: `offset - x`."""

    CONFIGS: ClassVar[dict[str, dict[str, Any]]] = {"s": {}}
    halo = 0

    def __init__(self, *, extra: bool = False) -> None:
        super().__init__()
        self.config = {"extra": extra}
        self.offset = nn.Parameter(torch.ones(1, 3, 1, 1))
        if extra:
            self.more = nn.Parameter(torch.zeros(2))

    def forward(self, degraded: Tensor) -> Tensor:
        return self.offset - degraded


class Repeats(Network):
    """Repeats every pixel `scale` times each way."""

    CONFIGS: ClassVar[dict[str, dict[str, Any]]] = {"s": {}}
    halo = 0

    def __init__(self, *, scale: int = 1) -> None:
        super().__init__()
        self.config, self.scale = {"scale": scale}, scale
        self.one = nn.Parameter(torch.ones(1))

    def forward(self, degraded: Tensor) -> Tensor:
        return degraded.repeat_interleave(self.scale, -1).repeat_interleave(self.scale, -2) * self.one

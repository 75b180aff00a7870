"""Networks that do little but show what they are given, and pictures for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from restore.images import Picture
from restore.inference.restorer import Restorer
from restore.networks.base import Network

Pixels = npt.NDArray[Any]


class Identity(Network):
    """Returns its input, and keeps all inputs in `seen`."""

    def __init__(self, **contract: Any) -> None:
        super().__init__()
        self.config = contract
        self.seen: list[Tensor] = []
        for name, value in contract.items():
            setattr(self, name, value)

    def forward(self, degraded: Tensor) -> Tensor:
        self.check_size(degraded)
        assert degraded.shape[1] == self.channels
        self.seen.append(degraded.clone())
        return degraded


class ThreeConvolutions(Identity):
    """Sees three pixels around each pixel; its zero padding shows at every border of its input."""

    halo = 3

    def __init__(self, **contract: Any) -> None:
        super().__init__(**contract)
        torch.manual_seed(0)
        self.layers = nn.Sequential(*(nn.Conv2d(self.channels, self.channels, 3, padding=1) for _ in range(3)))

    def forward(self, degraded: Tensor) -> Tensor:
        super().forward(degraded)
        return 0.3 * torch.sin(9 * self.layers(degraded)) + 0.5


class HalfSizeConvolutions(ThreeConvolutions):
    """Works on blocks of 2x2 pixels: 3 convolutions there see 6 pixels, and up to 1 more in their blocks."""

    halo = 7
    size_multiple = 2

    def forward(self, degraded: Tensor) -> Tensor:
        small = super().forward(functional.avg_pool2d(degraded, 2))
        return functional.interpolate(small, scale_factor=2.0)

    def check_size(self, degraded: Tensor) -> None:
        """Takes sides that are halved already."""


class LessItsMean(Identity):
    """Sees the whole tile: subtracts half its mean, so neighbouring tiles disagree in level."""

    def forward(self, degraded: Tensor) -> Tensor:
        return super().forward(degraded) - 0.5 * degraded.mean((2, 3), keepdim=True) + 0.3


class Enlarge(Identity):
    scale = 2

    def forward(self, degraded: Tensor) -> Tensor:
        return super().forward(degraded).repeat_interleave(2, 2).repeat_interleave(2, 3)


class Brighter(Identity):
    def forward(self, degraded: Tensor) -> Tensor:
        return super().forward(degraded) + 0.1


def noise(*shape: int, dtype: type = np.uint8) -> Pixels:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def restore(network: Network, pixels: Pixels, **options: Any) -> Pixels:
    return Restorer(network, device="cpu").restore_picture(Picture(pixels), **options).picture.pixels


def whole(network: Network, pixels: Pixels) -> Pixels:
    """The network's result for the whole picture, in the picture's depth."""
    peak = np.iinfo(pixels.dtype).max
    x = torch.from_numpy(pixels.astype(np.float32) / peak).permute(2, 0, 1)[None]
    y = Restorer(network, device="cpu").restore_tensor(x)[0].permute(1, 2, 0).clamp(0, 1)
    rounded: Pixels = (y * peak).round().numpy().astype(pixels.dtype)
    return rounded

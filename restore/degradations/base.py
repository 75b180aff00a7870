"""The types and helpers that all degradations share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Image: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True)
class Degradation:
    """A drawn degradation, ready for any picture.

    Attributes:
        apply: `(clean, generator) -> (reference, degraded)`. Both have `scale` times the size of `clean`; `degraded` is
            also smaller by `reduction`.
        scale: Size of the reference over size of `clean`.
        reduction: Size of the reference over size of the degraded picture: 2, 3 or 4 for upscaling, else 1.
        margin: Pixels along each border of the degraded picture that depend on what lies beyond it. Training crops are
            made larger by them, then lose them.
        grid: Side in pixels of the blocks that the degradation works on. Training crops start anywhere in a block.
        is_oriented: Whether the direction matters: training crops are flipped and rotated before the degradation, not
            after it.
    """

    apply: Callable[[Image, Generator], tuple[Image, Image]]
    scale: float = 1.0
    reduction: int = 1
    margin: int = 0
    grid: int = 1
    is_oriented: bool = False


Draw: TypeAlias = Callable[[Generator], Degradation]  # draws a degradation before the picture is known


def to_8_bits(picture: NDArray[np.floating]) -> Image:
    """Clip to [0, 1] and round to 256 levels, still as float32."""
    levels: Image = np.round(np.clip(picture, 0, 1) * 255).astype(np.float32)
    return levels / np.float32(255)


def log_uniform(generator: Generator, low: float, high: float) -> float:
    """A random number between `low` and `high`, both above 0, whose logarithm is uniform."""
    return float(np.exp(generator.uniform(*np.log([low, high]))))

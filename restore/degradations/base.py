"""What all degradations share."""

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
    """A degradation with everything but the picture decided.

    Attributes:
        apply: `(clean, generator) -> (reference, degraded)`; both smaller than `clean` by the factor `scale`, and
            `degraded` also by `reduction`.
        scale: Size of the reference over size of `clean`.
        reduction: Size of the reference over size of the degraded picture: 2, 3 or 4 to learn upscaling, else 1.
        margin: Pixels of the degraded picture along each border that what lies beyond would have changed. Crops for
            training are made larger by them, and leave them out.
        grid: Side in pixels of the blocks that the degradation works on. Crops for training begin anywhere in one.
        is_oriented: Whether up is up in it: crops for training are turned and mirrored before it instead of after it.
    """

    apply: Callable[[Image, Generator], tuple[Image, Image]]
    scale: float = 1.0
    reduction: int = 1
    margin: int = 0
    grid: int = 1
    is_oriented: bool = False


Draw: TypeAlias = Callable[[Generator], Degradation]  # decides on a degradation before the picture is known


def to_8_bits(picture: NDArray[np.floating]) -> Image:
    """Clip to [0, 1] and round to 256 levels, still as float32."""
    levels: Image = np.round(np.clip(picture, 0, 1) * 255).astype(np.float32)
    return levels / np.float32(255)


def log_uniform(generator: Generator, low: float, high: float) -> float:
    """A random number between `low` and `high`, both above 0, whose logarithm is uniform."""
    return float(np.exp(generator.uniform(*np.log([low, high]))))

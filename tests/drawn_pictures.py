"""Small pictures for the tests of degradations, `(H, W, 3)`, float32 in [0, 1], and pairs made from them."""

from __future__ import annotations

import cv2
import numpy as np

from restore.degradations import Draw, Image


def at(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def flat(level: float | tuple[float, float, float], side: int = 64) -> Image:
    return np.full((side, side, 3), level, np.float32)


def photo(height: int = 64, width: int | None = None) -> Image:
    """Smooth, coloured, within [0.1, 0.9]; a square without `width`."""
    drawn = at(0).random((height, width or height, 3), dtype=np.float32)
    return np.asarray(0.1 + 0.8 * cv2.GaussianBlur(drawn, (0, 0), 1.5), np.float32)


def pairs(draw: Draw, clean: Image, count: int) -> list[tuple[Image, Image]]:
    """`(reference, degraded)` for each of the seeds 0, 1, ..."""
    made = []
    for seed in range(count):
        generator = at(seed)
        made.append(draw(generator).apply(clean, generator))
    return made

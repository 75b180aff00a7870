"""Picture files for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from restore.images import Picture, write_picture


def save_noise(path: Path, *, size: tuple[int, int] = (20, 24), seed: int = 0, channels: int = 3) -> np.ndarray:
    """Write noise of `size` (height, width) and return its pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, channels), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_picture(Picture(pixels), path)
    return pixels

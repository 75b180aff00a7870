"""Picture files for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from restore.images import Picture, read_picture, write_picture


def save_noise(path: Path, *, size: tuple[int, int] = (20, 24), seed: int = 0, channels: int = 3) -> np.ndarray:
    """Write noise of `size` (height, width) and return its pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, channels), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_picture(Picture(pixels), path)
    return pixels


def save_flat(name: str, value: int, *, size: tuple[int, int] = (40, 50)) -> None:
    """Write a picture of one grey level."""
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    write_picture(Picture(np.full((*size, 3), value, np.uint8)), Path(name))


def level_of(name: str) -> int:
    """The grey level of a picture that has only one."""
    (value,) = np.unique(read_picture(Path(name)).pixels)
    return int(value)

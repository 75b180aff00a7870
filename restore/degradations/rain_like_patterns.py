"""Patterns that look like rain: lattices, grilles, facades, fences, wires and hatching.

They belong to the picture: a derainer must keep them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from restore.degradations.base import Image, log_uniform, to_8_bits

Plane = NDArray[np.float32]


@dataclass(frozen=True)
class Grid:
    """Coordinates on a plane seen at an angle, in its own pixels.

    Attributes:
        across, along: `(H, W)`; each is constant along straight lines of the picture.
        pixel: `(H, W)`; side of a picture pixel, measured on the plane.
    """

    across: Plane
    along: Plane
    pixel: Plane

    @classmethod
    def seen(cls, height: int, width: int, angle: float, slant: float, tilt: float) -> Grid:
        """A plane rotated by `angle` radians; its far side (towards `tilt`) looks 1 + `slant` times smaller."""
        y, x = np.mgrid[:height, :width].astype(np.float32)
        x, y = x - np.float32(width / 2), y - np.float32(height / 2)
        extent = np.float32(max(height, width))
        depth = np.clip(
            1 + np.float32(slant) * (x * np.float32(np.cos(tilt)) + y * np.float32(np.sin(tilt))) / extent, 0.4, None
        )
        cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        return cls((x * cosine + y * sine) * depth, (y * cosine - x * sine) * depth, depth)


def bars(place: Plane, pixel: Plane, period: float, width: float, softness: float = 1.0) -> Plane:
    """Parallel bars `width` wide every `period`: 1 inside, 0 outside, with an edge of `softness` pixels."""
    off = np.abs(place / np.float32(period) - np.floor(place / np.float32(period)) - np.float32(0.5)) * np.float32(
        period
    )
    return np.asarray(np.clip((np.float32(width / 2) - off) / (pixel * np.float32(softness)) + np.float32(0.5), 0, 1))


def _lattice(grid: Grid, period: float, g: Generator) -> Plane:
    """Bars in two directions, at right angles or as a diamond."""
    width, ratio, lean = (
        period * g.uniform(0.06, 0.35),
        g.uniform(0.6, 1.6),
        np.float32(g.choice([0.0, g.uniform(-0.7, 0.7)])),
    )
    soft = g.uniform(0.8, 2.0)
    first = bars(grid.across + lean * grid.along, grid.pixel, period, width, soft)
    return np.maximum(first, bars(grid.along, grid.pixel, period * ratio, width * ratio**0.5, soft))


def _grille(grid: Grid, period: float, g: Generator) -> Plane:
    """Parallel bars."""
    return bars(grid.across, grid.pixel, period, period * g.uniform(0.1, 0.6), g.uniform(0.8, 2.5))


def _fence(grid: Grid, period: float, g: Generator) -> Plane:
    """Parallel bars with a few beams across, far apart."""
    soft = g.uniform(0.8, 2.0)
    beams = bars(grid.along, grid.pixel, period * g.uniform(3, 8), period * g.uniform(0.15, 0.5), soft)
    return np.maximum(bars(grid.across, grid.pixel, period, period * g.uniform(0.12, 0.5), soft), beams)


def _facade(grid: Grid, period: float, g: Generator) -> Plane:
    """Rows of windows of random brightness."""
    high = period * g.uniform(0.7, 2.2)
    soft, open_ = g.uniform(0.8, 1.5), g.uniform(0.35, 0.8, 2)
    windows = bars(grid.across, grid.pixel, period, period * open_[0], soft)
    windows *= bars(grid.along, grid.pixel, high, high * open_[1], soft)
    table = g.uniform(g.uniform(0.1, 0.9), 1, (32, 32)).astype(np.float32)
    rows = np.floor(grid.along / np.float32(high)).astype(np.intp) % 32
    return np.asarray(windows * table[rows, np.floor(grid.across / np.float32(period)).astype(np.intp) % 32])


def _wires(grid: Grid, period: float, g: Generator) -> Plane:
    """A few thin, sagging lines across the whole picture."""
    lines = np.zeros_like(grid.across)
    span = np.float32(max(grid.across.shape))
    for _ in range(int(g.integers(2, 9))):
        sag, at = np.float32(g.uniform(-0.15, 0.15)) / span, np.float32(g.uniform(-0.5, 0.5)) * span
        lean = np.float32(g.normal(0, 0.06))
        off = np.abs(grid.across - at - lean * grid.along - sag * grid.along**2)
        lines = np.maximum(lines, np.clip(np.float32(g.uniform(0.5, 1.8)) + np.float32(0.5) - off, 0, 1))
    return lines


def _hatching(grid: Grid, period: float, g: Generator) -> Plane:
    """Patches of fine, evenly spaced lines in one or two directions."""
    period = min(period, 12.0)
    width = max(0.8, period * g.uniform(0.12, 0.4))
    lines = bars(grid.across, grid.pixel, period, width)
    if g.random() < 0.3:
        lines = np.maximum(lines, bars(grid.along, grid.pixel, period, width))
    size = (grid.across.shape[1], grid.across.shape[0])
    hills = cv2.resize(g.standard_normal((5, 5)).astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
    return np.asarray(lines * np.clip(hills * np.float32(8) + np.float32(g.uniform(-2, 6)), 0, 1))


_KINDS: tuple[Callable[[Grid, float, Generator], Plane], ...] = (_lattice, _grille, _fence, _facade, _wires, _hatching)


def patterned(photo: Image, generator: Generator) -> Image:
    """A photograph with a pattern drawn over it, in 8 bits.

    The pattern has any angle and a period of 3 to 60 pixels. It has one colour, mostly from the picture, with soft
    shading, and lets 0 to 60 % of the picture through. In half of the draws it fills only a part of the picture. In a
    third its lines are nearly upright (standard deviation 8 degrees), as rain is.
    """
    g = generator
    height, width = photo.shape[:2]
    angle = g.normal(0, np.deg2rad(8)) if g.random() < 1 / 3 else g.uniform(0, np.pi)
    slant = g.uniform(0, 1.2) if g.random() < 0.6 else 0.0
    grid = Grid.seen(height, width, angle, slant, g.uniform(0, 2 * np.pi))
    cover = _KINDS[int(g.integers(len(_KINDS)))](grid, log_uniform(g, 3, 60), g) * np.float32(g.uniform(0.4, 1))
    size = (width, height)
    if g.random() < 0.5:
        hills = cv2.resize(g.standard_normal((3, 3)).astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
        cover = cover * np.clip(hills * np.float32(30) + np.float32(8), 0, 1)
    if g.random() < 0.4:
        colour = np.full(3, g.uniform(0.02, 1.0)) * (1 + g.uniform(-0.05, 0.05, 3))
    else:
        colour = photo[int(g.integers(height)), int(g.integers(width))] * g.uniform(0.5, 1.5)
    shade = cv2.resize(g.uniform(0.75, 1.1, (3, 3)).astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
    drawn = np.clip(colour, 0, 1).astype(np.float32) * shade[..., None]
    return to_8_bits(photo + cover[..., None] * (drawn - photo))

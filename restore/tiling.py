"""Cutting a picture into tiles and feathering them together again: geometry and blending, no network.

Along each axis the number of tiles is settled first (the fewest that overlap enough), then they are made equal, so
that no tile is a sliver. Where tiles overlap, one fades into the next by a raised cosine: a plain mean would leave two
steps at the ends of the overlap, a crop one in its middle. The borders of the picture are not faded.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

# The shortest fade, in pixels, beside the halos of a network whose halo is known. Its tiles agree there but for
# floating-point rounding, so the fade costs time and buys little.
SHORTEST_FADE = 8


def round_up(length: int, multiple: int) -> int:
    """The least multiple of `multiple` that is at least `length`.

    >>> round_up(100, 32)
    128
    """
    return -(-length // multiple) * multiple


def tile_starts(length: int, tile: int, overlap: int, multiple: int = 1) -> list[int]:
    """First pixel of each tile along one axis: the fewest tiles of side `tile` whose neighbours share `overlap` pixels.

    They are spread evenly and start at multiples of `multiple`, so that a network that works on blocks of pixels sees
    every tile in the phase in which it sees the whole picture; the last tile may then reach up to `multiple - 1` pixels
    beyond the picture.

    >>> tile_starts(100, tile=40, overlap=10)
    [0, 30, 60]
    >>> tile_starts(100, tile=64, overlap=10, multiple=32)
    [0, 32, 64]

    Raises:
        ValueError: `overlap` (rounded up to `multiple`) is not smaller than `tile` (rounded down).
    """
    blocks, side, shared = -(-length // multiple), tile // multiple, -(-overlap // multiple)
    if shared >= side:
        raise ValueError(f"tiles of {tile} pixels cannot share {overlap} (in multiples of {multiple})")
    if blocks <= side:
        return [0]
    last = -(-(blocks - shared) // (side - shared)) - 1
    return [index * (blocks - side) // last * multiple for index in range(last + 1)]


def tile_side(length: int, tile: int, overlap: int, multiple: int = 1) -> int:
    """The smallest side, a multiple of `multiple`, with which as many tiles as `tile` asks for still overlap enough.

    >>> tile_side(1000, tile=512, overlap=32)  # 3 tiles; 512 would overlap more than need be
    355
    >>> tile_side(100, tile=512, overlap=32, multiple=32)
    128
    """
    count = len(tile_starts(length, tile, overlap, multiple))
    return round_up(-(-(round_up(length, multiple) + (count - 1) * round_up(overlap, multiple)) // count), multiple)


@dataclass(frozen=True)
class Axis:
    """One axis of a picture, cut into equal tiles.

    Attributes:
        length: Pixels of the picture along this axis.
        side: Pixels of each tile; the last one may reach beyond the picture, where the caller pads.
        starts: First pixel of each tile.
        halo: Pixels inside each cut that get no weight, because the network's result there lacks its surroundings.
    """

    length: int
    side: int
    starts: tuple[int, ...]
    halo: int = 0

    def scaled(self, scale: int) -> Axis:
        """The same cuts in the pixels of an output `scale` times as large."""
        return Axis(self.length * scale, self.side * scale, tuple(s * scale for s in self.starts), self.halo * scale)

    def weights(self, index: int) -> npt.NDArray[np.float32]:
        """Weight of each pixel of tile `index`, in [0, 1]; over all tiles they sum to one at every pixel.

        Tile i fades in by a ramp u_i, and its weight is u_i - u_{i+1}, where u_0 = 1 and u_n = 0: the sum telescopes to
        one however many tiles overlap. Where two do, the weights are a ramp and one minus that ramp.

        >>> Axis(length=8, side=5, starts=(0, 3)).weights(1).round(3)
        array([0.146, 0.854, 1.   , 1.   , 1.   ], dtype=float32)
        """
        return self._fade_in(index, index) - self._fade_in(index + 1, index)

    def overlap(self, index: int) -> int:
        """Pixels that tile `index` shares with the one before it."""
        return self.starts[index - 1] + self.side - self.starts[index]

    def finished(self, index: int) -> int:
        """Pixels at the start of tile `index`, inside the picture, to which no later tile adds."""
        return (*self.starts, self.length)[index + 1] - self.starts[index]

    def _fade_in(self, index: int, tile: int) -> npt.NDArray[np.float32]:
        """Raised cosine by which tile `index` comes in, over the pixels of tile `tile`."""
        if index in (0, len(self.starts)):
            return np.full(self.side, index == 0, np.float32)
        begin, end = self.starts[index] + self.halo, self.starts[index - 1] + self.side - self.halo
        centres = self.starts[tile] + np.arange(self.side) + 0.5
        ramp = np.clip((centres - begin) / (end - begin), 0, 1)
        return (0.5 - 0.5 * np.cos(np.pi * ramp)).astype(np.float32)


def widen(overlap: int, halo: int | None) -> int:
    """The overlap that two halos and a fade between them need, if that is more than `overlap`.

    >>> widen(32, halo=20), widen(32, halo=None)
    (48, 32)
    """
    return overlap if halo is None else max(overlap, 2 * halo + SHORTEST_FADE)


def plan_axis(
    length: int, *, tile: int, overlap: int, multiple: int = 1, smallest: int = 1, halo: int | None = None
) -> Axis:
    """Cut `length` pixels into the fewest equal tiles of at most `tile`.

    Args:
        length: Pixels of the picture along this axis.
        tile: Largest side of a tile; at least `smallest`.
        overlap: Pixels that neighbours share, at least 1; more where `halo` needs more.
        multiple: Sides and starts are multiples of this.
        smallest: Least side; a shorter picture gets one tile that reaches beyond it.
        halo: The network's; with it, tiled and whole results are equal. None where the network sees everything.

    Raises:
        ValueError: `tile` has no room beside the overlap.
    """
    overlap = widen(overlap, halo)
    side = max(tile_side(length, tile, overlap, multiple), round_up(smallest, multiple))
    starts = tile_starts(length, side, overlap, multiple) if side < length else [0]
    return Axis(length, side, tuple(starts), halo or 0)


class Blender:
    """Feathers tiles, added row by row and from left to right, into a picture of 8 or 16 bits.

    Each pixel is rounded and written as soon as no later tile adds to it. What is held in floating point is the
    overlap: of the row of tiles above, of the row below, and of the tile to the left. Until a row of tiles is complete,
    what the row above left behind is kept, so a row can be begun again.

    Args:
        rows: Cuts from top to bottom, in pixels of `out`.
        columns: Cuts from left to right, likewise.
        out: The picture to write, `(rows.length, columns.length, C)`, uint8 or uint16.
    """

    def __init__(self, rows: Axis, columns: Axis, out: npt.NDArray[Any]) -> None:
        self.rows, self.columns, self.out = rows, columns, out
        self._peak = np.float32(np.iinfo(out.dtype).max)
        shared = max((rows.side - (b - a) for a, b in pairwise(rows.starts)), default=0)
        self._above, self._below = (np.zeros((shared, *out.shape[1:]), np.float32) for _ in range(2))
        self._left = np.zeros((0, 0, out.shape[2]), np.float32)

    def add(self, row: int, column: int, tile: npt.NDArray[np.float32]) -> None:
        """Add the part of one tile that lies inside the picture: `(h, w, C)`, in [0, 1] but not clamped."""
        height, width = tile.shape[:2]
        top, left = self.rows.starts[row], self.columns.starts[column]
        tall, wide = self.rows.finished(row), self.columns.finished(column)

        weights = self.rows.weights(row)[:height, None, None] * self.columns.weights(column)[:width, None]
        block = tile * weights
        if column:
            block[:, : self._left.shape[1]] += self._left
        self._left = block[:, wide:].copy()
        block, across = block[:, :wide], slice(left, left + wide)
        if row:
            shared = self.rows.overlap(row)
            block[:shared] += self._above[:shared, across]
        self._below[: height - tall, across] = block[tall:]

        done = block[:tall]
        np.clip(done, 0, 1, out=done)
        done *= self._peak
        self.out[top : top + tall, across] = np.rint(done, out=done)
        if column == len(self.columns.starts) - 1:
            self._above, self._below = self._below, self._above

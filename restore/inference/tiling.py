"""Cutting a picture into tiles: their sides, starts, overlaps and weights.

Each axis gets the fewest tiles that overlap enough, all of equal size, so that no tile is a sliver. In an overlap one
tile fades into the next by a raised cosine. A plain mean would leave a step at each end of the overlap, a crop one in
the middle. The borders of the picture are not faded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# Pixels of the fade between the halos of a network whose halo is known. Its tiles agree there but for rounding, so a
# longer fade would cost time and gain little.
SHORTEST_FADE = 8


def round_up(length: int, multiple: int) -> int:
    """The smallest multiple of `multiple` that is at least `length`.

    >>> round_up(100, 32)
    128
    """
    return -(-length // multiple) * multiple


def tile_starts(length: int, tile: int, overlap: int, multiple: int = 1) -> list[int]:
    """First pixel of each tile along one axis: the fewest tiles of side `tile` whose neighbours share `overlap` pixels.

    The tiles are spread evenly and start at multiples of `multiple`. So a network that works on blocks of pixels sees
    the same blocks in a tile as in the whole picture. The last tile may reach up to `multiple - 1` pixels beyond the
    picture.

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
    """The smallest side, a multiple of `multiple`, that needs no more tiles than `tile` and keeps the overlap.

    >>> tile_side(1000, tile=512, overlap=32)  # 3 tiles; 512 would overlap more than needed
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
        halo: Pixels inside each cut that get no weight, because the network lacks their surroundings.
        before: End of the earlier tile, of another side, before the first; 0 where the first begins the picture.
    """

    length: int
    side: int
    starts: tuple[int, ...]
    halo: int = 0
    before: int = 0

    def scaled(self, scale: int) -> Axis:
        """The same cuts in the pixels of an output `scale` times as large."""
        starts = tuple(start * scale for start in self.starts)
        return Axis(self.length * scale, self.side * scale, starts, self.halo * scale, self.before * scale)

    def weights(self, index: int) -> npt.NDArray[np.float32]:
        """Weight of each pixel of tile `index`, in [0, 1]; over all tiles they sum to one at every pixel.

        Tile i fades in by a ramp u_i; its weight is u_i - u_{i+1}, where u_0 = 1 and u_n = 0. The sum telescopes to one
        for any number of tiles. For two tiles, the weights are a ramp and one minus that ramp.

        >>> Axis(length=8, side=5, starts=(0, 3)).weights(1).round(3)
        array([0.146, 0.854, 1.   , 1.   , 1.   ], dtype=float32)
        """
        return self._fade_in(index, index) - self._fade_in(index + 1, index)

    def overlap(self, index: int) -> int:
        """Pixels that tile `index` shares with the one before it; 0 or less where there is none."""
        return self._end_before(index) - self.starts[index]

    def finished(self, index: int) -> int:
        """Pixels at the start of tile `index`, inside the picture, to which no later tile adds."""
        return min((*self.starts, self.length)[index + 1] - self.starts[index], self.side)

    @property
    def covered(self) -> tuple[int, int]:
        """First pixel of the tiles, and their end inside the picture."""
        return self.starts[0], min(self.starts[-1] + self.side, self.length)

    def covering(self, start: int, end: int, fill: tuple[int, int] | None = None) -> Axis:
        """The same axis with only those tiles that have weight between the pixels `start` and `end`.

        Between these two, the weights stay as they are. With `fill`, there are also the tiles that cover its pixels.

        >>> Axis(length=18, side=6, starts=(0, 4, 8, 12)).covering(7, 8)
        Axis(length=18, side=6, starts=(4,), halo=0, before=0)
        >>> Axis(length=18, side=6, starts=(0, 4, 8, 12)).covering(7, 8, fill=(4, 11)).starts
        (4, 8)
        """
        used = [
            index
            for index, first in enumerate(self.starts)
            if self.weights(index)[max(0, start - first) : max(0, end - first)].any()
        ]
        first, last = used[0], used[-1]
        if fill is not None:
            first = min(first, max(index for index, begin in enumerate(self.starts) if begin <= fill[0]))
            ends = [begin + self.side for begin in self.starts]
            last = max(last, next((index for index, stop in enumerate(ends) if stop >= fill[1]), len(ends) - 1))
        starts, before = self.starts[first : last + 1], 0 if first else self.before
        return Axis(self.length, self.side, starts, self.halo, before)

    def _fade_in(self, index: int, tile: int) -> npt.NDArray[np.float32]:
        """Raised cosine by which tile `index` fades in, over the pixels of tile `tile`."""
        if index == len(self.starts) or not self._end_before(index):
            return np.full(self.side, index == 0, np.float32)
        begin, end = self.starts[index] + self.halo, self._end_before(index) - self.halo
        centres = self.starts[tile] + np.arange(self.side) + 0.5
        ramp = np.clip((centres - begin) / (end - begin), 0, 1)
        return (0.5 - 0.5 * np.cos(np.pi * ramp)).astype(np.float32)

    def _end_before(self, index: int) -> int:
        """End of the tile before tile `index`; 0 if there is none."""
        return self.starts[index - 1] + self.side if index else self.before


def widen(overlap: int, halo: int | None) -> int:
    """`overlap`, or the larger overlap that two halos and a fade between them need.

    >>> widen(32, halo=20), widen(32, halo=None)
    (48, 32)
    """
    return overlap if halo is None else max(overlap, 2 * halo + SHORTEST_FADE)


def plan_axis(
    length: int,
    *,
    tile: int,
    overlap: int,
    multiple: int = 1,
    grid: int | None = None,
    smallest: int = 1,
    halo: int | None = None,
    start: int = 0,
    before: int = 0,
) -> Axis:
    """Cut `length` pixels into the fewest equal tiles of at most `tile`.

    Args:
        length: Pixels of the picture along this axis.
        tile: Largest side of a tile; at least `smallest`.
        overlap: Pixels that neighbours share, at least 1; more where `halo` needs more.
        multiple: Sides are multiples of this.
        grid: Starts are multiples of this divisor of `multiple`; None: of `multiple`.
        smallest: Smallest side; a shorter picture gets one tile that reaches beyond it.
        halo: Halo of the network: with it, tiled and whole results are equal. None where the network sees everything.
        start: First pixel to cut, a multiple of `grid`; the pixels before it are done.
        before: End of the last finished tile; at most `tile` pixels after `start`.

    Raises:
        ValueError: `tile` is no larger than the overlap.
    """
    overlap, left, grid = widen(overlap, halo), length - start, grid or multiple
    least = max(tile_side(left, tile // multiple * multiple, overlap, grid), smallest, before - start)
    side = round_up(least, multiple)
    starts = tile_starts(left, side, overlap, grid) if side < left else [0]
    return Axis(length, side, tuple(start + first for first in starts), halo or 0, before)

"""Blending tiles into one picture, with only their overlaps in floating point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from restore.inference.tiling import Axis


@dataclass(frozen=True)
class Seam:
    """How much neighbouring tiles disagree in their overlap, in 8-bit levels, before blending.

    Attributes:
        mean, max: Of the absolute differences over all overlaps without the halos.
    """

    mean: float
    max: float


class Blender:
    """Blends tiles into a picture. Add them row by row, from left to right.

    A pixel is written when no later tile adds to it, rounded and clamped where the picture holds integers. Only the
    overlaps are held in floating point: with the row of tiles above, the row below, and the tile to the left. The
    overlap with the row above is kept until a row is complete, so a row can start again, also with other tiles.

    Args:
        rows: Cuts from top to bottom, in pixels of the result.
        columns: Cuts from left to right, in pixels of the result.
        out: The result to write, or a region of it, `(H, W, C)`, uint8, uint16 or float32.
        peak: Value in `out` for 1.0 in a tile.
        corner: Row and column of the result where `out` begins.
    """

    def __init__(
        self, rows: Axis, columns: Axis, out: npt.NDArray[Any], peak: float, corner: tuple[int, int] = (0, 0)
    ) -> None:
        self.out, self._peak, self._corner = out, np.float32(peak), corner
        self._limit = np.inf if out.dtype.kind == "f" else np.iinfo(out.dtype).max
        self._differences: list[tuple[float, float, int]] = []  # sum, maximum, count; of complete rows of tiles
        self._row_shape = columns.length, out.shape[2]
        self._above, self._above_tiles = (np.zeros((0, *self._row_shape), np.float32) for _ in range(2))
        self.cut(rows, columns)

    def cut(self, rows: Axis, columns: Axis) -> None:
        """Continue with other tiles: `rows` starts at the first incomplete row of tiles."""
        self.rows, self.columns = rows, columns
        shared = max(rows.overlap(index) for index in range(len(rows.starts)))
        above = self._above, self._above_tiles
        self._above, self._below, self._above_tiles, self._below_tiles = (
            np.zeros((max(shared, 0), *self._row_shape), np.float32) for _ in range(4)
        )
        for new, old in zip((self._above, self._above_tiles), above, strict=True):
            kept = min(len(new), len(old))
            new[:kept] = old[:kept]
        self._left, self._left_tile = (np.zeros((0, 0, self.out.shape[2]), np.float32) for _ in range(2))

    def add(self, row: int, column: int, tile: npt.NDArray[np.float32]) -> None:
        """Add one tile, without its part beyond the picture: `(h, w, C)`, nominally in [0, 1]."""
        height, width = tile.shape[:2]
        top, left = self.rows.starts[row], self.columns.starts[column]
        tall, wide = self.rows.finished(row), self.columns.finished(column)

        weights = self.rows.weights(row)[:height, None, None] * self.columns.weights(column)[:width, None]
        block = tile * weights
        if column == 0:
            self._row_differences: list[tuple[float, float, int]] = []
        else:
            self._compare(tile.swapaxes(0, 1), self._left_tile.swapaxes(0, 1), self.columns, column)
            block[:, : self._left.shape[1]] += self._left
        self._left, self._left_tile = block[:, wide:].copy(), tile[:, wide:].copy()
        shared = max(0, self.rows.overlap(row))
        # Columns that do not depend on the surroundings of the tile; those above may come from neighbouring tiles.
        last, halo = column == len(self.columns.starts) - 1, self.columns.halo
        begin, end = (halo if column else 0), (width if last else width - halo)
        begin, end = max(begin, self._corner[1] - left), min(end, self._corner[1] + self.out.shape[1] - left)
        self._compare(tile[:, begin:end], self._above_tiles[:shared, left + begin : left + end], self.rows, row)
        self._below_tiles[: height - tall, left + begin : left + end] = tile[tall:, begin:end]
        block, across = block[:, :wide], slice(left, left + wide)
        block[:shared] += self._above[: min(shared, height), across]
        self._below[: height - tall, across] = block[tall:]

        above, before = (max(0, begin - start) for begin, start in zip(self._corner, (top, left), strict=True))
        down, right = top + above - self._corner[0], left + before - self._corner[1]
        done = block[above:tall, before:][: max(0, len(self.out) - down), : max(0, self.out.shape[1] - right)]
        done *= self._peak
        if self.out.dtype.kind == "u":
            np.clip(done, 0, self._limit, out=done)
            np.rint(done, out=done)
        self.out[down : down + done.shape[0], right : right + done.shape[1]] = done
        if last:
            self._differences += self._row_differences
            self._above, self._below = self._below, self._above
            self._above_tiles, self._below_tiles = self._below_tiles, self._above_tiles

    @property
    def seam(self) -> Seam | None:
        """The seam of all complete rows of tiles; None where no tiles met."""
        if not self._differences:
            return None
        sums, largest, pixels = zip(*self._differences, strict=True)
        return Seam(sum(sums) / sum(pixels), max(largest))

    def _compare(self, tile: npt.NDArray[np.float32], earlier: npt.NDArray[np.float32], axis: Axis, index: int) -> None:
        """Record the differences between a tile and the one before it along `axis`, the first axis of both arrays."""
        both = slice(axis.halo, max(0, min(axis.overlap(index), len(tile)) - axis.halo))
        differences = np.abs(tile[both] - earlier[both]) * np.float32(255)
        if differences.size:
            total = float(differences.sum(dtype=np.float64))
            self._row_differences.append((total, float(differences.max()), differences.size))

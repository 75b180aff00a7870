"""A region of a picture that several steps restore: which tiles of the whole picture each step runs.

Every step keeps the tiles that it has in the whole picture, so a network gives the same bytes where it sees the same
pixels. A step runs the tiles that add to the region, and to all that the network of the next step sees of it: the
halo around it. It also runs the tiles that fill those of the next step. Beyond the halo they may differ from those of
the whole picture, where a neighbour is missing that would fade in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from restore.inference.region import Place
from restore.inference.tile_size import TileSizes
from restore.inference.tiling import Axis

CONTEXT = 32
"""Pixels around a region that are as in the whole picture for a network whose halo is not known."""


@dataclass(frozen=True)
class Piece:
    """The share of one step. Its places are in the pixels of the whole picture that the step has as its input.

    Attributes:
        given: The part that the step is given.
        wanted: The part that it restores.
        side: Largest side of a tile.
        rows, columns: The tiles that run.
    """

    given: Place
    wanted: Place
    side: int
    rows: Axis
    columns: Axis

    @property
    def local(self) -> Place:
        """What is wanted, in the pixels of what is given."""
        return replace(self.wanted, left=self.wanted.left - self.given.left, top=self.wanted.top - self.given.top)

    @property
    def computed(self) -> int:
        """Pixels that the tiles compute together."""
        return math.prod(len(axis.starts) * axis.side for axis in (self.rows, self.columns))


def pieces(place: Place, steps: Sequence[tuple[TileSizes, int]], height: int, width: int) -> list[Piece]:
    """The share of each step. The first is given what its tiles cover.

    Args:
        place: The region, in pixels of the picture.
        steps: The tiles that the network of each step can take, and their largest side.
        height, width: Size of the picture.
    """
    rows = _axes(steps, height, place.top, place.top + place.height)
    columns = _axes(steps, width, place.left, place.left + place.width)
    given, found = _covered(rows[0], columns[0]), []
    for index, (sizes, side) in enumerate(steps):
        is_last = index == len(steps) - 1
        wanted = place if is_last else _covered(rows[index], columns[index])
        found.append(Piece(given, wanted, side, rows[index], columns[index]))
        given, place = wanted.scaled(sizes.network.scale), place.scaled(sizes.network.scale)
    return found


def _covered(rows: Axis, columns: Axis) -> Place:
    """What tiles cover."""
    (top, down), (left, right) = rows.covered, columns.covered
    return Place(left, top, right - left, down - top)


def _axes(steps: Sequence[tuple[TileSizes, int]], length: int, start: int, end: int) -> list[Axis]:
    """The tiles of each step along one axis; the region lies from `start` to `end`."""
    scales = [sizes.network.scale for sizes, _ in steps]
    axes: list[Axis] = []
    start, end = (edge * math.prod(scales[:-1]) for edge in (start, end))
    for index in range(len(steps) - 1, -1, -1):
        (sizes, side), inside = steps[index], length * math.prod(scales[:index])
        fill = None
        if axes:  # of the following step, whose input has other pixels
            first, last = axes[-1].covered
            fill = first // scales[index], -(-last // scales[index])
            start, end = start // scales[index], -(-end // scales[index])
        axes.append(sizes.cut(inside, side).covering(start, end, fill))
        reach = CONTEXT if sizes.network.halo is None else sizes.network.halo
        start, end = max(0, start - reach), min(inside, end + reach)
    return axes[::-1]

"""One picture, restored tile by tile; where memory runs out, in smaller tiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from restore.errors import DeviceError
from restore.inference.blending import Blender, Seam
from restore.inference.devices import Device
from restore.inference.memory import empty_cache, is_out_of_memory
from restore.inference.region import Place
from restore.inference.tile_size import TileSizes
from restore.inference.tiling import Axis

if TYPE_CHECKING:
    from restore.images import Picture
    from restore.inference.pieces import Piece

Levels = npt.NDArray[np.float32]


class TiledRun:
    """Restores a picture into another.

    Where memory runs out, tiles become smaller. A network with a halo gives the same pixels in tiles of any side, so
    the finished rows stay. Any other starts again at the first row, as if it had begun with the smaller tiles.

    Args:
        restore_tile: Restores `(h, w, C)` levels, which it may overwrite, to `(scale * h, scale * w, C)`, nominally in
            [0, 1].
        source: The picture to restore.
        target: The picture to write, its pixels allocated; its notes say where memory ran out.
        sizes: The tiles that the network can take.
        side: Largest side of a tile, in pixels.
        peak: Pixel value for 1.0.
        device: Where the network runs.
        is_neutral: Whether the picture is black and white in RGB: it runs as one channel and comes out as three.
        place: The part of the source to restore, which `target` shows. Only tiles that add to it run.
        piece: What the source is of a larger picture, and the tiles that run; None for a whole picture.
    """

    def __init__(
        self,
        restore_tile: Callable[[Levels], Levels],
        source: Picture,
        target: Picture,
        sizes: TileSizes,
        side: int,
        peak: float,
        device: Device,
        *,
        is_neutral: bool,
        place: Place,
        piece: Piece | None = None,
    ) -> None:
        self._restore_tile, self._source, self._target = restore_tile, source, target
        self._sizes, self._device, self._is_neutral = sizes, device, is_neutral
        self._scale = sizes.network.scale
        height, width = source.pixels.shape[:2]
        self._place, self._is_piece = place, piece is not None
        self._corner = (0, 0) if piece is None else (piece.given.top, piece.given.left)
        if piece is None:
            self._rows, self._columns = self._used(sizes.cut(height, side), sizes.cut(width, side))
        else:
            self._place, self._rows, self._columns = piece.wanted, piece.rows, piece.columns
        self._peak = peak
        self._blender: Blender | None = None
        self._is_cut = True  # the blender has the current tiles
        self._note: str | None = None
        self._row = 0
        self.done = 0
        """Number of finished tiles."""
        self.retiled: int | None = None
        """Side of the first tiles for which memory ran out, in pixels; None where it never did."""

    @property
    def tile(self) -> tuple[int, int]:
        """Height and width of the tiles, in pixels of the source; of the smallest where memory ran out."""
        return min(self._rows.side, self._rows.length), min(self._columns.side, self._columns.length)

    @property
    def seam(self) -> Seam | None:
        """How much neighbouring tiles disagree; None where no tiles met."""
        return self._blender.seam if self._blender else None

    def run(self, progress: Callable[[int, int], None] | None) -> None:
        """Restore all tiles, row by row.

        Args:
            progress: Called after each tile with the number of finished tiles and of all tiles.

        Raises:
            DeviceError: The memory is not enough even for the smallest tiles.
        """
        while self._row < len(self._rows.starts):
            try:
                self._restore_row(self._ready_blender(), progress)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                side = max(self._rows.side, self._columns.side)
                if side <= self._sizes.smallest():
                    raise DeviceError(
                        f"memory ran out, even with tiles of {side} pixels",
                        hint="close other programs" + ("" if self._device.type == "cpu" else ", or use --device cpu"),
                    ) from None
                if self._is_piece:  # other steps follow its tiles
                    raise DeviceError(
                        f"memory ran out for tiles of {side} pixels in a part of a picture",
                        hint=f"use --tile {max(self._sizes.smallest(), side // 2)}, or close other programs",
                    ) from None
            else:
                self._row, self.done = self._row + 1, self.done + len(self._columns.starts)
                self._report(0, progress)  # not before: the blender takes each row only once
                continue
            # Only here: inside `except`, the exception still holds the tensors of its frames.
            self._make_tiles_smaller(side)

    def _used(self, rows: Axis, columns: Axis) -> tuple[Axis, Axis]:
        """The cuts of the whole source, without the tiles that add nothing to the place."""
        place = self._place
        down, right = place.top + place.height, place.left + place.width
        return rows.covering(place.top, down), columns.covering(place.left, right)

    def _ready_blender(self) -> Blender:
        """The blender for the current tiles. It allocates memory, so it is made where that may fail."""
        rows, columns = self._rows.scaled(self._scale), self._columns.scaled(self._scale)
        if self._blender is None:
            corner = self._place.top * self._scale, self._place.left * self._scale
            self._blender = Blender(rows, columns, self._target.pixels, self._peak, corner)
        elif not self._is_cut:
            self._blender.cut(rows, columns)
        self._is_cut = True
        return self._blender

    def _restore_row(self, blender: Blender, progress: Callable[[int, int], None] | None) -> None:
        rows, columns, pixels = self._rows, self._columns, self._source.pixels
        top = rows.starts[self._row] - self._corner[0]
        for column, left in enumerate(start - self._corner[1] for start in columns.starts):
            if column:
                self._report(column, progress)
            tile = pixels[top : top + rows.side, left : left + columns.side].astype(np.float32)
            if self._is_neutral:
                tile = tile.mean(axis=2, keepdims=True, dtype=np.float64).astype(np.float32)
            tile = self._restore_tile(tile)
            blender.add(self._row, column, np.repeat(tile, 3, axis=2) if self._is_neutral else tile)

    def _report(self, columns: int, progress: Callable[[int, int], None] | None) -> None:
        """Call `progress`; `columns` tiles of the current row are finished."""
        if progress is not None:
            total = self.done + (len(self._rows.starts) - self._row) * len(self._columns.starts)
            progress(self.done + columns, total)

    def _make_tiles_smaller(self, side: int) -> None:
        """Cut into tiles of half of `side`: the picture, or behind finished rows that stay, the rest."""
        empty_cache(self._device)
        self.retiled = self.retiled or side
        side = max(self._sizes.smallest(), side // 2)
        height, width = self._source.pixels.shape[:2]
        starts_again = self._sizes.network.halo is None
        if self._note is not None and (starts_again or not self._row):  # no row has the tiles that it names
            self._target.notes.remove(self._note)
        if starts_again:
            rows, self._blender, self.done = self._sizes.cut(height, side), None, 0
        else:
            rows = self._sizes.cut(height, side, self._rows, self._row)
        self._rows, self._columns = self._used(rows, self._sizes.cut(width, side))
        what = "the rest" if self.done else "the picture"
        self._note = f"memory ran out; {what} was restored in tiles of {side} pixels"
        self._target.note(self._note)
        self._row, self._is_cut = 0, False

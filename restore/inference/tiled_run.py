"""One picture, restored tile by tile; where memory runs out, the rest is done in smaller tiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from restore.errors import DeviceError
from restore.inference.blending import Blender, Seam
from restore.inference.memory import is_out_of_memory
from restore.inference.tile_size import TileSizes

if TYPE_CHECKING:
    from restore.images import Picture

Levels = npt.NDArray[np.float32]


class TiledRun:
    """Restores a picture into another.

    Args:
        restore_tile: Restores `(h, w, C)` levels, which it may overwrite, to `(scale * h, scale * w, C)`, nominally in
            [0, 1].
        source: The picture to restore.
        target: The picture to write, its pixels allocated; its notes say where memory ran out.
        sizes: The tiles that the network can take.
        side: Largest side of a tile, in pixels.
        device: Where the network runs.
        is_neutral: Whether the picture is black and white in RGB: it runs as one channel and comes out as three.
    """

    def __init__(
        self,
        restore_tile: Callable[[Levels], Levels],
        source: Picture,
        target: Picture,
        sizes: TileSizes,
        side: int,
        device: torch.device,
        *,
        is_neutral: bool,
    ) -> None:
        self._restore_tile, self._source, self._target = restore_tile, source, target
        self._sizes, self._device, self._is_neutral = sizes, device, is_neutral
        self._scale = sizes.network.scale
        height, width = source.pixels.shape[:2]
        self._rows, self._columns = sizes.cut(height, side), sizes.cut(width, side)
        self._blender = Blender(
            self._rows.scaled(self._scale), self._columns.scaled(self._scale), target.pixels, source.peak
        )
        self._row = 0
        self.done = 0
        """Number of finished tiles."""

    @property
    def tile(self) -> tuple[int, int]:
        """Height and width of the tiles, in pixels of the source; of the smallest where memory ran out."""
        height, width = self._source.pixels.shape[:2]
        return min(self._rows.side, height), min(self._columns.side, width)

    @property
    def seam(self) -> Seam | None:
        """How much neighbouring tiles disagree; None where no tiles met."""
        return self._blender.seam

    def run(self, progress: Callable[[int, int], None] | None) -> None:
        """Restore all tiles, row by row.

        Args:
            progress: Called after each tile with the number of finished tiles and of all tiles.

        Raises:
            DeviceError: The memory is not enough even for the smallest tiles.
        """
        while self._row < len(self._rows.starts):
            try:
                self._restore_row(progress)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                side = max(self._rows.side, self._columns.side)
                if side <= self._sizes.smallest():
                    raise DeviceError(
                        f"memory ran out, even with tiles of {side} pixels",
                        hint="close other programs" + ("" if self._device.type == "cpu" else ", or use --device cpu"),
                    ) from None
            else:
                self._row, self.done = self._row + 1, self.done + len(self._columns.starts)
                continue
            # Only here: inside `except`, the exception still holds the tensors of its frames.
            self._make_tiles_smaller(side)

    def _restore_row(self, progress: Callable[[int, int], None] | None) -> None:
        rows, columns, pixels = self._rows, self._columns, self._source.pixels
        total = self.done + (len(rows.starts) - self._row) * len(columns.starts)
        top = rows.starts[self._row]
        for column, left in enumerate(columns.starts):
            tile = pixels[top : top + rows.side, left : left + columns.side].astype(np.float32)
            if self._is_neutral:
                tile = tile.mean(axis=2, keepdims=True, dtype=np.float64).astype(np.float32)
            tile = self._restore_tile(tile)
            self._blender.add(self._row, column, np.repeat(tile, 3, axis=2) if self._is_neutral else tile)
            if progress is not None:
                progress(self.done + column + 1, total)

    def _make_tiles_smaller(self, side: int) -> None:
        """Cut what follows the finished rows into tiles of half of `side`."""
        if self._device.type != "cpu":
            getattr(torch, self._device.type).empty_cache()
        side = max(self._sizes.smallest(), side // 2)
        self._target.note(f"memory ran out; the rest was restored in tiles of {side} pixels")
        height, width = self._source.pixels.shape[:2]
        self._rows = self._sizes.cut(height, side, self._rows, self._row)
        self._columns = self._sizes.cut(width, side)
        self._blender.cut(self._rows.scaled(self._scale), self._columns.scaled(self._scale))
        self._row = 0

"""The places of a picture that a restoration changed most."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from restore.images import Picture
from restore.images.picture import bands, to_8_bits

MOST = 3
"""Number of places."""

_CELLS = 4  # cells along the side of a window; the window moves by one cell


@dataclass(frozen=True)
class ChangedPlace:
    """A square of the restored picture, and how much it changed.

    Attributes:
        left, top, width, height: Pixels of the restored picture.
        difference: Mean absolute difference to the input, in 8-bit grey levels.
    """

    left: int
    top: int
    width: int
    height: int
    difference: float


def changed_places(before: Picture, after: Picture) -> tuple[ChangedPlace, ...]:
    """Up to three windows of the largest mean difference, the most changed first.

    Their centres lie at least one and a half windows apart. A window has an eighth of the longer side, 32 to 256
    pixels. A smaller `before` is enlarged linearly. Equal pictures have no such place.
    """
    height, width = after.pixels.shape[:2]
    side = int(np.clip(max(height, width) // 8, 32, 256))
    cell = side // _CELLS
    means = _cell_means(before.pixels, after.pixels, cell)
    window = min(_CELLS, means.shape[0]), min(_CELLS, means.shape[1])
    sums = cv2.boxFilter(means, -1, window[::-1], anchor=(0, 0), borderType=cv2.BORDER_ISOLATED)
    sums = sums[: means.shape[0] - window[0] + 1, : means.shape[1] - window[1] + 1].copy()
    places: list[ChangedPlace] = []
    while len(places) < MOST and (best := float(sums.max())) > 0:
        row, column = np.unravel_index(int(sums.argmax()), sums.shape)
        left, top = int(column) * cell, int(row) * cell
        places.append(ChangedPlace(left, top, min(side, width - left), min(side, height - top), round(best, 2)))
        apart = _CELLS * 3 // 2
        near = slice(max(0, row - apart + 1), row + apart), slice(max(0, column - apart + 1), column + apart)
        sums[near] = 0
    return tuple(places)


def _cell_means(before: np.ndarray, after: np.ndarray, cell: int) -> np.ndarray:
    """Mean absolute difference in each cell of `cell` x `cell` pixels; a last, incomplete one is left out."""
    height, width = after.shape[:2]
    rows, columns = max(1, height // cell), max(1, width // cell)
    high, wide = min(cell, height), min(cell, width)  # of a picture below one cell
    means = np.zeros((rows, columns), np.float32)
    for band in bands(rows, cell * after[0].size):
        top, bottom = band.start * high, band.stop * high
        difference = _difference(_rows(before, top, bottom, after.shape), to_8_bits(after[top:bottom]))
        sums = difference.reshape(-1, high, width * difference.shape[2]).sum(1, dtype=np.uint32)
        sums = sums.reshape(-1, width, difference.shape[2])[:, : columns * wide]
        means[band] = sums.reshape(len(sums), columns, -1).mean(2) / high
    return means


def _difference(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Absolute difference, uint8 (H, W, 1 | 3), of 8-bit pixels. Grey stands for three equal channels."""
    before, after = np.broadcast_arrays(before, after)
    return cv2.absdiff(np.ascontiguousarray(before), np.ascontiguousarray(after)).reshape(after.shape)


def _rows(before: np.ndarray, top: int, bottom: int, shape: tuple[int, ...]) -> np.ndarray:
    """The rows of `before` under rows of a picture of `shape`, enlarged to its size: uint8 (H, W, 1 | 3)."""
    height, width = shape[:2]
    if before.shape[:2] == (height, width):
        return to_8_bits(before[top:bottom])
    first = top * before.shape[0] // height
    last = max(first + 1, -(-bottom * before.shape[0] // height))
    enlarged = cv2.resize(to_8_bits(before[first:last]), (width, bottom - top), interpolation=cv2.INTER_LINEAR)
    return enlarged.reshape(bottom - top, width, -1)

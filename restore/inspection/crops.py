"""The parts of a picture that are inspected."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from restore.images import Picture
from restore.images.picture import limit

Plane = NDArray[np.float32]
T = TypeVar("T", bound=np.generic)

_WHOLE = 900_000  # pixels of a picture that is inspected whole
_SIDE = 320  # pixels of a crop
_ACROSS = 4, 2  # crops along the longer and the shorter side
_GRID = 16  # blocks of a JPEG's chroma


def crops_of(picture: Picture) -> list[Plane]:
    """Crops of a picture, evenly spread; the whole of a small one. `(H, W, 1 | 3)`, 0 to 255, as in the file.

    They start on the grid of JPEG's blocks. They have at most 0.9 megapixels in total.
    """
    height, width = picture.pixels.shape[:2]
    if height * width <= _WHOLE:
        return [_in_levels(picture.pixels)]
    across, down = _ACROSS if width >= height else _ACROSS[::-1]
    return [
        _in_levels(picture.pixels[top : top + _SIDE, left : left + _SIDE])
        for top in _starts(height, down)
        for left in _starts(width, across)
    ]


def _starts(length: int, count: int) -> list[int]:
    """First pixels of `count` crops; fewer along a short side.

    >>> _starts(1000, 3), _starts(200, 3)
    ([0, 336, 672], [0])
    """
    room = max(0, length - _SIDE)
    count = min(count, 1 + room // (_SIDE // 2))
    return [round(room * i / max(1, count - 1)) // _GRID * _GRID for i in range(count)]


def _in_levels(pixels: NDArray[np.generic]) -> Plane:
    levels = pixels.astype(np.float32) * np.float32(255 / limit(pixels.dtype))
    clipped: Plane = np.clip(levels, 0, 255)
    return clipped


def luma_of(crop: Plane) -> Plane:
    """Y of a JPEG (ITU-R BT.601, 0 to 255): `(H, W, 1 | 3)` to `(H, W)`."""
    y: Plane = crop[..., 0] if crop.shape[2] == 1 else crop @ np.array([0.299, 0.587, 0.114], np.float32)
    return y


def chroma_of(crop: Plane) -> tuple[Plane, Plane]:
    """Cb and Cr of a JPEG, around 0: `(H, W, 3)` to two `(H, W)`."""
    y = luma_of(crop)
    return (crop[..., 2] - y) * np.float32(0.564), (crop[..., 0] - y) * np.float32(0.713)


def cut_in_blocks(plane: NDArray[T], top: int = 0, left: int = 0) -> NDArray[T]:
    """The 8 x 8 blocks of a plane from a place on: `(H, W)` to `(N, 8, 8)`."""
    height, width = (plane.shape[0] - top) // 8, (plane.shape[1] - left) // 8
    cut = plane[top : top + 8 * height, left : left + 8 * width].reshape(height, 8, width, 8).swapaxes(1, 2)
    return cut.reshape(-1, 8, 8)


def dct_of(blocks: Plane) -> Plane:
    """The orthonormal DCT-II of blocks `(N, 8, 8)`."""
    # Two products of large matrices are much faster than one product a block.
    count = len(blocks)
    rows = (blocks.reshape(-1, 8) @ _DCT.T).reshape(count, 8, 8).swapaxes(1, 2)
    coefficients = (rows.reshape(-1, 8) @ _DCT.T).reshape(count, 8, 8).swapaxes(1, 2)
    return np.ascontiguousarray(coefficients)


def _dct() -> Plane:
    k = np.arange(8)
    matrix = np.sqrt(0.25) * np.cos(np.pi * (2 * k[None, :] + 1) * k[:, None] / 16)
    matrix[0] /= np.sqrt(2)
    return np.asarray(matrix, np.float32)


_DCT = _dct()

"""Pictures inside MATLAB files: the blocks of SIDD and the boxes of DND."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from restore.datasets.found import Found, Item
from restore.datasets.registry import Blocks
from restore.degradations import Image
from restore.errors import DataError


def find_blocks(blocks: Blocks, folder: Path) -> Found | None:
    """The pictures in the MATLAB files of a folder; None where the files do not exist.

    Raises:
        DataError: A file cannot be read or holds something else, or no reader is installed.
    """
    if blocks.boxes is not None:
        return _boxes(blocks, folder)
    if not (folder / blocks.degraded[0]).is_file():
        return None
    noisy = _block_array(folder / blocks.degraded[0], blocks.degraded[1])
    clean = None
    if blocks.clean is not None:
        clean = _block_array(folder / blocks.clean[0], blocks.clean[1])
        if clean.shape != noisy.shape:
            raise DataError(
                f"{folder / blocks.clean[0]} has blocks {clean.shape}, the noisy file {noisy.shape}",
                hint="download both again",
            )
    items = tuple(
        Item(
            f"{i + 1:04d}_{k + 1:02d}",
            None if clean is None else functools.partial(_unit, clean, i, k),
            functools.partial(_unit, noisy, i, k),
        )
        for i in range(noisy.shape[0])
        for k in range(noisy.shape[1])
    )
    return Found(blocks, folder, items)


def _unit(blocks: NDArray[np.uint8], i: int, k: int) -> Image:
    picture: Image = blocks[i, k].astype(np.float32) / np.float32(255)
    return picture


def _block_array(path: Path, variable: str) -> NDArray[np.uint8]:
    """A variable of a MATLAB file up to version 7: `(images, blocks, height, width, 3)`, 8-bit RGB."""
    try:
        import scipy.io
    except ImportError:
        raise _no_reader(path) from None
    try:
        array = scipy.io.loadmat(path, variable_names=[variable]).get(variable)
    except Exception as error:  # the reader raises many kinds for a damaged file
        raise DataError(f"cannot read {path}: it is damaged or of another version", hint="download it again") from error
    if array is None or array.dtype != np.uint8 or array.ndim != 5 or array.shape[-1] != 3:
        raise DataError(f"{path} holds no blocks of 8-bit RGB called {variable}", hint="download it again")
    blocks: NDArray[np.uint8] = array
    return blocks


def _no_reader(path: Path) -> DataError:
    return DataError(
        f"cannot read {path}: no reader of MATLAB files is installed", hint="pip install 'restore-photos[mat]'"
    )


def _boxes(blocks: Blocks, folder: Path) -> Found | None:
    """The boxes of DND. `info.mat` has their places; the pictures are MATLAB files of version 7.3, which are HDF5."""
    assert blocks.boxes is not None
    info, pictures = folder / blocks.boxes[0], sorted(folder.glob(blocks.degraded[0]))
    if not info.is_file() or not pictures:
        return None
    try:
        import h5py
    except ImportError:
        raise _no_reader(info) from None

    @functools.lru_cache(maxsize=1)
    def picture(path: Path) -> Image:
        try:
            with h5py.File(path, "r") as file:  # MATLAB's order of axes is reversed
                noisy: Image = np.ascontiguousarray(np.asarray(file[blocks.degraded[1]], np.float32).T)
                return noisy
        except (OSError, KeyError) as error:
            raise DataError(
                f"cannot read {path}: it is damaged or of another version", hint="download it again"
            ) from error

    def crop(path: Path, top: int, left: int, bottom: int, right: int) -> Image:
        return picture(path)[top - 1 : bottom, left - 1 : right]

    items = []
    try:
        with h5py.File(info, "r") as file:
            group = file[blocks.boxes[1]]
            for index, path in enumerate(pictures):
                # Top, left, bottom and right, counted from 1.
                boxes = np.asarray(group[group["boundingboxes"][0][index]]).T.astype(int)
                items += [
                    Item(f"{path.stem}_{k:02d}", None, functools.partial(crop, path, *map(int, box)))
                    for k, box in enumerate(boxes, 1)
                ]
    except (OSError, KeyError, IndexError, ValueError) as error:
        raise DataError(f"cannot read {info}: it is damaged or of another version", hint="download it again") from error
    return Found(blocks, folder, tuple(items))

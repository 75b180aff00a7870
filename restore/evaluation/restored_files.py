"""Restored pictures as files: those of another tool, to be scored, and those of weights, to be kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from restore.datasets.found import Found
from restore.datasets.listing import list_pictures
from restore.datasets.pairs import Pair, read_rgb
from restore.degradations import Image
from restore.errors import DataError, RestoreError
from restore.images import Picture, write_picture

if TYPE_CHECKING:
    from restore.evaluation.scoring import Answer


def find_restored(found: Found, folder: Path) -> dict[str, Path]:
    """The restored file of each picture: named like the picture, or like the file of one of its sides.

    Args:
        found: The pictures.
        folder: Holds the restored ones; files of subfolders count.

    Raises:
        DataError: The folder does not exist, or a picture has no file.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder", hint="name the folder that holds the restored pictures")
    files = {
        path.relative_to(folder).with_suffix("").as_posix(): path for path in list_pictures(folder, recursive=True)
    }
    restored = {}
    for item in found.items:
        names = [item.name, *(side.stem for side in (item.degraded, item.clean) if isinstance(side, Path))]
        match = next((files[name] for name in names if name in files), None)
        if match is None:
            raise DataError(f"{folder} holds no restored {item.name!r}", hint="use the same file names in both folders")
        restored[item.name] = match
    return restored


def reading(paths: Mapping[str, Path]) -> Answer:
    """What `scoring.evaluate` asks of another tool: its files, by the names of the pictures."""

    def read(pair: Pair) -> Image:
        return read_rgb(paths[pair.name])

    return read


def saving(answer: Answer, folder: Path) -> Answer:
    """The same answers, each also written to the folder as an 8-bit PNG.

    Raises:
        RestoreError: A file cannot be written.
    """

    def saved(pair: Pair) -> Image:
        restored = answer(pair)
        path = folder / f"{pair.name}.png"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RestoreError(f"cannot make the folder {path.parent}: {error.strerror or error}") from error
        write_picture(Picture(np.round(np.clip(restored, 0, 1) * 255).astype(np.uint8)), path)
        return restored

    return saved

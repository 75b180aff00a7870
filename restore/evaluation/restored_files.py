"""Restored pictures as files: those of another tool, to be scored, and those of weights, to be kept."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from restore.datasets.found import Found, Item
from restore.datasets.listing import list_pictures
from restore.datasets.pairs import Pair, read_rgb
from restore.degradations import Image
from restore.errors import DataError, RestoreError, first_few
from restore.images import Picture, write_picture

if TYPE_CHECKING:
    from restore.evaluation.scoring import Answer


def find_restored(found: Found, folder: Path, *, suffix: str = "") -> dict[str, Path]:
    """The restored file of each picture.

    It is named like the picture, or like the file of one of its sides. Tools add words: with no such file, the only
    file counts whose name begins so and goes on with neither a letter nor a digit, such as `0_SwinIR.png` for `0`.

    Args:
        found: The pictures.
        folder: Holds the restored ones; files of subfolders count.
        suffix: What the tool adds to all names; then only these names count.

    Raises:
        DataError: The folder does not exist, or a picture has no file, or several.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder", hint="name the folder that holds the restored pictures")
    files = {
        path.relative_to(folder).with_suffix("").as_posix(): path for path in list_pictures(folder, recursive=True)
    }
    names = {item.name: _names_of(item) for item in found.items}
    known = {name for of_item in names.values() for name in of_item}
    longer: dict[str, list[str]] = {}  # files by the longest name that they begin with
    for file in files:
        longer.setdefault(_beginning(file, known), []).append(file)
    restored = {}
    for name, of_item in names.items():
        exact = next((files[own + suffix] for own in of_item if own + suffix in files), None)
        others = [] if suffix else [file for own in of_item for file in longer.get(own, ())]
        if exact is None and len(others) > 1:
            raise DataError(
                f"{folder} holds several pictures for {name!r}: {first_few(sorted(others))}",
                hint=f"--suffix {others[0][len(_beginning(others[0], known)) :]} takes one of them",
            )
        if exact is None and not others:
            wanted = f"{name + suffix}" if suffix else name
            raise DataError(
                f"{folder} holds no restored {wanted!r}",
                hint="use the same file names in both folders, or --suffix for what a tool adds to them",
            )
        restored[name] = exact or files[others[0]]
    return restored


def _names_of(item: Item) -> list[str]:
    """What the restored file of a picture may be called: like the picture, or like the file of a side."""
    sides = [side.stem for side in (item.degraded, item.clean) if isinstance(side, Path)]
    return list(dict.fromkeys([item.name, *sides]))


def _beginning(file: str, known: Collection[str]) -> str:
    """The longest known name that a file is called, or begins with before a character that is no letter or digit.

    >>> _beginning("10_SwinIR", {"1", "10"}), _beginning("10b", {"1", "10"}), _beginning("1/a", {"1"})
    ('10', '', '')
    """
    ends = (
        end for end in range(len(file), 0, -1) if end == len(file) or not (file[end].isalnum() or "/" in file[end:])
    )
    return next((file[:end] for end in ends if file[:end] in known), "")


def reading(paths: Mapping[str, Path]) -> Answer:
    """What `scoring.evaluate` asks of another tool: its files, by the names of the pictures."""

    def read(pair: Pair) -> Image:
        return read_rgb(paths[pair.name])

    return read


def save(restored: Image, path: Path) -> None:
    """Write a restored picture as an 8-bit PNG; folders are made.

    Raises:
        RestoreError: It cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RestoreError(f"cannot make the folder {path.parent}: {error.strerror or error}") from error
    write_picture(Picture(np.round(np.clip(restored, 0, 1) * 255).astype(np.uint8)), path)

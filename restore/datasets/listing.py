"""Which entries of a folder are pictures: the one rule of training, evaluation and `restore data check`.

Archives and file managers leave entries that only look like pictures: AppleDouble files (`._1.png`), other dot files,
links to nothing, and folders with a picture's ending. They are passed over and counted.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from restore.errors import DataError
from restore.images import FORMATS

HIDDEN, FOLDER, LINK, OTHER = "dot file", "folder named like a picture", "link to nothing", "entry that is no file"


class Passed(Counter[str]):
    """How many entries of each sort were passed over."""

    def notes(self, folder: Path) -> list[str]:
        """One sentence, or none.

        >>> Passed({"dot file": 2}).notes(Path("photos"))
        ['passed over in photos: 2 dot files']
        """
        counts = [_counted(count, what) for what, count in sorted(self.items()) if count]
        return [f"passed over in {folder}: {', '.join(counts)}"] if counts else []


def _counted(count: int, what: str) -> str:
    if count == 1:
        return f"1 {what}"
    head, _, tail = what.partition(" ")
    plural = {HIDDEN: "dot files", OTHER: "entries that are no files"}.get(what, f"{head}s {tail}")
    return f"{count} {plural}"


def list_pictures(folder: Path, *, recursive: bool = False, passed: Passed | None = None) -> list[Path]:
    """The picture files of a folder, sorted by path.

    Args:
        folder: The folder.
        recursive: Include its subfolders.
        passed: Counts the entries that only look like pictures.

    Raises:
        DataError: The folder does not exist or holds no picture.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder", hint="name the folder that holds the pictures")
    found = sorted(pictures_among(_entries(folder, recursive), Passed() if passed is None else passed))
    if not found:
        deeper = "" if recursive or not _has_folders(folder) else ", or add -r for the subfolders"
        raise DataError(f"no pictures in {folder}", hint=f"expected files ending in {', '.join(FORMATS)}{deeper}")
    return found


def pictures_among(entries: Iterable[Path], passed: Passed) -> Iterator[Path]:
    """The entries that are picture files; the others that have a picture's ending are counted in `passed`."""
    for path in entries:
        if path.suffix.lower() not in FORMATS:
            continue
        if path.name.startswith("."):
            passed[HIDDEN] += 1
        elif os.path.isfile(path):  # unlike Path.is_file, it raises nothing
            yield path
        else:
            passed[FOLDER if os.path.isdir(path) else LINK if os.path.islink(path) else OTHER] += 1


def is_hidden(folder: Path) -> bool:
    """Whether a folder is one that archives and tools leave, such as `.git` and `__MACOSX`."""
    return folder.name.startswith(".") or folder.name == "__MACOSX"


def _entries(folder: Path, recursive: bool) -> Iterator[Path]:
    if not recursive:
        yield from folder.iterdir()
        return
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_hidden(Path(name)))
        yield from (Path(parent, name) for name in files)


def _has_folders(folder: Path) -> bool:
    return any(path.is_dir() and not is_hidden(path) for path in folder.iterdir())

"""What many paths are, by one listing of each folder instead of a question for each path."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from itertools import groupby

_MANY = 32  # paths in one folder from which on it is listed

_DOTS = ("", ".", "..")

_Odd = dict[str, bool]  # the names in a folder that are no regular files: whether each is a link


class Listing:
    """Links and folders among many paths. A shared disk may need a millisecond for each question about a path.

    Args:
        paths: Those that will be asked for, as a path object prints them.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        count = Counter(path.rpartition(os.sep)[0] for path in paths)
        self._listed = {folder for folder, number in count.items() if number >= _MANY}
        self._places: dict[str, tuple[str, _Odd | None]] = {}
        self._real: dict[str, str] = {}

    def is_folder(self, path: str) -> bool:
        """Whether it is a folder, or a link to one; not for a URL."""
        folder, _, name = path.rpartition(os.sep)
        odd = self._place(folder)[1]
        return os.path.isdir(path) if odd is None or name in odd or name in _DOTS else False

    def real(self, path: str) -> tuple[str, str]:
        """Folder and name without links, also of a path that does not exist. A URL is taken as it is."""
        if "://" in path:
            return path.rpartition("/")[::2]
        folder, _, name = path.rpartition(os.sep)
        if not folder or name in _DOTS:  # such as "/a.png", "a.png" or "C:a.png"
            return os.path.split(os.path.realpath(path))
        real, odd = self._place(folder)
        if os.path.islink(path) if odd is None else odd.get(name, False):
            return os.path.split(os.path.realpath(path))
        return real, name

    def _place(self, folder: str) -> tuple[str, _Odd | None]:
        """The real path of a folder, and its odd names if it is listed."""
        place = self._places.get(folder)
        if place is None:
            listed = folder and folder in self._listed
            place = self._places[folder] = self._real_folder(folder), _odd(folder) if listed else None
        return place

    def _real_folder(self, folder: str) -> str:
        """As `os.path.realpath`, with one question for each folder of a tree."""
        real = self._real.get(folder)
        if real is None:
            above, _, name = folder.rpartition(os.sep)
            is_plain = os.name == "posix" and above and name not in _DOTS and folder.count(os.sep) < 100
            if is_plain and not os.path.islink(folder):
                real = os.path.join(self._real_folder(above), name)
            else:
                real = os.path.realpath(folder)
            self._real[folder] = real
        return real


def existing(paths: Iterable[str]) -> set[str]:
    """Those that exist, also as links that lead nowhere. Paths of one folder should follow each other."""
    found: set[str] = set()
    for folder, group in groupby(paths, key=lambda path: path.rpartition(os.sep)[0]):
        together = list(group)
        if len(together) < _MANY or not folder:
            found.update(filter(os.path.lexists, together))
            continue
        with suppress(OSError):  # there is no such folder
            start, names = len(folder) + 1, set(os.listdir(folder))
            found.update(path for path in together if path[start:] in names or _has_other_name(path))
    return found


def _has_other_name(path: str) -> bool:
    """Whether a path that is not listed exists, as where the file system ignores case or changes accents."""
    return (os.name != "posix" or not path.isascii()) and os.path.lexists(path)


def _odd(folder: str) -> _Odd:
    odd: _Odd = {}
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if not entry.is_file(follow_symlinks=False):
                odd[entry.name] = entry.is_symlink()
    return odd

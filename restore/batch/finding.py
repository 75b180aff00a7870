"""Finds the pictures of an input (a file, a folder or a pattern), and counts what it leaves out."""

from __future__ import annotations

import glob
import os
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import NoReturn

from restore.batch.foreign_paths import foreign
from restore.errors import PictureError, UsageError, did_you_mean, first_few
from restore.images import FORMATS, READABLE

_MAGIC = re.compile(r"[*?[]")
_VIDEOS = frozenset({
    ".3gp", ".avi", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".webm", ".wmv",
})  # fmt: skip
_HIDDEN = frozenset({"desktop.ini", "thumbs.db"})  # on Windows
_PIPE, _LINK = "pipe or device", "linked folder"
_MOST_KINDS = 8  # that are named in the note


@dataclass
class Finder:
    """Collects the pictures of the inputs of a run.

    Attributes:
        out: The folder of the outputs, in which nothing is looked for; None if they go beside the sources.
        recursive: Include subfolders.
        copied: Extensions of files that go along with the pictures, and are not left out.
        notes: What the user should know.
        left_out: Files and linked folders that are no pictures, with their kinds, such as ".psd" or "video".
            Hidden ones do not count.
    """

    out: Path | None
    recursive: bool
    copied: frozenset[str] = frozenset()
    notes: list[str] = field(default_factory=list)
    left_out: dict[Path, str] = field(default_factory=dict)

    def find(self, text: str) -> list[tuple[Path, Path]]:
        """The pictures of one input: where each is, and its place in the output folder.

        Raises:
            PictureError: It is missing, cannot be entered, or holds no picture.
            UsageError: It is no path of this machine.
        """
        path = Path(text)
        if os.path.isdir(path):
            return [(picture, picture.relative_to(path)) for picture in self._in_folder(path)]
        if os.path.exists(path):  # Path.exists raises for names that are too long
            return [(path, Path(path.name))]
        if not _MAGIC.search(text) or foreign(text):
            raise missing(text)
        return [(picture, Path(picture.name)) for picture in self._matching(text)]

    def kinds(self) -> dict[str, int]:
        """How many of each kind are left out, the most frequent first."""
        count = Counter(self.left_out.values())
        return dict(sorted(count.items(), key=lambda one: (-one[1], one[0])))

    def left_out_note(self) -> str | None:
        """What is left out, in one line; None for nothing. Pipes and devices have a note of their own, with names."""
        kinds = [(kind, number) for kind, number in self.kinds().items() if kind != _PIPE]
        if not kinds:
            return None
        shown = [_counted(kind, number) for kind, number in kinds[:_MOST_KINDS]]
        others = sum(number for _, number in kinds[_MOST_KINDS:])
        return ", ".join(shown) + (f" and {others} of other kinds" if others else "")

    def _matching(self, pattern: str) -> list[Path]:
        matches = [Path(match) for match in sorted(glob.glob(pattern, recursive=True))]
        base = Path(*takewhile(lambda part: not _MAGIC.search(part), Path(pattern).parts))
        out = None if self.out is None else self.out.resolve()
        if out is not None and base.resolve() in out.parents:  # outputs of an earlier run
            matches = [match for match in matches if out not in match.resolve().parents]
        files = [match for match in matches if match.is_file()]
        pictures = [file for file in files if is_picture(file.name)]
        self._leave_out(file for file in files if not is_picture(file.name))
        if not pictures:
            raise PictureError(f"no picture matches {pattern}", hint=self._looked_for())
        return pictures

    def _in_folder(self, folder: Path) -> list[Path]:
        pictures: list[Path] = []
        tree = _walk(folder, self.out)
        for content in tree:
            pictures += content.pictures
            self._leave_out(content.others)
            if content.pipes:
                names = first_few([str(path) for path in content.pipes])
                self.notes.append(f"left out, because they are not regular files: {names}")
                self.left_out |= dict.fromkeys(content.pipes, _PIPE)
            if not self.recursive:
                break
            self.left_out |= dict.fromkeys(content.links, _LINK)
        if not self.recursive:
            self._tell_of_deeper(folder, tree, bool(pictures))
        if not pictures:
            raise PictureError(f"no pictures in {folder}", hint=self._looked_for())
        return pictures

    def _tell_of_deeper(self, folder: Path, tree: Iterator[_Content], has_pictures: bool) -> None:
        has_deeper = False
        with suppress(PictureError):  # an unreadable subfolder does not matter here
            has_deeper = any(content.pictures for content in tree)
        if has_deeper and not has_pictures:
            raise PictureError(f"no pictures in {folder}, only in its subfolders", hint="add -r to include subfolders")
        if has_deeper:
            self.notes.append(f"{folder} also has pictures in subfolders; -r includes them")

    def _leave_out(self, files: Iterator[Path] | list[Path]) -> None:
        kinds = {file: _kind_of(file.name) for file in files if not _is_hidden(file.name)}
        self.left_out |= {file: kind for file, kind in kinds.items() if kind not in self.copied}

    def _looked_for(self) -> str:
        found = self.left_out_note()
        kinds = ", ".join(sorted({*FORMATS, ".gif"}))
        return (f"found only {found}; " if found else "") + f"looked for {kinds} and camera RAW"


@dataclass(frozen=True)
class _Content:
    """What is in one folder, but for hidden files."""

    pictures: list[Path]
    others: list[Path]
    pipes: list[Path]  # and devices, with the name of a picture
    links: list[Path]  # to folders


def _walk(top: Path, out: Path | None) -> Iterator[_Content]:
    """The content of a folder, then of each subfolder except `out`."""
    own_output = None if out is None else out.resolve()
    for folder, folders, names in os.walk(top, onerror=_unreadable):
        here = Path(folder)
        folders[:] = sorted(f for f in folders if not f.startswith(".") and (here / f).resolve() != own_output)
        named = [here / name for name in sorted(names) if is_picture(name)]
        pipes = [picture for picture in named if not os.path.isfile(picture) and os.path.exists(picture)]
        yield _Content(
            [picture for picture in named if picture not in pipes],
            [here / name for name in sorted(names) if not is_picture(name)],
            pipes,
            [here / name for name in folders if os.path.islink(here / name)],
        )


def is_many(text: str) -> bool:
    """Whether an input is a folder or a pattern."""
    return os.path.isdir(text) or bool(_MAGIC.search(text) and not os.path.exists(text) and not foreign(text))


def is_picture(name: str) -> bool:
    """Whether a file in a folder is taken for a picture."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in READABLE


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _HIDDEN


def _kind_of(name: str) -> str:
    extension = os.path.splitext(name)[1].lower()
    return "video" if extension in _VIDEOS else extension or "without extension"


def _counted(kind: str, number: int) -> str:
    plural = "s" if number > 1 and kind in ("video", _LINK) else ""
    return f"{number} {kind}{plural}"


def _unreadable(error: OSError) -> NoReturn:
    raise PictureError(f"cannot read the folder {error.filename}: {error.strerror}") from error


def missing(text: str) -> PictureError | UsageError:
    """The error for a missing input, with the name that the user may have meant."""
    if why := foreign(text):
        return UsageError(f"cannot read {text}: {why[0]}", hint=why[1])
    path = Path(text)
    if os.path.isfile(path):  # a path object has no slash at its end
        return PictureError(f"cannot read {text}: it is a file, not a folder", hint=f"type {shlex.quote(str(path))}")
    if os.path.islink(text):
        return PictureError(f"cannot read {path}: it is a link, and the file it names does not exist")
    try:
        hint = did_you_mean(path.name, os.listdir(path.parent))
    except OSError:
        hint = f"there is no folder {path.parent}"
    return PictureError(f"cannot find {path}", hint=hint)

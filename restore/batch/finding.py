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
from typing import NamedTuple

from restore.batch import remote
from restore.batch.foreign_paths import foreign
from restore.batch.listing import Listing
from restore.errors import PictureError, UsageError, did_you_mean, first_few
from restore.images import FORMATS, READABLE

_MAGIC = re.compile(r"[*?[]")
_VIDEOS = frozenset({
    ".3gp", ".avi", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".webm", ".wmv",
})  # fmt: skip
_HIDDEN = frozenset({"desktop.ini", "thumbs.db"})  # on Windows
_PIPE, _LINK = "pipe or device", "linked folder"
_MOST_KINDS = 8  # that are named in the note


class Found(NamedTuple):
    """A picture of an input. Texts, not path objects: there may be a million.

    Attributes:
        source: Where it is.
        place: Its place in the output folder.
        key: Its path relative to the input, by which processes share the pictures.
    """

    source: str
    place: str
    key: str


@dataclass
class Finder:
    """Collects the pictures of the inputs of a run.

    Attributes:
        out: The folder of the outputs, in which nothing is looked for, a text if it is at a URL; None if they go beside
            the sources.
        recursive: Include subfolders.
        copied: Extensions of files that go along with the pictures, and are not left out.
        notes: What the user should know.
    """

    out: Path | str | None
    recursive: bool
    copied: frozenset[str] = frozenset()
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        # Kinds of what is left out, such as ".psd" or "video": of each folder, and of single files.
        self._in_folders: dict[str, Counter[str]] = {}
        self._single: dict[str, str] = {}

    def find(self, text: str) -> list[tuple[Path, Path]]:
        """The pictures of one input: where each is, and its place in the output folder. Raises as `each`."""
        return [(Path(found.source), Path(found.place)) for found in self.each(text)]

    def each(self, text: str) -> Iterator[Found]:
        """The pictures of one input, one by one.

        Raises:
            PictureError: It is missing, cannot be entered, or holds no picture.
            UsageError: It is no path of this machine.
        """
        path = str(Path(text))
        if remote.is_url(text):
            yield from self._at_url(text)
        elif os.path.isdir(path):
            yield from self._in_folder(path)
        elif os.path.exists(text):  # Path.exists raises for names that are too long
            yield Found(path, os.path.basename(path), path)
        elif not _MAGIC.search(text) or foreign(text):
            raise missing(text)
        else:
            yield from self._matching(text)

    def kinds(self) -> dict[str, int]:
        """How many of each kind are left out, the most frequent first."""
        count = Counter[str]()
        for kinds in self._in_folders.values():
            count.update(kinds)
        count.update(kind for file, kind in self._single.items() if os.path.dirname(file) not in self._in_folders)
        return dict(sorted(count.items(), key=lambda one: (-one[1], one[0])))

    def left_out_note(self) -> str | None:
        """What is left out, in one line; None for nothing. Pipes and devices have a note of their own, with names."""
        kinds = [(kind, number) for kind, number in self.kinds().items() if kind != _PIPE]
        if not kinds:
            return None
        shown = [_counted(kind, number) for kind, number in kinds[:_MOST_KINDS]]
        others = sum(number for _, number in kinds[_MOST_KINDS:])
        return ", ".join(shown) + (f" and {others} of other kinds" if others else "")

    def _matching(self, pattern: str) -> Iterator[Found]:
        matches = [str(Path(match)) for match in sorted(glob.glob(pattern, recursive=True))]
        base = Path(*takewhile(lambda part: not _MAGIC.search(part), Path(pattern).parts))
        out = self.out.resolve() if isinstance(self.out, Path) else None
        if out is not None and base.resolve() in out.parents:  # outputs of an earlier run
            listing, above = Listing(matches), os.path.join(out, "")
            matches = [match for match in matches if not os.path.join(*listing.real(match)).startswith(above)]
        has_pictures, start = False, len(_inside(str(base)))
        for match in filter(os.path.isfile, matches):
            name = os.path.basename(match)
            if is_picture(name):
                has_pictures = True
                yield Found(match, name, match[start:])
            elif kind := self._kind(name):
                self._single[match] = kind
        if not has_pictures:
            raise PictureError(f"no picture matches {pattern}", hint=self._looked_for())

    def _in_folder(self, top: str) -> Iterator[Found]:
        has_pictures = False
        tree = _walk(top, self.out if isinstance(self.out, Path) else None)
        for content in tree:
            folder = _inside(top) + content.place
            has_pictures = has_pictures or bool(content.pictures)
            for name in content.pictures:
                place = content.place + name
                yield Found(folder + name, place, place)
            kinds = Counter(kind for name in content.others if (kind := self._kind(name)))
            if content.pipes:
                names = first_few([folder + name for name in content.pipes])
                self.notes.append(f"left out, because they are not regular files: {names}")
                kinds[_PIPE] = len(content.pipes)
            if self.recursive and content.links:
                kinds[_LINK] = content.links
            if kinds:
                self._in_folders[folder.rstrip(os.sep)] = kinds
            if not self.recursive:
                break
        if not self.recursive:
            self._tell_of_deeper(top, tree, has_pictures)
        if not has_pictures:
            raise PictureError(f"no pictures in {top}", hint=self._looked_for())

    def _at_url(self, url: str) -> Iterator[Found]:
        """The pictures at a URL: one, those of a folder, or those that fit a pattern."""
        if not remote.is_many(url):
            remote.check_exists(url)
            yield Found(url, remote.name_in(url), url)
            return
        base, places, has_folders = remote.listed(url, recursive=self.recursive)
        out = f"{self.out.rstrip('/')}/" if isinstance(self.out, str) else None
        kinds, has_pictures = Counter[str](), False
        for place in places:
            source, name = remote.join(base, place), place.rpartition("/")[2]
            if out is not None and out != f"{base.rstrip('/')}/" and source.startswith(out):
                continue
            if is_picture(name):
                has_pictures = True
                yield Found(source, place.replace("/", os.sep), place)
            elif kind := self._kind(name):
                kinds[kind] += 1
        if kinds:
            self._in_folders[url] = kinds
        if not has_pictures:
            deeper = "add -r to include subfolders" if has_folders else self._looked_for()
            raise PictureError(f"no pictures in {url}", hint=deeper)
        if has_folders:
            self.notes.append(f"{url} also has subfolders; -r includes them")

    def _tell_of_deeper(self, folder: str, tree: Iterator[_Content], has_pictures: bool) -> None:
        has_deeper = False
        with suppress(PictureError):  # an unreadable subfolder does not matter here
            has_deeper = any(content.pictures for content in tree)
        if has_deeper and not has_pictures:
            raise PictureError(f"no pictures in {folder}, only in its subfolders", hint="add -r to include subfolders")
        if has_deeper:
            self.notes.append(f"{folder} also has pictures in subfolders; -r includes them")

    def _kind(self, name: str) -> str | None:
        """The kind of a file that is left out; None if it is hidden, or goes along with a picture."""
        kind = None if _is_hidden(name) else _kind_of(name)
        return None if kind in self.copied else kind

    def _looked_for(self) -> str:
        found = self.left_out_note()
        kinds = ", ".join(sorted({*FORMATS, ".gif"}))
        return (f"found only {found}; " if found else "") + f"looked for {kinds} and camera RAW"


class _Content(NamedTuple):
    """What is in one folder, but for hidden pictures: names in order.

    Attributes:
        place: The folder, relative to the top and with a separator at the end; empty for the top.
        pictures: Those of files, and of links to files or to nowhere.
        others: Names of other files.
        pipes: Names of pipes and devices that look like pictures.
        links: The number of links to folders.
    """

    place: str
    pictures: list[str]
    others: list[str]
    pipes: list[str]
    links: int


def _inside(folder: str) -> str:
    """What stands before the names in a folder."""
    return "" if folder == "." else os.path.join(folder, "")


def _walk(top: str, out: Path | None) -> Iterator[_Content]:
    """The content of a folder, then of each subfolder except `out`. Asks for no file that the listing tells of."""
    own_output = None if out is None else os.path.realpath(out)
    places = [""]
    while places:
        place = places.pop()
        content, folders, links = _Content(place, [], [], [], 0), [], 0
        folder = os.path.join(top, place[:-1]) if place else top
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if _is_folder(entry):
                        if entry.name.startswith(".") or _is_output(entry, own_output):
                            continue
                        if entry.is_symlink():
                            links += 1
                        else:
                            folders.append(f"{place}{entry.name}{os.sep}")
                    elif not is_picture(entry.name):
                        content.others.append(entry.name)
                    elif _is_pipe(entry):
                        content.pipes.append(entry.name)
                    else:
                        content.pictures.append(entry.name)
        except OSError as error:
            raise PictureError(f"cannot read the folder {folder}: {error.strerror}") from error
        for names in content[1:4]:
            names.sort()
        yield content._replace(links=links)
        places += sorted(folders, reverse=True)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # such as a link to itself
        return False


def _is_output(entry: os.DirEntry[str], output: str | None) -> bool:
    is_alike = entry.is_symlink() or (output is not None and entry.name == os.path.basename(output))
    return is_alike and os.path.realpath(entry.path) == output


def _is_pipe(entry: os.DirEntry[str]) -> bool:
    """Whether it is a pipe or device; a link that leads nowhere is none."""
    try:
        return not entry.is_file() and os.path.exists(entry.path)
    except OSError:
        return False


def is_many(text: str) -> bool:
    """Whether an input is a folder or a pattern."""
    if remote.is_url(text):
        return remote.is_many(text)
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

"""Named datasets: what they are and how people store them. `datasets.toml` holds the records.

A fact that is not known is None or "not stated", never a guess.
"""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from restore.errors import check_choice

Record = TypeVar("Record")


@dataclass(frozen=True)
class Layout:
    """One way in which people store a set: picture files.

    Attributes:
        origin: Who stores it so.
        clean, degraded: Patterns of paths without the ending; None where the set has no such pictures. What the `*` of
            a pattern stand for is the name of a picture, and pairs it with its partner. A `degraded` with more `*` than
            `clean` means several degraded versions of one picture.
        within: Folders below the root in which the patterns may begin.
        pictures: Number of pictures in this layout, where it differs from the split's.
    """

    origin: str
    clean: str | None
    degraded: str | None = None
    within: tuple[str, ...] = ("",)
    pictures: int | None = None

    @property
    def paths(self) -> str:
        """The patterns, the degraded one first."""
        return " + ".join(p for p in (self.degraded, self.clean) if p)

    def __str__(self) -> str:
        return _described(self)


@dataclass(frozen=True)
class Blocks:
    """One way in which people store a set: blocks of 256x256 pixels in MATLAB files.

    Attributes:
        origin, within, pictures: As for `Layout`.
        degraded, clean: File and variable; None where the authors keep the clean pictures.
        boxes: File and variable with the places of the blocks, where `degraded` are whole pictures (DND).
    """

    origin: str
    degraded: tuple[str, str]
    clean: tuple[str, str] | None = None
    boxes: tuple[str, str] | None = None
    within: tuple[str, ...] = ("",)
    pictures: int | None = None

    @property
    def paths(self) -> str:
        """The files, the degraded one first."""
        return " + ".join(f[0] for f in (self.degraded, self.clean, self.boxes) if f)

    def __str__(self) -> str:
        return _described(self)


def _described(layout: Layout | Blocks) -> str:
    """Its patterns, who uses it, and where the patterns may begin."""
    places = " or ".join(place for place in layout.within if place)
    return f"{layout.paths} ({layout.origin}{'; also below ' + places if places else ''})"


@dataclass(frozen=True)
class Split:
    """A part of a set.

    Attributes:
        pictures: Number of degraded pictures, or of clean ones where a set has no others; None if not known.
        layouts: Its layouts; the first one that fits is taken.
    """

    pictures: int | None
    layouts: tuple[Layout | Blocks, ...]


@dataclass(frozen=True)
class Dataset:
    """One named set.

    Attributes:
        name: Key of `datasets()`.
        summary: What it is, in at most 44 characters.
        task: Key of `TASKS`: what it is mainly used for.
        paper: Where it was introduced.
        source: Where it is offered, or who describes it.
        licence: Its terms, as far as they are known.
        used_in: Papers of the networks here that use it, with tables.
        splits: Parts by name.
        protocol: Key of `PROTOCOLS`, where the papers do not score this set by the usual one of its task.
        degradation: Key of `DEGRADATIONS`, where the papers do not degrade this set in the usual way of its task.
        colour: Whether the pictures are colour, grey or both.
        notes: What else its users should know.
    """

    name: str
    summary: str
    task: str
    paper: str
    source: str
    licence: str
    used_in: tuple[str, ...]
    splits: dict[str, Split] = field(hash=False)
    protocol: str | None = None
    degradation: str | None = None
    colour: Literal["rgb", "grey", "mixed"] = "rgb"
    notes: str | None = None

    @property
    def scored_split(self) -> str:
        """The split that `restore eval` takes by default."""
        return next((name for name in ("test", "validation") if name in self.splits), next(iter(self.splits)))


@functools.cache
def datasets() -> dict[str, Dataset]:
    """The records of `datasets.toml` by name, in the order of the file; do not change them.

    Raises:
        ValueError: The file has an unknown or missing key, or names an unknown layout.
    """
    return read_datasets(Path(__file__).with_name("datasets.toml").read_text(encoding="utf-8"))


def dataset_called(name: str) -> Dataset:
    """The record of a name.

    Raises:
        UsageError: There is none; the hint suggests the most similar name.
    """
    check_choice("dataset", name, datasets(), hint="`restore data list` lists the names")
    return datasets()[name]


def read_datasets(text: str) -> dict[str, Dataset]:
    """The records of a file such as `datasets.toml`.

    Raises:
        ValueError: As for `datasets`.
    """
    tables = tomllib.loads(text)
    layouts: dict[str, dict[str, Any]] = tables.pop("layouts", {})
    named: dict[str, dict[str, Any]] = tables.pop("datasets", {})
    if tables:
        raise ValueError(f"unknown tables: {', '.join(tables)}")
    return {name: _dataset(name, table, layouts) for name, table in named.items()}


def _dataset(name: str, table: dict[str, Any], layouts: dict[str, dict[str, Any]]) -> Dataset:
    about = dict(table)
    folders = about.pop("folders", [name])
    about["used_in"] = tuple(about.get("used_in", ()))
    about["splits"] = {
        split: _split(f"{name} {split}", {"folder": split} | part, folders, layouts)
        for split, part in about.get("splits", {}).items()
    }
    return _record(Dataset, name, about | {"name": name})


def _split(where: str, table: dict[str, Any], folders: list[str], layouts: dict[str, dict[str, Any]]) -> Split:
    about = {"pictures": None} | table
    folder = about.pop("folder")
    try:
        about["layouts"] = tuple(_layout(name, layouts[name], folder, folders) for name in about["layouts"])
    except KeyError as error:
        raise ValueError(f"{where}: there is no {error}") from None
    return _record(Split, where, about)


def _layout(name: str, table: dict[str, Any], split: str, folders: list[str]) -> Layout | Blocks:
    about = {"clean": None} | table
    within = (
        place.replace("{split}", split).replace("{folder}", folder)
        for folder in folders
        for place in about.get("within", ("",))
    )
    # The root and the set's own folders come first.
    about["within"] = tuple(sorted(dict.fromkeys(within), key=lambda place: place not in ("", *folders)))
    kind: type[Layout] | type[Blocks] = Layout
    for side in ("clean", "degraded", "boxes"):
        if isinstance(about.get(side), list):
            kind, about[side] = Blocks, tuple(about[side])
        elif isinstance(about.get(side), str):
            about[side] = about[side].replace("{split}", split)
    return _record(kind, name, about)


def _record(kind: type[Record], where: str, values: dict[str, Any]) -> Record:
    try:
        return kind(**values)
    except TypeError as error:  # a key is unknown or missing
        raise ValueError(f"{where}: {error}") from None

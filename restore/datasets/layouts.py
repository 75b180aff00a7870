"""Finding the pictures of a set on disk: which files belong to it, and which make a pair."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from restore.datasets.faulty import FaultyPictures
from restore.datasets.found import Found, Item
from restore.datasets.listing import Passed, is_hidden, list_pictures, pictures_among
from restore.datasets.matlab_blocks import find_blocks
from restore.datasets.name_patterns import partners
from restore.datasets.registry import Blocks, Layout, dataset_called
from restore.errors import DataError

Files = dict[tuple[str, ...], list[Path]]  # by what the stars of a pattern stand for


class Absent(DataError):
    """A folder holds no picture of a split in a known layout."""


def find(name: str, root: Path, split: str | None = None) -> Found:
    """The pictures of a named set.

    Args:
        name: Key of `datasets()`.
        root: Folder of the set, or a folder above it that a layout names.
        split: Key of its `splits`; None for its `scored_split`.

    Raises:
        Absent: The folder holds no picture in a layout of the split.
        DataError: The folder or the split does not exist, or a MATLAB file cannot be read.
        UsageError: There is no such set.
    """
    dataset = dataset_called(name)
    split = split or dataset.scored_split
    if split not in dataset.splits:
        raise DataError(f"{name} has no split {split!r}", hint=f"choose one of {', '.join(dataset.splits)}")
    if not root.is_dir():
        raise DataError(f"{root} is not a folder", hint="name the folder that holds the set")
    layouts = dataset.splits[split].layouts
    half: Found | None = None
    for layout in layouts:
        for place in layout.within:
            found = find_blocks(layout, root / place) if isinstance(layout, Blocks) else _pictures(layout, root / place)
            if found is not None and found.items:
                return found
            half = half or found
    if half is not None:
        return half
    raise Absent(
        f"{root} holds no {split} pictures of {name} in a known layout",
        hint=f"expected {'; or '.join(map(str, layouts))}",
    )


def find_folders(clean: Path, degraded: Path | None = None, *, recursive: bool = False) -> Found:
    """The pictures of the user's own folders, paired by name without the ending, else by a pattern of the names.

    Args:
        clean: Folder of clean pictures.
        degraded: Folder of degraded pictures.
        recursive: Include subfolders; the name of a picture is then its path below the folder.

    Raises:
        DataError: A folder does not exist or holds no picture.
    """
    notes: list[str] = []
    sides = [None if folder is None else _named(folder, recursive, notes) for folder in (clean, degraded)]
    layout = Layout("own", "*", None if degraded is None else "*")
    cleans, others = sides[0] or {}, sides[1]
    if degraded is not None and clean.resolve() == degraded.resolve():
        notes.append(f"{clean} is given for the clean and for the degraded pictures")
    if others is not None and (pattern := partners([key for (key,) in cleans], [key for (key,) in others])):
        items = [
            Item(name, cleans[pattern[name],][0], paths[0])
            for (name,), paths in sorted(others.items())
        ]  # fmt: skip
        return Found(layout, clean, tuple(items), tuple(_doubles(cleans, others)), tuple(notes))
    found = _paired(layout, clean, cleans, others)
    assert found is not None
    return dataclasses.replace(found, notes=tuple(notes))


def refuse_faults(found: Found, arguments: str) -> None:
    """Refuse pictures of which some cannot be paired.

    Args:
        found: The pictures.
        arguments: What `restore data check` needs to find the same pictures.

    Raises:
        FaultyPictures: There are such pictures.
    """
    if found.faults:
        count = len(found.faults)
        raise FaultyPictures(
            f"{count} picture{'s' * (count != 1)} cannot be paired, first: {found.faults[0]}",
            hint=f"`restore data check {arguments}` lists them",
            faults=found.faults,
        )


def _named(folder: Path, recursive: bool, notes: list[str]) -> Files:
    """The pictures of a folder by their path below it without the ending; a note if some entries are passed over."""
    passed, files = Passed(), Files()
    for path in list_pictures(folder, recursive=recursive, passed=passed):
        files.setdefault((path.relative_to(folder).with_suffix("").as_posix(),), []).append(path)
    notes += passed.notes(folder)
    return files


def _pictures(layout: Layout, folder: Path) -> Found | None:
    passed = Passed()
    sides = [
        None if pattern is None else _matched(pattern, folder, passed) for pattern in (layout.clean, layout.degraded)
    ]
    found = _paired(layout, folder, *sides)
    return found and dataclasses.replace(found, notes=tuple(passed.notes(folder)))


def _matched(pattern: str, folder: Path, passed: Passed) -> Files:
    """The pictures whose path below `folder` fits the pattern, by what its stars stand for."""
    parents, _, _ = pattern.rpartition("/")
    folders = sorted(folder.glob(parents)) if parents else [folder]
    fits = re.compile(re.escape(pattern).replace(r"\*", "([^/]*)"), re.IGNORECASE)
    files: Files = {}
    for parent in folders:
        if not parent.is_dir() or is_hidden(parent):
            continue
        for path in sorted(pictures_among(parent.iterdir(), passed)):
            match = fits.fullmatch(path.relative_to(folder).with_suffix("").as_posix())
            if match:
                files.setdefault(match.groups(), []).append(path)
    return files


def _doubles(*sides: Files | None) -> list[str]:
    """Pictures of one side that differ in their endings alone, one sentence each."""
    return [
        f"{first.name} and {second.name} in {first.parent} have the same name"
        for files in sides
        for first, second, *_ in (paths for paths in (files or {}).values() if len(paths) > 1)
    ]


def _paired(layout: Layout, folder: Path, clean: Files | None, degraded: Files | None) -> Found | None:
    """The pictures of both sides as pairs; None where there is no picture at all."""
    if not clean and not degraded:
        return None
    faults = _doubles(clean, degraded)
    if clean is None or degraded is None:
        items = [
            Item("/".join(key), paths[0] if degraded is None else None, paths[0] if clean is None else None)
            for key, paths in sorted((clean or degraded or {}).items())
        ]
        return Found(layout, folder, tuple(items), tuple(faults))
    assert layout.clean is not None
    stars = layout.clean.count("*")
    items = [
        Item("/".join(key), clean[key[:stars]][0], paths[0])
        for key, paths in sorted(degraded.items())
        if key[:stars] in clean
    ]
    used = {key[:stars] for key in degraded}
    faults += [
        f"{paths[0]} has no clean partner" for key, paths in sorted(degraded.items()) if key[:stars] not in clean
    ]
    faults += [f"{paths[0]} has no degraded partner" for key, paths in sorted(clean.items()) if key not in used]
    return Found(layout, folder, tuple(items), tuple(faults))

"""Finding the pictures of a set on disk: which files belong to it, and which make a pair."""

from __future__ import annotations

import re
from pathlib import Path

from restore.datasets.found import Found, Item
from restore.datasets.matlab_blocks import find_blocks
from restore.datasets.registry import Blocks, Layout, dataset_called
from restore.errors import DataError
from restore.images import FORMATS

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


def find_folders(clean: Path, degraded: Path | None = None) -> Found:
    """The pictures of the user's own folders, paired by name without the ending.

    Raises:
        DataError: A folder does not exist, or there is no picture.
    """
    for folder in (clean, degraded):
        if folder is not None and not folder.is_dir():
            raise DataError(f"{folder} is not a folder", hint="name the folder that holds the pictures")
    sides = [_matched("*", clean), None if degraded is None else _matched("*", degraded)]
    found = _paired(Layout("own", "*", None if degraded is None else "*"), clean, sides[0], sides[1])
    if found is None:
        raise DataError(f"no pictures in {clean}", hint=f"expected files ending in {', '.join(FORMATS)}")
    return found


def _pictures(layout: Layout, folder: Path) -> Found | None:
    sides = [None if pattern is None else _matched(pattern, folder) for pattern in (layout.clean, layout.degraded)]
    return _paired(layout, folder, *sides)


def _matched(pattern: str, folder: Path) -> Files:
    """The pictures whose path below `folder` fits the pattern, by what its stars stand for."""
    parents, _, _ = pattern.rpartition("/")
    folders = sorted(folder.glob(parents)) if parents else [folder]
    fits = re.compile(re.escape(pattern).replace(r"\*", "([^/]*)"), re.IGNORECASE)
    files: Files = {}
    for parent in folders:
        for path in sorted(parent.iterdir()) if parent.is_dir() else ():
            if path.suffix.lower() in FORMATS and path.is_file():
                match = fits.fullmatch(path.relative_to(folder).with_suffix("").as_posix())
                if match:
                    files.setdefault(match.groups(), []).append(path)
    return files


def _paired(layout: Layout, folder: Path, clean: Files | None, degraded: Files | None) -> Found | None:
    """The pictures of both sides as pairs; None where there is no picture at all."""
    if not clean and not degraded:
        return None
    faults = [
        f"{first.name} and {second.name} in {first.parent} have the same name"
        for files in (clean, degraded)
        for first, second, *_ in (paths for paths in (files or {}).values() if len(paths) > 1)
    ]
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

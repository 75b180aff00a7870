"""The pictures of a run on disk: photos, pairs, or a named dataset, found and paired as for evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from restore.datasets import layouts
from restore.datasets.found import Found
from restore.datasets.listing import Passed, list_pictures
from restore.datasets.registry import dataset_called
from restore.datasets.unpacking import unpacked
from restore.errors import DataError, UsageError


@dataclass(frozen=True)
class Sources:
    """The pictures of a run.

    Attributes:
        photos: Clean photos to degrade, in order.
        pairs: `(clean, degraded)`, in order; a clean picture may be in several pairs.
        about_photos, about_pairs: What follows their number in words, with names between backticks.
        notes: What the user should know about the folders.
    """

    photos: tuple[Path, ...] = ()
    pairs: tuple[tuple[Path, Path], ...] = ()
    about_photos: str = ""
    about_pairs: str = ""
    notes: tuple[str, ...] = ()

    @property
    def counts(self) -> str:
        """How many photos and pairs there are, in words."""
        return " and ".join(
            f"{len(files)} {what}" for files, what in ((self.photos, "photos"), (self.pairs, "pairs")) if files
        )


def find_sources(data: Path | None, pairs: tuple[Path, Path] | None, *, recursive: bool = False) -> Sources:
    """The pictures of the user's own folders.

    Args:
        data: Folder of clean photos.
        pairs: Folders of clean and of degraded pictures, paired as `layouts.find_folders` does.
        recursive: Include their subfolders.

    Raises:
        DataError: A folder does not exist or holds no picture, or some pictures cannot be paired.
    """
    passed, notes = Passed(), []
    photos = [] if data is None else list_pictures(data, recursive=recursive, passed=passed)
    if data is not None:
        notes += passed.notes(data)
    both: list[tuple[Path, Path]] = []
    if pairs is not None:
        found = layouts.find_folders(*pairs, recursive=recursive)
        layouts.refuse_faults(found, f"--clean {pairs[0]} --degraded {pairs[1]}{' -r' * recursive}")
        both = _pairs_of(found)
        notes += found.notes
    return Sources(
        tuple(photos), tuple(both), "" if data is None else f"pictures of the folder {_name(data)}",
        "" if pairs is None else f"pairs of the folders {' and '.join(map(_name, pairs))}", tuple(notes),
    )  # fmt: skip


def find_dataset(name: str, root: Path, split: str | None = None) -> Sources:
    """The pictures of a named dataset: pairs, or photos where it has clean pictures alone.

    Args:
        name: Key of `datasets()`.
        root: The folder that holds it.
        split: Key of its splits; None for `train`, or for the scored one where there is no other.

    Raises:
        DataError: The folder does not hold the split, pictures cannot be paired, or it has no clean ones.
        UsageError: There is no such dataset.
    """
    record = dataset_called(name)
    part = split or ("train" if "train" in record.splits else record.scored_split)
    found = layouts.find(name, root, part)
    layouts.refuse_faults(found, f"{name} --root {root} --split {part}")
    if not found.has_clean:
        raise DataError(f"{name} {part} has no clean pictures to train on", hint=f"`restore data show {name}`")
    found = unpacked(found)
    notes = list(found.notes)
    if part != "train":
        lacks = "" if "train" in record.splits else f"{name} has no pictures to train on: "
        notes.append(f"{lacks}these are its {part} pictures, so do not score on them")
    expected = found.layout.pictures or record.splits[part].pictures
    if expected not in (None, len(found.items)):
        notes.append(f"{root} holds {len(found.items):,} pictures of {name} {part}, not {expected:,}")
    what = f"of {name} {part}"
    if found.has_degraded:
        return Sources(pairs=tuple(_pairs_of(found)), about_pairs=f"pairs {what}", notes=tuple(notes))
    photos = sorted(item.clean for item in found.items if isinstance(item.clean, Path))
    return Sources(photos=tuple(photos), about_photos=f"pictures {what}", notes=tuple(notes))


def check_sources(data: Path | None, pairs: tuple[Path | None, Path | None], dataset: str | None, root: Path | None,
                  split: str | None) -> None:  # fmt: skip
    """Refuse options that name no pictures, or pictures in two ways.

    Raises:
        UsageError: They do.
    """
    clean, degraded = pairs
    has_own = data is not None or clean is not None or degraded is not None
    if dataset is not None and has_own:
        raise UsageError("--dataset names the pictures already", hint="leave out --data, --clean and --degraded")
    if (dataset is None) != (root is None) or (split is not None and dataset is None):
        raise UsageError("a dataset needs its name and its folder", hint="--dataset NAME --root DIR [--split NAME]")
    if dataset is None and ((data is None and clean is None) or (clean is None) != (degraded is None)):
        raise UsageError(
            "nothing to train on",
            hint="use --data DIR, or --clean DIR --degraded DIR, or all three, or --dataset NAME --root DIR",
        )


def _pairs_of(found: Found) -> list[tuple[Path, Path]]:
    """The pairs in the order of their paths, which decides which are held out."""
    return sorted(
        (item.clean, item.degraded)
        for item in found.items
        if isinstance(item.clean, Path) and isinstance(item.degraded, Path)
    )


def _name(folder: Path) -> str:
    return f"`{folder.absolute().name}`"

"""Photos and pairs that travel to a borrowed machine, in tar files of limited size."""

from __future__ import annotations

import filecmp
import os
import shutil
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from restore.errors import UsageError

PARTS = Path(__file__).parents[1] / "runs/photos"  # folder of the tar files
BLOCK, END = 512, 10240  # bytes in a tar file: a block or header, and the end of the file


def in_parts(sizes: list[int], room: int, first: int) -> list[list[int]]:
    """Distribute files over parts: the last `first` into the first part, then the largest first, where they fit.

    >>> in_parts([4, 9, 5, 1], room=10, first=1)
    [[3, 1], [2, 0]]

    Args:
        sizes: Bytes of each file, in order.
        room: Bytes of a part.
        first: How many files at the end belong into the first part.

    Raises:
        UsageError: A file does not fit into a part, or the last `first` do not fit together.
    """
    parts: list[list[int]] = [list(range(len(sizes) - first, len(sizes)))]
    left = [room - sum(sizes[i] for i in parts[0])]
    for i in sorted(range(len(sizes) - first), key=lambda i: -sizes[i]):
        fitting = [at for at, free in enumerate(left) if sizes[i] <= free]
        if not fitting:
            parts.append([])
            left.append(room)
            fitting = [len(parts) - 1]
        parts[fitting[0]].append(i)
        left[fitting[0]] -= sizes[i]
    if min(left) < 0:
        raise UsageError("some pictures are too large for a part", hint="use a larger --size, in MiB")
    return parts


def pack(groups: Sequence[dict[str, Path]], out: Path, name: str, *, size: int, first: int) -> list[tuple[Path, int]]:
    """Write groups of files into `NAME-1.tar` and so on, and remove earlier ones.

    Args:
        groups: Files that stay together, by name in the tar file.
        out: Folder of the tar files.
        name: Name of the tar files.
        size: Largest size of a tar file in bytes.
        first: How many groups at the end belong into the first part.

    Returns:
        The tar files and how many groups each holds.

    Raises:
        UsageError: A group does not fit.
    """
    sizes = [sum(BLOCK + -(-path.stat().st_size // BLOCK) * BLOCK for path in group.values()) for group in groups]
    parts = in_parts(sizes, size - END - BLOCK, first)
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob(f"{name}-*.tar"):
        old.unlink()
    written = []
    for number, part in enumerate(parts, 1):
        path = out / f"{name}-{number}.tar"
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
            for i in sorted(part):
                for inside, file in groups[i].items():
                    tar.add(file, inside)
        written.append((path, len(part)))
    return written


def unpacked(folder: Path) -> Path:
    """Unpack all parts of scripts/pack_photos.py in `folder`, and return the folder of the photos.

    Raises:
        UsageError: There are no parts.
    """
    if not (found := sorted(folder.glob("part-*.tar"))):
        raise UsageError(
            f"there are no photos in {folder}", hint="use --data, or pack photos with scripts/pack_photos.py"
        )
    photos = folder / "photos"
    for part in found:
        _extract(part, photos)
    return photos


def _extract(part: Path, folder: Path) -> list[str]:
    with tarfile.open(part) as tar:
        tar.extractall(folder, filter="data")
        return tar.getnames()


def is_scored(name: str, heavy: list[str]) -> bool:
    """Whether scores use a pair of rain, or a pair of the same scene. Never train on such a pair.

    Scores use all light rain (`rain200l`), and every third name of `heavy` from the third on.

    Args:
        name: File name of the pair.
        heavy: Sorted names of all pairs of heavy rain.
    """
    return name.startswith("rain200l") or name in heavy[2::3] or Path(name).stem in ("rain100h_1", "rain200h_2")


def unscored_pairs(source: Path) -> list[tuple[Path, Path]]:
    """The pairs of rain in the folders `clean` and `rainy` of `source` that no score uses."""
    from restore.datasets.pairs import pair_up

    pairs = pair_up(source / "clean", source / "rainy")
    heavy = sorted(clean.name for clean, _ in pairs if not clean.name.startswith("rain200l"))
    return [pair for pair in pairs if not is_scored(pair[0].name, heavy)]


def pairs_to_train_on(source: Path, folder: Path, parts: Path = PARTS) -> tuple[Path, Path] | None:
    """Collect the pairs of rain that no score uses; return their folders, `clean` and `rainy` in `folder`, or None.

    Args:
        source: Folder of all pairs. The pairs are copied, because links do not travel to another machine.
        folder: Folder of the collected pairs. Without `source` and `parts`, the pairs that it holds stay.
        parts: Folder of `pairs-1.tar` and so on (scripts/pack_photos.py), which are unpacked if there is no `source`.
    """
    kinds = folder / "clean", folder / "rainy"
    kept: set[str] = set()
    if source.is_dir():
        for pair in unscored_pairs(source):
            for kind, path in zip(kinds, pair, strict=True):
                _copy(path, kind / path.name)
                kept.add(f"{kind.name}/{path.name}")
    else:
        for part in sorted(parts.glob("pairs-*.tar")):
            kept.update(_extract(part, folder))
    if kept:
        _remove_others(kinds, kept)
    return kinds if kinds[0].is_dir() else None


def _copy(path: Path, target: Path) -> None:
    """Copy a file unless an equal copy exists. A link becomes a file, and other processes only see complete files."""
    if target.is_file() and not target.is_symlink() and filecmp.cmp(path, target):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.copy2(path, temporary)
    temporary.replace(target)


def _remove_others(folders: Iterable[Path], kept: set[str]) -> None:
    for folder in folders:
        for path in folder.iterdir():
            if f"{folder.name}/{path.name}" not in kept and not path.name.startswith("."):
                path.unlink()

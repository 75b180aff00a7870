"""What goes to a lent machine and comes back: photos and pairs in tar files, and files of runs in parts.

Importing this costs little: torch is imported where a state is halved.
"""

from __future__ import annotations

import filecmp
import itertools
import os
import shutil
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from restore.errors import UsageError
from restore.files import whole_file

if TYPE_CHECKING:
    import torch

PARTS = Path(__file__).parents[1] / "runs/photos"  # where the tar files are looked for
PART = 15 * 2**20  # bytes; a lent machine gives back files of 16 MiB at most
TRAVELLING = ("state.pt", "last.safetensors", "best.safetensors")
BLOCK, END = 512, 10240  # tar: a header and what fills the last block up; what ends the file

# Photos and pairs


def in_parts(sizes: list[int], room: int, first: int) -> list[list[int]]:
    """Which files go into which part: the last `first` into the first, then the largest first, each where it fits.

    >>> in_parts([4, 9, 5, 1], room=10, first=1)
    [[3, 1], [2, 0]]

    Args:
        sizes: Bytes of each file, in order.
        room: Bytes of a part.
        first: So many files at the end are in the first part.

    Raises:
        UsageError: One file, or the first ones together, have no room in a part.
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
        raise UsageError("some pictures are too large for a part", hint="--size takes MiB")
    return parts


def pack(groups: Sequence[dict[str, Path]], out: Path, name: str, *, size: int, first: int) -> list[tuple[Path, int]]:
    """Write groups of files into `NAME-1.tar` and so on, in place of earlier ones.

    Args:
        groups: Files that stay together, by their names in the tar file.
        out: Folder of the tar files.
        name: Their name.
        size: Bytes of each at most.
        first: So many groups at the end are in the first part.

    Returns:
        The tar files, with their number of groups.

    Raises:
        UsageError: Some have no room.
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
    """The photos of all parts that scripts/pack_photos.py made and that lie in `folder`, in one folder.

    Raises:
        UsageError: There are none.
    """
    if not (found := sorted(folder.glob("part-*.tar"))):
        raise UsageError(f"there are no photos, neither by --data nor in {folder}", hint="scripts/pack_photos.py")
    photos = folder / "photos"
    for part in found:
        _extract(part, photos)
    return photos


def _extract(part: Path, folder: Path) -> list[str]:
    with tarfile.open(part) as tar:
        tar.extractall(folder, filter="data")
        return tar.getnames()


def is_scored(name: str, heavy: list[str]) -> bool:
    """Whether a pair of rain is one that weights are scored on, or shows the scene of one: never to be trained on.

    Those of light rain (`rain200l`) and, of `heavy`, the sorted names of all others, every third from the third on.
    """
    return name.startswith("rain200l") or name in heavy[2::3] or Path(name).stem in ("rain100h_1", "rain200h_2")


def unscored_pairs(source: Path) -> list[tuple[Path, Path]]:
    """The pairs of rain in `source`, `clean` and `rainy`, that no score is made with."""
    from restore.datasets.pairs import pair_up

    pairs = pair_up(source / "clean", source / "rainy")
    heavy = sorted(clean.name for clean, _ in pairs if not clean.name.startswith("rain200l"))
    return [pair for pair in pairs if not is_scored(pair[0].name, heavy)]


def pairs_to_train_on(source: Path, folder: Path, parts: Path = PARTS) -> tuple[Path, Path] | None:
    """Folders of pairs of rain, `clean` and `rainy` in `folder`, that no score is made with; None if there are none.

    They are copies of those of `source`, for links do not travel to another machine. Where there is no `source` they
    are those of `pairs-1.tar` and so on, which scripts/pack_photos.py made and which lie in `parts`; without these too,
    those that are in `folder`.
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
    """Copy a file unless its copy is there; a link becomes a file, and a process that reads it meets a whole one."""
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


# Files of runs


def packed(folder: Path) -> None:
    """Make the files of a run small enough to be given back by a lent machine.

    A state above `PART` is halved: what goes on from it is near, not equal, to what would have been.
    """
    if (state := folder / "state.pt").is_file() and state.stat().st_size > PART:
        halve(state)
    for name in TRAVELLING:
        split(folder / name)


def halve(path: Path) -> None:
    """A state in half precision: weights in float16, what the optimiser remembers in bfloat16, which has its range."""
    import torch

    def halved(value: Any, kind: torch.dtype) -> Any:
        if isinstance(value, dict):
            return {key: halved(part, kind) for key, part in value.items()}
        is_many = isinstance(value, torch.Tensor) and value.is_floating_point() and value.numel() > 1
        return value.to(kind) if is_many else value

    state = torch.load(path, map_location="cpu", weights_only=True)
    for key, kind in (("network", torch.float16), ("average", torch.float16), ("optimizer", torch.bfloat16)):
        state[key] = halved(state[key], kind)
    with whole_file(path) as temporary:
        torch.save(state, temporary)


def split(path: Path, size: int | None = None) -> None:
    """A file that is larger than `size` bytes, by default `PART`, becomes parts of so many, `state.pt.1` and so on."""
    size = size or PART
    if not path.is_file() or path.stat().st_size <= size:
        return
    with path.open("rb") as file:
        for number in itertools.count(1):
            if not (read := file.read(size)):
                break
            path.with_name(f"{path.name}.{number}").write_bytes(read)
    path.unlink()


def joined(path: Path) -> None:
    """The file again that `split` made parts of, if there are any."""
    found = sorted(path.parent.glob(f"{path.name}.[0-9]*"), key=lambda part: int(part.suffix[1:]))
    if found:
        with whole_file(path) as temporary:
            temporary.write_bytes(b"".join(part.read_bytes() for part in found))
        for part in found:
            part.unlink()

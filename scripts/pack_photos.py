"""Pack photographs in parts, to carry them to a machine that takes little at once; scripts/train_next.py unpacks them.

    python scripts/pack_photos.py ../shared/data/train/photos runs/photos

Each part is a tar file of the photos as they are, under 22 MiB. The last photos by name are in the first part, so that
training holds out the same ones however many parts are there.
"""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Annotated

import typer

from restore.data import list_pictures
from restore.errors import UsageError

LARGEST = 22 * 2**20  # bytes
HELD_OUT = 24  # photos
BLOCK, END = 512, 10240  # tar: a header and what fills the last block up; what ends the file


def packed(sizes: list[int], room: int, first: int) -> list[list[int]]:
    """Which files go into which part: the last `first` into the first, then the largest first, each where it fits.

    >>> packed([4, 9, 5, 1], room=10, first=1)
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
        raise UsageError("some photos are too large for a part", hint="--size takes MiB")
    return parts


def main(
    photos: Annotated[Path, typer.Argument(help="Folder of photographs.")],
    out: Annotated[Path, typer.Argument(help="part-1.tar and so on are written into it.")],
    size: Annotated[float, typer.Option(help="MiB of a part at most.")] = LARGEST / 2**20,
) -> None:
    files = list_pictures(photos)
    sizes = [BLOCK + -(-path.stat().st_size // BLOCK) * BLOCK for path in files]
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("part-*.tar"):
        old.unlink()
    parts = packed(sizes, int(size * 2**20) - END - BLOCK, min(HELD_OUT, len(files)))
    for number, part in enumerate(parts, 1):
        path = out / f"part-{number}.tar"
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
            for i in sorted(part):
                tar.add(files[i], files[i].name)
        print(f"{path}: {len(part)} photos, {path.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    typer.run(main)

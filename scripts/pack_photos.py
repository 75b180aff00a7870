"""Pack photos into small tar files, to carry them to a borrowed machine. scripts/train_next.py unpacks them.

    python scripts/pack_photos.py ../shared/data/train/photos runs/photos --pairs ../shared/data/train/rain_pairs

Each part holds unchanged photos, up to 22 MiB. The last photos by name are in the first part, so that training holds
out the same ones with any number of parts. Pairs of rain are in `pairs-1.tar` and so on, without those that scores use.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from restore.datasets.listing import list_pictures
from scripts.commands import run
from scripts.picture_parts import pack, unscored_pairs

LARGEST = 22 * 2**20  # bytes
HELD_OUT = 24  # photos


def main(
    photos: Annotated[Path, typer.Argument(metavar="PHOTOS", help="Folder of photos.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the tar files.")],
    size: Annotated[float, typer.Option(metavar="MIB", help="Largest size of a part in MiB.")] = LARGEST / 2**20,
    pairs: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also pack pairs of rain: DIR/clean and DIR/rainy.")
    ] = None,
) -> None:
    most = int(size * 2**20)
    files = list_pictures(photos)
    written = pack(
        [{path.name: path} for path in files], out, "part", size=most, first=min(HELD_OUT, len(files))
    )  # fmt: skip
    if pairs is not None:
        groups = [{f"clean/{a.name}": a, f"rainy/{b.name}": b} for a, b in unscored_pairs(pairs)]
        written += pack(groups, out, "pairs", size=most, first=0)
    for path, count in written:
        what = "pairs" if path.name.startswith("pairs") else "photos"
        print(f"{path}: {count} {what}, {path.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    run(main)

"""Print statistics of noise: of pairs of pictures, and beside them of degradations applied to photos.

    python scripts/noise_statistics.py --pairs PolyU/clean PolyU/noisy --photos PHOTOS camera-noise grain

Noise is the degraded minus the clean picture, in 8-bit grey levels. Luma is Y of ITU-R BT.601. Chroma is each channel
minus luma.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from restore.datasets.crops import PhotoCrops
from restore.datasets.listing import list_pictures
from restore.datasets.pairs import Pair, paired
from restore.degradations.shaping import LUMA
from restore.training.recipe import degradation_of

LEVELS = 8  # bins of brightness, 32 grey levels each
OCTAVES = ("<2", "2-4", "4-8", "8-16", ">16")  # pixels
RAMP = "luma by level, of a ramp"
FEWEST = 500  # pixels; bins with fewer do not count

Values = dict[str, NDArray[np.floating]]


def statistics(pair: Pair) -> Values:
    """Statistics of one pair, `(H, W, 3)` in 0..1 each; NaN for bins with too few pixels."""
    noise = (pair.degraded - pair.clean) * 255
    level = pair.clean @ LUMA * 255
    luma = noise @ LUMA
    chroma = noise - luma[..., None]
    strength = luma.std()
    which = np.minimum(level / 256 * LEVELS, LEVELS - 1).astype(int)
    bins = [luma[which == i] for i in range(LEVELS)]
    by_level = np.array([x.std() if x.size >= FEWEST else np.nan for x in bins]) / max(strength, 1e-6)
    colour = np.sqrt((chroma**2).mean())
    fine: list[NDArray[Any]] = [chroma, luma]
    octaves = []
    for deviation in (1, 2, 4, 8, None):
        coarse = [np.zeros_like(x) if deviation is None else cv2.GaussianBlur(x, (0, 0), deviation) for x in fine]
        bands = [a - b for a, b in zip(fine, coarse, strict=True)]
        octaves.append(np.sqrt((bands[0] ** 2).mean()) / max(bands[1].std(), 1e-6))
        fine = coarse
    flat = noise.reshape(-1, 3)
    return {
        "luma sigma": np.array([strength]),
        "luma by level": by_level,
        "chroma / luma": np.array([colour / max(strength, 1e-6)]),
        "chroma / luma by octave": np.array(octaves),
        "R-G correlation": np.array([np.corrcoef(flat[:, 0], flat[:, 1])[0, 1]]),
        "neighbours": np.array([(luma[:, 1:] * luma[:, :-1]).mean() / max(strength**2, 1e-6)]),
        "mean shift R G B": flat.mean(axis=0),
        "PSNR": np.array([-10 * np.log10(((pair.degraded - pair.clean) ** 2).mean())]),
    }


def crops(photos: Path, kind: str, count: int, side: int) -> Iterable[Pair]:
    """`count` pairs of one degradation, `side` pixels each."""
    made = PhotoCrops(list_pictures(photos), degradation_of(kind), crop=side, seed=7)
    for i in range(count):
        reference, degraded = (x.transpose(1, 2, 0) for x in made[i])
        yield Pair(str(i), reference, degraded)


def ramps(kind: str, count: int) -> Iterable[Pair]:
    """Up to `count` pairs of a degraded ramp from black to white, without enlarged ones, which lack its end.

    A ramp has all brightnesses; a crop of a photo has few.
    """
    ramp = np.tile(np.linspace(0, 1, 384, dtype=np.float32)[None, :, None], (256, 1, 3))
    for seed in range(count):
        generator = np.random.default_rng(seed)
        reference, degraded = degradation_of(kind)(generator).apply(ramp, generator)
        if reference.max() > 0.9:
            yield Pair(str(seed), reference, degraded)


def described(pairs: Iterable[Pair]) -> dict[str, str]:
    """Statistics over all pairs: quartiles of single numbers, medians of several."""
    rows = [statistics(pair) for pair in pairs]
    named = {}
    for name in rows[0]:
        values = np.array([row[name] for row in rows])
        shown = np.nanquantile(values[:, 0], (0.25, 0.5, 0.75)) if values.shape[1] == 1 else np.nanmedian(values, 0)
        named[name] = " ".join(f"{x:.2f}" for x in shown)
    return named


def main(
    kinds: Annotated[list[str] | None, typer.Argument(metavar="KIND", help="Degradations to describe.")] = None,
    pairs: Annotated[
        tuple[Path, Path] | None, typer.Option(metavar="CLEAN NOISY", help="Folders of clean and noisy pictures.")
    ] = None,
    photos: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of clean photos to degrade.")] = None,
    count: Annotated[int, typer.Option(metavar="N", help="Crops of each degradation.")] = 150,
    side: Annotated[int, typer.Option(metavar="N", help="Side of a crop in pixels.")] = 256,
) -> None:
    columns = {} if pairs is None else {"pairs": described(paired(*pairs))}
    if kinds and photos is None:
        raise typer.BadParameter("degradations need --photos")
    if not kinds and pairs is None:
        raise typer.BadParameter("nothing to describe: name degradations, or use --pairs CLEAN NOISY")
    for kind in kinds or ():
        assert photos is not None
        columns[kind] = described(crops(photos, kind, count, side))
        columns[kind][RAMP] = described(ramps(kind, count))["luma by level"]
    table = Table("", *columns)
    for name in max(columns.values(), key=len):
        label = {"chroma / luma by octave": f"{name}: {' '.join(OCTAVES)}"}.get(name, name)
        table.add_row(label, *(column.get(name, "") for column in columns.values()))
    Console(width=200).print(table)


if __name__ == "__main__":
    typer.run(main)

"""Compare ways to enlarge small pictures that are clean, soft, noisy or saved as JPEG.

    python scripts/measure_upscaling.py BENCH/Kodak24 BENCH/Set14 --scale 2

Each picture is reduced, then spoilt. The table has mean PSNR in dB (Y, without a border of `scale` pixels): of a
bicubic kernel, of the default weights, of a restoration followed by them, and of the weights for the web.
"""

from __future__ import annotations

import restore

# isort: split
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from restore.datasets.listing import list_pictures
from restore.datasets.pairs import Pair, read_rgb
from restore.degradations import DEGRADATIONS, Draw, Image
from restore.degradations.compression import as_bytes, colour_jpegs
from restore.degradations.noise import gaussian_noises
from restore.degradations.small_pictures import reduced_then
from restore.evaluation.scoring import evaluate
from restore.inference.devices import keep_memory
from scripts.commands import run
from scripts.validate import table


def kinds(scale: int) -> dict[str, Draw]:
    """What spoils the pictures, by name."""
    level = (scale, scale)
    return {
        "nothing": DEGRADATIONS["bicubic"](level),
        **{f"JPEG {q}": reduced_then(level, colour_jpegs((q, q))) for q in (40, 60, 80, 90, 96)},
        **{
            f"sigma {sigma}": reduced_then(level, gaussian_noises((sigma, sigma), as_file=True))
            for sigma in (5, 10, 15)
        },
        "blur": DEGRADATIONS["small-blur"](level),
        "any": DEGRADATIONS["web-picture"](level),
    }


def by_steps(steps: str) -> Callable[[Pair], Image]:
    """Restore with the steps of `restore run`."""
    chain = restore.load_steps(steps, precision="float32")
    return lambda pair: restore.run(chain, as_bytes(pair.degraded)).astype(np.float32) / np.float32(255)


def main(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Folders of clean pictures.")],
    scale: Annotated[int, typer.Option(metavar="N", help="2, 3 or 4.")] = 2,
    weights: Annotated[str, typer.Option(metavar="WEIGHTS", help="Those for the web.")] = "pa-edsr-m-x{scale}-web",
    every: Annotated[int, typer.Option(metavar="N", help="Take every Nth picture.")] = 1,
) -> None:
    keep_memory()
    pictures = [read_rgb(path) for folder in folders for path in list_pictures(folder)[::every]]
    web = weights.format(scale=scale)
    ways = {
        "default": by_steps(f"upscale:{scale}"),
        "dejpeg first": by_steps(f"dejpeg,upscale:{scale}"),
        "denoise first": by_steps(f"denoise,upscale:{scale}"),
        Path(web).name: by_steps(f"upscale:{scale}:weights={web}"),
    }
    rows = []
    for name, draw in kinds(scale).items():
        generators = [np.random.default_rng(number) for number in range(len(pictures))]
        pairs = [Pair(name, *draw(g).apply(x, g)) for g, x in zip(generators, pictures, strict=True)]
        scores = [evaluate(way, pairs, protocol="y-border", with_ssim=False) for way in ways.values()]
        rows.append([name, *(f"{x:.2f}" for x in (scores[0].mean("input_psnr"), *(s.mean("psnr") for s in scores)))])
        print(rows[-1], flush=True)
    print(table(["spoilt by", "bicubic", *ways], rows))


if __name__ == "__main__":
    run(main)

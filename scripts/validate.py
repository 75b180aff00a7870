"""Score weights on the held-out photos under every kind of degradation of their task, to choose between runs.

    python scripts/validate.py cs-kit-s-denoise runs/plan/cs-kit-s-denoise-1/last.safetensors

The kinds are those of `validate` in the recipe of the task, or else the degradation that it trains on. The photos are
the last 24 of the folder, which the runs of scripts/training_plan.toml hold out, cut to their middle 256x256 pixels.
`denoise` adds PolyU's scenes 1 to 5, the first of its 15 by name. PSNR in dB, RGB, 8 bits.

Some kinds leave pictures unchanged, and restorers should, too. The mean of the inputs leaves them out, and a restored
picture counts 60 dB at most.
"""

from __future__ import annotations

import restore  # noqa: F401 - before torch: sets GOMP_SPINCOUNT

# isort: split
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import fmean
from typing import Annotated

import torch
import typer

from restore import checkpoints
from restore.datasets.layouts import find
from restore.datasets.listing import list_pictures
from restore.datasets.pairs import Pair
from restore.errors import UsageError
from restore.evaluation.scoring import evaluate
from restore.inference.devices import keep_memory
from restore.inference.restorer import Restorer
from restore.training.held_out import degraded_middles
from restore.training.recipe import Recipe, degradation_of, load_recipe, recipe_for
from restore.training.validation import mean_psnrs
from scripts.commands import run

SHARED = Path(__file__).parents[2] / "shared/data"
PHOTOS, SIDE, SEED = 24, 256, 1
SCENES = 5


def scene(name: str) -> str:
    """The scene of a picture of PolyU: its name without the number at the end.

    >>> scene("Canon80D_8_8_3200_ball_7"), scene("NikonD800_6-3_125_5000_plant__4")
    ('Canon80D_8_8_3200_ball', 'NikonD800_6-3_125_5000_plant')
    """
    return re.sub(r"_+\d+$", "", name)


def first_scenes(names: Iterable[str], count: int = SCENES) -> list[str]:
    """The first scenes by name, which choose between runs."""
    return sorted({scene(name) for name in names})[:count]


def scenes(pairs: list[Pair], count: int) -> list[Pair]:
    """The pictures of the first scenes by name."""
    chosen = first_scenes((pair.name for pair in pairs), count)
    return [pair for pair in pairs if scene(pair.name) in chosen]


def sets(recipe: Recipe, photos: Path, polyu: Path | None) -> Iterator[tuple[str, list[Pair]]]:
    """The pictures to score, by name."""
    names = recipe.validate or (recipe.degradation,)
    for name in names:
        draw = degradation_of(name) if recipe.validate else degradation_of(_with_level(recipe))
        yield name, list(degraded_middles(list_pictures(photos)[-PHOTOS:], {name: draw}, seed=SEED, side=SIDE))
    if polyu is not None:
        yield f"PolyU, scenes 1-{SCENES}", scenes(list(find("PolyU", polyu).pairs()), SCENES)


def _with_level(recipe: Recipe) -> str:
    return recipe.degradation + (f":{recipe.level_low:g}-{recipe.level_high:g}" if recipe.levels else "")


def table(header: list[str], rows: list[list[str]]) -> str:
    """Columns as wide as they need to be; numbers to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    return "\n".join(
        "  ".join(c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        for row in (header, *rows)
    )


def main(
    weights: Annotated[list[str], typer.Argument(metavar="WEIGHTS", help="Names or files, all for one task.")],
    photos: Annotated[Path, typer.Option(metavar="DIR", help="The training photos.")] = SHARED / "train/photos",
    polyu: Annotated[Path, typer.Option(metavar="DIR", help="PolyU, for denoise.")] = SHARED / "bench/PolyU",
    recipe: Annotated[
        str | None,
        typer.Option(metavar="RECIPE", help="Recipe whose `validate` list to score.", show_default="the task's own"),
    ] = None,
) -> None:
    """Print a row for each kind and a column for each of the weights."""
    keep_memory()
    torch.set_num_threads(1)
    loaded = [checkpoints.load(name) for name in weights]
    network, info = loaded[0]
    if len({other.task for _, other in loaded}) > 1:
        raise UsageError("the weights are for several tasks", hint="compare weights of one task")
    # Upscaling has a recipe for each scale.
    config = f"s-x{network.scale}" if network.scale > 1 else None
    asked = load_recipe(recipe or recipe_for(info.task, info.network, config))
    restorers = [Restorer(network, device="cpu") for network, _ in loaded]
    rows, columns = [], []
    for name, pairs in sets(asked, photos, polyu if info.task == "denoise" else None):
        scores = [mean_psnrs(evaluate(restorer, pairs, with_ssim=False).pictures) for restorer in restorers]
        columns.append([scores[0][0], *(psnr for _, psnr in scores)])
        rows.append([name, *("-" if psnr is None else f"{psnr:.2f}" for psnr in columns[-1])])
    means = [[psnr for psnr in column if psnr is not None] for column in zip(*columns, strict=True)]
    rows.append(["mean", *(f"{fmean(column):.3f}" if column else "-" for column in means)])
    print(table(["kind", "input", *map(short, weights)], rows))


def short(name: str) -> str:
    """A name of weights as it is, and of a file its folder and name.

    >>> short("runs/plan/cs-kit-s-denoise-1/last.safetensors")
    'cs-kit-s-denoise-1/last'
    """
    path = Path(name)
    return name if len(path.parts) == 1 else f"{path.parent.name}/{path.stem}"


if __name__ == "__main__":
    run(main)

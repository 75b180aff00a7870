"""`restore eval`: what weights score on a set of pictures."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from restore import catalogue, checkpoints
from restore.catalogue import did_you_mean
from restore.cli import options
from restore.cli.console import Progress, say
from restore.errors import RestoreError, UsageError

if TYPE_CHECKING:
    from restore.data import Pair
    from restore.evaluation import Scores

_FIELDS = ("input_psnr", "input_ssim", "psnr", "ssim")


def evaluate(
    dataset: Annotated[
        str | None, typer.Option(metavar="NAME", help="A benchmark set: PolyU, CBSD68, Kodak24 or McMaster.")
    ] = None,
    root: Annotated[Path | None, typer.Option(metavar="DIR", help="Where that set is.")] = None,
    clean: Annotated[Path | None, typer.Option(metavar="DIR", help="A folder of clean pictures, instead.")] = None,
    degraded: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Their degraded versions, of the same names.")
    ] = None,
    sigma: Annotated[
        float | None,
        typer.Option(min=0, max=255, metavar="S", help="Add Gaussian noise to clean pictures, in grey levels."),
    ] = None,
    rounded: Annotated[bool, typer.Option("--rounded", help="Clip and round it to 8 bits, as a file does.")] = False,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="WEIGHTS",
            help="As for `restore denoise`, or none: score the input. [default: those of denoise]",
            show_default=False,
        ),
    ] = None,
    protocol: Annotated[str, typer.Option(metavar="rgb|y", help="Compare RGB, or luma as MATLAB computes it.")] = "rgb",
    device: options.Device = "auto",
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write all scores here.")] = None,
) -> None:
    """Score weights: PSNR and SSIM of each picture before and after restoration, on stderr, and the means on stdout.

    Clean pictures without --sigma are restored as they are: the score says whether they are left alone.
    """
    # Everything that can be refused is refused before torch is imported, which takes seconds.
    options.check_device(device)
    if degraded is not None and clean is None:
        raise UsageError("--degraded needs --clean")
    if rounded and sigma is None:
        raise UsageError("--rounded is about the noise of --sigma")
    if json_file is not None and not json_file.absolute().parent.is_dir():
        raise UsageError(f"cannot write {json_file}: its folder does not exist")
    from restore import data, metrics

    if protocol not in metrics.PROTOCOLS:
        raise UsageError(
            f"there is no protocol called {protocol!r}", hint=f"choose one of {', '.join(metrics.PROTOCOLS)}"
        )
    if clean is not None and dataset is None and root is None:
        name, folder = clean.name, clean
    elif clean is None and dataset is not None and root is not None:
        if dataset not in data.DATASETS:
            raise UsageError(
                f"there is no set called {dataset!r}",
                hint=did_you_mean(dataset, data.DATASETS) or f"choose one of {', '.join(data.DATASETS)}",
            )
        record = data.DATASETS[dataset]
        name, folder = dataset, root / record.clean
        degraded = None if record.degraded is None else root / record.degraded
        if (note := data.count_note(record, root)) is not None:
            say(f"note:  {note}")
    else:
        raise UsageError("name what to score", hint="--dataset NAME --root DIR, or --clean DIR [--degraded DIR]")
    if degraded is not None and sigma is not None:
        raise UsageError("--sigma adds noise to clean pictures, and these are degraded already")
    untouched = degraded is None and not sigma
    if untouched and weights == "none":
        raise UsageError("clean pictures with --weights none: there is nothing to score", hint="give --sigma")
    if sigma:
        name += f" sigma {sigma:g}" + " rounded" * rounded
    paths = data.list_pictures(folder)
    if degraded is None:
        pairs = data.degraded(paths, data.with_gaussian_noise(sigma or 0, as_file=rounded))
    else:
        pairs = data.paired(folder, degraded)
    found = None if weights == "none" else checkpoints.resolve(weights or catalogue.default_for("denoise").name)

    from restore.devices import keep_memory
    from restore.evaluation import evaluate
    from restore.restorer import Restorer

    keep_memory()
    restorer = None if found is None else Restorer(checkpoints.load(found)[0], device=device)
    with Progress(len(paths)) as progress:

        def begun(pairs: Iterator[Pair]) -> Iterator[Pair]:
            for pair in pairs:
                progress.file(pair.name)
                yield pair

        scores = evaluate(restorer, begun(pairs), protocol=protocol)
    # Where one of the two comparisons says nothing, it is left out.
    fields = [f for f in _FIELDS if not (untouched if f.startswith("input") else restorer is None)]
    _print_table(scores, fields)
    means = {field: scores.mean(field) for field in fields}
    shown = "; ".join(
        f"{label} {means[f'{kind}psnr']:.2f} dB, SSIM {means[f'{kind}ssim']:.4f}"
        for kind, label in (("", "restored"), ("input_", "input"))
        if f"{kind}psnr" in means
    )
    print(f"{name}, {protocol}, mean of {len(scores.pictures)}: {shown}")
    if json_file is not None:
        report = {
            "set": name,
            "protocol": protocol,
            "weights": None if found is None else {"path": str(found.path), "sha256": found.sha256},
            "mean": {field: _number(value) for field, value in means.items()},
            "pictures": [{"name": p.name} | {f: _number(getattr(p, f)) for f in fields} for p in scores.pictures],
        }
        try:
            json_file.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise RestoreError(f"cannot write {json_file}: {error.strerror or error}") from error


def _print_table(scores: Scores, fields: list[str]) -> None:
    """Every picture and the mean, to stderr."""
    from rich.console import Console
    from rich.table import Table

    heads = {"input_psnr": "input dB", "input_ssim": "SSIM", "psnr": "restored dB", "ssim": "SSIM"}
    table = Table("picture", box=None, show_footer=True)
    table.columns[0].footer = "mean"
    table.columns[0].overflow = "fold"

    def cell(field: str, value: float) -> str:
        return f"{value:.2f}" if field.endswith("psnr") else f"{value:.4f}"

    for field in fields:
        table.add_column(heads[field], cell(field, scores.mean(field)), justify="right")
    for p in scores.pictures:
        table.add_row(p.name, *(cell(field, getattr(p, field)) for field in fields))
    Console(stderr=True, markup=False, highlight=False).print(table)


def _number(value: float) -> Any:
    """For JSON, which has no infinity."""
    return value if math.isfinite(value) else None

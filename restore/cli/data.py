"""`restore data`: the datasets by name, and whether the files of one are whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from restore.cli.console import Progress, say, table
from restore.errors import DataError, UsageError, did_you_mean

app = typer.Typer(
    help="List, show and check datasets. Nothing is downloaded.", no_args_is_help=True, rich_markup_mode=None
)


@app.command("list")
def list_datasets() -> None:
    """List the datasets that can be named."""
    from restore.datasets.registry import datasets

    rows = [
        (
            d.name,
            d.task,
            ", ".join(f"{split} {part.pictures:,}" for split, part in d.splits.items() if part.pictures),
            d.summary,
        )
        for d in datasets().values()
    ]
    print(table(("NAME", "TASK", "PICTURES", "SUMMARY"), rows))


@app.command()
def show(name: Annotated[str, typer.Argument(metavar="NAME", help="A name from `restore data list`.")]) -> None:
    """Show all that is known of a dataset: source, terms, layouts, counts, protocol, the papers' scores."""
    from restore.datasets.registry import datasets
    from restore.evaluation.published import published

    _check_name(name)
    dataset = datasets()[name]
    facts = [
        ("name", dataset.name),
        ("summary", dataset.summary),
        ("task", dataset.task),
        ("paper", dataset.paper),
        ("source", dataset.source),
        ("licence", dataset.licence),
        ("used in", "; ".join(dataset.used_in) or "none of the papers of the networks here"),
    ]
    if dataset.protocol:
        facts.append(("protocol", dataset.protocol))
    if dataset.degradation:
        facts.append(("degraded by", dataset.degradation))
    for split, part in dataset.splits.items():
        facts.append((split, "number not known" if part.pictures is None else f"{part.pictures:,} pictures"))
        facts += [("", str(layout)) for layout in part.layouts]
    for label, fact in facts:
        print(f"{label + ':' if label else '':<13}{fact}")
    rows = [
        (row.task, "" if row.level is None else f"{row.level:g}", row.method, str(row.psnr),
         str(row.ssim or ""), row.source)
        for row in published()
        if row.set == name
    ]  # fmt: skip
    if rows:
        print("\n" + table(("TASK", "LEVEL", "METHOD", "PSNR dB", "SSIM", "BY"), rows))


@app.command()
def check(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A name from `restore data list`.")] = None,
    root: Annotated[Path | None, typer.Option(metavar="DIR", help="Where that set is.")] = None,
    split: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only this part. [default: all that is there]", show_default=False),
    ] = None,
    clean: Annotated[Path | None, typer.Option(metavar="DIR", help="A folder of your own, instead.")] = None,
    degraded: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The degraded versions of its pictures, of the same names.")
    ] = None,
) -> None:
    """Count, pair and open every picture, and name what is wrong; exit 1 if anything is."""
    from restore.datasets import checking, layouts
    from restore.datasets.found import Found
    from restore.datasets.registry import datasets

    parts: list[tuple[str, Found]] = []
    if name is not None and root is not None and clean is None and degraded is None:
        _check_name(name)
        dataset = datasets()[name]
        for part in [split] if split else list(dataset.splits):
            try:
                parts.append((part, layouts.find(name, root, part)))
            except layouts.Absent:
                if split or len(dataset.splits) == 1:
                    raise
                say(f"{name} {part}: not there")
        if not parts:
            raise DataError(f"{root} holds no part of {name} in a known layout", hint=f"`restore data show {name}`")
    elif clean is not None and name is None and root is None and split is None:
        dataset, parts = None, [("", layouts.find_folders(clean, degraded))]
    else:
        raise UsageError("name what to check", hint="NAME --root DIR, or --clean DIR [--degraded DIR]")
    count = 0
    for part, found in parts:
        label = f"{name} {part}" if name else found.folder.name
        faults = []
        with Progress(len(found.items)) as progress:
            for fault in checking.faults(found, dataset, part or None):
                progress.file(label)
                if fault is not None:
                    faults.append(fault)
                    progress.result(f"{label}: {fault}")
        count += len(faults)
        folders = " and ".join(str(folder) for folder in (clean, degraded) if folder)
        where = f"{found.layout.paths} in {found.folder}" if name else folders
        kind = "pairs" if found.has_clean and found.has_degraded else "pictures"
        print(f"{label}: {len(found.items):,} {kind}, {_count(len(faults)) if faults else 'all whole'}; {where}")
    if count:
        raise DataError(f"{_count(count)} in {root or clean}", hint="replace or remove what is named above")


def _count(faults: int) -> str:
    return f"{faults} fault{'s' * (faults != 1)}"


def _check_name(name: str) -> None:
    from restore.datasets.registry import datasets

    if name not in datasets():
        raise UsageError(
            f"there is no dataset called {name!r}",
            hint=did_you_mean(name, datasets()) or "`restore data list` names them",
        )

"""`restore data`: list, show and check datasets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from restore.cli import complete, help
from restore.cli.columns import facts, table
from restore.cli.progress_bar import Progress
from restore.cli.streams import say
from restore.errors import DataError, UsageError

if TYPE_CHECKING:
    from restore.datasets.found import Found
    from restore.datasets.registry import Dataset

_PICTURES = "What to check"

app = typer.Typer(
    help="List, show and check datasets. Nothing is downloaded.",
    **help.group("restore data list", "restore data check PolyU --root PolyU", page="evaluation.md"),
)


@app.command("list", **help.command("restore data list", "restore data show LIVE1", page="evaluation.md"))
def list_datasets() -> None:
    """List the datasets that have names, with the number of pictures to train on and to test."""
    from restore.datasets.registry import datasets

    rows = [
        (
            d.name,
            d.task,
            _count_of(d, "train"),
            "" if d.scored_split == "train" else _count_of(d, d.scored_split),
            d.summary,
        )
        for d in datasets().values()
    ]
    print(table(("NAME", "TASK", "TRAIN", "TEST", "SUMMARY"), rows))


def _count_of(dataset: Dataset, split: str) -> str:
    pictures = dataset.splits[split].pictures if split in dataset.splits else None
    return "" if pictures is None else f"{pictures:,}"


@app.command(**help.command("restore data show LIVE1", "restore data show SIDD", page="evaluation.md"))
def show(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", autocompletion=complete.datasets, help="A name from `restore data list`."),
    ],
) -> None:
    """Show a dataset: source, licence, folder layouts, counts, protocol, and the papers' scores."""
    from restore.datasets.registry import dataset_called
    from restore.evaluation.published import published

    print(facts(_facts(dataset_called(name))))
    rows = [
        (row.task, "" if row.level is None else f"{row.level:g}", row.method, str(row.psnr),
         str(row.ssim or ""), row.source)
        for row in published()
        if row.set == name
    ]  # fmt: skip
    if rows:
        print("\n" + table(("TASK", "LEVEL", "METHOD", "PSNR dB", "SSIM", "BY"), rows))


def _facts(dataset: Dataset) -> list[tuple[str, str]]:
    """Labels and what follows them."""
    facts = [
        ("name", dataset.name),
        ("summary", dataset.summary),
        ("notes", dataset.notes),
        ("task", dataset.task),
        ("paper", dataset.paper),
        ("source", dataset.source),
        ("licence", dataset.licence),
        ("used in", "; ".join(dataset.used_in) or "none of the papers of these networks"),
        ("protocol", dataset.protocol),
        ("degraded by", dataset.degradation),
    ]
    for split, part in dataset.splits.items():
        facts.append((split, "number not known" if part.pictures is None else f"{part.pictures:,} pictures"))
        facts += [("", str(layout)) for layout in part.layouts]
    return [(label, fact) for label, fact in facts if fact is not None]


@app.command(
    **help.command(
        "restore data check PolyU --root PolyU",
        "restore data check --clean clean --degraded noisy",
        page="evaluation.md",
    )
)
def check(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            rich_help_panel=_PICTURES,
            autocompletion=complete.datasets,
            help="A name from `restore data list`.",
        ),
    ] = None,
    root: Annotated[
        Path | None, typer.Option(metavar="DIR", rich_help_panel=_PICTURES, help="Folder of that set.")
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", rich_help_panel=_PICTURES, help="Part of the set.", show_default="all that are found"
        ),
    ] = None,
    clean: Annotated[
        Path | None,
        typer.Option(metavar="DIR", rich_help_panel=_PICTURES, help="Instead of a set: your folder of clean pictures."),
    ] = None,
    degraded: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            rich_help_panel=_PICTURES,
            help="Degraded versions of the clean pictures, with the same names or names by one pattern.",
        ),
    ] = None,
    recursive: Annotated[
        bool,
        typer.Option("--recursive", "-r", rich_help_panel=_PICTURES, help="Include the subfolders of your folders."),
    ] = False,
) -> None:
    """Count, pair and open every picture, and name every fault. Exits with 1 if there is any."""
    parts: list[tuple[str, Found]]
    if name is not None and root is not None and clean is None and degraded is None:
        from restore.datasets.registry import dataset_called

        dataset, parts = dataset_called(name), _find_parts(name, root, split)
    elif clean is not None and name is None and root is None and split is None:
        from restore.datasets.layouts import find_folders

        dataset, parts = None, [("", find_folders(clean, degraded, recursive=recursive))]
    else:
        raise UsageError("name the pictures to check", hint="NAME --root DIR, or --clean DIR [--degraded DIR]")
    count = 0
    for part, found in parts:
        label = f"{name} {part}" if name else found.folder.name
        for note in found.notes:
            say(f"note:  {note}")
        faults = _print_faults(label, found, dataset, part or None)
        count += faults
        folders = " and ".join(str(folder) for folder in (clean, degraded) if folder)
        where = f"{found.layout.paths} in {found.folder}" if name else folders
        kind = "pairs" if found.has_clean and found.has_degraded else "pictures"
        print(f"{label}: {len(found.items):,} {kind}, {_counted(faults)}; {where}")
    if count:
        raise DataError(f"{_counted(count)} in {root or clean}", hint="replace or remove the files named above")


def _find_parts(name: str, root: Path, split: str | None) -> list[tuple[str, Found]]:
    """The named split, or every one that the folder holds."""
    from restore.datasets import layouts
    from restore.datasets.registry import datasets

    splits = [split] if split else list(datasets()[name].splits)
    parts = []
    for part in splits:
        try:
            parts.append((part, layouts.find(name, root, part)))
        except layouts.Absent:
            if len(splits) == 1:
                raise
            say(f"{name} {part}: not found")
    if not parts:
        raise DataError(f"{root} holds no part of {name} in a known layout", hint=f"`restore data show {name}`")
    return parts


def _print_faults(label: str, found: Found, dataset: Dataset | None, split: str | None) -> int:
    """Print each fault as it is found; how many there are."""
    from restore.datasets import checking

    count = 0
    with Progress(len(found.items)) as progress:
        for fault in checking.faults(found, dataset, split):
            progress.file(label)
            if fault is not None:
                count += 1
                progress.result(f"{label}: {fault}")
    return count


def _counted(faults: int) -> str:
    return f"{faults or 'no'} fault{'s' * (faults != 1)}"

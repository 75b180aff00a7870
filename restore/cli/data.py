"""`restore data`: list, show and check datasets."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from restore.cli import complete, help
from restore.cli.columns import facts, table
from restore.cli.option_words import parse_change
from restore.cli.progress_bar import Progress
from restore.cli.streams import one_line, say
from restore.cli.training_display import Display
from restore.errors import DataError, UsageError, check_choice

if TYPE_CHECKING:
    from restore.datasets.found import Found
    from restore.datasets.registry import Dataset

_PICTURES, _RULE = "What to check", "By which rule"
_PURPOSES = ("eval", "train")

Purpose = Annotated[
    str,
    typer.Option(
        "--for",
        metavar="PURPOSE",
        rich_help_panel=_RULE,
        help="`eval`; or `train`: decode, pair and split them as `restore train` does.",
    ),
]
RecipeName = Annotated[
    str | None,
    typer.Option(
        metavar="RECIPE",
        rich_help_panel=_RULE,
        autocompletion=complete.recipes,
        help="With --for train: the recipe whose crops and scale count.",
        show_default="as for `restore train`",
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        rich_help_panel=_RULE,
        help="With --for train: change a field of the recipe. Repeatable.",
    ),
]

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
        "restore data check --clean clean --degraded noisy --for train",
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
    for_: Purpose = "eval",
    recipe: RecipeName = None,
    set_: Set = None,
) -> None:
    """Count, pair and open every picture, and name every fault. Exits with 1 if there is any."""
    check_choice("purpose", for_, _PURPOSES)
    if (recipe is not None or set_) and for_ != "train":
        raise UsageError(
            "a recipe is for pictures to train on", hint="add --for train, or leave out --recipe and --set"
        )
    parts: list[tuple[str, Found]]
    is_set = name is not None and root is not None and clean is None and degraded is None
    if for_ == "train" and (is_set or (clean is not None and name is None and root is None and split is None)):
        _check_for_training(recipe, set_ or (), name, root, split, clean, degraded, recursive=recursive)
        return
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


def _check_for_training(
    recipe: str | None, changes: Sequence[str], name: str | None, root: Path | None, split: str | None,
    clean: Path | None, degraded: Path | None, *, recursive: bool,
) -> None:  # fmt: skip
    """Do what `restore train` does with the pictures before its first step, and print each fault."""
    from restore.datasets.faulty import FaultyPictures
    from restore.training.plan import plan_training

    pairs = (clean, degraded) if degraded else (None, None)
    try:
        plan = plan_training(
            recipe, Path("run"), data=None if degraded else clean, pairs=pairs, is_first=False, recursive=recursive,
            dataset=None if name is None or root is None else (name, root, split),
            changes=dict(parse_change(text) for text in changes),
        )  # fmt: skip
    except FaultyPictures as error:
        print("\n".join(one_line(fault, sys.stdout) for fault in error.faults))
        raise DataError(error.message, hint="replace or remove the files named above") from error
    from restore.training.checking import check_training

    with Display() as display:
        found = check_training(plan.recipe, plan.sources, display.decoded)
    for note in found.notes:
        say(f"note:  {note}")
    label = name or " and ".join(str(folder) for folder in (clean, degraded) if folder)
    for fault in found.faults:
        print(one_line(f"{label}: {fault}", sys.stdout))
    about = found.about.replace("`", "") or plan.sources.counts
    print(f"{about.rstrip('.')}; recipe {plan.name}, {_counted(len(found.faults))}")
    if found.faults:
        raise DataError(
            f"{_counted(len(found.faults))} for the recipe {plan.name}",
            hint="replace or remove the files named above, or name another recipe with --recipe",
        )


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

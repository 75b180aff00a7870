"""`restore eval`: what weights, or another tool's pictures, score on a set of pictures."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from restore import checkpoints
from restore.batch.processes import Rank, rank_from
from restore.checkpoints import ResolvedWeights, catalogue
from restore.cli import complete, options
from restore.cli.columns import table
from restore.cli.help import SPEED, WEIGHTS
from restore.cli.progress_bar import Progress
from restore.cli.streams import one_line, rich_console, say
from restore.errors import DataError, RestoreError, UsageError
from restore.files import whole_file
from restore.inference.precision import check_precision

if TYPE_CHECKING:
    from restore.datasets.pairs import Pair
    from restore.evaluation.plan import Plan
    from restore.evaluation.published import Published
    from restore.evaluation.report import Report, Restoration
    from restore.evaluation.scoring import Answer, Scores

_OVERLAP = 32  # pixels
_PICTURES, _OUTPUT = "What to score", "Output"

DatasetName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        rich_help_panel=_PICTURES,
        autocompletion=complete.datasets,
        help="A benchmark set. `restore data list` lists the names.",
    ),
]
Root = Annotated[Path | None, typer.Option(metavar="DIR", rich_help_panel=_PICTURES, help="Folder of that set.")]
Split = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", rich_help_panel=_PICTURES, help="Part of the set.", show_default="test, else validation"
    ),
]
Clean = Annotated[
    Path | None,
    typer.Option(metavar="DIR", rich_help_panel=_PICTURES, help="Instead of a set: your folder of clean pictures."),
]
Degraded = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        rich_help_panel=_PICTURES,
        help="Degraded versions of the clean pictures, with the same names or names by one pattern.",
    ),
]
RestoredFolder = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        rich_help_panel=_PICTURES,
        help="Score these pictures, restored by any tool, with the same names. No network runs.",
    ),
]
TaskName = Annotated[
    str | None,
    typer.Option(
        metavar="TASK",
        rich_help_panel=_PICTURES,
        autocompletion=complete.tasks,
        help="Task whose weights are scored.",
        show_default="by the set or the level",
    ),
]
Recursive = Annotated[
    bool,
    typer.Option("--recursive", "-r", rich_help_panel=_PICTURES, help="Include the subfolders of your folders."),
]
Sigma = Annotated[
    float | None,
    typer.Option(
        min=0, max=255, metavar="S", rich_help_panel=_PICTURES, help="Add Gaussian noise of S grey levels first."
    ),
]
JpegQuality = Annotated[
    int | None,
    typer.Option(min=1, max=100, metavar="Q", rich_help_panel=_PICTURES, help="Compress as JPEG first."),
]
Scale = Annotated[
    int | None,
    typer.Option(min=2, max=4, metavar="N", rich_help_panel=_PICTURES, help="Downscale like MATLAB's imresize first."),
]
DegradationName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        rich_help_panel=_PICTURES,
        help="Another degradation of clean pictures, such as jpeg-luma.",
        show_default="by the set and the task",
    ),
]
Rounded = Annotated[
    bool,
    typer.Option("--rounded", rich_help_panel=_PICTURES, help="Clip the noise and round it to 8 bits, as in a file."),
]
ProtocolName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        rich_help_panel=_PICTURES,
        help="How pictures are compared. docs/evaluation.md lists the protocols.",
        show_default="as in the papers",
    ),
]
WeightsName = Annotated[
    str | None,
    typer.Option(
        metavar="WEIGHTS",
        rich_help_panel=WEIGHTS,
        autocompletion=complete.weights,
        help="As for `restore denoise`. With none, only the input is scored.",
        show_default="the task's own",
    ),
]
SelfEnsemble = Annotated[
    bool,
    typer.Option(
        "--self-ensemble",
        rich_help_panel=WEIGHTS,
        help="Average over 8 flips and rotations (4 for derain); papers mark it with +.",
    ),
]
TileSize = Annotated[
    str,
    typer.Option(
        metavar="none|auto|N",
        rich_help_panel=SPEED,
        help="Restore in tiles of N pixels. Papers restore whole pictures (none).",
    ),
]
JsonFile = Annotated[
    Path | None,
    typer.Option(
        "--json", metavar="FILE", rich_help_panel=_OUTPUT, help="Write every score here, and how it was made."
    ),
]
CsvFile = Annotated[
    Path | None, typer.Option("--csv", metavar="FILE", rich_help_panel=_OUTPUT, help="Write the table of scores here.")
]
SaveImages = Annotated[
    Path | None, typer.Option(metavar="DIR", rich_help_panel=_OUTPUT, help="Write the restored pictures here, as PNG.")
]
Submission = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH",
        rich_help_panel=_OUTPUT,
        help="SIDD and DND: write what their authors score. A CSV file for SIDD, a new folder for DND.",
    ),
]


def evaluate(
    dataset: DatasetName = None,
    root: Root = None,
    split: Split = None,
    clean: Clean = None,
    degraded: Degraded = None,
    restored: RestoredFolder = None,
    recursive: Recursive = False,
    task: TaskName = None,
    sigma: Sigma = None,
    jpeg_quality: JpegQuality = None,
    scale: Scale = None,
    degradation: DegradationName = None,
    rounded: Rounded = False,
    protocol: ProtocolName = None,
    weights: WeightsName = None,
    self_ensemble: SelfEnsemble = False,
    tile: TileSize = "none",
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    json_file: JsonFile = None,
    csv_file: CsvFile = None,
    save_images: SaveImages = None,
    submission: Submission = None,
) -> None:
    """Score weights on pictures: PSNR and SSIM before and after restoration.

    Each picture's scores go to stderr, the means to stdout. Give pairs of pictures, or clean pictures: --sigma,
    --jpeg-quality, --scale or --task degrades these first. Otherwise they are restored as they are, which shows
    whether the weights leave clean pictures alone.
    """
    # Refuse everything that can be refused before torch is imported, which takes seconds.
    options.check_device(device)
    rank = rank_from(os.environ)
    if submission is not None and not rank.is_alone:
        raise UsageError("--submission is for one process", hint="run it without torchrun")
    check_precision(precision)
    size = None if tile == "none" else options.parse_tile(tile, _OVERLAP)
    _refuse_contradictions(restored, weights, self_ensemble, save_images, submission)
    options.check_folder_of(json_file, csv_file, submission)
    from restore.evaluation.plan import make_plan
    from restore.evaluation.report import Report, Restoration

    plan = make_plan(
        dataset=dataset, root=root, split=split, clean=clean, degraded=degraded, restored=restored, task=task,
        sigma=sigma, jpeg_quality=jpeg_quality, scale=scale, degradation=degradation, rounded=rounded,
        protocol=protocol, submission=submission is not None, recursive=recursive,
    )  # fmt: skip
    _say_notes(plan, rank)
    how = Restoration(
        tile=tile,
        overlap=None if size is None else _OVERLAP,
        self_ensemble=self_ensemble,
        restored_by_another_tool=None if restored is None else str(restored),
    )
    found = _find_weights(plan, weights)
    answer, how, network = _restoring(plan, found, how, size, rank.device(device), precision)
    if answer is not None and save_images is not None:
        from restore.evaluation.restored_files import saving

        answer = saving(answer, save_images)
    from restore.evaluation import scoring

    own = range(rank.index, len(plan.found.items), rank.count)
    with Progress(len(own)) if rank.index == 0 else nullcontext() as progress:
        pairs = _shown(map(plan.pair, own), progress)
        if submission is not None:
            assert answer is not None and plan.submission is not None
            _submit(plan.submission, submission, answer, pairs)
            return
        if rank.is_alone:
            scores = scoring.evaluate(answer, pairs, protocol=plan.protocol)
        else:
            scores = _score_together(rank, answer, pairs, own, plan.protocol)
    if rank.index == 0:
        _tell(Report(plan, how, scores), network, json_file, csv_file)


def _say_notes(plan: Plan, rank: Rank) -> None:
    if rank.index == 0:
        for note in filter(None, (plan.note, *plan.found.notes)):
            say(f"note:  {note}")


def _tell(report: Report, network: str | None, json_file: Path | None, csv_file: Path | None) -> None:
    """Print and write the scores."""
    _print_table(report)
    _print_published(report.plan.published, network)
    print(report.line())
    if json_file is not None:
        _write(json_file, report.to_json())
    if csv_file is not None:
        _write(csv_file, report.to_csv())


def _refuse_contradictions(
    restored: Path | None, weights: str | None, self_ensemble: bool, save_images: Path | None, submission: Path | None
) -> None:
    if restored is not None and (weights is not None or submission is not None or save_images is not None):
        raise UsageError(
            "--restored scores existing pictures", hint="leave out --weights, --submission and --save-images"
        )
    if self_ensemble and (restored is not None or weights == "none"):
        raise UsageError("--self-ensemble needs weights", hint="leave it out")
    if submission is not None and weights == "none":
        raise UsageError("--submission needs weights", hint="leave out --weights none")


def _find_weights(plan: Plan, weights: str | None) -> ResolvedWeights | None:
    """The weights to score; None where another tool restored the pictures, or only the input is scored."""
    if plan.restored is not None:
        return None
    if weights != "none":
        return checkpoints.resolve(weights or catalogue.weights_for(plan.task, plan.level).name)
    if plan.is_untouched:
        raise UsageError("there is nothing to score: clean pictures, and --weights none", hint="add --sigma")
    return None


def _restoring(
    plan: Plan,
    weights: ResolvedWeights | None,
    how: Restoration,
    tile: int | Literal["auto"] | None,
    device: str,
    precision: str,
) -> tuple[Answer | None, Restoration, str | None]:
    """What restores the pictures, `how` with the facts about it, and the name of its network."""
    from restore.evaluation import restored_files, scoring
    from restore.inference.devices import keep_memory
    from restore.inference.restorer import Restorer

    keep_memory()
    if weights is None:
        return None if plan.restored is None else restored_files.reading(plan.restored), how, None
    network, checkpoint = checkpoints.load(weights)
    restorer = Restorer(network, device=device, entry=checkpoint.entry, task=checkpoint.task, precision=precision)
    name = {} if weights.entry is None else {"name": weights.entry.name}
    how = dataclasses.replace(
        how,
        weights=name | {"path": str(weights.path), "sha256": weights.sha256},
        device=str(restorer.device),
        precision=restorer.precision_for("uint8"),
    )
    answer = scoring.restoring(restorer, tile=tile, overlap=_OVERLAP, self_ensemble=how.self_ensemble)
    return answer, how, checkpoint.network


def _score_together(rank: Rank, answer: Answer | None, pairs: Iterable[Pair], own: range, protocol: str) -> Scores:
    """The scores of all processes, in the order of the pictures; each process scores its own."""
    import torch

    from restore.evaluation import scoring
    from restore.training.team import join

    with join(rank, torch.device("cpu")) as team:
        scored = scoring.evaluate(answer, pairs, protocol=protocol).pictures if own else ()
        numbered = team.gathered(list(zip(own, scored, strict=True)))
    if not numbered:
        raise DataError("there is no picture to score")
    return scoring.Scores(protocol, tuple(score for _, score in sorted(numbered, key=lambda each: each[0])))


def _shown(pairs: Iterator[Pair], progress: Progress | None) -> Iterator[Pair]:
    for pair in pairs:
        if progress is not None:
            progress.file(pair.name)
        yield pair


def _submit(name: str, path: Path, answer: Answer, pairs: Iterable[Pair]) -> None:
    from restore.evaluation.submissions import SUBMISSIONS

    SUBMISSIONS[name](path, ((pair.name, answer(pair)) for pair in pairs))
    print(one_line(str(path), sys.stdout))


def _print_table(report: Report) -> None:
    """Every picture and the mean, to stderr."""
    from rich.table import Table

    heads = {"input_psnr": "input dB", "input_ssim": "SSIM", "psnr": "restored dB", "ssim": "SSIM"}
    shown = Table("picture", box=None, show_footer=True)
    shown.columns[0].footer = "mean"
    shown.columns[0].overflow = "fold"
    for field in report.fields:
        shown.add_column(heads[field], _cell(field, report.scores.mean(field)), justify="right")
    for p in report.scores.pictures:
        shown.add_row(p.name, *(_cell(field, getattr(p, field)) for field in report.fields))
    rich_console(stderr=True).print(shown)


def _cell(field: str, value: float) -> str:
    return f"{value:.2f}" if field.endswith("psnr") else f"{value:.4f}"


def _print_published(rows: Sequence[Published], network: str | None) -> None:
    """The papers' figures, to stderr; * marks the network of the weights."""
    lines = [
        (row.method + "*" * (row.method == network), str(row.psnr), str(row.ssim or ""), row.source) for row in rows
    ]
    if lines:
        say("\n" + table(("published", "dB", "SSIM", "by"), lines))


def _write(path: Path, text: str) -> None:
    try:
        with whole_file(path) as unfinished:
            unfinished.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RestoreError(f"cannot write {path}: {error.strerror or error}") from error

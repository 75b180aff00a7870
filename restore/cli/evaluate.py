"""`restore eval`: what weights, or another tool's pictures, score on a set of pictures."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from restore import checkpoints
from restore.batch.processes import Rank, rank_from
from restore.checkpoints import ResolvedWeights, catalogue
from restore.cli import complete, options
from restore.cli.help import SPEED, WEIGHTS
from restore.cli.progress_bar import Progress
from restore.cli.streams import one_line, say
from restore.errors import UsageError, check_choice
from restore.inference.precision import check_precision

if TYPE_CHECKING:
    from restore.cli.eval_run import Outputs
    from restore.degradations import Image
    from restore.evaluation.candidates import Candidate
    from restore.evaluation.plan import Plan
    from restore.evaluation.scoring import Distance

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
        help="Score these pictures, restored by any tool. They have the same names, or longer ones that begin so, "
        "such as a_SwinIR.png.",
    ),
]
Suffix = Annotated[
    str,
    typer.Option(
        metavar="SUFFIX",
        rich_help_panel=_PICTURES,
        help="What that tool adds to the names, such as _SwinIR.",
        show_default="found by itself",
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
        help="As for `restore denoise`. Several, with commas between them, are compared. With none, only the input is "
        "scored.",
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
Metrics = Annotated[
    str | None,
    typer.Option(
        metavar="NAMES",
        rich_help_panel=_PICTURES,
        help="Perceptual metrics as well: lpips, dists, or both with a comma. Their networks are downloaded once. "
        "Needs `pip install 'restore-photos[perceptual]'`.",
    ),
]
JsonFile = Annotated[
    Path | None,
    typer.Option(
        "--json",
        metavar="FILE",
        rich_help_panel=_OUTPUT,
        help="Write every score here, and how it was made. Until the end, FILE.part keeps the scores.",
    ),
]
Resume = Annotated[
    bool,
    typer.Option("--resume", rich_help_panel=_OUTPUT, help="Go on with the scores that a stopped run has kept."),
]
Plot = Annotated[
    Path | None,
    typer.Option(metavar="FILE", rich_help_panel=_OUTPUT, help="Draw dB against seconds per megapixel: .svg or .png."),
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
    suffix: Suffix = "",
    recursive: Recursive = False,
    task: TaskName = None,
    sigma: Sigma = None,
    jpeg_quality: JpegQuality = None,
    scale: Scale = None,
    degradation: DegradationName = None,
    rounded: Rounded = False,
    protocol: ProtocolName = None,
    metrics: Metrics = None,
    weights: WeightsName = None,
    self_ensemble: SelfEnsemble = False,
    tile: TileSize = "none",
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    json_file: JsonFile = None,
    csv_file: CsvFile = None,
    resume: Resume = False,
    plot: Plot = None,
    save_images: SaveImages = None,
    submission: Submission = None,
) -> None:
    """Score weights on pictures: PSNR and SSIM before and after restoration.

    Each picture's scores go to stderr as they come, the means to stdout. Give pairs of pictures, or clean pictures:
    --sigma, --jpeg-quality, --scale or --task degrades these first. Otherwise they are restored as they are, which
    shows whether the weights leave clean pictures alone. Several weights are compared in one table.
    """
    # Refuse everything that can be refused before torch is imported, which takes seconds.
    from restore.cli.eval_run import EvalRun, Outputs, check_outputs

    options.check_device(device)
    rank = rank_from(os.environ)
    if submission is not None and not rank.is_alone:
        raise UsageError("--submission is for one process", hint="run it without torchrun")
    check_precision(precision)
    size = None if tile == "none" else options.parse_tile(tile, _OVERLAP)
    names = _names_of_weights(weights)
    wanted = _metrics(metrics)
    outputs = Outputs(json_file, csv_file, plot, save_images, resume)
    _refuse_contradictions(restored, suffix, names, self_ensemble, outputs, submission)
    options.check_folder_of(json_file, csv_file, plot, submission)
    check_outputs(outputs, rank)
    from restore.evaluation.plan import make_plan
    from restore.evaluation.report import Restoration

    plan = make_plan(
        dataset=dataset, root=root, split=split, clean=clean, degraded=degraded, restored=restored, suffix=suffix,
        task=task, sigma=sigma, jpeg_quality=jpeg_quality, scale=scale, degradation=degradation, rounded=rounded,
        protocol=protocol, submission=submission is not None, recursive=recursive,
    )  # fmt: skip
    _say_notes(plan, rank)
    how = Restoration(
        tile=tile,
        overlap=None if size is None else _OVERLAP,
        self_ensemble=self_ensemble,
        restored_by_another_tool=None if restored is None else str(restored),
    )
    found = _find_weights(plan, names)
    from restore.evaluation.candidates import candidates_of

    place = rank.device(device)
    candidates = candidates_of(plan, found, how, tile=size, overlap=_OVERLAP, device=place, precision=precision)
    if submission is not None:
        _submit(plan, submission, candidates[0])
        return
    EvalRun(plan, candidates, rank, outputs, _distances(wanted, place)).run()


def _names_of_weights(text: str | None) -> list[str]:
    """The values of `--weights`; a file whose name has a comma is one."""
    if text is None:
        return []
    if "," not in text or Path(text).is_file():
        return [text]
    names = [name.strip() for name in text.split(",")]
    if "" in names or "none" in names:
        raise UsageError(f"--weights is a name, several with commas between them, or none, not {text!r}")
    return names


def _metrics(text: str | None) -> list[str]:
    """The values of `--metrics`, each once."""
    from restore.evaluation.metrics import DISTANCES

    names = [] if text is None else [name.strip().lower() for name in text.split(",")]
    for name in names:
        check_choice("metric", name, DISTANCES)
    return list(dict.fromkeys(names))


def _distances(metrics: list[str], device: str) -> Mapping[str, Distance]:
    if not metrics:
        return {}
    from restore.evaluation.perceptual import distances
    from restore.inference.devices import pick_device

    return distances(metrics, pick_device(device))


def _say_notes(plan: Plan, rank: Rank) -> None:
    if rank.index == 0:
        for note in filter(None, (plan.note, *plan.found.notes)):
            say(f"note:  {note}")


def _refuse_contradictions(
    restored: Path | None,
    suffix: str,
    weights: list[str],
    self_ensemble: bool,
    outputs: Outputs,
    submission: Path | None,
) -> None:
    if restored is not None and (weights or submission is not None or outputs.save_images is not None):
        raise UsageError(
            "--restored scores existing pictures", hint="leave out --weights, --submission and --save-images"
        )
    if suffix and restored is None:
        raise UsageError("--suffix is what another tool adds to names", hint="add --restored, or leave it out")
    if self_ensemble and (restored is not None or weights == ["none"]):
        raise UsageError("--self-ensemble needs weights", hint="leave it out")
    if submission is not None and (weights == ["none"] or len(weights) > 1):
        raise UsageError("--submission needs weights of one name", hint="leave out --weights, or name one")
    if outputs.plot is not None:
        from restore.evaluation.plot import check_plot

        check_plot(outputs.plot)
        if restored is not None or weights == ["none"] or submission is not None:
            raise UsageError("--plot shows how long weights take", hint="leave it out, or name weights")


def _find_weights(plan: Plan, weights: list[str]) -> list[ResolvedWeights]:
    """The weights to score; none where another tool restored the pictures, or only the input is scored."""
    if plan.restored is not None:
        return []
    if weights != ["none"]:
        return [checkpoints.resolve(name) for name in weights or [catalogue.weights_for(plan.task, plan.level).name]]
    if plan.is_untouched:
        raise UsageError("there is nothing to score: clean pictures, and --weights none", hint="add --sigma")
    return []


def _submit(plan: Plan, path: Path, candidate: Candidate) -> None:
    from restore.evaluation.submissions import SUBMISSIONS

    answer = candidate.answer
    assert answer is not None and plan.submission is not None
    with Progress(len(plan.found.items)) as progress:

        def restored() -> Iterator[tuple[str, Image]]:
            for pair in plan.pairs():
                progress.file(pair.name)
                yield pair.name, answer(pair)

        SUBMISSIONS[plan.submission](path, restored())
    print(one_line(str(path), sys.stdout))

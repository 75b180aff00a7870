"""`restore eval`: what weights, or another tool's pictures, score on a set of pictures."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

import restore
from restore import checkpoints
from restore.checkpoints import catalogue
from restore.cli import options
from restore.cli.console import Progress, say, table
from restore.errors import DataError, RestoreError, UsageError, did_you_mean
from restore.files import whole_file
from restore.inference.precision import check_precision
from restore.tasks import TASKS

if TYPE_CHECKING:
    from restore.datasets.found import Found
    from restore.datasets.pairs import Pair
    from restore.datasets.registry import Dataset
    from restore.degradations import Image
    from restore.evaluation.published import Published
    from restore.evaluation.scoring import Answer, Scores

_FIELDS = ("input_psnr", "input_ssim", "psnr", "ssim")
_SYNTHETIC = {  # what a task undoes, where a set does not say otherwise
    "denoise": "gaussian-noise",
    "deblur": "motion-blur",
    "derain": "rain",
    "dejpeg": "jpeg",
    "demosaic": "mosaic",
    "upscale": "bicubic",
}
_PROTOCOLS = {"derain": "y", "upscale": "y-border"}  # of tasks that are not scored in RGB
_PACKAGES = ("torch", "numpy", "opencv-python-headless")
_OVERLAP = 32  # pixels


def evaluate(
    dataset: Annotated[
        str | None, typer.Option(metavar="NAME", help="A benchmark set; `restore data list` names them.")
    ] = None,
    root: Annotated[Path | None, typer.Option(metavar="DIR", help="Where that set is.")] = None,
    split: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Part of the set. [default: test, else validation]", show_default=False),
    ] = None,
    clean: Annotated[Path | None, typer.Option(metavar="DIR", help="A folder of clean pictures, instead.")] = None,
    degraded: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Their degraded versions, of the same names.")
    ] = None,
    restored: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Score these pictures of the same names, whatever restored them; no network."),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(metavar="TASK", help="What is restored. [default: by the set or the level]", show_default=False),
    ] = None,
    sigma: Annotated[
        float | None,
        typer.Option(min=0, max=255, metavar="S", help="Add Gaussian noise to clean pictures, in grey levels."),
    ] = None,
    jpeg_quality: Annotated[
        int | None, typer.Option(min=1, max=100, metavar="Q", help="Compress clean pictures as JPEG.")
    ] = None,
    scale: Annotated[
        int | None, typer.Option(min=2, max=4, metavar="2|3|4", help="Reduce clean pictures as MATLAB's imresize does.")
    ] = None,
    degradation: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What else is done to clean pictures, such as jpeg-luma. [default: by the set and the task]",
            show_default=False,
        ),
    ] = None,
    rounded: Annotated[
        bool, typer.Option("--rounded", help="Clip noise and round it to 8 bits, as a file does.")
    ] = False,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="WEIGHTS",
            help="As for `restore denoise`, or none: score the input. [default: the task's own]",
            show_default=False,
        ),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="How pictures are compared; docs/evaluation.md has the list. [default: as the papers do for the set]",
            show_default=False,
        ),
    ] = None,
    tile: Annotated[
        str, typer.Option(metavar="none|auto|N", help="Restore in tiles of N pixels, or whole as the papers do.")
    ] = "none",
    self_ensemble: options.SelfEnsemble = False,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write all scores, and how they came about, here.")
    ] = None,
    csv_file: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write the scores as a table.")] = None,
    save_images: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the restored pictures here, as PNG.")
    ] = None,
    submission: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="SIDD and DND: write what their authors score (a CSV file; a new folder)."),
    ] = None,
) -> None:
    """Score weights: PSNR and SSIM of each picture before and after restoration, on stderr, and the means on stdout.

    Clean pictures are degraded first: by --sigma, --jpeg-quality or --scale, or by rain, blur or a mosaic as --task
    says. Without any of them they are restored as they are: the score says whether they are left alone.
    """
    # Everything that can be refused is refused before torch is imported, which takes seconds.
    options.check_device(device)
    check_precision(precision)
    levels = {"denoise": sigma, "dejpeg": jpeg_quality, "upscale": scale}
    given = [name for name, value in levels.items() if value is not None]
    if len(given) > 1:
        raise UsageError("--sigma, --jpeg-quality and --scale exclude each other")
    if task is not None and task not in TASKS:
        raise UsageError(f"there is no task called {task!r}", hint=f"choose one of {', '.join(TASKS)}")
    if task is not None and given and task != given[0]:
        raise UsageError(f"{_level_option(given[0])} is for --task {given[0]}, not {task}")
    if degraded is not None and clean is None:
        raise UsageError("--degraded needs --clean")
    if rounded and sigma is None:
        raise UsageError("--rounded is about the noise of --sigma")
    if restored is not None and (weights is not None or submission is not None or save_images is not None):
        raise UsageError("--restored scores what is there already: leave out --weights, --submission and --save-images")
    if self_ensemble and (restored is not None or weights == "none"):
        raise UsageError("--self-ensemble is about weights, and none are scored", hint="leave it out")
    size = _tile(tile)
    for file in (json_file, csv_file, submission):
        if file is not None and not file.absolute().parent.is_dir():
            raise UsageError(f"cannot write {file}: its folder does not exist")
    from restore import degradations
    from restore.datasets import pairs as pairs_
    from restore.evaluation import protocols
    from restore.evaluation import published as published_

    known = (("protocol", protocol, protocols.PROTOCOLS), ("degradation", degradation, degradations.DEGRADATIONS))
    for what, word, choices in known:
        if word is not None and word not in choices:
            hint = did_you_mean(word, choices) or f"choose one of {', '.join(choices)}"
            raise UsageError(f"there is no {what} called {word!r}", hint=hint)
    name, record, found = _pictures(dataset, root, split, clean, degraded)
    task = task or next(iter(given), None) or (record.task if record else "denoise")
    strength = levels.get(task)
    usual = (record.degradation if record and task == record.task else None) or _SYNTHETIC[task]
    if submission is not None and (found.has_clean or dataset not in ("SIDD", "DND")):
        raise UsageError("--submission is for --dataset SIDD --split benchmark, and for --dataset DND")
    if not found.has_clean and submission is None:
        raise UsageError(
            f"the clean pictures of {name} are kept by its authors: there is nothing to compare with",
            hint="--submission PATH writes what they score",
        )
    if found.has_degraded:
        if given or degradation is not None:
            option = _level_option(task) if given else "--degradation"
            raise UsageError(f"{option} degrades clean pictures, and these are degraded already")
    elif restored is None or given or degradation is not None:
        degradation = _degradation(name, task, degradation or usual, strength)
    is_untouched = degradation is None and not found.has_degraded
    if is_untouched and weights == "none":
        raise UsageError("clean pictures with --weights none: there is nothing to score", hint="give --sigma")
    draw = None
    if degradation is not None:
        draw = pairs_.degrading(degradation, strength, as_file=rounded)
        kind = "sigma" if degradation == "gaussian-noise" else degradation
        name += f" {kind}" + ("" if strength is None else f" {strength:g}") + " rounded" * rounded
    usual_protocol = (record.protocol if record and task == record.task else None) or (
        "luma" if degradation == "jpeg-luma" else _PROTOCOLS.get(task, "rgb")
    )
    protocol = protocol or usual_protocol
    published = []
    if dataset is not None and protocol == usual_protocol and degradation in (None, usual) and not rounded:
        published = published_.published_for(dataset, task, strength)
    resolved = None
    if restored is None and weights != "none":
        resolved = checkpoints.resolve(weights or catalogue.weights_for(task, strength).name)
    others = None if restored is None else _by_name(found, restored)

    from restore.datasets.pairs import read_rgb
    from restore.evaluation import scoring, submissions
    from restore.inference.devices import keep_memory
    from restore.inference.restorer import Restorer

    keep_memory()
    answer: Answer | None = None
    report: dict[str, Any] = {
        "set": name,
        "task": task,
        "degradation": degradation,
        "level": strength,
        "protocol": protocol,
        "tile": tile,
        "overlap": None if size is None else _OVERLAP,
        "self_ensemble": self_ensemble,
        "weights": None,
        "device": None,
        "precision": None,
        "restored_by_another_tool": None if restored is None else str(restored),
        "versions": {"restore": restore.__version__, **{package: metadata.version(package) for package in _PACKAGES}},
    }
    method = None
    if resolved is not None:
        network, checkpoint = checkpoints.load(resolved)
        restorer = Restorer(network, device=device, entry=checkpoint.entry, task=checkpoint.task, precision=precision)
        answer = scoring.restoring(restorer, tile=size, overlap=_OVERLAP, self_ensemble=self_ensemble)
        method = checkpoint.network
        report["weights"] = {"path": str(resolved.path), "sha256": resolved.sha256}
        if resolved.entry is not None:
            report["weights"] = {"name": resolved.entry.name} | report["weights"]
        report["device"], report["precision"] = str(restorer.device), restorer.precision_for("uint8")
    elif others is not None:
        paths = others

        def answer(pair: Pair) -> Image:
            return read_rgb(paths[pair.name])

    if answer is not None and save_images is not None:
        answer = _saving(answer, save_images)
    with Progress(len(found.items)) as progress:

        def begun(pairs: Iterator[Pair]) -> Iterator[Pair]:
            for pair in pairs:
                progress.file(pair.name)
                yield pair

        if submission is not None:
            if answer is None:
                raise UsageError("--submission with --weights none: there is nothing to send in")
            assert dataset is not None
            work = answer
            submissions.SUBMISSIONS[dataset](submission, ((pair.name, work(pair)) for pair in begun(found.pairs())))
            print(submission)
            return
        scores = scoring.evaluate(answer, begun(found.pairs(draw)), protocol=protocol)
    # Where one of the two comparisons says nothing, it is left out.
    fields = [f for f in _FIELDS if not (is_untouched if f.startswith("input") else answer is None)]
    _print_table(scores, fields)
    _print_published(published, method)
    means = {field: scores.mean(field) for field in fields}
    shown = "; ".join(
        f"{label} {means[f'{kind}psnr']:.2f} dB, SSIM {means[f'{kind}ssim']:.4f}"
        for kind, label in (("", "restored"), ("input_", "input"))
        if f"{kind}psnr" in means
    )
    how = "" if size is None or resolved is None else f", tile {tile}"
    how += ", self-ensemble" * self_ensemble
    how += f", {report['precision']}" if report["precision"] not in (None, "float32") else ""
    print(f"{name}, {protocol}{how}, mean of {len(scores.pictures)}: {shown}")
    report["mean"] = {field: _number(value) for field, value in means.items()}
    report["published"] = [
        {
            "method": row.method,
            "psnr": float(row.psnr),
            "ssim": None if row.ssim is None else float(row.ssim),
            "source": row.source,
        }
        for row in published
    ]
    report["pictures"] = [{"name": p.name} | {f: _number(getattr(p, f)) for f in fields} for p in scores.pictures]
    if json_file is not None:
        _write(json_file, json.dumps(report, indent=2) + "\n")
    if csv_file is not None:
        _write_csv(csv_file, scores, fields)


def _pictures(
    dataset: str | None, root: Path | None, split: str | None, clean: Path | None, degraded: Path | None
) -> tuple[str, Dataset | None, Found]:
    """What the set is called, its record if it has one, and what is on disk."""
    from restore.datasets import layouts, registry

    record = None
    if clean is not None and dataset is None and root is None and split is None:
        name, found = clean.name, layouts.find_folders(clean, degraded)
    elif clean is None and dataset is not None and root is not None:
        if dataset not in registry.datasets():
            raise UsageError(
                f"there is no set called {dataset!r}",
                hint=did_you_mean(dataset, registry.datasets()) or "`restore data list` names them",
            )
        record = registry.datasets()[dataset]
        split = split or record.scored_split
        found = layouts.find(dataset, root, split)
        name = dataset if split == record.scored_split else f"{dataset} {split}"
    else:
        raise UsageError("name what to score", hint="--dataset NAME --root DIR, or --clean DIR [--degraded DIR]")
    if found.faults:
        which = f"--clean {clean} --degraded {degraded}" if record is None else f"{dataset} --root {root}"
        raise DataError(
            f"{len(found.faults)} pictures cannot be paired, first: {found.faults[0]}",
            hint=f"`restore data check {which}` lists them",
        )
    expected = None if record is None or split is None else found.layout.pictures or record.splits[split].pictures
    if expected is not None and len(found.items) != expected:
        counts = f"{root} holds {len(found.items)} pictures, {name} has {expected}"
        say(f"note:  {counts}: these are not the scores of the set")
    return name, record, found


def _degradation(name: str, task: str, wanted: str | None, strength: float | None) -> str | None:
    """What is done to clean pictures; None for nothing."""
    from restore.degradations import LEVELLED

    if wanted is None:
        raise UsageError(
            f"{name} has no degraded pictures to {task}", hint="give --degraded DIR, or --degradation NAME"
        )
    if wanted == "gaussian-noise" and not strength:
        return None
    if strength is None and wanted in LEVELLED:  # scores are for one strength
        raise UsageError(f"{name} is clean: how is it to be degraded?", hint=f"give {_level_option(task)}")
    return wanted


def _level_option(task: str) -> str:
    level = TASKS[task].level
    return "a level" if level is None else f"--{level.name}"


def _tile(text: str) -> int | Literal["auto"] | None:
    return None if text == "none" else options.parse_tile(text, _OVERLAP)


def _by_name(found: Found, folder: Path) -> dict[str, Path]:
    """The restored picture of each item: called as the item, or as the file of one of its sides."""
    from restore.images import FORMATS

    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder", hint="name the folder that holds the restored pictures")
    there = {
        path.relative_to(folder).with_suffix("").as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in FORMATS
    }
    paths = {}
    for item in found.items:
        names = [item.name, *(side.stem for side in (item.degraded, item.clean) if isinstance(side, Path))]
        match = next((there[name] for name in names if name in there), None)
        if match is None:
            raise DataError(f"{folder} holds no restored {item.name!r}", hint="the names of both folders must agree")
        paths[item.name] = match
    return paths


def _saving(answer: Answer, folder: Path) -> Answer:
    """The same answers, each also written as an 8-bit PNG."""
    import numpy as np

    from restore.images import Picture, write_picture

    def saved(pair: Pair) -> Image:
        restored = answer(pair)
        path = folder / f"{pair.name}.png"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RestoreError(f"cannot make the folder {path.parent}: {error.strerror or error}") from error
        write_picture(Picture(np.round(np.clip(restored, 0, 1) * 255).astype(np.uint8)), path)
        return restored

    return saved


def _print_table(scores: Scores, fields: list[str]) -> None:
    """Every picture and the mean, to stderr."""
    from rich.console import Console
    from rich.table import Table

    heads = {"input_psnr": "input dB", "input_ssim": "SSIM", "psnr": "restored dB", "ssim": "SSIM"}
    shown = Table("picture", box=None, show_footer=True)
    shown.columns[0].footer = "mean"
    shown.columns[0].overflow = "fold"
    for field in fields:
        shown.add_column(heads[field], _cell(field, scores.mean(field)), justify="right")
    for p in scores.pictures:
        shown.add_row(p.name, *(_cell(field, getattr(p, field)) for field in fields))
    Console(stderr=True, markup=False, highlight=False).print(shown)


def _cell(field: str, value: float) -> str:
    return f"{value:.2f}" if field.endswith("psnr") else f"{value:.4f}"


def _print_published(rows: Sequence[Published], method: str | None) -> None:
    """What the papers state for the same set, task and level, to stderr; * marks the network of the weights."""
    lines = [
        (row.method + "*" * (row.method == method), str(row.psnr), str(row.ssim or ""), row.source) for row in rows
    ]
    if lines:
        say("\n" + table(("published", "dB", "SSIM", "by"), lines))


def _number(value: float) -> Any:
    """For JSON, which has no infinity."""
    return value if math.isfinite(value) else None


def _write(path: Path, text: str) -> None:
    try:
        with whole_file(path) as unfinished:
            unfinished.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RestoreError(f"cannot write {path}: {error.strerror or error}") from error


def _write_csv(path: Path, scores: Scores, fields: list[str]) -> None:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("picture", *fields))
    rows.writerows((p.name, *(getattr(p, field) for field in fields)) for p in scores.pictures)
    rows.writerow(("mean", *(scores.mean(field) for field in fields)))
    _write(path, text.getvalue())

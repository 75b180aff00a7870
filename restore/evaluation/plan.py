"""The decisions of `restore eval`: which pictures are scored, how they are degraded, and how they are compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from restore.datasets import layouts
from restore.datasets.found import Found
from restore.datasets.pairs import Pair, degrading
from restore.datasets.registry import Dataset, dataset_called
from restore.degradations import DEGRADATIONS, LEVELLED, Draw
from restore.errors import UsageError, check_choice
from restore.evaluation.protocols import PROTOCOLS
from restore.evaluation.published import Published, published_for
from restore.evaluation.restored_files import find_restored
from restore.evaluation.submissions import SUBMISSIONS
from restore.tasks import TASKS

_DEGRADATIONS = {  # of clean pictures, by task
    "denoise": "gaussian-noise",
    "deblur": "motion-blur",
    "derain": "rain",
    "dejpeg": "jpeg",
    "demosaic": "mosaic",
    "upscale": "bicubic",
}
_PROTOCOLS = {"derain": "y", "upscale": "y-border"}  # by task; RGB for the others


@dataclass(frozen=True)
class Plan:
    """How one set of pictures is scored.

    Attributes:
        name: What results call it: the set, the degradation and its level, such as "LIVE1 jpeg-luma 10".
        found: The pictures on disk.
        task: Key of `TASKS`.
        degradation: Key of `DEGRADATIONS`: what clean pictures get first. None: the files are scored as they are.
        level: Sigma, JPEG quality or scale; None where there is none.
        draw: Draws the degradation of each picture; None as for `degradation`.
        protocol: Key of `PROTOCOLS`.
        published: The papers' figures; empty where the papers score in another way.
        restored: Another tool's file for each picture, by name; None where weights restore them, or nothing does.
        submission: Key of `SUBMISSIONS` where a file for the authors' server is written instead of scores.
        note: What the user should know about the pictures.
    """

    name: str
    found: Found
    task: str
    degradation: str | None
    level: float | None
    draw: Draw | None
    protocol: str
    published: tuple[Published, ...] = ()
    restored: Mapping[str, Path] | None = None
    submission: str | None = None
    note: str | None = None

    @property
    def is_untouched(self) -> bool:
        """Whether the inputs are the clean pictures themselves, so that their own scores say nothing."""
        return self.draw is None and not self.found.has_degraded

    def pairs(self) -> Iterator[Pair]:
        """The pictures to score, decoded and degraded one by one; the same on every run."""
        return self.found.pairs(self.draw, scaled=self.task == "upscale")

    def pair(self, number: int) -> Pair:
        """One of them, by its number in `found.items`."""
        return self.found.pair(number, self.draw, scaled=self.task == "upscale")


def make_plan(
    *,
    dataset: str | None = None,
    root: Path | None = None,
    split: str | None = None,
    clean: Path | None = None,
    degraded: Path | None = None,
    restored: Path | None = None,
    suffix: str = "",
    task: str | None = None,
    sigma: float | None = None,
    jpeg_quality: int | None = None,
    scale: int | None = None,
    degradation: str | None = None,
    rounded: bool = False,
    protocol: str | None = None,
    submission: bool = False,
    recursive: bool = False,
) -> Plan:
    """Decide how a set of pictures is scored. It needs no torch, and decodes no picture file.

        plan = make_plan(clean=Path("photos"), sigma=25)
        scores = scoring.evaluate(restorer, plan.pairs(), protocol=plan.protocol)

    Args:
        dataset, root, split: Key of `datasets()`, the folder that holds it, and the part (default: its `scored_split`).
        clean, degraded: Or two folders of pictures, paired as `layouts.find_folders` does; the second may be left out.
        restored: Folder of pictures that another tool restored.
        suffix: What that tool adds to the names.
        task: Key of `TASKS`. Default: by the level that is given, else by the set, else denoise.
        sigma: Standard deviation of Gaussian noise in 8-bit grey levels. At most one of this and the next two.
        jpeg_quality: 1 to 100.
        scale: 2, 3 or 4.
        degradation: Key of `DEGRADATIONS`. Default: by the set, else by the task.
        rounded: Clip the noise and round it to 8 bits.
        protocol: Key of `PROTOCOLS`. Default: by the set, else by the task.
        submission: Restore pictures whose clean versions the authors keep.
        recursive: Include the subfolders of `clean` and `degraded`.

    Raises:
        UsageError: The arguments contradict each other, or a name does not exist.
        DataError: The pictures do not exist or cannot be paired.
    """
    levels = {"denoise": sigma, "dejpeg": jpeg_quality, "upscale": scale}
    given = [name for name, value in levels.items() if value is not None]
    _refuse_contradictions(given, task, clean=clean, degraded=degraded, is_rounded=rounded)
    for what, word, known in (("protocol", protocol, PROTOCOLS), ("degradation", degradation, DEGRADATIONS)):
        if word is not None:
            check_choice(what, word, known)
    name, record, found, note = _find(dataset, root, split, clean, degraded, recursive)
    _refuse_submission(name, dataset, found, is_wanted=submission)

    task = task or next(iter(given), None) or (record.task if record else "denoise")
    level = levels.get(task)
    own = record if record is not None and record.task == task else None  # A set's defaults hold for its own task only.
    usual = (own and own.degradation) or _DEGRADATIONS[task]
    is_asked = bool(given) or degradation is not None
    if found.has_degraded and is_asked:
        option = level_option(task) if given else "--degradation"
        raise UsageError(f"{option} degrades clean pictures, but these are degraded already")
    # Another tool's pictures need no input; its score is an extra that must be asked for.
    if not found.has_degraded and (restored is None or is_asked):
        degradation = _degradation(name, task, degradation or usual, level)
    usual_protocol = (own and own.protocol) or ("luma" if degradation == "jpeg-luma" else _PROTOCOLS.get(task, "rgb"))
    protocol = protocol or usual_protocol
    is_as_published = protocol == usual_protocol and degradation in (None, usual) and not rounded
    return Plan(
        name=name + _described(degradation, level, is_rounded=rounded),
        found=found,
        task=task,
        degradation=degradation,
        level=level,
        draw=None if degradation is None else degrading(degradation, level, as_file=rounded),
        protocol=protocol,
        published=tuple(published_for(dataset, task, level)) if dataset is not None and is_as_published else (),
        restored=None if restored is None else find_restored(found, restored, suffix=suffix),
        submission=dataset if submission else None,
        note=note,
    )


def level_option(task: str) -> str | None:
    """The option that says how strong the degradation of a task is, such as `--sigma`."""
    level = TASKS[task].level
    return None if level is None else f"--{level.name}"


def _refuse_contradictions(
    given: list[str], task: str | None, *, clean: Path | None, degraded: Path | None, is_rounded: bool
) -> None:
    if len(given) > 1:
        raise UsageError("--sigma, --jpeg-quality and --scale cannot be combined")
    if task is not None:
        check_choice("task", task, TASKS)
    if task is not None and given and task != given[0]:
        raise UsageError(f"{level_option(given[0])} is for --task {given[0]}, not {task}")
    if degraded is not None and clean is None:
        raise UsageError("--degraded needs --clean")
    if is_rounded and given != ["denoise"]:
        raise UsageError("--rounded needs --sigma", hint="it rounds noisy pictures to 8 bits")


def _refuse_submission(name: str, dataset: str | None, found: Found, *, is_wanted: bool) -> None:
    if is_wanted and (found.has_clean or dataset not in SUBMISSIONS):
        raise UsageError("--submission is for --dataset SIDD --split benchmark, and for --dataset DND")
    if not is_wanted and not found.has_clean:
        raise UsageError(
            f"{name} cannot be scored here: its authors keep the clean pictures",
            hint="--submission PATH writes what they score",
        )


def _find(
    dataset: str | None,
    root: Path | None,
    split: str | None,
    clean: Path | None,
    degraded: Path | None,
    recursive: bool,
) -> tuple[str, Dataset | None, Found, str | None]:
    """What the set is called, its record if it has one, the pictures, and a note if they are too few or too many."""
    if clean is not None and dataset is None and root is None and split is None:
        found = layouts.find_folders(clean, degraded, recursive=recursive)
        arguments = f"--clean {clean}" + (f" --degraded {degraded}" if degraded else "") + " -r" * recursive
        layouts.refuse_faults(found, arguments)
        return clean.name or clean.resolve().name, None, found, None
    if clean is not None or dataset is None or root is None:
        raise UsageError(
            "name the pictures to score", hint="--dataset NAME --root DIR, or --clean DIR [--degraded DIR]"
        )
    record = dataset_called(dataset)
    split = split or record.scored_split
    found = layouts.find(dataset, root, split)
    layouts.refuse_faults(found, f"{dataset} --root {root}")
    name = dataset if split == record.scored_split else f"{dataset} {split}"
    expected = found.layout.pictures or record.splits[split].pictures
    note = None
    if expected is not None and len(found.items) != expected:
        note = f"{root} holds {len(found.items)} pictures, not {expected}: these are not the scores of {name}"
    return name, record, found, note


def _degradation(name: str, task: str, wanted: str, level: float | None) -> str | None:
    """What clean pictures get; None for nothing."""
    if wanted == "gaussian-noise" and not level:
        return None
    if level is None and wanted in LEVELLED:  # scores are for one strength
        option = level_option(task)
        hint = f"add {option}" if option else "leave out --task or --degradation"
        raise UsageError(f"{wanted} needs a level to degrade the pictures of {name}", hint=hint)
    return wanted


def _described(degradation: str | None, level: float | None, *, is_rounded: bool) -> str:
    """What follows the name of the set in results."""
    if degradation is None:
        return ""
    kind = "sigma" if degradation == "gaussian-noise" else degradation
    return f" {kind}" + ("" if level is None else f" {level:g}") + " rounded" * is_rounded

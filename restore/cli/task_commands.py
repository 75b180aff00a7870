"""One command per task, such as `restore denoise`: its options, and the checks that need no torch."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

import typer

from restore.cli import help, options
from restore.errors import UsageError
from restore.inference.precision import check_precision
from restore.inference.region import parse_region
from restore.tasks import Task

if TYPE_CHECKING:
    from restore.batch.planning import Job
    from restore.batch.steps import Step
    from restore.cli.task_run import Work


def add_command(app: typer.Typer, task: Task) -> None:
    """Give `app` the command of a task."""
    app.command(
        task.name,
        short_help=task.summary,
        help=f"{task.summary}\n\n{task.help}",
        **help.command(*_examples(task), page="photographs.md"),
    )(_command(task))


def _examples(task: Task) -> tuple[str, str]:
    picture, more = ("mosaic.png", " --pattern GRBG") if task.takes_mosaic else ("photo.jpg", "")
    if task.name == "upscale":
        more = " --scale 2"
    return (
        f"restore {task.name} {picture} -o restored.png{more}",
        f"restore {task.name} photos -r -o restored{more} --skip-existing",
    )


@dataclass(frozen=True)
class Given:
    """The options of a task's command, with their defaults, in the order in which the help lists them."""

    inputs: options.Inputs
    output: options.Output = None
    suffix: options.Suffix = ""
    format: options.Format = None
    quality: options.Quality = None
    background: options.Background = None
    page: options.Page = None
    max_pixels: options.MaxPixels = "500M"
    pattern: options.Pattern = "RGGB"  # only where the task takes mosaics
    strength: options.Strength = 1.0
    self_ensemble: options.SelfEnsemble = False
    weights: options.Weights = None
    level: float | None = None  # under the name that the task gives it
    recursive: options.Recursive = False
    skip_existing: options.SkipExisting = False
    watch: options.Watch = False
    overwrite: options.Overwrite = False
    on_error: options.OnError = "continue"
    on_damage: options.OnDamage = "note"
    keep_times: options.KeepTimes = False
    sidecars: options.Sidecars = "none"
    keep_time: options.KeepTime = False  # another name for it
    shard: options.Shard = None
    engine: options.Engine = "here"
    dry_run: options.DryRun = False
    json_file: options.Json = None
    json_lines: options.JsonLines = None
    report: options.Report = None
    compare: options.Compare = None
    print0: options.Print0 = False
    tile: options.Tile = "auto"
    overlap: options.Overlap = 32
    memory: options.Memory = None
    device: options.Device = "auto"
    threads: options.Threads = None
    precision: options.Precision = "auto"
    compile_network: options.Compile = False
    backend: options.Backend = "auto"
    verbose: options.Verbose = False
    crop: options.Crop = None
    strengths: options.Strengths = None


def _command(task: Task) -> Callable[..., None]:
    """The function that Typer calls; its signature has a parameter for each field of `Given` that the task has."""
    without = {"level"} if task.level is None else set()
    without |= set() if task.takes_mosaic else {"pattern"}
    changed = {} if task.level is None else {"level": options.level_of(task)}
    return command_of(Given, lambda given: _run(task, given), without, changed)


AnyGiven = TypeVar("AnyGiven", bound=Given)


def command_of(
    kind: type[AnyGiven], run: Callable[[AnyGiven], None], without: Collection[str], changed: Mapping[str, Any]
) -> Callable[..., None]:
    """A function for Typer that runs a command with these options.

    Args:
        kind: The options: `Given`, or a class with more.
        run: What the command does.
        without: Fields that are no options of this command.
        changed: Other types for some fields.
    """

    def command(**values: Any) -> None:
        run(kind(**values))

    types = {key: type_ for key, type_ in get_type_hints(kind, include_extras=True).items() if key not in without}
    types |= changed
    defaults = {
        field.name: inspect.Parameter.empty if field.default is MISSING else field.default for field in fields(kind)
    }
    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=defaults[name], annotation=type_)
            for name, type_ in types.items()
        ]
    )
    return command


def _run(task: Task, given: Given) -> None:
    """Restore the pictures; before torch is imported, which takes seconds, the options are checked."""
    run = prepare(given, upscales=task.name == "upscale")
    if given.dry_run:
        run.tell_jobs()
        from restore.batch.steps import Step

        run.tell_time([Step(task.name, given.level, weights=given.weights, self_ensemble=given.self_ensemble)])
        return
    from restore.batch.task_restorer import RestorerChoice
    from restore.cli import task_run

    choice = RestorerChoice(
        task,
        given.weights,
        given.level,
        given.device,
        given.precision,
        given.compile_network,
        given.threads,
        given.backend,
    )
    run.how.update(strength=given.strength, self_ensemble=given.self_ensemble)
    pattern = given.pattern if task.takes_mosaic else None
    run.carry_out(task_run.with_one_network(choice, run.how, pattern, verbose=given.verbose, strengths=run.strengths))


def _strengths(given: Given, *, upscales: bool) -> tuple[float, ...]:
    """The strengths of the contact sheet; none without one.

    Raises:
        UsageError: They are no strengths, or another option contradicts them.
    """
    if given.strengths is None:
        return ()
    if upscales:
        raise UsageError("upscale has no strengths to compare", hint="leave out --strengths, or the upscaling")
    for option, has in (("--strength", given.strength != 1), ("--report", given.report), ("--compare", given.compare)):
        if has:
            raise UsageError(f"--strengths and {option} contradict each other", hint="leave out one of them")
    return options.parse_strengths(given.strengths)


def _keep_sources(jobs: Sequence[Job]) -> None:
    """Refuse to replace a picture by a part of it.

    Raises:
        UsageError: An output is its own source.
    """
    from restore.batch.planning import replacing

    for job in replacing(jobs):
        raise UsageError(f"a part of {job.name} would replace the whole picture", hint="use another -o")


@dataclass(frozen=True)
class Prepared:
    """A run whose options are checked.

    Attributes:
        given: The options.
        work: The pictures.
        how: `tile`, `overlap`, `memory` and `region` of `Restorer.restore_picture`.
        pipeline: Attributes of the `Pipeline`.
        strengths: Those of the contact sheet; none without one.
    """

    given: Given
    work: Work
    how: dict[str, Any]
    pipeline: dict[str, Any]
    strengths: tuple[float, ...]

    def tell_jobs(self) -> None:
        """Print what would be written where."""
        from restore.cli.streams import one_line

        for job in self.work.to_do:
            print(one_line(str(job), sys.stdout), end=self.end)

    def tell_time(self, steps: Sequence[Step]) -> None:
        """Say on stderr how long the run with these steps would take; that of a part is not known."""
        from restore.batch.estimate import estimate
        from restore.cli.streams import say

        if self.how["region"] is not None:
            return
        told = estimate(self.work.to_do, steps, is_on_cpu=self.given.device in ("auto", "cpu"))
        if told is not None:
            say(f"note:  {told}")

    def without_pictures(self) -> Prepared:
        """The same without the jobs: an actor of a cluster needs the options only."""
        return replace(self, work=replace(self.work, jobs=(), to_do=(), pipes=()))

    def carry_out(self, load: Any) -> None:
        """Restore the pictures; `load` as for `task_run.carry_out`."""
        from restore.cli import task_run

        task_run.carry_out(
            self.work, load, self.pipeline, json_file=self.given.json_file, json_lines=self.given.json_lines,
            verbose=self.given.verbose, end=self.end,
            comparing={"report": self.given.report, "sheet": self.given.compare, "region": self.how["region"]},
            engine=self.given.engine, device=self.given.device, threads=self.given.threads,
        )  # fmt: skip

    @property
    def end(self) -> str:
        """What follows each printed path."""
        return "\0" if self.given.print0 else "\n"


def prepare(given: Given, *, upscales: bool) -> Prepared:
    """Check the options without torch, and find the pictures. `upscales`: a step enlarges them.

    Raises:
        UsageError: Options contradict each other, or a value is out of its range.
        PictureError: As `task_run.plan`.
    """
    _check(given)
    strengths = _strengths(given, upscales=upscales)
    crop = given.crop or ("center:512" if strengths else None)
    format = None if given.format is None else given.format.lower().removeprefix(".")
    max_pixels = options.parse_max_pixels(given.max_pixels)
    how = {
        "tile": options.parse_tile(given.tile, given.overlap),
        "overlap": given.overlap,
        "memory": None if given.memory is None else options.parse_memory(given.memory),
        "region": None if crop is None else parse_region(crop),
    }
    from restore.cli import task_run

    if given.watch:
        work = task_run.watch(
            given.inputs, given.output, shard=given.shard, recursive=given.recursive, suffix=given.suffix, format=format
        )
    else:
        work = task_run.plan(
            given.inputs, given.output, recursive=given.recursive, suffix=given.suffix, format=format,
            shard=given.shard, overwrite=given.overwrite, skip_existing=given.skip_existing,
            copied=frozenset({".xmp"} if given.sidecars == "copy" else ()),
        )  # fmt: skip
    _check_urls(given, work)
    if given.engine == "ray":
        _check_ray(given, work)
    if crop is not None:
        _keep_sources(work.to_do)
    pipeline = {
        "format": format,
        "quality": given.quality,
        "background": given.background,
        "stop_on_error": given.on_error == "stop",
        "overwrite": given.overwrite,
        "skip_existing": given.skip_existing or given.watch,
        "page": given.page,
        "max_pixels": max_pixels,
        "on_damage": given.on_damage,
        "keep_times": given.keep_times or given.keep_time,
        "copies_sidecars": given.sidecars == "copy",
    }
    return Prepared(given, work, how, pipeline, strengths)


def _check(given: Given) -> None:
    """Refuse options that contradict each other, and values that no type refuses."""
    options.check_device(given.device)
    check_precision(given.precision)
    if given.background is not None:
        from restore.images.background import parse_background

        parse_background(given.background)
    if given.overwrite and given.skip_existing:
        raise UsageError("--overwrite and --skip-existing contradict each other", hint="leave out one of them")
    for other in ("overwrite", "dry_run"):
        if given.watch and getattr(given, other):
            name = other.replace("_", "-")
            raise UsageError(f"--watch and --{name} contradict each other", hint="leave out one of them")
    if given.dry_run and (given.report or given.compare):
        raise UsageError("--dry-run restores nothing, so there is nothing to compare", hint="leave out one of them")
    if given.watch and given.compare:  # a sheet in a watched folder would be the next picture
        raise UsageError("--watch and --compare contradict each other", hint="--report FILE compares every picture")
    options.check_folder_of(given.report, given.compare)
    _check_json(given)


def _check_urls(given: Given, work: Work) -> None:
    """Refuse what stores of files do not have."""
    if given.sidecars == "copy" and any(job.is_remote for job in work.jobs):
        raise UsageError("--sidecars copies files of this machine only, not those of URLs", hint="leave it out")
    if (given.keep_times or given.keep_time) and any(job.is_target_remote for job in work.jobs):
        raise UsageError("--keep-times cannot set the times of a file at a URL", hint="leave it out")


def _check_ray(given: Given, work: Work) -> None:
    """Refuse what actors of a cluster cannot do."""
    from restore.batch.planning import replacing

    for option in ("watch", "report", "compare"):
        if getattr(given, option):
            raise UsageError(f"--engine ray and --{option} contradict each other", hint="leave out one of them")
    if work.pipes or any(job.target_path is None for job in work.jobs):
        raise UsageError("--engine ray takes files and URLs, not pipes", hint="leave out --engine")
    if not work.rank.is_alone:
        raise UsageError("--engine ray shares the pictures itself", hint="start one process, without --shard")
    for job in replacing(work.to_do):  # a picture whose actor ended is restored again
        raise UsageError(f"--engine ray cannot replace a source: {job.name}", hint="use another -o")


def _check_json(given: Given) -> None:
    """Refuse `--json` and `--json-lines` where they contradict other options."""
    if given.json_file is not None and given.json_file == given.json_lines:
        where = "stdout" if given.json_file == "-" else "the same file"
        raise UsageError(f"--json and --json-lines both go to {where}", hint="choose two files")
    for option, file in (("--json", given.json_file), ("--json-lines", given.json_lines)):
        if given.dry_run and file is not None:
            why = f"--dry-run restores nothing, so {option} has nothing to report"
            raise UsageError(why, hint="leave out one of them")
        if given.report is not None and str(given.report) == file:
            raise UsageError(f"--report and {option} name the same file", hint="choose two names")
        if given.output == file == "-":
            raise UsageError("stdout cannot take both the picture and the JSON", hint=f"{option} FILE")
        if given.print0 and file == "-":
            raise UsageError(f"--print0 ends paths, and {option} - prints none", hint="leave out one of them")

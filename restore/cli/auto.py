"""`restore auto`: does what an inspection of each picture finds, and leaves good pictures alone."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from restore.cli.help import QUALITY
from restore.cli.run import StrengthOfSteps, loader_for, note_chain, with_steps
from restore.cli.task_commands import Given, Prepared, command_of, prepare
from restore.errors import RestoreError

if TYPE_CHECKING:
    from restore.batch.planning import Job
    from restore.batch.report import RunReport
    from restore.cli.progress_bar import Progress
    from restore.cli.task_run import Restore
    from restore.images import Picture
    from restore.inference.restored import Restored

Scale = Annotated[
    int | None,
    typer.Option(
        min=2,
        max=4,
        metavar="N",
        rich_help_panel=QUALITY,
        help="Also upscale 2, 3 or 4 times, as the last step.",
        show_default="the size stays",
    ),
]


@dataclass(frozen=True)
class AutoGiven(Given):
    """The options of `restore auto`."""

    scale: Scale = None


def command() -> Callable[..., None]:
    """The function that Typer calls."""
    return command_of(AutoGiven, _run, {"level", "weights", "pattern"}, {"strength": StrengthOfSteps})


def _run(given: AutoGiven) -> None:
    """Restore what is wrong with each picture; copy good pictures."""
    run = prepare(given, upscales=given.scale is not None)
    if given.dry_run:
        _tell_plan(run, given.scale)
        return
    run.carry_out(_loading(run.without_pictures(), given.scale))


def _loading(run: Prepared, scale: int | None) -> Callable[[RunReport, Progress], Restore]:
    """What inspects a picture, and loads networks when a picture needs them."""

    def load(report: RunReport, progress: Progress) -> Restore:
        from restore.batch.steps import advised
        from restore.inspection.advice import advise
        from restore.inspection.inspect import inspect

        given = run.given
        loader = loader_for(given, report.rank.device(given.device))

        def restore(picture: Picture, after_tile: Callable[[int, int], None]) -> Restored:
            findings = inspect(picture)
            steps = advised(advise(findings, scale=scale), strength=given.strength, self_ensemble=given.self_ensemble)
            if not steps:
                return _unchanged(picture, findings.as_dict(), run)
            chain = loader.chain(steps)
            note_chain(chain, report)
            restored = with_steps(chain, picture, after_tile, run)
            return dataclasses.replace(restored, findings=findings.as_dict())

        return restore

    return load


def _unchanged(picture: Picture, findings: dict[str, object], run: Prepared) -> Restored:
    """A picture that needs nothing: itself, its part, or a contact sheet of equal panels."""
    from restore.inference.region import place_in
    from restore.inference.restored import Restored

    region = run.how["region"]
    part = place_in(picture, region).cut(picture)
    height, width = part.pixels.shape[:2]
    if run.strengths:
        from restore.viewer.contact import contact_sheet

        part = contact_sheet(part, [part.pixels for _ in run.strengths], run.strengths)
    return Restored(part, (height, width), 0, None, findings=findings, is_good=region is None)


@dataclass(frozen=True)
class _Plan:
    """What would be done to a picture.

    Attributes:
        words: In words.
        megapixels: Its size; 0 where it is left alone.
        seconds: How long that takes; None where it is not known.
    """

    words: str
    megapixels: float = 0.0
    seconds: float | None = 0.0


def _tell_plan(run: Prepared, scale: int | None) -> None:
    """Print what would be done to each picture, and why; and on stderr how long it would take."""
    from restore.batch.estimate import in_words
    from restore.cli.streams import describe, one_line, say

    failed, plans = 0, []
    for job in run.work.to_do:
        try:
            plan = _plan_of(job, run, scale)
        except RestoreError as error:
            if len(run.work.to_do) == 1:
                raise
            failed += 1
            say(describe(error))
            continue
        print(one_line(f"{job}: {plan.words}", sys.stdout), end=run.end)
        plans += [plan] if plan.megapixels else []
    if plans and run.how["region"] is None:
        seconds = [plan.seconds for plan in plans if plan.seconds is not None]
        total = sum(seconds) if len(seconds) == len(plans) else None
        say(f"note:  {in_words(len(plans), sum(plan.megapixels for plan in plans), total)}")
    if failed:
        raise RestoreError(f"{failed} of {len(run.work.to_do)} pictures cannot be inspected")


def _plan_of(job: Job, run: Prepared, scale: int | None) -> _Plan:
    """What would be done to a picture."""
    if job.source_path is None:
        return _Plan("what is in the pipe is not read before the run")
    from restore.batch.transfers import Transfers

    with Transfers() as transfers:
        try:
            return _plan_of_file(transfers.fetch(job).source, run, scale)
        except RestoreError as error:
            error.message = transfers.named(job, error.message)
            raise


def _plan_of_file(source: Path | BinaryIO, run: Prepared, scale: int | None) -> _Plan:
    from restore.batch.estimate import speed_of
    from restore.batch.steps import advised, in_effect
    from restore.images import read_picture
    from restore.inspection.advice import advise
    from restore.inspection.inspect import inspect

    given = run.given
    picture = read_picture(source, page=given.page or 1, max_pixels=run.pipeline["max_pixels"])
    advice = in_effect(advise(inspect(picture), scale=scale), given.strength)
    if not advice.steps:
        return _Plan(advice.words())
    speed = speed_of(advised(advice, self_ensemble=given.self_ensemble)) if given.device in ("auto", "cpu") else None
    megapixels = picture.pixels[..., 0].size * (1 if given.page else picture.pages) / 1e6
    return _Plan(advice.words(), megapixels, None if speed is None else megapixels * speed)

"""`restore auto`: does what an inspection of each picture finds, and leaves good pictures alone."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from restore.cli.help import QUALITY
from restore.cli.run import loader_for, note_chain
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
    return command_of(AutoGiven, _run, {"level", "weights", "pattern"}, {})


def _run(given: AutoGiven) -> None:
    """Restore what is wrong with each picture; copy good pictures."""
    run = prepare(given)
    if given.dry_run:
        _tell_plan(run, given.scale)
        return
    run.carry_out(_loading(run, given.scale))


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
                return _unchanged(picture, findings.as_dict())
            chain = loader.chain(steps)
            note_chain(chain, report)
            restored = chain.restore_picture(picture, progress=after_tile, **run.how)
            return dataclasses.replace(restored, findings=findings.as_dict())

        return restore

    return load


def _unchanged(picture: Picture, findings: dict[str, object]) -> Restored:
    from restore.inference.restored import Restored

    height, width = picture.pixels.shape[:2]
    return Restored(picture, (height, width), 0, None, findings=findings, is_good=True)


def _tell_plan(run: Prepared, scale: int | None) -> None:
    """Print what would be done to each picture, and why."""
    from restore.cli.streams import describe, one_line, say

    failed = 0
    for job in run.work.to_do:
        try:
            plan = _plan_of(job, run, scale)
        except RestoreError as error:
            failed += 1
            say(describe(error))
            continue
        print(one_line(f"{job}: {plan}", sys.stdout), end=run.end)
    if failed:
        raise RestoreError(f"{failed} of {len(run.work.to_do)} pictures cannot be inspected")


def _plan_of(job: Job, run: Prepared, scale: int | None) -> str:
    """What would be done to a picture, in words."""
    if not isinstance(job.source, Path):
        return "what is in the pipe is not read before the run"
    from restore.batch.steps import in_effect
    from restore.images import read_picture
    from restore.inspection.advice import advise
    from restore.inspection.inspect import inspect

    picture = read_picture(job.source, page=run.given.page or 1, max_pixels=run.pipeline["max_pixels"])
    return in_effect(advise(inspect(picture), scale=scale), run.given.strength).words()

"""A run of a task's command, once its options are known to make sense."""

from __future__ import annotations

import dataclasses
import io
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

import numpy as np

from restore import checkpoints
from restore.batch import planning, processes
from restore.batch.pipeline import Outcome, Pipeline
from restore.batch.planning import Job, name_of
from restore.batch.processes import Rank
from restore.batch.report import RunReport
from restore.checkpoints import catalogue
from restore.cli.console import Interrupted, Progress, Signals, describe, say, speak_as
from restore.errors import RestoreError, UsageError
from restore.files import remove_unfinished
from restore.images import Picture
from restore.images.bayer import as_rggb
from restore.tasks import Task

if TYPE_CHECKING:
    from restore.inference.restorer import Restored, Restorer


@dataclass(frozen=True)
class Work:
    """What this process is to do.

    Attributes:
        jobs: Its share of the pictures.
        to_do: Those of them that are not skipped.
        rank: Which of several processes it is.
    """

    jobs: Sequence[Job]
    to_do: Sequence[Job]
    rank: Rank


@dataclass(frozen=True)
class Loading:
    """The options that make a restorer."""

    task: Task
    weights: str | None
    level: float | None
    device: str
    precision: str
    compile_network: bool
    threads: int | None


def plan(inputs: Sequence[str], output: str | None, *, overwrite: bool, skip_existing: bool, **naming: Any) -> Work:
    """This process's share of what `planning.plan` makes of the arguments, which see.

    Raises:
        PictureError, UsageError: Also where a pipe is a terminal, or is to be shared by several processes.
    """
    rank = processes.rank_from(os.environ)
    if not rank.is_alone:
        speak_as(f"rank {rank.index}: ")
        if "-" in (*inputs, output):
            raise UsageError("several processes cannot share a pipe", hint="use files, or one process")
    stdin = _pipe(sys.stdin, "stdin", "restore ... < in.png") if "-" in inputs else None
    stdout = _pipe(sys.stdout, "stdout", "restore ... > out.png") if output == "-" else None
    planned = planning.plan(inputs, output, overwrite=overwrite, stdin=stdin, stdout=stdout, **naming)
    for note in planned.notes:
        say(f"note:  {note}")
    jobs = processes.share(planned.jobs, rank)
    if not rank.is_alone:
        say(f"{len(jobs)} of {len(planned.jobs)} pictures")
    to_do = [job for job in jobs if not (skip_existing and planning.is_done(job))]
    if not overwrite:
        planning.refuse_existing(to_do)
    return Work(jobs, to_do, rank)


def _pipe(stream: Any, name: str, hint: str) -> BinaryIO:
    """The bytes of a standard stream."""
    if stream is None or stream.isatty():
        why = "closed" if stream is None else "a terminal, which is no place for the bytes of a picture"
        raise UsageError(f"{name} is {why}", hint=hint)
    pipe: BinaryIO = stream.buffer
    return pipe


def carry_out(
    work: Work,
    loading: Loading,
    how: dict[str, Any],
    pattern: str | None,
    options: dict[str, Any],
    *,
    json_file: str | None,
    verbose: bool,
) -> None:
    """Restore the pictures, and tell the user of each.

    Args:
        work: What is to be done.
        loading: What makes the restorer.
        how: Arguments of `Restorer.restore_picture`.
        pattern: Of the mosaics that the pictures are; None where they are none.
        options: Attributes of the `Pipeline`.
        json_file: Where the report goes.
        verbose: Say what is used and how long it takes.

    Raises:
        RestoreError: Pictures failed, or nothing could be done at all.
        Interrupted: Ctrl-C or SIGTERM.
    """
    work = _read_pipe(work)
    bar = Progress(len(work.to_do), is_shown=work.rank.is_alone)
    with RunReport(work.jobs, work.rank, json_file) as report, bar as progress:
        report.skip(set(work.jobs) - set(work.to_do))
        if work.to_do:
            restorer = _load(loading, report)
            if verbose:
                assert report.weights is not None
                progress.say(
                    f"weights {report.weights.path} (SHA-256 {report.weights.sha256[:12]}...), device {report.device}, "
                    f"precision {restorer.precision}"
                )

            def restore(picture: Picture, after_tile: Callable[[int, int], None]) -> Restored:
                if pattern is None:
                    return restorer.restore_picture(picture, progress=after_tile, **how)
                pixels, (row, column) = as_rggb(picture.pixels, pattern)
                restored = restorer.restore_picture(
                    dataclasses.replace(picture, pixels=pixels), progress=after_tile, **how
                )
                restored.picture.pixels = np.ascontiguousarray(restored.picture.pixels[row:, column:])
                return restored

            pipeline = Pipeline(
                restore,
                lambda outcome: _tell(outcome, report, progress, are_paths_printed=json_file != "-", verbose=verbose),
                started=lambda job: progress.file(os.path.basename(name_of(job.source))),
                progress=progress.tile,
                **options,
            )
            _run(pipeline, work.to_do, report, progress)
    _conclude(report, stops_on_error=options["stop_on_error"])


def _read_pipe(work: Work) -> Work:
    """The same with stdin read: here, where Ctrl-C ends the waiting."""
    if len(work.to_do) != 1 or isinstance(work.to_do[0].source, Path):
        return work
    job = dataclasses.replace(work.to_do[0], source=io.BytesIO(work.to_do[0].source.read()))
    return dataclasses.replace(work, jobs=[job], to_do=[job])


def _load(loading: Loading, report: RunReport) -> Restorer:
    """The network on its device, of which the report learns."""
    task = loading.task.name
    found = checkpoints.resolve(loading.weights or catalogue.weights_for(task, loading.level).name)
    if found.entry and found.entry.task != task:
        raise UsageError(
            f"{found.entry.name} are weights to {found.entry.task}, not to {task}",
            hint=f"leave out --weights, or use `restore {found.entry.task}`",
        )
    made_for = found.entry.level if found.entry else None
    if loading.level is not None and made_for not in (None, loading.level):
        _refuse_level(loading, made_for)
    import torch

    from restore.inference.devices import keep_memory
    from restore.inference.restorer import Restorer

    if loading.threads is not None:
        torch.set_num_threads(loading.threads)
    keep_memory()
    network, info = checkpoints.load(found)
    if task == "upscale" and loading.level not in (None, network.scale):
        _refuse_level(loading, network.scale)
    restorer = Restorer(
        network,
        device=report.rank.device(loading.device),
        entry=info.entry,
        task=info.task,
        precision=loading.precision,
        compile_network=loading.compile_network,
    )
    report.weights, report.device, report.threads = found, str(restorer.device), torch.get_num_threads()
    return restorer


def _refuse_level(loading: Loading, made_for: float | None) -> NoReturn:
    assert loading.task.level is not None
    option = f"--{loading.task.level.name}"
    raise UsageError(
        f"these weights are made for {option} {made_for:g}, not {loading.level:g}",
        hint=f"leave out {option}, or name other --weights",
    )


def _run(pipeline: Pipeline, jobs: Sequence[Job], report: RunReport, progress: Progress) -> None:
    """Do the jobs; Ctrl-C stops after the current tile, a second one at once."""

    def ask() -> None:
        pipeline.stop.set()
        with suppress(RuntimeError):  # the signal came while a line was being written
            progress.say("stopping after this tile; a second Ctrl-C stops at once")

    def give_up(number: int) -> None:
        progress.close()
        report.signal = number
        report.write()
        remove_unfinished()

    # A launcher passes a Ctrl-C on to processes that had it from the terminal already.
    with Signals(ask, give_up, echo_seconds=0 if report.rank.is_alone else 1) as signals:
        pipeline.run(jobs)
    report.signal = signals.received


def _tell(outcome: Outcome, report: RunReport, progress: Progress, *, are_paths_printed: bool, verbose: bool) -> None:
    """What the user learns of a picture."""
    report.add(outcome)
    source, target = outcome.job.source, outcome.job.target
    for note in outcome.notes:
        progress.say(f"note:  {name_of(source)}: {note}")
    if outcome.status == "failed":
        if len(report.jobs) > 1:  # the only one is the command's own error
            progress.say(describe(_error(outcome)))
        return
    if are_paths_printed and isinstance(target, Path):
        progress.result(str(target))
    if verbose:
        progress.say(f"{name_of(source)}: {_facts(outcome)}")


def _error(outcome: Outcome) -> RestoreError:
    return RestoreError(outcome.reason or "", hint=outcome.hint)


def _facts(outcome: Outcome) -> str:
    """What it took to restore a picture."""
    facts = f"{outcome.seconds:.1f} s"
    if outcome.tile is not None:
        facts += f", {outcome.tiles} tile{'s' * (outcome.tiles != 1)} of {outcome.tile[1]} x {outcome.tile[0]} pixels"
    if outcome.precision is not None:
        facts += f", in {outcome.precision}"
    if outcome.seam is not None:
        facts += f", seams differ by {outcome.seam.mean:.2f} grey levels, {outcome.seam.max:.1f} at most"
    return facts


def _conclude(report: RunReport, *, stops_on_error: bool) -> None:
    """Sum up, and raise what the exit code comes from."""
    is_one = len(report.jobs) == 1
    if not is_one:
        say(report.summary())
    if report.signal is not None:
        say("interrupted" + ("" if is_one else "; with --skip-existing the same command goes on from here"))
        raise Interrupted(report.signal)
    if not (report.failed and stops_on_error):
        processes.leave(report.rank, has_failed=bool(report.failed))
    if report.failed and is_one:
        raise _error(report.failed[0])
    if report.failed:
        raise RestoreError(
            f"{len(report.failed)} of {len(report.jobs)} pictures failed:\n"
            + "\n".join(f"  {outcome.reason}" for outcome in report.failed)
        )

"""One run of a task's command in a terminal: pipes, a progress bar, Ctrl-C, and what the user reads."""

from __future__ import annotations

import dataclasses
import errno
import io
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO

from restore.batch import history, launchers, planning, processes, watching
from restore.batch.json_lines import JsonLines
from restore.batch.pipeline import VANISHED, Outcome, Pipeline
from restore.batch.planning import Job
from restore.batch.processes import Rank
from restore.batch.report import RunReport
from restore.batch.task_restorer import RestorerChoice, load_restorer, restore_mosaic
from restore.batch.watching import Batch, FolderWatch
from restore.cli.progress_bar import Progress
from restore.cli.signals import Interrupted, Signals
from restore.cli.streams import describe, one_line, say, speak_as
from restore.errors import PictureError, RestoreError, UsageError
from restore.files import remove_unfinished
from restore.images import Picture
from restore.inspection.advice import in_words

if TYPE_CHECKING:
    from restore.inference.restored import Restored
    from restore.inference.restorer import Restorer
    from restore.viewer.run_comparison import RunComparison

_SHORT = 30  # characters of a name that every file system takes, in any encoding
_MOST_OF_A_PIPE = 4 << 30  # bytes; 500 megapixels of 16-bit RGB are 3 GB


@dataclass(frozen=True)
class Work:
    """The part of a run that this process does.

    Attributes:
        jobs: Its share of the pictures.
        to_do: The jobs that are not skipped.
        rank: Its place among several processes.
        left_out: As in `planning.Plan`.
        pipes: The jobs whose sources are pipes.
        watch: Where more pictures come from; None if there are no more.
    """

    jobs: Sequence[Job]
    to_do: Sequence[Job]
    rank: Rank
    left_out: dict[str, int]
    pipes: Sequence[Job] = ()
    watch: FolderWatch | None = None


def plan(
    inputs: Sequence[str],
    output: str | None,
    *,
    shard: str | None,
    overwrite: bool,
    skip_existing: bool,
    **naming: Any,
) -> Work:
    """This process's share of the jobs that `planning.plan` makes of the arguments.

    Raises:
        PictureError, UsageError: As `planning.plan` and `launchers.share_of_run`; also if a pipe is a terminal, or
            several processes would share it.
    """
    rank = launchers.share_of_run(os.environ, shard, takes_one=planning.is_one(inputs))
    if shard is None and rank.is_alone and (tasks := launchers.unused_tasks(os.environ)) > 1:
        say(f"note:  SLURM has {tasks} tasks, but this process is not started by srun: it takes all pictures")
    if not rank.is_alone:
        speak_as(f"{rank.label}: ")
        if "-" in (*inputs, output):
            raise UsageError("several processes cannot share a pipe", hint="use files, or one process")
    stdin = _pipe(sys.stdin, "stdin", "restore ... < in.png") if "-" in inputs else None
    stdout = _pipe(sys.stdout, "stdout", "restore ... > out.png") if output == "-" else None
    planned = planning.plan(inputs, output, overwrite=overwrite, stdin=stdin, stdout=stdout, rank=rank, **naming)
    for note in planned.notes:
        say(one_line(f"note:  {note}", sys.stderr))
    jobs = planned.jobs
    if not rank.is_alone:
        say(launchers.in_words(rank, len(jobs), planned.total))
    _refuse_long_names(jobs)
    done = planning.done(jobs) if skip_existing else ()
    to_do = [job for job in jobs if job.target_path not in done]
    if not overwrite:
        planning.refuse_existing(to_do)
    named = {str(Path(text)) for text in inputs}  # only these can be pipes: those in folders are left out
    pipes = [job for job in to_do if (job.source_path is None or job.source_path in named) and _is_pipe(job.source)]
    return Work(jobs, to_do, rank, planned.left_out, pipes)


def watch(inputs: Sequence[str], output: str | None, *, shard: str | None, **naming: Any) -> Work:
    """A run over all pictures that are and will be in folders; arguments as for `watching.watch`.

    Raises:
        PictureError, UsageError: As `watching.watch`; also if there are several processes.
    """
    rank = launchers.share_of_run(os.environ, shard)
    if not rank.is_alone:
        raise UsageError(
            f"--watch takes one process, but this one has the share {rank.share} ({rank.launcher})",
            hint="leave out --shard" if rank.launcher == "--shard" else "--shard 1/1, if it is the only one",
        )
    return Work((), (), rank, {}, watch=watching.watch(inputs, output, **naming))


def _refuse_long_names(jobs: Sequence[Job]) -> None:
    """Raise a PictureError if no file can have the name of an output."""
    folders: set[str] = set()
    for path, job in ((job.target_path, job) for job in jobs):
        if path is None or job.is_target_remote:
            continue
        folder, _, name = path.rpartition(os.sep)
        if len(name) < _SHORT and folder in folders:
            continue
        folders.add(folder)
        try:
            os.lstat(path)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                why = f"cannot write the output of {job.name}: its name is too long"
                raise PictureError(why, hint="choose a shorter -o or --suffix") from None


def _pipe(stream: Any, name: str, hint: str) -> BinaryIO:
    """The bytes of a standard stream."""
    if stream is None or stream.isatty():
        why = "closed" if stream is None else "a terminal, which cannot take the bytes of a picture"
        raise UsageError(f"{name} is {why}", hint=hint)
    pipe: BinaryIO = stream.buffer
    return pipe


Restore = Callable[[Picture, Callable[[int, int], None]], "Restored"]
"""Restores a picture, and calls its second argument after each tile."""


def with_one_network(
    choice: RestorerChoice,
    how: dict[str, Any],
    pattern: str | None,
    *,
    verbose: bool,
    strengths: Sequence[float] = (),
) -> Callable[[RunReport, Progress], Restore]:
    """What loads the network of a task, for `carry_out`.

    Args:
        choice: What makes the restorer.
        how: Arguments of `Restorer.restore_picture`.
        pattern: Bayer pattern of the pictures; None if they are not mosaics.
        verbose: Show weights, device and precision.
        strengths: Make a contact sheet of these instead.
    """

    def load(report: RunReport, progress: Progress) -> Restore:
        restorer = _load(choice, report)
        assert report.weights is not None
        if verbose:
            progress.say(
                f"weights {report.weights.path} (SHA-256 {report.weights.sha256[:12]}...), device {report.device}, "
                f"precision {restorer.precision}"
            )

        step = history.step(choice, report.weights, how, pattern)
        one = restorer.restore_picture if pattern is None else partial(restore_mosaic, restorer, pattern=pattern)

        def restore(picture: Picture, after_tile: Callable[[int, int], None]) -> Restored:
            restored = one(picture, **how, progress=after_tile)
            if strengths:
                from restore.viewer.contact import contact_sheet, mixed

                original = one(picture, **how | {"strength": 0.0}).picture
                panels = [mixed(original.pixels, restored.picture.pixels, strength) for strength in strengths]
                return dataclasses.replace(restored, picture=contact_sheet(original, panels, strengths))
            restored.picture.history += (step,)
            return restored

        return restore

    return load


def carry_out(
    work: Work,
    load: Callable[[RunReport, Progress], Restore],
    options: dict[str, Any],
    *,
    json_file: str | None,
    json_lines: str | None,
    verbose: bool,
    end: str = "\n",
    comparing: Mapping[str, Any] | None = None,
    engine: str = "here",
    device: str = "auto",
    threads: int | None = None,
) -> None:
    """Restore the pictures, and tell the user about each.

    Args:
        work: The jobs.
        load: Loads what restores the pictures, and notes it in the report.
        options: Attributes of the `Pipeline`.
        json_file, json_lines: Where the report and the lines of JSON go: a file, `-` for stdout, or None.
        verbose: Show weights, device, tiles and times.
        end: What follows each printed path.
        comparing: `report`, `sheet` and `region` of a `RunComparison`; None compares nothing.
        engine: `here`, or `ray` for actors of a cluster.
        device, threads: What the actors need.

    Raises:
        RestoreError: Pictures failed, or the run could not begin.
        Interrupted: Ctrl-C or SIGTERM.
    """
    work = _read_pipe(work)
    bar = Progress(len(work.to_do), is_shown=work.rank.is_alone)
    comparison = _comparison(work, comparing or {}, overwrite=options["overwrite"])
    report_file, lines_file = (
        _results_file(file, work.rank, option) for file, option in ((json_file, "--json"), (json_lines, "--json-lines"))
    )
    lines = JsonLines(work.jobs, work.rank, lines_file)
    with RunReport(work.jobs, work.rank, report_file) as report, lines, bar as progress, comparison:
        report.left_out = work.left_out
        report.skip(set(work.jobs).difference(work.to_do))
        report.is_growing = work.watch is not None
        if work.to_do or work.watch:

            def tell(outcome: Outcome) -> None:
                lines.add(report.record(outcome))
                _tell(outcome, report, progress, end=None if "-" in (json_file, json_lines) else end, verbose=verbose)
                comparison.tell(outcome, report)

            def start(job: Job) -> None:
                progress.file(os.path.basename(job.name))
                comparison.started(job)

            if engine == "ray":
                _run_on_ray(partial(_quietly, load), work, report, progress, tell, options, device, threads)
            else:
                restore = comparison.watched(load(report, progress))
                pipeline = Pipeline(restore, tell, started=start, progress=progress.tile, **options)
                _run(pipeline, work, report, progress)
    _conclude(report, stops_on_error=options["stop_on_error"])


def _comparison(work: Work, options: Mapping[str, Any], *, overwrite: bool) -> RunComparison:
    from restore.viewer.run_comparison import RunComparison

    given = {"report": None, "sheet": None} | dict(options)
    return RunComparison(**given, jobs=work.to_do, rank=work.rank, overwrite=overwrite)


def _read_pipe(work: Work) -> Work:
    """The same work with pipes read: here, because Ctrl-C must end the waiting."""
    if not work.pipes:
        return work
    read = {job: Job(_content(job.source), job.target) for job in work.pipes}
    return dataclasses.replace(
        work, jobs=[read.get(job, job) for job in work.jobs], to_do=[read.get(job, job) for job in work.to_do]
    )


def _is_pipe(source: Path | BinaryIO) -> bool:
    return source.is_fifo() if isinstance(source, Path) else True


def _content(source: Path | BinaryIO) -> BinaryIO:
    """All bytes of a pipe, up to the most that any picture has.

    Raises:
        PictureError: There are more, or the pipe or the memory fails.
    """
    name = str(source) if isinstance(source, Path) else "standard input"
    content = io.BytesIO()
    try:
        with source.open("rb") if isinstance(source, Path) else nullcontext(source) as pipe:
            while block := pipe.read(1 << 20):
                content.write(block)
                is_zeros = content.tell() >= 1 << 20 and not any(content.getbuffer()[:4096])
                if is_zeros or content.tell() > _MOST_OF_A_PIPE:
                    why = "it holds only zeros" if is_zeros else "it is larger than any picture"
                    raise PictureError(f"cannot read {name}: {why}", hint="check what writes to it")
    except MemoryError:
        raise PictureError(f"cannot read {name}: not enough memory", hint="write it to a file first") from None
    except OSError as error:
        raise PictureError(f"cannot read {name}: {error.strerror}") from error
    content.seek(0)
    return content


def _results_file(file: str | None, rank: Rank, option: str) -> Path | TextIO | None:
    if file == "-":
        if not rank.is_alone:
            raise UsageError("several processes cannot share stdout", hint=f"{option} FILE")
        if sys.stdout is None:
            raise UsageError("stdout is closed", hint=f"{option} FILE")
        return sys.stdout
    return None if file is None else Path(file)


def _load(choice: RestorerChoice, report: RunReport) -> Restorer:
    """The restorer, noted in the report."""
    restorer, report.weights = load_restorer(dataclasses.replace(choice, device=report.rank.device(choice.device)))
    report.device, report.threads = str(restorer.device), restorer.threads
    return restorer


def _run(pipeline: Pipeline, work: Work, report: RunReport, progress: Progress) -> None:
    """Do the jobs. Ctrl-C stops after the current tile; a second one stops at once."""
    is_waiting = False

    def ask() -> None:
        pipeline.stop.set()
        if is_waiting:
            return
        with suppress(RuntimeError):  # the signal came while a line was written
            progress.say("stopping after this tile; a second Ctrl-C stops at once")

    def give_up(number: int) -> None:
        progress.close()
        report.signal = number
        report.write()
        remove_unfinished()

    # A launcher passes a Ctrl-C on to processes that the terminal has sent it to.
    with Signals(ask, give_up, echo_seconds=0 if report.rank.is_alone else 1) as signals:
        pipeline.run(work.to_do)
        if work.watch is not None:
            progress.say(f"watching {', '.join(map(str, work.watch.folders))}; Ctrl-C ends it")
            is_waiting = True
            for batch in work.watch.batches(pipeline.stop):
                is_waiting = False
                _do(batch, pipeline, report, progress)
                progress.wait()
                is_waiting = True
    report.signal = signals.received


def _quietly(load: Callable[[RunReport, Progress], Restore], report: RunReport) -> Restore:
    return load(report, Progress(0, is_shown=False))


def _run_on_ray(
    load: Callable[[RunReport], Restore],
    work: Work,
    report: RunReport,
    progress: Progress,
    tell: Callable[[Outcome], None],
    options: dict[str, Any],
    device: str,
    threads: int | None,
) -> None:
    """Do the jobs on a cluster. Ctrl-C stops after the current tiles; a second one stops at once."""
    from restore.batch import ray_engine

    def told(outcome: Outcome) -> None:
        progress.file(os.path.basename(outcome.job.name))
        progress.tile(1, 1)
        tell(outcome)

    pool = ray_engine.Pool(load, options, told, report, progress.say, device, threads)

    def ask() -> None:
        pool.stop.set()
        with suppress(RuntimeError):  # the signal came while a line was written
            progress.say("stopping after the current tiles; a second Ctrl-C stops at once")

    def give_up(number: int) -> None:
        progress.close()
        report.signal = number
        report.write()

    with ray_engine.cluster(), Signals(ask, give_up) as signals:  # in this order: Ray handles signals, too
        pool.run(work.to_do)
    report.signal = signals.received


def _do(batch: Batch, pipeline: Pipeline, report: RunReport, progress: Progress) -> None:
    """Do what a watch found."""
    for note in batch.notes:
        progress.say(one_line(f"note:  {note}", sys.stderr))
    report.extend([*batch.new, *(outcome.job for outcome in batch.others)])
    progress.more(len(batch.new) + len(batch.again))
    for outcome in batch.others:
        if outcome.status == "failed":
            pipeline.report(outcome)
            if pipeline.stop_on_error:
                pipeline.stop.set()
        else:
            report.add(outcome)
    dataclasses.replace(pipeline, may_vanish=True).run(batch.new)  # which makes folders that vanished meanwhile
    # Their outputs are of this run, which nobody changed since.
    dataclasses.replace(pipeline, overwrite=True, skip_existing=False, may_vanish=True).run(batch.again)


def _tell(outcome: Outcome, report: RunReport, progress: Progress, *, end: str | None, verbose: bool) -> None:
    """Tell the user the result of a picture. `end` follows its path; None prints no path."""
    report.add(outcome)
    name, target = outcome.job.name, outcome.job.target_path
    for note in outcome.notes:
        progress.say(one_line(f"note:  {name}: {note}", sys.stderr))
    if outcome.findings is not None and outcome.status in ("restored", "copied"):
        progress.say(one_line(f"{name}: {_reasons(outcome)}", sys.stderr))
    if outcome.status == "failed":
        if not report.is_of_one:  # that of a single picture is the error of the command
            progress.say(describe(_error(outcome)))
        return
    if end is not None and target is not None and outcome.reason != VANISHED:
        progress.result(target, end=end)
    if verbose:
        progress.say(one_line(f"{name}: {_facts(outcome)}", sys.stderr))


def _reasons(outcome: Outcome) -> str:
    """What was done to a picture after an inspection, and why."""
    steps = (in_words(step["task"], step["level"], step["why"]) for step in outcome.steps)
    done = ", ".join(dict.fromkeys(steps)) or "nothing to do"
    return f"{done}; copied" if outcome.status == "copied" else done


def _error(outcome: Outcome) -> RestoreError:
    return RestoreError(outcome.reason or "", hint=outcome.hint)


def _facts(outcome: Outcome) -> str:
    """Time, tiles, precision and seams of a picture."""
    facts = f"{outcome.seconds:.1f} s"
    if outcome.tile is not None:
        facts += f", {outcome.tiles} tile{'s' * (outcome.tiles != 1)} of {outcome.tile[1]} x {outcome.tile[0]} pixels"
    if outcome.precision is not None:
        facts += f", in {outcome.precision}"
    if outcome.seam is not None:
        facts += f", seams differ by {outcome.seam.mean:.2f} grey levels, {outcome.seam.max:.1f} at most"
    return facts


def _conclude(report: RunReport, *, stops_on_error: bool) -> None:
    """Print the summary, and raise the error that sets the exit code."""
    is_one = report.is_of_one
    if not is_one:
        say(report.summary())
    if report.signal is not None:
        say(
            "interrupted"
            + (
                ""
                if is_one
                else f"; run the same command{'' if report.is_growing else ' with --skip-existing'} to continue"
            )
        )
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

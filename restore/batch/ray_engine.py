"""Ray as the engine of a run: actors on the machines of a cluster, each with its networks loaded once."""

from __future__ import annotations

import os
import re
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO

from restore.batch import planning
from restore.batch.job import Job
from restore.batch.pipeline import Outcome, Pipeline
from restore.batch.processes import Rank
from restore.batch.report import RunReport
from restore.errors import RestoreError, UsageError

if TYPE_CHECKING:
    from restore.checkpoints import ResolvedWeights

CHUNK = 8
"""Most pictures that an actor takes at once, so that it reads the next and writes the last while the network works."""

TRIES = 3
"""How often a picture is tried whose actor ends."""

_LONG = 30.0  # seconds without a free actor after which the user is told
_WRITTEN = "an actor wrote it and ended before it could tell"


@dataclass(frozen=True)
class Done:
    """What an actor tells of its pictures.

    Attributes:
        outcomes: One for each that was reached.
        weights, device, threads: As in `RunReport`.
        error: Type, message and hint of an error that ends the run.
    """

    outcomes: list[Outcome]
    weights: ResolvedWeights | None
    device: str | None
    threads: int | None
    error: tuple[type[RestoreError], str, str | None] | None = None


class Restoring:
    """An actor.

    Args:
        load: Loads what restores the pictures, and notes it in a report.
        options: Attributes of the `Pipeline`.
        folder: The folder that relative paths start in, if this machine has it.
    """

    def __init__(self, load: Callable[[RunReport], Any], options: dict[str, Any], folder: str) -> None:
        with suppress(OSError):
            os.chdir(folder)
        self._load, self._options = load, options
        self._restore: Any = None
        self._report = RunReport((), Rank(), None)
        self._stop = threading.Event()

    def ready(self) -> None:
        """Returns as soon as the actor lives."""

    def stop(self) -> None:
        """Stop after the current tile."""
        self._stop.set()

    def do(self, jobs: Sequence[Job], is_again: bool) -> Done:
        """Restore pictures; with `is_again` an actor that ended may have written some of them."""
        outcomes: list[Outcome] = []
        error = None
        if is_again and not self._options["overwrite"]:
            done = planning.done(jobs)
            outcomes += [Outcome(job, "restored", notes=(_WRITTEN,)) for job in jobs if job.target_path in done]
            jobs = [job for job in jobs if job.target_path not in done]
        try:
            self._restore = self._restore or self._load(self._report)
            Pipeline(self._restore, outcomes.append, stop=self._stop, **self._options).run(jobs)
        except RestoreError as raised:
            error = type(raised), raised.message, raised.hint
        except Exception as raised:
            error = RestoreError, f"{type(raised).__name__}: {raised}", None
        return Done(outcomes, self._report.weights, self._report.device, self._report.threads, error)


@contextmanager
def cluster() -> Iterator[None]:
    """The cluster of RAY_ADDRESS or of this machine, or Ray on this machine alone, until the end.

    Raises:
        UsageError: Ray is missing, or the cluster does not answer.
    """
    try:
        import ray
    except ImportError as error:
        raise UsageError("--engine ray needs Ray", hint="pip install 'restore-photos[ray]'") from error
    with redirect_stdout(_Stdout(sys.stdout)):
        if ray.is_initialized():
            yield
            return
        _connect()
        try:
            yield
        finally:
            ray.shutdown()


class _Stdout:
    """Standard output. What threads of Ray print, such as that an actor ended, goes to stderr: programs read paths."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        is_of_ray = threading.current_thread().name.startswith("ray_")
        return getattr(sys.stderr if is_of_ray else self._stream, name)


def _connect() -> None:
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    address = os.environ.get("RAY_ADDRESS")
    try:
        if address and (place := re.fullmatch(r"(?:ray://)?([^/:]+):(\d+)", address)):  # Ray itself tries for minutes
            socket.create_connection((place[1], int(place[2])), timeout=10).close()
        try:
            ray.init(address=address or "auto", **quiet)
        except ConnectionError:
            if address:
                raise
            ray.init(address="local", include_dashboard=False, **quiet)
    except (OSError, RuntimeError, ValueError) as error:
        what = f"no Ray cluster answers at {address}" if address else "Ray does not start"
        raise UsageError(
            f"{what}: {' '.join(str(error).split())}", hint="check RAY_ADDRESS, or --engine here"
        ) from error


def actors_of(cpus: float, gpus: float, threads: int | None, device: str) -> tuple[int, dict[str, float]]:
    """How many actors a cluster takes, and what each needs. One CPU stays free for what hands out the pictures.

    >>> actors_of(8, 0, None, "auto")
    (7, {'num_cpus': 1})
    >>> actors_of(1, 0, None, "auto")
    (1, {'num_cpus': 1})
    >>> actors_of(9, 0, 4, "cpu")
    (2, {'num_cpus': 4})
    >>> actors_of(5, 8, None, "auto")
    (8, {'num_gpus': 1, 'num_cpus': 0.5})

    Raises:
        UsageError: There is no GPU, and `device` asks for one.
    """
    if device == "cuda" and gpus < 1:
        raise UsageError("the Ray cluster has no GPU", hint="leave out --device")
    if device in ("auto", "cuda") and gpus >= 1:
        share = (max(cpus, 1) - 1) / int(gpus)
        return int(gpus), {"num_gpus": 1, "num_cpus": 1 if share >= 1 else int(share * 100) / 100}
    each = min(threads or 1, int(max(cpus - 1, min(cpus, 1))))
    return max(1, int((cpus - 1) // max(each, 1))), {"num_cpus": each}


@dataclass
class Pool:
    """Gives the pictures to actors, and takes up those of actors that end.

    Attributes:
        load, options: As for `Restoring`.
        tell: Takes each outcome, in any order.
        report: Takes weights, device and threads.
        say: Tells the user what takes long, and that actors end.
        device, threads: As for `restore.load`.
        stop: Set it to stop after the current tiles.
    """

    load: Callable[[RunReport], Any]
    options: dict[str, Any]
    tell: Callable[[Outcome], None]
    report: RunReport
    say: Callable[[str], None]
    device: str
    threads: int | None
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self, jobs: Sequence[Job]) -> None:
        """Do the jobs on the `cluster`.

        Raises:
            RestoreError: An error that applies to every picture, such as weights that cannot be loaded.
        """
        import ray

        there = ray.cluster_resources()
        count, needs = actors_of(there.get("CPU", 0), there.get("GPU", 0), self.threads, self.device)
        size = max(1, min(CHUNK, len(jobs) // count))  # every actor has work
        self._left = deque((list(jobs[i : i + size]), 0) for i in range(0, len(jobs), size))
        self._new = ray.remote(Restoring).options(max_concurrency=2, **needs)
        self._starting: dict[Any, Any] = {}  # answers to come, and the actors that give them
        self._working: dict[Any, tuple[Any, list[Job], int]] = {}
        self._failed_starts = 0
        for _ in range(min(count, len(self._left))):
            self._add()
        try:
            self._give_out()
        finally:
            for actor in (*self._starting.values(), *(actor for actor, _, _ in self._working.values())):
                ray.kill(actor)

    def _add(self) -> None:
        actor = self._new.remote(self.load, self.options, os.getcwd())
        self._starting[actor.ready.remote()] = actor

    def _give_out(self) -> None:
        import ray

        told, asked, free_since = False, False, time.monotonic()
        while self._working or (self._left and not self.stop.is_set()):
            if self.stop.is_set() and not asked:
                asked = True
                for actor, _, _ in self._working.values():
                    actor.stop.remote()
            answers, _ = ray.wait([*self._working, *self._starting], timeout=0.2)
            for answer in answers:
                self._take(answer)
            if self._working:
                free_since = time.monotonic()
            elif not told and time.monotonic() - free_since > _LONG:
                told = True
                self.say("note:  waiting for a free CPU or GPU of the Ray cluster")

    def _take(self, answer: Any) -> None:
        """Take an answer, and give the actor more to do."""
        import ray

        if answer in self._starting:
            actor = self._starting.pop(answer)
            try:
                ray.get(answer)
            except ray.exceptions.RayActorError as error:
                self._failed_starts += 1
                if self._failed_starts > TRIES and not self._starting and not self._working:
                    why = " ".join(str(error).split())
                    raise RestoreError(f"no actor starts: {why}", hint="is restore on all machines?") from error
                return self._add()
            return self._give(actor)
        actor, jobs, tries = self._working.pop(answer)
        try:
            done = ray.get(answer)
        except ray.exceptions.RayError as error:  # the actor ended, or its machine
            ray.kill(actor)
            self._again(jobs, tries + 1, error)
            if self._left:
                self._add()
            return None
        self.report.weights, self.report.device, self.report.threads = done.weights, done.device, done.threads
        for outcome in done.outcomes:
            self.tell(outcome)
            if outcome.status == "failed" and self.options["stop_on_error"]:
                self.stop.set()
        if done.error is not None:
            kind, message, hint = done.error
            raise kind(message, hint=hint)
        return self._give(actor)

    def _give(self, actor: Any) -> None:
        import ray

        if not self._left or self.stop.is_set():
            ray.kill(actor)
            return
        jobs, tries = self._left.popleft()
        self._working[actor.do.remote(jobs, tries > 0)] = actor, jobs, tries

    def _again(self, jobs: list[Job], tries: int, error: Exception) -> None:
        """Put back the pictures of an actor that ended, one by one: one of them may be the cause."""
        if tries < TRIES:
            self.say(f"note:  an actor ended; {len(jobs)} picture{'s' * (len(jobs) > 1)} of it will be tried again")
            self._left.extend(([job], tries) for job in jobs)
            return
        for job in jobs:
            why = str(error).strip().split("\n", 1)[0]
            self.tell(Outcome(job, "failed", f"{job.name}: its actor ended {tries} times ({why})", "is memory short?"))

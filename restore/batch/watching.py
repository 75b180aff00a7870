"""Watches folders: which pictures are new, complete and not restored yet."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from restore.batch import planning, remote
from restore.batch.finding import is_picture, missing
from restore.batch.pipeline import Outcome
from restore.batch.planning import Job
from restore.errors import RestoreError, UsageError

STILL = 2.0  # seconds without a change of size or time after which a file counts as complete
POLL = 1.0  # seconds between two looks at the folders
_STEP = 0.1  # seconds; Ctrl-C ends the waiting after at most this

_Signature = tuple[int, int]  # size in bytes, time of the last change in nanoseconds


@dataclass
class _Seen:
    """A picture in a watched folder."""

    job: Job
    signature: _Signature
    since: float
    is_handled: bool = False


@dataclass(frozen=True)
class Batch:
    """What to do next.

    Attributes:
        new: Jobs whose outputs do not exist.
        again: Jobs whose sources changed after this run restored them. Their outputs are replaced.
        others: Outcomes of pictures for which there is nothing to do, or nothing can be done.
        notes: What the user should know.
    """

    new: list[Job] = field(default_factory=list)
    again: list[Job] = field(default_factory=list)
    others: list[Outcome] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.new or self.again or self.others or self.notes)


@dataclass
class FolderWatch:
    """Finds the pictures of folders again and again.

    A picture counts when its size and time of change are still for `STILL` seconds; an empty file waits. Hidden files,
    linked folders, the folder of the outputs and outputs beside their sources are left out. Files and folders may
    vanish, appear and change names at any time.

    Attributes:
        folders: The watched folders.
        out: The folder of the outputs; None: beside the sources.
        recursive: Include subfolders.
        suffix, format: As for `planning.plan`.
        clock: Seconds that never go back.
    """

    folders: Sequence[Path]
    out: Path | None
    recursive: bool = False
    suffix: str = ""
    format: str | None = None
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._seen: dict[Path, _Seen] = {}
        self._sources: dict[str, Path] = {}  # by the real path of the output
        self._written: dict[Path, _Signature] = {}  # outputs of this run
        self._handled: dict[Path, _Signature] = {}  # sources as they were last handed out
        self._gone: set[Path] = set()  # watched folders that cannot be read
        self._notes: list[str] = []

    def batches(self, stop: threading.Event) -> Iterator[Batch]:
        """Wait for pictures until `stop` is set. A batch counts as done when the next one is asked for."""
        while not stop.is_set():
            self.look()
            if batch := self._next():
                yield batch
                for job in (*batch.new, *batch.again):
                    self._note_written(job)
                continue
            end = self.clock() + POLL
            # Not Event.wait: a signal handler that sets the event while its lock is held would never return.
            while not stop.is_set() and self.clock() < end:
                time.sleep(_STEP)

    def look(self) -> None:
        """Note what is in the folders now."""
        now = self.clock()
        found: dict[Path, _Seen] = {}
        for folder in self.folders:
            for path, signature in self._pictures(folder):
                seen = self._seen.get(path)
                if seen is None:
                    seen = _Seen(self._job(path, folder), signature, now)
                elif seen.signature != signature:
                    seen = _Seen(seen.job, signature, now)
                found.setdefault(path, seen)
        self._seen = found

    def _next(self) -> Batch:
        """What is complete and not handled yet."""
        batch, self._notes = Batch(notes=self._notes), []
        for path, seen in sorted(self._seen.items()):
            is_still = self.clock() - seen.since >= STILL and seen.signature[0] > 0
            if seen.is_handled or not is_still or self._is_output(path):
                continue
            seen.is_handled = True
            self._sort(seen, batch)
        return batch

    def _sort(self, seen: _Seen, batch: Batch) -> None:
        """Put a job where it belongs. A source that vanished and is back as it was needs nothing."""
        job = seen.job
        assert isinstance(job.source, Path) and isinstance(job.target, Path)
        first = self._sources.get(os.path.realpath(job.target), job.source)
        try:
            if first != job.source:
                why = f"{first} and {job.source} would both be written to {job.target}"
                raise UsageError(why, hint="restore them in separate runs")
            planning.check([job], overwrite=False)
            is_back, self._handled[job.source] = self._handled.get(job.source) == seen.signature, seen.signature
            if not planning.is_done(job):
                batch.new.append(job)
            elif is_back:
                return
            elif job.target not in self._written:
                batch.others.append(Outcome(job, "skipped", f"{job.target} already exists"))
            elif self._written[job.target] == _signature(job.target):
                batch.again.append(job)
            else:
                batch.notes.append(f"{job.source} changed, but so did {job.target}; it is not replaced")
        except (RestoreError, OSError) as error:
            reason = error.message if isinstance(error, RestoreError) else f"{job.source}: {error.strerror}"
            hint = error.hint if isinstance(error, RestoreError) else None
            batch.others.append(Outcome(job, "failed", reason, hint))

    def _note_written(self, job: Job) -> None:
        assert isinstance(job.target, Path)
        if signature := _signature(job.target):
            self._written[job.target] = signature

    def _is_output(self, path: Path) -> bool:
        real = os.path.realpath(path)
        return self._sources.get(real, path) != path

    def _job(self, path: Path, folder: Path) -> Job:
        target = planning.target_in(self.out, path, path.relative_to(folder), self.suffix, self.format)
        real = os.path.realpath(target)
        if real != os.path.realpath(path):  # else it would replace its source, which is refused later
            self._sources.setdefault(real, path)
        return Job(path, target)

    def _pictures(self, top: Path) -> Iterator[tuple[Path, _Signature]]:
        """The pictures below a folder now."""
        out = None if self.out is None else os.path.realpath(self.out)
        folders = [(top, os.path.realpath(top))]
        while folders:
            folder, real = folders.pop()
            try:
                entries = list(os.scandir(folder))
            except OSError as error:  # it vanished or changed its name
                if folder == top and top not in self._gone:
                    self._gone.add(top)
                    self._notes.append(f"cannot read {top}: {error.strerror}; waiting until it is back")
                continue
            self._gone.discard(folder)
            for entry in entries:
                with suppress(OSError):
                    if is_picture(entry.name) and (signature := _signature(folder / entry.name)):
                        yield folder / entry.name, signature
                    elif self.recursive and entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                        deeper = os.path.join(real, entry.name)
                        if deeper != out:
                            folders.append((folder / entry.name, deeper))


def watch(
    inputs: Sequence[str], output: str | None, *, recursive: bool = False, suffix: str = "", format: str | None = None
) -> FolderWatch:
    """A watch of the folders `inputs`; arguments as for `planning.plan`.

    Raises:
        PictureError: An input is missing, or the outputs cannot be written there.
        UsageError: An input is no folder, or each output would replace its source.
    """
    for text in (*inputs, *([output] if output is not None else [])):
        if remote.is_url(text):
            raise UsageError(f"--watch takes folders of this machine, and {text} is a URL", hint="leave out --watch")
    out = planning.folder_of_outputs(output, suffix, format)
    assert not isinstance(out, str)
    for text in inputs:
        if not os.path.isdir(text):
            if text != "-" and not os.path.exists(text):
                raise missing(text)
            raise UsageError(f"--watch takes folders, and {text} is none", hint="name the folder that holds it")
        if out is not None and os.path.realpath(out) == os.path.realpath(text) and not suffix and format is None:
            raise UsageError(f"{text} is watched and is also the output folder", hint="use another -o, or --suffix")
    found = FolderWatch([Path(text) for text in inputs], out, recursive, suffix, format)
    found.look()  # the clock of files that are there starts now, while the network is loaded
    return found


def _signature(path: Path) -> _Signature | None:
    """Size and time of a regular file; None if there is none."""
    try:
        facts = os.stat(path)
    except OSError:
        return None
    return (facts.st_size, facts.st_mtime_ns) if stat.S_ISREG(facts.st_mode) else None

"""Jobs in order: while the network works on one picture, the next is decoded and the last is encoded."""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from restore.batch import copying, sidecars
from restore.batch.planning import Job, name_of
from restore.batch.transfers import Transfers
from restore.errors import PictureError, RestoreError, UsageError
from restore.files import remove_leftovers
from restore.images import (
    FORMATS,
    MAX_PIXELS,
    Picture,
    check_output,
    default_suffix,
    holds_pages,
    read_pages,
    read_picture,
    write_pages,
    write_picture,
)

if TYPE_CHECKING:
    from restore.inference.blending import Seam
    from restore.inference.restored import Restored

LARGE = 50_000_000
"""Pixels above which a picture is alone in memory: no other is decoded or encoded meanwhile."""

VANISHED = "it vanished before it was read"
"""The reason why a picture is skipped whose file is gone."""

Status = Literal["restored", "copied", "skipped", "failed", "not reached"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a job.

    Attributes:
        job: The job.
        status: `copied` if the picture needed nothing; `not reached` if the run stopped before it.
        reason: Why it failed, was skipped or was not reached.
        hint: What to do about it.
        notes: What the user should know about the picture.
        pages: Number of pages or frames that were restored.
        damage: What is damaged in the file; what could be read was restored.
        seconds: Seconds of decoding, network and encoding, counted even where they overlap with other pictures.
        network_seconds: The network's part of `seconds`.
        tile: Height and width of the tiles in pixels, of the first page.
        tiles: Number of tiles of all pages.
        seam: How far the tiles differ where they overlap, on the page where they differ most.
        precision: The type that the network computed in.
        retiled: Side of the first tiles for which memory ran out, in pixels; None where it never did.
        steps: A record of each step of each page, where several steps made the picture.
        findings: What an inspection found on the first page; None without one.
    """

    job: Job
    status: Status
    reason: str | None = None
    hint: str | None = None
    notes: tuple[str, ...] = ()
    pages: int = 1
    damage: str | None = None
    seconds: float = 0.0
    network_seconds: float = 0.0
    tile: tuple[int, int] | None = None
    tiles: int = 0
    seam: Seam | None = None
    precision: str | None = None
    retiled: int | None = None
    steps: tuple[dict[str, Any], ...] = ()
    findings: dict[str, Any] | None = None


@dataclass
class _Read:
    """What reading gave.

    Attributes:
        pages: The first picture, until it is taken.
        rest: Reads the other pages; None for a single picture.
        seconds: Seconds of reading.
    """

    pages: list[Picture]
    rest: Iterator[Picture] | None
    seconds: float

    def __iter__(self) -> Iterator[Picture]:
        yield self.pages.pop()
        yield from self.rest or ()


class _Halt(BaseException):
    """Gives up the current picture. Not an Exception, so that handlers of the network's errors let it pass."""


@dataclass
class Pipeline:
    """Does jobs. A broken picture does not stop the others.

    The network and all callbacks run in the thread that calls `run`. At most one picture is decoded ahead, and at most
    one is being encoded. A picture of more than `LARGE` pixels is alone. The pages of a file and the frames of an
    animation are read, restored and written one after the other.

    Attributes:
        restore: Restores a picture, and calls its second argument after each tile.
        report: Takes each outcome as soon as it is known, in the order of the jobs.
        started: Called before each job.
        progress: Called after each tile with the number done and the total.
        stop: Set it to stop after the current tile; the picture that is being written is completed first.
        stop_on_error: Stop in the same way after a picture that fails.
        format: Format of a picture that goes into a pipe, as an extension without dot; None: as the source.
        quality, background: For `write_picture`.
        overwrite: Replace files that exist. Without it a picture fails if a file takes its output's name meanwhile.
        skip_existing: Such a picture is skipped instead.
        may_vanish: A picture whose file vanishes before it is read is skipped, too.
        page: Number of the page or frame to restore, from 1; None restores all.
        max_pixels: Most pixels of a picture.
        on_damage: What becomes of a damaged file: `note` restores what can be read, `fail` fails.
        keep_times: An output file gets the times of its source file.
        copies_sidecars: An output file gets the XMP sidecars of its source file.
    """

    restore: Callable[[Picture, Callable[[int, int], None]], Restored]
    report: Callable[[Outcome], None]
    started: Callable[[Job], None] = lambda job: None
    progress: Callable[[int, int], None] = lambda done, total: None
    stop: threading.Event = field(default_factory=threading.Event)
    stop_on_error: bool = False
    format: str | None = None
    quality: int | None = None
    background: str | None = None
    overwrite: bool = False
    skip_existing: bool = False
    may_vanish: bool = False
    keep_times: bool = False
    copies_sidecars: bool = False
    page: int | None = None
    max_pixels: int = MAX_PIXELS
    on_damage: Literal["note", "fail"] = "note"

    def __post_init__(self) -> None:
        self._ahead: Future[_Read] | None = None
        self._writing: tuple[Outcome, Future[tuple[tuple[str, ...], float]]] | None = None
        self._folders: set[Path] = set()  # that exist and are free of leftovers
        self._bug: Exception | None = None
        self._sources: dict[Job, os.stat_result] = {}  # of files, from before they were read

    def run(self, jobs: Sequence[Job]) -> None:
        """Do the jobs in order.

        Raises:
            UsageError: The arguments are impossible for every picture.
            Exception: A bug; the picture before it is written first.
        """
        with (
            Transfers() as self._transfers,
            ThreadPoolExecutor(1, "decode") as self._decoder,
            ThreadPoolExecutor(1, "encode") as self._encoder,
        ):
            try:
                for job, following in zip_longest(jobs, jobs[1:]):
                    if self.stop.is_set():
                        break
                    self._do(job, following)
            except _Halt:
                pass
            finally:
                self._settle()
        if self._bug is not None:
            raise self._bug

    def _do(self, job: Job, following: Job | None) -> None:
        """One job up to the start of its encoding; also starts to decode the next picture."""
        self.started(job)
        reading, self._ahead = self._ahead or self._decoder.submit(self._read, job), None
        try:
            read = reading.result()
        except Exception as error:
            return self._fail(job, error)
        del reading  # it also holds the picture
        is_alone = read.rest is not None or _is_large(read.pages[0])
        if is_alone:
            self._settle()
        elif following is not None:
            self._ahead = self._decoder.submit(self._read, following)
        if read.rest is not None:
            return self._do_pages(job, read)
        picture, seconds = read.pages.pop(), read.seconds
        begun = time.perf_counter()
        try:
            restored = self.restore(picture, self._after_tile)
        except UsageError:
            raise  # it applies to every picture
        except Exception as error:
            return self._fail(job, error)
        del picture  # may be large, and encoding needs memory too
        network_seconds = time.perf_counter() - begun
        self._settle()
        local, format = self._transfers.local(job), self._pipe_format(restored.picture)
        is_copy = restored.is_good and copying.can_be_copied(local, restored.picture, format)
        outcome = Outcome(
            job, "copied" if is_copy else "restored", damage=restored.picture.damage, seconds=seconds + network_seconds,
            network_seconds=network_seconds, tile=restored.tile, tiles=restored.tiles, seam=restored.seam,
            precision=restored.precision, retiled=restored.retiled, steps=restored.steps, findings=restored.findings,
        )  # fmt: skip
        self._writing = outcome, self._encoder.submit(self._write, restored.picture, job, is_copy)
        if is_alone or _is_large(restored.picture):
            del restored
            self._settle()
        return None

    def _do_pages(self, job: Job, read: _Read) -> None:
        """One job of several pages. If one fails, no output is left."""
        begun = time.perf_counter()
        pages = _Pages(read, self.restore, self._after_tile)
        format = self._pipe_format(read.pages[0])
        try:
            notes = self._deliver(partial(write_pages, iter(pages)), job, format)
        except UsageError:
            raise  # it applies to every picture
        except Exception as error:
            return self._fail(job, error)
        seconds = read.seconds + time.perf_counter() - begun
        done = dataclasses.replace(pages.outcome(job), seconds=seconds)
        return self._tell(dataclasses.replace(done, notes=(*done.notes, *notes)))

    def _after_tile(self, done: int, total: int) -> None:
        self.progress(done, total)
        if self._writing is not None and self._writing[1].done():
            self._settle()
        if self.stop.is_set() and done < total:  # a complete picture is written
            raise _Halt

    def _settle(self) -> None:
        """Wait until the picture that is being encoded is written, and report it."""
        if self._writing is None:
            return
        (outcome, writing), self._writing = self._writing, None
        try:
            notes, seconds = writing.result()
        except Exception as error:
            self._fail(outcome.job, error)
        else:
            self._tell(dataclasses.replace(outcome, notes=notes, seconds=outcome.seconds + seconds))

    def _tell(self, outcome: Outcome) -> None:
        """Report an outcome, with the names that the user knows instead of those of temporary files."""
        job = outcome.job
        if job.is_remote:
            named = partial(self._transfers.named, job)
            outcome = dataclasses.replace(
                outcome,
                reason=outcome.reason and named(outcome.reason),
                hint=outcome.hint and named(outcome.hint),
                notes=tuple(map(named, outcome.notes)),
            )
            self._transfers.drop(job)
        self.report(outcome)

    def _fail(self, job: Job, error: Exception) -> None:
        """Report a picture that failed, after those before it. The error is dropped: its frames hold pictures."""
        self._settle()
        is_missing = any(isinstance(one, FileNotFoundError) for one in (error, error.__cause__))
        if self.may_vanish and is_missing and isinstance(job.source, Path) and not job.source.exists():
            return self._tell(Outcome(job, "skipped", VANISHED))
        reason, hint = f"{type(error).__name__}: {error}", None
        if isinstance(error, RestoreError):
            reason, hint = error.message, error.hint
            if self.skip_existing and isinstance(error.__cause__, FileExistsError):  # another run wrote it meanwhile
                return self._tell(Outcome(job, "skipped", f"{job.target_path} already exists"))
        elif isinstance(error, MemoryError):
            reason, hint = "not enough memory", "close other programs, or make the picture smaller"
        elif isinstance(error, OSError):  # such as a name that is too long, or a missing drive
            reason = error.strerror or reason
        else:
            self._bug = error
        reason = self._transfers.named(job, reason)
        if job.source_path is not None and job.source_path not in reason:
            reason = f"{job.source_path}: {reason}"
        self._tell(Outcome(job, "failed", reason, hint))
        if self.stop_on_error or self._bug is not None:
            self.stop.set()
        return None

    # Each runs in its own thread:

    def _read(self, job: Job) -> _Read:
        begun = time.perf_counter()
        job = self._transfers.fetch(job)
        if isinstance(job.source, Path):
            with suppress(OSError):  # which reading tells
                self._sources[job] = os.stat(job.source)
        pages = self._pages(job)
        picture = next(pages)
        is_single = self.page is not None or picture.pages == 1
        format = self._pipe_format(picture)
        if isinstance(job.target, Path):
            self._prepare(job.target.parent)
            format = FORMATS.get(job.target.suffix.lower(), format)
        if not is_single and not holds_pages(format, picture):
            target = job.target if isinstance(job.target, Path) else f"a pipe of {format}"
            fits = ".tif" if picture.duration is None else ".png, .webp or .tif"
            raise PictureError(
                f"{target} holds one picture, and {name_of(job.source)} has {picture.pages}",
                hint=f"--page 1, or write {fits}",
            )
        if isinstance(job.target, Path):
            check_output(job.target, picture, overwrite=self.overwrite)
        if is_single:
            pages.close()  # it holds the picture
        return _Read([picture], None if is_single else pages, time.perf_counter() - begun)

    def _pages(self, job: Job) -> Generator[Picture]:
        """The pictures of a file that are to be restored, one by one."""
        if self.page is None:
            pages = read_pages(job.source, max_pixels=self.max_pixels)
        else:
            pages = iter([read_picture(job.source, page=self.page, max_pixels=self.max_pixels)])
        for picture in pages:
            picture.background = self.background
            if picture.damage is not None:
                if self.on_damage == "fail":
                    raise PictureError(f"damaged: {picture.damage}", hint="copy it again, or use --on-damage note")
                picture.note(f"damaged: {picture.damage}; what could be read was restored")
            yield picture

    def _prepare(self, folder: Path) -> None:
        """Make a folder for outputs, and remove temporary files that a killed run left in it."""
        if folder in self._folders:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PictureError(f"cannot make the folder {folder}: {error.strerror}", hint="use another -o") from error
        remove_leftovers(folder)
        self._folders.add(folder)

    def _write(self, picture: Picture, job: Job, is_copy: bool) -> tuple[tuple[str, ...], float]:
        begun = time.perf_counter()
        source = self._transfers.local(job).source
        write = partial(copying.copy, source) if is_copy else partial(write_picture, picture)
        notes = self._deliver(write, job, self._pipe_format(picture), picture)
        return (*picture.notes, *notes), time.perf_counter() - begun

    def _deliver(
        self, write: Callable[..., None], job: Job, pipe_format: str, picture: Picture | None = None
    ) -> list[str]:
        """Calls `write` with the target of a job and its options. Returns notes. `picture` is a single one."""
        whole, job = job, self._transfers.local(job)
        target, source, notes = job.target, self._sources.pop(job, None), []
        if isinstance(target, Path):
            rights = None if source is None else source.st_mode
            write(target, quality=self.quality, overwrite=self.overwrite, rights=rights)
            if self.copies_sidecars and isinstance(job.source, Path):
                notes += sidecars.copy(job.source, target, picture, overwrite=self.overwrite)
            if self.keep_times and source is not None:
                try:
                    os.utime(target, ns=(source.st_atime_ns, source.st_mtime_ns))
                except OSError as error:
                    notes.append(f"the times of the source are not kept: {error.strerror}")
        else:
            write(target, format=pipe_format, quality=self.quality)
            try:
                target.flush()
            except OSError as error:
                raise PictureError(f"cannot write to the stream: {error.strerror}") from error
        self._transfers.deliver(whole, overwrite=self.overwrite)
        return notes

    def _pipe_format(self, picture: Picture) -> str:
        if self.format is not None:
            return FORMATS[f".{self.format}"]
        if picture.source_format in FORMATS.values():
            return picture.source_format
        return FORMATS[default_suffix(Path(f"a.{picture.source_format}"))]


class _Pages:
    """The restored pages of one file, in turn; afterwards what they took.

    Args:
        read: The pages to restore.
        restore: As for `Pipeline`.
        after_tile: Called after each tile, with the tiles of all pages as if they were as many as on this one.
    """

    def __init__(
        self,
        read: _Read,
        restore: Callable[[Picture, Callable[[int, int], None]], Restored],
        after_tile: Callable[[int, int], None],
    ) -> None:
        self._read, self._restore, self._after_tile = read, restore, after_tile
        self._count, self._tiles, self._seconds = 0, 0, 0.0
        self._notes: dict[str, None] = {}
        self._damage: dict[str, None] = {}
        self._tile: tuple[int, int] | None = None
        self._seam: Seam | None = None
        self._precision: str | None = None
        self._retiled: int | None = None
        self._steps: tuple[dict[str, Any], ...] = ()
        self._findings: dict[str, Any] | None = None

    def __iter__(self) -> Iterator[Picture]:
        pages = iter(self._read)
        while True:
            try:
                page = next(pages, None)
                if page is None:
                    return
                restored = self._one(page)
            except UsageError:
                raise
            except RestoreError as error:
                error.message = f"page {self._count + 1}: {error.message}"
                raise
            del page
            yield restored.picture
            self._notes |= dict.fromkeys(restored.picture.notes)  # writing adds to them
            del restored

    def _one(self, page: Picture) -> Restored:
        before, count = self._count, page.pages
        begun = time.perf_counter()
        restored = self._restore(
            page, lambda done, total: self._after_tile(before * total + done, max(count, before + 1) * total)
        )
        self._seconds += time.perf_counter() - begun
        self._count += 1
        self._tiles += restored.tiles
        self._tile, self._precision = self._tile or restored.tile, self._precision or restored.precision
        self._retiled = self._retiled or restored.retiled
        self._steps += restored.steps
        self._findings = self._findings or restored.findings
        if restored.seam is not None and (self._seam is None or restored.seam.mean > self._seam.mean):
            self._seam = restored.seam
        if page.damage is not None:
            self._damage[page.damage] = None
        return restored

    def outcome(self, job: Job) -> Outcome:
        """What was done, without the seconds of reading and writing."""
        return Outcome(
            job, "restored", notes=tuple(self._notes), pages=self._count, damage="; ".join(self._damage) or None,
            network_seconds=self._seconds, tile=self._tile, tiles=self._tiles, seam=self._seam,
            precision=self._precision, retiled=self._retiled, steps=self._steps, findings=self._findings,
        )  # fmt: skip


def _is_large(picture: Picture) -> bool:
    height, width = picture.pixels.shape[:2]
    return int(height * width) > LARGE

"""The report page and the sheets of a run: takes each picture as it is restored, and its outcome when it is written."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from restore.batch.planning import Job
from restore.errors import RestoreError, UsageError
from restore.images import Picture, check_output, write_picture
from restore.inference.region import Region, place_in

if TYPE_CHECKING:
    from restore.batch.pipeline import Outcome
    from restore.batch.processes import Rank
    from restore.batch.report import RunReport
    from restore.inference.restored import Restored
    from restore.viewer.report import HtmlReport, Stored

    Restore = Callable[[Picture, Callable[[int, int], None]], Restored]


class RunComparison:
    """Compares the pictures of a run. A context manager that writes the page at the end, even after an error.

    A picture that cannot be compared is restored all the same.

    Args:
        report: The page; None for none.
        sheet: The sheet of the first picture or page; the others are `sheet-2.png` and so on. None for none.
        jobs: The pictures of this process.
        rank: Its place among several processes; each writes its own files.
        overwrite: Replace existing files.
        region: The part of each picture that is restored; None for the whole.

    Raises:
        UsageError: The page cannot be written there, or a file is also one of the pictures.
        PictureError: A sheet cannot be written there.
    """

    def __init__(
        self,
        report: Path | None,
        sheet: Path | None,
        *,
        jobs: Sequence[Job],
        rank: Rank,
        overwrite: bool = False,
        region: Region | str | None = None,
    ) -> None:
        self._overwrite, self._region = overwrite, region
        self._sheet = None if sheet is None else rank.path(sheet)
        _check_apart([rank.path(report) if report else None, self._sheet], jobs)
        if self._sheet is not None:
            for number in range(1, max(1, len(jobs)) + 1):
                check_output(_numbered(self._sheet, number), overwrite=overwrite)
        self._page: HtmlReport | None = None
        if report is not None:
            from restore.viewer.report import HtmlReport

            self._page = HtmlReport(rank.path(report), overwrite=overwrite)
        self._job: Job | None = None
        self._compared = 0
        self._waiting: dict[Job, list[tuple[Stored | None, dict[str, Any]]]] = {}
        self._error: RestoreError | None = None
        self._stack = ExitStack()

    def __enter__(self) -> RunComparison:
        if self._page is not None:
            self._stack.enter_context(self._page)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)
        if error is None and self._error is not None:
            raise self._error

    def started(self, job: Job) -> None:
        """The pictures that follow are of this job."""
        self._job = job

    def watched(self, restore: Restore) -> Restore:
        """The same function, which also hands its pictures to the page and the sheet."""
        if self._page is None and self._sheet is None:
            return restore

        def watched(picture: Picture, after_tile: Callable[[int, int], None]) -> Restored:
            restored = restore(picture, after_tile)
            self._compare(picture, restored.picture)
            return restored

        return watched

    def tell(self, outcome: Outcome, report: RunReport) -> None:
        """List a picture whose outcome is known."""
        waiting = self._waiting.pop(outcome.job, [])
        if self._page is None:
            return
        facts = dict(_facts(outcome, report))
        if outcome.status not in ("restored", "copied") or not waiting:
            self._page.add_entry(None, facts)
            return
        for stored, more in waiting:
            notes = [*outcome.notes, *more.get("notes", ())]
            self._page.add_entry(stored, facts | more | {"name": facts["name"] + more["name"], "notes": notes})

    def _compare(self, picture: Picture, restored: Picture) -> None:
        assert self._job is not None
        self._compared += 1
        name = f", page {picture.page}" if picture.pages > 1 else ""
        before, stored = place_in(picture, self._region).cut(picture), None
        (high, wide), (height, width) = before.pixels.shape[:2], restored.pixels.shape[:2]
        facts: dict[str, Any] = {
            "name": name,
            "pixels": f"{wide} x {high}" + f", now {width} x {height}" * (width != wide),
        }
        facts["done"] = "; ".join(map(_brief, restored.history[len(picture.history) :])) or None
        try:
            if self._page is not None:
                stored = self._page.store(before, restored)
            if self._sheet is not None:
                from restore.viewer.places import changed_places
                from restore.viewer.sheet import comparison_sheet

                places = stored.places if stored else changed_places(before, restored)
                sheet = comparison_sheet(before, restored, places, os.path.basename(self._job.name) + name)
                write_picture(sheet, _numbered(self._sheet, self._compared), overwrite=self._overwrite)
        except RestoreError as error:
            self._error = self._error or error
        except Exception as error:  # those of OpenCV among them; the picture is restored all the same
            room = "not enough memory" if isinstance(error, MemoryError) else None
            why = room or getattr(error, "strerror", None) or type(error).__name__
            facts["notes"] = [f"cannot be compared: {why}"]
            self._error = self._error or RestoreError(f"cannot compare {self._job.name}: {why}")
        self._waiting.setdefault(self._job, []).append((stored, facts))


def _brief(step: str) -> str:
    """A step of the history without the SHA-256 of the weights.

    >>> _brief(f"restore 1.0: denoise, weights a sha256 {'0' * 64}, strength 0.5")
    'restore 1.0: denoise, weights a, strength 0.5'
    """
    return re.sub(r" sha256 [0-9a-f]{64}", "", step)


def _numbered(sheet: Path, number: int) -> Path:
    """
    >>> _numbered(Path("sheet.png"), 1).name, _numbered(Path("sheet.png"), 2).name
    ('sheet.png', 'sheet-2.png')
    """
    return sheet if number == 1 else sheet.with_name(f"{sheet.stem}-{number}{sheet.suffix}")


def _check_apart(files: Sequence[Path | None], jobs: Sequence[Job]) -> None:
    """Raise a UsageError if a file is also a picture of the run."""
    if not any(files):  # there may be a million pictures
        return
    pictures = {Path(end).resolve() for job in jobs for end in (job.source_path, job.target_path) if end is not None}
    for file, option in zip(files, ("--report", "--compare"), strict=True):
        if file is not None and file.resolve() in pictures:
            raise UsageError(f"{option} would replace the picture {file}", hint=f"choose another {option}")


def _facts(outcome: Outcome, report: RunReport) -> Iterator[tuple[str, Any]]:
    """What the page says of a picture, by label."""
    yield "name", outcome.job.name
    yield "status", outcome.status
    yield "pixels", None  # places the label; each page has its own
    yield "done", None
    if outcome.reason is not None:
        yield "reason", outcome.reason
        return
    yield "output", outcome.job.target_path or "-"
    if whys := [f"{step['task']}: {step['why']}" for step in outcome.steps if step.get("why")]:
        yield "why", "; ".join(dict.fromkeys(whys))
    if outcome.findings is not None and not outcome.steps:
        yield "why", "nothing to do"
        yield "seconds", f"{outcome.seconds:.1f}"
        return
    yield "seconds", f"{outcome.seconds:.1f} (network {outcome.network_seconds:.1f})"
    if outcome.steps:
        yield "weights", ", ".join(dict.fromkeys(str(step["weights"]) for step in outcome.steps))
    elif report.weights is not None:
        yield "weights", report.weights.entry.name if report.weights.entry else str(report.weights.path)
    yield "device", report.device

"""The progress of a training run on the terminal."""

from __future__ import annotations

import json
import math
import sys
import time
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from restore.cli.columns import facts
from restore.cli.streams import rich_console, say

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

    from restore.training.progress import Progress
    from restore.training.status import Status

_MOMENT = 2  # seconds of decoding without a word
_EVERY = 30  # seconds between lines away from a terminal


class Display:
    """One line that is rewritten while stderr is a terminal, else a line every half minute. Validations always stay.

    Attributes:
        step: The last step that was reported; None before the first.
    """

    def __init__(self) -> None:
        self.step: int | None = None
        self._shown = -float(_EVERY)
        self._decoding, self._has_told = 0.0, False  # when to speak of decoding next, and whether the folder is named
        self._bar: RichProgress | None = None

    def __enter__(self) -> Display:
        if sys.stderr.isatty():
            from rich.progress import BarColumn, Progress, TextColumn

            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=10),
                console=rich_console(stderr=True),
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._bar.start()
            self._task = self._bar.add_task("loading the photos", total=None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, progress: Progress) -> None:
        """Show a report of `restore.training.loop.train`."""
        self.step = progress.step
        line = describe_progress(progress)
        now = time.monotonic()
        if self._bar is not None:
            self._bar.update(self._task, description=line, total=progress.steps, completed=progress.step)
        elif (progress.step and now - self._shown >= _EVERY) or progress.step == progress.steps:
            say(line)
            self._shown = now
        for text in news(progress):
            self.say(text)

    def decoded(self, done: int, total: int) -> None:
        """Show how many photos are decoded, if that takes more than a moment."""
        now = time.monotonic()
        if self._bar is not None:
            self._bar.update(self._task, description="decoding the photos", total=total, completed=done)
        elif done == 1:
            self._decoding = now + _MOMENT
        elif now >= self._decoding and done < total:
            from restore.datasets.photo_cache import cache_folder

            where = "" if self._has_told else f" into {cache_folder()}, for this run and later ones"
            self.say(f"decoding photos{where}: {done:,} of {total:,}")
            self._decoding, self._has_told = now + _EVERY / 3, True

    def note(self, text: str) -> None:
        """Write what the user should know about the pictures."""
        self.say(f"note:  {text}")

    def say(self, text: str) -> None:
        """Write a line to stderr, above the line that is rewritten."""
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            say(text)


def news(progress: Progress) -> list[str]:
    """Lines for the note and the validation of a step, if it has them."""
    lines = []
    if progress.note is not None:
        lines.append(f"step {progress.step}: {progress.note}")
    if progress.validation is not None:
        before, after = progress.validation
        given = f"{before:.2f} dB" if math.isfinite(before) else "equal to the clean ones"
        equal = f" ({progress.infinite} inputs equal the clean picture and are left out)" * bool(progress.infinite)
        lines.append(f"step {progress.step}: held-out pictures {given} -> {after:.2f} dB{equal}")
    return lines


def describe_progress(progress: Progress) -> str:
    """One line: step, loss, PSNR of the latest batch, speed and remaining time."""
    left = timedelta(seconds=round(progress.seconds_left))
    return (
        f"step {progress.step}/{progress.steps}  loss {progress.loss:.4f}  {progress.psnr:.2f} dB  "
        f"{progress.images_per_second:.1f} images/s  {left} left"
    )


def print_status(run: Path, *, as_json: bool) -> None:
    """Print where a run stands."""
    from restore.training.status import status_of

    found = status_of(run)
    print(json.dumps(asdict(found), allow_nan=False) if as_json else facts(describe_status(found)))


def describe_status(found: Status) -> list[tuple[str, str]]:
    """Labels and what follows them."""
    now = {True: "yes", False: "no", None: "not known from here"}[found.is_running]
    state = "done" if found.step >= found.steps else "no" if not found.where else "no; it was stopped"
    speed, left = found.images_per_second, found.seconds_left
    rows = [
        ("run", found.run),
        ("runs now", f"{now}, {found.where}" if found.is_running is not False else state),
        ("step", f"{found.step:,} of {found.steps:,} ({found.step / max(1, found.steps):.1%})"),
        ("hours", "-" if found.hours is None else f"{found.hours:.2f}"),
        ("speed", "-" if speed is None else f"{speed:.1f} images/s"),
        ("time left", "-" if left is None or not found.step < found.steps else str(timedelta(seconds=round(left)))),
    ]
    for label, score in (("last validation", found.last), ("best validation", found.best)):
        rows.append((label, "none yet" if score is None else _describe_score(*score)))
    return rows


def _describe_score(step: int, before: float | None, after: float | None) -> str:
    given, restored = ("equal to the clean ones" if x is None else f"{x:.2f} dB" for x in (before, after))
    return f"step {step:,}: {given} -> {restored}"

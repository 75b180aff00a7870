"""What the user sees: results on stdout, everything else on stderr."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from restore.errors import RestoreError

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

DOCS_URL = "https://github.com/restore-photos/restore/blob/main/docs"


def describe(error: RestoreError) -> str:
    """An error as the user reads it.

    >>> print(describe(RestoreError("cannot find a.png", hint="did you mean 'b.png'?")))
    error: cannot find a.png
    hint:  did you mean 'b.png'?
    """
    return f"error: {error.message}" + (f"\nhint:  {error.hint}" if error.hint else "")


_speaker = ""


def speak_as(name: str) -> None:
    """Begin every line on stderr with `name`; for processes that share a terminal."""
    global _speaker
    _speaker = name


def say(text: str) -> None:
    """Write a line, or several, to stderr."""
    print("\n".join(_speaker + line for line in text.splitlines()), file=sys.stderr, flush=True)


def close_stdout() -> None:
    """Leave nothing for the interpreter to flush into a pipe that nobody reads any more."""
    try:
        if sys.stdout is not None:  # as it is where a program was started without one
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns as wide as they need to be.

    >>> print(table(("name", "size"), [("a", "5.0 MB"), ("longer", "80 kB")]))
    name    size
    a       5.0 MB
    longer  80 kB
    """
    lines = [head, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


class Interrupted(SystemExit):
    """Ctrl-C or another signal, of which the command has told the user already."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__(128 + number)


class Signals:
    """Ctrl-C and SIGTERM while it is entered: the first asks to stop, the second ends the process at once.

    Args:
        ask: Called at the first.
        give_up: Called with the signal's number before the end at the second.
        echo_seconds: A second one within this time is the first again, for a launcher passes on what its processes
            have received already.
    """

    def __init__(self, ask: Callable[[], None], give_up: Callable[[int], None], *, echo_seconds: float = 0.0) -> None:
        self._ask, self._give_up, self._echo_seconds = ask, give_up, echo_seconds
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) != signal.SIG_IGN:  # as in a background job of a script
                self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            # Once there was one the process is about to end, and another must not disturb that.
            signal.signal(number, handler if self.received is None else signal.SIG_IGN)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received is None:
            self.received, self._at = number, time.monotonic()
            self._ask()
        elif time.monotonic() - self._at >= self._echo_seconds:
            try:
                self._give_up(number)
            finally:
                os._exit(128 + number)  # otherwise threads that are still at work would be waited for


class Progress:
    """A bar on stderr while it is a terminal, and nothing else where it is not; a context manager.

    Args:
        files: How many files there are to do.
        is_shown: Whether there may be a bar.
    """

    def __init__(self, files: int, *, is_shown: bool = True) -> None:
        self._files = files
        self._is_shown = is_shown
        self._begun = 0
        self._bar: RichProgress | None = None

    def __enter__(self) -> Progress:
        if self._is_shown and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

            # What is printed while the bar is shown goes above it, but a stdout that is no terminal is left alone.
            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TaskProgressColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._bar.start()
            self._task = self._bar.add_task("loading", total=None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()

    def file(self, name: str) -> None:
        """The next file is begun."""
        self._begun += 1
        count = f"{self._begun}/{self._files} " if self._files > 1 else ""
        self._update(description=f"{count}{name}", total=self._files, completed=self._begun - 1)

    def tile(self, done: int, total: int) -> None:
        """So many tiles of the file are done."""
        self._update(completed=self._begun - 1 + done / total)

    def result(self, text: str) -> None:
        """Write a line to stdout; where nobody reads it any more, the work goes on all the same."""
        if self._bar is not None and sys.stdout.isatty():
            self._above(text)
        else:
            with suppress(BrokenPipeError):
                print(text, flush=True)

    def say(self, text: str) -> None:
        """Write a line to stderr."""
        if self._bar is not None:
            self._above(text)
        else:
            say(text)

    def _update(self, **changes: Any) -> None:
        if self._bar is not None:
            self._bar.update(self._task, **changes)

    def _above(self, text: str) -> None:
        assert self._bar is not None
        self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)

"""What the user sees: results on stdout, everything else on stderr."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from restore.errors import RestoreError

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

DOCS_URL = "https://github.com/restore-photos/restore/blob/main/docs"

_NARROWEST = 12  # characters of a column that is worth wrapping


def describe(error: RestoreError) -> str:
    """An error as text.

    >>> print(describe(RestoreError("cannot find a.png", hint="did you mean 'b.png'?")))
    error: cannot find a.png
    hint:  did you mean 'b.png'?
    """
    return f"error: {error.message}" + (f"\nhint:  {error.hint}" if error.hint else "")


_speaker = ""


def speak_as(name: str) -> None:
    """Begin every line on stderr with `name`, for processes that share a terminal."""
    global _speaker
    _speaker = name


def say(text: str) -> None:
    """Write one or more lines to stderr."""
    print("\n".join(_speaker + line for line in text.splitlines()), file=sys.stderr, flush=True)


def close_stdout() -> None:
    """Flush stdout now: at exit, a pipe that nobody reads would raise an error."""
    try:
        if sys.stdout is not None:  # None in a program that was started without one
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, width: int | None = None) -> str:
    """Columns as wide as they need to be; the last one is wrapped to fit `width`, by default that of the terminal.

    >>> print(table(("name", "size"), [("a", "5.0 MB"), ("longer", "80 kB")]))
    name    size
    a       5.0 MB
    longer  80 kB
    """
    lines = [head, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    indent = sum(widths[:-1]) + 2 * (len(widths) - 1)
    left = (width or _terminal_width()) - indent
    text = []
    for line in lines:
        *cells, last = line
        begun = "".join(cell.ljust(width) + "  " for cell, width in zip(cells, widths, strict=False))
        # An address or a name stays in one piece, to copy.
        whole_words = textwrap.TextWrapper(left, break_long_words=False, break_on_hyphens=False)
        parts = whole_words.wrap(last) if left >= _NARROWEST < len(last) else [last]
        text += [begun + part if i == 0 else " " * indent + part for i, part in enumerate(parts)]
    return "\n".join(line.rstrip() for line in text)


def facts(pairs: Iterable[tuple[str, str]], *, indent: str = "", width: int | None = None) -> str:
    """Labels and what belongs to them, wrapped to fit `width`, by default that of the terminal.

    >>> print(facts([("task", "denoise"), ("summary", "one two three")], width=20))
    task:     denoise
    summary:  one two
              three
    """
    pairs = list(pairs)
    longest = max((len(label) for label, _ in pairs), default=0) + 1
    return "\n".join(
        textwrap.fill(
            fact,
            width or _terminal_width(),
            initial_indent=indent + (f"{label}:" if label else "").ljust(longest) + "  ",
            subsequent_indent=indent + " " * (longest + 2),
            break_long_words=False,
            break_on_hyphens=False,
        )
        for label, fact in pairs
    )


def _terminal_width() -> int:
    return shutil.get_terminal_size().columns


class Interrupted(SystemExit):
    """Ctrl-C or SIGTERM, after the command has told the user."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__(128 + number)


class Signals:
    """Handles Ctrl-C and SIGTERM inside its `with` block: the first asks to stop, the second ends the process.

    Args:
        ask: Called at the first signal.
        give_up: Called with the number of the second signal, before the process ends.
        echo_seconds: A second signal within this time is ignored. A launcher passes signals on to processes that the
            terminal has sent them to.
    """

    def __init__(self, ask: Callable[[], None], give_up: Callable[[int], None], *, echo_seconds: float = 0.0) -> None:
        self._ask, self._give_up, self._echo_seconds = ask, give_up, echo_seconds
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) != signal.SIG_IGN:  # ignored in a background job of a script
                self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            # After a signal the process is about to end, and another must not disturb that.
            signal.signal(number, handler if self.received is None else signal.SIG_IGN)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received is None:
            self.received, self._at = number, time.monotonic()
            self._ask()
        elif time.monotonic() - self._at >= self._echo_seconds:
            try:
                self._give_up(number)
            finally:
                os._exit(128 + number)  # sys.exit would wait for threads that still work


class Progress:
    """A progress bar on stderr, if that is a terminal; a context manager.

    Args:
        files: Number of files to do.
        is_shown: False for no bar in any case.
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

            # Lines are printed above the bar; a stdout that is not a terminal is left alone.
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
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()

    def file(self, name: str) -> None:
        """Note that the next file has begun."""
        self._begun += 1
        count = f"{self._begun}/{self._files} " if self._files > 1 else ""
        self._update(description=f"{count}{name}", total=self._files, completed=self._begun - 1)

    def tile(self, done: int, total: int) -> None:
        """Note how many tiles of the file are done."""
        self._update(completed=self._begun - 1 + done / total)

    def result(self, text: str) -> None:
        """Write a line to stdout. If nobody reads it any more, the work continues."""
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

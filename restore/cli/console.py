"""What the user sees: results on stdout, everything else on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from restore.errors import RestoreError

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress


def describe(error: RestoreError) -> str:
    """An error as the user reads it.

    >>> print(describe(RestoreError("cannot find a.png", hint="did you mean 'b.png'?")))
    error: cannot find a.png
    hint:  did you mean 'b.png'?
    """
    return f"error: {error.message}" + (f"\nhint:  {error.hint}" if error.hint else "")


def say(text: str) -> None:
    """Write a line to stderr."""
    print(text, file=sys.stderr, flush=True)


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
    """Ctrl-C, of which the command has told the user already."""

    def __init__(self) -> None:
        super().__init__(130)


class Progress:
    """A bar on stderr while it is a terminal, and nothing else where it is not; a context manager.

    Args:
        files: How many files there are to do.
    """

    def __init__(self, files: int) -> None:
        self._files = files
        self._begun = 0
        self._bar: RichProgress | None = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
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
        """Write a line to stdout."""
        if self._bar is not None and sys.stdout.isatty():
            self._above(text)
        else:
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

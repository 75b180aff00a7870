"""A progress bar on stderr, with the lines that are printed above it."""

from __future__ import annotations

import sys
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any

from restore.cli.streams import one_line, printable, rich_console, say

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress


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
            from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

            # Lines are printed above the bar; a stdout that is not a terminal is left alone.
            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TaskProgressColumn(),
                TimeRemainingColumn(),
                console=rich_console(stderr=True),
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
        self._update(description=f"{count}{printable(name, keep='')}", total=self._files, completed=self._begun - 1)

    def more(self, files: int) -> None:
        """Note that there are more files to do."""
        self._files += files

    def wait(self) -> None:
        """Note that there is nothing to do now."""
        self._update(description="waiting for pictures", total=self._files, completed=self._begun)

    def tile(self, done: int, total: int) -> None:
        """Note how many tiles of the file are done."""
        self._update(completed=self._begun - 1 + done / total)

    def result(self, text: str, *, end: str = "\n") -> None:
        """Write a name and `end` to stdout. If nobody reads it any more, the work continues."""
        text = one_line(text, sys.stdout)
        if self._bar is not None and sys.stdout.isatty():
            self._above(text)
            return
        with suppress(BrokenPipeError):
            print(text, end=end, flush=True)

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

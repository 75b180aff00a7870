"""What the user sees: results on stdout, everything else on stderr.

Names and texts of others can hold escape sequences, which control a terminal. On a terminal they are shown as `\\x1b`.
Files and pipes get them as they are.
"""

from __future__ import annotations

import io
import os
import shutil
import signal
import sys
import textwrap
import time
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from restore.errors import RestoreError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as RichProgress

DOCS_URL = "https://github.com/restore-photos/restore/blob/main/docs"

_NARROWEST = 12  # characters of a column that is worth wrapping


def printable(text: str, *, keep: str = "\n\t") -> str:
    """Text that cannot control a terminal.

    Control characters, marks that reverse the direction, and lone surrogates become escapes. The joiners U+200C and
    U+200D stay: Persian and emoji need them.

    Args:
        text: Any text.
        keep: Characters that stay.

    >>> print(printable("red \\x1b[31m\\u202egnp.jpg"))
    red \\x1b[31m\\u202egnp.jpg
    """
    if text.isprintable():
        return text
    return "".join(_escaped(c) if c not in keep and _is_control(c) else c for c in text)


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") and character not in "\u200c\u200d"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def one_line(text: str, stream: TextIO | None) -> str:
    """A name for `stream`: on a terminal its line breaks are escaped too, so it cannot look like a second result."""
    return printable(text, keep="") if stream is not None and stream.isatty() else text


class _Stream(io.TextIOWrapper):
    """stdout or stderr: a terminal gets only printable text, and a stream that takes no more does not end the work."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        self._is_terminal = stream.isatty()
        # The name of a file need not be text. A pipe gets it as it is.
        errors = "backslashreplace" if self._is_terminal or stream is sys.stderr else "surrogateescape"
        lines, through = stream.line_buffering, stream.write_through
        super().__init__(stream.buffer, stream.encoding, errors, line_buffering=lines, write_through=through)

    def isatty(self) -> bool:
        """As the stream below it."""
        return self._is_terminal

    def write(self, text: str) -> int:
        """Write the text; on a terminal with its control characters escaped."""
        try:
            super().write(printable(text) if self._is_terminal else text)
        except OSError as error:
            _lose(self, error)
        return len(text)

    def flush(self) -> None:
        """Write what is held back."""
        try:
            super().flush()
        except OSError as error:
            _lose(self, error)

    def close(self) -> None:
        """Let go of the file, which belongs to the stream below."""
        with suppress(ValueError):  # it is done
            self.detach()


def guard_streams() -> None:
    """From now on, stdout and stderr escape what a terminal would obey, and no full disk or closed pipe raises."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, _Stream) or not isinstance(stream, io.TextIOWrapper):
            continue
        with suppress(OSError):  # not a real file
            stream.fileno()
            _raw[name] = stream
            setattr(sys, name, _Stream(stream))


_raw: dict[str, TextIO] = {}  # the streams below; kept, because a stream that is collected closes its file


def rich_console(*, stderr: bool = False) -> Console:
    """A console of rich, whose own colours and cursor pass the guard and whose texts do not.

    Args:
        stderr: Write to stderr, not stdout.
    """
    from rich.console import Console
    from rich.segment import Segment

    name = "stderr" if stderr else "stdout"
    stream = getattr(sys, name)

    class SafeConsole(Console):
        def render(self, *args: Any, **options: Any) -> Iterable[Segment]:
            for text, style, control in super().render(*args, **options):
                yield Segment(text if control else printable(text), style, control)

    kind = SafeConsole if stream.isatty() else Console
    file = _raw[name] if isinstance(stream, _Stream) else None
    return kind(file=file, stderr=stderr, markup=False, highlight=False)


def describe(error: RestoreError) -> str:
    """An error as text.

    >>> print(describe(RestoreError("cannot find a.png", hint="did you mean 'b.png'?")))
    error: cannot find a.png
    hint:  did you mean 'b.png'?
    """
    lines = [f"error: {error.message}", *([f"hint:  {error.hint}"] if error.hint else [])]
    # Our own messages go on in an indented line; any other line break is that of a name.
    return "\n".join("\n  ".join(one_line(part, sys.stderr) for part in line.split("\n  ")) for line in lines)


_speaker = ""


def speak_as(name: str) -> None:
    """Begin every line on stderr with `name`, for processes that share a terminal."""
    global _speaker
    _speaker = name


def say(text: str) -> None:
    """Write one or more lines to stderr. If nobody can read them, the work continues."""
    print("\n".join(_speaker + line for line in text.split("\n")), file=sys.stderr, flush=True)


def open_closed_streams() -> None:
    """Lead closed standard streams to nowhere: else the next file that is opened gets their number, and C's messages.

    `sys.stdin` and `sys.stdout` stay None.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    if sys.stderr is None:  # print(file=None) would write to stdout
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


_lost: OSError | None = None  # the first error of stdout


def close_stdout() -> OSError | None:
    """Flush stdout now: at exit, a pipe that nobody reads would raise an error.

    Returns:
        The first error of stdout since the last call, such as that of a full disk.
    """
    global _lost
    try:
        if sys.stdout is not None:  # None in a program that was started without one
            sys.stdout.flush()
    except OSError as error:
        _lose(sys.stdout, error)
    first, _lost = _lost, None
    return first


def _lose(stream: TextIO, error: OSError) -> None:
    """Lead the stream to nowhere, with what it holds: at exit it is flushed."""
    global _lost
    if stream is sys.stdout:
        _lost = _lost or error
    with suppress(OSError):  # not a real file
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def leave_deleted_folder() -> None:
    """Go to a folder where nobody can write if the working folder is deleted: MKL ends a process that has none."""
    try:
        os.getcwd()
    except OSError:
        for folder in ("/proc/self", "/"):
            with suppress(OSError):
                os.chdir(folder)
                break
        say("note:  the working folder does not exist any more; only absolute paths work")


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, width: int | None = None) -> str:
    """Columns as wide as they need to be; the last one is wrapped to fit `width`, by default that of the terminal.

    >>> print(table(("name", "size"), [("a", "5.0 MB"), ("longer", "80 kB")]))
    name    size
    a       5.0 MB
    longer  80 kB
    """
    lines = [[one_line(cell, sys.stdout) for cell in row] for row in (head, *rows)]
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
    pairs = [(one_line(label, sys.stdout), one_line(fact, sys.stdout)) for label, fact in pairs]
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

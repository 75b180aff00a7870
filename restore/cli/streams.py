"""The guarded stdout and stderr: results on stdout, everything else on stderr.

Names and texts of others can hold escape sequences, which control a terminal. On a terminal they are shown as `\\x1b`.
Files and pipes get them as they are.
"""

from __future__ import annotations

import codecs
import io
import os
import re
import shutil
import sys
import unicodedata
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO

from restore.errors import RestoreError

if TYPE_CHECKING:
    from rich.console import Console


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


_AS_FILE_NAME = "restore-file-name"  # a handler of errors of encoding


def _file_name_bytes(error: UnicodeError) -> tuple[str | bytes, int]:
    """The bytes of what an encoding lacks, as in the name of a file."""
    assert isinstance(error, UnicodeEncodeError)
    try:
        return os.fsencode(error.object[error.start : error.end]), error.end
    except UnicodeEncodeError:
        return codecs.backslashreplace_errors(error)


codecs.register_error(_AS_FILE_NAME, _file_name_bytes)


class _Stream(io.TextIOWrapper):
    """stdout or stderr: a terminal gets only printable text, and a stream that takes no more does not end the work."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        self._is_terminal = stream.isatty()
        # The name of a file need not be text. A pipe gets its bytes as they are, whatever PYTHONIOENCODING says.
        errors = "backslashreplace" if self._is_terminal or stream is sys.stderr else _AS_FILE_NAME
        lines, through = stream.line_buffering, stream.write_through
        encoding = stream.encoding
        if errors == _AS_FILE_NAME and os.name == "posix":
            encoding = sys.getfilesystemencoding()
        super().__init__(stream.buffer, encoding, errors, line_buffering=lines, write_through=through)

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
    # rich would print nothing at all into no columns.
    width = shutil.get_terminal_size().columns if os.environ.get("COLUMNS", "1").strip("0") == "" else None
    return kind(file=file, stderr=stderr, markup=False, highlight=False, width=width)


def describe(error: RestoreError) -> str:
    """An error as text.

    >>> print(describe(RestoreError("cannot find a.png", hint="did you mean 'b.png'?")))
    error: cannot find a.png
    hint:  did you mean 'b.png'?
    """
    lines = [f"error: {error.message}", *([f"hint:  {error.hint}"] if error.hint else [])]
    # A word longer than any name of a file, such as a number of thousands of digits, would bury the message.
    lines = [re.sub(r"\S{400,}", lambda word: f"{word[0][:100]}...{word[0][-50:]}", line) for line in lines]
    # Our own messages go on in an indented line; any other line break is that of a name.
    return "\n".join("\n  ".join(one_line(part, sys.stderr) for part in line.split("\n  ")) for line in lines)


_speaker = ""


def speak_as(name: str) -> None:
    """Begin every line on stderr with `name`, for processes that share a terminal."""
    global _speaker
    _speaker = name


def say(text: str) -> None:
    """Write one or more lines to stderr. If nobody can read them, the work continues."""
    lines = "".join(f"{_speaker}{line}\n" for line in text.split("\n"))
    print(lines, end="", file=sys.stderr, flush=True)  # in one piece: other processes may write there, too


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

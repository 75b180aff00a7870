"""Every error that a user can meet.

```
RestoreError            exit 1; message + hint
├── PictureError        a picture cannot be read or written
├── WeightsError        weights cannot be found, downloaded, verified or loaded
├── DataError           a dataset or training folder is wrong
├── DeviceError         a device, thread count or memory limit is not available
├── Cancelled           the caller's progress function or event stopped the work
└── UsageError          exit 2; arguments contradict each other, or a value is out of range
```

Anything else that reaches the terminal is a bug and keeps its traceback.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager


class RestoreError(Exception):
    """What happened (`message`), and what to do about it (`hint`).

    Args:
        message: One sentence, lower case, that names the file or value at fault.
        hint: What to type or check; None if there is no advice.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class PictureError(RestoreError):
    """A picture cannot be read or written."""


class WeightsError(RestoreError):
    """Weights cannot be found, downloaded, verified or loaded."""


class DataError(RestoreError):
    """A dataset or a training folder is missing, empty or inconsistent."""


class DeviceError(RestoreError):
    """A device, thread count or memory limit is not available."""


class Cancelled(RestoreError):
    """The caller stopped the work: `progress` returned False, or the event `cancel` is set."""


class UsageError(RestoreError):
    """Arguments contradict each other, or a value is out of range."""

    exit_code = 2


def first_few(faults: list[str]) -> str:
    """The first five in a line, and the number of the others.

    >>> first_few(["a is missing", "b is unknown"]), first_few(list("abcdefg"))
    ('a is missing, b is unknown', 'a, b, c, d, e, and 2 more')
    """
    return ", ".join(faults[:5]) + (f", and {len(faults) - 5} more" if len(faults) > 5 else "")


def did_you_mean(word: str, choices: Iterable[str]) -> str | None:
    """The choice that was probably meant, as a hint; None if none is close.

    >>> did_you_mean("denose", ["denoise", "derain"])
    "did you mean 'denoise'?"
    """
    by_lower_case = {choice.lower(): choice for choice in choices}
    near = difflib.get_close_matches(word.lower(), by_lower_case, n=1)
    return f"did you mean {by_lower_case[near[0]]!r}?" if near else None


def check_choice(what: str, word: str, choices: Collection[str], *, hint: str | None = None) -> None:
    """Refuse a word that is not one of the choices.

    Args:
        what: What the word names, such as "task".
        word: What was given.
        choices: What could have been given.
        hint: Where the choices are listed; None lists them.

    Raises:
        UsageError: It is not one of them; the hint suggests the most similar one.
    """
    if word not in choices:
        listed = hint or f"choose one of {', '.join(choices)}"
        near = did_you_mean(word, choices) if isinstance(word, str) else None  # Python users give anything
        raise UsageError(f"unknown {what} {word!r}", hint=near or listed)


@contextmanager
def said_in_python() -> Iterator[None]:
    """Let errors name the arguments of Python instead of the options of the command."""
    try:
        yield
    except RestoreError as error:
        error.message = _in_python(error.message)
        error.args = (error.message,)
        error.hint = None if error.hint is None else _in_python(error.hint)
        raise


def _in_python(text: str) -> str:
    """A message with arguments instead of options.

    >>> print(_in_python("`restore export a -o a.onnx` where torch is; then use --weights a.onnx"))
    `restore export a -o a.onnx` where torch is; then name weights a.onnx

    >>> print(_in_python("use another -o, --background white, or --overwrite"))
    use another target, background='white', or overwrite=True
    >>> print(_in_python("--max-pixels 600M if you trust it; leave out --strength"))
    max_pixels=600_000_000 if you trust it; leave out strength
    >>> print(_in_python("use --memory 0.3G or more, or --crop 100,50,512,512 or --crop center:512"))
    use memory=300_000_000 or more, or region='100,50,512,512' or region='center:512'
    """

    def argument(match: re.Match[str]) -> str:
        name, value = match[1].replace("-", "_"), match[2]
        if name in ("overwrite", "self_ensemble"):
            return f"{name}=True"
        if value is None:
            return name
        if size := re.fullmatch(r"([\d.]+)([MG])", value):
            return f"{name}={round(float(size[1]) * {'M': 10**6, 'G': 10**9}[size[2]]):_}"
        return f"{name}={value if value[0].isdigit() and ',' not in value else repr(value)}"

    first, *commands = re.split(r"(`restore export [^`]*`)", text)
    if commands:  # for a terminal: it stays
        command, rest = commands[0], "".join(commands[1:])
        return _in_python(first) + command + _in_python(rest)
    text = text.replace("--crop", "--region").replace("give --recipe", "give a recipe")
    text = re.sub(
        r"--([a-z][a-z-]+)(?: (\d[\w.,]*\w|\d|center:\d+(?:x\d+)?|white|cpu|note|fail)(?!\w))?", argument, text
    )
    text = re.sub(r"(?<![\w-])-o(?!\w)", "target", text).replace("use weights", "name weights")
    return text.replace("standard input", "the stream").replace("`restore weights list`", "restore.list_weights()")

"""Paths among the values of options: `~` stands for the home folder; URLs and Windows paths are refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from restore.batch.foreign_paths import at_home, foreign
from restore.errors import UsageError

_WORDS = frozenset({"SUFFIX", "MESSAGE", "KEY=VALUE"})  # metavars of text that is never a path
_READ = frozenset({"WEIGHTS", "RECIPE", "FILE"})  # metavars of paths that are no `Path`: some are also names
_WRITTEN = frozenset({"csv_file", "json_file", "out", "save_images", "submission", "report", "compare"})  # parameters
_ON_THE_HUB = re.compile(r"https?:/+(?:www\.)?(?:huggingface\.co|hf\.co)/([\w.-]+/[\w.-]+)")


def read(param: Any, value: Any) -> Any:
    """The value of an option or argument with `~` replaced, as the shell does where it is not quoted.

    Args:
        param: The parameter of Typer.
        value: What was given, a list where several may be.

    Raises:
        UsageError: A path is a URL, or a path of Windows elsewhere. `planning.plan` looks at inputs and `-o` itself.
    """
    if isinstance(value, list | tuple):
        return type(value)(read(param, one) for one in value)
    if param.metavar in _WORDS or not isinstance(value, str | Path):
        return value
    path = type(value)(at_home(str(value)))
    if isinstance(path, Path) or (param.metavar in _READ and not path.startswith("hf://")):
        _check(param, str(path))
    return path


def refuse_empty(param: Any, given: Any) -> None:
    """Raise a UsageError for an empty value, as of a shell variable that is not set: a path would be the folder `.`.

    Args:
        param: The parameter of Typer.
        given: What was typed, a list where several may be.
    """
    if param.metavar not in _WORDS and "" in (given if isinstance(given, list | tuple) else [given]):
        raise UsageError(f"{_name(param)} is empty", hint="is a variable of the shell not set?")


def _name(param: Any) -> str:
    return str(param.metavar if param.param_type_name == "argument" else param.opts[-1])


def _check(param: Any, path: str) -> None:
    if param.name == "json_file" and path in ("/dev/stdout", "/dev/fd/1"):
        raise UsageError(f"--json cannot be {path}", hint="--json - writes to stdout")
    if why := foreign(path, is_output=param.name in _WRITTEN):
        repository = _ON_THE_HUB.match(path) if param.metavar == "WEIGHTS" else None
        hint = f"did you mean hf://{repository[1]}?" if repository else why[1]
        raise UsageError(f"{_name(param)} cannot be {path}: {why[0]}", hint=hint)

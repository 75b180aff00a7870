"""Usage errors in one voice: Typer's errors reworded, and suggestions for words that are not commands."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from restore.errors import UsageError, did_you_mean
from restore.tasks import TASKS

# What people type for other commands than those of tasks, which know their own `other_names`.
_OTHER_NAMES = {
    "version": ("restore --version",),
    "help": ("restore --help",),
    "list": ("weights list", "data list"),
    "models": ("weights list",),
    "download": ("weights pull",),
    "pull": ("weights pull",),
    "push": ("weights push",),
    "import": ("weights import",),
    "datasets": ("data list",),
    "evaluate": ("eval",),
    "score": ("eval",),
    "test": ("eval",),
    "benchmark": ("bench",),
    "fit": ("train",),
    "finetune": ("train",),
    "doctor": ("info",),
    "devices": ("info",),
}


def unknown_command(path: str, word: str, commands: Iterable[str]) -> UsageError:
    """The error for a command that does not exist.

    Args:
        path: What stands before it, such as `restore weights`.
        word: What was typed.
        commands: What could have been typed.

    >>> unknown_command("restore", "sharpen", TASKS).hint
    "did you mean 'deblur'?"
    """
    meant = meant_by(word) if path.count(" ") == 0 else ()
    hint = f"did you mean {_either([repr(name) for name in meant])}?" if meant else did_you_mean(word, commands)
    return UsageError(f"unknown command {word!r}", hint=hint or f"`{path} --help` lists the commands")


def meant_by(word: str) -> tuple[str, ...]:
    """The commands that people call `word`.

    >>> meant_by("Remove_Noise")
    ('denoise',)
    """
    word = word.lower().replace("_", "-")
    return tuple(task.name for task in TASKS.values() if word in task.other_names) or _OTHER_NAMES.get(word, ())


def in_our_words(error: Any) -> UsageError:
    """A usage error of Typer as the user reads it.

    Args:
        error: A `typer.TyperException`. Typer keeps the classes below it to itself; their names are Click's.
    """
    command = error.ctx.command_path if getattr(error, "ctx", None) else "restore"
    hint = f"`{command} --help` lists the options"
    kind, message = type(error).__name__, error.message
    if kind == "NoSuchOption":
        option, known = error.option_name, _options(error.ctx.command)
        elsewhere = _commands_with(option, error.ctx.find_root().command)
        if 1 <= len(elsewhere) <= 3 and not any(name.startswith(option) for name in known):
            return UsageError(f"unknown option {option} here", hint=f"{_either(elsewhere)} has {option}")
        return UsageError(f"unknown option {option}", hint=did_you_mean(option, known) or hint)
    if kind == "BadOptionUsage":
        needs = "needs a value" if "requires" in message else "takes no value"
        return UsageError(f"{error.option_name} {needs}", hint=hint)
    if kind == "MissingParameter":
        what = error.param.metavar if error.param.param_type_name == "argument" else error.param.opts[-1]
        return UsageError(f"{what} is missing", hint=_first_example(error.ctx.command) or hint)
    if kind == "BadParameter" and error.param is not None:
        return _bad_value(error)
    if message.startswith("Got unexpected extra argument"):
        return UsageError(f"too many arguments: {message.partition('(s) (')[2].rstrip(')')}", hint=hint)
    return UsageError(message[:1].lower() + message[1:].rstrip("."), hint=hint)


def _bad_value(error: Any) -> UsageError:
    """What a value should be, without the words that pydantic has for programmers."""
    param, cause = error.param, error.__cause__
    name = param.metavar if param.param_type_name == "argument" else param.opts[-1]
    try:
        value, annotation = cause.errors()[0]["input"], param.type_descriptor.annotation
        choices = [str(choice) for choice in param.type_descriptor.choices or ()]
        low, high = param.min, param.max
    except AttributeError:  # none of these is documented
        return UsageError(f"the value of {name} is wrong")
    if choices:
        return UsageError(f"{name} is {_either(choices)}, not {value!r}", hint=did_you_mean(str(value), choices))
    what = "a whole number" if annotation is int else "a number"
    if high is not None:
        what += f" from {low:g} to {high:g}"
    elif low is not None:
        what += f" of {low:g} or more"
    return UsageError(f"{name} is {what}, not {value!r}")


def _options(command: Any) -> list[str]:
    return [name for param in command.params if param.param_type_name == "option" for name in param.opts] + ["--help"]


def _commands_with(option: str, root: Any) -> list[str]:
    """The commands that have an option of this name."""
    commands = {"restore": root} | {f"restore {name}": command for name, command in root.commands.items()}
    return [f"`{name}`" for name, command in commands.items() if option in _options(command)[:-1]]


def _first_example(command: Any) -> str | None:
    lines = (command.epilog or "").splitlines()
    return lines[1].strip() if len(lines) > 1 else None


def _either(names: list[str]) -> str:
    """
    >>> _either(["a", "b", "c"])
    'a, b or c'
    """
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"

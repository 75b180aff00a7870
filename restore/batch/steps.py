"""The steps of a run, such as derain, denoise and upscale, and how people write them."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from restore.errors import UsageError, check_choice
from restore.images.bayer import PATTERNS
from restore.tasks import TASKS, Task

if TYPE_CHECKING:
    from restore.inspection.advice import Advice

MOST_STEPS = 20
LARGEST_SCALE = 16
"""Of all steps together."""
_EXAMPLE = "denoise:strength=0.7,upscale:2"
_MOST_CHARACTERS = 80  # of a value in a message


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        task: Key of `TASKS`.
        level: Strength of the degradation in the unit of the task's `Level`; the scale of `upscale`. None: not known.
        strength: 0 keeps the picture as it is, 1 is the full effect.
        weights: As for `restore.load`; None: the default weights of the task.
        self_ensemble: Average over flips and rotations.
        pattern: Bayer pattern; only for `demosaic`.
        why: The reason in words, if the step was chosen automatically.
    """

    task: str
    level: float | None = None
    strength: float = 1.0
    weights: str | None = None
    self_ensemble: bool = False
    pattern: str | None = None
    why: str | None = None


def parse_steps(text: str) -> tuple[Step, ...]:
    """Steps as people type them.

    >>> [(step.task, step.level, step.strength) for step in parse_steps("denoise:strength=0.7,upscale:2")]
    [('denoise', None, 0.7), ('upscale', 2.0, 1.0)]

    Args:
        text: Tasks with commas between them. Options follow a task after colons: `task:option=value:option`.

    Raises:
        UsageError: A task or an option is unknown, or a value is out of its range.
    """
    steps = []
    for one in text.split(","):
        # A colon before a slash is a part of `hf://` or of a path on Windows.
        task, *options = re.split(r":(?![/\\])", one.strip())
        values: dict[str, Any] = {}
        for option in options:
            key, equals, value = option.partition("=")
            if not equals and key == "self-ensemble":
                values[key] = True
            elif not equals and task == "upscale":
                values["scale"] = key
            elif not equals:
                raise UsageError(f"{_shown(option)} is no option of a step", hint=f"write it like {_EXAMPLE}")
            elif key in values:
                raise UsageError(
                    f"{_shown(key)} of the step {_shown(task)} is given more than once", hint="give it once"
                )
            else:
                values[key] = value
        steps.append(make_step(task, values))
    return checked(steps)


def make_step(task: str, options: Mapping[str, Any]) -> Step:
    """A step from the name of its task and its options, as text or as values of TOML.

    Args:
        task: Key of `TASKS`.
        options: `strength`, `weights`, `self-ensemble`, and the own options of the task, such as `sigma`.

    Raises:
        UsageError: The task or an option is unknown, or a value is out of its range.
    """
    if not task:
        raise UsageError("a step has no name", hint=f"write steps like {_EXAMPLE}, or give --recipe")
    check_choice("step", task[:_MOST_CHARACTERS], TASKS)
    record = TASKS[task]
    known = ["strength", "weights", "self-ensemble"]
    known += [record.level.name] if record.level else []
    known += ["pattern"] if record.takes_mosaic else []
    for key in options:
        check_choice(f"option of the step {task}", str(key)[:_MOST_CHARACTERS], known)
    if task == "upscale" and not {"scale", "weights"} & set(options):
        raise UsageError("the step upscale has no scale", hint="write upscale:2, upscale:3 or upscale:4")
    strength = _number(task, "strength", options.get("strength", 1.0), 0, 1)
    if task == "upscale" and strength != 1:
        raise UsageError("strength cannot mix a picture with a larger one", hint="leave out strength of upscale")
    return Step(
        task,
        _level(record, options),
        strength,
        _text(task, "weights", options.get("weights")),
        _flag(task, options.get("self-ensemble", False)),
        _pattern(options.get("pattern", "RGGB")) if record.takes_mosaic else None,
    )


def checked(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The steps, if they can follow one another.

    Raises:
        UsageError: There are none or too many, they enlarge too much, or a mosaic is expected where there is none.
    """
    if not steps:
        raise UsageError("no steps given", hint=f"write them like {_EXAMPLE}")
    if len(steps) > MOST_STEPS:
        raise UsageError(f"{len(steps)} steps are more than the limit of {MOST_STEPS}", hint="leave out some")
    scale = math.prod(step.level or 1 for step in steps if step.task == "upscale")
    if scale > LARGEST_SCALE:
        raise UsageError(
            f"the steps upscale {scale:g} times, more than the limit of {LARGEST_SCALE}", hint="leave out some"
        )
    for _, later in pairwise(steps):
        if TASKS[later.task].takes_mosaic:
            raise UsageError(f"{later.task} must be the first step: its input is a mosaic", hint="put it first")
    return tuple(steps)


def in_effect(advice: Advice, strength: float) -> Advice:
    """The advice without what a strength of 0 makes idle: all but upscaling."""
    if strength:
        return advice
    return dataclasses.replace(advice, steps=tuple(one for one in advice.steps if one.task == "upscale"))


def advised(advice: Advice, *, strength: float = 1.0, self_ensemble: bool = False) -> tuple[Step, ...]:
    """The steps of an advice; `strength` scales all that can be mixed with their input, and 0 leaves them out."""
    steps = (
        Step(one.task, one.level, one.strength, self_ensemble=self_ensemble, why=one.why)
        for one in in_effect(advice, strength).steps
    )
    return scaled(steps, strength)


def scaled(steps: Iterable[Step], strength: float) -> tuple[Step, ...]:
    """The steps with their strengths times `strength`; upscaling stays as it is."""
    return tuple(
        step if step.task == "upscale" else dataclasses.replace(step, strength=step.strength * strength)
        for step in steps
    )


def _level(task: Task, options: Mapping[str, Any]) -> float | None:
    if task.level is None or task.level.name not in options:
        return None
    return _number(task.name, task.level.name, options[task.level.name], task.level.low, task.level.high)


def _number(task: str, key: str, value: Any, low: float, high: float) -> float:
    try:
        number = float("nan") if isinstance(value, bool) else float(value)
    except (ValueError, TypeError, OverflowError):
        number = float("nan")
    if not low <= number <= high:
        raise UsageError(f"{key} of the step {task} is a number from {low:g} to {high:g}, not {_shown(value)}")
    return number


def _text(task: str, key: str, value: Any) -> str | None:
    if value is not None and not (isinstance(value, str) and value and "\0" not in value):
        raise UsageError(f"{key} of the step {task} is a name, not {_shown(value)}")
    return value


def _flag(task: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"self-ensemble of the step {task} is true or false, not {_shown(value)}")
    return value


def _pattern(value: Any) -> str:
    if not isinstance(value, str) or value.upper() not in PATTERNS:
        raise UsageError(f"pattern of the step demosaic is one of {', '.join(PATTERNS)}, not {_shown(value)}")
    return value.upper()


def _shown(value: Any) -> str:
    """A value in a message, cut to a readable length."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits, or nested brackets
        return "a value that is too long to show"
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 3]}..."

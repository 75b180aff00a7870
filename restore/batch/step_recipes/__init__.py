"""Recipes of steps: the shipped ones in this folder, and the user's own TOML files."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any

from restore.batch.steps import Step, checked, make_step
from restore.errors import UsageError, check_choice, did_you_mean

_FOLDER = Path(__file__).parent
_MOST_BYTES = 100_000
_SHAPE = 'write [[step]], and below it task = "denoise" and its options'


def shipped() -> list[str]:
    """Names of the shipped recipes."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def load_steps(source: str) -> tuple[Step, ...]:
    """The steps of a recipe.

    Args:
        source: The name of a shipped recipe, or a `.toml` file.

    Raises:
        UsageError: It does not exist, is not TOML, or has a wrong step.
    """
    tables = _read(source)
    if unknown := [key for key in tables if key not in ("step", "about")]:
        key = unknown[0][:80]
        raise UsageError(f"the recipe {source} has an unknown key {key!r}", hint=did_you_mean(key, ["step"]) or _SHAPE)
    steps = tables.get("step")
    if not isinstance(steps, list) or not steps or not all(isinstance(step, dict) for step in steps):
        raise UsageError(f"the recipe {source} has no steps", hint=_SHAPE)
    try:
        return checked([_step(step) for step in steps])
    except UsageError as error:
        raise UsageError(f"the recipe {source} is wrong: {error.message}", hint=error.hint or _SHAPE) from None


def _step(table: dict[str, Any]) -> Step:
    task = table.get("task")
    if not isinstance(task, str) or not task:
        raise UsageError("a step has no task", hint=_SHAPE)
    return make_step(task, {key: value for key, value in table.items() if key != "task"})


def _read(source: str) -> dict[str, Any]:
    path = Path(source) if source.endswith(".toml") else _FOLDER / f"{source}.toml"
    if not source.endswith(".toml"):
        check_choice("recipe", source if len(source) <= 200 else f"{source[:197]}...", shipped())
    try:
        if not os.path.isfile(path):  # a device has no end
            raise UsageError(f"cannot find the recipe {path}", hint=f"shipped recipes: {', '.join(shipped())}")
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise UsageError(f"cannot read the recipe {path}: it is larger than a recipe can be", hint=_SHAPE)
        return tomllib.loads(content.decode("utf-8"))
    except RecursionError:
        raise UsageError(f"cannot read the recipe {path}: too many nested brackets", hint=_SHAPE) from None
    except OSError as error:
        raise UsageError(f"cannot read the recipe {path}: {error.strerror}", hint="check its permissions") from error
    except ValueError as error:
        place = re.search(r"line (\d+),? column (\d+)", str(error))
        where = f"line {place[1]}, column {place[2]} is" if place else "it is"
        raise UsageError(f"cannot read the recipe {path}: {where} not valid TOML", hint=_SHAPE) from error

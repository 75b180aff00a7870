"""Restorers with trained weights: by task, by name, or from a file."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from restore.batch.task_restorer import RestorerChoice
from restore.checkpoints import ResolvedWeights, catalogue
from restore.errors import UsageError, WeightsError, check_choice, did_you_mean, said_in_python
from restore.inference import opening
from restore.tasks import TASKS, Task

if TYPE_CHECKING:
    from restore.inference.restorer import Restorer

_ANY = Task("restore", "Restore a picture.", "For networks of others that do not enlarge: they do not say what for.")

_loaded: WeakKeyDictionary[Restorer, tuple[RestorerChoice, ResolvedWeights]] = WeakKeyDictionary()
"""How each restorer was loaded, for the history in the files that it writes."""


def load(
    weights: str | os.PathLike[str],
    *,
    scale: float | None = None,
    sigma: float | None = None,
    jpeg_quality: float | None = None,
    device: str = "auto",
    precision: str = "auto",
    backend: str = "auto",
) -> Restorer:
    """A restorer with trained weights, ready to use.

    Args:
        weights: A task, for its default weights; or a name from the catalogue, a file, or
            `hf://owner/repo[@revision][/file]`. The file may hold a network of others (docs/hub.md), or be an export to
            ONNX (docs/onnx.md).
        scale: Factor for `upscale`: 2, 3 or 4.
        sigma: Noise in 8-bit grey levels, for `denoise`. Uses weights made for it, else blind ones.
        jpeg_quality: Quality of the JPEG, 1 to 100, for `dejpeg`. Uses weights made for it, else blind ones.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        precision: As for `Restorer`.
        backend: What computes the network: `torch`; `onnx`, which is ONNX Runtime and takes exports; or `auto`: `onnx`
            for an `.onnx` file and where torch is not installed.

    Raises:
        WeightsError: The weights cannot be found, verified or loaded.
        DeviceError: The device is not available.
        UsageError: The precision is unknown, or the weights do not fit `scale`, `sigma` or `jpeg_quality`.
    """
    levels = {"scale": scale, "sigma": sigma, "jpeg-quality": jpeg_quality}
    given = {name: level for name, level in levels.items() if level is not None}
    if not isinstance(weights, (str, os.PathLike)):
        raise UsageError(f"{weights!r:.80} is not weights", hint="give a task, a name, or a path")
    with said_in_python():
        source, known = weights, catalogue.load_catalogue()
        if isinstance(weights, str) and weights not in known and not os.path.isfile(weights):
            if named := TASKS.get(weights):
                source = catalogue.weights_for(named.name, _level(named, given)).name
            elif not re.search(r"[/\\.:]", weights):
                hint = _meant(weights, known) or "restore.list_weights() shows all names"
                raise WeightsError(f"unknown weights or task {weights!r}", hint=hint)
        from restore.inference.restorer import Restorer

        network, info = opening.load(opening.find(source, backend))
        task = TASKS.get(info.task, _ANY)
        level = _level(task, given)
        made_for = network.scale if info.task == "upscale" else info.entry.level if info.entry else None
        if level is not None and made_for not in (None, level):
            name = next(iter(given))
            raise UsageError(
                f"these weights are for --{name} {made_for:g}, not {level:g}",
                hint=f"leave out --{name}, or name other weights",
            )
        restorer = Restorer(
            network, device=device, entry=info.entry, task=info.task, weights=info.weights, precision=precision
        )
    _loaded[restorer] = RestorerChoice(task, level=level, precision=precision), info.weights
    return restorer


def _meant(name: str, known: Iterable[str]) -> str | None:
    """A hint at the task or the weights that a name probably means."""
    for task in TASKS.values():
        if name.strip().lower() in task.other_names:
            return f"did you mean {task.name!r}?"
    return did_you_mean(name.strip(), [*TASKS, *known])


def origin(restorer: Restorer) -> tuple[RestorerChoice, ResolvedWeights]:
    """How a restorer was made, as far as it is known.

    Raises:
        UsageError: It has no task.
    """
    if restorer in _loaded:
        return _loaded[restorer]
    if restorer.task is None:
        raise UsageError("this restorer has no task", hint="give Restorer(..., task=...), or use restore.load")
    entry = restorer.entry
    weights = ResolvedWeights(Path(), "unknown") if entry is None else ResolvedWeights(entry.path, entry.sha256, entry)
    return RestorerChoice(restorer.task, precision=restorer.precision), weights


def _level(task: Task, given: dict[str, float]) -> float | None:
    """The one of the levels that the task has; None if it is not given."""
    if unknown := [name for name in given if task.level is None or name != task.level.name]:
        takes = "no level" if task.level is None else f"--{task.level.name}"
        raise UsageError(f"{task.name} has no --{unknown[0]}", hint=f"it takes {takes}")
    if task.level is None or not given:
        return None
    level, (low, high) = given[task.level.name], (task.level.low, task.level.high)
    if isinstance(level, (bool, str, bytes)) or not low <= level <= high:
        raise UsageError(f"--{task.level.name} is a number from {low:g} to {high:g}, not {level!r}")
    return float(level)


@dataclass(frozen=True)
class Weights:
    """What the catalogue says about weights.

    Attributes:
        name: What `load` takes.
        task: Name of the task.
        summary: What they are for, in one line.
        is_default: Whether the task uses them by default.
        level: The scale, sigma or JPEG quality that they are made for; None for blind weights.
        network, config: The network and its size.
        parameters: Number of trained values.
        size_bytes: Size of the file.
        licence: SPDX identifier.
        trained_on: The training data and their degradation.
        sha256: Hash of the file.
        path: Where the file is, or will be.
    """

    name: str
    task: str
    summary: str
    is_default: bool
    level: float | None
    network: str
    config: str
    parameters: int
    size_bytes: int
    licence: str
    trained_on: str
    sha256: str
    path: Path


def list_weights(task: str | None = None) -> list[Weights]:
    """The weights that `load` knows by name: bundled ones, then your own.

    Args:
        task: Only those of this task; None lists all.

    Raises:
        UsageError: The task is unknown.
        WeightsError: The catalogue cannot be read.
    """
    if task is not None:
        check_choice("task", task, TASKS)
    same = {field.name for field in dataclasses.fields(Weights)} - {"is_default"}
    return [
        Weights(is_default=entry.default, **{name: getattr(entry, name) for name in same})
        for entry in catalogue.load_catalogue().values()
        if task in (None, entry.task)
    ]

"""What Python users call: functions for files, bytes and pictures."""

from __future__ import annotations

import dataclasses
import io
import os
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TypedDict, Unpack, overload
from weakref import WeakKeyDictionary

from restore import checkpoints
from restore.batch import history
from restore.batch.pipeline import Outcome, Pipeline
from restore.batch.planning import Job
from restore.batch.task_restorer import RestorerChoice, restore_mosaic
from restore.checkpoints import ResolvedWeights, catalogue
from restore.errors import (
    PictureError,
    RestoreError,
    UsageError,
    WeightsError,
    check_choice,
    did_you_mean,
    said_in_python,
)
from restore.images.arrays import stream_of, taken
from restore.images.background import parse_background
from restore.images.bayer import PATTERNS
from restore.images.picture import FORMATS, MAX_PIXELS, Picture
from restore.inference.watching import watched
from restore.tasks import TASKS, Task

if TYPE_CHECKING:
    import numpy.typing as npt
    from PIL.Image import Image as PillowImage
    from torch import Tensor

    from restore.batch.step_chain import Chain
    from restore.batch.steps import Step
    from restore.inference.call_types import File, Values
    from restore.inference.region import Region
    from restore.inference.restored import Restored
    from restore.inference.restorer import Restorer
    from restore.inspection.findings import Findings

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
) -> Restorer:
    """A restorer with trained weights, ready to use.

    Args:
        weights: A task, for its default weights; or a name from the catalogue, a `.safetensors` file, or
            `hf://owner/repo[@revision][/file]`.
        scale: Factor for `upscale`: 2, 3 or 4.
        sigma: Noise in 8-bit grey levels, for `denoise`. Uses weights made for it, else blind ones.
        jpeg_quality: Quality of the JPEG, 1 to 100, for `dejpeg`. Uses weights made for it, else blind ones.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        precision: As for `Restorer`.

    Raises:
        WeightsError: The weights cannot be found, verified or loaded.
        DeviceError: The device is not available.
        UsageError: The precision is unknown, or the weights do not fit `scale`, `sigma` or `jpeg_quality`.
    """
    levels = {"scale": scale, "sigma": sigma, "jpeg-quality": jpeg_quality}
    given = {name: level for name, level in levels.items() if level is not None}
    with said_in_python():
        source, known = weights, catalogue.load_catalogue()
        if isinstance(weights, str) and weights not in known and not os.path.isfile(weights):
            if task := TASKS.get(weights):
                source = catalogue.weights_for(task.name, _level(task, given)).name
            elif re.fullmatch(r"[\w-]+", weights):
                hint = did_you_mean(weights, [*TASKS, *known]) or "restore.list_weights() shows all names"
                raise WeightsError(f"unknown weights or task {weights!r}", hint=hint)
        from restore.inference.restorer import Restorer

        network, info = checkpoints.load(source)
        level = _level(TASKS[info.task], given)
        made_for = network.scale if info.task == "upscale" else info.entry.level if info.entry else None
        if level is not None and made_for not in (None, level):
            name = next(iter(given))
            raise UsageError(
                f"these weights are for --{name} {made_for:g}, not {level:g}",
                hint=f"leave out --{name}, or name other weights",
            )
        restorer = Restorer(network, device=device, entry=info.entry, task=info.task, precision=precision)
    _loaded[restorer] = RestorerChoice(TASKS[info.task], level=level, precision=precision), info.weights
    return restorer


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


def restore_file(
    source: str | os.PathLike[str] | bytes | BinaryIO,
    target: str | os.PathLike[str] | BinaryIO,
    weights: str | os.PathLike[str] | Restorer,
    *,
    scale: float | None = None,
    sigma: float | None = None,
    jpeg_quality: float | None = None,
    device: str = "auto",
    precision: str = "auto",
    tile: int | Literal["auto"] = "auto",
    overlap: int = 32,
    strength: float = 1.0,
    self_ensemble: bool = False,
    memory: int | None = None,
    region: Region | str | Sequence[int] | None = None,
    pattern: str = "RGGB",
    format: str | None = None,
    quality: int | None = None,
    background: str | None = None,
    page: int | None = None,
    max_pixels: int = MAX_PIXELS,
    on_damage: Literal["note", "fail"] = "note",
    keep_times: bool = False,
    copy_sidecars: bool = False,
    overwrite: bool = False,
    progress: Callable[[int, int], object] | None = None,
    cancel: threading.Event | None = None,
) -> Outcome:
    """Restore a file as the command does: the same bytes, metadata, pages and history.

    The output is written whole or not at all.

    Args:
        source: A file, its bytes, or a binary stream.
        target: A file, whose extension decides the format, or a binary stream. Missing folders are made.
        weights: As for `load`, or a restorer; to restore many files, load it once.
        scale, sigma, jpeg_quality, device, precision: As for `load`; only without a restorer.
        tile, overlap, strength, self_ensemble, memory, region: As for `Restorer.restore_picture`.
        pattern: Bayer pattern of a mosaic, such as `RGGB`; only for `demosaic`.
        format: Format for a stream, as an extension such as `png`; None: the source's.
        quality, background: As for `restore.images.write_picture`.
        page: Page or frame to restore, from 1; None restores all.
        max_pixels: Most pixels of a picture.
        on_damage: `note` restores what can be read of a damaged file, `fail` refuses it.
        keep_times: The output gets the times of the source.
        copy_sidecars: The output gets the XMP sidecars of the source.
        overwrite: Replace an existing file.
        progress: Called after each tile with the number of finished tiles and of all tiles. If it returns False, the
            work stops.
        cancel: Set it, from any thread, to stop after the current tile.

    Returns:
        What was done: notes, damage, pages, tiles and seconds.

    Raises:
        PictureError: The source cannot be read, or the target cannot be written or exists.
        Cancelled: `progress` or `cancel` stopped the work; nothing is written.
        UsageError: An option is out of its range, or options contradict each other.
        WeightsError, DeviceError, RestoreError: As for `load` and `Restorer.restore_picture`.
    """
    how = {
        "tile": tile, "overlap": overlap, "memory": memory, "strength": strength, "self_ensemble": self_ensemble,
        "region": region,
    }  # fmt: skip
    with said_in_python():
        format = _checked(pattern, format, quality, background)
        job = Job(_source(source), _target(target, overwrite=overwrite))
        watch = watched(progress, cancel)
        restorer = _restorer(
            weights, scale=scale, sigma=sigma, jpeg_quality=jpeg_quality, device=device, precision=precision
        )
        run = _OneFile(restorer, how, pattern)
        pipeline = Pipeline(
            run.restore, run.outcomes.append, format=format, quality=quality, background=background,
            overwrite=overwrite, keep_times=keep_times, copies_sidecars=copy_sidecars, page=page,
            max_pixels=max_pixels, on_damage=on_damage, progress=watch or (lambda done, total: None),
        )  # fmt: skip
        pipeline.run([job])
        return run.outcome()


class FileOptions(TypedDict, total=False):
    """The options of `restore_file`, for `restore_bytes`."""

    scale: float | None
    sigma: float | None
    jpeg_quality: float | None
    device: str
    precision: str
    tile: int | Literal["auto"]
    overlap: int
    strength: float
    self_ensemble: bool
    memory: int | None
    region: Region | str | Sequence[int] | None
    pattern: str
    format: str | None
    quality: int | None
    background: str | None
    page: int | None
    max_pixels: int
    on_damage: Literal["note", "fail"]
    progress: Callable[[int, int], object] | None
    cancel: threading.Event | None


def restore_bytes(
    data: bytes | bytearray | memoryview, weights: str | os.PathLike[str] | Restorer, **options: Unpack[FileOptions]
) -> bytes:
    """Restore the bytes of a file, and return those that `restore_file` would write.

    Args:
        data: The bytes of a picture file.
        weights: As for `load`, or a restorer.
        **options: As for `restore_file`; `format` is an extension such as `png`, and None keeps the format.

    Raises:
        PictureError: The bytes are not a picture, or the format cannot hold it.
        Cancelled, UsageError, WeightsError, DeviceError, RestoreError: As for `restore_file`.
    """
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise UsageError(f"{type(data).__name__} is not bytes", hint="restore_file takes paths and streams")
    target = io.BytesIO()
    restore_file(bytes(data), target, weights, **options)
    return target.getvalue()


class _OneFile:
    """Restores the pages of one file, and keeps the error of a page: the pipeline reports only its words."""

    def __init__(self, restorer: Restorer, how: dict[str, Any], pattern: str) -> None:
        task = restorer.task
        self._pattern = pattern if task is not None and task.takes_mosaic else None
        self._restorer, self._how = restorer, how
        choice, weights = _origin(restorer)
        self._step = history.step(choice, weights, how, self._pattern)
        self._error: Exception | None = None
        self.outcomes: list[Outcome] = []

    def restore(self, picture: Picture, after_tile: Callable[[int, int], None]) -> Restored:
        try:
            if self._pattern is None:
                restored = self._restorer.restore_picture(picture, progress=after_tile, **self._how)
            else:
                restored = restore_mosaic(self._restorer, picture, self._pattern, progress=after_tile, **self._how)
        except Exception as error:
            self._error = error
            raise
        restored.picture.history += (self._step,)
        return restored

    def outcome(self) -> Outcome:
        """The result of the file; raises what went wrong."""
        (outcome,) = self.outcomes
        if outcome.status == "restored":
            return outcome
        if isinstance(self._error, RestoreError):
            raise self._error
        raise PictureError(outcome.reason or "not restored", hint=outcome.hint)


def _origin(restorer: Restorer) -> tuple[RestorerChoice, ResolvedWeights]:
    """How a restorer was made, as far as it is known."""
    if restorer in _loaded:
        return _loaded[restorer]
    if restorer.task is None:
        raise UsageError("this restorer has no task", hint="give Restorer(..., task=...), or use restore.load")
    entry = restorer.entry
    weights = ResolvedWeights(Path(), "unknown") if entry is None else ResolvedWeights(entry.path, entry.sha256, entry)
    return RestorerChoice(restorer.task, precision=restorer.precision), weights


def _restorer(weights: str | os.PathLike[str] | Restorer, **options: Any) -> Restorer:
    """The restorer itself, or a loaded one."""
    if isinstance(weights, (str, os.PathLike)):
        return load(weights, **options)
    if not hasattr(weights, "restore_picture"):
        raise UsageError(f"{type(weights).__name__} is not weights", hint="give a task, a name, or a restorer")
    if given := [name for name, value in options.items() if value not in (None, "auto")]:
        raise UsageError(f"a restorer is loaded already, so {given[0]} has no effect", hint="give it to restore.load")
    return weights


def _source(source: Any) -> Path | BinaryIO:
    return Path(os.fsdecode(source)) if isinstance(source, (str, os.PathLike)) else stream_of(source)


def _target(target: Any, *, overwrite: bool) -> Path | BinaryIO:
    if isinstance(target, (str, os.PathLike)):
        path = Path(os.fsdecode(target))
        if not overwrite and os.path.lexists(path):
            raise PictureError(f"{path} already exists", hint="use another target, or overwrite=True")
        return path
    if isinstance(target, io.TextIOBase) or not hasattr(target, "write"):
        raise UsageError(f"cannot write to a {type(target).__name__}", hint="give a path or a binary stream")
    stream: BinaryIO = target
    return stream


def _checked(pattern: str, format: str | None, quality: int | None, background: str | None) -> str | None:
    """The format in lower case without dot. Raises a UsageError if an option is out of its range."""
    if quality is not None and not 1 <= quality <= 100:
        raise UsageError(f"--quality is a number from 1 to 100, not {quality!r}")
    if background is not None:
        parse_background(background)
    check_choice("pattern", pattern, PATTERNS)
    if format is None:
        return None
    format = format.lower().removeprefix(".")
    check_choice("format", format, [extension[1:] for extension in FORMATS])
    return format


def inspect(image: File | PillowImage | npt.NDArray[Any] | Tensor | Picture) -> Findings:
    """What is wrong with a picture: noise, JPEG artifacts, blur, rain, enlargement.

    Args:
        image: As for a call of a `Restorer`, but no batch.

    Raises:
        UsageError: The input is not a picture.
        PictureError: The file cannot be read.
    """
    from restore.inspection.inspect import inspect

    with said_in_python():
        return inspect(taken(image)[0])


def load_steps(steps: str | Sequence[Step], *, device: str = "auto", precision: str = "auto") -> Chain:
    """Several steps with their networks, for `run` on many pictures.

    Args:
        steps: Such as `derain,denoise:strength=0.7,upscale:2`; or a sequence of `Step`.
        device, precision: As for `load`.

    Raises:
        UsageError: A step or an option is unknown, or the steps cannot follow one another.
        WeightsError, DeviceError: As for `load`.
    """
    from restore.batch.step_chain import load_chain
    from restore.batch.steps import parse_steps

    with said_in_python():
        return load_chain(parse_steps(steps) if isinstance(steps, str) else steps, device=device, precision=precision)


class RunOptions(TypedDict, total=False):
    """The options of `run`."""

    device: str
    precision: str
    tile: int | Literal["auto"]
    overlap: int
    memory: int | None
    progress: Callable[[int, int], object] | None
    cancel: threading.Event | None


@overload
def run(steps: str | Sequence[Step] | Chain, image: File, **options: Unpack[RunOptions]) -> PillowImage: ...


@overload
def run(steps: str | Sequence[Step] | Chain, image: PillowImage, **options: Unpack[RunOptions]) -> PillowImage: ...


@overload
def run(
    steps: str | Sequence[Step] | Chain, image: npt.NDArray[Values], **options: Unpack[RunOptions]
) -> npt.NDArray[Values]: ...


@overload
def run(steps: str | Sequence[Step] | Chain, image: Tensor, **options: Unpack[RunOptions]) -> Tensor: ...


@overload
def run(steps: str | Sequence[Step] | Chain, image: Picture, **options: Unpack[RunOptions]) -> Picture: ...


def run(
    steps: str | Sequence[Step] | Chain,
    image: Any,
    *,
    device: str = "auto",
    precision: str = "auto",
    tile: int | Literal["auto"] = "auto",
    overlap: int = 32,
    memory: int | None = None,
    progress: Callable[[int, int], object] | None = None,
    cancel: threading.Event | None = None,
) -> Any:
    """Do several steps on a picture, and return it in the type it came in. It is rounded once, at the end.

    Args:
        steps: As for `load_steps`, or its result.
        image: As for a call of a `Restorer`, but no batch.
        device, precision: As for `load`; only for steps that are not loaded.
        tile, overlap, memory: As for `Restorer.restore_picture`, for each step.
        progress: Called after each tile with the work done and the total over all steps. If it returns False, the work
            stops.
        cancel: Set it, from any thread, to stop after the current tile.

    Raises:
        UsageError, WeightsError, DeviceError: As for `load_steps`.
        PictureError, Cancelled, RestoreError: As for a call of a `Restorer`.
    """
    with said_in_python():
        watch = watched(progress, cancel)
        picture, back = taken(image)
        if isinstance(steps, str) or not hasattr(steps, "restore_picture"):
            steps = load_steps(steps, device=device, precision=precision)
        elif (device, precision) != ("auto", "auto"):
            raise UsageError("the steps are loaded already", hint="give device and precision to restore.load_steps")
        restored = steps.restore_picture(picture, tile=tile, overlap=overlap, memory=memory, progress=watch)
        return back(restored.picture)

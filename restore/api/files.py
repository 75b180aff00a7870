"""Files and bytes, restored as the command restores them."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TypedDict, Unpack

import numpy as np

from restore.api.loading import load, origin
from restore.batch import history
from restore.batch.pipeline import Outcome, Pipeline
from restore.batch.planning import Job
from restore.batch.task_restorer import restore_mosaic
from restore.errors import PictureError, RestoreError, UsageError, check_choice, said_in_python
from restore.images.arrays import stream_of
from restore.images.background import parse_background
from restore.images.bayer import PATTERNS
from restore.images.picture import FORMATS, MAX_PIXELS, Picture
from restore.inference.region import Region, as_region
from restore.inference.watching import Progress, watched

if TYPE_CHECKING:
    from restore.inference.restored import Restored
    from restore.inference.restorer import Restorer


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
    progress: Progress | None = None,
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
    with said_in_python():
        how = {
            "tile": tile, "overlap": overlap, "memory": memory, "strength": strength, "self_ensemble": self_ensemble,
            "region": None if region is None else as_region(region),
        }  # fmt: skip
        format = _checked(pattern, format, quality, background, on_damage)
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
    progress: Progress | None
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
    try:
        restore_file(bytes(data), target, weights, **options)
    except PictureError as error:
        raise PictureError(error.message.replace("the stream", "the bytes"), hint=error.hint) from error
    return target.getvalue()


class _OneFile:
    """Restores the pages of one file, and keeps the error of a page: the pipeline reports only its words."""

    def __init__(self, restorer: Restorer, how: dict[str, Any], pattern: str) -> None:
        task = restorer.task
        self._pattern = pattern if task is not None and task.takes_mosaic else None
        self._restorer, self._how = restorer, how
        choice, weights = origin(restorer)
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


def _restorer(weights: str | os.PathLike[str] | Restorer, **options: Any) -> Restorer:
    """The restorer itself, or a loaded one."""
    if isinstance(weights, (str, os.PathLike)):
        return load(weights, **options)
    if not hasattr(weights, "restore_tensor"):
        hint = "give a task, a name, or a restorer; restore.run takes steps"
        raise UsageError(f"{type(weights).__name__} is not weights", hint=hint)
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


def _checked(pattern: str, format: str | None, quality: Any, background: str | None, on_damage: str) -> str | None:
    """The format in lower case without dot. Raises a UsageError if an option is out of its range."""
    if quality is not None and not (isinstance(quality, (int, np.integer)) and 1 <= quality <= 100):
        raise UsageError(f"--quality is a whole number from 1 to 100, not {quality!r}")
    for name, text in (("background", background), ("format", format)):
        if text is not None and not isinstance(text, str):
            raise UsageError(f"--{name} is a text, not {text!r:.80}")
    if background is not None:
        parse_background(background)
    check_choice("pattern", pattern, PATTERNS)
    check_choice("on_damage", on_damage, ("note", "fail"))
    if format is None:
        return None
    format = format.lower().removeprefix(".")
    check_choice("format", format, [extension[1:] for extension in FORMATS])
    return format

"""Several steps on one picture, such as derain, denoise and upscale: how they are written, and how they run.

The picture stays in floating point between the steps and is rounded once, at the end.
"""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from restore.batch import history
from restore.batch.task_restorer import RestorerChoice, find_weights, load_restorer, restore_mosaic
from restore.errors import UsageError, check_choice
from restore.images.bayer import PATTERNS
from restore.images.neutral import is_neutral
from restore.images.picture import Picture, bands, limit
from restore.tasks import TASKS, Task

if TYPE_CHECKING:
    from restore.checkpoints import ResolvedWeights
    from restore.inference.exposure import Exposure
    from restore.inference.restorer import Restored, Restorer
    from restore.inspection.advice import Advice

MOST_STEPS = 20
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


# ------------------------------------------------------------------------------------------------------ steps in words


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
        UsageError: There are none or too many, or a mosaic is expected where there is none.
    """
    if not steps:
        raise UsageError("no steps given", hint=f"write them like {_EXAMPLE}")
    if len(steps) > MOST_STEPS:
        raise UsageError(f"{len(steps)} steps are more than the limit of {MOST_STEPS}", hint="leave out some")
    for _, later in pairwise(steps):
        if TASKS[later.task].takes_mosaic:
            raise UsageError(f"{later.task} must be the first step: its input is a mosaic", hint="put it first")
    return tuple(steps)


def advised(advice: Advice, *, strength: float = 1.0, self_ensemble: bool = False) -> tuple[Step, ...]:
    """The steps of an advice; `strength` scales all that can be mixed with their input, and 0 leaves them out."""
    if strength == 0:
        advice = dataclasses.replace(advice, steps=tuple(one for one in advice.steps if one.task == "upscale"))
    return tuple(
        Step(
            one.task,
            one.level,
            1.0 if one.task == "upscale" else one.strength * strength,
            self_ensemble=self_ensemble,
            why=one.why,
        )
        for one in advice.steps
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


# ------------------------------------------------------------------------------------------------------- steps that run


@dataclass(frozen=True)
class LoadedStep:
    """A step with its network.

    Attributes:
        step: The step.
        choice: What made the restorer.
        restorer: The network on its device.
        weights: The file of its weights.
    """

    step: Step
    choice: RestorerChoice
    restorer: Restorer
    weights: ResolvedWeights

    def restore_picture(self, picture: Picture, how: dict[str, Any], **more: Any) -> Restored:
        """Do the step; the result knows its history, and has the step's record in `steps`.

        Args:
            picture: The picture, or a mosaic.
            how: `tile`, `overlap` and `memory` of `Restorer.restore_picture`.
            **more: Other arguments of it.
        """
        begun = time.perf_counter()
        step = self.step
        how = how | {"strength": step.strength, "self_ensemble": step.self_ensemble}
        if step.pattern is not None:
            restored = restore_mosaic(self.restorer, picture, step.pattern, **how, **more)
        else:
            restored = self.restorer.restore_picture(picture, **how, **more)
        restored.picture.history += (history.step(self.choice, self.weights, how, step.pattern),)
        entry = self.weights.entry
        record = {
            "page": picture.page,
            "task": step.task,
            "why": step.why,
            "level": step.level,
            "strength": step.strength,
            "self_ensemble": step.self_ensemble,
            "weights": entry.name if entry else str(self.weights.path),
            "sha256": self.weights.sha256,
            "seconds": round(time.perf_counter() - begun, 3),
        }
        return dataclasses.replace(restored, steps=(record,))


class StepLoader:
    """Loads the networks of steps, each once.

    Args:
        device, precision, compile_network: As for `Restorer`.
        threads: CPU threads; None: as PyTorch chooses.
    """

    def __init__(
        self,
        *,
        device: str = "auto",
        precision: str = "auto",
        compile_network: bool = False,
        threads: int | None = None,
    ) -> None:
        self._base = RestorerChoice(TASKS["denoise"], None, None, device, precision, compile_network, threads)
        self._found: dict[tuple[str, str | None, float | None], ResolvedWeights] = {}
        self._restorers: dict[tuple[str, str], Restorer] = {}

    def load(self, step: Step) -> LoadedStep:
        """The step with its network; from memory where an earlier step has the same weights.

        Raises:
            UsageError, WeightsError, DeviceError: As `load_restorer`.
        """
        choice, found = self._choice(step), self.find(step)
        key = step.task, found.sha256
        if key not in self._restorers:
            self._restorers[key] = load_restorer(choice, found)[0]
        return LoadedStep(step, choice, self._restorers[key], found)

    def find(self, step: Step) -> ResolvedWeights:
        """The weights of a step, without torch. Raises errors as `find_weights`."""
        key = step.task, step.weights, step.level
        if key not in self._found:
            self._found[key] = find_weights(self._choice(step))
        return self._found[key]

    def _choice(self, step: Step) -> RestorerChoice:
        return dataclasses.replace(self._base, task=TASKS[step.task], weights=step.weights, level=step.level)

    def chain(self, steps: Sequence[Step]) -> Chain:
        """All steps with their networks. Unsuitable weights are refused before the first network is loaded."""
        for step in steps:
            self.find(step)
        return Chain([self.load(step) for step in steps])


def load_chain(
    steps: Sequence[Step],
    *,
    device: str = "auto",
    precision: str = "auto",
    compile_network: bool = False,
    threads: int | None = None,
) -> Chain:
    """Steps with their networks, ready for pictures. Arguments as for `StepLoader`.

    Raises:
        UsageError: The steps cannot follow one another, or weights are for another task or level.
        WeightsError: Weights cannot be found, verified or loaded.
        DeviceError: The device cannot be had.
    """
    loader = StepLoader(device=device, precision=precision, compile_network=compile_network, threads=threads)
    return loader.chain(checked(steps))


class Chain:
    """Steps that run one after another.

    Args:
        steps: At least one.
    """

    def __init__(self, steps: Sequence[LoadedStep]) -> None:
        self.steps = tuple(steps)

    @property
    def scale(self) -> int:
        """Size of the result in sizes of the picture."""
        return int(np.prod([loaded.restorer.network.scale for loaded in self.steps]))

    def restore_picture(
        self,
        picture: Picture,
        *,
        tile: int | Literal["auto"] = "auto",
        overlap: int = 32,
        memory: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Restored:
        """Do all steps. One step gives the bytes that its task's command gives.

        Between the steps the picture is float32 and neither rounded nor clipped. The result is rounded and clipped
        once, to the type of the source. All steps see a picture of integers at the exposure of the source.

        Args:
            picture: As for `Restorer.restore_picture`; a mosaic if the first step is `demosaic`.
            tile, overlap, memory: As for `Restorer.restore_picture`, for each step.
            progress: Called after each tile with the work done and the total over all steps.

        Returns:
            The picture with one entry of history a step. `tile`, `precision` and `retiled` are of the first step that
            has one, `seam` is the largest, and `tiles` counts all. `steps` has a record for each.

        Raises:
            As `Restorer.restore_picture`; PictureError: The picture is not a mosaic of the step's pattern.
        """
        how = {"tile": tile, "overlap": overlap, "memory": memory}
        if len(self.steps) == 1:
            return self.steps[0].restore_picture(picture, how, progress=progress)
        source = picture.pixels.dtype
        more: list[dict[str, Any]] = [{} for _ in self.steps]
        if source.kind != "f":
            exposure = self._exposure(picture)
            precisions = [loaded.restorer.precision_for(source) for loaded in self.steps]
            more = [{"exposure": exposure, "precision": precision} for precision in precisions]
        picture = _as_floats(picture, is_mosaic=self.steps[0].step.pattern is not None)
        work, results = self._work(), []
        for index, loaded in enumerate(self.steps):
            after = _shifted(progress, sum(work[:index]), work[index], sum(work))
            restored = loaded.restore_picture(picture, how, progress=after, **more[index])
            picture = restored.picture
            results.append(dataclasses.replace(restored, picture=None))  # type: ignore[arg-type]  # frees it
        if source.kind != "f":
            picture = _as_integers(picture, source)
        return _joined(picture, results)

    def _exposure(self, picture: Picture) -> Exposure:
        """The exposure of a picture of integers, for pixels from 0 to 1.

        It is that of the source for all steps. An overshoot of one network is no highlight that bypasses the next.
        """
        from restore.inference.exposure import Exposure
        from restore.inference.hidden_colours import fill_hidden

        is_mosaic, shown = self.steps[0].step.pattern is not None, picture.pixels
        if picture.alpha is not None:
            shown = fill_hidden(shown, picture.alpha, is_mosaic=is_mosaic)
        found = Exposure.of(shown, is_mosaic=is_mosaic)
        return Exposure(found.white / found.limit, np.inf, found.passes_excess)

    def _work(self) -> list[int]:
        """The relative work of each step: the pixels of its input, times its runs."""
        work, side = [], 1
        for loaded in self.steps:
            work.append(1000 * side**2 * (8 if loaded.step.self_ensemble else 1))
            side *= loaded.restorer.network.scale
        return work


def _shifted(
    progress: Callable[[int, int], None] | None, before: int, own: int, total: int
) -> Callable[[int, int], None] | None:
    """`progress` for one of several steps."""
    if progress is None:
        return None
    # Only the last tile of the last step completes the whole.
    return lambda done, tiles: progress(before + (own if done == tiles else own * done // tiles), total)


def _as_floats(picture: Picture, *, is_mosaic: bool) -> Picture:
    """A copy with all channels in float32, integers divided by their largest value; black and white stays so."""
    white = np.float32(limit(picture.pixels.dtype))

    def converted(channels: np.ndarray | None) -> np.ndarray | None:
        if channels is None:
            return None
        floats = channels.astype(np.float32)
        floats /= white
        return floats

    pixels = converted(picture.pixels)
    assert pixels is not None
    if not is_mosaic and is_neutral(picture.pixels):  # by its integers: floats would round at the limit
        for rows in bands(len(pixels), pixels[0].nbytes):
            pixels[rows] = pixels[rows].mean(axis=2, keepdims=True, dtype=np.float64)
    return dataclasses.replace(
        picture,
        pixels=pixels,
        alpha=converted(picture.alpha),
        extra=converted(picture.extra),
        notes=list(picture.notes),
    )


def _as_integers(picture: Picture, dtype: np.dtype[Any]) -> Picture:
    """A copy with all channels rounded and clipped to an integer type."""
    white = np.float32(limit(dtype))

    def converted(channels: np.ndarray | None) -> np.ndarray | None:
        if channels is None:
            return None
        whole = np.empty(channels.shape, dtype)
        for rows in bands(len(channels), channels[0].nbytes):
            whole[rows] = np.rint(np.clip(channels[rows], 0, 1) * white)
        return whole

    pixels = converted(picture.pixels)
    assert pixels is not None
    return dataclasses.replace(picture, pixels=pixels, alpha=converted(picture.alpha), extra=converted(picture.extra))


def _joined(picture: Picture, results: Sequence[Restored]) -> Restored:
    """What the steps did together."""
    first = next((one for one in results if one.tiles), results[0])
    seams = [one.seam for one in results if one.seam is not None]
    return dataclasses.replace(
        first,
        picture=picture,
        tiles=sum(one.tiles for one in results),
        seam=max(seams, key=lambda seam: seam.mean, default=None),
        retiled=next((one.retiled for one in results if one.retiled is not None), None),
        steps=tuple(record for one in results for record in one.steps),
    )

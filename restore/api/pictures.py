"""Pictures in memory: what is wrong with them, and several steps on them."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict, Unpack, overload

from restore.errors import UsageError, said_in_python
from restore.images.arrays import taken
from restore.images.picture import Picture
from restore.inference.watching import Progress, watched

if TYPE_CHECKING:
    import numpy.typing as npt
    from PIL.Image import Image as PillowImage
    from torch import Tensor

    from restore.batch.step_chain import Chain
    from restore.batch.steps import Step
    from restore.inference.call_types import File, Values
    from restore.inference.region import Region
    from restore.inspection.findings import Findings


Steps: TypeAlias = "str | os.PathLike[str] | Sequence[Step]"
"""Steps as `load_steps` takes them."""


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


def load_steps(steps: Steps, *, device: str = "auto", precision: str = "auto") -> Chain:
    """Several steps with their networks, for `run` on many pictures.

    Args:
        steps: Such as `derain,denoise:strength=0.7,upscale:2`; a sequence of `Step`; a recipe, which is a `.toml` file
            or a shipped one such as `old-scans`.
        device, precision: As for `load`.

    Raises:
        UsageError: A step or an option is unknown, or the steps cannot follow one another.
        WeightsError, DeviceError: As for `load`.
    """
    from restore.batch.step_chain import load_chain

    with said_in_python():
        return load_chain(_as_steps(steps), device=device, precision=precision)


def _as_steps(steps: Any) -> Sequence[Step]:
    from restore.batch import step_recipes
    from restore.batch.steps import Step, parse_steps

    if isinstance(steps, os.PathLike):
        path = os.fsdecode(steps)
        if not path.endswith(".toml"):
            raise UsageError(f"{path} is no recipe", hint="a recipe is a .toml file; steps are text")
        return step_recipes.load_steps(path)
    if isinstance(steps, str):
        is_recipe = steps.endswith(".toml") or steps in step_recipes.shipped()
        return step_recipes.load_steps(steps) if is_recipe else parse_steps(steps)
    if not isinstance(steps, Sequence) or not all(isinstance(step, Step) for step in steps):
        raise UsageError(
            f"{steps!r:.80} is not steps", hint="give text such as 'denoise,upscale:2', a recipe, or a list of Step"
        )
    return steps


class RunOptions(TypedDict, total=False):
    """The options of `run`."""

    device: str
    precision: str
    tile: int | Literal["auto"]
    overlap: int
    memory: int | None
    region: Region | str | Sequence[int] | None
    progress: Progress | None
    cancel: threading.Event | None


@overload
def run(steps: Steps | Chain, image: File, **options: Unpack[RunOptions]) -> PillowImage: ...


@overload
def run(steps: Steps | Chain, image: PillowImage, **options: Unpack[RunOptions]) -> PillowImage: ...


@overload
def run(steps: Steps | Chain, image: npt.NDArray[Values], **options: Unpack[RunOptions]) -> npt.NDArray[Values]: ...


@overload
def run(steps: Steps | Chain, image: Tensor, **options: Unpack[RunOptions]) -> Tensor: ...


@overload
def run(steps: Steps | Chain, image: Picture, **options: Unpack[RunOptions]) -> Picture: ...


def run(
    steps: Steps | Chain,
    image: Any,
    *,
    device: str = "auto",
    precision: str = "auto",
    tile: int | Literal["auto"] = "auto",
    overlap: int = 32,
    memory: int | None = None,
    region: Region | str | Sequence[int] | None = None,
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
) -> Any:
    """Do several steps on a picture, and return it in the type it came in. It is rounded once, at the end.

    Args:
        steps: As for `load_steps`, or its result.
        image: As for a call of a `Restorer`, but no batch.
        device, precision: As for `load`; only for steps that are not loaded.
        tile, overlap, memory: As for `Restorer.restore_picture`, for each step.
        region: The part to restore, as there.
        progress: Called after each tile with the work done and the total over all steps. If it returns False, the work
            stops.
        cancel: Set it, from any thread, to stop after the current tile.

    Raises:
        UsageError, WeightsError, DeviceError: As for `load_steps`.
        PictureError, Cancelled, RestoreError: As for a call of a `Restorer`.
    """
    from restore.batch.step_chain import Chain

    with said_in_python():
        watch = watched(progress, cancel)
        picture, back = taken(image)
        if not isinstance(steps, Chain):
            steps = load_steps(steps, device=device, precision=precision)
        elif (device, precision) != ("auto", "auto"):
            raise UsageError("the steps are loaded already", hint="give device and precision to restore.load_steps")
        how: dict[str, Any] = {"tile": tile, "overlap": overlap, "memory": memory, "region": region}
        restored = steps.restore_picture(picture, progress=watch, **how)
        return back(restored.picture)

"""The restorer of a task: weights that suit the task and its level, on a device."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from restore.checkpoints import catalogue
from restore.errors import UsageError
from restore.images import Picture
from restore.images.bayer import as_rggb
from restore.inference import opening
from restore.inference.region import place_in
from restore.tasks import Task

if TYPE_CHECKING:
    from restore.checkpoints import ResolvedWeights
    from restore.inference.restored import Restored
    from restore.inference.restorer import Restorer


@dataclass(frozen=True)
class RestorerChoice:
    """What makes a restorer.

    Attributes:
        task: The task.
        weights: As for `restore.load`; None: the default weights of the task.
        level: Strength of the degradation, which picks weights made for it; None: not known.
        device: As for `restore.load`.
        precision: As for `restore.load`.
        compile_network: Whether to compile the network.
        threads: CPU threads; None: as the backend chooses.
        backend: As for `restore.load`.
    """

    task: Task
    weights: str | None = None
    level: float | None = None
    device: str = "auto"
    precision: str = "auto"
    compile_network: bool = False
    threads: int | None = None
    backend: str = "auto"


def find_weights(choice: RestorerChoice) -> ResolvedWeights:
    """Find and verify the weights without torch, and refuse unsuitable ones as far as the catalogue tells.

    Raises:
        UsageError: The weights are for another task or level.
        WeightsError: They cannot be found or verified.
    """
    task = choice.task.name
    found = opening.find(choice.weights or catalogue.weights_for(task, choice.level).name, choice.backend)
    if found.entry:
        _check_task(found.entry.name, found.entry.task, task)
    made_for = found.entry.level if found.entry else None
    if choice.level is not None and made_for not in (None, choice.level):
        _refuse_level(choice, made_for)
    return found


def load_restorer(choice: RestorerChoice, found: ResolvedWeights | None = None) -> tuple[Restorer, ResolvedWeights]:
    """Load the weights and put the network on its device.

    Args:
        choice: What makes the restorer.
        found: Its weights; None: those of `find_weights`, which refuses unsuitable ones before torch is imported.

    Raises:
        UsageError: The weights are for another task or level.
        WeightsError: They cannot be found, verified or loaded.
        DeviceError: The device cannot be had.
    """
    task, found = choice.task.name, found or find_weights(choice)
    from restore.inference.devices import keep_memory
    from restore.inference.restorer import Restorer

    keep_memory()
    network, info = opening.load(found, task, threads=choice.threads)
    _check_task(str(found.path), info.task, task)
    if task == "upscale" and choice.level not in (None, network.scale):
        _refuse_level(choice, network.scale)
    restorer = Restorer(
        network,
        device=choice.device,
        entry=info.entry,
        task=info.task,
        precision=choice.precision,
        compile_network=choice.compile_network,
    )
    return restorer, found


def _check_task(weights: str, made_for: str, task: str) -> None:
    if made_for != task:
        raise UsageError(
            f"the weights {weights} are for {made_for}, not for {task}",
            hint=f"leave out --weights, or use `restore {made_for}`",
        )


def _refuse_level(choice: RestorerChoice, made_for: float | None) -> NoReturn:
    assert choice.task.level is not None
    option = f"--{choice.task.level.name}"
    raise UsageError(
        f"these weights are for {option} {made_for:g}, not {choice.level:g}",
        hint=f"leave out {option}, or name other --weights",
    )


def restore_mosaic(restorer: Restorer, picture: Picture, pattern: str, **how: Any) -> Restored:
    """Restore a Bayer mosaic of any pattern.

    Args:
        restorer: Its network takes RGGB mosaics.
        picture: The mosaic.
        pattern: One of `restore.images.bayer.PATTERNS`.
        **how: Arguments of `Restorer.restore_picture`.

    Raises:
        PictureError: The picture is not a mosaic, or not one of this pattern.
    """
    place = place_in(picture, how.pop("region", None))
    pixels, (row, column) = as_rggb(picture.pixels, pattern)
    alpha = None if picture.alpha is None else np.pad(picture.alpha, ((row, 0), (column, 0)), mode="reflect")
    region = (place.left + column, place.top + row, place.width, place.height)
    return restorer.restore_picture(dataclasses.replace(picture, pixels=pixels, alpha=alpha), region=region, **how)

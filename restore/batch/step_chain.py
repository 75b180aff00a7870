"""Steps that run on one picture: it stays in floating point between them and is rounded once, at the end."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from restore.batch import history
from restore.batch.step_regions import regions_of_steps
from restore.batch.steps import Step, checked
from restore.batch.task_restorer import RestorerChoice, find_weights, load_restorer, restore_mosaic
from restore.images.neutral import is_neutral
from restore.images.picture import Picture, bands, limit
from restore.inference.region import place_in
from restore.tasks import TASKS

if TYPE_CHECKING:
    from restore.checkpoints import ResolvedWeights
    from restore.inference.exposure import Exposure
    from restore.inference.region import Region
    from restore.inference.restored import Restored
    from restore.inference.restorer import Restorer


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
        region: Region | str | Sequence[int] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Restored:
        """Do all steps. One step gives the bytes that its task's command gives.

        Between the steps the picture is float32 and neither rounded nor clipped. The result is rounded and clipped
        once, to the type of the source. All steps see a picture of integers at the exposure of the source.

        Args:
            picture: As for `Restorer.restore_picture`; a mosaic if the first step is `demosaic`.
            tile, overlap, memory: As for `Restorer.restore_picture`, for each step.
            region: The part to restore, as there. Of one step it equals the same part of the whole result. Of
                several it does so but for rounding, if all networks but the first have a halo; a later network without
                one sees 128 pixels around it.
            progress: Called after each tile with the work done and the total over all steps.

        Returns:
            The picture with one entry of history a step. `tile`, `precision` and `retiled` are of the first step that
            has one, `seam` is the largest, and `tiles` counts all. `steps` has a record for each.

        Raises:
            As `Restorer.restore_picture`; PictureError: The picture is not a mosaic of the step's pattern.
        """
        how: dict[str, Any] = {"tile": tile, "overlap": overlap, "memory": memory}
        if len(self.steps) == 1:
            how |= {} if region is None else {"region": region}
            return self.steps[0].restore_picture(picture, how, progress=progress)
        source = picture.pixels.dtype
        more: list[dict[str, Any]] = [{} for _ in self.steps]
        if source.kind != "f":
            exposure = self._exposure(picture)
            precisions = [loaded.restorer.precision_for(source) for loaded in self.steps]
            more = [{"exposure": exposure, "precision": precision} for precision in precisions]
        if region is not None:
            networks, (height, width) = [loaded.restorer.network for loaded in self.steps], picture.pixels.shape[:2]
            regions = regions_of_steps(networks, place_in(picture, region), height, width)
            more = [arguments | {"region": part} for arguments, part in zip(more, regions, strict=True)]
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

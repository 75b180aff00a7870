"""Steps that run on one picture: it stays in floating point between them and is rounded once, at the end."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from restore.batch import history
from restore.batch.steps import Step, checked, scaled
from restore.batch.task_restorer import RestorerChoice, find_weights, load_restorer, restore_mosaic
from restore.images.neutral import is_neutral
from restore.images.picture import Picture, bands, limit
from restore.inference.region import as_region, place_in
from restore.tasks import TASKS

if TYPE_CHECKING:
    from restore.checkpoints import ResolvedWeights
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

    def restore_picture(
        self, picture: Picture, how: dict[str, Any], crop: Region | None = None, **more: Any
    ) -> Restored:
        """Do the step; the result knows its history, and has the step's record in `steps`.

        Args:
            picture: The picture, or a mosaic.
            how: `tile`, `overlap` and `memory` of `Restorer.restore_picture`.
            crop: The region that the history names.
            **more: Other arguments of it.
        """
        begun = time.perf_counter()
        step = self.step
        how = how | {"strength": step.strength, "self_ensemble": step.self_ensemble}
        if step.pattern is not None:
            restored = restore_mosaic(self.restorer, picture, step.pattern, **how, **more)
        else:
            restored = self.restorer.restore_picture(picture, **how, **more)
        entry_of_history = history.step(self.choice, self.weights, how | {"region": crop}, step.pattern)
        restored.picture.history += (entry_of_history,)
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
        threads: CPU threads; None: as the backend chooses.
        backend: As for `restore.load`.
    """

    def __init__(
        self,
        *,
        device: str = "auto",
        precision: str = "auto",
        compile_network: bool = False,
        threads: int | None = None,
        backend: str = "auto",
    ) -> None:
        self._base = RestorerChoice(TASKS["denoise"], None, None, device, precision, compile_network, threads, backend)
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
            region: The part to restore, as there. It equals the same part of the whole result with the same tiles if
                all networks but the first have a halo. Others see tiles that may differ near their edges.
            progress: Called after each tile with the work done and the total over all steps.

        Returns:
            The picture with one entry of history a step. `tile`, `precision` and `retiled` are of the first step that
            has one, `seam` is the largest, and `tiles` counts all. `steps` has a record for each.

        Raises:
            As `Restorer.restore_picture`; PictureError: The picture is not a mosaic of the step's pattern.
        """
        how: dict[str, Any] = {"tile": tile, "overlap": overlap, "memory": memory}
        crop = None if region is None else as_region(region)
        if len(self.steps) == 1:
            return self.steps[0].restore_picture(picture, how, crop, region=crop, progress=progress)
        source, more = picture.pixels.dtype, self._parts(picture, crop, how)
        work, is_grey = self._work(picture, more), not self._is_mosaic and is_neutral(picture.pixels)
        if source.kind != "f":
            shared = self._as_the_source(picture)
            for loaded, arguments in zip(self.steps, more, strict=True):
                arguments |= shared | {"precision": loaded.restorer.precision_for(source)}
        if "piece" in more[0]:
            picture = more[0]["piece"].given.cut(picture)
        picture = _as_floats(picture, is_grey=is_grey)
        results: list[Restored] = []
        for index, loaded in enumerate(self.steps):
            after = _shifted(progress, sum(work[:index]), work[index], sum(work))
            noted = None if index else crop
            restored = loaded.restore_picture(picture, how, noted, progress=after, **more[index])
            picture = restored.picture
            results.append(dataclasses.replace(restored, picture=None))  # type: ignore[arg-type]  # frees it
        if source.kind != "f":
            picture = _as_integers(picture, source)
        return _joined(picture, results)

    def scaled(self, strength: float) -> Chain:
        """The same steps with their strengths times `strength`; upscaling stays as it is."""
        steps = scaled(tuple(loaded.step for loaded in self.steps), strength)
        return Chain([dataclasses.replace(loaded, step=step) for loaded, step in zip(self.steps, steps, strict=True)])

    @property
    def _is_mosaic(self) -> bool:
        """Whether the first step takes a mosaic."""
        return self.steps[0].step.pattern is not None

    def _as_the_source(self, picture: Picture) -> dict[str, Any]:
        """What all steps take from a picture of integers: `exposure`, for pixels from 0 to 1, and `is_grey`.

        An overshoot of one network is no highlight that bypasses the next, and a colour that it makes faint is none
        that the next may drop.
        """
        from restore.inference.exposure import Exposure
        from restore.inference.hidden_colours import fill_hidden

        shown = picture.pixels
        if picture.alpha is not None:
            shown = fill_hidden(shown, picture.alpha, is_mosaic=self._is_mosaic)
        found = Exposure.of(shown, is_mosaic=self._is_mosaic)
        exposure = Exposure(found.white / found.limit, np.inf, found.passes_excess)
        return {"exposure": exposure, "is_grey": not self._is_mosaic and is_neutral(shown)}

    def _parts(self, picture: Picture, crop: Region | None, how: dict[str, Any]) -> list[dict[str, Any]]:
        """The part that each step restores: `piece` or `region` of `Restorer.restore_picture`, or nothing for all.

        What hides under transparency, and the levels of floats, depend on the whole input of each step. Then only the
        last step restores a part.
        """
        if crop is None:
            return [{} for _ in self.steps]
        from restore.inference.pieces import pieces
        from restore.inference.tile_size import TileSizes

        place = place_in(picture, crop)
        (height, width, channels), networks = picture.pixels.shape, [one.restorer.network for one in self.steps]
        is_whole = picture.pixels.dtype.kind == "f" or picture.alpha is not None or picture.extra is not None
        if is_whole or (self._is_mosaic and networks[0].scale != 1):
            last = place.scaled(self.scale // networks[-1].scale)
            return [*({} for _ in self.steps[1:]), {"region": last.numbers}]
        tiles, side = [], 1
        for loaded in self.steps[self._is_mosaic :]:  # a mosaic has tiles of its own
            shape = side * height, side * width, 3 if self._is_mosaic else channels
            whole = Picture(np.broadcast_to(np.float32(0), shape))  # takes no memory
            longest = loaded.restorer.side_for(whole, **how)
            tiles.append((TileSizes(loaded.restorer.network, how["overlap"]), longest))
            side *= loaded.restorer.network.scale
        found = pieces(place, tiles, height, width)
        mosaic = [{"region": found[0].given.numbers}] if self._is_mosaic else []
        return [*mosaic, *({"piece": piece} for piece in found)]

    def _work(self, picture: Picture, parts: Sequence[dict[str, Any]]) -> list[int]:
        """The relative work of each step: the pixels that it computes, times its runs."""
        work, side = [], 1
        for loaded, part in zip(self.steps, parts, strict=True):
            pixels = part["piece"].computed if "piece" in part else picture.pixels[..., 0].size * side**2
            if "region" in part:
                pixels = part["region"][2] * part["region"][3]
            work.append(pixels * (8 if loaded.step.self_ensemble else 1))
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


def _as_floats(picture: Picture, *, is_grey: bool) -> Picture:
    """A copy with all channels in float32, integers divided by their largest value.

    One that is black and white by its integers gets equal channels: floats would round at the limit of `is_neutral`.
    """
    white = np.float32(limit(picture.pixels.dtype))

    def converted(channels: np.ndarray | None) -> np.ndarray | None:
        if channels is None:
            return None
        floats = channels.astype(np.float32)
        floats /= white
        return floats

    pixels = converted(picture.pixels)
    assert pixels is not None
    if is_grey:
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

"""The networks of the server, loaded when a job first needs them and kept. One thread uses them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

from restore.batch.step_chain import StepLoader
from restore.batch.steps import Step, parse_steps
from restore.checkpoints import catalogue
from restore.errors import UsageError
from restore.images import Picture
from restore.inference.region import Place

if TYPE_CHECKING:
    from restore.inference.restorer import Restored

_MARGIN = 128
"""Pixels around a crop that the networks see."""
_LONGEST = 500
"""Characters of steps."""


def safe_steps(text: str) -> tuple[Step, ...]:
    """Steps whose weights come from the catalogue: a page names no file and no address.

    Raises:
        UsageError: They are no steps, or name other weights.
    """
    if len(text) > _LONGEST:
        raise UsageError(f"the steps are longer than {_LONGEST} characters", hint="leave out some")
    steps = parse_steps(text)
    for step in steps:
        if step.weights is not None and step.weights not in catalogue.load_catalogue():
            raise UsageError("weights are named as in `restore weights list` here", hint="leave out weights")
    return steps


class Networks:
    """Runs steps on pictures.

    Args:
        device, precision: As for `restore.load`.
        threads: CPU threads; None: as PyTorch chooses.
    """

    def __init__(self, *, device: str = "auto", precision: str = "auto", threads: int | None = None) -> None:
        self._loader = StepLoader(device=device, precision=precision, threads=threads)

    def restore(self, picture: Picture, steps: str, progress: Callable[[int, int], None]) -> Restored:
        """Do all steps on the picture, as the commands do."""
        return self._loader.chain(safe_steps(steps)).restore_picture(picture, progress=progress)

    def restore_region(
        self, picture: Picture, steps: str, region: tuple[int, int, int, int], progress: Callable[[int, int], None]
    ) -> tuple[Picture, Restored]:
        """Do all steps on a part of the picture; also returns the part as it was.

        The networks see a margin of `_MARGIN` pixels: fast enough to try strengths. `Restorer.restore_picture` with a
        region computes whole tiles instead, which for 512 pixels can be seven times as many. One step has the exposure
        of the whole picture.

        Args:
            region: Left, top, width and height in pixels, within the picture.
        """
        from restore.inference.exposure import Exposure

        chain = self._loader.chain(safe_steps(steps))
        left, top, width, height = region
        # Even numbers keep the colours of a mosaic in their places.
        x, y = max(0, left - _MARGIN) // 2 * 2, max(0, top - _MARGIN) // 2 * 2
        rows, columns = picture.pixels.shape[:2]
        seen = Place(x, y, min(left + width + _MARGIN, columns) - x, min(top + height + _MARGIN, rows) - y)
        if len(chain.steps) == 1 and chain.steps[0].step.pattern is None:
            how = {"tile": "auto", "overlap": 32, "memory": None}
            exposure = None if picture.alpha is not None else Exposure.of(picture.pixels)
            restored = chain.steps[0].restore_picture(seen.cut(picture), how, progress=progress, exposure=exposure)
        else:
            restored = chain.restore_picture(seen.cut(picture), progress=progress)
        cut = Place(left - x, top - y, width, height).scaled(chain.scale).cut(restored.picture)
        return Place(*region).cut(picture), dataclasses.replace(restored, picture=cut)

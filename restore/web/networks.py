"""The networks of the server, loaded when a job first needs them and kept. One thread uses them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from restore.batch.step_chain import StepLoader
from restore.batch.steps import Step, parse_steps
from restore.checkpoints import catalogue
from restore.errors import UsageError
from restore.images import Picture
from restore.inference.region import Place

if TYPE_CHECKING:
    from restore.inference.restored import Restored

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
        """Do all steps on a part of the picture, as `--crop` does; also returns the part as it was.

        Args:
            region: Left, top, width and height in pixels, within the picture.
        """
        chain = self._loader.chain(safe_steps(steps))
        return Place(*region).cut(picture), chain.restore_picture(picture, region=region, progress=progress)

"""The log of a run for Weights & Biases, which is an extra: `pip install 'restore-photos[wandb]'`."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from restore.errors import DataError
from restore.training.progress import Progress
from restore.training.tensorboard_log import values_of


@contextmanager
def wandb_log(folder: Path, strip: Path, recipe: Mapping[str, Any], begun: str) -> Iterator[Callable[[Progress], None]]:
    """What to call with each progress. A resumed run goes on as the same run.

    Args:
        folder: Of the run; its name is that of the run at W&B. WANDB_PROJECT names the project, else it is `restore`.
        strip: The picture to show with each validation.
        recipe: Its fields.
        begun: When the first session began; with the folder's name, it identifies the run.

    Raises:
        DataError: W&B does not start: there is no login or no network.
    """
    import wandb  # an extra

    name = folder.absolute().name
    try:
        run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "restore"), name=name, dir=str(folder), config=dict(recipe),
            id=hashlib.sha256(f"{name}\0{begun}".encode(errors="surrogateescape")).hexdigest()[:16], resume="allow",
        )  # fmt: skip
    except Exception as error:  # its errors have no common type
        raise DataError(
            f"Weights & Biases does not start: {str(error).partition(chr(10))[0]}",
            hint="log in with `wandb login`, set WANDB_MODE=offline, or leave out --wandb",
        ) from error

    def show(progress: Progress) -> None:
        values: dict[str, Any] = values_of(progress)
        if progress.validation and strip.is_file():
            values["validation"] = wandb.Image(str(strip))
        run.log(values, step=progress.step)

    try:
        yield show
    finally:
        run.finish()

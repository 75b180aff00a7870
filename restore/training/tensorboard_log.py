"""The log of a run for TensorBoard, which is an extra: `pip install 'restore-photos[train]'`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from restore.images import read_picture
from restore.training.progress import Progress


def values_of(progress: Progress) -> dict[str, float]:
    """The numbers of a progress, by the names that loggers show."""
    values = {} if progress.step == 0 else {
        "loss": progress.loss, "psnr": progress.psnr, "learning_rate": progress.learning_rate,
        "images_per_second": progress.images_per_second, "data_share": progress.data_share,
    }  # fmt: skip
    if progress.validation:
        values |= {"validation/input_psnr": progress.validation[0], "validation/psnr": progress.validation[1]}
    return values


@contextmanager
def tensorboard_log(folder: Path, strip: Path) -> Iterator[Callable[[Progress], None]]:
    """What to call with each progress.

    Args:
        folder: Where to write.
        strip: The picture to show with each validation.
    """
    from torch.utils.tensorboard import SummaryWriter  # an extra

    with SummaryWriter(folder) as writer:

        def show(progress: Progress) -> None:
            if progress.validation:
                writer.add_image("validation", read_picture(strip).pixels, progress.step, dataformats="HWC")
            for name, value in values_of(progress).items():
                writer.add_scalar(name, value, progress.step)

        yield show

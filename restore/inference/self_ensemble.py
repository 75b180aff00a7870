"""Self-ensemble: the mean of a network's results for the flips and rotations of an image."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from torch import Tensor

from restore.inference.padding import pad
from restore.tasks import Task


def mean_over_orientations(restore: Callable[[Tensor], Tensor], x: Tensor, scale: int, task: Task | None) -> Tensor:
    """Restore a batch in 8 orientations, or in the 4 upright ones where the task is upright, and average.

    Source: Lim et al., EDSR, CVPRW 2017, Section 3.4. Departure: rain falls, so `derain` leaves out the four
    orientations that lay an image on its side.

    Args:
        restore: Restores `(B, C, H, W)` to `(B, C, scale * H, scale * W)`, float32.
        x: `(B, C, H, W)`.
        scale: Output size over input size.
        task: The task of the weights; None is a task without a preferred orientation.

    Returns:
        `(B, C, scale * H, scale * W)`.
    """
    height, width = (scale * side for side in x.shape[2:])
    if task and task.takes_mosaic:  # with odd sides, RGGB stays RGGB in every orientation
        x = pad(x, *(side | 1 for side in x.shape[2:]))
    turns = (0, 2) if task and task.is_upright else (0, 1, 2, 3)
    total: Tensor | None = None
    for turn, is_mirrored in itertools.product(turns, (False, True)):
        turned = x.rot90(turn, (2, 3))
        restored = restore(turned.flip(3) if is_mirrored else turned)
        restored = (restored.flip(3) if is_mirrored else restored).rot90(-turn, (2, 3))
        total = restored if total is None else total.add_(restored)
    assert total is not None
    return total.div_(2 * len(turns))[..., :height, :width]

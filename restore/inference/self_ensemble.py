"""Self-ensemble: the mean of a network's results for the flips and rotations of an image."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from restore.inference.padding import pad
from restore.tasks import Task

if TYPE_CHECKING:
    from torch import Tensor

Images = TypeVar("Images", "Tensor", npt.NDArray[np.float32])
"""`(B, C, H, W)`."""


def mean_over_orientations(restore: Callable[[Images], Images], x: Images, scale: int, task: Task | None) -> Images:
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
    library: Any = np  # both have these functions
    if not isinstance(x, np.ndarray):
        import torch

        library = torch
    height, width = (scale * side for side in x.shape[2:])
    if task and task.takes_mosaic:  # with odd sides, RGGB stays RGGB in every orientation
        x = pad(x, *(side | 1 for side in x.shape[2:]))
    turns = (0, 2) if task and task.is_upright else (0, 1, 2, 3)
    total: Any = None
    for turn, is_mirrored in itertools.product(turns, (False, True)):
        turned = library.rot90(x, turn, (2, 3))
        restored = restore(library.flip(turned, (3,)) if is_mirrored else turned)
        restored = library.rot90(library.flip(restored, (3,)) if is_mirrored else restored, -turn, (2, 3))
        if total is None:
            total = restored
        else:
            total += restored
    total /= 2 * len(turns)
    result: Images = total[..., :height, :width]
    return result

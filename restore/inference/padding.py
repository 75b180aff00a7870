"""Padding images to a size that a network takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor


@overload
def pad(images: Tensor, height: int, width: int) -> Tensor: ...


@overload
def pad(images: npt.NDArray[np.float32], height: int, width: int) -> npt.NDArray[np.float32]: ...


def pad(images: Any, height: int, width: int) -> Any:
    """Extend `(B, C, H, W)` at the bottom and right to `(B, C, height, width)`, by reflection."""
    if images.shape[2:] == (height, width):
        return images
    # Reflection needs pad < size; the rest of a very thin image is replicated.
    down, right = (min(want - have, have - 1) for want, have in zip((height, width), images.shape[2:], strict=True))
    if isinstance(images, np.ndarray):
        images = np.pad(images, ((0, 0), (0, 0), (0, down), (0, right)), "reflect")
        return np.pad(images, ((0, 0), (0, 0), (0, height - images.shape[2]), (0, width - images.shape[3])), "edge")
    from torch.nn import functional

    images = functional.pad(images, (0, right, 0, down), mode="reflect")
    return functional.pad(images, (0, width - images.shape[3], 0, height - images.shape[2]), mode="replicate")

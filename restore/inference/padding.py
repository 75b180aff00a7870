"""Padding images to a size that a network takes."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def pad(images: Tensor, height: int, width: int) -> Tensor:
    """Extend `(B, C, H, W)` at the bottom and right to `(B, C, height, width)`, by reflection."""
    if images.shape[2:] == (height, width):
        return images
    # Reflection needs pad < size; the rest of a very thin image is replicated.
    down, right = (min(want - have, have - 1) for want, have in zip((height, width), images.shape[2:], strict=True))
    images = functional.pad(images, (0, right, 0, down), mode="reflect")
    return functional.pad(images, (0, width - images.shape[3], 0, height - images.shape[2]), mode="replicate")

"""The contract of every network: all that callers need to know."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from restore.errors import UsageError
from restore.networks.blocks import TwoForms


class Network(nn.Module):
    """A restoration network: `(B, C, H, W)` in [0, 1] to `(B, C, scale * H, scale * W)`, not clamped.

    A subclass takes only keyword arguments that fit into JSON and keeps them in `config`. Its `CONFIGS` name the sizes
    of the paper and of the bundled weights.

    Attributes:
        config: The resolved keyword arguments; `type(self)(**config)` builds the same network.
        channels: Input and output channels (3: RGB, 1: grey).
        scale: Output size over input size.
        size_multiple: Height and width must be multiples of this; callers pad.
        tile_grid: Tiles start at multiples of this, a divisor of `size_multiple`, so that downsampling hits the same
            pixels in every tile; None: `size_multiple`.
        min_size: Smallest height and width, in pixels, that `forward` takes.
        halo: Distance in pixels up to which an output pixel depends on the input; None: on the whole image. A tile then
            gives other values than the whole image.
        largest_auto_tile: Side of the largest automatic tile, for networks whose time grows faster than the pixels;
            None for the others.
        attends: Whether the attention is in use (`use_attention`).
        precisions: What autocast may compute it in.
    """

    CONFIGS: ClassVar[dict[str, dict[str, Any]]]

    config: dict[str, Any]
    channels: int = 3
    scale: int = 1
    size_multiple: int = 1
    tile_grid: int | None = None
    min_size: int = 1
    halo: int | None = None
    largest_auto_tile: int | None = None
    attends: bool = True
    precisions: tuple[str, ...] = ("float32", "bfloat16", "float16")

    def forward(self, degraded: Tensor) -> Tensor:
        """Restore a batch whose sides are multiples of `size_multiple`."""
        raise NotImplementedError

    def use_attention(self, use: bool) -> None:
        """Switch the attention over the picture off (False) or on in every block; checkpoints remember it.

        Raises:
            UsageError: This network needs its attention.
        """
        raise UsageError(f"{type(self).__name__} cannot work without attention", hint="set local_steps to 0")

    def start_as_identity(self) -> None:
        """Set the weights so that the output is the input (for upscaling: repeated pixels), as a start for training.

        Raises:
            UsageError: This network has no such start.
        """
        raise UsageError(f"{type(self).__name__} cannot start as the identity", hint="set start to random")

    @property
    def has_plain_forms(self) -> bool:
        """Whether a layer has two forms (`TwoForms`)."""
        return any(isinstance(module, TwoForms) for module in self.modules())

    def use_plain_forms(self, use: bool) -> None:
        """Compute the papers' equations literally (True): the same values, slower."""
        for module in self.modules():
            if isinstance(module, TwoForms):
                module.use_plain = use

    def check_size(self, degraded: Tensor) -> None:
        """Raise a ValueError with the next valid size if this size is invalid."""
        height, width = degraded.shape[-2:]
        multiple, smallest = self.size_multiple, self.min_size
        if height % multiple or width % multiple or min(height, width) < smallest:
            up = [max(smallest, -(-side // multiple) * multiple) for side in (height, width)]
            raise ValueError(
                f"{type(self).__name__} takes sides that are multiples of {multiple} and at least {smallest} "
                f"pixels, not {height}x{width}; pad to {up[0]}x{up[1]}"
            )

"""The contract that every network states, so that callers need to know nothing else about it."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from restore.errors import UsageError
from restore.networks.blocks import TwoForms


class Network(nn.Module):
    """A restoration network: `(B, C, H, W)` in [0, 1] to `(B, C, scale * H, scale * W)`, not clamped.

    A subclass takes only keyword arguments that JSON can hold, keeps them in `config`, and lists the
    named sizes it is published in under `CONFIGS`.

    Attributes:
        config: The resolved keyword arguments; `type(self)(**config)` builds the same network.
        channels: Input and output channels (3: RGB, 1: grey).
        scale: Output size over input size.
        size_multiple: Height and width must be multiples of this; callers pad.
        tile_grid: Tiles begin at multiples of this, which divides `size_multiple`, so that what is halved is halved
            alike in every tile; None: at multiples of `size_multiple`.
        min_size: Smallest height and width, in pixels, that `forward` takes.
        halo: How many pixels around it one output pixel depends on; None when it sees the whole image,
            in which case a tile does not give the values that the whole image would.
        largest_auto_tile: Side of the largest tile that is chosen without being asked for, where time grows faster than
            the pixels; None where it does not.
        attends: Whether the attention is in use (`use_attention`).
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

    def forward(self, degraded: Tensor) -> Tensor:
        """Restore a batch whose sides are multiples of `size_multiple`."""
        raise NotImplementedError

    def use_attention(self, use: bool) -> None:
        """Leave the attention over the picture out of every block (False), or put it back; checkpoints remember it.

        Raises:
            UsageError: This network cannot work without.
        """
        raise UsageError(f"{type(self).__name__} cannot leave its attention out", hint="set local_steps to 0")

    def start_as_identity(self) -> None:
        """Set the weights so that a picture comes out as it is, enlarged in the plainest way, to learn from there.

        Raises:
            UsageError: This network cannot.
        """
        raise UsageError(f"{type(self).__name__} has no way to start as the identity", hint="set start to random")

    @property
    def has_plain_forms(self) -> bool:
        """Whether a layer of it is written twice."""
        return any(isinstance(module, TwoForms) for module in self.modules())

    def use_plain_forms(self, use: bool) -> None:
        """Compute by the papers' equations as they stand (True): the same values, slower."""
        for module in self.modules():
            if isinstance(module, TwoForms):
                module.use_plain = use

    def check_size(self, degraded: Tensor) -> None:
        """Raise a `ValueError` that names the next size that fits, if this one does not."""
        height, width = degraded.shape[-2:]
        multiple, smallest = self.size_multiple, self.min_size
        if height % multiple or width % multiple or min(height, width) < smallest:
            up = [max(smallest, -(-side // multiple) * multiple) for side in (height, width)]
            raise ValueError(
                f"{type(self).__name__} takes sides that are multiples of {multiple} and at least {smallest} "
                f"pixels, not {height}x{width}; pad to {up[0]}x{up[1]}"
            )

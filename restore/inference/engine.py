"""What a `Restorer` asks of the program that computes its network: torch, or ONNX Runtime. No torch is needed here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from restore.errors import RestoreError
from restore.inference.devices import Device

if TYPE_CHECKING:
    from torch import Tensor

    from restore.inference.memory import Need
    from restore.tasks import Task

Levels = npt.NDArray[np.float32]

BACKENDS = ("auto", "torch", "onnx")


class Contract(Protocol):
    """What tiles need to know of a network: attributes of `networks.base.Network`."""

    @property
    def channels(self) -> int: ...
    @property
    def scale(self) -> int: ...
    @property
    def size_multiple(self) -> int: ...
    @property
    def tile_grid(self) -> int | None: ...
    @property
    def min_size(self) -> int: ...
    @property
    def halo(self) -> int | None: ...
    @property
    def largest_auto_tile(self) -> int | None: ...
    @property
    def precisions(self) -> tuple[str, ...]: ...


class Engine(Protocol):
    """Computes a network.

    Attributes:
        need: Memory that it takes for a tile.
        task: The task of the weights; None: not known.
    """

    need: Need
    task: Task | None

    @property
    def device(self) -> Device:
        """Where it runs."""

    @property
    def threads(self) -> int:
        """CPU threads that it uses."""

    def restore(self, images: Levels, *, self_ensemble: bool, precision: str) -> Levels:
        """Restore `(B, C, H, W)` of any size to `(B, C, scale * H, scale * W)`, not clamped; C is 1 or the network's.

        Raises:
            RestoreError: The images are RGB and the network is grey, or the result is not finite.
        """

    def restore_tensor(self, images: Tensor, *, self_ensemble: bool, precision: str) -> Tensor:
        """As `restore`, for a tensor on any device; the result is on the engine's."""

    def enlarged(self, image: Levels, scale: int) -> Levels:
        """`(H, W, C)`, enlarged linearly to `(scale * H, scale * W, C)`."""


def check_channels(channels: int, network: Contract) -> None:
    """Refuse images that the network cannot take.

    Raises:
        RestoreError: It is for grey images, and they are not.
    """
    if channels not in (1, network.channels):
        raise RestoreError(
            f"these weights restore images of {network.channels} channel(s), not of {channels}",
            hint="convert the picture to grey, or choose weights for RGB (see `restore weights list`)",
        )


def not_finite() -> RestoreError:
    """The error for a result with NaN or infinity."""
    return RestoreError("the network's result holds NaN or infinity", hint="check the weights")


def only_side(network: Any) -> int | None:
    """The only side of the tiles that a network takes, in pixels; None: it takes others."""
    side: int | None = getattr(network, "only_side", None)
    return side

"""Computes a network with torch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from restore.errors import RestoreError, UsageError
from restore.inference.devices import pick_device
from restore.inference.engine import Levels, check_channels, not_finite
from restore.inference.forking import make_forks_safe
from restore.inference.memory import need_of
from restore.inference.padding import pad
from restore.inference.self_ensemble import mean_over_orientations
from restore.inference.tiling import round_up
from restore.networks.base import Network
from restore.tasks import Task


class TorchEngine:
    """An `engine.Engine`.

    Args:
        network, device, compile_network: As for `Restorer`.
        task: The task of the weights; None: not known.
    """

    def __init__(
        self, network: Network, device: str | torch.device, task: Task | None, *, compile_network: bool
    ) -> None:
        make_forks_safe()
        self.device = device if isinstance(device, torch.device) else pick_device(device)
        self.network, self.task = network.to(self.device, torch.float32).eval(), task
        self._run: Callable[[Tensor], Tensor] = _compiled(self.network) if compile_network else self.network
        self.need = need_of(network)

    @property
    def threads(self) -> int:
        """CPU threads that torch uses."""
        return torch.get_num_threads()

    def restore(self, images: Levels, *, self_ensemble: bool, precision: str) -> Levels:
        """As `Engine.restore`."""
        # NumPy's stride along one image is 0, by which torch does not see that its channels are last.
        x = torch.from_numpy(images[0])[None] if len(images) == 1 else torch.from_numpy(images)
        restored = self._restore_batch(x, self_ensemble, precision)
        result: Levels = restored.cpu().numpy()
        return result

    def restore_tensor(self, images: Tensor, *, self_ensemble: bool, precision: str) -> Tensor:
        """As `Engine.restore_tensor`."""
        return self._restore_batch(images, self_ensemble, precision).clone()  # which autograd accepts

    def enlarged(self, image: Levels, scale: int) -> Levels:
        """As `Engine.enlarged`."""
        large = torch.from_numpy(image).permute(2, 0, 1)[None]
        large = functional.interpolate(large, scale_factor=scale, mode="bilinear", align_corners=False)
        result: Levels = large[0].permute(1, 2, 0).numpy()
        return result

    @torch.inference_mode()
    def _restore_batch(self, degraded: Tensor, self_ensemble: bool, precision: str) -> Tensor:
        """A tensor of inference mode."""
        net, channels = self.network, degraded.shape[1]
        check_channels(channels, net)
        x = degraded.to(self.device, torch.float32).expand(-1, net.channels, -1, -1)
        if self_ensemble:
            restored = mean_over_orientations(lambda x: self._restore_whole(x, precision), x, net.scale, self.task)
        else:
            restored = self._restore_whole(x, precision)
        if channels != net.channels:
            restored = restored.mean(1, keepdim=True)
        if not _is_finite(restored):
            raise not_finite()
        return restored

    def _restore_whole(self, x: Tensor, precision: str) -> Tensor:
        net = self.network
        height, width = x.shape[2:]
        x = pad(x, *(round_up(max(side, net.min_size), net.size_multiple) for side in (height, width)))
        if self.device.type == "cpu":
            x = x.contiguous(memory_format=torch.channels_last)
        return self._forward(x, precision)[..., : net.scale * height, : net.scale * width]

    def _forward(self, x: Tensor, precision: str) -> Tensor:
        """The network's result in float32. If it is not finite in a lower precision, compute again in float32."""
        if precision != "float32":
            with torch.autocast(self.device.type, getattr(torch, precision)):
                restored = self._run(x).float()
            if _is_finite(restored):
                return restored
        return self._run(x)


def checked_batch(degraded: Tensor) -> Tensor:
    """A batch of pictures, checked to be one.

    Raises:
        UsageError: It is none.
    """
    if not (isinstance(degraded, Tensor) and degraded.is_floating_point() and degraded.ndim == 4):
        shown = f"{degraded.dtype} of {tuple(degraded.shape)}" if isinstance(degraded, Tensor) else type(degraded)
        raise UsageError(f"{shown} is no batch of pictures", hint="give (B, C, H, W) of floats in [0, 1]")
    if not degraded.numel():
        raise UsageError(f"a batch of {tuple(degraded.shape)} is empty", hint="give at least one picture")
    return degraded


def _compiled(network: Network) -> Callable[[Tensor], Tensor]:
    compiled = torch.compile(network)

    def run(x: Tensor) -> Tensor:
        try:
            result: Tensor = compiled(x)
        except torch._dynamo.exc.TorchDynamoException as error:  # here, because its name imports much
            raise RestoreError(
                f"the network cannot be compiled here ({type(error).__name__})",
                hint="leave out --compile; it needs a C++ compiler, and on CPUs it gains nothing",
            ) from error
        return result

    return run


def _is_finite(x: Tensor) -> bool:
    """Whether no value is NaN or infinity; the sum tells, unless it overflows."""
    return bool(x.sum().isfinite()) or bool(x.isfinite().all())

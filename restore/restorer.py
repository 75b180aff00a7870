"""A network, its weights and a device, put to work on a whole picture."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from restore.devices import AUTO_TILE, pick_device
from restore.errors import RestoreError, UsageError
from restore.networks.base import Network
from restore.tiling import Axis, Blender, plan_axis, round_up, widen

if TYPE_CHECKING:
    from restore.catalogue import WeightsEntry
    from restore.images import Picture


class Restorer:
    """Restores tensors and pictures with one network.

    Args:
        network: Moved to the device and set to evaluation mode, in place.
        device: A device, or its name for `pick_device`.
        entry: Where the weights come from, if they are in the catalogue.
        precision: `float32`, or `bfloat16` or `float16`: what autocast computes in. What then comes out with NaN or
            infinity is computed again in float32.
        compile_network: Compile the network at its first run (`torch.compile`, anew for every size of tile). That takes
            a C++ compiler and up to minutes; on a CPU it was no faster afterwards (docs/performance.md).

    Raises:
        DeviceError: The device is not there.
    """

    def __init__(
        self,
        network: Network,
        *,
        device: str | torch.device = "auto",
        entry: WeightsEntry | None = None,
        precision: str = "float32",
        compile_network: bool = False,
    ) -> None:
        self.precision = precision
        self.device = pick_device(device) if isinstance(device, str) else device
        self.network = network.to(self.device, torch.float32).eval()
        self.entry = entry
        self._run: Callable[[Tensor], Tensor] = torch.compile(self.network) if compile_network else self.network

    @torch.inference_mode()
    def restore_tensor(self, degraded: Tensor) -> Tensor:
        """Restore a batch as whole images.

        The right and bottom are padded to what the network takes and cropped afterwards. Grey images run through an
        RGB network as three equal channels, and the mean of its three results is returned.

        Args:
            degraded: `(B, C, H, W)` in [0, 1], any side, on any device.

        Returns:
            `(B, C, scale * H, scale * W)` float32 on the restorer's device, not clamped.

        Raises:
            RestoreError: RGB images for a grey network, or a result that is not finite.
        """
        net = self.network
        channels, height, width = degraded.shape[1:]
        if channels not in (1, net.channels):
            raise RestoreError(
                f"these weights restore images of {net.channels} channel(s), not of {channels}",
                hint="convert the picture to grey, or choose weights for RGB (see `restore weights list`)",
            )
        x = degraded.to(self.device, torch.float32).expand(-1, net.channels, -1, -1)
        x = _pad(x, *(round_up(max(side, net.min_size), net.size_multiple) for side in (height, width)))
        if self.device.type == "cpu":
            x = x.contiguous(memory_format=torch.channels_last)
        restored = self._forward(x)[..., : net.scale * height, : net.scale * width]
        if channels != net.channels:
            restored = restored.mean(1, keepdim=True)
        if not restored.isfinite().all():
            raise RestoreError("the network's result holds NaN or infinity", hint="check the weights")
        return restored

    def _forward(self, x: Tensor) -> Tensor:
        """The network's result in float32; finite if it is so in float32."""
        try:
            if self.precision != "float32":
                with torch.autocast(self.device.type, getattr(torch, self.precision)):
                    restored = self._run(x).float()
                if restored.isfinite().all():
                    return restored
            return self._run(x)
        except torch._dynamo.exc.TorchDynamoException as error:
            raise RestoreError(
                f"the network cannot be compiled here: {str(error).partition(chr(10))[0]}", hint="leave out --compile"
            ) from error

    def restore_picture(
        self,
        picture: Picture,
        *,
        tile: int | Literal["auto"] = "auto",
        overlap: int = 32,
        strength: float = 1.0,
        progress: Callable[[int, int], None] | None = None,
    ) -> Picture:
        """Restore a picture, in tiles where it is large; the same input gives the same output.

        The peak of memory is the picture, the result in the same depth, what one tile takes in the network, and the
        overlap of one row of tiles.

        Args:
            picture: Its alpha and all that is not pixels are carried over as they are.
            tile: Largest side of a tile in pixels, or "auto": chosen for the device, and the whole picture in one where
                it is no larger than such a tile.
            overlap: Pixels that neighbouring tiles share at least; more where the network's halo needs more.
            strength: 0 returns the input, 1 the network's result, and what is between mixes them.
            progress: Called after each tile with the number done and the number in all.

        Raises:
            UsageError: A number is out of its range, or the tile too small for the network and the overlap.
            RestoreError: The network does not fit the picture.
        """
        scale = self.network.scale
        if not 0 <= strength <= 1:
            raise UsageError(f"strength is between 0 and 1, not {strength:g}")
        if scale != 1 and strength != 1:
            raise UsageError("strength cannot mix a picture with a larger one", hint="leave out --strength")
        if scale != 1 and picture.alpha is not None:
            raise RestoreError("a picture with transparency cannot be enlarged yet", hint="remove its alpha channel")
        height, width, channels = picture.pixels.shape
        rows, columns = self._plan(height, width, tile, overlap)
        if strength == 0:
            return dataclasses.replace(picture)

        out = np.empty((scale * height, scale * width, channels), picture.pixels.dtype)
        blender = Blender(rows.scaled(scale), columns.scaled(scale), out)
        done, total = 0, len(rows.starts) * len(columns.starts)
        for row, top in enumerate(rows.starts):
            for column, left in enumerate(columns.starts):
                pixels = picture.pixels[top : top + rows.side, left : left + columns.side]
                blender.add(row, column, self._restore_pixels(pixels, strength))
                done += 1
                if progress is not None:
                    progress(done, total)
        return dataclasses.replace(picture, pixels=out)

    def _plan(self, height: int, width: int, tile: int | Literal["auto"], overlap: int) -> tuple[Axis, Axis]:
        """The cuts from top to bottom and from left to right."""
        net = self.network
        if overlap < 1:
            raise UsageError(f"overlap is at least 1 pixel, not {overlap}: tiles that do not overlap show as a grid")
        # Below twice the overlap every pixel would be computed more than four times.
        least = round_up(
            max(2 * round_up(widen(overlap, net.halo), net.size_multiple), net.min_size), net.size_multiple
        )
        if tile == "auto":
            largest = AUTO_TILE[self.device.type]
            limit = max(min(largest, net.largest_auto_tile or largest), least)
            if height * width <= limit**2:
                limit = max(limit, height + net.size_multiple, width + net.size_multiple)
        elif tile >= least:
            limit = tile
        else:
            raise UsageError(
                f"tiles of {tile} pixels are too small for these weights with an overlap of {overlap}",
                hint=f"use --tile {least} or more, or a smaller --overlap",
            )
        rows, columns = (
            plan_axis(
                length,
                tile=limit,
                overlap=overlap,
                multiple=net.size_multiple,
                smallest=net.min_size,
                halo=net.halo,
            )
            for length in (height, width)
        )
        return rows, columns

    def _restore_pixels(self, pixels: npt.NDArray[Any], strength: float) -> npt.NDArray[np.float32]:
        """One tile: `(h, w, C)` uint8 or uint16 to `(scale * h, scale * w, C)` float32, nominally in [0, 1]."""
        levels = pixels.astype(np.float32)
        levels /= np.iinfo(pixels.dtype).max
        degraded = torch.from_numpy(levels).permute(2, 0, 1)[None]
        restored = self.restore_tensor(degraded).cpu()
        if strength != 1:
            restored = degraded + strength * (restored - degraded)
        result: npt.NDArray[np.float32] = restored[0].permute(1, 2, 0).numpy()
        return result


def _pad(images: Tensor, height: int, width: int) -> Tensor:
    """Extend `(B, C, H, W)` at the bottom and right to `(B, C, height, width)`."""
    # Reflection needs pad < size; the rest of a very thin image is replicated.
    down, right = (min(want - have, have - 1) for want, have in zip((height, width), images.shape[2:], strict=True))
    images = functional.pad(images, (0, right, 0, down), mode="reflect")
    return functional.pad(images, (0, width - images.shape[3], 0, height - images.shape[2]), mode="replicate")

"""A network, its weights and a device, put to work on a whole picture."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from restore import checkpoints
from restore.checkpoints.hub import Address
from restore.errors import DeviceError, RestoreError, UsageError
from restore.inference.devices import AUTO_TILES, has_native_bfloat16, pick_device
from restore.inference.memory import free_memory, held_memory, is_out_of_memory, need_of
from restore.inference.precision import check_precision, takes_bfloat16
from restore.inference.tiling import Axis, Blender, Seam, plan_axis, round_up, widen
from restore.networks.base import Network
from restore.tasks import TASKS

if TYPE_CHECKING:
    from restore.checkpoints.catalogue import WeightsEntry
    from restore.images import Picture


@dataclass(frozen=True)
class Restored:
    """A restored picture, and how it was made.

    Attributes:
        picture: The picture.
        tile: Height and width of the tiles, in pixels of the input; the smallest if memory ran out on the way.
        tiles: How many; 1 where the picture was restored whole, 0 where the network had nothing to do.
        seam: How much neighbouring tiles disagreed where they overlap; None where there was one.
        precision: What the network computed in; None where it had nothing to do.
    """

    picture: Picture
    tile: tuple[int, int]
    tiles: int
    seam: Seam | None
    precision: str | None = None


class Restorer:
    """Restores tensors and pictures with one network.

    Args:
        network: Moved to the device and set to evaluation mode, in place.
        device: A device, or its name for `pick_device`.
        entry: Where the weights come from, if they are in the catalogue.
        task: What they do, a key of `TASKS`: a self-ensemble treats rain and mosaics in ways of their own.
        precision: `float32`, or `bfloat16` or `float16`: what autocast computes in. What then comes out with NaN or
            infinity is computed again in float32. `auto` is bfloat16 for pictures of 8 bits, where the device computes
            it natively and the entry says that the weights lose less than 0.02 dB; else float32.
        compile_network: Compile the network at its first run (`torch.compile`, anew for every size of tile). That takes
            a C++ compiler and up to minutes; on a CPU it was no faster afterwards (docs/performance.md).

    Raises:
        DeviceError: The device is not there.
        UsageError: There is no such precision.
    """

    def __init__(
        self,
        network: Network,
        *,
        device: str | torch.device = "auto",
        entry: WeightsEntry | None = None,
        task: str | None = None,
        precision: str = "auto",
        compile_network: bool = False,
    ) -> None:
        check_precision(precision)
        self.precision = precision
        self.device = pick_device(device) if isinstance(device, str) else device
        self.network = network.to(self.device, torch.float32).eval()
        self.entry, self.task = entry, TASKS[task] if task else None
        self._run: Callable[[Tensor], Tensor] = self._compiled() if compile_network else self.network
        self._is_bfloat16_better = takes_bfloat16(entry) and has_native_bfloat16(self.device)
        self._need = need_of(network)
        self._idle_bytes = held_memory()

    @classmethod
    def from_pretrained(
        cls,
        repo: str,
        revision: str | None = None,
        file: str | None = None,
        device: str | torch.device = "auto",
        *,
        precision: str = "auto",
    ) -> Restorer:
        """A restorer with weights from the Hugging Face Hub, or from its cache on this machine.

        Args:
            repo: `owner/name`.
            revision: A commit, branch or tag; None for `main`. Only a commit always means the same weights.
            file: Path in the repository; None for model.safetensors, or the only safetensors file there is.
            device: A device, or its name for `pick_device`.
            precision: As for `Restorer`. `auto` is float32: nobody measured these weights.

        Raises:
            WeightsError: The weights cannot be found, fetched, verified or loaded.
            DeviceError: The device is not there.
            UsageError: There is no such precision.
        """
        network, info = checkpoints.load(str(Address(repo, revision, file)))
        return cls(network, device=device, entry=info.entry, task=info.task, precision=precision)

    def precision_for(self, depth: npt.DTypeLike) -> str:
        """What pixels of a type are computed in: `float32`, `bfloat16` or `float16`.

        Args:
            depth: Type of the pixels, such as `np.uint8`.
        """
        return self._resolved(None, depth)

    def _resolved(self, asked: str | None, depth: npt.DTypeLike) -> str:
        """The precision that is asked for, or the restorer's own; what `auto` means for pixels of this type."""
        precision = self.precision if asked is None else asked
        check_precision(precision)
        if precision != "auto":
            return precision
        # Only steps of 8 bits are coarser than what bfloat16 changes.
        return "bfloat16" if self._is_bfloat16_better and np.dtype(depth) == np.uint8 else "float32"

    @torch.inference_mode()
    def restore_tensor(self, degraded: Tensor, *, self_ensemble: bool = False, precision: str | None = None) -> Tensor:
        """Restore a batch as whole images.

        The right and bottom are padded to what the network takes and cropped afterwards. Grey images run through an
        RGB network as three equal channels, and the mean of its three results is returned.

        Args:
            degraded: `(B, C, H, W)` in [0, 1], any side, on any device.
            self_ensemble: Return the mean of what the network makes of the images turned and mirrored in all eight ways
                (Lim et al., EDSR, CVPRW 2017, Section 3.4), or, where the task is to remove rain, in the four that do
                not lay them on their side: eight or four times the time.
            precision: As for the class; None is the restorer's own. `auto` is float32 here, for the
                images are floats; where they were 8 bits before, give `precision_for(np.uint8)`.

        Returns:
            `(B, C, scale * H, scale * W)` float32 on the restorer's device, not clamped.

        Raises:
            RestoreError: RGB images for a grey network, or a result that is not finite.
        """
        net = self.network
        channels = degraded.shape[1]
        if channels not in (1, net.channels):
            raise RestoreError(
                f"these weights restore images of {net.channels} channel(s), not of {channels}",
                hint="convert the picture to grey, or choose weights for RGB (see `restore weights list`)",
            )
        x = degraded.to(self.device, torch.float32).expand(-1, net.channels, -1, -1)
        precision = self._resolved(precision, np.float32)
        restored = self._mean_over_orientations(x, precision) if self_ensemble else self._restore_whole(x, precision)
        if channels != net.channels:
            restored = restored.mean(1, keepdim=True)
        if not _is_finite(restored):
            raise RestoreError("the network's result holds NaN or infinity", hint="check the weights")
        return restored

    def _mean_over_orientations(self, x: Tensor, precision: str) -> Tensor:
        height, width = (self.network.scale * side for side in x.shape[2:])
        if self.task and self.task.takes_mosaic:  # with odd sides RGGB stays RGGB however it is turned
            x = _pad(x, *(side | 1 for side in x.shape[2:]))
        turns = (0, 2) if self.task and self.task.is_upright else (0, 1, 2, 3)
        total: Tensor | None = None
        for turn, is_mirrored in itertools.product(turns, (False, True)):
            restored = x.rot90(turn, (2, 3))
            restored = self._restore_whole(restored.flip(3) if is_mirrored else restored, precision)
            restored = (restored.flip(3) if is_mirrored else restored).rot90(-turn, (2, 3))
            total = restored if total is None else total.add_(restored)
        assert total is not None
        return total.div_(2 * len(turns))[..., :height, :width]

    def _restore_whole(self, x: Tensor, precision: str) -> Tensor:
        net = self.network
        height, width = x.shape[2:]
        x = _pad(x, *(round_up(max(side, net.min_size), net.size_multiple) for side in (height, width)))
        if self.device.type == "cpu":
            x = x.contiguous(memory_format=torch.channels_last)
        return self._forward(x, precision)[..., : net.scale * height, : net.scale * width]

    def _forward(self, x: Tensor, precision: str) -> Tensor:
        """The network's result in float32; finite if it is so in float32."""
        if precision != "float32":
            with torch.autocast(self.device.type, getattr(torch, precision)):
                restored = self._run(x).float()
            if _is_finite(restored):
                return restored
        return self._run(x)

    def _compiled(self) -> Callable[[Tensor], Tensor]:
        compiled = torch.compile(self.network)

        def run(x: Tensor) -> Tensor:
            try:
                result: Tensor = compiled(x)
            except torch._dynamo.exc.TorchDynamoException as error:  # naming it imports much, so not elsewhere
                raise RestoreError(
                    f"the network cannot be compiled here: {str(error).partition(chr(10))[0]}",
                    hint="leave out --compile",
                ) from error
            return result

        return run

    def __call__(
        self,
        image: Any,
        *,
        tile: int | Literal["auto"] = "auto",
        overlap: int = 32,
        strength: float = 1.0,
        self_ensemble: bool = False,
        memory: int | None = None,
    ) -> Any:
        """Restore a picture and return it as it was given.

        >>> import numpy as np, restore
        >>> restorer = restore.load("cs-kit-s-denoise", device="cpu")
        >>> noisy = np.random.default_rng(0).normal(128, 25, (64, 96, 3)).clip(0, 255).astype(np.uint8)
        >>> restored = restorer(noisy)
        >>> restored.shape, restored.dtype, bool(restored.std() < 0.2 * noisy.std())
        ((64, 96, 3), dtype('uint8'), True)

        Args:
            image: The path of a file; a Pillow image; an array `(H, W)` or `(H, W, C)`, or a tensor `(C, H, W)` or
                `(B, C, H, W)`, of uint8, uint16 (arrays only) or floats in [0, 1]. C is 1 or 3, and with transparency
                2 or 4.
            tile, overlap, strength, self_ensemble, memory: As for `restore_picture`.

        Returns:
            What was given: an image, an array, or a tensor on the device where it was, of the same type and, times the
            network's scale, size; floats are not clipped. For a path a Pillow image of 8 bits a channel.

        Raises:
            UsageError: It is no picture, or an option is out of its range.
            PictureError: The file cannot be read.
            RestoreError: As `restore_picture`.
        """
        options: dict[str, Any] = {
            "tile": tile, "overlap": overlap, "strength": strength, "self_ensemble": self_ensemble, "memory": memory
        }  # fmt: skip
        if isinstance(image, Tensor) and image.ndim == 4:
            return torch.stack([self(one, **options) for one in image])
        from restore.images.arrays import taken

        picture, back = taken(image)
        return back(self.restore_picture(picture, **options).picture)

    def restore_picture(
        self,
        picture: Picture,
        *,
        tile: int | Literal["auto"] = "auto",
        overlap: int = 32,
        strength: float = 1.0,
        self_ensemble: bool = False,
        memory: int | None = None,
        precision: str | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Restored:
        """Restore a picture, in tiles where it is large; the same input and tile give the same output.

        The peak of memory is the picture, the result in the same depth, what one tile takes in the network, and the
        overlap of one row of tiles. Where memory runs out all the same, what is left is done in tiles of half the side,
        and half again; the picture's notes say so.

        A black-and-white picture comes out with equal channels, also where it came as RGB, or as a JPEG whose rounding
        has moved its channels apart by up to 2 of 255.

        Args:
            picture: All that is not pixels is carried over; its alpha is too, or enlarged with them (bicubic).
            tile: Largest side of a tile in pixels, or "auto": the largest that is worth while on the device
                (`devices.AUTO_TILES`) and fits into free memory; the whole picture where it is no larger than that.
            overlap: Pixels that neighbouring tiles share at least; more where the network's halo needs more.
            strength: 0 returns the input, 1 the network's result, and what is between mixes them.
            self_ensemble: As for `restore_tensor`, tile by tile.
            memory: Bytes that may be used for automatic tiles: by this process, or on the GPU.
            precision: As for the class; None is the restorer's own.
            progress: Called after each tile with the number done and the number in all.

        Raises:
            UsageError: A number is out of its range, or the tile too small for the network and the overlap.
            DeviceError: The memory is not enough even for the smallest tiles.
            RestoreError: The network does not fit the picture.
        """
        scale = self.network.scale
        if not 0 <= strength <= 1:
            raise UsageError(f"strength is between 0 and 1, not {strength:g}")
        if scale != 1 and strength != 1:
            raise UsageError("strength cannot mix a picture with a larger one", hint="leave out --strength")
        if overlap < 1:
            raise UsageError(f"overlap is at least 1 pixel, not {overlap}: tiles that do not overlap show as a grid")
        height, width, channels = picture.pixels.shape
        least = self._smallest_tile(overlap)
        if tile == "auto":
            side = self._largest_tile(picture, least, overlap, memory)
        elif tile >= least:
            side = tile
        else:
            raise UsageError(
                f"tiles of {tile} pixels are too small for these weights with an overlap of {overlap}",
                hint=f"use --tile {least} or more, or a smaller --overlap",
            )
        if strength == 0:
            return Restored(dataclasses.replace(picture), (height, width), 0, None)

        restored = dataclasses.replace(picture, notes=list(picture.notes))
        try:
            restored.pixels = np.empty((scale * height, scale * width, channels), picture.pixels.dtype)
            if picture.alpha is not None and scale != 1:
                restored.alpha = _enlarged(picture.alpha, scale)
        except MemoryError as error:
            raise DeviceError(
                f"there is not enough memory for the result, {scale * width} x {scale * height} pixels",
                hint="close other programs, or split the picture",
            ) from error

        peak, precision = picture.peak, self._resolved(precision, picture.pixels.dtype)
        is_neutral = not (self.task and self.task.takes_mosaic) and _is_neutral(picture.pixels)
        rows, columns = self._cut(height, side, overlap), self._cut(width, side, overlap)
        blender = Blender(rows.scaled(scale), columns.scaled(scale), restored.pixels, peak)
        row = done = 0
        while row < len(rows.starts):
            total = done + (len(rows.starts) - row) * len(columns.starts)
            try:
                top = rows.starts[row]
                for column, left in enumerate(columns.starts):
                    pixels = picture.pixels[top : top + rows.side, left : left + columns.side].astype(np.float32)
                    if is_neutral:
                        pixels = pixels.mean(axis=2, keepdims=True, dtype=np.float64).astype(np.float32)
                    pixels = self._restore_pixels(pixels, peak, strength, self_ensemble, precision)
                    blender.add(row, column, np.repeat(pixels, 3, axis=2) if is_neutral else pixels)
                    if progress is not None:
                        progress(done + column + 1, total)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                side = max(rows.side, columns.side)
                if side <= least:
                    raise DeviceError(
                        f"memory ran out, even with tiles of {side} pixels",
                        hint="close other programs" + ("" if self.device.type == "cpu" else ", or use --device cpu"),
                    ) from None
            else:
                row, done = row + 1, done + len(columns.starts)
                continue
            # Only here, when the exception no longer holds the tensors of its frames.
            self._forget()
            side = max(least, side // 2)
            restored.note(f"memory ran out; the rest was restored in tiles of {side} pixels")
            rows, columns = self._cut(height, side, overlap, rows, row), self._cut(width, side, overlap)
            blender.cut(rows.scaled(scale), columns.scaled(scale))
            row = 0
        tile_size = min(rows.side, height), min(columns.side, width)
        return Restored(restored, tile_size, done, blender.seam, precision)

    def _smallest_tile(self, overlap: int) -> int:
        """Side of the smallest tiles: below twice the overlap every pixel would be computed more than four times."""
        net = self.network
        shared = round_up(widen(overlap, net.halo), net.size_multiple)
        return round_up(max(2 * shared, net.min_size), net.size_multiple)

    def _computed(self, length: int, side: int, overlap: int) -> int:
        """Pixels along one axis that tiles of up to `side` compute together."""
        cut = self._cut(length, side, overlap)
        return len(cut.starts) * cut.side

    def _largest_tile(self, picture: Picture, least: int, overlap: int, memory: int | None) -> int:
        """Side of automatic tiles, or a longer one than the picture's to restore it whole."""
        net = self.network
        height, width = picture.pixels.shape[:2]
        most = min(AUTO_TILES[self.device.type][0], net.largest_auto_tile or height + width)
        sides = [side for side in (most, *AUTO_TILES[self.device.type]) if least <= side <= most] or [least]
        if height * width <= max(sides[0], least) ** 2:
            sides.insert(0, max(least, height + net.size_multiple, width + net.size_multiple))
        room = self._room(picture, memory)
        fitting = [side for side in sides if self._need.of(min(side, height) * min(side, width)) <= room]
        if fitting:
            # The large ones cost about the same a pixel, so what counts is how many are computed twice.
            large = (side for side in fitting if side >= 0.75 * fitting[0])
            return min(large, key=lambda side: math.prod(self._computed(n, side, overlap) for n in (height, width)))
        smallest = self._need.of(min(sides[-1], height) * min(sides[-1], width))
        if memory is not None:
            raise DeviceError(
                f"{memory / 1e6:,.0f} MB are not enough: the smallest tiles of this picture need "
                f"{(memory - room + smallest) / 1e6:,.0f} MB",
                hint=f"use --memory {-(-(memory - room + smallest) // 10**8) / 10:.1f}G or more",
            )
        return sides[-1]  # what is free is not always known; if it really is too little, that shows

    def _room(self, picture: Picture, memory: int | None) -> float:
        """Bytes that a tile may take in the network."""
        free = 0.9 * free_memory(self.device)
        if self.device.type != "cpu":
            return free if memory is None else min(free, memory)
        sizes = picture.pixels.nbytes + (0 if picture.alpha is None else picture.alpha.nbytes)
        # The result; while a folder is restored, also a picture read ahead and a result still to be written.
        others = sizes + 2 * self.network.scale**2 * sizes
        kept = max(0, held_memory() - self._idle_bytes - sizes)  # by the allocator, from the last picture
        room = free + kept - others
        return room if memory is None else min(room, memory - self._idle_bytes - sizes - others)

    def _cut(self, length: int, side: int, overlap: int, old: Axis | None = None, done: int = 0) -> Axis:
        """The cuts along one axis; below the first `done` tiles of `old` where that is given."""
        net = self.network
        start = before = 0
        if old is not None:
            start = old.starts[done]
            before = old.starts[done - 1] + old.side if done else old.before
        return plan_axis(
            length,
            tile=side,
            overlap=overlap,
            multiple=net.size_multiple,
            grid=net.tile_grid,
            smallest=net.min_size,
            halo=net.halo,
            start=start,
            before=before,
        )

    def _forget(self) -> None:
        """Give back what a failed tile left behind."""
        if self.device.type != "cpu":
            getattr(torch, self.device.type).empty_cache()

    def _restore_pixels(
        self, levels: npt.NDArray[np.float32], peak: float, strength: float, self_ensemble: bool, precision: str
    ) -> npt.NDArray[np.float32]:
        """One tile: `(h, w, C)`, which is overwritten, to `(scale * h, scale * w, C)`, nominally in [0, 1]."""
        levels /= peak
        degraded = torch.from_numpy(levels).permute(2, 0, 1)[None]
        restored = self.restore_tensor(degraded, self_ensemble=self_ensemble, precision=precision).cpu()
        if strength != 1:
            restored = degraded + strength * (restored - degraded)
        result: npt.NDArray[np.float32] = restored[0].permute(1, 2, 0).numpy()
        return result


def _enlarged(alpha: npt.NDArray[Any], scale: int) -> npt.NDArray[Any]:
    import cv2  # 0.1 s that other pictures need not pay

    height, width = alpha.shape
    return cv2.resize(alpha, (scale * width, scale * height), interpolation=cv2.INTER_CUBIC)


def _is_neutral(pixels: npt.NDArray[Any]) -> bool:
    """Whether RGB pixels `(H, W, 3)` are a black-and-white picture: equal channels, or in 8 bits as equal as JPEG's
    rounding of the two colour differences leaves them.
    """
    if pixels.shape[2] != 3:
        return False
    most = 2 if pixels.dtype == np.uint8 else 0
    step = max(1, len(pixels) // 8)
    for rows in (pixels[::step], pixels):  # a few rows tell nearly every picture of colours
        for top in range(0, len(rows), 256):
            red, green, blue = np.moveaxis(rows[top : top + 256], 2, 0)
            least = np.minimum(np.minimum(red, green), blue)
            if (np.maximum(np.maximum(red, green), blue) - least).max() > most:
                return False
    return True


def _is_finite(x: Tensor) -> bool:
    """Whether no value is NaN or infinity: then the sum is neither, unless it overflows."""
    return bool(x.sum().isfinite()) or bool(x.isfinite().all())


def _pad(images: Tensor, height: int, width: int) -> Tensor:
    """Extend `(B, C, H, W)` at the bottom and right to `(B, C, height, width)`."""
    if images.shape[2:] == (height, width):
        return images
    # Reflection needs pad < size; the rest of a very thin image is replicated.
    down, right = (min(want - have, have - 1) for want, have in zip((height, width), images.shape[2:], strict=True))
    images = functional.pad(images, (0, right, 0, down), mode="reflect")
    return functional.pad(images, (0, width - images.shape[3], 0, height - images.shape[2]), mode="replicate")

"""A network with its weights and a device, applied to whole pictures."""

from __future__ import annotations

import dataclasses
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Unpack, cast, overload

import numpy as np
import numpy.typing as npt

from restore.checkpoints.hub import Address
from restore.errors import DeviceError, UsageError, said_in_python
from restore.images.neutral import is_neutral
from restore.inference.call_types import CallOptions, File, Values
from restore.inference.checked_options import check_options
from restore.inference.devices import has_native_bfloat16
from restore.inference.engine import Engine
from restore.inference.exposure import Exposure
from restore.inference.hidden_colours import fill_hidden, put_back_hidden
from restore.inference.memory import held_memory, is_out_of_memory
from restore.inference.onnx_engine import OnnxEngine, OnnxNetwork
from restore.inference.precision import check_precision_of, takes_bfloat16
from restore.inference.region import Place, Region, place_in
from restore.inference.restored import Restored
from restore.inference.tile_size import TileSizes, automatic_side
from restore.inference.tiled_run import Levels, TiledRun
from restore.inference.watching import Progress, watched
from restore.tasks import TASKS, Task

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image as PillowImage
    from torch import Tensor

    from restore.checkpoints.catalogue import WeightsEntry
    from restore.checkpoints.loading import ResolvedWeights
    from restore.images import Picture
    from restore.inference.pieces import Piece
    from restore.networks.base import Network


class Restorer:
    """Restores tensors and pictures with one network.

    Args:
        network: Moved to the device and set to evaluation mode, in place. Or an exported network, which ONNX Runtime
            computes in float32.
        device: A device, or its name for `pick_device`.
        entry: The catalogue's entry of the weights, if there is one.
        task: The task of the weights, a key of `TASKS`. A self-ensemble treats rain and mosaics differently.
        precision: What autocast computes in: `float32`, `bfloat16`, `float16` or `auto`. Results with NaN or infinity
            are computed again in float32. `auto` is bfloat16 for 8-bit pictures, where the device computes it natively
            and the entry says that the weights lose less than 0.02 dB. Elsewhere it is float32.
        weights: The file that the network was loaded from, for `push_to_hub`.
        compile_network: Compile the network at its first run, once per tile size (`torch.compile`). That takes a C++
            compiler and up to minutes. On a CPU it gains no speed (docs/performance.md).

    Raises:
        DeviceError: The device is not available.
        UsageError: The precision is unknown.
    """

    def __init__(
        self,
        network: Network | OnnxNetwork,
        *,
        device: str | torch.device = "auto",
        entry: WeightsEntry | None = None,
        task: str | None = None,
        weights: ResolvedWeights | None = None,
        precision: str = "auto",
        compile_network: bool = False,
    ) -> None:
        check_precision_of(network, precision)
        self.precision, self.entry, self.weights = precision, entry, weights
        self.task = TASKS[task] if task else None
        self._engine = _engine(network, device, self.task, compile_network=compile_network)
        self.network, self.device = network, self._engine.device
        # Only where it can be chosen: the question needs torch.
        has_bfloat16 = "bfloat16" in network.precisions and takes_bfloat16(entry)
        self._is_bfloat16_better = has_bfloat16 and has_native_bfloat16(cast("torch.device", self.device))
        self._need = self._engine.need
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
            file: Path in the repository; None for model.safetensors, or else the only safetensors file.
            device: A device, or its name for `pick_device`.
            precision: As for `Restorer`. `auto` is float32, because the loss of these weights is not measured.

        Raises:
            WeightsError: The weights cannot be found, downloaded, verified or loaded.
            DeviceError: The device is not available.
            UsageError: The precision is unknown.
        """
        from restore import checkpoints

        network, info = checkpoints.load(str(Address(repo, revision, file)))
        return cls(network, device=device, entry=info.entry, task=info.task, weights=info.weights, precision=precision)

    def push_to_hub(
        self, repo: str, *, licence: str | None = None, private: bool = False, message: str | None = None,
        datasets: Sequence[str] = (),
    ) -> str:  # fmt: skip
        """Publish the weights on the Hugging Face Hub, with config, model card and recipe, in one commit.

        What their file says of data, recipe, hours and scores goes along. If the network has changed since it was
        loaded, that would not hold, and is left out. Needs `hf auth login` or HF_TOKEN.

        Args:
            repo: `owner/name`; created if it does not exist.
            licence: SPDX identifier, such as `Apache-2.0`; None: that of the catalogue.
            private: Whether only the owner may see it.
            message: The commit message.
            datasets: Datasets of the Hub that the weights were trained on, as `owner/name`.

        Returns:
            The address with the commit, `hf://owner/name@commit`.

        Raises:
            UsageError: The restorer has no task, or `repo` or `licence` is invalid.
            WeightsError: The weights have no licence that allows sharing, or the Hub refuses them.
        """
        from restore.checkpoints import pull_push

        if self.task is None:
            raise UsageError("this restorer has no task", hint="give Restorer(..., task=...), or use restore.load")
        if isinstance(self.network, OnnxNetwork):
            raise UsageError("only weights of torch are published so", hint="load the .safetensors file")
        address, _ = pull_push.push_network(
            self.network, self.task.name, self.weights, repo, private=private, message=message, licence=licence,
            datasets=datasets,
        )  # fmt: skip
        return str(address)

    def precision_for(self, depth: npt.DTypeLike) -> str:
        """The precision for pixels of a type: `float32`, `bfloat16` or `float16`.

        Args:
            depth: Type of the pixels, such as `np.uint8`.
        """
        return self._resolved(None, depth)

    def _resolved(self, asked: str | None, depth: npt.DTypeLike) -> str:
        """The precision asked for, or else the restorer's own, with `auto` decided by the type of the pixels."""
        precision = self.precision if asked is None else asked
        check_precision_of(self.network, precision)
        if precision != "auto":
            return precision
        # Only the steps of 8 bits are coarser than the error of bfloat16.
        return "bfloat16" if self._is_bfloat16_better and np.dtype(depth) == np.uint8 else "float32"

    def restore_tensor(self, degraded: Tensor, *, self_ensemble: bool = False, precision: str | None = None) -> Tensor:
        """Restore a batch of whole images.

        Pads the right and bottom to a size that the network takes, and crops the result. A grey image runs through an
        RGB network as three equal channels; the mean of its three results is returned.

        Args:
            degraded: `(B, C, H, W)` floats, nominally in [0, 1], any side, on any device. No gradient flows back.
            self_ensemble: Average over 8 flips and rotations, or 4 for `derain` (see `self_ensemble.py`): 8 or 4 times
                the time.
            precision: As for the class; None is the restorer's own. Tensors hold floats, so `auto` is float32 here.
                For images that had 8 bits, pass `precision_for(np.uint8)`.

        Returns:
            `(B, C, scale * H, scale * W)` float32 on the restorer's device, not clamped.

        Raises:
            UsageError: It is not such a tensor.
            RestoreError: The images are RGB and the network is grey, or the result is not finite.
        """
        from restore.inference.torch_engine import checked_batch

        used = self._resolved(precision, np.float32)
        return self._engine.restore_tensor(checked_batch(degraded), self_ensemble=self_ensemble, precision=used)

    @property
    def threads(self) -> int:
        """CPU threads that the network uses."""
        return self._engine.threads

    @property
    def scale(self) -> int:
        """Size of the result over size of the input."""
        return self.network.scale

    def __repr__(self) -> str:
        name = self.entry.name if self.entry else type(self.network).__name__
        task = self.task.name if self.task else "no task"
        return f"<Restorer {name}: {task}, x{self.scale}, {self.device}, {self.precision}>"

    @overload
    def __call__(self, image: File, **options: Unpack[CallOptions]) -> PillowImage: ...

    @overload
    def __call__(self, image: PillowImage, **options: Unpack[CallOptions]) -> PillowImage: ...

    @overload
    def __call__(self, image: npt.NDArray[Values], **options: Unpack[CallOptions]) -> npt.NDArray[Values]: ...

    @overload
    def __call__(self, image: Tensor, **options: Unpack[CallOptions]) -> Tensor: ...

    @overload
    def __call__(self, image: Picture, **options: Unpack[CallOptions]) -> Picture: ...

    def __call__(
        self,
        image: Any,
        *,
        tile: int | Literal["auto"] = "auto",
        overlap: int = 32,
        strength: float = 1.0,
        self_ensemble: bool = False,
        memory: int | None = None,
        region: Region | str | Sequence[int] | None = None,
        progress: Progress | None = None,
        cancel: threading.Event | None = None,
    ) -> Any:
        """Restore a picture and return it in the type it came in. Threads may share a restorer.

        >>> import numpy as np, restore
        >>> restorer = restore.load("denoise", device="cpu")
        >>> noisy = np.random.default_rng(0).normal(128, 25, (64, 96, 3)).clip(0, 255).astype(np.uint8)
        >>> restored = restorer(noisy)
        >>> restored.shape, restored.dtype, bool(restored.std() < 0.2 * noisy.std())
        ((64, 96, 3), dtype('uint8'), True)

        Args:
            image: A file: its path, its bytes, or a binary stream. Or a Pillow image; a `Picture`; an array `(H, W)` or
                `(H, W, C)`; a tensor `(C, H, W)` or `(B, C, H, W)`. Types are uint8, uint16 (arrays only) and floats
                in [0, 1]. C is 1 or 3, or with transparency 2 or 4.
            tile, overlap, strength, self_ensemble, memory, region: As for `restore_picture`.
            progress: Called after each tile with the number of finished tiles and of all tiles. If it returns False,
                the work stops.
            cancel: Set it, from any thread, to stop after the current tile.

        Returns:
            An image, an array, or a tensor on its own device. It has the type of the input and `scale` times its size,
            or `scale` times the size of the region. Floats are not clipped. A file gives a Pillow image of 8 bits a
            channel, upright, whose `save` keeps profile, EXIF, XMP and resolution as far as Pillow can.

        Raises:
            UsageError: The input is not a picture, or an option is out of its range.
            PictureError: The file cannot be read.
            Cancelled: `progress` or `cancel` stopped the work.
            RestoreError: As for `restore_picture`.
        """
        options: dict[str, Any] = {
            "tile": tile, "overlap": overlap, "strength": strength, "self_ensemble": self_ensemble, "memory": memory,
            "region": region,
        }  # fmt: skip
        watch = watched(progress, cancel)
        if _is_batch(image):
            return self._restore_batch(image, watch, options)
        from restore.images.arrays import taken

        with said_in_python():
            picture, back = taken(image)
            return back(self.restore_picture(picture, progress=watch, **options).picture)

    def _restore_batch(self, images: Tensor, watch: Callable[[int, int], None] | None, options: Any) -> Tensor:
        """The images of a batch `(B, C, H, W)`, one after the other."""
        count = len(images)
        if not count:
            raise UsageError("the batch holds no picture", hint="give (B, C, H, W) with B of at least 1")
        import torch

        restored = []
        for index, image in enumerate(images):
            later = None if watch is None else partial(_in_batch, watch, index, count)
            restored.append(self(image, progress=later, **options))
        return torch.stack(restored)

    def restore_picture(
        self,
        picture: Picture,
        *,
        tile: int | Literal["auto"] = "auto",
        overlap: int = 32,
        strength: float = 1.0,
        self_ensemble: bool = False,
        memory: int | None = None,
        region: Region | str | Sequence[int] | None = None,
        precision: str | None = None,
        exposure: Exposure | None = None,
        is_grey: bool | None = None,
        piece: Piece | None = None,
        progress: Progress | None = None,
        cancel: threading.Event | None = None,
    ) -> Restored:
        """Restore a picture, in tiles where it is large. The same input and tile give the same output.

        Peak memory is the picture, the result in the same depth, what the network takes for one tile, and the overlap
        of one row of tiles. Hidden pixels cost one more copy of the picture. Where memory runs out, tiles get half the
        side, and half again. A note in the picture says so, and the result is the one of `tile` with that side: a
        network with a halo gives the same pixels in any tiles, any other begins again.

        Dark pictures are brightened for the network, and the result is darkened again (`Exposure`). Floats below 0 and
        above white (1) bypass it. No result is negative where the picture was not.

        A black-and-white picture comes out with equal channels. It may come as RGB, or as a JPEG whose rounding moved
        the channels apart by up to 2 of 255 (`is_neutral`).

        Args:
            picture: Everything but the pixels is carried over. Alpha and further channels are enlarged with the pixels
                (bicubic). Colours under alpha 0 do not reach the network; they stay as they are.
            tile: Largest side of a tile in pixels. "auto" is the fastest side on the device (`devices.AUTO_TILES`) that
                fits into free memory; a picture no larger than one tile is restored whole.
            overlap: Pixels that neighbouring tiles share at least; more where the network's halo needs more.
            strength: 0 returns the input, 1 the network's result; values between mix the two.
            self_ensemble: As for `restore_tensor`, for each tile.
            memory: Bytes that this process, or the GPU, may use, for automatic tiles.
            region: The part to restore: a `Region`, (left, top, width, height), or "center:512". It equals the same
                part of the whole result with the same tiles. Only tiles that add to it run.
            precision: As for the class; None is the restorer's own.
            exposure: Maps pixel values to the levels of the network; None is that of the picture.
            is_grey: Whether it is black and white in RGB; None is what `is_neutral` says.
            piece: What the picture is of a larger one, instead of `region` and `tile`.
            progress, cancel: As for a call.

        Raises:
            UsageError: An option is out of its range, or the tile too small for the network and the overlap.
            Cancelled: `progress` or `cancel` stopped the work.
            DeviceError: The memory is not enough even for the smallest tiles.
            PictureError: The region reaches beyond the picture.
            RestoreError: The network does not fit the picture.
        """
        scale, watch = self.network.scale, watched(progress, cancel)
        tile, overlap = check_options(
            tile=tile, overlap=overlap, strength=strength, self_ensemble=self_ensemble, memory=memory, scale=scale
        )
        place = place_in(picture, region) if piece is None else piece.local
        side = self.side_for(picture, tile, overlap, memory) if piece is None else piece.side
        if strength == 0:
            return Restored(place.cut(picture), (place.height, place.width), 0, None)

        with _enough_memory(picture, scale):
            restored = _unpainted(picture, scale, place)
            takes_mosaic = self.task is not None and self.task.takes_mosaic
            shown = _shown(picture, is_mosaic=takes_mosaic)
            chosen = exposure or Exposure.of(shown, is_mosaic=takes_mosaic)
            is_grey = not takes_mosaic and is_neutral(shown) if is_grey is None else is_grey
        used = self._resolved(precision, shown.dtype)
        run = TiledRun(
            lambda levels: self._restore_tile(levels, chosen, strength, self_ensemble, used),
            dataclasses.replace(picture, pixels=shown), restored, TileSizes(self.network, overlap), side, chosen.white,
            self.device, is_neutral=is_grey, place=place, piece=piece,
        )  # fmt: skip
        run.run(watch)
        if restored.alpha is not None and shown is not picture.pixels and not takes_mosaic:
            with _enough_memory(picture, scale):
                put_back_hidden(restored.pixels, restored.alpha, picture.pixels[place.slices])
        return Restored(restored, run.tile, run.done, run.seam, used, run.retiled)

    def side_for(self, picture: Picture, tile: int | Literal["auto"], overlap: int, memory: int | None) -> int:
        """Largest side of the tiles for a picture, in pixels. Arguments and errors as for `restore_picture`."""
        sizes = TileSizes(self.network, overlap)
        if tile == "auto":
            return automatic_side(sizes, picture, self.device, self._need, self._idle_bytes, memory)
        return sizes.checked(tile)

    def _restore_tile(
        self, values: Levels, exposure: Exposure, strength: float, self_ensemble: bool, precision: str
    ) -> Levels:
        """One tile: `(h, w, C)` pixel values, overwritten, to `(scale * h, scale * w, C)`, nominally in [0, 1]."""
        levels, excess = exposure.split(values)
        degraded = levels.transpose(2, 0, 1)[None]
        restored = self._engine.restore(degraded, self_ensemble=self_ensemble, precision=precision)
        if strength != 1:
            restored = degraded + np.float32(strength) * (restored - degraded)
        if excess is not None and self.scale != 1:  # not bicubic, which would leave a dark ring round each light
            excess = self._engine.enlarged(excess, self.scale)
        return exposure.join(restored[0].transpose(1, 2, 0), excess)


def _engine(
    network: Network | OnnxNetwork, device: str | torch.device, task: Task | None, *, compile_network: bool
) -> Engine:
    """What computes the network."""
    if isinstance(network, OnnxNetwork):
        if compile_network:
            raise UsageError("ONNX Runtime compiles its networks itself", hint="leave out --compile")
        return OnnxEngine(network, str(device), task)
    from restore.inference.torch_engine import TorchEngine

    return TorchEngine(network, device, task, compile_network=compile_network)


def _is_batch(image: Any) -> bool:
    """Whether an image is a tensor `(B, C, H, W)`."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(image, torch.Tensor) and image.ndim == 4


def _in_batch(watch: Callable[[int, int], None], index: int, count: int, done: int, total: int) -> None:
    """Progress of picture `index` of a batch, all of one size."""
    watch(index * total + done, count * total)


@contextmanager
def _enough_memory(picture: Picture, scale: int) -> Iterator[None]:
    """Tells a failed allocation of a whole picture as a DeviceError."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        height, width = picture.pixels.shape[:2]
        raise DeviceError(
            f"there is not enough memory for the result, {scale * width} x {scale * height} pixels",
            hint="close other programs, or split the picture",
        ) from error


def _shown(picture: Picture, *, is_mosaic: bool) -> npt.NDArray[Any]:
    """The pixels that the network sees: those under full transparency are filled."""
    return picture.pixels if picture.alpha is None else fill_hidden(picture.pixels, picture.alpha, is_mosaic=is_mosaic)


def _unpainted(picture: Picture, scale: int, place: Place) -> Picture:
    """A copy of this place, of `scale` times the size, its pixels allocated and not yet set."""
    height, width, channels = picture.pixels.shape
    copy = dataclasses.replace(picture, notes=list(picture.notes))
    copy.pixels = np.empty((scale * height, scale * width, channels), picture.pixels.dtype)
    if scale != 1 and picture.alpha is not None:
        copy.alpha = _enlarged(picture.alpha, scale)
    if scale != 1 and picture.extra is not None:
        channels = picture.extra.shape[2]
        copy.extra = np.empty((scale * height, scale * width, channels), picture.extra.dtype)
        for channel in range(channels):  # OpenCV takes at most 4 together
            copy.extra[..., channel] = _enlarged(np.ascontiguousarray(picture.extra[..., channel]), scale)
    return place.scaled(scale).cut(copy)


def _enlarged(channel: npt.NDArray[Any], scale: int) -> npt.NDArray[Any]:
    """A channel `(H, W)`, enlarged within its own range: bicubic filters overshoot at edges."""
    # Here, because only pictures with transparency need OpenCV in this package. Other filters differ by one level.
    import cv2

    height, width = channel.shape
    large = cv2.resize(channel, (scale * width, scale * height), interpolation=cv2.INTER_CUBIC)
    return np.clip(large, channel.min(), channel.max(), out=large)

"""Computes an exported network (`restore export`) with ONNX Runtime, also where torch is not installed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import psutil

from restore.errors import DeviceError, RestoreError, UsageError, WeightsError
from restore.export.contract import INPUT, OUTPUT, Facts
from restore.inference.engine import Levels, check_channels, not_finite
from restore.inference.memory import Need, largest_need, need_of_kind
from restore.inference.padding import pad
from restore.inference.self_ensemble import mean_over_orientations
from restore.inference.tiling import round_up
from restore.tasks import Task

if TYPE_CHECKING:
    from torch import Tensor

INSTALL = "pip install onnxruntime"
CPU = "CPUExecutionProvider"
PROVIDERS = {
    "CUDAExecutionProvider": "CUDA",
    "MIGraphXExecutionProvider": "MIGraphX",
    "ROCMExecutionProvider": "ROCm",
    "DmlExecutionProvider": "DirectML",
    "CoreMLExecutionProvider": "CoreML",
    CPU: "cpu",
}
"""What can compute a network, by ONNX Runtime's names. Only the CPU's is tested. Others, such as Azure's and those that
compile for minutes, are not used."""

MORE_MEMORY = 2.5
"""Memory for a tile, over torch's. Four weights (PANet, CS-KiT, PA-EDSR x2, DRSformer) took 0.7 to 2.3 on a CPU."""

_NO_MEMORY = ("failed to allocate memory", "bad_alloc", "bad allocation", "out of memory", "available memory")


class OnnxNetwork:
    """An exported network, as its file describes it; its attributes are those of `engine.Contract`.

    Args:
        path: The file.
        facts: What it says of itself.
        threads: CPU threads; None: as OMP_NUM_THREADS says, or all cores.

    Attributes:
        only_side: The only side of its tiles, in pixels; None: it takes others.
    """

    precisions: ClassVar[tuple[str, ...]] = ("float32",)

    def __init__(self, path: Path, facts: Facts, threads: int | None = None) -> None:
        self.path, self.facts, self.threads = path, facts, threads
        self.channels, self.scale, self.halo = facts.channels, facts.scale, facts.halo
        self.tile_grid: int | None = facts.tile_grid
        self.largest_auto_tile, self.only_side = facts.largest_auto_tile, facts.tile
        self.size_multiple, self.min_size = facts.size_multiple, facts.tile or facts.min_size

    @classmethod
    def read(cls, path: Path, threads: int | None = None) -> OnnxNetwork:
        """Read what a file says of itself.

        Raises:
            WeightsError: It is damaged, or no export of restore.
            RestoreError: ONNX Runtime is not installed.
        """
        runtime = _runtime()
        options = runtime.SessionOptions()
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL  # it is only looked at
        options.log_severity_level = 4
        session = _session(path, options, [CPU])
        facts = Facts.from_metadata(session.get_modelmeta().custom_metadata_map, str(path))
        names = [value.name for value in (*session.get_inputs(), *session.get_outputs())]
        if names != [INPUT, OUTPUT]:
            raise WeightsError(f"{path} has other inputs or outputs than an export of restore", hint="export it again")
        return cls(path, facts, threads)


@dataclass(frozen=True)
class OnnxDevice:
    """What ONNX Runtime computes on.

    Attributes:
        type: `cpu`, or `onnx` for all others.
        name: As in `PROVIDERS`.
    """

    type: str
    name: str

    def __str__(self) -> str:
        return f"onnx:{self.name}"


class OnnxEngine:
    """An `engine.Engine`.

    Args:
        network: The network.
        device: As for `Restorer`; `auto` is ONNX Runtime's own order of what is present.
        task: The task of the weights.

    Raises:
        DeviceError: The device is not available.
    """

    def __init__(self, network: OnnxNetwork, device: str, task: Task | None) -> None:
        self.network, self.task = network, task
        self.threads = network.threads or _threads()
        runtime = _runtime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.log_severity_level = 4
        self._session = _session(network.path, options, providers_for(device))
        name = PROVIDERS.get(self._session.get_providers()[0], "cpu")
        self.device = OnnxDevice("cpu" if name == "cpu" else "onnx", name)
        facts = network.facts
        torch = need_of_kind(facts.network, facts.config, attends=facts.attends)
        torch = torch if torch.bytes_per_pixel else largest_need()  # a network of others
        self.need = Need(MORE_MEMORY * torch.fixed_bytes, MORE_MEMORY * torch.bytes_per_pixel)

    def restore(self, images: Levels, *, self_ensemble: bool, precision: str) -> Levels:
        """As `Engine.restore`; one image after the other, in float32."""
        check_channels(images.shape[1], self.network)
        results = [self._restore_one(image[None], self_ensemble) for image in images]
        restored = results[0] if len(results) == 1 else np.concatenate(results)
        if images.shape[1] != self.network.channels:
            restored = restored.mean(1, keepdims=True)
        if not np.isfinite(restored).all():
            raise not_finite()
        return restored

    def restore_tensor(self, images: Tensor, *, self_ensemble: bool, precision: str) -> Tensor:
        """As `Engine.restore_tensor`."""
        import torch

        levels = images.detach().to("cpu", torch.float32).numpy()
        return torch.from_numpy(self.restore(levels, self_ensemble=self_ensemble, precision=precision).copy())

    def enlarged(self, image: Levels, scale: int) -> Levels:
        """As `Engine.enlarged`."""
        for axis, length in enumerate(image.shape[:2]):
            places = np.clip((np.arange(scale * length) + 0.5) / scale - 0.5, 0, length - 1)
            first = np.minimum(places.astype(np.intp), max(0, length - 2))
            share = (places - first).astype(np.float32).reshape([-1, 1, 1] if axis == 0 else [1, -1, 1])
            next_one = np.minimum(first + 1, length - 1)
            image = image.take(first, axis) * (1 - share) + image.take(next_one, axis) * share
        return image

    def _restore_one(self, image: Levels, self_ensemble: bool) -> Levels:
        net = self.network
        x = np.broadcast_to(image, (1, net.channels, *image.shape[2:]))
        if self_ensemble:
            return mean_over_orientations(self._restore_whole, x, net.scale, self.task)
        return self._restore_whole(x)

    def _restore_whole(self, x: Levels) -> Levels:
        net = self.network
        height, width = x.shape[2:]
        if net.only_side is not None and max(height, width) > net.only_side:
            raise UsageError(
                f"this file takes images up to {net.only_side} x {net.only_side} pixels, not {width} x {height}",
                hint="call the restorer, which cuts pictures into tiles",
            )
        x = pad(x, *(round_up(max(side, net.min_size), net.size_multiple) for side in (height, width)))
        try:
            restored: Levels = self._session.run([OUTPUT], {INPUT: np.ascontiguousarray(x)})[0]
        except Exception as error:
            if any(words in str(error).lower() for words in _NO_MEMORY):
                raise MemoryError(str(error)) from error
            reason = str(error).strip().splitlines()[0][:200]
            raise RestoreError(f"ONNX Runtime cannot run {net.path}: {reason}", hint="try --device cpu") from error
        return restored[..., : net.scale * height, : net.scale * width]


def present_providers() -> list[str]:
    """What can compute networks here, in ONNX Runtime's order, by its names.

    Raises:
        RestoreError: ONNX Runtime is not installed.
    """
    return [name for name in _runtime().get_available_providers() if name in PROVIDERS]


def providers_for(device: str) -> list[Any]:
    """The providers of a session for a device.

    Raises:
        DeviceError: It is not available.
    """
    present = present_providers()
    if device == "auto":
        return present
    if device == "cpu":
        return [CPU]
    kind, _, index = device.partition(":")
    wanted = {"cuda": "CUDAExecutionProvider", "mps": "CoreMLExecutionProvider"}.get(kind)
    if wanted not in present:
        listed = ", ".join(PROVIDERS[name] for name in present)
        raise DeviceError(f"cannot use {device}: this ONNX Runtime has {listed}", hint="use --device auto or cpu")
    return [(wanted, {"device_id": index}) if index else wanted, CPU]


def _runtime() -> Any:
    """ONNX Runtime.

    Raises:
        RestoreError: It is not installed.
    """
    try:
        import onnxruntime
    except ImportError:
        raise RestoreError("this needs onnxruntime, which is not installed", hint=INSTALL) from None
    return onnxruntime


def _session(path: Path, options: Any, providers: list[Any]) -> Any:
    """An open file.

    Raises:
        WeightsError: It cannot be read.
    """
    try:
        return _runtime().InferenceSession(path.read_bytes(), options, providers=providers)
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror or error}") from error
    except RestoreError:
        raise
    except Exception as error:  # it has a class for each fault, all of plain Exception
        reason = (str(error).strip().splitlines() or [""])[0][:200]
        raise WeightsError(
            f"{path} is damaged or not for this ONNX Runtime: {reason}", hint="export it again"
        ) from error


def _threads() -> int:
    """CPU threads where none are asked for."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdigit() and int(given):
        return int(given)
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(usable, psutil.cpu_count(logical=False) or usable))

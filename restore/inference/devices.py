"""The device of a network, and the memory that the process keeps."""

from __future__ import annotations

import ctypes
import platform
import re
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from restore.errors import DeviceError

if TYPE_CHECKING:
    import torch

# Sides, in pixels, of the tiles of `tile="auto"`, by kind of device. Among the largest that fit into memory, the one
# that computes the fewest pixels twice is used. A picture with no more pixels than a tile of the first side is restored
# whole. On a CPU, larger tiles are slower, because their memory is not kept (`keep_memory`). The other devices are not
# measured.
_SMALLER = (768, 512, 384, 256, 192, 128, 96, 64)
AUTO_TILES = {
    "cpu": (1088, 1024, 896, *_SMALLER), "cuda": (2048, 1536, 1024, *_SMALLER), "mps": _SMALLER[1:],
    "onnx": _SMALLER[1:],  # what ONNX Runtime uses beside CPUs
}  # fmt: skip

# From glibc's <malloc.h>.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8


class Device(Protocol):
    """Where a network runs; `torch.device` is one."""

    @property
    def type(self) -> str:
        """`cpu`, `cuda`, `mps`, or `onnx` for what ONNX Runtime uses beside CPUs."""


def pick_device(name: str = "auto") -> torch.device:
    """The device called `name`, checked to be available.

    Args:
        name: `cpu`, `cuda`, `cuda:1`, `mps`, or `auto`: CUDA, else MPS, else the CPU.

    Raises:
        DeviceError: The name is unknown, or the device is not available.
    """
    import torch

    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    if not isinstance(name, str) or not re.fullmatch(r"cpu|mps|cuda(:\d{1,2})?", name, re.ASCII):
        raise DeviceError(f"unknown device {name!r}", hint="choose auto, cpu, cuda, cuda:N or mps")
    device = torch.device(name)
    if device.type == "cuda" and not cuda:
        built = torch.version.cuda is not None or torch.version.hip is not None
        why = "PyTorch finds no usable GPU or driver" if built else "this PyTorch is built without CUDA"
        raise DeviceError(f"cannot use {name}: {why}", hint="use --device cpu, or check `nvidia-smi` and your PyTorch")
    if device.type == "mps" and not mps:
        raise DeviceError("cannot use mps: it needs an Apple GPU and macOS 14 or later", hint="use --device cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        last = torch.cuda.device_count() - 1
        raise DeviceError(f"cannot use {name}: the last GPU here is cuda:{last}", hint=f"use --device cuda:{last}")
    return device


def has_native_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 natively: then it is faster than float32, otherwise slower.

    A CPU needs AVX-512 BF16, AMX or Arm's BF16, and a PyTorch with oneDNN, which uses them. For MPS it is unknown, so
    the answer is False.
    """
    import torch

    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if platform.machine().lower() in ("arm64", "aarch64"):
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # on x86 it is true for any AVX-512
    queries = (getattr(torch.cpu, f"_is_{name}_supported", None) for name in ("avx512_bf16", "amx_tile"))
    return any(query is not None and query() for query in queries)


def processor_name() -> str:
    """The name of the CPU, or of its architecture where the system does not tell more."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def keep_memory() -> bool:
    """Tell glibc to keep freed memory for the next allocation. Programs call it at their start; libraries do not.

    By default glibc returns every block above 32 MiB, and the free top of its heap, to the system. A network frees and
    allocates such blocks in every layer. The system then zeroes new pages at first touch, which can take longer than
    the arithmetic. After this call only blocks from 256 MiB (whole large pictures) go back, and up to 1 GiB of free
    heap is kept. The next tile uses it, so the peak stays near the need of one tile. All threads share one heap: with
    their own, the threads that decode and encode would also keep their peak.

    Returns:
        Whether glibc accepted the settings; False where the C library is not glibc.
    """
    try:
        libc = ctypes.CDLL(None)
        libc.gnu_get_libc_version  # noqa: B018 - musl has a mallopt that does nothing
        mallopt = libc.mallopt
    except (AttributeError, OSError, TypeError):  # not glibc; no libc to open by this name (Windows: TypeError)
        return False
    # Older glibc refuses a threshold above 32 MiB. Setting 32 MiB at least stops it from falling.
    mapped = mallopt(_M_MMAP_THRESHOLD, 256 << 20) or mallopt(_M_MMAP_THRESHOLD, 32 << 20)
    return bool(mapped and mallopt(_M_TRIM_THRESHOLD, 1 << 30) and mallopt(_M_ARENA_MAX, 1))

"""Which device a network runs on, and how the process holds on to memory."""

from __future__ import annotations

import ctypes
import platform
import re
from pathlib import Path

import torch

from restore.errors import DeviceError

# Sides, in pixels, of the tiles that `tile="auto"` makes, by kind of device. Of those that fit into memory the largest
# are compared, and the one that computes the fewest pixels twice is taken. A picture of no more than the square of the
# first is restored whole. Larger tiles are slower on a CPU, because such memory is not kept (`keep_memory`). The other
# devices are not measured.
_SMALLER = (768, 512, 384, 256, 192, 128, 96, 64)
AUTO_TILES = {"cpu": (1088, 1024, 896, *_SMALLER), "cuda": (2048, 1536, 1024, *_SMALLER), "mps": _SMALLER[1:]}

# From glibc's <malloc.h>.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8


def pick_device(name: str = "auto") -> torch.device:
    """The device called `name`, once it is known to be there.

    Args:
        name: `cpu`, `cuda`, `cuda:1`, `mps`, or `auto`: CUDA, else MPS, else the CPU.

    Raises:
        DeviceError: No device has this name, or this machine has no such device.
    """
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    if not re.fullmatch(r"cpu|mps|cuda(:\d{1,2})?", name, re.ASCII):
        raise DeviceError(f"there is no device called {name!r}", hint="choose auto, cpu, cuda, cuda:N or mps")
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
    """Whether the device multiplies bfloat16 itself: twice as fast as float32, and otherwise slower.

    A CPU does by AVX-512 BF16, AMX or Arm's BF16, if this PyTorch has oneDNN, which uses them. Of MPS it is not known.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if platform.machine().lower() in ("arm64", "aarch64"):
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # on x86 it is true of any AVX-512
    queries = (getattr(torch.cpu, f"_is_{name}_supported", None) for name in ("avx512_bf16", "amx_tile"))
    return any(query is not None and query() for query in queries)


def processor_name() -> str:
    """The CPU's name, as well as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def keep_memory() -> bool:
    """Tell glibc to keep freed memory for the next allocation; for programs, at their start, not for libraries.

    As it comes, glibc gives every block of more than 32 MiB, and a free top of its heap, back to the system at once.
    A network frees and allocates such blocks in every layer, and the system hands each out anew as pages to be zeroed
    at first touch: that can take longer than the arithmetic. Afterwards only blocks of 256 MiB and more (whole large
    pictures) go straight back, and up to 1 GiB of free heap is kept. What is kept serves the next tile, so the peak
    stays near what one tile takes. All threads share it: with heaps of their own, those that decode and encode would
    keep as much again as they once needed.

    Returns:
        Whether it could be done; False where the C library is not glibc.
    """
    try:
        libc = ctypes.CDLL(None)
        libc.gnu_get_libc_version  # noqa: B018 - musl has a mallopt that does nothing
        mallopt = libc.mallopt
    except (AttributeError, OSError, TypeError):  # not glibc; no libc to open by this name (Windows: TypeError)
        return False
    # Older glibc refuses a threshold over 32 MiB; then at least it stays there and is not adapted downwards.
    mapped = mallopt(_M_MMAP_THRESHOLD, 256 << 20) or mallopt(_M_MMAP_THRESHOLD, 32 << 20)
    return bool(mapped and mallopt(_M_TRIM_THRESHOLD, 1 << 30) and mallopt(_M_ARENA_MAX, 1))

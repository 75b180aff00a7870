"""Free memory, and the memory that a network takes for a tile."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import psutil

from restore.inference.devices import Device

if TYPE_CHECKING:
    from restore.networks import Network

TABLE = Path(__file__).with_name("memory.json")
"""Output of `restore bench --memory --json`."""

TRACED = 2.0
"""Bytes that a network of others takes, over those of its tensors: a choice, for copies that libraries make."""


@dataclass(frozen=True)
class Need:
    """Memory that a network takes for one image, beside its weights.

    Attributes:
        fixed_bytes: Independent of the size.
        bytes_per_pixel: Per pixel of the input.
    """

    fixed_bytes: float
    bytes_per_pixel: float

    @classmethod
    def fitted(cls, needs: dict[int, float]) -> Need:
        """A line through bytes by pixels that no point lies above, with the steepest slope between two neighbours.

        >>> Need.fitted({100: 1200.0, 200: 2200.0, 400: 4000.0})
        Need(fixed_bytes=200.0, bytes_per_pixel=10.0)
        """
        points = sorted(needs.items())
        slopes = [(b - a) / (n - m) for (m, a), (n, b) in pairwise(points)]
        slope = max(0.0, *slopes)
        return cls(max(0.0, *(size - slope * pixels for pixels, size in points)), slope)

    def of(self, pixels: int) -> int:
        """Bytes for an image of `pixels` pixels."""
        return round(self.fixed_bytes + self.bytes_per_pixel * pixels)


def need_of(network: Network) -> Need:
    """The measured need of this network; for another size, the largest of its kind; for an unknown kind, zero.

    The need of a network of others is not measured: it is `TRACED` times that of its tensors.

    Measured on a CPU in float32, and used for GPUs too. A network without its attention uses the need measured
    without it, if there is one.
    """
    from restore.checkpoints.foreign_files import ForeignNetwork
    from restore.networks import key_of

    if isinstance(network, ForeignNetwork):
        from restore.inference.traced_need import traced_needs

        return Need.fitted({pixels: TRACED * size for pixels, size in traced_needs(network).items()})
    return need_of_kind(key_of(network), network.config, attends=network.attends)


def need_of_kind(key: str | None, config: dict[str, Any], *, attends: bool) -> Need:
    """As `need_of`, for the key of a network in `NETWORKS` and its config."""
    of_kind = [row for row in _table() if row.network == key]
    worst = max((row.need for row in of_kind), key=lambda need: need.bytes_per_pixel, default=Need(0, 0))
    own = {row.attends: row.need for row in of_kind if row.config == config}
    return own.get(attends, own.get(True, worst))


def largest_need() -> Need:
    """The largest need per pixel of all measured networks."""
    return max((row.need for row in _table()), key=lambda need: need.bytes_per_pixel)


@dataclass(frozen=True)
class _Row:
    """One network in `TABLE`."""

    network: str
    config: dict[str, object]
    attends: bool
    need: Need


@cache
def _table() -> list[_Row]:
    rows = json.loads(TABLE.read_text(encoding="utf-8"))["memory"]
    return [
        _Row(row["network"], row["config"], row["attends"], Need(row["fixed_bytes"], row["bytes_per_pixel"]))
        for row in rows
    ]


def total_memory() -> int:
    """Bytes of memory in this machine."""
    return int(psutil.virtual_memory().total)


def held_memory() -> int:
    """Bytes of memory that this process holds."""
    return int(psutil.Process().memory_info().rss)


def free_memory(device: Device) -> int:
    """Bytes that this process can still allocate on a device, within its limits (cgroup, `ulimit -v`).

    ONNX Runtime does not tell the memory of its GPUs; then it is that of the machine.
    """
    if device.type == "cuda":
        import torch

        gpu = cast("torch.device", device)
        free, _ = torch.cuda.mem_get_info(gpu)
        return int(free + torch.cuda.memory_reserved(gpu) - torch.cuda.memory_allocated(gpu))
    if device.type == "mps":
        import torch

        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return max(0, min([int(psutil.virtual_memory().available), *_cgroup_rooms(), *_address_room()]))


def empty_cache(device: Device) -> None:
    """Give back what torch keeps on a GPU for its next tensors."""
    if device.type in ("cuda", "mps"):
        import torch

        getattr(torch, device.type).empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether NumPy, PyTorch, oneDNN, OpenCV or a GPU driver reports a failed allocation."""
    torch = sys.modules.get("torch")  # whose error is a RuntimeError
    if isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError)):
        return True
    if type(error).__module__ == "cv2":
        return getattr(error, "code", None) == -4  # StsNoMem; OpenCV itself may not be imported here
    # The last comes from oneDNN when it cannot allocate its scratch memory.
    words = (
        "out of memory", "not enough memory", "can't allocate memory", "bad_alloc", "bad allocation",
        "could not create a primitive",
    )  # fmt: skip
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in words)


def _cgroup_rooms(proc: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> Iterator[int]:
    """Bytes that the control groups (version 2 and 1) leave this process; cached files do not count."""
    try:
        lines = proc.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        top = root / controllers
        limit, used, cached = (
            ("memory.max", "memory.current", "inactive_file")
            if not controllers
            else ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        )
        # Inside a container the group's own path may not exist; then the top folder is the group.
        folder = top / group.lstrip("/")
        for place in (folder, *folder.parents):
            try:
                most = int((place / limit).read_text(encoding="ascii"))  # "max" means no limit
                statistics = dict(row.split() for row in (place / "memory.stat").read_text().splitlines())
                yield most - int((place / used).read_text(encoding="ascii")) + int(statistics.get(cached, 0))
            except (OSError, ValueError):
                pass
            if place == top:
                break


def _address_room() -> Iterator[int]:
    """Bytes that `ulimit -v` leaves."""
    if os.name != "posix":
        return
    import resource

    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most != resource.RLIM_INFINITY:
        yield most - int(psutil.Process().memory_info().vms)

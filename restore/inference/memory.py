"""How much memory there is, and how much a network takes for a tile."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import psutil
import torch

from restore.networks import Network, key_of

TABLE = Path(__file__).with_name("memory.json")
"""What `restore bench --memory --json` has measured."""


@dataclass(frozen=True)
class Need:
    """Memory that a network takes beside its weights, while it works on one image.

    Attributes:
        fixed_bytes: Whatever the size.
        bytes_per_pixel: For each pixel of its input.
    """

    fixed_bytes: float
    bytes_per_pixel: float

    @classmethod
    def fitted(cls, needs: dict[int, float]) -> Need:
        """The line through bytes by pixels that none of them lies above, and whose slope is the steepest between two.

        >>> Need.fitted({100: 1200.0, 200: 2200.0, 400: 4000.0})
        Need(fixed_bytes=200.0, bytes_per_pixel=10.0)
        """
        points = sorted(needs.items())
        slopes = [(b - a) / (n - m) for (m, a), (n, b) in pairwise(points)]
        slope = max(0.0, *slopes)
        return cls(max(0.0, *(size - slope * pixels for pixels, size in points)), slope)

    def of(self, pixels: int) -> int:
        """Bytes for an image of so many pixels."""
        return round(self.fixed_bytes + self.bytes_per_pixel * pixels)


def need_of(network: Network) -> Need:
    """What is measured for this network; for one of another size the most of its kind, for an unknown kind nothing.

    Measured on a CPU in float32; without its attention where the network leaves it out and that is measured. On a GPU
    it stands for want of a measurement.
    """
    of_kind = [row for row in _table() if row.network == key_of(network)]
    worst = max((row.need for row in of_kind), key=lambda need: need.bytes_per_pixel, default=Need(0, 0))
    own = {row.attends: row.need for row in of_kind if row.config == network.config}
    return own.get(network.attends, own.get(True, worst))


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
    """Bytes of memory of this machine."""
    return int(psutil.virtual_memory().total)


def held_memory() -> int:
    """Bytes of memory that this process holds."""
    return int(psutil.Process().memory_info().rss)


def free_memory(device: torch.device) -> int:
    """Bytes that this process can still have on a device: what is free, within its limits (cgroup, `ulimit -v`)."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return max(0, min([int(psutil.virtual_memory().available), *_cgroup_rooms(), *_address_room()]))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this is how NumPy, PyTorch, oneDNN or a GPU's driver say that an allocation failed."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    # The last is what oneDNN says when it cannot have its scratch memory.
    words = (
        "out of memory", "not enough memory", "can't allocate memory", "bad_alloc", "bad allocation",
        "could not create a primitive",
    )  # fmt: skip
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in words)


def _cgroup_rooms(proc: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> Iterator[int]:
    """What the process's control groups leave it, of version 2 and 1; cached files do not count."""
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
        # Inside a container the group's own path may not be there: then its folder is the top.
        folder = top / group.lstrip("/")
        for place in (folder, *folder.parents):
            try:
                most = int((place / limit).read_text(encoding="ascii"))  # "max" where there is none
                statistics = dict(row.split() for row in (place / "memory.stat").read_text().splitlines())
                yield most - int((place / used).read_text(encoding="ascii")) + int(statistics.get(cached, 0))
            except (OSError, ValueError):
                pass
            if place == top:
                break


def _address_room() -> Iterator[int]:
    """What `ulimit -v` leaves."""
    if os.name != "posix":
        return
    import resource

    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most != resource.RLIM_INFINITY:
        yield most - int(psutil.Process().memory_info().vms)

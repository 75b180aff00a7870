"""Files of runs that travel from a borrowed machine and back, in parts of limited size.

Importing this costs little: only `halve` imports torch.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from restore.files import whole_file

if TYPE_CHECKING:
    import torch

PART = 15 * 2**20  # bytes; a borrowed machine returns files of up to 16 MiB
TRAVELLING = ("state.pt", "last.safetensors", "best.safetensors")


def packed(folder: Path) -> None:
    """Make the files of a run small enough to travel.

    A state above `PART` is halved. Training then continues near, not at, the exact weights.
    """
    if (state := folder / "state.pt").is_file() and state.stat().st_size > PART:
        halve(state)
    for name in TRAVELLING:
        split(folder / name)


def halve(path: Path) -> None:
    """Store a state in half precision: weights in float16, the optimizer in bfloat16, which has the range it needs."""
    import torch

    def halved(value: Any, kind: torch.dtype) -> Any:
        if isinstance(value, dict):
            return {key: halved(part, kind) for key, part in value.items()}
        is_many = isinstance(value, torch.Tensor) and value.is_floating_point() and value.numel() > 1
        return value.to(kind) if is_many else value

    state = torch.load(path, map_location="cpu", weights_only=True)
    for key, kind in (("network", torch.float16), ("average", torch.float16), ("optimizer", torch.bfloat16)):
        state[key] = halved(state[key], kind)
    with whole_file(path) as temporary:
        torch.save(state, temporary)


def split(path: Path, size: int | None = None) -> None:
    """Split a file above `size` bytes (default: `PART`) into parts of that size, `state.pt.1` and so on."""
    size = size or PART
    if not path.is_file() or path.stat().st_size <= size:
        return
    with path.open("rb") as file:
        for number in itertools.count(1):
            if not (read := file.read(size)):
                break
            path.with_name(f"{path.name}.{number}").write_bytes(read)
    path.unlink()


def joined(path: Path) -> None:
    """Join the parts that `split` made, if there are any."""
    found = sorted(path.parent.glob(f"{path.name}.[0-9]*"), key=lambda part: int(part.suffix[1:]))
    if found:
        with whole_file(path) as temporary:
            temporary.write_bytes(b"".join(part.read_bytes() for part in found))
        for part in found:
            part.unlink()

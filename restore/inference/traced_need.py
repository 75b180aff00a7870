"""The memory that a network takes for a tile, found without computing: its tensors are followed on the device `meta`.

For networks that `memory.json` does not list. A network that cannot run on `meta` runs on small tiles instead.
"""

from __future__ import annotations

import copy
import weakref
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from restore.inference.tiling import round_up
from restore.networks.base import Network

_SIDES = (256, 512)
_REAL_SIDES = (32, 64)


def traced_needs(network: Network) -> dict[int, float]:
    """Bytes of all tensors that a network holds at its peak, beside its weights, by pixels of the input."""
    try:
        return {side**2: _peak(network, side, "meta") for side in _sides(network, _SIDES)}
    except Exception:  # some networks make tensors of NumPy, or read values
        device = next(network.parameters(), torch.empty(0)).device.type
        return {side**2: _peak(network, side, device) for side in _sides(network, _REAL_SIDES)}


def _sides(network: Network, wanted: tuple[int, ...]) -> list[int]:
    multiple = network.size_multiple
    first = round_up(max(wanted[0], network.min_size), multiple)
    return [first, max(round_up(wanted[1], multiple), 2 * first)]


def run_on_meta(network: Network, height: int, width: int) -> None:
    """Run a copy of a network without computing: its weights and the picture are on the device `meta`."""
    memo: dict[int, object] = {id(one): nn.Parameter(one.to("meta")) for one in network.parameters()}
    memo |= {id(one): one.to("meta") for one in network.buffers()}
    copied = copy.deepcopy(network, memo)  # of all but the weights: a run may keep tensors
    with torch.no_grad(), torch.device("meta"):
        copied(torch.empty(1, network.channels, height, width))


def _peak(network: Network, side: int, device: str) -> float:
    """Most bytes that tensors hold together while a picture of `side` pixels is restored."""
    with _Followed() as followed, torch.no_grad():
        if device == "meta":
            run_on_meta(network, side, side)
        else:
            network(torch.full((1, network.channels, side, side), 0.5, device=device))
    return float(followed.peak_bytes)


class _Followed(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the tensors that operations make, until nothing holds them."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._bytes = self.peak_bytes = 0
        self._known: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is not torch.ops.prim.device.default:
            with self:  # what an operation is made of
                made = func.decompose(*args, **kwargs)
            if made is not NotImplemented:
                return made
        given = {id(leaf.untyped_storage()) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        made = func(*args, **kwargs)
        for leaf in tree_leaves(made):
            if isinstance(leaf, Tensor) and id(leaf.untyped_storage()) not in given:
                self._count(leaf.untyped_storage())
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        if storage in self._known:
            return
        self._known.add(storage)
        size = storage.nbytes()
        self._bytes += size
        self.peak_bytes = max(self.peak_bytes, self._bytes)
        weakref.finalize(storage, self._release, size)

    def _release(self, size: int) -> None:
        self._bytes -= size

"""The side of the tiles: the smallest that work, and the best that fit into memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from restore.errors import DeviceError, UsageError
from restore.inference.devices import AUTO_TILES, Device
from restore.inference.engine import Contract, only_side
from restore.inference.memory import Need, free_memory, held_memory
from restore.inference.tiling import Axis, plan_axis, round_up, widen

if TYPE_CHECKING:
    from restore.images import Picture


@dataclass(frozen=True)
class TileSizes:
    """The tiles that a network can take, for one overlap.

    Attributes:
        network: The network, whose sizes and halo the tiles follow.
        overlap: Pixels that neighbours share at least; more where the network's halo needs more.
    """

    network: Contract
    overlap: int

    def smallest(self) -> int:
        """Side of the smallest tiles, in pixels.

        Below twice the overlap, every pixel would be computed more than four times.
        """
        net = self.network
        if side := self._only_side():
            return side
        shared = round_up(widen(self.overlap, net.halo), net.size_multiple)
        return round_up(max(2 * shared, net.min_size), net.size_multiple)

    def checked(self, side: int) -> int:
        """`side`, if the network can take tiles of it.

        Raises:
            UsageError: It is too small for the network and the overlap.
        """
        if (only := self._only_side()) and side != only:
            raise UsageError(
                f"this file takes tiles of {only} pixels only, not of {side}",
                hint=f"use --tile {only}, or export with another --tile",
            )
        if side < self.smallest():
            raise UsageError(
                f"tiles of {side} pixels are too small for these weights with an overlap of {self.overlap}",
                hint=f"use --tile {self.smallest()} or more, or a smaller --overlap",
            )
        return side

    def cut(self, length: int, side: int, old: Axis | None = None, done: int = 0) -> Axis:
        """Cut one axis of `length` pixels into tiles of up to `side`.

        Args:
            length: Pixels of the picture along this axis.
            side: Largest side of a tile, in pixels.
            old: Earlier cuts of the same axis; with them, only what follows their first `done` tiles is cut.
            done: Number of finished tiles in `old`.
        """
        net = self.network
        start = before = 0
        if old is not None:
            start = old.starts[done]
            before = old.starts[done - 1] + old.side if done else old.before
        return plan_axis(
            length,
            tile=side,
            overlap=self.overlap,
            multiple=net.size_multiple,
            grid=net.tile_grid,
            smallest=net.min_size,
            halo=net.halo,
            start=start,
            before=before,
        )

    def automatic(self, height: int, width: int, device: Device) -> list[int]:
        """Sides of automatic tiles from large to small; a side above the picture's restores it whole."""
        net, least = self.network, self.smallest()
        if only := self._only_side():
            return [only]
        most = min(AUTO_TILES[device.type][0], net.largest_auto_tile or height + width)
        sides = [side for side in (most, *AUTO_TILES[device.type]) if least <= side <= most] or [least]
        if height * width <= max(sides[0], least) ** 2:
            sides.insert(0, max(least, height + net.size_multiple, width + net.size_multiple))
        return sides

    def _only_side(self) -> int | None:
        """The only side that the network takes; None: it takes others.

        Raises:
            UsageError: It leaves nothing beside the overlap.
        """
        side, net = only_side(self.network), self.network
        shared = round_up(widen(self.overlap, net.halo), net.tile_grid or net.size_multiple)
        if side is not None and shared >= side:
            raise UsageError(
                f"tiles of {side} pixels, the only ones of this file, cannot overlap by {shared}",
                hint="use a smaller --overlap, or export with a larger --tile",
            )
        return side

    def computed(self, length: int, side: int) -> int:
        """Pixels along one axis that tiles of up to `side` compute together."""
        cut = self.cut(length, side)
        return len(cut.starts) * cut.side


def room_for_tile(picture: Picture, scale: int, device: Device, idle_bytes: int, memory: int | None) -> float:
    """Bytes that a tile may take in the network.

    Args:
        picture: The picture to restore.
        scale: Output size over input size.
        device: Where the network runs.
        idle_bytes: Memory of this process before the first picture.
        memory: Bytes that this process, or the GPU, may use; None for all free memory.
    """
    free = 0.9 * free_memory(device)
    if device.type != "cpu":
        return free if memory is None else min(free, memory)
    sizes = picture.pixels.nbytes + (0 if picture.alpha is None else picture.alpha.nbytes)
    # The result; in a folder also the next picture, read ahead, and a result that is still being written.
    others = sizes + 2 * scale**2 * sizes
    if picture.alpha is not None:
        others += picture.pixels.nbytes  # the copy of `fill_hidden`
    kept = max(0, held_memory() - idle_bytes - sizes)  # by the allocator, from the last picture
    room = free + kept - others
    return room if memory is None else min(room, memory - idle_bytes - sizes - others)


def automatic_side(
    sizes: TileSizes, picture: Picture, device: Device, need: Need, idle_bytes: int, memory: int | None
) -> int:
    """Side of the tiles for a picture, in pixels; a side above the picture's restores it whole.

    Args:
        sizes: The tiles that the network can take.
        picture: The picture to restore.
        device: Where the network runs.
        need: Memory that the network takes.
        idle_bytes: Memory of this process before the first picture.
        memory: Bytes that this process, or the GPU, may use; None for all free memory.

    Raises:
        DeviceError: `memory` is too little even for the smallest tiles.
    """
    height, width = picture.pixels.shape[:2]
    sides = sizes.automatic(height, width, device)
    room = room_for_tile(picture, sizes.network.scale, device, idle_bytes, memory)
    fitting = [side for side in sides if need.of(min(side, height) * min(side, width)) <= room]
    if fitting:
        # Large tiles cost about the same per pixel, so choose those that compute the fewest pixels twice.
        large = (side for side in fitting if side >= 0.75 * fitting[0])
        return min(large, key=lambda side: math.prod(sizes.computed(n, side) for n in (height, width)))
    if memory is not None:
        smallest = need.of(min(sides[-1], height) * min(sides[-1], width))
        raise DeviceError(
            f"{memory / 1e6:,.0f} MB are not enough: the smallest tiles of this picture need "
            f"{(memory - room + smallest) / 1e6:,.0f} MB",
            hint=f"use --memory {-(-(memory - room + smallest) // 10**8) / 10:.1f}G or more",
        )
    return sides[-1]  # free memory is not always known; if it is too little, the run finds out

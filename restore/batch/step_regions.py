"""Which part each of several steps restores, so that the last gives a region of the result."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from restore.inference.region import Place

if TYPE_CHECKING:
    from restore.networks.base import Network

_MARGIN = 128
"""Pixels around a region that a network sees whose halo is not known."""


def regions_of_steps(
    networks: Sequence[Network], place: Place, height: int, width: int
) -> list[tuple[int, int, int, int]]:
    """The region that each step restores of what it is given: left, top, width and height.

    The first step is given the whole picture. Every other is given what the one before it restores: its own region, and
    around it the halo of its network, or `_MARGIN` pixels.

    Args:
        networks: Those of the steps.
        place: The region, in pixels of the picture.
        height, width: Size of the picture.
    """
    scales = [network.scale for network in networks]
    place = place.scaled(math.prod(scales[:-1]))
    regions: list[tuple[int, int, int, int]] = []
    for index in range(len(networks) - 1, 0, -1):
        before, net = scales[index - 1], networks[index]
        reach = _MARGIN if net.halo is None else net.halo
        # The tiles start where they can start in the whole picture; even numbers keep the colours of a mosaic.
        step = math.lcm(net.tile_grid or net.size_multiple, before, 2)
        size = math.prod(scales[:index])
        left, right = _widened(place.left, place.width, reach, step, width * size)
        top, bottom = _widened(place.top, place.height, reach, step, height * size)
        regions.append((place.left - left, place.top - top, place.width, place.height))
        place = Place(left // before, top // before, (right - left) // before, (bottom - top) // before)
    regions.append((place.left, place.top, place.width, place.height))
    return regions[::-1]


def _widened(first: int, length: int, reach: int, step: int, most: int) -> tuple[int, int]:
    """Start and end of a stretch with `reach` more on both sides, at multiples of `step`, within `most`."""
    return max(0, first - reach) // step * step, min(most, -(-(first + length + reach) // step) * step)

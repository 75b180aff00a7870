"""The side of automatic tiles."""

from __future__ import annotations

import numpy as np
import pytest
from fake_networks import Identity, noise, restore

from restore.errors import DeviceError, UsageError
from restore.images import Picture
from restore.inference.devices import AUTO_TILES
from restore.inference.memory import Need
from restore.inference.restorer import Restorer


def test_auto_restores_whole_what_is_no_larger_than_one_tile() -> None:
    side = AUTO_TILES["cpu"][0]
    for height, width, is_whole in ((side, side, True), (side // 4, side * 4, True), (side, side + 1, False)):
        network = Identity()
        restore(network, noise(height, width, 1))
        assert (len(network.seen) == 1) == is_whole


def test_auto_takes_the_largest_tile_that_fits_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = noise(600, 700, 1)
    for free, side in ((1e9, 600), (2.2e8, 384), (1.3e8, 256), (1e5, 64)):
        network = Identity()
        restorer = Restorer(network, device="cpu")
        restorer._need = Need(1e8, 500)
        restorer._idle_bytes = 1 << 60  # nothing is kept by the allocator
        monkeypatch.setattr(
            "restore.inference.tile_size.free_memory", lambda _, free=free: int((free + 3 * pixels.nbytes) / 0.9)
        )
        restored = restorer.restore_picture(Picture(pixels))
        assert max(min(x.shape[2:]) for x in network.seen) <= side
        assert restored.tile == tuple(max(x.shape[axis] for x in network.seen) for axis in (2, 3))
        assert restored.tiles == len(network.seen)
        assert min(restored.tile) > 0.6 * side


def test_auto_takes_of_the_large_tiles_those_that_compute_the_fewest_pixels_twice() -> None:
    # 12 tiles of 1024 are 1.05 times a picture of 4000x3000; tiles of 1088, 896 or 832 take more.
    network = Identity(size_multiple=64, tile_grid=16)
    restored = Restorer(network, device="cpu").restore_picture(Picture(np.zeros((3000, 4000, 3), np.uint8)))
    assert restored.tile == (1024, 1024) and restored.tiles == 12


def test_a_memory_budget_is_kept_or_refused_with_the_one_that_would_do() -> None:
    picture = Picture(noise(600, 700, 1))
    restorer = Restorer(Identity(), device="cpu")
    restorer._need, restorer._idle_bytes = Need(1e8, 500), 300_000_000
    whole, tiled = (restorer.restore_picture(picture, memory=int(size)) for size in (2e9, 5e8))
    assert whole.tiles == 1
    assert tiled.tiles > 1
    room = 5e8 - 3e8 - 4 * picture.pixels.nbytes
    assert 1e8 + 500 * tiled.tile[0] * tiled.tile[1] <= room
    with pytest.raises(DeviceError, match="350 MB are not enough") as caught:
        restorer.restore_picture(picture, memory=350_000_000)
    enough = float((caught.value.hint or "").split("--memory ")[1].split("G")[0])
    assert restorer.restore_picture(picture, memory=int(enough * 1e9)).tiles >= 1


def test_auto_takes_smaller_tiles_where_the_network_asks_for_them() -> None:
    network = Identity(largest_auto_tile=96)
    restore(network, noise(300, 200, 1))
    assert max(max(x.shape[2:]) for x in network.seen) <= 96
    restore(network, noise(300, 200, 1), tile=256)  # unless the user sets a tile
    assert max(network.seen[-1].shape[2:]) > 96


def test_auto_makes_room_for_a_large_halo() -> None:
    network = Identity(halo=300)
    restore(network, noise(1400, 900, 1))
    assert min(network.seen[0].shape[2:]) > 608


def test_the_smallest_tile_that_the_hint_offers_works() -> None:
    for network in (Identity(), Identity(size_multiple=32), Identity(halo=40), Identity(min_size=100)):
        with pytest.raises(UsageError) as caught:
            restore(network, noise(30, 200, 3), tile=1)
        tile = int((caught.value.hint or "").split()[2])
        np.testing.assert_array_equal(restore(network, noise(30, 200, 3), tile=tile), noise(30, 200, 3))
        with pytest.raises(UsageError):
            restore(network, noise(30, 200, 3), tile=tile - 1)

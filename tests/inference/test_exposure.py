"""Dark pictures and bright lights keep their brightness."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from fake_networks import Enlarge, Identity, Pixels, noise, restore
from torch import Tensor

from restore.images import Picture
from restore.inference.exposure import Exposure
from restore.inference.restorer import Restorer


class Darkens(Identity):
    """Takes 0.02 from every level, as a denoiser does that learned from noise cut off at 0; the result may be below."""

    def forward(self, degraded: Tensor) -> Tensor:
        return super().forward(degraded) - 0.02


def drawn(top: float = 0.95) -> Pixels:
    """Levels from 0.1 of `top` to `top`."""
    return (top * np.random.default_rng(0).uniform(0.1, 1, (90, 80, 3))).astype(np.float32)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_dark_picture_loses_no_more_than_a_bright_one(dtype: type) -> None:
    white = 1.0 if dtype is np.float32 else np.iinfo(dtype).max
    lost = {}
    for stops in (0, 2, 4):
        pixels: Pixels = (drawn() * white / 2**stops).astype(dtype)
        network = Darkens()
        restored = restore(network, pixels, tile=64)
        lost[stops] = 1 - restored.mean(dtype=float) / pixels.mean(dtype=float)
        assert float(network.seen[0].max()) > 0.5
    assert lost[4] < 1.3 * lost[0] + (0.03 if dtype is np.uint8 else 0)  # 4 stops below 255 have 16 levels
    assert lost[2] < 1.7 * lost[0]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_picture_that_reaches_half_of_white_is_seen_as_it_is(dtype: type) -> None:
    white = 1.0 if dtype is np.float32 else float(np.iinfo(dtype).max)
    pixels: Pixels = (drawn() * white).astype(dtype)
    pixels[:3] = np.rint(white * 0.51)
    assert Exposure.of(pixels).white == white
    network = Identity()
    restore(network, pixels)
    seen = network.seen[0][0].permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(seen, pixels.astype(np.float32) / np.float32(white))


def test_brightness_does_not_jump_where_brightening_begins() -> None:
    whites = [Exposure.of(np.full((8, 8, 3), level, np.uint16)).white for level in (32_700, 32_766, 32_768, 33_000)]
    assert max(np.diff(whites)) < 500


@pytest.mark.parametrize("scale", [1, 2])
def test_one_light_changes_nothing_elsewhere(scale: int) -> None:
    def restored(pixels: Pixels) -> Pixels:
        return restore(Darkens() if scale == 1 else Enlarge(), pixels, tile=64)

    plain = drawn()
    lit = plain.copy()
    lit[30:40, 20:30] = 40
    difference = restored(lit) - restored(plain)
    near = np.zeros(difference.shape[:2], bool)
    near[29 * scale : 41 * scale, 19 * scale : 31 * scale] = True
    assert np.abs(difference[~near]).max() == 0
    assert difference[near].min() > -1e-5  # no dark ring
    inner = restored(lit)[31 * scale : 39 * scale, 21 * scale : 29 * scale]
    assert np.abs(inner - 40).max() < 0.03


def test_a_dark_picture_with_lights_is_brightened_for_the_network() -> None:
    pixels = drawn(top=0.05)
    pixels[:20, :20] = 40
    network = Identity()
    restored = restore(network, pixels, tile=128)
    assert float(network.seen[0][..., 30:, :].max()) > 0.5
    np.testing.assert_allclose(restored, pixels, rtol=1e-5)


def test_no_result_is_negative_where_the_picture_is_not() -> None:
    pixels = drawn(top=0.9)
    pixels[::2] = 0.001
    pixels[5, 5] = -0.25  # as scanners and linear data have
    restored = restore(Darkens(), pixels)
    assert float(restored[5, 5, 0]) == pytest.approx(-0.25)
    restored[5, 5] = 0
    assert restored.min() == 0


def test_values_above_white_pass_by_and_are_enlarged_without_a_negative_lobe() -> None:
    pixels = np.zeros((16, 16, 1), np.float32)
    pixels[8, 8] = 5
    enlarged = restore(Enlarge(), pixels)
    assert enlarged.min() == 0
    assert float(enlarged.sum()) == pytest.approx(4 * 5)  # bilinear keeps the sum


@pytest.mark.parametrize("top", [255.0, 65535.0])
def test_floats_in_the_range_of_integers_reach_the_network(top: float) -> None:
    pixels = drawn() * np.float32(top)
    network = Identity()
    np.testing.assert_allclose(restore(network, pixels), pixels, rtol=1e-5)
    assert float(network.seen[0].min()) < 0.2
    assert float(network.seen[0].max()) == 1


def test_a_hot_pixel_does_not_hide_that_a_picture_is_dark_and_stays() -> None:
    pixels = (drawn() * 3000).astype(np.uint16)
    pixels[40, 40] = 65535
    assert Exposure.of(pixels).white < 4000
    assert restore(Identity(), pixels)[40, 40].tolist() == [65535] * 3
    np.testing.assert_array_equal(restore(Identity(), pixels), pixels)


def test_a_mosaic_takes_its_maximum_so_that_nothing_passes_by_as_a_mosaic() -> None:
    pixels = (drawn() * 3000).astype(np.uint16)
    pixels[40, 40, 0] = 20_000
    exposure = Exposure.of(pixels, is_mosaic=True)
    assert exposure.white >= 20_000
    assert not exposure.passes_excess


@pytest.mark.parametrize(
    "pixels", [np.zeros((4, 5, 3), np.uint16), np.zeros((1, 1, 1), np.float32), -(noise(9, 9, 1) / 9.0)]
)
def test_black_pictures_have_the_white_of_their_type(pixels: Any) -> None:
    pixels = pixels if pixels.dtype == np.uint16 else pixels.astype(np.float32)
    assert Exposure.of(pixels).white == (65535 if pixels.dtype == np.uint16 else 1)
    np.testing.assert_array_equal(restore(Identity(), pixels), pixels)


def test_bypassing_works_with_strength_and_self_ensemble() -> None:
    pixels = drawn()
    pixels[30:40, 20:30] = 40
    options: dict[str, Any] = {"strength": 0.5, "self_ensemble": True}
    restored = Restorer(Darkens(), device="cpu").restore_picture(Picture(pixels), **options).picture.pixels
    np.testing.assert_allclose(restored, pixels - 0.01, rtol=1e-4, atol=1e-6)
    assert torch.from_numpy(restored).isfinite().all()

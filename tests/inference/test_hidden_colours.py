"""Colours under full transparency do not reach visible pixels, and stay."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fake_networks import Enlarge, Identity, Pixels, noise
from torch import Tensor
from torch.nn import functional

from restore.images import Picture
from restore.inference.hidden_colours import fill_hidden
from restore.inference.restorer import Restorer


class Blurs(Identity):
    """Mixes each pixel with its neighbours up to four pixels away."""

    halo = 4

    def forward(self, degraded: Tensor) -> Tensor:
        padded = functional.pad(super().forward(degraded), (4, 4, 4, 4), mode="reflect")
        return functional.avg_pool2d(padded, 9, stride=1)


class BlursAndEnlarges(Blurs):
    scale = 2

    def forward(self, degraded: Tensor) -> Tensor:
        return functional.interpolate(super().forward(degraded), scale_factor=2.0, mode="bicubic")


def cut_out(dtype: type = np.uint8, channels: int = 3) -> tuple[Picture, Picture]:
    """A slope of colours with a hole and an outside that are hidden, and the same picture before it was cut out."""
    height, width = 70, 90
    white = 1.0 if dtype is np.float32 else np.iinfo(dtype).max
    row, column = np.mgrid[:height, :width]
    levels = np.stack([0.3 + row / 200, 0.2 + column / 200, 0.8 - row / 200], axis=2)[..., :channels]
    whole = Picture((levels * white).astype(dtype))
    distance = np.hypot(row - 35, column - 45)
    alpha: Pixels = np.where((distance < 30) & (distance > 8), white, 0).astype(dtype)
    alpha[35, 60:70] = white / 3
    pixels = whole.pixels.copy()
    pixels[alpha == 0] = np.array([0, 1, 0][:channels]) * white
    return Picture(pixels, alpha), whole


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("network", [Blurs(), BlursAndEnlarges()], ids=["same size", "enlarged"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_cut_out_is_within_three_levels_of_the_whole_picture_cut_out_afterwards(
    network: Blurs, dtype: type, channels: int
) -> None:
    picture, whole = cut_out(dtype, channels)
    white = 1.0 if dtype is np.float32 else np.iinfo(dtype).max
    restorer = Restorer(network, device="cpu")
    restored, ideal = (restorer.restore_picture(each, tile=48, overlap=8).picture for each in (picture, whole))
    assert restored.alpha is not None
    share = restored.alpha[..., None] / white
    for background in (0, 0.5, 1):
        mine, best = (share * each.pixels / white + (1 - share) * background for each in (restored, ideal))
        assert np.abs(mine - best).max() <= 3 / 255


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_hidden_pixels_keep_their_colours_and_visible_ones_are_seen_as_they_are(dtype: type) -> None:
    picture, _ = cut_out(dtype)
    assert picture.alpha is not None
    hidden, before = picture.alpha == 0, picture.pixels.copy()
    network = Identity()
    restored = Restorer(network, device="cpu").restore_picture(picture).picture
    assert restored.pixels.tobytes() == before.tobytes() == picture.pixels.tobytes()
    filled = fill_hidden(picture.pixels, picture.alpha)
    np.testing.assert_array_equal(filled[~hidden], before[~hidden])
    assert filled[hidden][:, 0].min() > 0  # no green is left
    enlarged = Restorer(Enlarge(), device="cpu").restore_picture(picture).picture
    assert enlarged.alpha is not None
    still = enlarged.alpha == 0
    np.testing.assert_array_equal(enlarged.pixels[still], before.repeat(2, 0).repeat(2, 1)[still])


def test_a_picture_without_hidden_pixels_or_without_visible_ones_is_not_copied() -> None:
    pixels = noise(20, 30, 3)
    for alpha in (np.full((20, 30), 1, np.uint8), np.zeros((20, 30), np.uint8)):
        assert fill_hidden(pixels, alpha) is pixels
        restored = Restorer(Identity(), device="cpu").restore_picture(Picture(pixels, alpha)).picture
        np.testing.assert_array_equal(restored.pixels, pixels)


def test_a_hidden_pixel_takes_the_nearest_visible_colour_also_across_bands(monkeypatch: Any) -> None:
    pixels, alpha = noise(300, 40, 3), np.zeros((300, 40), np.uint8)
    alpha[250, 7], alpha[20, 30] = 255, 1
    monkeypatch.setattr("restore.inference.hidden_colours._BAND_PIXELS", 1)
    filled = fill_hidden(pixels, alpha)
    assert (filled[200:] == pixels[250, 7]).all()
    assert (filled[:80] == pixels[20, 30]).all()


def test_black_and_white_with_coloured_hidden_pixels_is_restored_as_grey() -> None:
    grey = noise(40, 50, 1)
    alpha = np.full((40, 50), 255, np.uint8)
    alpha[:15] = 0
    pixels = np.repeat(grey, 3, axis=2)
    pixels[:15] = 200, 0, 90

    class Tints(Identity):
        def forward(self, degraded: Tensor) -> Tensor:
            tinted: Tensor = super().forward(degraded).clone()
            tinted[:, 0] += 0.1
            return tinted

    restored = Restorer(Tints(), device="cpu").restore_picture(Picture(pixels, alpha)).picture.pixels
    assert not np.ptp(restored[15:], axis=2).any()
    assert (restored[:15] == (200, 0, 90)).all()


def test_a_mosaic_is_filled_with_the_colours_of_the_same_place_in_its_cells() -> None:
    cells: Pixels = np.tile(np.array([[10, 20], [30, 40]], np.uint8), (20, 20))[..., None]
    alpha = np.full((40, 40), 255, np.uint8)
    alpha[10:20, 5:33] = 0
    hidden = cells.copy()
    hidden[10:20, 5:33] = 99
    np.testing.assert_array_equal(fill_hidden(hidden, alpha, is_mosaic=True), cells)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_enlarged_alpha_and_further_channels_stay_in_the_range_of_the_picture(dtype: type) -> None:
    white = 1.0 if dtype is np.float32 else np.iinfo(dtype).max
    alpha: Pixels = np.zeros((20, 30), dtype)
    alpha[5:15, 5:15] = white
    extra = np.stack([alpha, (alpha / 2).astype(dtype), np.zeros_like(alpha), alpha, alpha], axis=2)
    picture = Picture(noise(20, 30, 3, dtype=np.uint8).astype(dtype), alpha, extra=extra, extra_kinds=(0,) * 5)
    enlarged = Restorer(Enlarge(), device="cpu").restore_picture(picture).picture
    assert enlarged.alpha is not None and enlarged.extra is not None
    assert enlarged.extra.shape == (40, 60, 5)
    for channel in (enlarged.alpha, enlarged.extra[..., 0], enlarged.extra[..., 4]):
        assert (channel.min(), channel.max()) == (0, white)
        np.testing.assert_array_equal(channel, enlarged.alpha)
    assert enlarged.extra[..., 1].max() == extra[..., 1].max()
    unchanged = Restorer(Identity(), device="cpu").restore_picture(picture).picture
    assert unchanged.extra is extra

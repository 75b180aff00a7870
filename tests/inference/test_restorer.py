"""What a restorer does to a picture or a tensor."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from fake_networks import Brighter, Enlarge, Identity, Pixels, ThreeConvolutions, noise, restore
from torch import Tensor

from restore.errors import DeviceError, RestoreError, UsageError
from restore.images import Picture
from restore.inference.restorer import Restorer
from restore.networks.base import Network


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("tile", [64, "auto"])
def test_every_level_of_the_depth_survives(dtype: type, channels: int, tile: Any) -> None:
    levels: Pixels = np.arange(256 * 256).astype(dtype).reshape(256, 256, 1).repeat(channels, 2)
    restored = restore(Identity(), levels, tile=tile)
    assert restored.dtype == dtype
    np.testing.assert_array_equal(restored, levels)


def test_floating_point_pictures_keep_their_range() -> None:
    levels = np.random.default_rng(0).random((90, 80, 3), np.float32) * 2 - 1
    levels[:9] *= 40
    restored = Restorer(Brighter(), device="cpu").restore_picture(Picture(levels), tile=64).picture.pixels
    assert restored.dtype == np.float32
    np.testing.assert_allclose(restored, levels + 0.1, rtol=0, atol=1e-5)


def test_two_runs_give_the_same_bytes() -> None:
    pixels = noise(150, 203, 3, dtype=np.uint16)
    first, second = (restore(ThreeConvolutions(halo=None), pixels, tile=64) for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_strength_mixes_the_result_with_the_input() -> None:
    pixels = noise(100, 100, 3) // 2  # leaves room, so that nothing is clamped
    network = Brighter()
    for strength in (0.5, 1.0):
        restored = restore(network, pixels, tile=64, strength=strength)
        assert np.abs(restored - (pixels + strength * 25.5)).max() <= 0.501
    network.seen.clear()
    np.testing.assert_array_equal(restore(network, pixels, strength=0), pixels)
    assert not network.seen


def test_a_grey_picture_runs_as_three_equal_channels_and_stays_grey() -> None:
    class Tint(Identity):
        def forward(self, degraded: Tensor) -> Tensor:
            return super().forward(degraded) + torch.tensor([0.0, 0.1, 0.2])[:, None, None]

    pixels, network = noise(40, 50, 1) // 2, Tint()
    restored = restore(network, pixels)
    assert restored.shape == (40, 50, 1)
    assert np.abs(restored - (pixels + 25.5)).max() <= 0.501  # 25.5 is the mean of the three
    (seen,) = network.seen
    assert torch.equal(seen[:, 0], seen[:, 1])
    assert torch.equal(seen[:, 0], seen[:, 2])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_black_and_white_picture_in_rgb_comes_out_as_its_grey_twin_does(dtype: type) -> None:
    drawn = np.random.default_rng(0).random((40, 52, 1))
    grey = Picture((drawn if dtype is np.float32 else drawn * np.iinfo(dtype).max).astype(dtype))
    rgb = Picture(np.repeat(grey.pixels, 3, axis=2))
    restorer = Restorer(ThreeConvolutions(), device="cpu")
    expected, restored = (restorer.restore_picture(picture, tile=32, overlap=4).picture for picture in (grey, rgb))
    np.testing.assert_array_equal(restored.pixels, np.repeat(expected.pixels, 3, axis=2))


def test_what_jpegs_rounding_leaves_of_a_black_and_white_picture_is_neutral_and_a_faint_colour_is_not() -> None:
    restorer = Restorer(ThreeConvolutions(), device="cpu")
    levels = np.random.default_rng(0).integers(10, 240, (40, 40, 1)).astype(np.uint8)
    for offset, is_neutral in ((2, True), (3, False)):
        pixels = levels + np.array([0, 0, offset], np.uint8)
        restored = restorer.restore_picture(Picture(pixels)).picture.pixels
        assert bool(np.ptp(restored, axis=2).any()) != is_neutral
    for offset, is_neutral in ((2 * 257, True), (3 * 257, False)):
        sixteen = Picture(levels.astype(np.uint16) * 257 + np.array([0, 0, offset], np.uint16))
        assert bool(np.ptp(restorer.restore_picture(sixteen).picture.pixels, axis=2).any()) != is_neutral


def test_a_mosaic_of_a_black_picture_still_gets_colours() -> None:
    restorer = Restorer(ThreeConvolutions(), device="cpu", task="demosaic")
    assert np.ptp(restorer.restore_picture(Picture(np.zeros((16, 16, 3), np.uint8))).picture.pixels, axis=2).any()


def test_a_grey_network_takes_grey_and_refuses_rgb() -> None:
    pixels = noise(40, 50, 1)
    np.testing.assert_array_equal(restore(Identity(channels=1), pixels), pixels)
    with pytest.raises(RestoreError, match=r"1 channel\(s\), not of 3"):
        restore(Identity(channels=1), noise(40, 50, 3))


def test_alpha_and_all_that_is_not_pixels_are_untouched() -> None:
    picture = Picture(noise(90, 80, 3), alpha=noise(90, 80), icc_profile=b"icc", exif=b"exif", dpi=(300.0, 300.0))
    before = {field.name: getattr(picture, field.name) for field in dataclasses.fields(picture)}
    pixels, alpha = picture.pixels.copy(), noise(90, 80)
    restored = Restorer(Brighter(), device="cpu").restore_picture(picture, tile=64).picture
    assert type(restored) is Picture
    for name, value in before.items():
        assert name in ("pixels", "notes") or getattr(restored, name) is value
    np.testing.assert_array_equal(picture.alpha, alpha)
    np.testing.assert_array_equal(picture.pixels, pixels)  # the input is unchanged


def test_the_network_runs_without_gradients_in_float32_and_channels_last() -> None:
    class Inspect(Identity):
        def forward(self, degraded: Tensor) -> Tensor:
            assert torch.is_inference_mode_enabled()
            assert not self.training
            assert degraded.dtype == torch.float32
            assert degraded.is_contiguous(memory_format=torch.channels_last)
            assert degraded.stride(0) > 0  # at 0, convolutions take other kernels
            return degraded

    for shape in ((33, 40, 3), (64, 64, 3), (64, 64, 1)):
        restore(Inspect(size_multiple=32), noise(*shape))
    Restorer(Inspect(), device="cpu").restore_tensor(torch.rand(2, 3, 20, 30, dtype=torch.float64))


def test_a_batch_is_restored_unclamped_and_keeps_its_size() -> None:
    class Double(Identity):
        def forward(self, degraded: Tensor) -> Tensor:
            return 4 * degraded - 1

    x = torch.rand(3, 3, 20, 31)
    restored = Restorer(Double(size_multiple=16), device="cpu").restore_tensor(x)
    assert torch.equal(restored, 4 * x - 1)


def test_a_result_that_is_not_finite_is_an_error() -> None:
    class Broken(Identity):
        def forward(self, degraded: Tensor) -> Tensor:
            return degraded / 0

    with pytest.raises(RestoreError, match="NaN"):
        restore(Broken(), noise(10, 10, 3))


def test_an_interruption_is_passed_on() -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore(Identity(), noise(100, 100, 3), tile=64, progress=stop)


@pytest.mark.parametrize(
    ("network", "options", "match"),
    [
        (Identity(), {"strength": 1.1}, "between 0 and 1"),
        (Identity(), {"strength": float("nan")}, "between 0 and 1"),
        (Identity(), {"overlap": 0}, "at least 1"),
        (Identity(), {"tile": 32}, "too small"),
        (Identity(size_multiple=32), {"tile": 63}, "too small"),
        (Identity(halo=40), {"tile": 88}, "too small"),
        (Enlarge(), {"strength": 0.5}, "larger"),
    ],
)
def test_a_number_out_of_range_is_a_usage_error(network: Network, options: dict[str, Any], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        restore(network, noise(100, 100, 3), **options)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_transparency_is_enlarged_with_the_picture(dtype: type) -> None:
    peak = np.iinfo(dtype).max
    alpha: Pixels = np.zeros((20, 30), dtype)
    alpha[:, 15:] = peak
    picture = Picture(noise(20, 30, 3, dtype=dtype), alpha=alpha)
    enlarged = Restorer(Enlarge(), device="cpu").restore_picture(picture).picture.alpha
    assert enlarged is not None
    assert enlarged.shape == (40, 60)
    assert (enlarged[:, :26] == 0).all()  # bicubic reaches two pixels of the input
    assert (enlarged[:, 34:] == peak).all()


def test_a_device_that_is_not_there_is_an_error() -> None:
    with pytest.raises(DeviceError):
        Restorer(Identity(), device="gpu")


@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")  # of torch itself
@pytest.mark.slow  # needs a C++ compiler, and takes a minute
def test_a_compiled_network_gives_what_it_gives_uncompiled() -> None:
    network = ThreeConvolutions()
    x = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    plain = Restorer(network, device="cpu").restore_tensor(x)
    torch.testing.assert_close(Restorer(network, device="cpu", compile_network=True).restore_tensor(x), plain)

from __future__ import annotations

import dataclasses
import itertools
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from restore.checkpoints.catalogue import load_catalogue
from restore.errors import DeviceError, RestoreError, UsageError
from restore.images import Picture
from restore.images.bayer import mosaic
from restore.inference.devices import AUTO_TILES
from restore.inference.memory import Need
from restore.inference.restorer import Restored, Restorer
from restore.networks.base import Network

Pixels = npt.NDArray[Any]


class Identity(Network):
    """Returns its input, and keeps all inputs in `seen`."""

    def __init__(self, **contract: Any) -> None:
        super().__init__()
        self.config = contract
        self.seen: list[Tensor] = []
        for name, value in contract.items():
            setattr(self, name, value)

    def forward(self, degraded: Tensor) -> Tensor:
        self.check_size(degraded)
        assert degraded.shape[1] == self.channels
        self.seen.append(degraded.clone())
        return degraded


class ThreeConvolutions(Identity):
    """Sees three pixels around each pixel; its zero padding shows at every border of its input."""

    halo = 3

    def __init__(self, **contract: Any) -> None:
        super().__init__(**contract)
        torch.manual_seed(0)
        self.layers = nn.Sequential(*(nn.Conv2d(self.channels, self.channels, 3, padding=1) for _ in range(3)))

    def forward(self, degraded: Tensor) -> Tensor:
        super().forward(degraded)
        return 0.3 * torch.sin(9 * self.layers(degraded)) + 0.5


class HalfSizeConvolutions(ThreeConvolutions):
    """Works on blocks of 2x2 pixels: 3 convolutions there see 6 pixels, and up to 1 more in their blocks."""

    halo = 7
    size_multiple = 2

    def forward(self, degraded: Tensor) -> Tensor:
        small = super().forward(functional.avg_pool2d(degraded, 2))
        return functional.interpolate(small, scale_factor=2.0)

    def check_size(self, degraded: Tensor) -> None:
        """Takes sides that are halved already."""


class LessItsMean(Identity):
    """Sees the whole tile: subtracts half its mean, so neighbouring tiles disagree in level."""

    def forward(self, degraded: Tensor) -> Tensor:
        return super().forward(degraded) - 0.5 * degraded.mean((2, 3), keepdim=True) + 0.3


class Enlarge(Identity):
    scale = 2

    def forward(self, degraded: Tensor) -> Tensor:
        return super().forward(degraded).repeat_interleave(2, 2).repeat_interleave(2, 3)


class Brighter(Identity):
    def forward(self, degraded: Tensor) -> Tensor:
        return super().forward(degraded) + 0.1


def noise(*shape: int, dtype: type = np.uint8) -> Pixels:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def restore(network: Network, pixels: Pixels, **options: Any) -> Pixels:
    return Restorer(network, device="cpu").restore_picture(Picture(pixels), **options).picture.pixels


def whole(network: Network, pixels: Pixels) -> Pixels:
    """The network's result for the whole picture, in the picture's depth."""
    peak = np.iinfo(pixels.dtype).max
    x = torch.from_numpy(pixels.astype(np.float32) / peak).permute(2, 0, 1)[None]
    y = Restorer(network, device="cpu").restore_tensor(x)[0].permute(1, 2, 0).clamp(0, 1)
    rounded: Pixels = (y * peak).round().numpy().astype(pixels.dtype)
    return rounded


@pytest.mark.parametrize("shape", [(150, 203, 3), (203, 150, 3), (41, 300, 3), (150, 203, 1)])
@pytest.mark.parametrize("kind", [ThreeConvolutions, HalfSizeConvolutions])
def test_tiled_equals_whole_for_a_local_network(kind: type[ThreeConvolutions], shape: tuple[int, ...]) -> None:
    network, pixels = kind(), noise(*shape, dtype=np.uint16)
    expected = whole(network, pixels).astype(int)
    for tile, overlap in ((64, 1), (64, 32), (100, 20)):
        network.seen.clear()
        restored = restore(network, pixels, tile=tile, overlap=overlap).astype(int)
        assert len(network.seen) > 1
        assert np.abs(restored - expected).max() <= 1  # of 65535: floating-point rounding


def test_less_than_its_halo_would_not_do() -> None:
    # The test above can fail: a network that understates its halo is caught.
    network, pixels = ThreeConvolutions(halo=2), noise(150, 203, 3, dtype=np.uint16)
    restored = restore(network, pixels, tile=64, overlap=1)
    assert np.abs(restored.astype(int) - whole(network, pixels)).max() > 100


def test_tiles_of_a_network_that_sees_everything_blend_without_a_step() -> None:
    row = np.linspace(10_000, 50_000, 400)
    pixels = np.broadcast_to(row[None, :, None], (300, 400, 3)).astype(np.uint16)
    network, overlap = LessItsMean(), 32
    restored = restore(network, pixels, tile=128, overlap=overlap).astype(float)
    means = [float(x.mean()) * 65535 for x in network.seen]
    disagreement = (
        (max(means) - min(means)) / 2 / (len(set(means)) - 1)
    )  # of neighbours, whose means are equally spaced
    assert disagreement > 3_000
    # The steepest slope of a raised cosine is pi / 2 of a straight ramp's; the picture's own slope and rounding add.
    limit = disagreement * np.pi / 2 / overlap + (row[1] - row[0]) + 2
    for axis in (0, 1):
        assert np.abs(np.diff(restored, axis=axis)).max() <= limit
    assert limit < disagreement / 10


@pytest.mark.parametrize("size", [(200, 333), (333, 200), (64, 65), (33, 500)])
def test_every_tile_position_is_used_once_and_in_order(size: tuple[int, int]) -> None:
    height, width = size
    pixels = np.zeros((height, width, 3), np.uint16)
    pixels[..., 0], pixels[..., 1] = np.mgrid[:height, :width]
    network = Identity(size_multiple=8)
    calls: list[tuple[int, int]] = []
    restore(network, pixels, tile=64, overlap=16, progress=lambda done, total: calls.append((done, total)))
    corners = [tuple(round(v * 65535) for v in x[0, :2, 0, 0].tolist()) for x in network.seen]
    tops, lefts = (sorted({corner[i] for corner in corners}) for i in (0, 1))
    assert corners == list(itertools.product(tops, lefts))
    assert len({x.shape for x in network.seen}) == 1  # equal tiles
    assert calls == [(done, len(corners)) for done in range(1, len(corners) + 1)]


def test_inner_tiles_are_not_padded() -> None:
    pixels = noise(250, 250, 3)
    network = Identity(size_multiple=32)
    restore(network, pixels, tile=96, overlap=32)
    side = network.seen[0].shape[2]
    windows = [pixels[i : i + side, j : j + side] for i, j in itertools.product(range(0, 129, 32), repeat=2)]
    known = {np.ascontiguousarray(w).tobytes() for w in windows if w.shape[:2] == (side, side)}
    tiles = [(x[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy() for x in network.seen]
    unpadded = sum(np.ascontiguousarray(t).tobytes() in known for t in tiles)
    count = round(len(tiles) ** 0.5)
    assert unpadded == (count - 1) ** 2  # all but the last row and column, which reach beyond the picture


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("tile", [64, "auto"])
def test_every_level_of_the_depth_survives(dtype: type, channels: int, tile: Any) -> None:
    levels: Pixels = np.arange(256 * 256).astype(dtype).reshape(256, 256, 1).repeat(channels, 2)
    restored = restore(Identity(), levels, tile=tile)
    assert restored.dtype == dtype
    np.testing.assert_array_equal(restored, levels)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (2, 3), (3, 5000), (5000, 3), (33, 31)])
@pytest.mark.parametrize("network", [Identity(size_multiple=32), Identity(size_multiple=8, min_size=60), Enlarge()])
def test_thin_pictures_are_padded_and_come_back_whole(network: Identity, size: tuple[int, int]) -> None:
    pixels = noise(*size, 3)
    scale = network.scale
    expected = pixels.repeat(scale, 0).repeat(scale, 1)
    for tile in ("auto", 128):
        np.testing.assert_array_equal(restore(network, pixels, tile=tile), expected)


@pytest.mark.parametrize("size", [(1, 1), (3, 20), (20, 3), (17, 30), (40, 50)])
def test_padding_reflects_and_then_replicates(size: tuple[int, int]) -> None:
    network, x = Identity(size_multiple=32), torch.rand(2, 3, *size)
    Restorer(network, device="cpu").restore_tensor(x)
    (got,) = network.seen
    height, width = size
    extra = [-height % 32, -width % 32]
    mirror = [min(extra[0], height - 1), min(extra[1], width - 1)]
    rest = [extra[0] - mirror[0], extra[1] - mirror[1]]
    expected = np.pad(x.numpy(), [(0, 0), (0, 0), (0, mirror[0]), (0, mirror[1])], mode="reflect")
    expected = np.pad(expected, [(0, 0), (0, 0), (0, rest[0]), (0, rest[1])], mode="edge")
    np.testing.assert_array_equal(got.numpy(), expected)


def test_an_enlarged_picture_is_tiled_in_its_own_pixels() -> None:
    pixels = noise(150, 203, 3)
    network = Enlarge(size_multiple=4)
    np.testing.assert_array_equal(restore(network, pixels, tile=64, overlap=8), pixels.repeat(2, 0).repeat(2, 1))
    assert len(network.seen) > 1


def test_no_floating_point_picture_is_made_and_no_tile_is_too_large() -> None:
    pixels = noise(1500, 2000, 3)
    network = Identity()
    network.forward = lambda degraded: degraded  # type: ignore[method-assign]  # keep nothing
    restorer = Restorer(network, device="cpu")
    restorer.restore_picture(Picture(pixels[:200, :200]), tile=128)
    tracemalloc.start()
    restorer.restore_picture(Picture(pixels), tile=128)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    tile, strip = 128 * 128 * 3 * 4, 128 * 2000 * 3 * 4
    assert peak < pixels.nbytes + strip + 6 * tile  # the output, one strip; a picture in float would be 4 * nbytes


@pytest.mark.parametrize("tile", [50, 64, 200])
def test_no_side_exceeds_the_tile_asked_for(tile: int) -> None:
    network = Identity(size_multiple=8)
    restore(network, noise(150, 203, 3), tile=tile, overlap=8)
    assert all(max(x.shape[2:]) <= tile for x in network.seen)


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


class RunsOut(ThreeConvolutions):
    """Fails as if memory ran out, at call number `at` and for every tile of more than `most` pixels."""

    def __init__(self, at: int = -1, most: float = float("inf"), error: Exception | None = None) -> None:
        super().__init__()
        self.at, self.most, self.calls, self.error = at, most, 0, error or torch.OutOfMemoryError("CUDA out of memory")

    def forward(self, degraded: Tensor) -> Tensor:
        self.calls += 1
        if self.calls == self.at or degraded[0, 0].numel() > self.most:
            raise self.error
        return super().forward(degraded)


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    MemoryError(),
    RuntimeError("[enforce fail at alloc_cpu.cpp:114] . DefaultCPUAllocator: can't allocate memory: you tried to"),
]


@pytest.mark.parametrize("shape", [(150, 260, 3), (260, 150, 3)], ids=["landscape", "portrait"])
def test_memory_may_run_out_at_any_tile(shape: tuple[int, ...]) -> None:
    pixels = noise(*shape, dtype=np.uint16)
    expected = whole(ThreeConvolutions(), pixels).astype(int)
    side, at, failed = 100, 1, True
    while failed:
        network = RunsOut(at, error=OUT_OF_MEMORY[at % 3])
        restored = Restorer(network, device="cpu").restore_picture(Picture(pixels), tile=side, overlap=8)
        assert np.abs(restored.picture.pixels.astype(int) - expected).max() <= 1
        failed = network.calls >= at
        assert restored.picture.notes == (["memory ran out; the rest was restored in tiles of 48 pixels"] * failed)
        assert max(restored.tile) <= (50 if failed else 100)
        at += 1
    assert at - 2 == 6  # each of the 2 x 3 tiles failed once


def test_rows_of_tiles_that_were_finished_before_memory_ran_out_are_kept() -> None:
    network = RunsOut(at=5)  # in the last of three rows of two tiles
    Restorer(network, device="cpu").restore_picture(Picture(noise(260, 150, 3)), tile=100, overlap=8)
    rows = [x.shape[2] for x in network.seen]
    assert rows[:4] == [96] * 4
    assert max(rows[4:]) <= 50
    assert sum(rows[4:]) < 4 * 150  # the run did not start again at the top


def test_memory_may_run_out_again_and_again() -> None:
    pixels = noise(300, 400, 3, dtype=np.uint16)
    network = RunsOut(most=3000)
    restored = Restorer(network, device="cpu").restore_picture(Picture(pixels), tile=400, overlap=8)
    assert max(restored.tile) <= 50
    assert np.abs(restored.picture.pixels.astype(int) - whole(ThreeConvolutions(), pixels)).max() <= 1
    assert network.calls - len(network.seen) == 3  # at 400, 200 and 100


def test_a_network_that_sees_everything_fades_from_large_tiles_into_small_ones() -> None:
    class Flat(RunsOut):
        """The level of a tile is its number of rows, so every disagreement shows."""

        halo = None  # type: ignore[assignment]

        def forward(self, degraded: Tensor) -> Tensor:
            super().forward(degraded)
            return torch.full_like(degraded, degraded.shape[2] / 200)

    picture = Picture(noise(500, 100, 1, dtype=np.uint16))
    restored = Restorer(Flat(at=3), device="cpu").restore_picture(picture, tile=200, overlap=32)
    levels = restored.picture.pixels[:, 50, 0] / 65535 * 200
    steps = np.abs(np.diff(levels))
    assert levels[0] > 150
    assert levels[-1] < 101
    assert steps.max() < (levels[0] - levels[-1]) * np.pi / 2 / 32 + 0.1


def test_memory_that_is_never_enough_is_one_clear_error() -> None:
    network = RunsOut(most=0)
    with pytest.raises(DeviceError, match=r"memory ran out, even with tiles of 6[0-4] pixels"):
        Restorer(network, device="cpu").restore_picture(Picture(noise(900, 900, 1)))
    assert network.calls < 8


def test_other_failures_of_a_network_are_not_taken_for_memory() -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        Restorer(RunsOut(1, error=RuntimeError("shapes cannot be multiplied")), device="cpu").restore_picture(
            Picture(noise(90, 90, 3))
        )


def test_the_seam_is_what_tiles_disagree_by() -> None:
    class Count(Identity):
        """Each tile is one grey level above the tile before it."""

        def forward(self, degraded: Tensor) -> Tensor:
            super().forward(degraded)
            return torch.full_like(degraded, len(self.seen) / 255)

    def restored(height: int, width: int) -> Restored:
        return Restorer(Count(), device="cpu").restore_picture(Picture(noise(height, width, 1)), tile=64, overlap=8)

    assert restored(60, 60).seam is None
    row = restored(60, 150).seam
    assert row is not None
    assert row.mean == pytest.approx(1, abs=1e-4)
    assert row.max == pytest.approx(1, abs=1e-4)
    # Two rows of three tiles: neighbours differ by 1 across and by 3 downwards, where the later tile of a row counts.
    both = restored(110, 150).seam
    assert both is not None
    assert both.max == pytest.approx(3, abs=1e-3)
    assert 1 < both.mean < 3


def test_tiles_of_a_local_network_have_no_seam() -> None:
    restored = Restorer(ThreeConvolutions(), device="cpu").restore_picture(Picture(noise(150, 203, 3)), tile=64)
    assert restored.seam is not None
    assert restored.seam.max < 1e-3


def test_floating_point_pictures_keep_their_range() -> None:
    levels = np.random.default_rng(0).random((90, 80, 3), np.float32) * 40 - 4
    restored = Restorer(Brighter(), device="cpu").restore_picture(Picture(levels), tile=64).picture.pixels
    assert restored.dtype == np.float32
    np.testing.assert_allclose(restored, levels + 0.1 * levels.max(), rtol=0, atol=1e-4)


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
    sixteen = Picture(levels.astype(np.uint16) + np.array([0, 0, 1], np.uint16))
    assert np.ptp(restorer.restore_picture(sixteen).picture.pixels, axis=2).any()


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


ALL_WAYS = [(turns, mirrored) for turns in range(4) for mirrored in (False, True)]


def turned(x: Tensor, turns: int, mirrored: bool) -> Tensor:
    x = x.rot90(turns, (2, 3))
    return x.flip(3) if mirrored else x


def turned_back(x: Tensor, turns: int, mirrored: bool) -> Tensor:
    return (x.flip(3) if mirrored else x).rot90(-turns, (2, 3))


@pytest.mark.parametrize(
    ("task", "ways"),
    [(None, ALL_WAYS), ("upscale", ALL_WAYS), ("derain", [way for way in ALL_WAYS if way[0] % 2 == 0])],
)
def test_a_self_ensemble_is_the_mean_over_the_ways_to_lay_a_picture(
    task: str | None, ways: list[tuple[int, bool]]
) -> None:
    restorer = Restorer(HalfSizeConvolutions(), device="cpu", task=task)
    x = torch.rand(2, 3, 21, 34)
    apart = [turned_back(restorer.restore_tensor(turned(x, *way)), *way) for way in ways]
    together = restorer.restore_tensor(x, self_ensemble=True)
    torch.testing.assert_close(together, torch.stack(apart).mean(0), atol=1e-6, rtol=0)
    assert (together - apart[0]).abs().max() > 0.01  # the ways differ


@pytest.mark.parametrize("size", [(20, 30), (21, 30), (20, 31), (21, 31), (2, 3), (1, 1)])
def test_a_self_ensemble_keeps_the_pattern_of_a_mosaic(size: tuple[int, int]) -> None:
    class Mosaics(Identity):
        def forward(self, degraded: Tensor) -> Tensor:
            (pixels,) = degraded.permute(0, 2, 3, 1).numpy()
            np.testing.assert_array_equal(pixels, mosaic(pixels))
            return super().forward(degraded)

    network = Mosaics()
    x = torch.from_numpy(mosaic(np.random.default_rng(0).uniform(0.1, 1, (*size, 3)).astype(np.float32)))
    x = x.permute(2, 0, 1)[None]
    restored = Restorer(network, device="cpu", task="demosaic").restore_tensor(x, self_ensemble=True)
    torch.testing.assert_close(restored, x)
    assert len(network.seen) == 8


def test_a_self_ensemble_enlarges_in_tiles_and_returns_what_was_given() -> None:
    pixels, restorer = noise(70, 90, 3), Restorer(Enlarge(), device="cpu")
    np.testing.assert_array_equal(restorer(pixels, tile=64, self_ensemble=True), restorer(pixels))


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


def test_the_smallest_tile_that_the_hint_offers_works() -> None:
    for network in (Identity(), Identity(size_multiple=32), Identity(halo=40), Identity(min_size=100)):
        with pytest.raises(UsageError) as caught:
            restore(network, noise(30, 200, 3), tile=1)
        tile = int((caught.value.hint or "").split()[2])
        np.testing.assert_array_equal(restore(network, noise(30, 200, 3), tile=tile), noise(30, 200, 3))
        with pytest.raises(UsageError):
            restore(network, noise(30, 200, 3), tile=tile - 1)


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


class TooLargeForHalf(Network):
    """Its inner values reach 1e5, which float16 cannot hold."""

    def __init__(self) -> None:
        super().__init__()
        self.config = {}
        self.up = nn.Conv2d(3, 3, 1, groups=3, bias=False)
        self.down = nn.Conv2d(3, 3, 1, groups=3, bias=False)
        nn.init.constant_(self.up.weight, 1e5)
        nn.init.constant_(self.down.weight, 1e-5)
        self.dtypes: list[torch.dtype] = []

    def forward(self, degraded: Tensor) -> Tensor:
        x = self.up(degraded)
        self.dtypes.append(x.dtype)
        restored: Tensor = self.down(x)
        return restored


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_lower_precision_is_used_and_what_overflows_is_computed_again_in_float32(precision: str) -> None:
    network = TooLargeForHalf()
    x = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    restored = Restorer(network, device="cpu", precision=precision).restore_tensor(x)
    assert restored.dtype == torch.float32
    if precision == "float16":
        assert network.dtypes == [torch.float16, torch.float32]
        torch.testing.assert_close(restored, x)
    else:
        assert network.dtypes == [torch.bfloat16]
        torch.testing.assert_close(restored, x, atol=0.02, rtol=0)


class Notes(Identity):
    """Records the type of a product under autocast."""

    def __init__(self) -> None:
        super().__init__()
        self.dtypes: list[torch.dtype] = []

    def forward(self, degraded: Tensor) -> Tensor:
        self.dtypes.append((degraded[0, 0, :2, :2] @ degraded[0, 0, :2, :2]).dtype)
        return super().forward(degraded)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Restorer]:
    """Makes a restorer with a loss in the catalogue, on a device with or without bfloat16."""

    def make(loss: float | None = 0.01, *, is_native: bool = True, **options: Any) -> Restorer:
        monkeypatch.setattr("restore.inference.restorer.has_native_bfloat16", lambda device: is_native)
        entry = dataclasses.replace(next(iter(load_catalogue().values())), bfloat16_loss=loss)
        return Restorer(options.pop("network", None) or Notes(), device="cpu", entry=entry, **options)

    return make


def computed_in(restorer: Restorer, picture: Any, **options: Any) -> list[torch.dtype]:
    network = restorer.network
    assert isinstance(network, Notes)
    network.dtypes.clear()
    restorer(picture, **options)
    return list(network.dtypes)


EIGHT_BITS = noise(8, 8, 3)


def test_auto_is_bfloat16_for_pictures_of_8_bits_only(measured: Callable[..., Restorer]) -> None:
    restorer = measured()
    pictures = [EIGHT_BITS, EIGHT_BITS.astype(np.uint16) * 257, EIGHT_BITS / np.float32(255)]
    assert [computed_in(restorer, p) for p in pictures] == [[torch.bfloat16], [torch.float32], [torch.float32]]
    tensor = torch.from_numpy(EIGHT_BITS).permute(2, 0, 1)[None]
    assert computed_in(restorer, tensor) == [torch.bfloat16]
    assert restorer.restore_picture(Picture(EIGHT_BITS)).precision == "bfloat16"
    assert restorer.restore_picture(Picture(EIGHT_BITS), strength=0).precision is None


@pytest.mark.parametrize(("loss", "is_native"), [(0.02, True), (None, True), (-0.01, False)])
def test_auto_is_float32_for_weights_that_lose_by_bfloat16_or_were_not_measured_and_where_it_is_not_native(
    measured: Callable[..., Restorer], loss: float | None, is_native: bool
) -> None:
    assert computed_in(measured(loss, is_native=is_native), EIGHT_BITS) == [torch.float32]


def test_auto_is_float32_for_weights_that_are_in_no_catalogue(measured: Callable[..., Restorer]) -> None:
    measured()
    assert computed_in(Restorer(Notes(), device="cpu"), EIGHT_BITS) == [torch.float32]


def test_a_precision_that_is_asked_for_is_that_of_every_picture(measured: Callable[..., Restorer]) -> None:
    for picture in (EIGHT_BITS, EIGHT_BITS / np.float32(255)):
        assert computed_in(measured(None, precision="bfloat16"), picture) == [torch.bfloat16]
        assert computed_in(measured(precision="float32"), picture) == [torch.float32]


def test_auto_takes_a_tensor_for_the_floats_that_it_is(measured: Callable[..., Restorer]) -> None:
    restorer = measured()
    network = restorer.network
    assert isinstance(network, Notes)
    for precision in (None, restorer.precision_for(np.uint8)):
        restorer.restore_tensor(torch.rand(1, 3, 8, 8), precision=precision)
    assert network.dtypes == [torch.float32, torch.bfloat16]


def test_every_turn_of_a_self_ensemble_is_in_the_pictures_precision(measured: Callable[..., Restorer]) -> None:
    assert computed_in(measured(), EIGHT_BITS, self_ensemble=True) == [torch.bfloat16] * 8


def test_what_auto_makes_infinite_is_computed_again_in_float32(measured: Callable[..., Restorer]) -> None:
    class TooLarge(TooLargeForHalf):
        def forward(self, degraded: Tensor) -> Tensor:
            restored = super().forward(degraded)
            return restored / 0 if self.dtypes[-1] == torch.bfloat16 else restored

    restored = measured(network=TooLarge())(EIGHT_BITS)
    np.testing.assert_array_equal(restored, EIGHT_BITS)


def test_auto_may_be_asked_for_at_a_call_and_what_is_no_precision_is_an_error() -> None:
    restorer, picture = Restorer(Identity(), device="cpu", precision="bfloat16"), Picture(noise(16, 16, 3))
    assert restorer.restore_picture(picture, precision="auto").precision == "float32"  # nobody measured these weights
    with pytest.raises(UsageError, match="no precision called 'half'"):
        restorer.restore_picture(picture, precision="half")
    with pytest.raises(UsageError, match="no precision called 'half'"):
        restorer.restore_tensor(torch.zeros(1, 3, 16, 16), precision="half")


def test_an_unknown_precision_is_an_error_that_lists_the_names() -> None:
    with pytest.raises(UsageError, match="no precision called 'half'") as caught:
        Restorer(Identity(), device="cpu", precision="half")
    assert caught.value.hint == "choose one of auto, float32, bfloat16, float16"


@pytest.mark.slow  # needs a C++ compiler, and takes a minute
def test_a_compiled_network_gives_what_it_gives_uncompiled() -> None:
    network = ThreeConvolutions()
    x = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    plain = Restorer(network, device="cpu").restore_tensor(x)
    torch.testing.assert_close(Restorer(network, device="cpu", compile_network=True).restore_tensor(x), plain)

"""A picture restored tile by tile, also where memory runs out."""

from __future__ import annotations

import itertools
import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from fake_networks import Enlarge, HalfSizeConvolutions, Identity, LessItsMean, ThreeConvolutions, noise, restore, whole
from torch import Tensor

from restore.errors import DeviceError
from restore.images import Picture
from restore.inference.blending import Blender
from restore.inference.exposure import Exposure
from restore.inference.memory import is_out_of_memory
from restore.inference.restored import Restored
from restore.inference.restorer import Restorer
from restore.inference.tiled_run import TiledRun
from restore.inference.torch_engine import TorchEngine
from restore.networks.base import Network


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
        what = "rest" if at > (3 if shape[1] > shape[0] else 2) else "picture"  # tiles of the first row
        assert restored.picture.notes == [f"memory ran out; the {what} was restored in tiles of 48 pixels"] * failed
        assert max(restored.tile) <= (50 if failed else 100)
        assert restored.retiled == (96 if failed else None)
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


class Seeing(LessItsMean):
    """Sees the whole tile, and counts the tiles at which `fail` is called."""

    def __init__(self, fail: Callable[[int], None] = lambda call: None) -> None:
        super().__init__(scale=1)
        self.calls, self.fail = 0, fail

    def forward(self, degraded: Tensor) -> Tensor:
        self.calls += 1
        self.fail(self.calls)
        return super().forward(degraded)


def test_a_network_that_sees_everything_starts_again_and_equals_a_run_with_the_smaller_tiles() -> None:
    pixels = noise(150, 260, 3, dtype=np.uint16)
    large = Restorer(Seeing(), device="cpu").restore_picture(Picture(pixels), tile=100, overlap=8)
    small = Restorer(Seeing(), device="cpu").restore_picture(Picture(pixels), tile=max(large.tile) // 2, overlap=8)
    assert (small.picture.pixels != large.picture.pixels).any()
    assert (large.retiled, large.tiles) == (None, 6)
    for at in range(1, 7):

        def fail(call: int, at: int = at) -> None:
            if call == at:
                raise OUT_OF_MEMORY[at % 3]

        restored = Restorer(Seeing(fail), device="cpu").restore_picture(Picture(pixels), tile=100, overlap=8)
        np.testing.assert_array_equal(restored.picture.pixels, small.picture.pixels)
        assert (restored.tiles, restored.tile, restored.seam) == (small.tiles, small.tile, small.seam)
        assert restored.retiled == max(large.tile)
        assert restored.picture.notes == [
            f"memory ran out; the picture was restored in tiles of {max(large.tile) // 2} pixels"
        ]


@pytest.mark.parametrize("has_halo", [False, True])
def test_memory_may_run_out_at_any_call(has_halo: bool) -> None:
    """Of the calls of NumPy and torch for 3 x 3 tiles, every seventh fails once."""
    pixels = noise(80, 80, 3, dtype=np.uint16)

    def restored(tile: int) -> Restored:
        network: Network = Identity(halo=0) if has_halo else Seeing()
        return Restorer(network, device="cpu").restore_picture(Picture(pixels), tile=tile, overlap=4)

    large = restored(34)
    assert large.tiles == 9
    expected = {None: large, max(large.tile): restored(max(large.tile) // 2)}
    functions = TiledRun._restore_row, TiledRun._ready_blender, Blender.__init__, Blender.add, Blender.cut
    own = Restorer._restore_tile, TorchEngine.restore, TorchEngine._restore_whole, Exposure.split, Exposure.join
    codes = {function.__code__ for function in (*functions, *own)}
    failing = seen = 0
    retiled = set()
    while failing <= seen:
        failing, seen = failing + 7, 0

        def fail(frame: FrameType, event: str, argument: object, failing: int = failing) -> None:
            nonlocal seen
            if event == "c_call" and frame.f_code in codes:
                seen += 1
                if seen == failing:
                    raise MemoryError

        sys.setprofile(fail)
        try:
            result = restored(34)
        finally:
            sys.setprofile(None)
        np.testing.assert_array_equal(result.picture.pixels, expected[result.retiled].picture.pixels)
        assert len(result.picture.notes) == (result.retiled is not None)
        retiled.add(result.retiled)
    assert failing > 100
    assert retiled == set(expected)


def test_a_run_that_starts_again_twice_names_only_the_last_tiles() -> None:
    def fail(call: int) -> None:
        if call in (2, 9):
            raise MemoryError

    pixels = noise(150, 260, 3)
    restored = Restorer(Seeing(fail), device="cpu").restore_picture(Picture(pixels), tile=200, overlap=8)
    (note,) = restored.picture.notes
    side = int(note.split()[-2])
    assert side < 100
    expected = Restorer(Seeing(), device="cpu").restore_picture(Picture(pixels), tile=side, overlap=8)
    np.testing.assert_array_equal(restored.picture.pixels, expected.picture.pixels)


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


@pytest.mark.parametrize(
    "place",
    ["cv2.resize", "cv2.distanceTransformWithLabels", "numpy.empty", "numpy.partition", "numpy.take", "numpy.copyto"],
)
@pytest.mark.parametrize("kind", ["NumPy", "OpenCV"])
def test_memory_that_runs_out_for_a_whole_picture_is_one_clear_error(
    place: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    alpha = np.full((40, 50), 255, np.uint8)
    alpha[:20] = 0
    picture = Picture(noise(40, 50, 3), alpha)
    with pytest.raises(cv2.error) as caught:
        cv2.resize(np.zeros((0, 0), np.uint8), (4, 4))
    error: Any = caught.value
    if kind == "NumPy":
        error = MemoryError()
    else:
        error.code = -4  # what OpenCV calls StsNoMem

    def fail(*args: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(place, fail)
    with pytest.raises(DeviceError, match="not enough memory for the result, 100 x 80 pixels"):
        Restorer(Enlarge(), device="cpu").restore_picture(picture)


def test_another_error_of_opencv_is_not_taken_for_memory() -> None:
    with pytest.raises(cv2.error) as caught:
        cv2.resize(np.zeros((0, 0), np.uint8), (4, 4))
    assert not is_out_of_memory(caught.value)

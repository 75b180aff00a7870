from __future__ import annotations

import itertools
import math
import tracemalloc
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from restore.inference.blending import Blender
from restore.inference.tiling import SHORTEST_FADE, Axis, plan_axis, round_up, tile_side, tile_starts, widen

# length, tile, overlap, multiple, smallest, halo
CUTS = [
    (1, 64, 8, 1, 1, None),
    (64, 64, 8, 1, 1, None),
    (65, 64, 8, 1, 1, None),
    (5000, 512, 32, 32, 32, None),
    (1003, 96, 32, 32, 1, None),  # one block of stride, so neighbours share two thirds
    (100, 40, 30, 1, 1, None),  # more than two tiles overlap
    (100, 10, 9, 1, 1, None),  # up to ten tiles overlap
    (333, 64, 16, 8, 64, None),
    (500, 80, 16, 1, 1, 9),
    (500, 80, 16, 8, 1, 20),
    (999, 64, 1, 1, 1, None),
]


@pytest.fixture(params=CUTS, ids=str)
def axis(request: pytest.FixtureRequest) -> Axis:
    length, tile, overlap, multiple, smallest, halo = request.param
    return plan_axis(length, tile=tile, overlap=overlap, multiple=multiple, smallest=smallest, halo=halo)


def weight_sum(axis: Axis) -> npt.NDArray[np.float32]:
    total = np.zeros(axis.starts[-1] + axis.side, np.float32)
    for index, start in enumerate(axis.starts):
        total[start : start + axis.side] += axis.weights(index)
    return total


def test_weights_sum_to_one_at_every_pixel(axis: Axis) -> None:
    np.testing.assert_allclose(weight_sum(axis), 1, rtol=0, atol=1e-6)


def test_weights_of_two_tiles_sum_to_exactly_one_and_never_leave_0_to_1() -> None:
    for length, tile, overlap in itertools.product((700, 1000), (256, 300), (1, 7, 32, 100)):
        axis = plan_axis(length, tile=tile, overlap=overlap)
        assert len(axis.starts) > 1
        assert (weight_sum(axis) == 1).all()
        for index in range(len(axis.starts)):
            assert axis.weights(index).min() >= 0
            assert axis.weights(index).max() == 1


def test_tiles_cover_the_picture_and_no_tile_is_idle(axis: Axis) -> None:
    assert axis.starts[0] == 0
    assert axis.starts[-1] < axis.length <= axis.starts[-1] + axis.side
    assert all(a < b for a, b in itertools.pairwise(axis.starts))
    finished = [axis.finished(index) for index in range(len(axis.starts))]
    assert min(finished) > 0
    assert sum(finished) == axis.length


@pytest.mark.parametrize(("length", "tile", "overlap", "multiple", "smallest", "halo"), CUTS)
def test_tiles_keep_to_their_limits(
    length: int, tile: int, overlap: int, multiple: int, smallest: int, halo: int | None
) -> None:
    axis = plan_axis(length, tile=tile, overlap=overlap, multiple=multiple, smallest=smallest, halo=halo)
    assert smallest <= axis.side <= tile
    assert axis.side % multiple == 0
    assert all(start % multiple == 0 for start in axis.starts)
    for index in range(1, len(axis.starts)):
        assert axis.overlap(index) >= widen(overlap, halo)
    beyond = axis.starts[-1] + axis.side - axis.length
    assert beyond < max(multiple, smallest)
    assert beyond < multiple or len(axis.starts) == 1  # only a picture smaller than one tile is padded by more


def test_no_smaller_number_of_tiles_would_do() -> None:
    for length, tile, overlap in itertools.product(range(20, 200, 7), (16, 33), (1, 5, 15)):
        count = len(plan_axis(length, tile=tile, overlap=overlap).starts)
        assert count == max(1, math.ceil((length - overlap) / (tile - overlap)))


def test_no_smaller_side_would_do_with_as_many_tiles() -> None:
    for length, overlap in itertools.product(range(50, 200, 7), (1, 5, 15)):
        side = tile_side(length, 40, overlap)
        count = len(tile_starts(length, 40, overlap))
        assert count * side - (count - 1) * overlap >= length
        assert count * (side - 1) - (count - 1) * overlap < length


def test_a_tile_no_larger_than_the_overlap_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot share 32"):
        tile_starts(1000, tile=32, overlap=32)
    with pytest.raises(ValueError, match="in multiples of 32"):
        tile_starts(1000, tile=63, overlap=20, multiple=32)


def test_pixels_within_the_halo_of_a_cut_get_no_weight() -> None:
    axis = plan_axis(500, tile=80, overlap=1, halo=9)
    last = len(axis.starts) - 1
    assert last > 1
    for index in range(last + 1):
        weights = axis.weights(index)
        assert index == 0 or not weights[:9].any()
        assert index == last or not weights[-9:].any()
        assert np.count_nonzero(weights[:10]) == (10 if index == 0 else 1)
    assert axis.overlap(1) >= 18 + SHORTEST_FADE


def test_the_fade_is_a_raised_cosine_not_a_mean_and_not_a_crop() -> None:
    axis = Axis(length=48, side=32, starts=(0, 16))
    angles = np.pi * (np.arange(16) + 0.5) / 16
    expected = np.concatenate([(1 - np.cos(angles)) / 2, np.ones(16)])
    np.testing.assert_allclose(axis.weights(1), expected, atol=1e-7)
    np.testing.assert_allclose(axis.weights(0), expected[::-1], atol=1e-7)


def blend(rows: Axis, columns: Axis, picture: npt.NDArray[np.float32], dtype: type) -> npt.NDArray[Any]:
    out: npt.NDArray[Any] = np.full(picture.shape, 7, dtype)
    blender = Blender(rows, columns, out, np.iinfo(out.dtype).max)
    for (row, top), (column, left) in itertools.product(enumerate(rows.starts), enumerate(columns.starts)):
        blender.add(row, column, picture[top : top + rows.side, left : left + columns.side])
    return out


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("rows", CUTS, ids=str)
def test_tiles_of_a_picture_blend_into_that_picture(rows: tuple[int, ...], dtype: type) -> None:
    length, tile, overlap, multiple, smallest, halo = rows
    axis = plan_axis(min(length, 400), tile=tile, overlap=overlap, multiple=multiple, smallest=smallest, halo=halo)
    other = plan_axis(70, tile=32, overlap=20)
    peak = np.iinfo(dtype).max
    levels = np.random.default_rng(0).integers(0, peak, (axis.length, 70, 3), dtype, endpoint=True)
    picture = (levels / peak).astype(np.float32)
    np.testing.assert_array_equal(blend(axis, other, picture, dtype), levels)
    np.testing.assert_array_equal(blend(other, axis, picture.transpose(1, 0, 2), dtype), levels.transpose(1, 0, 2))


def test_the_result_is_the_sum_of_weighted_tiles() -> None:
    rows, columns = plan_axis(90, tile=40, overlap=30), plan_axis(75, tile=32, overlap=9)
    rng = np.random.default_rng(1)
    expected, out = np.zeros((90, 75, 1)), np.empty((90, 75, 1), np.uint16)
    blender = Blender(rows, columns, out, np.iinfo(out.dtype).max)
    for (row, top), (column, left) in itertools.product(enumerate(rows.starts), enumerate(columns.starts)):
        tile = rng.random((rows.side, columns.side, 1), np.float32)[: 90 - top, : 75 - left]
        weights = np.outer(rows.weights(row)[: len(tile)], columns.weights(column)[: tile.shape[1]])
        expected[top : top + len(tile), left : left + tile.shape[1]] += weights[:, :, None] * tile
        blender.add(row, column, tile)
    np.testing.assert_allclose(out / 65535, expected, rtol=0, atol=0.51 / 65535)


def test_values_are_rounded_to_nearest_and_clamped() -> None:
    axis, one = plan_axis(6, tile=6, overlap=1), plan_axis(1, tile=6, overlap=1)
    tile = np.array([-0.5, 0.0, 1.4 / 255, 1.6 / 255, 1.0, 1.5], np.float32).reshape(6, 1, 1)
    assert blend(axis, one, tile, np.uint8).ravel().tolist() == [0, 0, 1, 2, 255, 255]


def test_scaled_cuts_blend_a_larger_picture() -> None:
    rows, columns = (plan_axis(n, tile=32, overlap=12, multiple=4, halo=2) for n in (70, 101))
    levels = np.random.default_rng(2).integers(0, 255, (140, 202, 3), np.uint8, endpoint=True)
    big = (levels / 255).astype(np.float32)
    np.testing.assert_array_equal(blend(rows.scaled(2), columns.scaled(2), big, np.uint8), levels)


def test_a_row_of_tiles_can_be_begun_again() -> None:
    rows, columns = plan_axis(90, tile=40, overlap=10), plan_axis(90, tile=40, overlap=10)
    picture = np.random.default_rng(3).random((90, 90, 3), np.float32)
    whole, out = blend(rows, columns, picture, np.uint16), np.empty((90, 90, 3), np.uint16)
    blender = Blender(rows, columns, out, np.iinfo(out.dtype).max)
    for row, top in enumerate(rows.starts):
        for column in [0, 1, *range(len(columns.starts))]:
            left = columns.starts[column]
            blender.add(row, column, picture[top : top + rows.side, left : left + columns.side])
    np.testing.assert_array_equal(out, whole)


def test_blending_holds_the_overlaps_and_no_picture_in_floating_point() -> None:
    rows, columns = (plan_axis(n, tile=128, overlap=16) for n in (1500, 2000))
    out, tile = np.empty((1500, 2000, 3), np.uint8), np.ones((rows.side, columns.side, 3), np.float32)
    tracemalloc.start()
    blender = Blender(rows, columns, out, np.iinfo(out.dtype).max)
    for (row, top), (column, left) in itertools.product(enumerate(rows.starts), enumerate(columns.starts)):
        blender.add(row, column, tile[: 1500 - top, : 2000 - left])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    shared = rows.overlap(1) + 1  # starts are rounded, so one pixel more between some
    assert peak < 4 * shared * 2000 * 3 * 4 + 4 * tile.nbytes
    assert peak < out.nbytes / 2  # in floating point the picture alone takes 4 * out.nbytes
    assert (out == 255).all()


def test_round_up_keeps_multiples() -> None:
    assert [round_up(n, 8) for n in (1, 8, 9)] == [8, 8, 16]


def test_starts_on_a_finer_grid_than_the_sides_waste_less() -> None:
    coarse = plan_axis(4000, tile=1024, overlap=32, multiple=64)
    fine = plan_axis(4000, tile=1024, overlap=32, multiple=64, grid=16)
    assert fine.side % 64 == 0 and all(start % 16 == 0 for start in fine.starts)
    assert all(fine.overlap(index) >= 32 for index in range(1, len(fine.starts)))
    assert fine.starts[-1] + fine.side >= 4000 > fine.starts[-1] + fine.side - 16
    assert len(fine.starts) * fine.side < len(coarse.starts) * coarse.side

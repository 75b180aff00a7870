from __future__ import annotations

import numpy as np
import pytest
from drawn_pictures import at, flat

from restore.degradations.rain_like_patterns import Grid, bars, patterned


@pytest.mark.parametrize(("period", "width"), [(5.0, 1.0), (12.0, 6.0), (30.0, 4.0)])
def test_bars_fill_their_share_at_their_distance(period: float, width: float) -> None:
    grid = Grid.seen(300, 300, 0.0, 0.0, 0.0)
    drawn = bars(grid.across, grid.pixel, period, width)
    assert drawn.mean() == pytest.approx(width / period, abs=0.02)
    np.testing.assert_array_equal(drawn, drawn[:1].repeat(300, 0))  # upright
    np.testing.assert_allclose(drawn[:, : -round(period)], drawn[:, round(period) :], atol=1e-3)


def test_the_plane_turns_and_its_far_side_looks_smaller() -> None:
    turned = Grid.seen(100, 100, np.pi / 2, 0.0, 0.0)
    np.testing.assert_allclose(np.diff(turned.across, axis=0), 1, atol=1e-4)
    np.testing.assert_allclose(np.diff(turned.across, axis=1), 0, atol=1e-4)
    slanted = Grid.seen(100, 100, 0.0, 1.0, 0.0)
    steps = np.diff(slanted.across[50])
    assert steps[-1] > 2 * steps[0] > 0  # more of the plane in a pixel
    assert slanted.pixel[50, -1] > slanted.pixel[50, 0]


def test_patterns_differ_in_kind_strength_and_direction_and_keep_parts_of_the_picture() -> None:
    covered, steep = [], []
    for seed in range(120):
        drawn = patterned(flat(0.5, 96), at(seed))
        assert drawn.min() >= 0 and drawn.max() <= 1
        np.testing.assert_allclose(drawn * 255, np.round(drawn * 255), atol=1e-3)
        covered.append(float((np.abs(drawn - 0.5).max(axis=-1) > 5 / 255).mean()))
        down, across = np.gradient(drawn[..., 1].astype(np.float64))
        if np.abs(drawn - 0.5).max() > 20 / 255:
            steep.append(bool(np.square(across).mean() > np.square(down).mean()))
    assert min(covered) < 0.1 and max(covered) > 0.5 and np.median(covered) < 0.8
    assert 0.3 < np.mean(steep) < 0.8


def test_most_patterns_are_seen() -> None:
    seen = [np.abs(patterned(flat(0.5, 96), at(seed)) - 0.5).max() > 10 / 255 for seed in range(100)]
    assert np.mean(seen) > 0.75

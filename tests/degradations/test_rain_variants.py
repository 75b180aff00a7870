from __future__ import annotations

import cv2
import numpy as np
import pytest
from drawn_pictures import at, pairs

from restore.degradations import Image, to_8_bits
from restore.degradations.mixtures import any_rain
from restore.degradations.rain import rain
from restore.degradations.rain_variants import Drops, crossed_rain, dry, dry_patterns, lens_drops, night_rain

CLEAR = Drops(radius=20, spread=0.0, cover=0.3, blur=0.3, shrink=1.0, shade=0.0, opacity=1.0)


def flat(level: float, side: int = 96) -> Image:
    return to_8_bits(np.full((side, side, 3), level, np.float32))


def varied(side: int = 96) -> Image:
    drawn = cv2.GaussianBlur(at(3).standard_normal((side, side, 3)).astype(np.float32), (0, 0), 3)
    return to_8_bits(0.5 + drawn)


def steadiness(layer: Image) -> float:
    """How much the lines of a layer share one direction, by its structure tensor: 0 not at all, 1 fully."""
    down, across = np.gradient(cv2.GaussianBlur(layer.astype(np.float64), (0, 0), 1.5))
    xx, yy, xy = np.square(across).mean(), np.square(down).mean(), (across * down).mean()
    return float(np.hypot(xx - yy, 2 * xy) / (xx + yy + 1e-12))


def test_crossed_rain_only_brightens_and_leaves_what_is_between_streaks_as_it_was() -> None:
    kept = []
    for reference, degraded in pairs(crossed_rain, flat(0.3), 40):
        np.testing.assert_array_equal(reference, flat(0.3))
        assert (degraded >= reference).all()
        kept.append(float((degraded == reference).mean()))
    # 35 % of amounts (uniform logarithm, 0.03 to 0.8) are above 0.2 and half of those have mist, which is everywhere.
    misty = sum(share < 0.02 for share in kept)
    assert 0 < misty < 40 * 0.21 + 3 * np.sqrt(40 * 0.21 * 0.79)
    assert max(kept) > 0.8


def test_crossed_rain_has_more_than_one_direction() -> None:
    one, several = (
        np.median([steadiness((degraded - flat(0.2, 160))[..., 1]) for _, degraded in pairs(draw, flat(0.2, 160), 40)])
        for draw in (rain, crossed_rain)
    )
    assert several < one - 0.05


def test_rain_at_night_is_brightest_where_the_lamps_are_and_darkens_nothing() -> None:
    near, far = [], []
    for reference, degraded in pairs(night_rain, flat(0.4, 128), 40):
        assert reference.mean() < 0.35 and reference.max() > 0.95  # dark, with lamps
        assert (degraded >= reference).all() and (degraded > reference).any()
        added = np.square(degraded) - np.square(reference)  # about light
        bright = cv2.GaussianBlur(reference[..., 0], (0, 0), 12)
        near.append(float(added[(bright > np.quantile(bright, 0.7)) & (reference[..., 0] < 0.9)].mean()))
        far.append(float(added[bright < np.quantile(bright, 0.3)].mean()))
    assert np.mean(near) > 2 * np.mean(far)


def test_a_drop_shows_the_scene_upside_down() -> None:
    clean = flat(0.2, 200)
    clean[100:] = 0.8
    one = Drops(radius=30, spread=0.0, cover=0.2, blur=0.2, shrink=1.0, shade=0.0, opacity=1.0)
    turned = 0
    for seed in range(20):
        seen = one.over(clean, at(seed))
        turned += bool((seen[60:98] > 0.7).any() and (seen[104:140] < 0.3).any())
    assert turned >= 5  # if a drop lies across the edge


def test_without_shade_a_flat_picture_keeps_its_brightness_and_without_drops_any_picture() -> None:
    np.testing.assert_allclose(CLEAR.over(flat(0.4), at(0)), flat(0.4), atol=1e-5)
    none = Drops(radius=20, spread=0.0, cover=0.0, blur=0.3, shrink=1.0, shade=0.3, opacity=1.0)
    np.testing.assert_array_equal(none.over(varied(), at(0)), varied())


@pytest.mark.parametrize("cover", [0.05, 0.3])
def test_drops_cover_their_share(cover: float) -> None:
    drops = Drops(radius=6, spread=0.0, cover=cover, blur=0.1, shrink=2.0, shade=0.0, opacity=1.0)
    rows = np.indices((400, 400))[0].astype(np.float32)[..., None].repeat(3, 2) / 400
    covered = (np.abs(drops.over(rows, at(0)) - rows).mean(axis=-1) > 1e-3).mean()
    # Places of drops are independent; a drop changes nothing along its middle row.
    assert 0.6 * (1 - np.exp(-cover)) < covered < 1.15 * (1 - np.exp(-cover))


def test_drops_on_the_lens_change_little_in_brightness() -> None:
    shifts = [float((degraded - reference).mean()) for reference, degraded in pairs(lens_drops, varied(), 40)]
    assert abs(np.median(shifts)) < 1.5 / 255


def test_dry_patterns_are_reference_and_input() -> None:
    changed = 0
    for reference, degraded in pairs(dry_patterns, varied(), 30):
        np.testing.assert_array_equal(reference, degraded)
        changed += bool((reference != varied()).any())
    assert changed > 25
    untouched = sum(bool((reference == varied()).all()) for reference, _ in pairs(dry, varied(), 60))
    assert abs(untouched - 30) < 3 * np.sqrt(15)  # half are photographs as they are; patterns may fall off a crop


def test_all_rain_falls_down() -> None:
    for draw in (crossed_rain, night_rain, lens_drops, dry_patterns, any_rain):
        assert all(draw(at(seed)).is_oriented for seed in range(30))

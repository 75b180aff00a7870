from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest
from drawn_pictures import at, flat

from restore.degradations import to_8_bits
from restore.degradations.rain import Mist, Streaks, layer_of, pasted_rain, rain, rainy

# One brightness, blunt ends, no blur: only the positions of streaks.
BARS = Streaks(
    angle=0, length=20, spread=0, width=1, softness=0, density=0.05, opacity=0.5, evenness=1, taper=0
)  # fmt: skip


def direction(layer: np.ndarray) -> float:
    """Degrees from the vertical of the lines in a layer, by its structure tensor; above 0 they fall to the left."""
    down, across = np.gradient(cv2.GaussianBlur(layer.astype(np.float64), (0, 0), 2))  # differences of steps are biased
    return float(np.degrees(0.5 * np.arctan2(2 * (across * down).mean(), (across**2).mean() - (down**2).mean())))


@pytest.mark.parametrize("density", [0.02, 0.1, 0.5])
def test_streaks_cover_the_share_of_the_picture_that_is_asked_for(density: float) -> None:
    layer = dataclasses.replace(BARS, density=density).render(400, 500, at(0))
    # Positions of streaks are independent, so a pixel is free with a probability of exp(-density).
    covered = (layer > 0.25).mean()
    assert covered == pytest.approx(1 - np.exp(-density), rel=0.1)
    assert layer.shape == (400, 500) and layer.dtype == np.float32


def test_upright_bars_have_their_length_width_and_brightness() -> None:
    layer = dataclasses.replace(BARS, width=3, density=0.002).render(300, 300, at(1))
    assert layer.max() == pytest.approx(0.5)
    _, columns = np.nonzero(layer[30:-30, 30:-30] > 0.25)
    column = np.bincount(columns).argmax()
    lit = np.flatnonzero(layer[:, 30 + column] > 0.25)
    first = np.split(lit, np.flatnonzero(np.diff(lit) > 1) + 1)[0]
    assert len(first) in (19, 20, 21) or first[0] == 0
    runs = np.diff(np.flatnonzero(np.diff(np.pad(layer[first[len(first) // 2]] > 0.25, 1).astype(int))))[::2]
    assert 3 in runs


@pytest.mark.parametrize("angle", [-40, -15, 0, 15, 40])
def test_streaks_fall_in_the_direction_of_their_angle(angle: float) -> None:
    layer = dataclasses.replace(BARS, angle=angle, density=0.1, length=40, softness=1.0).render(300, 300, at(0))
    assert direction(layer) == pytest.approx(angle, abs=2)


def test_taper_fades_streaks_towards_their_ends_and_evenness_makes_them_alike() -> None:
    plain = dataclasses.replace(BARS, density=0.01)
    tapered, uneven = dataclasses.replace(plain, taper=1.0), dataclasses.replace(plain, evenness=0.0)
    blunt, faded, varied = (streaks.render(300, 300, at(0)) for streaks in (plain, tapered, uneven))
    # The mean of a half sine is 2 / pi, that of brightnesses between 0 and 1 a half.
    assert faded.sum() / blunt.sum() == pytest.approx(2 / np.pi, rel=0.05)
    assert varied.sum() / blunt.sum() == pytest.approx(0.5, rel=0.2)


def test_added_rain_clips_and_screened_rain_spares_highlights() -> None:
    layer = np.full((96, 96), 0.3, np.float32)
    for level, added, screened in ((0.2, 0.5, 0.44), (0.9, 1.0, 0.93)):  # 1 - 0.8 * 0.7 and 1 - 0.1 * 0.7
        np.testing.assert_allclose(rainy(flat(level, 96), [layer]), added, atol=0.6 / 255)
        np.testing.assert_allclose(rainy(flat(level, 96), [layer], is_screen=True), screened, atol=0.6 / 255)


def test_layers_add_up_and_a_tint_colours_them() -> None:
    layers = [np.full((96, 96), 0.1, np.float32), np.full((96, 96), 0.2, np.float32)]
    tint = np.array([1.0, 1.0, 1.5], np.float32)
    np.testing.assert_allclose(rainy(flat(0.2, 96), layers, tint=tint)[0, 0], [0.5, 0.5, 0.65], atol=0.6 / 255)


def test_mist_is_thicker_far_away_and_veils_towards_its_light() -> None:
    share = Mist(near=0.1, far=0.4, unevenness=0.0, light=0.8).share(50, 60, at(0))
    assert share.shape == (50, 60, 1)
    np.testing.assert_allclose(share[[0, -1], 30, 0], [0.4, 0.1], atol=1e-6)
    veiled = rainy(flat(0.2, 50)[:, :40], [], mist=share[:, :40], light=0.8)
    np.testing.assert_allclose(veiled[[0, -1], 0, 0], [0.2 + 0.4 * 0.6, 0.2 + 0.1 * 0.6], atol=0.6 / 255)


def test_rain_is_of_every_strength_and_mostly_steep_and_brightens() -> None:
    clean, strengths, angles = to_8_bits(flat(0.3, 96)), [], []
    for seed in range(60):
        generator = at(seed)
        degradation = rain(generator)
        reference, degraded = degradation.apply(clean, generator)
        np.testing.assert_array_equal(reference, clean)
        strengths.append(float(np.abs(degraded - clean).mean()))
        angles.append(abs(direction((degraded - clean)[..., 1])))
        assert (degraded >= clean).all()
        assert degradation.is_oriented
    assert min(strengths) < 0.01 and max(strengths) > 0.2
    assert np.median(angles) < 30


def test_the_layer_of_an_added_pair_is_what_was_added() -> None:
    clean = at(0).integers(0, 180, (40, 50, 3), dtype=np.uint8)
    layer = at(1).integers(0, 70, (40, 50), dtype=np.uint8)
    np.testing.assert_array_equal(layer_of(clean, clean + layer[..., None]), layer)
    clean[..., 0] = 250  # one channel clips; the others show the rain
    rainy_ = np.minimum(clean.astype(int) + layer[..., None], 255).astype(np.uint8)
    np.testing.assert_array_equal(layer_of(clean, rainy_), layer)


def test_a_pair_that_is_mostly_white_has_no_layer() -> None:
    clean = np.full((40, 50, 3), 250, np.uint8)
    assert layer_of(clean, np.full_like(clean, 255)) is None


def test_pasted_rain_is_the_layer_put_on_another_picture() -> None:
    layer = np.full((30, 40), 51, np.uint8)  # a fifth of white
    layer[:, :20] = 0
    seen = set()
    for seed in range(20):
        generator = at(seed)
        clean, degraded = pasted_rain([layer], share=1.0)(generator).apply(flat(0.2, 64), generator)
        added = (degraded - clean)[..., 0]
        assert added.min() > -0.003 and 0.2 * 0.67 - 0.004 < added.max() < 0.2 * 1.33 + 0.004
        assert np.ptp(degraded, axis=-1).max() == 0
        seen.add(degraded.tobytes())
    assert len(seen) > 15  # some places hold no streak


def test_pasted_rain_takes_a_share_of_the_pictures() -> None:
    layer = np.full((30, 40), 51, np.uint8)
    pasted = 0
    for seed in range(200):
        generator = at(seed)
        _, degraded = pasted_rain([layer], share=0.3)(generator).apply(flat(0.2, 16), generator)
        pasted += bool(np.ptp(degraded) == 0 and degraded.max() > 0.3)
    assert abs(pasted / 200 - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 200)


def test_mist_comes_with_heavy_rain_and_light_rain_leaves_what_is_dry_as_it_was() -> None:
    light, veiled = 0, 0
    for seed in range(120):
        generator = at(seed)
        rained = rain(generator).apply(flat(0.0, 128), generator)[1][..., 1]
        has_veil = bool(np.percentile(rained, 20) > 0)
        veiled += has_veil
        if (rained - cv2.GaussianBlur(rained, (0, 0), 6) > 3 / 255).mean() < 0.04:  # covered by streaks
            light += 1
            assert not has_veil
    assert light > 10 and veiled > 15

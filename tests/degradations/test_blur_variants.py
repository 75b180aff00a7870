from __future__ import annotations

import cv2
import numpy as np
import pytest
from drawn_pictures import at

from restore.degradations import Image, to_8_bits
from restore.degradations.blur import averaged, disc_kernel, motion_blur, region, to_linear, to_srgb
from restore.degradations.blur_variants import (
    defocus_shapes,
    frames_blur,
    kept_brightness,
    shake,
    sharp,
)
from restore.degradations.mixtures import blind_blur
from restore.degradations.motion import Motion

KINDS = [frames_blur, shake, defocus_shapes, blind_blur]


def contrasty(side: int = 128) -> Image:
    """Dark and light patches of a few pixels, nothing saturated."""
    hills = cv2.GaussianBlur(at(7).standard_normal((side, side, 1)).astype(np.float32), (0, 0), 2)[..., None]
    return to_8_bits(np.repeat(np.where(hills > 0, 0.75, 0.2), 3, axis=2))


@pytest.mark.parametrize("draw", KINDS)
def test_blur_is_as_bright_as_the_reference_where_nothing_is_saturated(draw: object) -> None:
    assert callable(draw)
    for seed in range(25):
        generator = at(seed)
        reference, degraded = draw(generator).apply(contrasty(), generator)
        assert abs(float((degraded - reference).mean())) < 0.3 / 255


def test_averaging_light_alone_brightens_a_picture() -> None:
    shifts = []
    for seed in range(25):
        generator = at(seed)
        reference, degraded = motion_blur(generator).apply(contrasty(), generator)
        shifts.append(float((degraded - reference).mean()) * 255)
    assert np.mean(shifts) > 2  # what the test above would see without the correction


def test_kept_brightness_moves_no_edge_and_leaves_flat_parts() -> None:
    clean = np.full((96, 96, 3), 0.2, np.float32)
    clean[:, 48:] = 0.7
    kernel = disc_kernel(4)
    blurred = to_srgb(averaged(to_linear(clean), kernel))
    kept = kept_brightness(blurred, clean, 5)
    assert (blurred - clean).mean() > 1e-3 and abs((kept - clean).mean()) < 1e-4
    np.testing.assert_allclose(kept[:, [2, -3]], clean[:, [2, -3]], atol=1 / 255)
    assert (np.diff(kept[40, 40:56, 0]) > -1e-3).all()  # the edge has no overshoot


def test_traces_of_saturated_lights_stay_bright() -> None:
    clean = np.full((96, 96, 3), 0.1, np.float32)
    clean[47:50, 47:50] = 1
    light = to_linear(clean)
    light[47:50, 47:50] = 30
    blurred = to_srgb(averaged(light, disc_kernel(4)))
    kept = kept_brightness(blurred, clean, 5, np.asarray((clean > 0.98).any(axis=-1)))
    np.testing.assert_allclose(kept, blurred, atol=1e-4)
    assert kept[48, 51, 0] > 0.9


@pytest.mark.parametrize("draw", [*KINDS, sharp])
def test_flat_pictures_stay_flat_but_for_noise_of_up_to_4_levels(draw: object) -> None:
    assert callable(draw)
    deviations = []
    for seed in range(40):
        generator = at(seed)
        _, degraded = draw(generator).apply(np.full((48, 48, 3), 0.4, np.float32), generator)
        assert abs(degraded.mean() - 0.4) < 1 / 255
        deviations.append(float(degraded.std()) * 255)
    assert max(deviations) < 4.3
    # Half have no noise: within three standard deviations of 40 tosses of a coin.
    assert abs(sum(x < 0.05 for x in deviations) - 20) < 3 * np.sqrt(10)


@pytest.mark.parametrize("draw", [frames_blur, shake, defocus_shapes])
def test_every_kind_of_blur_takes_detail_from_hardly_any_to_most(draw: object) -> None:
    assert callable(draw)
    clean, left = contrasty(), []
    for seed in range(40):
        generator = at(seed)
        reference, degraded = draw(generator).apply(clean, generator)
        left.append(float(np.diff(degraded, axis=0).std() / np.diff(reference, axis=0).std()))
    assert max(left) > 0.75 and min(left) < 0.35


def test_in_some_pictures_only_an_object_moves_and_the_rest_is_sharp() -> None:
    clean = contrasty(160)
    partly = 0
    for seed in range(60):
        generator = at(seed)
        degradation = frames_blur(generator)
        reference, degraded = degradation.apply(clean, generator)
        off = cv2.blur(np.abs(degraded - reference).mean(axis=-1), (9, 9))
        partly += bool((off < 5 / 255).mean() > 0.15 and (off > 20 / 255).mean() > 0.1)
    # 24 % have an object over a sharp background; noise and short paths hide some of them.
    assert 4 <= partly <= 60 * 0.24 + 3 * np.sqrt(60 * 0.24 * 0.76)


def test_a_sharp_picture_is_its_own_reference_with_its_noise() -> None:
    changed = 0
    for seed in range(20):
        generator = at(seed)
        reference, degraded = sharp(generator).apply(contrasty(), generator)
        np.testing.assert_array_equal(reference, degraded)
        changed += bool((degraded != contrasty()).any())
    assert 0 < changed < 20


def test_an_object_covers_its_share() -> None:
    mask = region((120, 160), at(0), share=0.3, softness=0.7)
    assert mask.shape == (120, 160) and mask.min() >= 0 and mask.max() <= 1
    assert mask.mean() == pytest.approx(0.3, abs=0.01)


def test_margins_hold_what_the_border_reaches() -> None:
    assert all(draw(at(seed)).margin <= 60 for draw in KINDS for seed in range(200))
    assert Motion(np.array([[0.0, 7.0]]), np.zeros(1), np.ones(1)).reach == 8

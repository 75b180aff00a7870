from __future__ import annotations

import numpy as np
import pytest
from drawn_pictures import at

from restore.degradations import Image
from restore.degradations.blur import (
    aperture_kernel,
    averaged,
    blur,
    brightened,
    defocus,
    disc_kernel,
    mild_blur,
    motion_blur,
    motion_kernel,
    moved,
    to_linear,
    to_srgb,
    trajectory,
)


def stripes(side: int = 64) -> Image:
    """Black and white columns."""
    return np.repeat(np.tile(np.array([0, 1], np.float32), side // 2)[None, :, None], side, 0).repeat(3, 2)


def test_srgb_and_light_are_each_others_inverse_with_the_standards_values() -> None:
    levels = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16, 1)
    np.testing.assert_allclose(to_srgb(to_linear(levels)), levels, atol=2e-6)
    assert to_linear(np.full((1, 1, 1), 0.5, np.float32)).item() == pytest.approx(0.214041, abs=1e-6)
    assert to_linear(np.full((1, 1, 1), 0.04, np.float32)).item() == pytest.approx(0.04 / 12.92, abs=1e-7)


def test_black_and_white_average_to_half_of_the_light_not_of_the_code() -> None:
    kernel = np.array([[0.5, 0.5, 0]], np.float32)
    mixed = to_srgb(averaged(to_linear(stripes()), kernel))
    np.testing.assert_allclose(mixed[:, 2:-2], 0.735357, atol=1e-5)  # 1.055 * 0.5 ** (1 / 2.4) - 0.055


@pytest.mark.parametrize("length", [2, 10, 40])
@pytest.mark.parametrize("seed", range(4))
def test_a_trajectory_is_as_long_as_it_says_and_lies_about_its_mean(length: float, seed: int) -> None:
    path = trajectory(length, 1.0, 1.0, at(seed))
    # The first point has made its first step already.
    assert np.hypot(*np.diff(path, axis=0).T).sum() == pytest.approx(length, rel=0.03)
    np.testing.assert_allclose(path.mean(axis=0), 0, atol=1e-9)


def test_a_trajectory_without_restlessness_and_turns_is_straight() -> None:
    path = trajectory(30, 0, 0, at(0))
    assert np.linalg.svd(path, compute_uv=False)[1] < 1e-9
    assert np.hypot(*(path[-1] - path[0])) == pytest.approx(30, rel=0.03)


def test_the_kernel_of_a_motion_holds_the_time_at_every_place() -> None:
    # Half of the time a quarter of a pixel to the left of the centre, half as far to the right.
    kernel = motion_kernel(np.array([[0, -0.25], [0, 0.25]]))
    assert kernel.shape == (5, 5) or kernel.shape == (3, 3)
    middle = kernel[len(kernel) // 2]
    np.testing.assert_allclose(middle[len(middle) // 2 - 1 :][:3], [0.125, 0.75, 0.125])


@pytest.mark.parametrize("seed", range(6))
def test_kernels_keep_the_light_and_do_not_shift_the_picture(seed: int) -> None:
    for kernel in (motion_kernel(trajectory(25, 2, 1, at(seed))), disc_kernel(at(seed).uniform(0.5, 8))):
        assert kernel.sum() == pytest.approx(1, abs=1e-5) and kernel.min() >= 0
        y, x = np.mgrid[: len(kernel), : len(kernel)] - len(kernel) // 2
        assert abs((kernel * y).sum()) < 1e-4 and abs((kernel * x).sum()) < 1e-4


@pytest.mark.parametrize("radius", [0.5, 2.3, 8])
def test_a_disc_has_the_area_of_its_radius_and_an_even_brightness(radius: float) -> None:
    kernel = disc_kernel(radius)
    # A soft edge of one pixel adds at most pi / 12 to the area; a coarse grid adds more.
    assert 1 / kernel.max() == pytest.approx(np.pi * (radius**2 + 1 / 12), rel=0.06, abs=0.3)
    np.testing.assert_allclose(kernel, kernel.T)
    np.testing.assert_allclose(kernel, kernel[::-1])


@pytest.mark.parametrize("blades", [0, 5, 6, 7, 8, 9])
def test_an_aperture_has_the_area_of_its_polygon_and_lies_in_the_middle(blades: int) -> None:
    radius = 7.3
    kernel = aperture_kernel(radius, blades, 0.4)
    area = radius**2 * (blades / 2 * np.sin(2 * np.pi / blades) if blades else np.pi)
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    assert 1 / kernel.max() == pytest.approx(area, rel=0.02)
    y, x = np.mgrid[: len(kernel), : len(kernel)] - len(kernel) // 2
    assert abs((kernel * y).sum()) < 0.05 and abs((kernel * x).sum()) < 0.05


def test_a_mirror_lens_has_a_hole_in_the_middle_and_blades_turn() -> None:
    ring = aperture_kernel(6, 0, 0.0, hole=0.5)
    middle = len(ring) // 2
    assert ring[middle, middle] < 0.01 * ring.max() and ring[middle, middle + 4] == ring.max()
    # A square on its corner reaches as far as the circle; one on its side does not.
    lying, standing = aperture_kernel(6, 4, 0.0), aperture_kernel(6, 4, np.pi / 4)
    assert lying[middle, middle + 5] == 0 and standing[middle, middle + 5] > 0


@pytest.mark.parametrize("radius", [0.3, 0.5, 1.0])
def test_the_smallest_apertures_keep_the_light(radius: float) -> None:
    for hole in (0.0, 0.6):
        assert aperture_kernel(radius, 5, 1.0, hole).sum() == pytest.approx(1, abs=1e-5)


def test_a_point_of_light_becomes_the_kernel() -> None:
    kernel = motion_kernel(trajectory(12, 2, 1, at(3)))
    point = np.zeros((41, 41, 1), np.float32)
    point[20, 20] = 1
    reach = len(kernel) // 2
    blurred = averaged(point, kernel)[..., 0]
    np.testing.assert_allclose(blurred[20 - reach : 21 + reach, 20 - reach : 21 + reach], kernel, atol=1e-6)


def test_what_moves_is_blurred_and_what_stands_still_is_not() -> None:
    light = at(0).random((60, 60, 3), dtype=np.float32)
    mask = np.zeros((60, 60), np.float32)
    mask[20:40, 20:40] = 1
    kernel = motion_kernel(trajectory(9, 0.5, 0, at(1)))
    reach = len(kernel) // 2
    result = moved(light, mask, kernel)
    far = np.ones((60, 60), bool)
    far[20 - reach : 40 + reach, 20 - reach : 40 + reach] = False
    np.testing.assert_allclose(result[far], light[far], atol=1e-5)
    inside = np.s_[20 + reach : 40 - reach, 20 + reach : 40 - reach]
    np.testing.assert_allclose(result[inside], averaged(light, kernel)[inside], atol=1e-5)
    everything = moved(light, np.ones((60, 60), np.float32), kernel)
    np.testing.assert_allclose(everything, averaged(light, kernel), atol=1e-5)


def test_only_highlights_were_brighter_than_the_file_could_hold() -> None:
    light = np.array([[[0.2, 0.5, 0.9], [1, 0.5, 0.2], [0.98, 0.98, 0.98]]], np.float32)
    np.testing.assert_allclose(brightened(light, 3)[0], [[0.2, 0.5, 0.9], [3, 0.5, 0.2], [1.96, 1.96, 1.96]], rtol=1e-4)


@pytest.mark.parametrize("draw", [motion_blur, defocus, blur, mild_blur])
def test_blur_keeps_flat_pictures_but_for_noise_and_takes_detail(draw: object) -> None:
    assert callable(draw)
    losses = []
    for seed in range(25):
        generator = at(seed)
        degradation = draw(generator)
        _, flat = degradation.apply(np.full((48, 48, 3), 0.4, np.float32), at(seed))
        assert abs(flat.mean() - 0.4) < 1.5 / 255 and flat.std() < 2.5 / 255
        detailed = at(0).random((48, 48, 3), dtype=np.float32) * np.float32(0.8)
        losses.append(float(degradation.apply(detailed, at(seed))[1].std() / detailed.std()))
    assert max(losses) < 1.01 and min(losses) < 0.35


def test_the_margin_is_as_far_as_the_border_reaches() -> None:
    clean = at(0).random((80, 80, 3), dtype=np.float32) * np.float32(0.9)
    noiseless = 0
    for seed in range(12):
        degradation = defocus(at(seed))
        margin = degradation.margin
        if np.ptp(degradation.apply(np.full_like(clean, 0.4), at(seed))[1]) > 0:
            continue
        noiseless += 1
        whole, part = (degradation.apply(x, at(seed))[1] for x in (clean, clean[10:, 10:]))
        np.testing.assert_allclose(whole[10 + margin :, 10 + margin :], part[margin:, margin:], atol=1.01 / 255)
        assert np.abs(whole[10:, 10:] - part).max() > 3 / 255
    assert noiseless > 2


def test_mild_blur_reaches_no_farther_than_it_says() -> None:
    mild, any_ = ([draw(at(seed)).margin for seed in range(100)] for draw in (mild_blur, blur))
    assert max(mild) <= 11 < max(any_)

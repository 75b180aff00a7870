from __future__ import annotations

import cv2
import numpy as np
import pytest
from drawn_pictures import at, flat, photo

from restore.degradations import DEGRADATIONS, blind_noise, gaussian_noise, to_8_bits
from restore.degradations.noise import (
    colour_blotches,
    film_grain,
    grain,
    greyed,
    jpeg_noise,
    noise_field,
    uneven_noise,
    varied_gaussian,
)

LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@pytest.mark.parametrize("level", [0.1, 0.8])
@pytest.mark.parametrize("sigma", [0, 5, 50])
def test_gaussian_noise_has_the_sigma_asked_for_whatever_the_brightness(sigma: float, level: float) -> None:
    noise = (gaussian_noise(flat(level, 128), sigma, at(1)) - np.float32(level)) * 255
    # The spread of a standard deviation of n samples is sigma / sqrt(2 n), that of a mean sigma / sqrt(n).
    count = noise.size
    assert abs(noise.std() - sigma) <= 5 * sigma / np.sqrt(2 * count) + 1e-4
    assert abs(noise.mean()) <= 5 * sigma / np.sqrt(count) + 1e-4
    assert abs(np.corrcoef(noise.reshape(-1, 3).T)[0, 1] if sigma else 0) <= 5 / np.sqrt(count / 3)


def test_gaussian_noise_leaves_the_range_unless_it_is_as_in_a_file() -> None:
    free = gaussian_noise(photo(), 50, at(1))
    filed = gaussian_noise(photo(), 50, at(1), as_file=True)
    assert free.min() < 0 and free.max() > 1
    np.testing.assert_array_equal(filed, to_8_bits(free))
    assert filed.min() == 0 and filed.max() == 1
    np.testing.assert_allclose(filed * 255, np.round(filed * 255), atol=1e-4)


def test_to_8_bits_clips_and_rounds() -> None:
    values = np.array([-0.2, 0.0, 0.4 / 255, 0.6 / 255, 1.0, 3.0], np.float32)
    assert (to_8_bits(values) * 255).tolist() == [0, 0, 0, 1, 255, 255]


def test_gaussian_noise_reaches_sigma_55_and_a_third_of_the_pictures_are_reduced() -> None:
    sigmas, scales = [], []
    for seed in range(200):
        generator = at(seed)
        degradation = varied_gaussian(generator)
        reference, degraded = degradation.apply(flat(0.5, 64), generator)
        assert reference.shape[0] == round(64 * degradation.scale)
        sigmas.append(float((degraded - reference).std() * 255))
        scales.append(degradation.scale)
    assert 0 < min(sigmas) < 5 and 50 < max(sigmas) < 57
    assert min(scales) >= 0.5 and 0.25 < np.mean(np.less(scales, 1)) < 0.45


def test_grain_is_as_strong_as_it_says_and_sometimes_grey() -> None:
    strengths, colours = [], []
    for seed in range(60):
        generator = at(seed)
        reference, degraded = grain(generator).apply(flat(0.5, 128), generator)
        noise = degraded - reference
        strengths.append(float(noise.std() * 255))
        colours.append(float((noise - noise.mean(axis=-1, keepdims=True)).std() / noise.std()))
    assert min(strengths) > 0.3 and max(strengths) < 13 and np.ptp(strengths) > 8  # JPEG removes a part of the weakest
    assert min(colours) < 0.1 and max(colours) > 0.5


def test_some_grain_varies_in_a_band_of_frequencies_as_that_of_phones() -> None:
    found = 0
    for seed in range(60):
        generator = at(seed)
        reference, degraded = grain(generator).apply(flat(0.5, 128), generator)
        luma = (degraded - reference) @ np.array([0.299, 0.587, 0.114], np.float32)
        next_but_one = (luma[:, :-2] * luma[:, 2:]).mean() / luma.var()
        found += next_but_one < -0.1
    assert 3 <= found <= 30


@pytest.mark.parametrize("correlation", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("size", [0.0, 1.0])
def test_a_noise_field_has_the_correlation_asked_for_and_a_deviation_of_1(correlation: float, size: float) -> None:
    field = noise_field((256, 256, 3), at(0), correlation=correlation, size=size)
    between = np.asarray(np.corrcoef(field.reshape(-1, 3).T))[np.triu_indices(3, 1)]
    # A blur of 1 pixel leaves about 4 pi fewer independent samples.
    spread = 5 / 256 * (1 if size == 0 else np.sqrt(4 * np.pi))
    np.testing.assert_allclose(between, correlation, atol=spread)
    assert field.std() == pytest.approx(1, abs=spread)
    neighbours = float((field[:, 1:] * field[:, :-1]).mean())
    assert neighbours == pytest.approx(np.exp(-1 / 4) if size else 0, abs=spread)  # of a Gaussian blur: exp(-d^2 / 4)


def test_grey_noise_is_equal_in_the_channels_and_of_the_sigma_asked_for() -> None:
    reference, noisy = DEGRADATIONS["grey-noise"]((25, 25))(at(1)).apply(photo(128), at(0))
    for picture in (reference, noisy):
        assert np.ptp(picture, axis=-1).max() == 0
        np.testing.assert_array_equal(picture, to_8_bits(picture))
    assert (noisy - reference).std() * 255 == pytest.approx(25, rel=0.05)


def test_a_greyed_degradation_keeps_the_size_and_is_neutral() -> None:
    for seed in range(20):
        generator = at(seed)
        degradation = greyed(blind_noise(generator))
        for picture in degradation.apply(photo(), generator):
            assert picture.shape == (round(64 * degradation.scale),) * 2 + (3,)
            assert np.ptp(picture, axis=-1).max() == 0


def test_a_sixth_of_gaussian_noise_is_on_black_and_white_pictures_and_its_channels_are_equal_in_more() -> None:
    total, greys, equal = 400, 0, 0
    for seed in range(total):
        generator = at(seed)
        reference, noisy = varied_gaussian(generator).apply(photo(16), generator)
        greys += np.ptp(reference, axis=-1).max() == 0
        equal += np.ptp(noisy - reference, axis=-1).max() < 1e-6 and noisy.min() >= 0
    assert abs(greys / total - 1 / 6) < 4 * np.sqrt(1 / 6 * 5 / 6 / total)
    assert equal > greys / 3


def test_film_grain_is_strongest_in_the_middle_tones() -> None:
    for seed in range(20):
        strengths = []
        for level in (0.02, 0.5, 0.98):
            generator = at(seed)
            strengths.append(np.subtract(*film_grain(generator).apply(flat(level), generator)).std())
        assert strengths[1] > 1.3 * max(strengths[0], strengths[2])


def test_noise_under_jpeg_is_strong_to_weak() -> None:
    degradations = [(jpeg_noise(at(seed)), seed) for seed in range(40)]
    psnrs = [-10 * np.log10(np.mean(np.square(np.subtract(*d.apply(photo(64), at(seed)))))) for d, seed in degradations]
    assert min(psnrs) < 20 and max(psnrs) > 30


def test_uneven_noise_differs_over_the_picture() -> None:
    for seed in range(10):
        generator = at(seed)
        reference, degraded = uneven_noise(generator).apply(flat(0.5, 256), generator)
        squares = cv2.resize(((degraded - reference) ** 2).mean(-1), (8, 8), interpolation=cv2.INTER_AREA)
        assert squares.max() > 4 * squares.min()


def test_colour_blotches_are_coarse_and_of_colour() -> None:
    for seed in range(10):
        generator = at(seed)
        reference, degraded = colour_blotches(generator).apply(flat(0.5, 256), generator)
        noise = degraded - reference
        colour = noise - (noise @ LUMA)[..., None]
        assert 1 < colour.std() * 255 < 13
        assert (colour[:, 2:] * colour[:, :-2]).mean() > 0.5 * colour.var()


def test_gaussian_noise_of_every_kind_keeps_to_the_range_of_sigma() -> None:
    sigmas = []
    for seed in range(60):
        generator = at(seed)
        reference, noisy = DEGRADATIONS["blind-gaussian"]((20, 30))(generator).apply(flat(0.5, 96), generator)
        sigmas.append(float((noisy - reference).std() * 255))
    assert 18 < min(sigmas) < 22 and 28 < max(sigmas) < 32


def test_most_noise_of_the_gaussian_denoiser_is_as_the_papers_add_it() -> None:
    plain = []
    for seed in range(120):
        generator = at(seed)
        clean = flat(0.5, 32)
        reference, noisy = DEGRADATIONS["blind-gaussian"]((20, 30))(generator).apply(clean, generator)
        noise = noisy - reference
        correlation = np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]
        is_float = not np.allclose(noisy * 255, np.round(noisy * 255), atol=1e-3)
        plain.append(reference is clean and is_float and abs(correlation) < 0.2)
    assert 0.55 < np.mean(plain) < 0.85


def test_blocks_of_jpeg_begin_anywhere_in_a_crop() -> None:
    assert jpeg_noise(at(0)).grid == film_grain(at(0)).grid == grain(at(0)).grid == 16

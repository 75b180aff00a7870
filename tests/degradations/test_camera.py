from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from drawn_pictures import at, flat, photo
from numpy.typing import NDArray

from restore.degradations import Image, gaussian_noise, to_8_bits
from restore.degradations.camera import Camera, camera_noise, phone_noise

# No noise, no processing: only the optics, the mosaic and the colours.
IDEAL = Camera(
    matrix=np.array([[0.7, 0.2, 0.1], [0.2, 0.7, 0.1], [0.1, 0.3, 0.6]]),
    gains=np.array([2.1, 1.0, 1.7]),
    gamma=2.2,
    contrast=0.0,
    zoom=1.0,
    flatness=0.0,
    shot=0.0,
    read=0.0,
    has_mosaic=True,
    balances_first=False,
    edge_aware=False,
    softness=0.0,
    chroma_noise=1.0,
    blotches=0.0,
    blotch_size=3.0,
    colour_blotches=0.0,
    colour_blotch_size=6.0,
    luma_blur=0.0,
    chroma_blur=0.0,
    keeps_edges=False,
    sharpening=0.0,
    radius=1.0,
    resize=1.0,
    quality=None,
    chroma_subsampling=True,
)


def lag_1_correlation(noise: NDArray[np.float32]) -> float:
    """Correlation of horizontal neighbours, `(H, W)`."""
    centred = noise - noise.mean()
    return float((centred[:, 1:] * centred[:, :-1]).mean() / centred.var())


@pytest.mark.parametrize("seed", range(6))
def test_a_seed_fixes_the_result_and_another_changes_it(seed: int) -> None:
    def once(seed: int) -> tuple[Image, Image]:
        generator = at(seed)
        return camera_noise(generator).apply(photo(), generator)

    for first, second in zip(once(seed), once(seed), strict=True):
        np.testing.assert_array_equal(first, second)
    other = once(seed + 100)[1]
    assert other.shape != once(seed)[1].shape or not np.array_equal(other, once(seed)[1])


@pytest.mark.parametrize("edge_aware", [False, True])
def test_a_camera_without_noise_saves_its_reference_in_8_bits(edge_aware: bool) -> None:
    camera = dataclasses.replace(IDEAL, edge_aware=edge_aware, contrast=1.0, sharpening=0.5, softness=0.7)
    reference, degraded = camera.photograph(photo(), at(0))
    np.testing.assert_array_equal(degraded, to_8_bits(reference))


@pytest.mark.parametrize("seed", range(12))
def test_developing_undoes_exposing_away_from_clipping(seed: int) -> None:
    # Flat, so that the mosaic loses nothing. The tolerance is for its 16 bits, amplified by gain and gamma.
    drawn = Camera.draw(at(seed), iso=100)
    camera = dataclasses.replace(drawn, shot=0.0, read=0.0, resize=1.0, quality=None)
    for colour in (0.2, 0.5, (0.3, 0.4, 0.35), (0.6, 0.55, 0.7)):
        clean = flat(colour)
        np.testing.assert_allclose(camera.photograph(clean, at(0))[0], clean, atol=1e-3)


def test_white_stays_white() -> None:
    # The lens blur of a white picture can exceed 1 by a rounding error, where the inverse of the tone curve ends.
    for softness in np.linspace(0.4, 1.3, 30):
        camera = dataclasses.replace(IDEAL, contrast=1.0, softness=float(softness))
        reference, degraded = camera.photograph(flat(1.0), at(0))
        assert reference.min() > 0.999 and degraded.min() == 1


def test_neutral_grey_stays_neutral_under_noise() -> None:
    for seed in range(8):
        camera = dataclasses.replace(Camera.draw(at(seed), iso=400), quality=None, resize=1.0)
        reference, degraded = camera.photograph(flat(0.5, 128), at(seed))
        assert np.abs(reference - 0.5).max() < 0.5 / 255  # the mean shift of mild noise, estimated on a crop
        means = degraded.mean(axis=(0, 1))
        assert np.ptp(means) < 1.5 / 255


def test_noise_grows_with_iso() -> None:
    for seed in range(5):
        levels = []
        for iso in (100, 800, 6400):
            camera = dataclasses.replace(Camera.draw(at(seed), iso), quality=None)
            reference, degraded = camera.photograph(photo(), at(0))
            levels.append(float(np.std(degraded - reference)))
        assert levels[0] < levels[1] < levels[2]


def test_raw_noise_has_the_variance_of_shot_and_read() -> None:
    camera = dataclasses.replace(IDEAL, shot=0.002, read=0.0001)
    raw = np.repeat(np.array([[0.3], [0.5], [0.7]], np.float32), 40000, axis=1)
    noise = camera.raw_noise(raw, at(0)) - raw
    expected = 0.002 * np.array([0.3, 0.5, 0.7]) + 0.0001
    # The spread of a variance of n normal samples is its size times sqrt(2 / n).
    np.testing.assert_allclose(noise.var(axis=1), expected, rtol=5 * np.sqrt(2 / 40000))


def test_demosaicing_makes_noise_correlated_and_gaussian_noise_is_not() -> None:
    clean = flat(0.5, 128)
    camera = dataclasses.replace(IDEAL, shot=0.002, read=0.0001)
    reference, degraded = camera.photograph(clean, at(0))
    plain = gaussian_noise(clean, 20, at(0)) - clean
    for channel in range(3):
        assert lag_1_correlation((degraded - reference)[..., channel]) > 0.2
        assert abs(lag_1_correlation(plain[..., channel])) < 5 / 128


def test_blotches_reach_further_than_the_mosaic() -> None:
    plain = dataclasses.replace(IDEAL, shot=0.002, read=0.0001)
    coarse = dataclasses.replace(plain, blotches=0.6)
    noises = [np.subtract(*camera.photograph(flat(0.5, 128), at(0))[::-1]) for camera in (plain, coarse)]
    at_4 = [float(np.mean(n[:, 4:] * n[:, :-4]) / n.var()) for n in noises]
    assert abs(at_4[0]) < 0.03 and at_4[1] > 0.04


def test_colour_blotches_add_coarse_colour_and_leave_brightness_alone() -> None:
    plain = dataclasses.replace(IDEAL, shot=0.002, read=0.0001, chroma_noise=0.0)
    blotched = dataclasses.replace(plain, colour_blotches=0.5)
    noises = [np.subtract(*camera.photograph(flat(0.5, 128), at(0))[::-1]) for camera in (plain, blotched)]
    added = noises[1] - noises[0]
    assert added.std() == pytest.approx(0.5 * noises[0].std(), rel=0.1)
    assert (added @ np.array([0.299, 0.587, 0.114])).std() < 0.2 * added.std()  # rounding alone makes 0.16
    assert np.mean(added[:, 4:] * added[:, :-4]) > 0.7 * added.var()


def test_noise_reduction_that_keeps_edges_smooths_the_noise_alone() -> None:
    plain = dataclasses.replace(IDEAL, shot=0.5)  # so strong that the reference has no mean shift
    smooth = dataclasses.replace(plain, luma_blur=1.0, chroma_blur=2.0, keeps_edges=True)
    (reference, noisy), (same, smoothed) = (camera.photograph(photo(), at(0)) for camera in (plain, smooth))
    np.testing.assert_array_equal(same, reference)
    assert np.std(smoothed - reference) < 0.5 * np.std(noisy - reference)


def test_flatness_takes_faint_texture_away_and_leaves_edges() -> None:
    texture = flat(0.4) + at(0).normal(0, 2 / 255, (64, 64, 3)).astype(np.float32)
    texture[:, 32:] += 0.3
    reference, _ = dataclasses.replace(IDEAL, flatness=10.0).photograph(texture, at(0))
    plain, _ = IDEAL.photograph(texture, at(0))
    assert reference[:, 5:27].std() < 0.5 * plain[:, 5:27].std()
    assert np.abs(reference[:, 34:38].mean() - reference[:, 26:30].mean()) > 0.29


def test_without_chroma_noise_the_noise_is_grey() -> None:
    camera = dataclasses.replace(IDEAL, shot=0.002, chroma_noise=0.0)
    reference, degraded = camera.photograph(flat(0.5), at(0))
    noise = degraded - reference
    assert noise.std() > 3 / 255
    assert np.ptp(noise, axis=-1).max() < 1.5 / 255  # 8 bits


def test_zoom_enlarges_the_corner_to_the_size_of_the_whole() -> None:
    clean = photo()
    reference, _ = dataclasses.replace(IDEAL, zoom=2.0).photograph(clean, at(0))
    assert reference.shape == clean.shape
    corner, _ = IDEAL.photograph(clean, at(0))
    np.testing.assert_allclose(reference.mean((0, 1)), corner[:32, :32].mean((0, 1)), atol=0.01)


@pytest.mark.parametrize(("primary", "edge_aware"), [(0, False), (1, False), (2, True)])
def test_the_mosaic_is_read_in_the_order_in_which_it_is_written(primary: int, edge_aware: bool) -> None:
    colour = tuple(0.7 if channel == primary else 0.3 for channel in range(3))
    camera = dataclasses.replace(IDEAL, edge_aware=edge_aware)
    reference, _ = camera.photograph(np.tile(np.array(colour, np.float32), (32, 32, 1)), at(0))
    np.testing.assert_allclose(reference[16, 16], colour, atol=1e-3)


@pytest.mark.parametrize("resize", [0.5, 0.7, 0.93])
def test_resizing_shrinks_the_pair_alike(resize: float) -> None:
    camera = dataclasses.replace(IDEAL, resize=resize, quality=80, shot=0.001)
    reference, degraded = camera.photograph(photo(72)[:64], at(0))
    assert reference.shape == degraded.shape == (round(64 * resize), round(72 * resize), 3)


def test_every_drawn_camera_gives_a_whole_pair() -> None:
    for seed in range(60):
        generator = at(seed)
        degradation = camera_noise(generator)
        reference, degraded = degradation.apply(photo(), generator)
        assert reference.dtype == degraded.dtype == np.float32
        assert reference.shape == degraded.shape == (round(64 * degradation.scale),) * 2 + (3,)
        for picture in (reference, degraded):
            assert picture.min() >= 0 and picture.max() <= 1


@pytest.mark.parametrize("contrast", [0.3, 1.0])
def test_a_tone_curve_of_any_contrast_is_undone_before_the_sensor(contrast: float) -> None:
    camera = dataclasses.replace(IDEAL, contrast=contrast)
    for colour in (0.2, 0.5, (0.3, 0.4, 0.35)):
        np.testing.assert_allclose(camera.photograph(flat(colour), at(0))[0], flat(colour), atol=2e-3)


def test_the_tone_curve_makes_noise_strongest_in_the_middle_tones() -> None:
    camera = dataclasses.replace(IDEAL, matrix=np.eye(3), gains=np.ones(3), contrast=1.0, shot=1e-4)
    dark, middle, bright = (np.subtract(*camera.photograph(flat(x), at(0))).std() for x in (0.1, 0.5, 0.9))
    assert max(dark, bright) < 0.75 * middle


def test_the_reference_has_the_mean_shift_of_mild_noise_and_not_that_of_strong_noise() -> None:
    # In the dark, half of the noise is clipped at black, so its mean is above the scene's.
    mild = dataclasses.replace(IDEAL, shot=2e-4, read=1e-7)
    strong = dataclasses.replace(IDEAL, shot=2e-2, read=1e-3)
    clean = flat(0.01, 128)
    for camera, sigma, has_shift in ((mild, (1, 6), True), (strong, (12, 60), False)):
        reference, degraded = camera.photograph(clean, at(0))
        plain = dataclasses.replace(camera, shot=0.0, read=0.0).photograph(clean, at(0))[0]
        assert sigma[0] < 255 * (degraded - reference).std() < sigma[1]
        shift = float((degraded - plain).mean())
        assert shift > 0.5 / 255
        kept = float((reference - plain).mean())
        assert kept == pytest.approx(shift if has_shift else 0.0, abs=0.15 * shift)


def test_noise_after_the_white_balance_is_that_of_the_balanced_signal() -> None:
    gains = np.array([2.0, 1.0, 1.5])
    camera = dataclasses.replace(IDEAL, gains=gains, shot=0.002, has_mosaic=False, balances_first=True)
    raw = np.full((200, 200, 3), 0.25, np.float32)
    balanced = camera.raw_noise(raw, at(0)) * gains - raw * gains
    np.testing.assert_allclose(balanced.var(axis=(0, 1)), 0.002 * 0.25 * gains, rtol=5 * np.sqrt(2 / 40000))


def test_without_a_mosaic_neighbours_have_noise_of_their_own() -> None:
    camera = dataclasses.replace(IDEAL, shot=0.002, read=0.0001, has_mosaic=False)
    reference, degraded = camera.photograph(flat(0.5, 128), at(0))
    for channel in range(3):
        assert abs(lag_1_correlation((degraded - reference)[..., channel])) < 5 / 128


def test_phone_noise_is_strong() -> None:
    clean, psnrs = photo(128), []
    for seed in range(80):
        generator = at(seed)
        reference, degraded = phone_noise(generator).apply(clean, generator)
        psnrs.append(-10 * np.log10(np.mean((degraded - reference) ** 2)))
    assert min(psnrs) < 15 and np.median(psnrs) < 26


def test_phone_noise_is_clipped_at_black_and_white() -> None:
    clean = photo(128) ** 3
    strongest = min((phone_noise(g := at(s)).apply(clean, g)[1] for s in range(30)), key=lambda x: -float(x.std()))
    assert (strongest == 0).mean() > 0.02 and strongest.max() <= 1

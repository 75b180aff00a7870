from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from restore.degradations import Degradation, Image, blind_noise, gaussian_noise, noise, to_8_bits
from restore.degradations.noise import Camera, camera_noise, gaussian, grain

# No noise, no processing: what is left is the optics, the mosaic and the colours.
IDEAL = Camera(
    matrix=np.array([[0.7, 0.2, 0.1], [0.2, 0.7, 0.1], [0.1, 0.3, 0.6]]),
    gains=np.array([2.1, 1.0, 1.7]),
    gamma=2.2,
    tone_curve=False,
    zoom=1.0,
    flatness=0.0,
    shot=0.0,
    read=0.0,
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


def flat(level: float | tuple[float, float, float], side: int = 64) -> Image:
    return np.full((side, side, 3), level, np.float32)


def photo(side: int = 64) -> Image:
    """Smooth, coloured, within [0.1, 0.9]."""
    drawn = np.random.default_rng(0).random((side, side, 3), dtype=np.float32)
    return np.asarray(0.1 + 0.8 * cv2.GaussianBlur(drawn, (0, 0), 1.5), np.float32)


def at(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def lag_1_correlation(noise: NDArray[np.float32]) -> float:
    """Of neighbours in a row, `(H, W)`."""
    centred = noise - noise.mean()
    return float((centred[:, 1:] * centred[:, :-1]).mean() / centred.var())


@pytest.mark.parametrize("level", [0.1, 0.8])
@pytest.mark.parametrize("sigma", [0, 5, 50])
def test_gaussian_noise_has_the_sigma_asked_for_whatever_the_brightness(sigma: float, level: float) -> None:
    noise = (gaussian_noise(flat(level, 128), sigma, at(1)) - np.float32(level)) * 255
    count = (
        noise.size
    )  # the spread of a standard deviation of n samples is sigma / sqrt(2 n), that of a mean sigma / sqrt(n)
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
    camera = dataclasses.replace(IDEAL, edge_aware=edge_aware, tone_curve=True, sharpening=0.5, softness=0.7)
    reference, degraded = camera.photograph(photo(), at(0))
    np.testing.assert_array_equal(degraded, to_8_bits(reference))


@pytest.mark.parametrize("seed", range(12))
def test_developing_undoes_exposing_away_from_clipping(seed: int) -> None:
    # Flat, so that the mosaic takes nothing away; the rest is the 16 bits of the mosaic, amplified by gain and gamma.
    drawn = Camera.draw(at(seed), iso=100)
    camera = dataclasses.replace(drawn, shot=0.0, read=0.0, resize=1.0, quality=None)
    for colour in (0.2, 0.5, (0.3, 0.4, 0.35), (0.6, 0.55, 0.7)):
        clean = flat(colour)
        np.testing.assert_allclose(camera.photograph(clean, at(0))[0], clean, atol=1e-3)


def test_white_stays_white() -> None:
    # The lens blur of a white picture can exceed 1 by a rounding error, where the inverse of the tone curve ends.
    for softness in np.linspace(0.4, 1.3, 30):
        camera = dataclasses.replace(IDEAL, tone_curve=True, softness=float(softness))
        reference, degraded = camera.photograph(flat(1.0), at(0))
        assert reference.min() > 0.999 and degraded.min() == 1


def test_neutral_grey_stays_neutral_under_noise() -> None:
    for seed in range(8):
        camera = dataclasses.replace(Camera.draw(at(seed), iso=400), quality=None, resize=1.0)
        reference, degraded = camera.photograph(flat(0.5, 128), at(seed))
        assert np.abs(reference - 0.5).max() < 1e-3
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
    noise = camera.mosaic_noise(raw, at(0)) - raw
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
    assert abs(at_4[0]) < 0.03 and at_4[1] > 0.05


def test_colour_blotches_add_coarse_colour_and_leave_brightness_alone() -> None:
    plain = dataclasses.replace(IDEAL, shot=0.002, read=0.0001, chroma_noise=0.0)
    blotched = dataclasses.replace(plain, colour_blotches=0.5)
    noises = [np.subtract(*camera.photograph(flat(0.5, 128), at(0))[::-1]) for camera in (plain, blotched)]
    added = noises[1] - noises[0]
    assert added.std() == pytest.approx(0.5 * noises[0].std(), rel=0.1)
    assert (added @ np.array([0.299, 0.587, 0.114])).std() < 0.2 * added.std()  # rounding alone makes 0.16
    assert np.mean(added[:, 4:] * added[:, :-4]) > 0.7 * added.var()


def test_noise_reduction_that_keeps_edges_smooths_the_noise_alone() -> None:
    plain = dataclasses.replace(IDEAL, shot=0.002)
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


def test_blind_noise_is_camera_grain_gaussian_and_a_little_of_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    # JPEG leaves this grey as it is, so it counts as nothing.
    clean, total = to_8_bits(flat(128 / 255, 16)), 1000
    kinds = {name: Degradation(lambda clean, _: (clean, clean)) for name in ("camera", "grain")}
    monkeypatch.setattr(noise, "camera_noise", lambda generator, iso: kinds["camera"])
    monkeypatch.setattr(noise, "grain", lambda generator: kinds["grain"])
    counts = {"camera": 0, "grain": 0, "nothing": 0, "unclipped": 0, "as a file": 0}
    for seed in range(total):
        generator = at(seed)
        degradation = blind_noise(generator)
        degraded = degradation.apply(clean, generator)[1]
        if degradation in kinds.values():
            counts[next(name for name, kind in kinds.items() if kind is degradation)] += 1
        elif np.array_equal(degraded, clean):
            counts["nothing"] += 1
        else:
            counts["as a file" if np.array_equal(degraded, to_8_bits(degraded)) else "unclipped"] += 1
    shares = {"camera": 0.19, "grain": 0.32, "nothing": 0.04, "unclipped": 0.18, "as a file": 0.27}
    for kind, share in shares.items():
        assert abs(counts[kind] / total - share) < 4 * np.sqrt(share * (1 - share) / total), counts


def test_gaussian_noise_reaches_sigma_55_and_a_third_of_the_pictures_are_reduced() -> None:
    sigmas, scales = [], []
    for seed in range(200):
        generator = at(seed)
        degradation = gaussian(generator)
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
    assert min(strengths) > 0.3 and max(strengths) < 13 and np.ptp(strengths) > 8  # of the weakest JPEG takes a part
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


def test_what_noise_reduction_leaves_is_sparse() -> None:
    white = at(0).standard_normal((61, 70)).astype(np.float32)
    grids = np.array([[0, 0], [3, 5]])
    np.testing.assert_allclose(noise._shrunk(white, 0, grids), white, atol=1e-5)
    left = noise._shrunk(white, 2, grids)
    assert 0.2 < left.std() < 0.8
    assert (left**4).mean() > 3.3 * (left**2).mean() ** 2  # 3: Gaussian
    assert np.array_equal(noise._shrunk(white, 99, grids), white)  # better than none at all


def test_files_are_lossless_jpeg_of_the_default_quality_or_any_from_60_on() -> None:
    formats = [noise._file_format(at(seed)) for seed in range(400)]
    shares = {
        "lossless": sum(quality is None for quality, _ in formats) / 400,
        "default": sum(file == (75, True) for file in formats) / 400,
    }
    assert abs(shares["lossless"] - 0.2) < 0.08 and abs(shares["default"] - 0.3) < 0.09
    drawn = {quality for quality, _ in formats if quality is not None}
    assert min(drawn) == 60 and max(drawn) == 100 and {subsampled for _, subsampled in formats} == {True, False}

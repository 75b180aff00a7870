from __future__ import annotations

import math

import numpy as np
import pytest

from restore.degradations.sampling import bicubic, imresize, mosaics, reductions, vivid_mosaics
from restore.images.bayer import mosaic

FACTORS = (2, 3, 4)


def keys(x: float) -> float:
    """Keys 1981, eq. 15: the cubic convolution kernel, a = -0.5."""
    x = abs(x)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


def impulse(length: int, at: int) -> np.ndarray:
    x = np.zeros((length, 1, 1))
    x[at] = 1
    return x


@pytest.mark.parametrize("factor", FACTORS)
def test_reducing_weighs_with_the_kernel_stretched_by_the_factor(factor: int) -> None:
    # Output pixel i of a reduced row is centred on pixel (i + 1/2) * factor - 1/2 of the input.
    length, i = 24 * factor, 11
    centre = (i + 0.5) * factor - 0.5
    raw = [keys((centre - at) / factor) for at in range(length)]
    for at in range(length):
        response = imresize(impulse(length, at), 1 / factor)[i, 0, 0]
        assert response == pytest.approx(raw[at] / sum(raw), abs=1e-12)


def test_halving_has_the_weights_that_can_be_worked_out_by_hand() -> None:
    # At distances 1/4, 3/4, 5/4 and 7/4 of the stretched kernel: 111, 29, -9 and -3 of 128, halved because two input
    # pixels make an output pixel.
    weights = [imresize(impulse(40, at), 0.5)[10, 0, 0] for at in range(17, 25)]
    np.testing.assert_allclose(np.array(weights) * 256, [-3, -9, 29, 111, 111, 29, -9, -3], atol=1e-12)


@pytest.mark.parametrize("scale", [1 / 2, 1 / 3, 1 / 4, 0.37, 2, 3, 4, 1])
def test_a_flat_picture_stays_flat_up_to_its_borders(scale: float) -> None:
    resized = imresize(np.full((17, 23, 3), 0.7), scale)
    assert resized.shape == (math.ceil(17 * scale), math.ceil(23 * scale), 3)
    np.testing.assert_allclose(resized, 0.7, atol=1e-14)
    assert np.unique(imresize(np.full((17, 23, 3), 255, np.uint8), scale)).tolist() == [255]


@pytest.mark.parametrize("scale", [1 / 2, 1 / 3, 1 / 4, 2, 3, 4])
def test_a_ramp_stays_a_ramp_away_from_the_borders(scale: float) -> None:
    rows, columns = np.mgrid[0:48, 0:60].astype(np.float64)
    resized = imresize((2 * rows + 3 * columns)[..., None], scale)[..., 0]
    y, x = ((np.arange(n) + 0.5) / scale - 0.5 for n in resized.shape)
    inner = math.ceil(2 * max(scale, 1))
    np.testing.assert_allclose(
        resized[inner:-inner, inner:-inner], (2 * y[:, None] + 3 * x)[inner:-inner, inner:-inner], atol=1e-11
    )


@pytest.mark.parametrize("scale", [1 / 3, 2])
def test_borders_are_mirrored_with_the_border_pixel(scale: float) -> None:
    x = np.random.default_rng(0).random((12, 12, 1))
    mirrored = np.pad(x, ((12, 12), (12, 12), (0, 0)), mode="symmetric")
    side = round(12 * scale)
    np.testing.assert_allclose(imresize(x, scale), imresize(mirrored, scale)[side:-side, side:-side], atol=1e-12)


def test_bytes_are_rounded_between_rows_and_columns_halves_up() -> None:
    x = np.random.default_rng(0).integers(0, 256, (16, 18, 3), dtype=np.uint8)

    def rounded(y: np.ndarray) -> np.ndarray:
        return np.clip(np.floor(y + 0.5), 0, 255)

    def halve_rows(y: np.ndarray) -> np.ndarray:
        at = np.clip(2 * np.arange(y.shape[0] // 2)[:, None] + np.arange(-3, 5), -3, None)
        taken = np.pad(y, ((4, 4), (0, 0), (0, 0)), mode="symmetric")[at + 4]
        return np.asarray(np.einsum("ktwc,t->kwc", taken, np.array([-3, -9, 29, 111, 111, 29, -9, -3]) / 256))

    rows_first = rounded(halve_rows(x.astype(float)))
    expected = rounded(halve_rows(rows_first.swapaxes(0, 1))).swapaxes(0, 1)
    np.testing.assert_array_equal(imresize(x, 0.5), expected)


@pytest.mark.parametrize("factor", FACTORS)
def test_a_pair_to_upscale_is_cut_to_a_multiple_and_is_in_8_bits(factor: int) -> None:
    clean = np.random.default_rng(0).random((25, 31, 3), dtype=np.float32)
    reference, degraded = bicubic(clean, factor)
    height, width = 25 // factor, 31 // factor
    np.testing.assert_array_equal(reference, clean[: height * factor, : width * factor])
    assert degraded.shape == (height, width, 3) and degraded.dtype == np.float32
    np.testing.assert_allclose(degraded * 255, np.round(degraded * 255), atol=1e-4)


@pytest.mark.parametrize("factor", FACTORS)
def test_the_margin_is_as_far_as_the_border_reaches_into_the_reduced_picture(factor: int) -> None:
    degradation = reductions((factor, factor))(np.random.default_rng(0))
    clean = np.random.default_rng(1).random((20 * factor, 20 * factor, 3), dtype=np.float32)
    whole = degradation.apply(clean, np.random.default_rng(0))[1]
    part = degradation.apply(clean[5 * factor :, 5 * factor :], np.random.default_rng(0))[1]
    margin = degradation.margin
    np.testing.assert_array_equal(whole[5 + margin :, 5 + margin :], part[margin:, margin:])
    assert not np.array_equal(whole[5 + margin - 1 :, 5:], part[margin - 1 :])


def test_the_mosaic_to_learn_from_is_rggb() -> None:
    clean = np.random.default_rng(0).random((6, 7, 3), dtype=np.float32)
    reference, degraded = mosaics(np.random.default_rng(0)).apply(clean, np.random.default_rng(0))
    assert reference is clean
    np.testing.assert_array_equal(degraded, mosaic(clean, "RGGB"))


def test_vivid_mosaics_are_mosaics_of_their_reference_whose_colours_lie_farther_from_grey() -> None:
    clean = np.full((4, 6, 3), [0.5, 0.4, 0.6], np.float32) + np.linspace(0, 0.1, 6, dtype=np.float32)[:, None]
    spreads = []
    for seed in range(30):
        generator = np.random.default_rng(seed)
        degradation = vivid_mosaics(generator)
        reference, degraded = degradation.apply(clean, generator)
        np.testing.assert_array_equal(degraded, mosaic(reference, "RGGB"))
        assert degradation.is_oriented
        # Grey stays, to the rounding of three channels to 8 bits.
        np.testing.assert_allclose(reference.mean(-1), clean.mean(-1), atol=0.51 / 255)
        spreads.append(float(np.ptp(reference, axis=-1).max() / 0.2))
    assert min(spreads) > 0.97 and 2.5 < max(spreads) < 4.1
    assert 4 < sum(spread < 1.01 for spread in spreads) < 20  # a third, and those whose gain is near 1

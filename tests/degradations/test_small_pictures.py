"""Small pictures of the web: what each kind adds to a reduced picture."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from restore.degradations import DEGRADATIONS, Image, bicubic, jpeg
from restore.evaluation.metrics import psnr

GREY = np.full((96, 120, 3), 0.5, np.float32)
SOFT = cv2.GaussianBlur(np.random.default_rng(3).random((96, 120, 3), np.float32), (0, 0), 1.5)
BUSY: Image = np.clip((SOFT - 0.5) * 3 + 0.5, 0, 1).astype(np.float32)


def drawn(kind: str, clean: Image, seed: int, scale: int = 2) -> tuple[Image, Image]:
    generator = np.random.default_rng(seed)
    return DEGRADATIONS[kind]((scale, scale))(generator).apply(clean, generator)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("kind", ["small-jpeg", "small-noise", "small-blur", "web-picture"])
def test_the_reference_is_the_clean_picture_and_the_small_one_lies_exactly_below_it(kind: str, scale: int) -> None:
    # A picture moved by half a pixel would differ more from the reduced clean one than a moved copy of it does.
    for seed in range(6):
        reference, small = drawn(kind, BUSY[:95, :119], seed, scale)
        height, width = (side // scale * scale for side in (95, 119))
        np.testing.assert_array_equal(reference, BUSY[:height, :width])
        right = bicubic(BUSY[:95, :119], scale)[1]
        here, moved = (((small - x) ** 2).mean() for x in (right, np.roll(right, 1, axis=1)))
        assert here < moved


def test_noise_has_the_sigma_that_the_page_says() -> None:
    sigmas = [255 * drawn("small-noise", GREY, seed)[1].std() for seed in range(30)]
    assert 4.5 < min(sigmas) < 7 and 13 < max(sigmas) < 15.5


def test_a_small_jpeg_is_the_reduced_picture_saved_with_a_quality_of_40_to_80() -> None:
    small = bicubic(BUSY, 2)[1]
    saved = [jpeg(small, q, chroma_subsampling=s).tobytes() for q in range(40, 81) for s in (True, False)]
    assert all(drawn("small-jpeg", BUSY, seed)[1].tobytes() in saved for seed in range(10))


def test_blur_takes_detail_and_keeps_the_brightness() -> None:
    plain = bicubic(BUSY, 2)[1]
    for seed in range(8):
        soft = drawn("small-blur", BUSY, seed)[1]
        assert soft.std() < plain.std() and soft.mean() == pytest.approx(plain.mean(), abs=2e-3)


def test_web_pictures_are_damaged_to_very_different_degrees_and_some_not_at_all() -> None:
    plain = np.round(255 * bicubic(BUSY, 2)[1])
    psnrs = [psnr(np.round(255 * drawn("web-picture", BUSY, seed)[1]), plain) for seed in range(80)]
    assert math.inf in psnrs
    assert np.percentile(psnrs, 15) < 30 and np.percentile(psnrs, 80) > 35

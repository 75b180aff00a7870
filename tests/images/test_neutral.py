"""Which pictures in RGB are black and white."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from restore.images.neutral import is_neutral

GREY = np.random.default_rng(0).integers(0, 256, (64, 48, 1)).astype(np.uint8)
RGB = np.repeat(GREY, 3, axis=2)


def jpeg(pixels: np.ndarray, **options: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", **options)
    return np.asarray(Image.open(file))


@pytest.mark.parametrize("quality", [30, 75, 100])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_a_black_and_white_jpeg_in_rgb_is_neutral(quality: int, subsampling: int) -> None:
    assert is_neutral(jpeg(RGB, quality=quality, subsampling=subsampling))


@pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255), (np.uint16, 65535), (np.float32, 1)])
def test_channels_that_differ_by_two_of_255_are_neutral_and_by_three_are_a_colour(dtype: type, white: int) -> None:
    pixels: np.ndarray = (RGB.clip(0, 250) / 255 * white).astype(dtype)
    for levels, expected in ((0, True), (1.99, True), (3, False)):
        pixels[30, 20] = pixels[30, 20, 0]
        pixels[30, 20, 2] += dtype(round(levels) if dtype is np.uint8 else levels / 255 * white)
        assert is_neutral(pixels) == expected


def test_a_dark_colour_picture_is_not_neutral_though_its_channels_are_near() -> None:
    dark = np.random.default_rng(1).integers(0, 3, (64, 48, 3)).astype(np.uint8)
    assert not is_neutral(dark)
    assert not is_neutral(dark.astype(np.uint16) * 200)
    assert is_neutral(dark[..., :1].repeat(3, axis=2))


def test_sepia_is_a_colour() -> None:
    sepia = np.rint(GREY * np.array([1.0, 0.89, 0.69])).astype(np.uint8)
    assert not is_neutral(sepia)
    assert not is_neutral(jpeg(sepia, quality=90))


def test_one_coloured_pixel_is_enough_for_a_colour() -> None:
    for row in (0, 7, 63):
        pixels = RGB.copy()
        pixels[row, 5] = 10, 200, 30
        assert not is_neutral(pixels)


def test_a_grey_picture_has_no_channels_to_compare() -> None:
    assert not is_neutral(GREY)

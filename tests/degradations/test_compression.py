from __future__ import annotations

import io

import numpy as np
import PIL.Image
import pytest
from drawn_pictures import flat, photo

from restore.degradations import Image, jpeg, jpeg_luma, to_8_bits
from restore.degradations.compression import colour_jpegs, grey_jpegs, jpeg_grey, luma_jpegs
from restore.degradations.mixtures import blind_jpegs


def by_pillow(picture: Image, quality: int, **options: int) -> Image:
    """Through a file that Pillow writes and reads."""
    pixels = np.round(picture * 255).astype(np.uint8)
    pixels = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, "JPEG", quality=quality, **options)
    with PIL.Image.open(file) as decoded:
        return np.asarray(decoded).astype(np.float32) / np.float32(255)


@pytest.mark.parametrize("quality", [1, 10, 75, 100])
@pytest.mark.parametrize("size", [(64, 64), (37, 50), (1, 9)])
def test_jpeg_is_what_pillow_writes_and_reads(quality: int, size: tuple[int, int]) -> None:
    for is_subsampled, code in ((True, 2), (False, 0)):
        made = jpeg(photo(*size), quality, chroma_subsampling=is_subsampled)
        np.testing.assert_array_equal(made, by_pillow(photo(*size), quality, subsampling=code))


def test_chroma_subsampling_costs_colour_and_leaves_grey_alone() -> None:
    stripes = flat(0.5)
    stripes[:, ::2, 0] += 0.3
    stripes[:, ::2, 2] -= 0.3
    errors = [np.abs(jpeg(stripes, 95, chroma_subsampling=sub) - stripes).mean() for sub in (False, True)]
    assert errors[1] > 4 * errors[0]
    grey = np.repeat(photo()[..., :1], 3, axis=2)
    np.testing.assert_array_equal(jpeg(grey, 60), jpeg(grey, 60, chroma_subsampling=False))


def test_jpeg_quality_decides_how_much_is_lost() -> None:
    errors = [float(np.abs(jpeg(photo(), quality) - photo()).mean()) for quality in (10, 60, 95)]
    assert errors[0] > errors[1] > errors[2]


def test_jpeg_of_luma_is_that_of_the_y_plane_that_matlab_has() -> None:
    reference, degraded = jpeg_luma(photo(), 10)
    levels = np.round(photo() * 255).astype(np.float64)
    y = np.round(16 + levels @ [65.481, 128.553, 24.966] / 255)[..., None].repeat(3, axis=2)
    np.testing.assert_allclose(reference * 255, y, atol=1e-4)
    np.testing.assert_array_equal(degraded[..., 0], by_pillow(reference[..., :1], 10))
    assert np.ptp(degraded, axis=-1).max() == 0


def test_the_luma_of_a_grey_picture_is_the_picture() -> None:
    grey = np.repeat(to_8_bits(photo()[..., :1]), 3, axis=2)
    np.testing.assert_array_equal(jpeg_luma(grey, 10)[0], grey)
    np.testing.assert_array_equal(jpeg_luma(grey, 10)[1][..., 0], by_pillow(grey[..., :1], 10))


def test_a_grey_jpeg_is_of_the_whole_range_of_grey_and_neutral() -> None:
    clean = to_8_bits(photo())
    reference, degraded = jpeg_grey(clean, 20)
    np.testing.assert_allclose(reference[..., 0], clean @ [0.299, 0.587, 0.114], atol=0.6 / 255)
    np.testing.assert_array_equal(degraded[..., 0], by_pillow(reference[..., :1], 20))
    for x in (reference, degraded):
        assert np.ptp(x, axis=-1).max() == 0
    generator = np.random.default_rng(0)
    drawn = grey_jpegs((20, 20))(generator).apply(clean, generator)
    np.testing.assert_array_equal(drawn, (reference, degraded))


@pytest.mark.parametrize("make", [colour_jpegs, luma_jpegs, blind_jpegs])
def test_qualities_are_drawn_from_the_whole_range_and_no_further(make: object) -> None:
    assert callable(make)
    clean, seen = photo(), set()
    for seed in range(60):
        generator = np.random.default_rng(seed)
        degraded = make((10, 12))(generator).apply(clean, generator)[1]
        seen.add(degraded.tobytes())
    qualities = range(10, 13)
    grey = {jpeg_luma(clean, q)[1].tobytes() for q in qualities}
    colour = {jpeg(clean, q, chroma_subsampling=s).tobytes() for q in qualities for s in (True, False)}
    assert seen == {colour_jpegs: colour, luma_jpegs: grey, blind_jpegs: colour | grey}[make]

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from restore.degradations import jpeg
from restore.degradations.blur import averaged, disc_kernel
from restore.images import Picture, read_picture
from restore.inspection.compression import compression_of, tables
from restore.inspection.crops import crops_of, dct_of, luma_of
from restore.inspection.findings import Findings
from restore.inspection.inspect import inspect
from restore.inspection.noise import white_noise_of

SAMPLES = Path(__file__).parents[2] / "docs" / "samples"


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """A photograph without noise, reduced 4 times: `(H, W, 3)`, 0 to 1."""
    (path,) = SAMPLES.glob("drops-on-window.jpg")
    pixels = read_picture(path).pixels.astype(np.float32) / 255
    return np.clip(cv2.resize(pixels, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA), 0, 1)


def picture(x: np.ndarray) -> Picture:
    return Picture(np.ascontiguousarray(np.round(np.clip(x, 0, 1) * 255).astype(np.uint8)))


def noisy(x: np.ndarray, sigma: float) -> Picture:
    noise = np.random.default_rng(0).standard_normal((*x.shape[:2], 1), dtype=np.float32)
    return picture(0.2 + 0.6 * x + noise * np.float32(sigma / 255))


@pytest.mark.parametrize("quality", [5, 10, 20, 40, 60, 80, 90])
def test_the_pixels_of_a_jpeg_show_its_quality(photo: np.ndarray, quality: int) -> None:
    found = inspect(picture(jpeg(photo, quality)))
    assert found.jpeg_quality_seen is not None
    assert abs(found.jpeg_quality_seen - quality) <= 1
    assert ("dejpeg" in found.tasks) == (quality < 88)


@pytest.mark.parametrize(("top", "left"), [(3, 0), (0, 5), (7, 7)])
def test_a_cropped_jpeg_shows_its_quality_and_where_its_blocks_start(photo: np.ndarray, top: int, left: int) -> None:
    found = compression_of(crops_of(picture(jpeg(photo, 30)[top:, left:])))
    assert (found.quality, (found.top + top) % 8, (found.left + left) % 8) == (30, 0, 0)


def test_a_picture_that_was_never_compressed_shows_no_quality(photo: np.ndarray) -> None:
    assert inspect(picture(photo)).jpeg_quality_seen is None


def test_the_tables_of_quality_50_are_those_of_the_standard() -> None:
    assert tables()[49][:8].tolist() == [16, 11, 10, 16, 24, 40, 51, 61]
    assert set(tables()[99]) == {1}


@pytest.mark.parametrize("sigma", [6, 10, 15, 25, 40])
def test_white_noise_is_measured_within_15_percent(photo: np.ndarray, sigma: float) -> None:
    found = inspect(noisy(photo, sigma))
    assert found.noise == pytest.approx(sigma, rel=0.15)
    assert "denoise" in found.tasks
    assert not found.noise_is_coarse


def test_faint_grain_of_a_whole_photograph_is_noise_and_noise_that_nobody_sees_is_none() -> None:
    drops = read_picture(SAMPLES / "drops-on-window.jpg")
    faint = np.random.default_rng(0).normal(0, 0.4, drops.pixels.shape)
    smooth = cv2.GaussianBlur(drops.pixels, (0, 0), 4).astype(np.float64)
    assert "denoise" not in inspect(picture((smooth + faint) / 255)).tasks
    grain = np.random.default_rng(0).normal(0, 3, drops.pixels.shape)
    found = inspect(picture((smooth + grain) / 255))
    assert "denoise" in found.tasks
    assert found.noise == pytest.approx(3 * 0.67, rel=0.15)  # luma of three independent channels


def test_white_noise_on_a_flat_plane_is_its_standard_deviation() -> None:
    plane = 128 + np.random.default_rng(1).normal(0, 10, (256, 256)).astype(np.float32)
    sigma, ratio = white_noise_of([plane])
    assert sigma == pytest.approx(10, rel=0.08)
    assert ratio == pytest.approx(1, abs=0.15)


def test_noise_of_16_bits_and_floats_is_in_the_same_unit(photo: np.ndarray) -> None:
    eight = noisy(photo, 10)
    sixteen = replace(eight, pixels=eight.pixels.astype(np.uint16) * 257)
    floats = replace(eight, pixels=eight.pixels.astype(np.float32) / 255)
    assert inspect(sixteen).noise == pytest.approx(inspect(eight).noise, abs=0.01)
    assert inspect(floats).noise == pytest.approx(inspect(eight).noise, abs=0.01)
    assert (inspect(sixteen).bits, inspect(floats).bits) == (16, 32)


def test_a_picture_without_colour_is_grey_even_as_rgb(photo: np.ndarray) -> None:
    grey = np.repeat(photo.mean(axis=2, keepdims=True), 3, axis=2)
    assert inspect(picture(grey)).is_grey
    assert inspect(picture(grey[..., :1])).is_grey
    assert not inspect(picture(photo * [1.0, 0.6, 0.3])).is_grey


def test_defocus_is_no_noise(photo: np.ndarray) -> None:
    found = inspect(picture(averaged(photo, disc_kernel(4))))
    assert "denoise" not in found.tasks
    assert found.noise < 2


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (7, 9), (31, 500), (32, 32), (33, 4000), (40, 40)])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size_is_inspected(size: tuple[int, int], channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, channels), np.uint8)
    found = inspect(Picture(pixels))
    assert (found.height, found.width) == size
    assert all(np.isfinite(value) for value in found.as_dict().values() if isinstance(value, float))


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_flat_picture_has_nothing_wrong(level: int) -> None:
    found = inspect(Picture(np.full((300, 300, 3), level, np.uint8)))
    assert (found.jpeg_quality_seen, found.noise < 1) == (None, True)


def test_the_same_picture_gives_the_same_findings(photo: np.ndarray) -> None:
    assert inspect(noisy(photo, 5)) == inspect(noisy(photo, 5))


def test_crops_of_a_large_picture_are_small_and_start_on_the_blocks() -> None:
    pixels = np.zeros((3000, 4000, 1), np.uint16)
    pixels[::16, ::16] = 65535
    crops = crops_of(Picture(pixels))
    assert sum(crop.size for crop in crops) <= 900_000
    assert all(crop[0, 0, 0] == 255 for crop in crops)


def test_the_dct_keeps_energy_and_puts_the_mean_first() -> None:
    blocks = np.random.default_rng(0).random((5, 8, 8), dtype=np.float32)
    coefficients = dct_of(blocks)
    assert np.allclose((coefficients**2).sum(axis=(1, 2)), (blocks**2).sum(axis=(1, 2)), rtol=1e-5)
    assert np.allclose(coefficients[:, 0, 0], blocks.mean(axis=(1, 2)) * 8, rtol=1e-5)


def test_luma_of_grey_is_grey() -> None:
    assert np.allclose(luma_of(np.full((4, 4, 3), 77, np.float32)), 77)


def test_findings_are_ready_for_json(photo: np.ndarray) -> None:
    found = inspect(noisy(photo, 20))
    assert json.loads(json.dumps(found.as_dict())) == found.as_dict()


def test_words_name_what_is_wrong_and_nothing_else(photo: np.ndarray) -> None:
    good = Findings(10, 10, 8, False, None, "PNG", 0.4, 0.2, False, None, None, "none", 0.0, 0.0, 1.0)
    assert good.words() == []
    bad = replace(good, noise=12.34, noise_chroma=5.0, jpeg_quality_seen=40, tasks=("denoise", "dejpeg"))
    assert bad.words() == ["JPEG artifacts (quality 40)", "fine noise (sigma 12.3, colour 5.0)"]
    blurred = replace(good, blur="motion", blur_pixels=7.0, tasks=("deblur",), enlarged=2.0)
    assert blurred.words() == ["motion blur (about 7 pixels)", "enlarged before (about 2.0 times)"]


def test_inspecting_imports_no_torch() -> None:
    code = "import sys, restore.inspection.inspect; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

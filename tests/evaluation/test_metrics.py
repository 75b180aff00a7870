from __future__ import annotations

import io
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from restore.datasets.listing import list_pictures
from restore.datasets.pairs import degraded, paired, with_gaussian_noise
from restore.evaluation.metrics import psnr, ssim, ssim_volume
from restore.images.luma import luma

SHARED = Path(__file__).parents[2].parent / "shared"
needs_shared = pytest.mark.skipif(
    not (SHARED / "golden" / "metrics.json").is_file(), reason="the benchmark sets are not beside this checkout"
)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def test_psnr_by_hand() -> None:
    clean = np.zeros((2, 2, 3))
    restored = clean.copy()
    restored[0, 0, 0] = 6  # mean square 36 / 12 = 3
    assert psnr(restored, clean) == pytest.approx(10 * np.log10(65025 / 3))
    assert psnr(np.full((1, 1, 1), 255), np.zeros((1, 1, 1))) == 0
    assert psnr(clean, clean) == float("inf")


def test_psnr_of_bytes_does_not_wrap_around() -> None:
    low, high = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 255, np.uint8)
    assert psnr(low, high) == psnr(high, low) == 0


def test_ssim_of_a_picture_with_itself_is_1() -> None:
    assert ssim(noise(20, 30, 3), noise(20, 30, 3)) == pytest.approx(1, abs=1e-12)


def test_ssim_of_two_flat_pictures_by_hand() -> None:
    # No variance: (2 a b + c1) / (a^2 + b^2 + c1), c1 = 2.55^2 = 6.5025.
    assert ssim(np.full((11, 11, 1), 100), np.full((11, 11, 1), 120)) == pytest.approx(24006.5025 / 24406.5025)


def test_ssim_is_the_formula_of_the_paper_window_by_window() -> None:
    x, y = noise(14, 17, 3).astype(float), noise(14, 17, 3, seed=1).astype(float)
    y = 0.5 * x + 0.5 * y
    offset = np.arange(11) - 5
    window = np.exp(-(offset[:, None] ** 2 + offset[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    values = []
    for channel, top, left in itertools.product(range(3), range(4), range(7)):
        a, b = (p[top : top + 11, left : left + 11, channel] for p in (x, y))
        ma, mb = (window * a).sum(), (window * b).sum()
        va, vb = (window * (a - ma) ** 2).sum(), (window * (b - mb) ** 2).sum()
        covariance = (window * (a - ma) * (b - mb)).sum()
        c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
        values.append((2 * ma * mb + c1) * (2 * covariance + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2)))
    assert ssim(x, y) == pytest.approx(float(np.mean(values)), abs=1e-9)


def test_ssim_of_a_picture_under_11_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 11 pixels, not 10x40"):
        ssim(noise(10, 40, 3), noise(10, 40, 3))


def test_luma_by_hand() -> None:
    # 16 + 65.481 R + 128.553 G + 24.966 B with R, G, B in [0, 1], then rounded.
    picture = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [10, 200, 30]]])
    last = 16 + (65.481 * 10 + 128.553 * 200 + 24.966 * 30) / 255
    assert luma(picture).ravel().tolist() == [81, 145, 41, round(last)]
    assert luma(picture).shape == (1, 4, 1)


def close(scores: tuple[float, float], key: str, name: str) -> bool:
    """Whether PSNR and SSIM are those of an independent implementation, to 1e-3 dB and 1e-4."""
    stored = json.loads((SHARED / "golden" / "metrics.json").read_text())[key]["per_image"][name]
    return all(abs(score - value) <= off for score, value, off in zip(scores, stored, (1e-3, 1e-4), strict=True))


def in_bytes(picture: np.ndarray) -> np.ndarray:
    return np.asarray(np.round(np.clip(picture, 0, 1) * 255))


def as_jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    """Through Pillow's encoder, `(H, W)` or `(H, W, 3)` uint8; colour is 4:2:0."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


@needs_shared
def test_real_noise_scores_as_stored() -> None:
    folder = SHARED / "data" / "bench" / "PolyU"
    for pair in itertools.islice(paired(folder / "clean", folder / "noisy"), 3):
        clean, noisy = in_bytes(pair.clean), in_bytes(pair.degraded)
        assert close((psnr(noisy, clean), ssim(noisy, clean)), "PolyU|rgb", pair.name)


@needs_shared
def test_noise_of_sigma_25_as_in_a_file_scores_as_stored() -> None:
    paths = list_pictures(SHARED / "data" / "bench" / "CBSD68")
    for pair in itertools.islice(degraded(paths, with_gaussian_noise(25, as_file=True)), 4):
        clean, noisy = in_bytes(pair.clean), in_bytes(pair.degraded)
        assert close((psnr(noisy, clean), ssim(noisy, clean)), "CBSD68:c25|rgb", pair.name)


@needs_shared
def test_jpeg_scores_as_stored_in_rgb_and_in_luma() -> None:
    for path in list_pictures(SHARED / "data" / "bench" / "LIVE1")[:3]:
        clean = np.asarray(Image.open(path).convert("RGB"))
        spoiled = as_jpeg(clean, 10)
        assert close((psnr(spoiled, clean), ssim(spoiled, clean)), "LIVE1:j10|rgb", path.stem)
        y, spoiled_y = luma(clean), luma(spoiled)
        assert close((psnr(spoiled_y, y), ssim(spoiled_y, y)), "LIVE1:j10|y", path.stem)
        grey = as_jpeg(y[..., 0].astype(np.uint8), 10)[..., None]
        assert close((psnr(grey, y), ssim(grey, y)), "LIVE1:y10|y", path.stem)


def test_matlabs_ssim_takes_the_channels_for_the_depth_of_a_volume() -> None:
    # By the definition, position by position: an 11x11x11 window over a volume whose edges are repeated.
    x, y = noise(11, 12, 3).astype(float), noise(11, 12, 3, seed=1).astype(float)
    y = 0.5 * x + 0.5 * y
    offset = np.arange(11) - 5
    line = np.exp(-(offset**2) / (2 * 1.5**2))
    line /= line.sum()
    window = line[:, None, None] * line[:, None] * line
    a, b = (np.pad(p, 5, mode="edge") for p in (x, y))
    values = []
    for top, left, depth in itertools.product(range(11), range(12), range(3)):
        here = (slice(top, top + 11), slice(left, left + 11), slice(depth, depth + 11))
        ma, mb = (window * a[here]).sum(), (window * b[here]).sum()
        va, vb = (window * a[here] ** 2).sum() - ma**2, (window * b[here] ** 2).sum() - mb**2
        covariance = (window * a[here] * b[here]).sum() - ma * mb
        c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
        values.append((2 * ma * mb + c1) * (2 * covariance + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2)))
    assert ssim_volume(x, y) == pytest.approx(float(np.mean(values)), abs=1e-9)
    assert ssim_volume(x, x) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("metric", [psnr, ssim, ssim_volume])
def test_pictures_of_different_shapes_are_not_compared(metric: Callable[[Any, Any], float]) -> None:
    colour, grey = np.zeros((16, 16, 3), np.uint8), np.zeros((16, 16, 1), np.uint8)
    with pytest.raises(ValueError, match=r"\(16, 16, 3\) and \(16, 16, 1\) cannot be compared"):
        metric(colour, grey)

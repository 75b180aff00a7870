"""PSNR and SSIM as the papers' scripts compute them.

Pictures are `(H, W, C)` arrays in 8-bit units (0 to 255). The tests compare with independent implementations.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
SSIM_WINDOW = 11  # side in pixels
DISTANCES = {"lpips": "LPIPS", "dists": "DISTS"}  # perceptual metrics: fields of `PictureScore`, and what tables say


def psnr(restored: NDArray[np.generic], clean: NDArray[np.generic]) -> float:
    """Peak signal-to-noise ratio in dB over all pixels and channels together; infinity for equal pictures.

    >>> round(psnr(np.full((2, 2, 3), 10), np.full((2, 2, 3), 15)), 3)
    34.151

    Raises:
        ValueError: The shapes differ.
    """
    _check_shapes(restored, clean)
    error = np.mean(np.square(np.asarray(restored, np.float64) - np.asarray(clean, np.float64)))
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


def ssim(restored: NDArray[np.generic], clean: NDArray[np.generic]) -> float:
    """Structural similarity (Wang et al., IEEE TIP 2004) of each channel, averaged.

    As the authors' `ssim_index.m`: Gaussian window 11x11 of sigma 1.5, K = (0.01, 0.03), L = 255; only positions where
    the whole window fits.

    Raises:
        ValueError: The shapes differ, or a side is shorter than `SSIM_WINDOW`.
    """
    x, y = _pair(restored, clean)
    window, margin = cv2.getGaussianKernel(SSIM_WINDOW, 1.5), SSIM_WINDOW // 2

    def mean(values: Array) -> Array:
        filtered = cv2.sepFilter2D(values, -1, window, window).astype(np.float64, copy=False)
        return np.atleast_3d(filtered)[margin:-margin, margin:-margin]

    return _similarity(x, y, mean)


def ssim_volume(restored: NDArray[np.generic], clean: NDArray[np.generic]) -> float:
    """The SSIM that MATLAB's own `ssim` gives for an RGB array: it takes the channels as the third axis of a volume.

    Its Gaussian window of sigma 1.5 is 11x11x11, edges are repeated, and all positions count. The rest is as in `ssim`.
    Scores of colour pictures are higher than by `ssim`. The papers' tables for GoPro, HIDE and SIDD use it.

    Raises:
        ValueError: The shapes differ, or a side is shorter than `SSIM_WINDOW`.
    """
    x, y = _pair(restored, clean)
    window = cv2.getGaussianKernel(SSIM_WINDOW, 1.5)
    channels = x.shape[2]
    mix = np.zeros((channels, channels))  # of the channels; the first and the last are repeated
    for channel in range(channels):
        for tap, weight in enumerate(window[:, 0], -(SSIM_WINDOW // 2)):
            mix[min(max(channel + tap, 0), channels - 1), channel] += weight

    def mean(values: Array) -> Array:
        flat = cv2.sepFilter2D(values, -1, window, window, borderType=cv2.BORDER_REPLICATE)
        mixed: Array = np.atleast_3d(flat) @ mix
        return mixed

    return _similarity(x, y, mean)


def _check_shapes(restored: NDArray[np.generic], clean: NDArray[np.generic]) -> None:
    if np.shape(restored) != np.shape(clean):  # NumPy would repeat the channel of a grey picture
        raise ValueError(f"pictures of {np.shape(restored)} and {np.shape(clean)} cannot be compared")


def _pair(restored: NDArray[np.generic], clean: NDArray[np.generic]) -> tuple[Array, Array]:
    _check_shapes(restored, clean)
    x, y = (np.atleast_3d(np.asarray(p, np.float64)) for p in (restored, clean))
    if min(x.shape[:2]) < SSIM_WINDOW:
        raise ValueError(f"SSIM needs sides of at least {SSIM_WINDOW} pixels, not {x.shape[0]}x{x.shape[1]}")
    return x, y


def _similarity(x: Array, y: Array, mean: Callable[[Array], Array]) -> float:
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    return float(np.mean((2 * mx * my + c1) * (2 * cov + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))))

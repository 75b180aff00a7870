"""PSNR and SSIM on 8-bit pictures, as the papers' MATLAB scripts compute them; `PROTOCOLS` names ways to apply them.

Pictures are `(H, W, C)` arrays, RGB, in 8-bit units (0 to 255). Checked against an independent implementation (tests).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
SSIM_WINDOW = 11  # side in pixels


def psnr(restored: NDArray[np.generic], clean: NDArray[np.generic]) -> float:
    """Peak signal-to-noise ratio in dB over all pixels and channels together; infinity for equal pictures.

    >>> round(psnr(np.full((2, 2, 3), 10), np.full((2, 2, 3), 15)), 3)
    34.151
    """
    error = np.mean(np.square(np.asarray(restored, np.float64) - np.asarray(clean, np.float64)))
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


def ssim(restored: NDArray[np.generic], clean: NDArray[np.generic]) -> float:
    """Structural similarity (Wang et al., IEEE TIP 2004): each channel on its own, then averaged.

    Gaussian window 11x11 of sigma 1.5, K = (0.01, 0.03), L = 255, only where the window fits, as in the authors'
    `ssim_index.m`.

    Raises:
        ValueError: A side is under `SSIM_WINDOW`.
    """
    x, y = np.atleast_3d(np.asarray(restored, np.float64)), np.atleast_3d(np.asarray(clean, np.float64))
    if min(x.shape[:2]) < SSIM_WINDOW:
        raise ValueError(f"SSIM needs sides of at least {SSIM_WINDOW} pixels, not {x.shape[0]}x{x.shape[1]}")
    window, margin = cv2.getGaussianKernel(SSIM_WINDOW, 1.5), SSIM_WINDOW // 2

    def mean(values: Array) -> Array:
        filtered = cv2.sepFilter2D(values, -1, window, window).astype(np.float64, copy=False)
        return np.atleast_3d(filtered)[margin:-margin, margin:-margin]

    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    return float(np.mean((2 * mx * my + c1) * (2 * cov + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))))


def luma(picture: NDArray[np.generic]) -> Array:
    """Y of YCbCr as MATLAB's `rgb2ycbcr` gives it for 8-bit RGB (16 to 235, rounded): `(H, W, 3)` to `(H, W, 1)`.

    >>> luma(np.array([[[255, 255, 255], [0, 0, 0]]])).ravel().tolist()
    [235.0, 16.0]
    """
    rgb = np.asarray(picture, np.float64) / 255
    y: Array = np.round(16 + rgb @ np.array([[65.481], [128.553], [24.966]]))
    return y


@dataclass(frozen=True)
class Protocol:
    """How two 8-bit pictures are compared: what is done to both before PSNR and SSIM."""

    name: str
    summary: str
    prepare: Callable[[NDArray[np.generic]], NDArray[np.generic]]


PROTOCOLS: dict[str, Protocol] = {
    "rgb": Protocol("rgb", "8-bit RGB; PSNR over all channels together, SSIM a channel and averaged", lambda x: x),
    "y": Protocol("y", "luma of MATLAB's rgb2ycbcr, rounded to 8 bits", luma),
}

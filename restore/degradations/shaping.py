"""The steps of simulated noise: blur, sharpening, blotches, block-wise noise reduction, and the file format."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from restore.degradations.base import Image, to_8_bits
from restore.degradations.compression import jpeg

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


def spread(x: NDArray[Any]) -> np.floating[Any]:
    """The standard deviation of noise, to divide by; at least an eighth of the mean, for it may be 0 in few pixels."""
    least: np.floating[Any] = max(abs(x.mean()) / np.float32(8), np.float32(1e-8))
    return max(x.std(), least)


def blurred(x: NDArray[Any], deviation: float) -> NDArray[Any]:
    """Gaussian blur with a standard deviation in pixels; 0 does nothing."""
    return cv2.GaussianBlur(x, (0, 0), deviation) if deviation else x


def blotchy(noise: NDArray[Any], strength: np.floating[Any], deviation: float) -> NDArray[Any]:
    """`noise` blurred and scaled to the standard deviation `strength`; zeros for a strength of 0."""
    if not strength:
        return np.zeros_like(noise)
    coarse: NDArray[Any] = blurred(noise, deviation).reshape(noise.shape)
    return np.asarray(strength * (coarse / spread(coarse)))


def sharpened(x: NDArray[Any], amount: float, radius: float) -> NDArray[Any]:
    """Unsharp masking by a blur of standard deviation `radius` pixels; an amount of 0 does nothing."""
    return x + np.float32(amount) * (x - blurred(x, radius)) if amount else x


_DCT = np.array([[np.cos(np.pi * (2 * i + 1) * f / 16) for i in range(8)] for f in range(8)], np.float32) / 2
_DCT[0] /= np.sqrt(np.float32(2))


def shrunk(x: NDArray[Any], threshold: float, grids: NDArray[np.integer]) -> NDArray[Any]:
    """What block-wise noise reduction leaves of noise `(H, W)`: short strokes.

    In blocks of 8x8, DCT coefficients below `threshold` standard deviations become zero. The result is the mean over
    `grids`, the shifts (y, x) of the blocks.
    """
    height, width = x.shape
    padded = np.pad(x, ((0, -height % 8), (0, -width % 8)), mode="wrap")
    total, least = np.zeros_like(padded), threshold * x.std()
    for shift in map(tuple, grids):
        blocks = np.roll(padded, shift, (0, 1)).reshape(padded.shape[0] // 8, 8, -1, 8).swapaxes(1, 2)
        coefficients = _DCT @ blocks @ _DCT.T
        coefficients[np.abs(coefficients) < least] = 0
        left = (_DCT.T @ coefficients @ _DCT).swapaxes(1, 2).reshape(padded.shape)
        total += np.roll(left, tuple(-s for s in shift), (0, 1))
    return total[:height, :width] / len(grids) if total.any() else x  # of a few pixels nothing may remain


def enlarged(x: NDArray[Any], zoom: float) -> NDArray[Any]:
    """The corner of `x`, enlarged `zoom` times to the size of `x`; 1 does nothing."""
    height, width = x.shape[:2]
    corner = x[: int(np.ceil(height / zoom)), : int(np.ceil(width / zoom))]
    return cv2.resize(corner, (width, height), interpolation=cv2.INTER_CUBIC) if zoom > 1 else x


def flattened(x: NDArray[Any], flatness: float) -> NDArray[Any]:
    """`x` with surfaces below a contrast of `flatness` grey levels smoothed, edges kept; 0 does nothing."""
    return cv2.bilateralFilter(x, 9, flatness / 255, 4.0) if flatness else x


def file_format(generator: Generator) -> tuple[int | None, bool]:
    """JPEG quality (None: not compressed) of a photograph's file, and whether its chroma is 4:2:0.

    Often 75 and 4:2:0, the defaults of libjpeg and most programs.
    """
    kind = generator.random()
    if kind < 0.2:
        return None, False
    if kind < 0.5:
        return 75, True
    return int(generator.integers(60, 101)), generator.random() < 0.6


def saved(x: Image, quality: int | None, chroma_subsampling: bool) -> Image:
    """The picture after saving in a file of `file_format`."""
    return to_8_bits(x) if quality is None else jpeg(x, quality, chroma_subsampling=chroma_subsampling)

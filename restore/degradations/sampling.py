"""Fewer samples: pictures downscaled as by MATLAB, and Bayer mosaics."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from restore.degradations.base import (
    Degradation,
    Draw,
    Image,
    check_level,
    check_picture,
    log_uniform,
    takes_picture,
    to_8_bits,
)
from restore.errors import UsageError
from restore.images.bayer import mosaic


def imresize(picture: NDArray[Any], scale: float) -> NDArray[Any]:
    """Resize as MATLAB's `imresize(picture, scale, "bicubic")` does, antialiasing included.

    The cubic convolution kernel of Keys (IEEE TASSP 1981, eq. 15, a = -0.5), 1 / scale times as wide if `scale` is
    below 1. Pixels beyond the border are mirrored, including the border pixel; rows come first. Papers on
    super-resolution make their test pictures with it (PANet Section 4.7 and all that it compares with).

    Args:
        picture: `(H, W, C)`. Bytes are rounded and clipped after each direction, as MATLAB does; floats are not.
        scale: Output size over input size, 0.001 to 1000; sides are rounded up.

    Raises:
        UsageError: The picture has another type or shape, or the scale is out of its range.
    """
    check_picture(picture, may_be_bytes=True)
    check_level("scale", scale, 1e-3, 1e3)
    for axis in (0, 1):
        taps, weights = _taps(picture.shape[axis], scale)
        columns = np.expand_dims(weights, (2, 3) if axis == 0 else (1, 3))
        resized = sum(np.take(picture, at, axis) * weight for at, weight in zip(taps, columns, strict=True))
        picture = _as(picture.dtype, np.asarray(resized))
    return picture


def _as(dtype: np.dtype[Any], x: NDArray[np.float64]) -> NDArray[Any]:
    # MATLAB rounds halves up; NumPy rounds them to even.
    return np.clip(np.floor(x + 0.5), 0, np.iinfo(dtype).max).astype(dtype) if dtype.kind == "u" else x.astype(dtype)


@lru_cache(maxsize=64)
def _taps(length: int, scale: float) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The input pixels of each output pixel along an axis, and their weights: `(taps, output length)` each."""
    stretch = min(scale, 1.0)
    reach = 2 / stretch
    centres = (np.arange(math.ceil(length * scale)) + 0.5) / scale - 0.5  # in input pixels; the first is 0
    at = np.floor(centres - reach).astype(np.intp) + np.arange(1, math.ceil(2 * reach) + 2)[:, None]
    weights = _cubic(stretch * (centres - at))
    weights /= weights.sum(axis=0)
    mirrored = at % (2 * length)
    used = weights.any(axis=1)
    return np.minimum(mirrored, 2 * length - 1 - mirrored)[used], weights[used]


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' kernel with a = -0.5."""
    x = np.abs(x)
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))


def divisible(picture: Image, factor: int) -> Image:
    """The picture without the last rows and columns, so that `factor`, 1 to 100, divides both sides.

    Raises:
        UsageError: The factor is not one, or no pixel is left.
    """
    check_level("factor", factor, 1, 100, is_whole=True)
    height, width = (side - side % factor for side in picture.shape[:2])
    if not height or not width:
        raise UsageError(
            f"a picture of {picture.shape[1]} x {picture.shape[0]} has no pixel left at 1/{factor}",
            hint=f"give at least {factor} x {factor} pixels",
        )
    return picture[:height, :width]


@takes_picture
def bicubic(clean: Image, factor: int) -> tuple[Image, Image]:
    """A picture, and the picture `factor` times smaller in 8 bits: `(reference, degraded)`.

    First, columns at the right and rows at the bottom are cut off until `factor`, 1 to 100, divides both sides.

    Raises:
        UsageError: It is not a picture, the factor is not one, or no pixel is left.
    """
    clean = divisible(clean, factor)
    levels = np.round(np.clip(clean, 0, 1) * 255).astype(np.uint8)
    return clean, imresize(levels, 1 / factor).astype(np.float32) / np.float32(255)


def whole_factor(level: tuple[float, float]) -> int:
    """The one factor of a range.

    Raises:
        UsageError: The ends differ, or are not a whole number.
    """
    factor = round(level[0])
    if level != (factor, factor):
        raise UsageError(f"a network learns one whole scale, not {level[0]:g} to {level[1]:g}")
    return factor


def reductions(level: tuple[float, float]) -> Draw:
    """`bicubic` by one factor, because a network has one scale: both ends of `level` must equal it."""
    factor = whole_factor(level)
    # The kernel reaches two pixels of the small picture.
    degradation = Degradation(lambda clean, _: bicubic(clean, factor), reduction=factor, margin=2)
    return lambda _: degradation


def mosaics(_: Generator) -> Degradation:
    """The RGGB mosaic of a picture, as RGB with zeros (`restore.images.bayer`); flips would change its pattern."""
    return Degradation(lambda clean, _: (clean, mosaic(clean)), is_oriented=True)


def vivid_mosaics(generator: Generator) -> Degradation:
    """`mosaics`; two thirds of the pictures get up to four times the saturation and permuted channels.

    Most photographs are so grey that a network learns to copy detail from the other channels. That fails on the vivid
    pictures of McMaster.
    """
    if generator.random() < 1 / 3:
        return mosaics(generator)
    gain, order = log_uniform(generator, 1, 4), generator.permutation(3)

    def apply(clean: Image, _: Generator) -> tuple[Image, Image]:
        grey = clean.mean(axis=-1, keepdims=True)
        vivid = to_8_bits((grey + np.float32(gain) * (clean - grey))[..., order])
        return vivid, mosaic(vivid)

    return Degradation(apply, is_oriented=True)

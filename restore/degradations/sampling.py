"""Pictures with fewer samples: reduced by a bicubic kernel as MATLAB does, or seen through a colour filter."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from restore.degradations.base import Degradation, Draw, Image, log_uniform, to_8_bits
from restore.errors import UsageError
from restore.images.bayer import mosaic


def imresize(picture: NDArray[Any], scale: float) -> NDArray[Any]:
    """Resize as MATLAB's `imresize(picture, scale, "bicubic")` does, antialiasing included.

    The cubic convolution kernel of Keys (IEEE TASSP 1981, eq. 15, a = -0.5), widened by 1 / scale where `scale` is
    below 1; pixels beyond the border are mirrored, the border pixel included; rows first. It is how the test pictures
    of the papers on super-resolution are made (PANet Section 4.7 and all that it compares with).

    Args:
        picture: `(H, W, C)`. Bytes are rounded and clipped after each direction, as MATLAB does; floats are not.
        scale: Output size over input size; sides are rounded up.
    """
    for axis in (0, 1):
        taps, weights = _taps(picture.shape[axis], scale)
        columns = np.expand_dims(weights, (2, 3) if axis == 0 else (1, 3))
        resized = sum(np.take(picture, at, axis) * weight for at, weight in zip(taps, columns, strict=True))
        picture = _as(picture.dtype, np.asarray(resized))
    return picture


def _as(dtype: np.dtype[Any], x: NDArray[np.float64]) -> NDArray[Any]:
    # MATLAB rounds halves up, NumPy to even.
    return np.clip(np.floor(x + 0.5), 0, np.iinfo(dtype).max).astype(dtype) if dtype.kind == "u" else x.astype(dtype)


@lru_cache(maxsize=64)
def _taps(length: int, scale: float) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The pixels that each output pixel along an axis is made of, and their weights: `(taps, output length)` each."""
    stretch = min(scale, 1.0)
    reach = 2 / stretch
    centres = (np.arange(math.ceil(length * scale)) + 0.5) / scale - 0.5  # in pixels of the input, the first is 0
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


def bicubic(clean: Image, factor: int) -> tuple[Image, Image]:
    """A picture and itself in 8 bits, `factor` times smaller: `(reference, degraded)`.

    What is left at the right and bottom when the sides are divided by `factor` is cut off first.
    """
    height, width = (side - side % factor for side in clean.shape[:2])
    clean = clean[:height, :width]
    levels = np.round(np.clip(clean, 0, 1) * 255).astype(np.uint8)
    return clean, imresize(levels, 1 / factor).astype(np.float32) / np.float32(255)


def reductions(level: tuple[float, float]) -> Draw:
    """`bicubic` by one factor, which both ends of `level` are: a network enlarges by one.

    Raises:
        UsageError: They differ, or are no whole number.
    """
    factor = round(level[0])
    if level != (factor, factor):
        raise UsageError(f"a network learns one whole scale, not {level[0]:g} to {level[1]:g}")
    # The kernel reaches two pixels of the smaller picture.
    degradation = Degradation(lambda clean, _: bicubic(clean, factor), reduction=factor, margin=2)
    return lambda _: degradation


def mosaics(_: Generator) -> Degradation:
    """The RGGB mosaic of a picture, as RGB with zeros (`restore.images.bayer`); turning would break it."""
    return Degradation(lambda clean, _: (clean, mosaic(clean)), is_oriented=True)


def vivid_mosaics(generator: Generator) -> Degradation:
    """`mosaics`, in two of three pictures with colours up to four times as far from grey, and exchanged.

    Most photographs are so grey that a network learns to take the detail of one colour from the others, which fails on
    the colours of McMaster's pictures.
    """
    if generator.random() < 1 / 3:
        return mosaics(generator)
    gain, order = log_uniform(generator, 1, 4), generator.permutation(3)

    def apply(clean: Image, _: Generator) -> tuple[Image, Image]:
        grey = clean.mean(axis=-1, keepdims=True)
        vivid = to_8_bits((grey + np.float32(gain) * (clean - grey))[..., order])
        return vivid, mosaic(vivid)

    return Degradation(apply, is_oriented=True)

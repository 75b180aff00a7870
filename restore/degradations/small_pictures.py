"""Small pictures as the web has them, to enlarge: reduced in several ways, soft, noisy, and saved as JPEG."""

from __future__ import annotations

import numpy as np
import PIL.Image
from numpy.random import Generator

from restore.degradations.base import Degradation, Draw, Image, log_uniform, to_8_bits
from restore.degradations.compression import colour_jpegs, jpeg
from restore.degradations.noise import gaussian_noises, texture
from restore.degradations.recompression import resized
from restore.degradations.sampling import bicubic, divisible, whole_factor
from restore.degradations.shaping import blurred, sharpened

_FILTERS = (PIL.Image.Resampling.BOX, PIL.Image.Resampling.BILINEAR, PIL.Image.Resampling.LANCZOS)
_SOFTEST = 1.0  # standard deviation of the strongest blur, in pixels of the small picture
_REACH = 7  # of blur, filter and sharpening together, in pixels of the small picture


def web_pictures(level: tuple[float, float]) -> Draw:
    """For enlarging the pictures that people have, with any of these faults; a tenth has none of them.

    - Reduced by `bicubic` (half) or by Pillow's box, bilinear or Lanczos filter (half, also of those without faults).
    - 36 % are first blurred by a Gaussian of 0.2 to 1 pixel of the small picture, 14 % sharpened afterwards.
    - 36 % have noise of sigma 1 to 15: white or coarse, channels independent to equal.
    - 63 % are JPEG of quality 40 to 95, 75 % of them 4:2:0, a fifth of them saved twice.
    """
    factor = whole_factor(level)

    def draw(generator: Generator) -> Degradation:
        chance, uniform = generator.random, generator.uniform
        is_damaged = chance() >= 0.1
        filter_ = None if chance() < 0.5 else _FILTERS[int(generator.integers(len(_FILTERS)))]
        blur = uniform(0.2, _SOFTEST) * factor if chance() < 0.4 and is_damaged else 0.0
        sharpening = uniform(0.2, 1.5) if chance() < 0.15 and is_damaged else 0.0
        sigma = np.float32(log_uniform(generator, 1, 15) / 255) if chance() < 0.4 and is_damaged else None
        noise = texture(generator, 1.0)
        savings = [(int(generator.integers(40, 96)), bool(chance() < 0.75)) for _ in range(2)]
        count = (1 + (chance() < 0.2)) * (chance() < 0.7) * is_damaged

        def apply(clean: Image, g: Generator) -> tuple[Image, Image]:
            soft = np.asarray(blurred(clean, blur))
            small = (
                bicubic(soft, factor)[1] if filter_ is None else resized(divisible(soft, factor), 1 / factor, filter_)
            )
            small = sharpened(small, sharpening, 0.7)
            if sigma is not None:
                small = small + sigma * noise(small.shape, g)
            small = to_8_bits(np.asarray(small, np.float32))
            for quality, is_subsampled in savings[:count]:
                small = jpeg(small, quality, chroma_subsampling=is_subsampled)
            return divisible(clean, factor), small

        return Degradation(apply, reduction=factor, margin=_REACH, grid=16)

    return draw


def small_jpegs(level: tuple[float, float]) -> Draw:
    """`bicubic`, then JPEG of quality 40 to 80, 4:2:0 in 75 % of the draws."""
    return reduced_then(level, colour_jpegs((40, 80)))


def small_noises(level: tuple[float, float]) -> Draw:
    """`bicubic`, then white noise with a sigma from 5 to 15, in 8 bits."""
    return reduced_then(level, gaussian_noises((5, 15), as_file=True))


def small_blurs(level: tuple[float, float]) -> Draw:
    """Gaussian blur with a standard deviation of 0.3 to 1 pixel of the small picture, then `bicubic`."""
    factor = whole_factor(level)

    def draw(generator: Generator) -> Degradation:
        blur = generator.uniform(0.3, _SOFTEST) * factor

        def apply(clean: Image, _: Generator) -> tuple[Image, Image]:
            return divisible(clean, factor), bicubic(np.asarray(blurred(clean, blur)), factor)[1]

        return Degradation(apply, reduction=factor, margin=_REACH)

    return draw


def reduced_then(level: tuple[float, float], damage: Draw) -> Draw:
    """`bicubic`, then a degradation of the small picture."""
    factor = whole_factor(level)

    def draw(generator: Generator) -> Degradation:
        made = damage(generator)

        def apply(clean: Image, g: Generator) -> tuple[Image, Image]:
            reference, small = bicubic(clean, factor)
            return reference, made.apply(small, g)[1]

        return Degradation(apply, reduction=factor, margin=2, grid=made.grid)

    return draw

"""Noise of many kinds: Gaussian, grain, film, under JPEG, uneven, and blotches of colour."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from restore.degradations.base import Degradation, Draw, Image, check_level, log_uniform, takes_picture, to_8_bits
from restore.degradations.compression import jpeg
from restore.degradations.shaping import (
    LUMA,
    blotchy,
    blurred,
    enlarged,
    file_format,
    flattened,
    saved,
    sharpened,
    shrunk,
    spread,
)


@takes_picture
def gaussian_noise(clean: Image, sigma: float, generator: Generator, *, as_file: bool = False) -> Image:
    """Add white Gaussian noise of standard deviation `sigma` (0 to 255), independent in every pixel and channel.

    Args:
        as_file: Clip to [0, 1] and round to 8 bits, as in a picture file. Without it values can leave [0, 1]; that is
            the papers' protocol.

    Raises:
        UsageError: The picture or sigma is not one.
    """
    check_level("sigma", sigma, 0, 255)
    noisy: Image = clean + generator.standard_normal(clean.shape, dtype=np.float32) * np.float32(sigma / 255)
    return to_8_bits(noisy) if as_file else noisy


def grain(generator: Generator) -> Degradation:
    """Noise of a file, without a camera model: random spectrum, colour and dependence on brightness.

    Its sigma is 1 to 12 grey levels. Most pictures are soft with smooth surfaces (see `Camera.zoom` and `flatness`),
    and most are saved as JPEG. It covers noise that `camera_noise` never draws, such as noise without colour, which a
    network would keep as detail.

    In half of the draws the luma noise lies in a band of frequencies. Two thirds have residues of noise reduction
    (`shrunk`): phones threshold noise in a transform, smooth the coarse part and sharpen the rest. In the sky of
    docs/samples/tower-at-night.jpg, pixels correlate by 0.25 with their neighbour and by -0.2 with the next. A network
    that leaves 9 % of Gaussian noise with that spectrum leaves 81 % of the sky's noise.
    """
    draw, chance = generator.uniform, generator.random
    sigma, slope, hump = log_uniform(generator, 1.0, 12.0), draw(-0.8, 0.5), draw(0.0, 0.9)
    if chance() < 0.5:
        luma_blur, band = draw(0.4, 1.2), draw(0.5, 2.0)
    else:
        luma_blur, band = draw(0.3, 2.0) if chance() < 0.65 else 0.0, 0.0
    threshold, grids = (
        draw(1.0, 2.5) if chance() < 2 / 3 else 0.0,
        generator.integers(0, 8, (generator.integers(1, 5), 2)),
    )
    colour = draw(0.0, 1.5) if chance() < 0.6 else 0.0
    chroma_blur = draw(0.3, 4.0) if chance() < 0.7 else 0.0
    blotches, blotch_size = draw(0.1, 1.3) if chance() < 0.75 else 0.0, log_uniform(generator, 2.0, 12.0)
    sharpening, radius = draw(0.0, 3.0) if chance() < 0.5 else 0.0, draw(0.6, 1.8)
    zoom = draw(1.0, 4.0) if chance() < 0.7 else 1.0
    flatness = draw(4.0, 16.0) if chance() < 0.8 else 0.0
    quality, chroma_subsampling = file_format(generator)

    def apply(clean: Image, g: Generator) -> tuple[Image, Image]:
        clean = np.clip(flattened(enlarged(clean, zoom), flatness), 0, 1).astype(np.float32)
        white = g.standard_normal(clean.shape, dtype=np.float32)
        luma: NDArray[Any] = white @ LUMA
        chroma = white - luma[..., None]
        blotched = blotchy(chroma, np.float32(blotches), blotch_size)
        chroma = blurred(chroma, chroma_blur)
        luma = blurred(luma, luma_blur)
        if threshold:
            luma = shrunk(luma, threshold, grids)
        if band:
            luma -= blurred(luma, band)
        noise = luma[..., None] / spread(luma) + np.float32(colour) * chroma / spread(chroma) + blotched
        noise = sharpened(noise, sharpening, radius)
        level = clean.mean(axis=-1, keepdims=True)
        strength = (1 + slope * (2 * level - 1)) * (1 - hump * (2 * level - 1) ** 2) * (sigma / 255) / spread(noise)
        return clean, saved(clean + noise * strength.astype(np.float32), quality, chroma_subsampling)

    return Degradation(apply, grid=16)


def noise_field(
    shape: tuple[int, ...], generator: Generator, *, correlation: float = 0.0, size: float = 0.0
) -> NDArray[np.float32]:
    """Gaussian noise `(H, W, 3)` of standard deviation 1.

    Args:
        correlation: Correlation of any two channels, 0 to 1; 1 makes them equal.
        size: Standard deviation in pixels of the blur that makes the noise coarse; 0: white noise.
    """
    white = generator.standard_normal(shape, dtype=np.float32)
    if correlation:
        common = generator.standard_normal((*shape[:2], 1), dtype=np.float32)
        white = np.float32(np.sqrt(correlation)) * common + np.float32(np.sqrt(1 - correlation)) * white
    if not size:
        return white
    coarse = blurred(white, size)
    return np.asarray(coarse / spread(coarse), np.float32)


def _correlation(generator: Generator) -> float:
    """A random correlation of two channels: often 0 (independent) or 1 (equal)."""
    kind = generator.random()
    return 0.0 if kind < 0.5 else 1.0 if kind < 0.75 else float(generator.random())


def texture(generator: Generator, coarse: float) -> Callable[[tuple[int, ...], Generator], NDArray[np.float32]]:
    """A `noise_field` of random correlation; in half of the draws coarse, with a size of up to `coarse` pixels."""
    correlation = _correlation(generator)
    size = generator.uniform(0.3, coarse) if generator.random() < 0.5 else 0.0
    return partial(noise_field, correlation=correlation, size=size)


def grey(x: NDArray[Any]) -> Image:
    """A picture `(H, W, 3)` as three equal channels, its luma."""
    return np.repeat((x @ LUMA)[..., None], 3, axis=-1).astype(np.float32)


def greyed(degradation: Degradation) -> Degradation:
    """The same degradation in black and white: three equal channels, and the degraded picture in 8 bits."""

    def apply(clean: Image, g: Generator) -> tuple[Image, Image]:
        reference, degraded = degradation.apply(grey(clean), g)
        return grey(reference), to_8_bits(grey(degraded))

    return replace(degradation, apply=apply)


def varied_gaussian(generator: Generator, level: tuple[float, float] = (0.0, 55.0)) -> Degradation:
    """Gaussian noise with a sigma in `level`; a sixth of the draws is black and white.

    The noise of the channels is independent, equal or in between; a tenth is coarser than a pixel. Two fifths are not
    clipped (the papers' protocol), three fifths are clipped and rounded as in a file.

    The picture changes first. A third is downscaled, by 2 at most, to be as sharp as the small pictures of the papers'
    test sets. Most clipped ones get up to twice the contrast: where shadows and highlights saturate, clipped noise
    shifts the mean.
    """
    draw, chance = generator.uniform, generator.random
    sigma, as_file = draw(*level), chance() < 0.6
    resize = draw(0.5, 1.0) if chance() < 0.35 else 1.0
    contrast, pivot = draw(1.0, 2.0) if as_file and chance() < 0.6 else 1.0, draw(0.2, 0.8)
    is_grey = chance() < 1 / 6
    correlation = 1.0 if is_grey else _correlation(generator)
    size = draw(0.3, 1.2) if chance() < 0.1 else 0.0

    def apply(clean: NDArray[Any], g: Generator) -> tuple[Image, Image]:
        if contrast > 1:
            clean = np.clip((clean - np.float32(pivot)) * np.float32(contrast) + np.float32(pivot), 0, 1)
        if resize < 1:
            clean = cv2.resize(clean, None, fx=resize, fy=resize, interpolation=cv2.INTER_AREA)
        clean = grey(clean) if is_grey else clean
        noisy = clean + noise_field(clean.shape, g, correlation=correlation, size=size) * np.float32(sigma / 255)
        return clean, to_8_bits(noisy) if as_file else noisy

    return Degradation(apply, resize)


def correlated_noises(level: tuple[float, float]) -> Draw:
    """Gaussian noise with a sigma in `level`, its channels correlated by 0 to 1, in 8 bits."""

    def draw(generator: Generator) -> Degradation:
        sigma, correlation = generator.uniform(*level), generator.random()
        return Degradation(
            lambda x, g: (x, to_8_bits(x + noise_field(x.shape, g, correlation=correlation) * np.float32(sigma / 255)))
        )

    return draw


def grey_noises(level: tuple[float, float]) -> Draw:
    """Gaussian noise with a sigma in `level` on black-and-white pictures, in 8 bits."""

    def draw(generator: Generator) -> Degradation:
        sigma = np.float32(generator.uniform(*level) / 255)

        def apply(clean: Image, g: Generator) -> tuple[Image, Image]:
            clean = to_8_bits(grey(clean))
            return clean, to_8_bits(clean + sigma * noise_field(clean.shape, g, correlation=1.0))

        return Degradation(apply)

    return draw


def film_grain(generator: Generator) -> Degradation:
    """Grain of film and scanned prints: sigma 2 to 20, coarse, strongest in the middle tones, grey or coloured.

    The print has faded (lifted blacks, tinted whites), the scan is sharpened, and saved by `file_format`. The reference
    is the faded print without grain.
    """
    draw, chance = generator.uniform, generator.random
    sigma, size = log_uniform(generator, 2.0, 20.0), draw(0.4, 2.2)
    correlation = 1.0 if chance() < 0.5 else draw(0.0, 0.9)
    shape = draw(0.3, 1.0)
    black = draw(0.0, 0.15) if chance() < 0.5 else 0.0
    white = 1 - draw(0.0, 0.2, 3) * (chance() < 0.5)
    sharpening, radius = draw(0.0, 1.5) if chance() < 0.5 else 0.0, draw(0.6, 1.8)
    zoom = draw(1.0, 3.0) if chance() < 0.6 else 1.0
    quality, chroma_subsampling = file_format(generator)

    def apply(clean: Image, g: Generator) -> tuple[Image, Image]:
        x = np.clip(enlarged(clean, zoom), 0, 1)
        density = np.clip(4 * x * (1 - x), 0.02, 1) ** np.float32(shape)
        reference = (black + (white - black) * x).astype(np.float32)
        noise = sharpened(noise_field(x.shape, g, correlation=correlation, size=size), sharpening, radius)
        noisy = reference + density * noise / spread(noise) * np.float32(sigma / 255)
        return reference, saved(noisy, quality, chroma_subsampling)

    return Degradation(apply, grid=16)


def jpeg_noise(generator: Generator) -> Degradation:
    """Noise of sigma 3 to 40 under JPEG of quality 10 to 95: white or coarse, channels independent to equal."""
    sigma = np.float32(log_uniform(generator, 3.0, 40.0) / 255)
    field = texture(generator, 1.5)
    quality, subsampling = round(log_uniform(generator, 10, 95)), generator.random() < 0.75

    def apply(clean: Image, g: Generator) -> tuple[Image, Image]:
        noisy = clean + sigma * field(clean.shape, g)
        return clean, jpeg(noisy, quality, chroma_subsampling=subsampling)

    return Degradation(apply, grid=16)


def uneven_noise(generator: Generator) -> Degradation:
    """Noise whose sigma varies over the picture from near 0 to 50, as after local brightening, in 8 bits."""
    strongest, field = generator.uniform(8.0, 50.0), texture(generator, 1.2)
    cells = int(generator.integers(2, 5))

    def apply(clean: Image, g: Generator) -> tuple[Image, Image]:
        height, width = clean.shape[:2]
        hills = cv2.resize(g.random((cells, cells), np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
        sigma = np.clip(hills, 0, 1)[..., None] * np.float32(strongest / 255)
        return clean, to_8_bits(clean + sigma * field(clean.shape, g))

    return Degradation(apply)


def colour_blotches(generator: Generator) -> Degradation:
    """Coarse blotches of colour, 2 to 12 grey levels and 2 to 16 pixels (standard deviations), by `file_format`."""
    strength, size = log_uniform(generator, 2.0, 12.0), log_uniform(generator, 2.0, 16.0)
    fine = generator.uniform(0.0, 6.0)
    quality, chroma_subsampling = file_format(generator)

    def apply(clean: Image, g: Generator) -> tuple[Image, Image]:
        colour = noise_field(clean.shape, g, size=size)
        colour -= (colour @ LUMA)[..., None]
        noise = np.float32(strength) * colour / spread(colour)
        noise = noise + np.float32(fine) * noise_field(clean.shape, g, correlation=0.7, size=0.5)
        return clean, saved(clean + noise / np.float32(255), quality, chroma_subsampling)

    return Degradation(apply, grid=16)


def gaussian_noises(level: tuple[float, float], *, as_file: bool = False) -> Draw:
    """`gaussian_noise` with a sigma uniform in `level`."""

    def draw(generator: Generator) -> Degradation:
        sigma = generator.uniform(*level)
        return Degradation(lambda clean, g: (clean, gaussian_noise(clean, sigma, g, as_file=as_file)))

    return draw

"""The mixtures that networks train on: every kind of noise, blur, JPEG or rain, each with its share."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from numpy.random import Generator

from restore.degradations.base import Degradation, Draw, Image, log_uniform
from restore.degradations.blur_variants import defocus_shapes, frames_blur, shake, shake_path, sharp
from restore.degradations.camera import camera_noise, phone_noise
from restore.degradations.compression import colour_jpegs, grey_jpegs, jpeg, luma_jpegs
from restore.degradations.noise import (
    colour_blotches,
    film_grain,
    gaussian_noises,
    grain,
    greyed,
    jpeg_noise,
    uneven_noise,
    varied_gaussian,
)
from restore.degradations.rain import rain
from restore.degradations.rain_variants import crossed_rain, dry, lens_drops, night_rain
from restore.degradations.recompression import mixed_quality, resized_jpegs, shifted_jpegs, twice_saved_jpegs
from restore.degradations.shaping import file_format

_FINE = (96, 100)  # JPEG qualities without visible artifacts


def _good_file(generator: Generator) -> Degradation:
    """A photograph without noise, uncompressed or as a JPEG of good quality: the network must keep it."""
    quality, chroma_subsampling = file_format(generator)
    if quality is None or generator.random() < 0.5:
        return Degradation(lambda clean, g: (clean, clean))
    return Degradation(lambda clean, g: (clean, jpeg(clean, quality, chroma_subsampling=chroma_subsampling)), grid=16)


# Kind, its share, and the part of it that is black and white (`varied_gaussian` has its own).
_NOISE: tuple[tuple[Draw, float, float], ...] = (
    (varied_gaussian, 0.34, 0.0),
    (grain, 0.30, 0.12),
    (camera_noise, 0.12, 0.12),
    (phone_noise, 0.08, 0.15),
    (film_grain, 0.03, 0.4),
    (jpeg_noise, 0.04, 0.2),
    (uneven_noise, 0.02, 0.2),
    (colour_blotches, 0.02, 0.0),
    (_good_file, 0.05, 0.2),
)


def blind_noise(generator: Generator) -> Degradation:
    """For denoising photographs: every kind of noise, in colour and black and white; 5 % without noise."""
    kind = int(generator.choice(len(_NOISE), p=[share for _, share, _ in _NOISE]))
    draw, _, grey_share = _NOISE[kind]
    is_grey = generator.random() < grey_share
    return greyed(draw(generator)) if is_grey else draw(generator)


def blind_gaussians(level: tuple[float, float]) -> Draw:
    """For denoising Gaussian noise of a sigma in `level`: 65 % as the papers add it, the others `varied_gaussian`."""
    plain = gaussian_noises(level)
    return lambda generator: plain(generator) if generator.random() < 0.65 else varied_gaussian(generator, level)


def blind_blur(generator: Generator) -> Degradation:
    """For deblurring: 30 % `frames_blur`, 15 % `shake`, 15 % `shake_path`, 30 % `defocus_shapes`, 10 % `sharp`."""
    kinds = (frames_blur, shake, shake_path, defocus_shapes, sharp)
    return kinds[int(generator.choice(5, p=[0.3, 0.15, 0.15, 0.3, 0.1]))](generator)


def blind_jpegs(level: tuple[float, float]) -> Draw:
    """For compact networks against JPEG: 75 % `colour_jpegs`, 25 % `luma_jpegs`.

    After training on colour alone, a network removes less of what is equal in all channels, as in grey files. The
    logarithm of the quality is uniform: half of the pictures are below the geometric mean of `level`.
    """

    def draw(generator: Generator) -> Degradation:
        make = colour_jpegs if generator.random() < 0.75 else luma_jpegs
        quality = float(round(log_uniform(generator, level[0] - 0.5, level[1] + 0.5)))
        return make((quality, quality))(generator)

    return draw


def any_jpegs(level: tuple[float, float]) -> Draw:
    """Against JPEG: any file, also good ones, which the network must keep.

    50 % `colour_jpegs`, 15 % `luma_jpegs`, 5 % `grey_jpegs`, 10 % `twice_saved_jpegs`, 7 % `shifted_jpegs`, 8 %
    `resized_jpegs`. Half of their qualities are uniform in `level`, half in its logarithm. 3 % have quality 96 to 100
    and 2 % are not compressed, for any `level`.
    """
    saved_once = (colour_jpegs, luma_jpegs, grey_jpegs)
    histories = (twice_saved_jpegs(level), shifted_jpegs(level), resized_jpegs(level))

    def draw(generator: Generator) -> Degradation:
        kind = int(generator.choice(8, p=[0.50, 0.15, 0.05, 0.10, 0.07, 0.08, 0.03, 0.02]))
        if kind < 3:
            quality = float(mixed_quality(generator, level))
            return saved_once[kind]((quality, quality))(generator)
        if kind < 6:
            return histories[kind - 3](generator)
        return colour_jpegs(_FINE)(generator) if kind == 6 else Degradation(lambda x, _: (x, x), grid=16)

    return draw


def any_rain_with(streaks: Draw) -> Draw:
    """For deraining: 20 % `dry`, 45 % `streaks`, 15 % `crossed_rain`, 10 % `lens_drops`, 10 % `night_rain`.

    A third of the pictures are then saved as JPEG of quality 50 to 98. The reference is the picture without rain and
    JPEG; a dry picture is its own reference, with JPEG.
    """

    def draw(generator: Generator) -> Degradation:
        kind = int(generator.choice(5, p=[0.2, 0.45, 0.15, 0.1, 0.1]))
        made = (dry, streaks, crossed_rain, lens_drops, night_rain)[kind](generator)
        if generator.random() >= 1 / 3:
            return made
        quality, is_subsampled = int(generator.integers(50, 99)), bool(generator.random() < 0.75)

        def apply(clean: Image, g: Generator) -> tuple[Image, Image]:
            reference, degraded = made.apply(clean, g)
            saved = jpeg(degraded, quality, chroma_subsampling=is_subsampled)
            return saved if kind == 0 else reference, saved

        return Degradation(apply, grid=16, is_oriented=True)

    return draw


any_rain = any_rain_with(rain)
WITH_STREAKS: Mapping[str, Callable[[Draw], Draw]] = {"rain": lambda streaks: streaks, "any-rain": any_rain_with}
"""The degradations that accept other streaks (`pasted_rain`): name -> the degradation with these streaks."""

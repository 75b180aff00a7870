"""Degradations made on purpose: clean pictures in, pairs for training and scoring out.

Pictures here are NumPy arrays `(H, W, 3)`, float32 RGB in [0, 1], encoded as in files (sRGB-like). Every function draws
only from the `numpy.random.Generator` that it is given, so a seed fixes the result on every machine. Noise levels
`sigma` are in 8-bit grey levels. docs/degradations.md lists all degradations.

Names in the modules: `jpeg(picture, level)` degrades one picture; `rain(generator)` draws a degradation; a plural such
as `colour_jpegs(range)` returns a draw for a range of levels. `mixtures` has what networks train on.
"""

from __future__ import annotations

from collections.abc import Callable

from restore.degradations.base import Degradation, Draw, Image, to_8_bits
from restore.degradations.blur import blur, defocus, mild_blur, motion_blur
from restore.degradations.blur_variants import defocus_shapes, frames_blur, shake, sharp
from restore.degradations.camera import camera_noise, phone_noise
from restore.degradations.compression import colour_jpegs, grey_jpegs, jpeg, jpeg_luma, luma_jpegs
from restore.degradations.mixtures import any_jpegs, any_rain, blind_blur, blind_gaussians, blind_jpegs, blind_noise
from restore.degradations.noise import (
    colour_blotches,
    correlated_noises,
    film_grain,
    gaussian_noise,
    gaussian_noises,
    grain,
    grey_noises,
    jpeg_noise,
    uneven_noise,
)
from restore.degradations.rain import rain
from restore.degradations.rain_variants import crossed_rain, dry_patterns, lens_drops, night_rain
from restore.degradations.recompression import resized_jpegs, shifted_jpegs, twice_saved_jpegs
from restore.degradations.sampling import bicubic, imresize, mosaics, reductions, vivid_mosaics
from restore.degradations.small_pictures import small_blurs, small_jpegs, small_noises, web_pictures
from restore.errors import UsageError
from restore.tasks import TASKS

__all__ = [
    "DEGRADATIONS", "LEVELLED", "Degradation", "Draw", "Image", "bicubic", "blind_noise", "gaussian_noise", "imresize",
    "jpeg", "jpeg_luma", "to_8_bits",
]  # fmt: skip

Range = tuple[float, float]


def _levelled(name: str, task: str, make: Callable[[Range], Draw], default: Range | None) -> Callable[..., Draw]:
    """`make`, after a check of the range against the task's level."""
    level = TASKS[task].level
    assert level is not None

    def checked(asked: Range | None) -> Draw:
        asked = default if asked is None else asked
        if asked is None:
            raise UsageError(f"{name} needs a level", hint=f"give a {level.name} from {level.low:g} to {level.high:g}")
        try:
            low, high = map(float, asked)
        except (TypeError, ValueError):
            raise UsageError(
                f"a range of {level.name} is two numbers, not {asked!r}",
                hint=f"such as ({level.low:g}, {level.high:g})",
            ) from None
        if not level.low <= low <= high <= level.high:
            raise UsageError(
                f"{low:g} to {high:g} is not a range of {level.name}",
                hint=f"use numbers from {level.low:g} to {level.high:g}, the smaller first",
            )
        return make((low, high))

    return checked


def _plain(name: str, draw: Draw) -> Callable[[Range | None], Draw]:
    """`draw`, which accepts no level."""

    def checked(asked: Range | None) -> Draw:
        if asked is not None:
            raise UsageError(f"{name} has no level", hint="drop the level")
        return draw

    return checked


_WITH_LEVEL: dict[str, tuple[str, Callable[[Range], Draw], Range | None]] = {
    "gaussian-noise": ("denoise", gaussian_noises, (0, 75)),
    "blind-gaussian": ("denoise", blind_gaussians, (0, 75)),
    "correlated-noise": ("denoise", correlated_noises, (0, 55)),
    "grey-noise": ("denoise", grey_noises, (0, 55)),
    "jpeg": ("dejpeg", colour_jpegs, (10, 95)),
    "jpeg-luma": ("dejpeg", luma_jpegs, (10, 95)),
    "blind-jpeg": ("dejpeg", blind_jpegs, (10, 95)),
    "jpeg-grey": ("dejpeg", grey_jpegs, (10, 95)),
    "jpeg-twice": ("dejpeg", twice_saved_jpegs, (10, 95)),
    "jpeg-shifted": ("dejpeg", shifted_jpegs, (10, 95)),
    "jpeg-resized": ("dejpeg", resized_jpegs, (10, 95)),
    "any-jpeg": ("dejpeg", any_jpegs, (10, 95)),
    "bicubic": ("upscale", reductions, None),
    "small-jpeg": ("upscale", small_jpegs, None),
    "small-noise": ("upscale", small_noises, None),
    "small-blur": ("upscale", small_blurs, None),
    "web-picture": ("upscale", web_pictures, None),
}
LEVELLED = frozenset(_WITH_LEVEL)
"""The degradations that have a level."""

_WITHOUT_LEVEL: dict[str, Draw] = {
    "clean": lambda _: Degradation(lambda clean, g: (clean, clean)),
    "camera-noise": camera_noise, "phone-noise": phone_noise, "grain": grain, "film-grain": film_grain,
    "jpeg-noise": jpeg_noise, "uneven-noise": uneven_noise, "colour-blotches": colour_blotches,
    "rain": rain, "rain-crossed": crossed_rain, "night-rain": night_rain, "lens-drops": lens_drops,
    "dry-patterns": dry_patterns, "any-rain": any_rain, "motion-blur": motion_blur, "defocus": defocus, "blur": blur,
    "mild-blur": mild_blur, "frames-blur": frames_blur, "shake": shake, "defocus-shapes": defocus_shapes,
    "sharp": sharp, "blind-blur": blind_blur,
    "mosaic": mosaics, "vivid-mosaic": vivid_mosaics,
}  # fmt: skip
DEGRADATIONS: dict[str, Callable[[Range | None], Draw]] = {
    "blind-noise": lambda _: blind_noise,
    **{name: _levelled(name, *about) for name, about in _WITH_LEVEL.items()},
    **{name: _plain(name, draw) for name, draw in _WITHOUT_LEVEL.items()},
}
"""Name -> (range of levels -> draw). The range is in the unit of the task's `Level`; None is the default range.

Degradations without a level accept only None; `blind-noise` ignores a range.

Raises:
    UsageError: The range is invalid or beyond the limits of the level.
"""

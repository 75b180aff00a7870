"""Blur as photographs have it: averaged frames, shake, apertures, and sharp pictures; all with noise and JPEG.

Averaging in linear light brightens the encoded picture: half black and half white is 188 in sRGB, not 128. Over 99
photographs, a path of 15 pixels adds 2.1 grey levels in the median. A network trained on such pairs learns to darken.
So `kept_brightness` removes the difference over a range much wider than the blur. A pair then has equal means, unless
there were saturated lights.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from restore.degradations.base import Degradation, Image, log_uniform, to_8_bits
from restore.degradations.blur import (
    LONGEST,
    WIDEST,
    aperture_kernel,
    averaged,
    brightened,
    motion_kernel,
    region,
    to_linear,
    to_srgb,
    trajectory,
)
from restore.degradations.compression import jpeg
from restore.degradations.motion import Motion, mean_frame, mean_frame_of_two, moving
from restore.degradations.noise import gaussian_noise

_FOUR = 4  # `kept_brightness` works on pictures that are so many times smaller
_MOST_LIT = 0.05  # share of a picture that lamps and glints can fill; more is a sky, which is not brighter than white

Spread = Callable[[Image], Image]  # blurs linear light


def kept_brightness(blurred: Image, clean: Image, reach: int, lit: NDArray[np.bool_] | None = None) -> Image:
    """`blurred` with the local mean of `clean` in sRGB values, over twice the `reach` of the blur.

    Args:
        blurred, clean: `(H, W, 3)`, sRGB.
        reach: Reach of the blur, in pixels.
        lit: `(H, W)`, clipped lights; their traces keep their brightness.
    """
    height, width = clean.shape[:2]
    small = (-(-width // _FOUR), -(-height // _FOUR))
    missing = clean - blurred
    deviation = max(12.0, 2.0 * reach) / _FOUR
    if lit is None or not lit.any():
        low = cv2.GaussianBlur(
            cv2.resize(missing, small, interpolation=cv2.INTER_AREA), (0, 0), deviation, borderType=cv2.BORDER_REFLECT
        )
    else:
        far = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
        counts = (1 - cv2.dilate(lit.astype(np.uint8), far)).astype(np.float32)
        both = np.concatenate([missing * counts[..., None], counts[..., None]], axis=-1)
        both = cv2.resize(both, small, interpolation=cv2.INTER_AREA)
        both = cv2.GaussianBlur(both, (0, 0), deviation, borderType=cv2.BORDER_REFLECT)
        low = both[..., :3] / (both[..., 3:] + np.float32(0.05))
    kept: Image = blurred + cv2.resize(low, (width, height), interpolation=cv2.INTER_LINEAR).reshape(clean.shape)
    return kept


def frames_blur(generator: Generator, longest: float = LONGEST) -> Degradation:
    """7 to 17 frames of a moving camera, averaged in linear light; the reference is the middle frame.

    The path has 2 to `longest` pixels and bends little. Half of the pictures add a rotation of up to 0.6 degrees and an
    approach of up to 2 %. In 40 % an object moves, before a sharp background (60 % of these) or one with its own
    motion. Behind the object lies the picture itself or, in half of the draws, its mirror image, also in the reference.
    """
    draw, chance = generator.uniform, generator.random

    def motion(longest: float, frames: int = 0) -> Motion:
        is_even = chance() < 0.5
        return moving(
            log_uniform(generator, 2, longest),
            generator,
            restlessness=draw(0.0, 1.2),
            jerks=draw(0.0, 0.3),
            turn=0.0 if is_even else float(np.deg2rad(draw(-0.6, 0.6))),
            approach=0.0 if is_even else draw(-0.02, 0.02),
            frames=frames,
            is_by_middle=True,
        )

    main = motion(longest)
    if chance() >= 0.4:
        return _finished(generator, main.reach, lambda light: mean_frame(light, main))
    behind = None if chance() < 0.6 else motion(longest / 2, len(main.shifts))
    is_mirrored, share = chance() < 0.5, draw(0.15, 0.7)
    finish, reach = _Finish.drawn(generator), max(main.reach, behind.reach if behind else 0)

    def backdrop(x: Image) -> Image:
        return np.ascontiguousarray(x[:, ::-1]) if is_mirrored else x

    def apply(clean: Image, g: Generator) -> tuple[Image, Image]:
        mask = region(clean.shape[:2], g, share=share, softness=0.7)
        reference = to_8_bits(backdrop(clean) + mask[..., None] * (clean - backdrop(clean))) if is_mirrored else clean

        def spread(light: Image) -> Image:
            return mean_frame_of_two(light, mask, main, backdrop(light), behind)

        return reference, finish.spread_over(clean, spread, reach, g, reference)

    return Degradation(apply, margin=reach, grid=finish.grid)


def shake(generator: Generator, longest: float = LONGEST) -> Degradation:
    """Camera shake with a rotation of up to 2 degrees around any point of the picture.

    15 to 25 frames, nearly without gaps, along a path of 1 to `longest` pixels with sudden turns. The reference lies at
    the path's mean. Shift and rotation model a shaking hand (Köhler et al., "Recording and Playback of Camera Shake",
    ECCV 2012).
    """
    draw = generator.uniform
    length = log_uniform(generator, 1, longest)
    turn = float(np.deg2rad(draw(-1, 1) * log_uniform(generator, 0.1, 2)))
    frames = int(np.clip(round(length / 2) * 2 + 1, 15, 25))
    motion = moving(
        length, generator, restlessness=draw(0.3, 2.5), jerks=draw(0.0, 1.5), turn=turn, frames=frames
    )  # fmt: skip
    return _finished(generator, motion.reach, lambda light: mean_frame(light, motion))


def defocus_shapes(generator: Generator, widest: float = WIDEST) -> Degradation:
    """Defocus with a radius of 0.5 to `widest` pixels: a disc (30 %), 5 to 9 blades (55 %), or a mirror lens's ring."""
    radius, kind = log_uniform(generator, 0.5, widest), generator.random()
    blades = int(generator.integers(5, 10)) if 0.3 <= kind < 0.85 else 0
    hole = generator.uniform(0.3, 0.6) if kind >= 0.85 else 0.0
    kernel = aperture_kernel(radius, blades, generator.uniform(0, 2 * np.pi), hole)
    return _finished(generator, len(kernel) // 2, lambda light: averaged(light, kernel))


def shake_path(generator: Generator) -> Degradation:
    """Camera shake as one continuous path, without rotation."""
    draw = generator.uniform
    length = log_uniform(generator, 1, LONGEST)
    kernel = motion_kernel(trajectory(length, draw(0.0, 2.5), draw(0.0, 1.5), generator))
    return _finished(generator, len(kernel) // 2, lambda light: averaged(light, kernel))


def sharp(generator: Generator) -> Degradation:
    """A sharp picture, which must stay: the reference is the input, including its noise and JPEG."""
    finish = _Finish.drawn(generator)

    def apply(clean: Image, g: Generator) -> tuple[Image, Image]:
        kept = finish.as_file(clean, g)
        return kept, kept

    return Degradation(apply, grid=finish.grid)


def _finished(generator: Generator, reach: int, spread: Spread) -> Degradation:
    finish = _Finish.drawn(generator)
    return Degradation(
        lambda clean, g: (clean, finish.spread_over(clean, spread, reach, g)), margin=reach, grid=finish.grid
    )  # fmt: skip


class _Finish:
    """What happens besides the blur, each in half of the draws: saturated lights with a gain of 1 to 5, noise of sigma
    0.2 to 4, and JPEG of quality 60 to 98, 4:2:0 (75 %) or 4:4:4.
    """

    def __init__(self, gain: float, sigma: float, quality: int, is_subsampled: bool) -> None:
        self.gain, self.sigma, self.quality, self.is_subsampled = gain, sigma, quality, is_subsampled
        self.grid = 16 if quality else 1

    @classmethod
    def drawn(cls, generator: Generator) -> _Finish:
        chance = generator.random
        return cls(
            gain=log_uniform(generator, 1, 5) if chance() < 0.5 else 1.0,
            sigma=generator.uniform(0.2, 4) if chance() < 0.5 else 0.0,
            quality=int(generator.integers(60, 99)) if chance() < 0.5 else 0,
            is_subsampled=bool(chance() < 0.75),
        )

    def spread_over(
        self, clean: Image, spread: Spread, reach: int, generator: Generator, reference: Image | None = None
    ) -> Image:
        """`spread` of the linear light of `clean`, with the local mean of `reference` (None: `clean`), `as_file`."""
        light, reference = to_linear(clean), clean if reference is None else reference
        lit = None
        if self.gain > 1:
            lit = np.asarray((reference > 0.98).any(axis=-1))  # in sRGB; `brightened` has 0.96 in linear light
            if 0 < lit.mean() < _MOST_LIT:
                light = brightened(light, self.gain)
            else:
                lit = None
        blurred = kept_brightness(to_srgb(spread(light)), reference, reach, lit)
        return self.as_file(blurred, generator)

    def as_file(self, picture: Image, generator: Generator) -> Image:
        """The picture with noise, as JPEG or in 8 bits."""
        noisy = gaussian_noise(picture, self.sigma, generator) if self.sigma else picture
        return jpeg(noisy, self.quality, chroma_subsampling=self.is_subsampled) if self.quality else to_8_bits(noisy)

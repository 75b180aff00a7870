"""Blur by one kernel: camera shake, moving objects and defocus, averaged in linear light."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from restore.degradations.base import Degradation, Image, log_uniform, to_8_bits
from restore.degradations.noise import gaussian_noise

Kernel = NDArray[np.float32]
_POINTS = 400  # points of a trajectory
LONGEST, WIDEST = 40.0, 8.0  # path and radius in pixels
_LONGEST_MILD, _WIDEST_MILD = 10.0, 2.5


def to_linear(encoded: Image) -> Image:
    """sRGB values in [0, 1] to light (IEC 61966-2-1)."""
    x = np.clip(encoded, 0, 1)
    high = cv2.pow((x + np.float32(0.055)) / np.float32(1.055), 2.4).reshape(x.shape)
    return np.where(x <= 0.04045, x / np.float32(12.92), high)


def to_srgb(light: Image) -> Image:
    """Light to sRGB values, both clipped to [0, 1] (IEC 61966-2-1)."""
    x = np.clip(light, 0, 1)
    high = np.float32(1.055) * cv2.pow(x, 1 / 2.4).reshape(x.shape) - np.float32(0.055)
    return np.where(x <= 0.0031308, x * np.float32(12.92), high)


def trajectory(length: float, restlessness: float, turns: float, generator: Generator) -> NDArray[np.float64]:
    """The path of a point while the shutter is open, `(points, 2)` pixels (y, x), relative to its mean.

    It simplifies the random motion of Boracchi and Foi ("Modeling the Performance of Image Restoration from Motion
    Blur", IEEE TIP 2012) as in DeblurGAN (Kupyn et al., CVPR 2018, Algorithm 1). The speed hardly varies; the direction
    drifts, with sudden turns. Departure: no pull back to the start, so that all points can be drawn at once.

    Args:
        length: Length of the path, in pixels.
        restlessness: Standard deviation in radians of the direction's drift over the whole path.
        turns: Mean number of sudden turns.
    """
    wandering = np.cumsum(generator.standard_normal(_POINTS)) / np.sqrt(_POINTS)
    heading = generator.uniform(0, 2 * np.pi) + restlessness * wandering
    sudden = generator.random(_POINTS) < turns / _POINTS
    heading += np.cumsum(sudden * generator.uniform(-np.pi, np.pi, _POINTS))
    speed = np.exp(np.interp(np.linspace(0, 4, _POINTS), np.arange(5), generator.normal(0, 0.5, 5)))
    steps = (speed / speed.sum() * length)[:, None] * np.column_stack([np.sin(heading), np.cos(heading)])
    path = np.cumsum(steps, axis=0)
    return np.asarray(path - path.mean(axis=0))


def motion_kernel(path: NDArray[np.float64]) -> Kernel:
    """The share of the exposure that a point spends on each pixel around the path's mean: `(n, n)`, n odd, sum 1."""
    reach = int(np.ceil(np.abs(path).max())) + 1
    side = 2 * reach + 1
    at = path + reach
    corner = np.floor(at).astype(np.intp)
    share = at - corner
    kernel: NDArray[Any] = np.zeros(side * side)
    for row in (0, 1):
        for column in (0, 1):
            weight = np.abs(1 - row - share[:, 0]) * np.abs(1 - column - share[:, 1])
            kernel += np.bincount((corner[:, 0] + row) * side + corner[:, 1] + column, weight, side * side)
    return np.asarray((kernel / kernel.sum()).reshape(side, side), np.float32)


def disc_kernel(radius: float) -> Kernel:
    """Defocus of a round aperture: a disc of `radius` pixels, its edge one pixel soft; `(n, n)`, n odd, sum 1."""
    reach = int(np.ceil(radius + 0.5))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    kernel = np.clip(radius + 0.5 - np.hypot(y, x), 0, 1)
    return np.asarray(kernel / kernel.sum(), np.float32)


def aperture_kernel(radius: float, blades: int, turn: float, hole: float = 0.0) -> Kernel:
    """Defocus of another aperture: `(n, n)`, n odd, sum 1, centred on its mean.

    Args:
        radius: Radius of the circumscribed circle, in pixels; the edge is about one pixel soft.
        blades: Sides of the open polygon; 0: a disc.
        turn: Rotation of the polygon, in radians.
        hole: Radius of a mirror lens's central obstruction as a part of `radius`, below 1.
    """
    reach, fine = int(np.ceil(radius + 0.5)), 4  # samples a pixel along each axis
    side = 2 * reach + 1
    y, x = (np.mgrid[: side * fine, : side * fine] + 0.5) / fine - side / 2
    away = np.hypot(y, x)
    inside = away <= radius
    if blades:
        middles = turn + 2 * np.pi * np.arange(blades) / blades
        apothem = radius * np.cos(np.pi / blades)
        inside = np.all([x * np.cos(m) + y * np.sin(m) <= apothem for m in middles], axis=0)
    inside &= away >= hole * radius
    kernel = cv2.resize(inside.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)
    kernel[reach, reach] = max(float(kernel[reach, reach]), 1e-3)  # for apertures smaller than a pixel
    return np.asarray(kernel / kernel.sum(), np.float32)


def averaged(light: Image, kernel: Kernel) -> Image:
    """Convolve `(H, W, C)`; beyond the border the picture is mirrored, including the border pixel."""
    # OpenCV correlates.
    blurred: NDArray[Any] = cv2.filter2D(
        light, -1, np.ascontiguousarray(kernel[::-1, ::-1]), borderType=cv2.BORDER_REFLECT
    )
    return blurred.reshape(light.shape)


def moved(light: Image, mask: NDArray[np.float32], kernel: Kernel) -> Image:
    """An object that moves before a still background.

    The mean over the exposure of `mask * object + (1 - mask) * background`, where mask and object move. The background
    behind the object is the picture itself.

    Args:
        light: `(H, W, 3)`.
        mask: `(H, W)` in [0, 1]; 1 where the object is.
        kernel: The object's motion.
    """
    object_ = averaged(light * mask[..., None], kernel)
    return object_ + (1 - averaged(mask, kernel))[..., None] * light


def brightened(light: Image, gain: float) -> Image:
    """Highlights before clipping: a value of 1 becomes `gain`, values below 0.96 stay.

    Without it a moving lamp leaves a grey trace instead of a white one (Rim et al., "Realistic Blur Synthesis for
    Learning Image Deblurring", ECCV 2022, Section 4: saturated pixels). Each channel is treated alone, or saturated
    red would turn pale.
    """
    excess = np.clip((light - np.float32(0.96)) / np.float32(0.04), 0, 1)
    return np.asarray(light * (1 + np.float32(gain - 1) * excess), np.float32)


def motion_blur(generator: Generator, longest: float = LONGEST) -> Degradation:
    """Random camera shake of 2 to `longest` pixels; in a fifth of the pictures only an object moves."""
    draw, chance = generator.uniform, generator.random
    path = trajectory(log_uniform(generator, 2, longest), draw(0.0, 2.5), draw(0.0, 1.5), generator)
    kernel, is_object = motion_kernel(path), chance() < 0.2
    if not is_object:
        return _blurring(generator, kernel, lambda light, g: averaged(light, kernel))
    return _blurring(generator, kernel, lambda light, g: moved(light, region(light.shape[:2], g), kernel))


def defocus(generator: Generator, widest: float = WIDEST) -> Degradation:
    """`disc_kernel` with a random radius of 0.5 to `widest` pixels."""
    kernel = disc_kernel(log_uniform(generator, 0.5, widest))
    return _blurring(generator, kernel, lambda light, g: averaged(light, kernel))


def blur(generator: Generator, longest: float = LONGEST, widest: float = WIDEST) -> Degradation:
    """75 % `motion_blur`, 25 % `defocus`."""
    return motion_blur(generator, longest) if generator.random() < 0.75 else defocus(generator, widest)


def mild_blur(generator: Generator) -> Degradation:
    """`blur` with paths of up to 10 pixels and radii of up to 2.5, as in most pictures worth sharpening.

    For networks that need not undo more, or to start with (Bengio et al., "Curriculum Learning", ICML 2009).
    """
    return blur(generator, _LONGEST_MILD, _WIDEST_MILD)


def _blurring(generator: Generator, kernel: Kernel, spread: Callable[[Image, Generator], Image]) -> Degradation:
    """`spread` in linear light, in 8 bits. Half of the pictures have highlights brighter than white (gain 1 to 5), half
    have noise of sigma up to 2.
    """
    gain = log_uniform(generator, 1, 5) if generator.random() < 0.5 else 1.0
    sigma = generator.uniform(0, 2) if generator.random() < 0.5 else 0.0

    def apply(clean: Image, g: Generator) -> tuple[Image, Image]:
        light = to_linear(clean)
        blurred = to_srgb(spread(brightened(light, gain) if gain > 1 else light, g))
        return clean, gaussian_noise(blurred, sigma, g, as_file=True) if sigma else to_8_bits(blurred)

    return Degradation(apply, margin=len(kernel) // 2)


def region(
    size: tuple[int, int], generator: Generator, *, share: float | None = None, softness: float = 1.0
) -> NDArray[np.float32]:
    """A mask `(H, W)` with a random smooth outline that covers `share` of the picture (None: 25 to 75 %).

    Its edge has a blur of `softness` pixels (standard deviation).
    """
    height, width = size
    hills = cv2.resize(
        generator.standard_normal((4, 4)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC
    )
    inside = hills > np.quantile(hills, generator.uniform(0.25, 0.75) if share is None else 1 - share)
    return np.asarray(cv2.GaussianBlur(inside.astype(np.float32), (0, 0), softness), np.float32)

"""Other rain: in gusts, at night, drops on the lens; and dry pictures, which must stay."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

from restore.degradations.base import Degradation, Image, log_uniform, to_8_bits
from restore.degradations.blur import to_linear, to_srgb
from restore.degradations.rain import Layer, Mist, Streaks, falling, rainy
from restore.degradations.rain_like_patterns import patterned

_MOST_DROPS = 20_000  # per picture: more would take minutes on a large one


def _streaks(
    generator: Generator, angle: float, closeness: float, size: float, density: float, opacity: float
) -> Streaks:
    """Random streaks at one distance: `closeness` 0 (far: short, fine) to 1 (near: long, broad, soft)."""
    draw = generator.uniform
    return Streaks(
        angle=float(np.clip(angle, -65, 65)),
        length=size * (6 + 50 * closeness) * draw(0.7, 1.4),
        spread=draw(0.1, 0.5),
        width=int(generator.integers(1, 2 + round(3 * size * closeness))),
        softness=draw(0.3, 0.5 + 1.5 * closeness * size),
        density=density,
        opacity=opacity,
        evenness=draw(0.0, 0.6),
        taper=draw(0.3, 2.0) if generator.random() < 0.8 else 0.0,
    )


def crossed_rain(generator: Generator) -> Degradation:
    """Rain in gusts: 2 or 3 directions up to 50 degrees apart, each at 1 to 3 distances.

    The streaks cover 3 to 80 % of the picture in total. Half of the pictures above a fifth have mist, which the
    reference lacks. Without mist the picture between the streaks does not change.
    """
    draw, chance = generator.uniform, generator.random
    wind = generator.normal(0, 18)
    amount, size = log_uniform(generator, 0.03, 0.8), log_uniform(generator, 0.6, 2.0)
    groups = int(generator.integers(2, 4))
    layers = []
    for share in generator.dirichlet(np.full(groups, 3.0)):
        angle = wind + draw(-25, 25)
        distances = generator.random(int(generator.integers(1, 4)))
        for closeness in distances:
            layers.append(
                _streaks(
                    generator,
                    angle + generator.normal(0, 2),
                    closeness,
                    size,
                    amount * share / len(distances),
                    draw(0.12, 0.6),
                )
            )
    is_screen = chance() < 0.5
    mist = None
    if chance() < 0.5 and amount > 0.2:
        thin = draw(0.05, 0.25)
        mist = Mist(near=thin, far=thin + draw(0.0, 0.25), unevenness=draw(0.0, 0.25), light=draw(0.5, 0.9))

    return falling(layers, is_screen, None, mist)


def night_rain(generator: Generator) -> Degradation:
    """Rain at night: the picture is 4 to 25 times darker, a little blue, and has 1 to 4 lamps.

    The reference is the dark picture with the lamps and their glow. The light of the lamps and a little skylight set
    the brightness of the streaks.
    """
    draw = generator.uniform
    dimmed = (np.array([0.8, 0.9, 1.15]) / log_uniform(generator, 4, 25)).astype(np.float32)
    count = int(generator.integers(1, 5))
    places, sizes = generator.random((count, 2)), draw(0.008, 0.03, count)
    colours = (np.array([1.0, 0.75, 0.45]) ** draw(0.0, 1.2, (count, 1))).astype(np.float32)
    angle, amount, size = generator.normal(0, 15), log_uniform(generator, 0.05, 0.5), log_uniform(generator, 0.7, 2.0)
    layers = [
        _streaks(generator, angle + generator.normal(0, 2), closeness, size, amount / 3, draw(0.4, 1.0))
        for closeness in generator.random(3)
    ]
    ambient, glow, carry = draw(0.03, 0.12), draw(0.0, 0.02), draw(0.12, 0.35)

    def apply(clean: Image, g: Generator) -> tuple[Image, Image]:
        height, width = clean.shape[:2]
        extent = np.float32(max(height, width))
        y, x = np.ogrid[:height, :width]
        lamps, near = np.zeros_like(clean), np.zeros_like(clean)
        for (down, right), part, colour in zip(places, sizes, colours, strict=True):
            away = ((y - down * height) ** 2 + (x - right * width) ** 2).astype(np.float32) / extent**2
            lamps += np.exp(away * np.float32(-2 / part**2))[..., None] * (4 * colour)
            near += (1 / (1 + away * np.float32(4 / carry**2)))[..., None] * colour
        lit = near * near
        # A lamp lights the scene and the air around it, as well as the rain.
        scene = to_linear(clean) * (dimmed + np.float32(0.15) * np.minimum(near, 1)) + lamps + np.float32(glow) * lit
        drawn = sum((layer.render(height, width, g) for layer in layers), np.zeros((height, width), np.float32))
        shine = drawn[..., None] * (np.float32(ambient * 0.3) + np.float32(0.4) * lit)
        return to_8_bits(to_srgb(scene)), to_8_bits(to_srgb(scene + shine))

    return Degradation(apply, is_oriented=True)


@dataclass(frozen=True)
class Drops:
    """Drops on the lens or on glass before it: round, out of focus, the scene upside down in them.

    Attributes:
        radius: Median radius in pixels.
        spread: Standard deviation of the radius's logarithm.
        cover: Share of the picture under drops if no drops overlapped.
        blur: Width of a drop's soft edge, as a part of its radius.
        shrink: How many times smaller the scene is inside a drop.
        shade: Share of brightness that a drop loses at its top and gains at its bottom.
        opacity: Share of the light that passes through the drop, in [0, 1].
    """

    radius: float
    spread: float
    cover: float
    blur: float
    shrink: float
    shade: float
    opacity: float

    def over(self, clean: Image, generator: Generator) -> Image:
        """`clean` seen through the drops, `(H, W, 3)` in [0, 1]."""
        g = generator
        height, width = clean.shape[:2]
        mean_area = np.pi * self.radius**2 * np.exp(2 * self.spread**2)
        count = min(int(g.poisson(self.cover * height * width / mean_area)), _MOST_DROPS)
        at_y, at_x = np.mgrid[:height, :width].astype(np.float32)
        share, shade = np.zeros((height, width), np.float32), np.ones((height, width), np.float32)
        radii = np.clip(self.radius * np.exp(self.spread * g.standard_normal(count)), 1.5, 4 * self.radius)
        for radius, (down, right), lobes, phases in zip(
            radii,
            g.random((count, 2)) * (height, width),
            g.normal(0, 0.09, (count, 2)),
            g.uniform(0, 6.3, (count, 2)),
            strict=True,
        ):
            reach = radius * 1.4 + 1
            top, left = max(0, int(down - reach)), max(0, int(right - reach))
            part = np.s_[top : int(down + reach) + 1, left : int(right + reach) + 1]
            y, x = np.ogrid[part]
            dy, dx = (y[: height - top] - down).astype(np.float32), (x[:, : width - left] - right).astype(np.float32)
            angle = np.arctan2(dy, dx)
            outline = radius * (1 + lobes[0] * np.cos(2 * angle + phases[0]) + lobes[1] * np.cos(3 * angle + phases[1]))
            away = np.hypot(dy, dx) / outline
            inside = np.clip((1 - away) / self.blur + 0.5, 0, 1).astype(np.float32)
            ahead = inside > share[part]  # of two drops, the thicker one here
            # A drop bends light more, the farther from its middle.
            bend = self.shrink * (1 + away**2)
            at_y[part] = np.where(ahead, down - dy * bend, at_y[part])
            at_x[part] = np.where(ahead, right - dx * bend, at_x[part])
            shade[part] = np.where(
                ahead, 1 + self.shade * np.clip(dy / outline, -1, 1) * np.minimum(away, 1), shade[part]
            )
            share[part] = np.maximum(inside, share[part])
        soft = cv2.GaussianBlur(clean, (0, 0), 0.5 + 0.12 * self.radius)
        seen = cv2.remap(soft, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101) * shade[..., None]
        weight = (share * np.float32(self.opacity))[..., None]
        covered: Image = np.clip(clean + weight * (seen - clean), 0, 1)
        return covered


def lens_drops(generator: Generator) -> Degradation:
    """Drops on the lens: a median radius of 3 to 25 pixels, 3 to 35 % of the picture; a third also has fine streaks."""
    draw = generator.uniform
    drops = Drops(
        radius=log_uniform(generator, 3, 25),
        spread=draw(0.1, 0.6),
        cover=log_uniform(generator, 0.03, 0.35),
        blur=draw(0.15, 1.0),
        shrink=draw(1.0, 3.0),
        shade=draw(0.0, 0.35),
        opacity=draw(0.55, 1.0),
    )
    streaks = None
    if generator.random() < 1 / 3:
        amount, opacity = log_uniform(generator, 0.02, 0.2), draw(0.1, 0.4)
        streaks = _streaks(generator, generator.normal(0, 15), draw(0.0, 0.6), 1.0, amount, opacity)

    def apply(clean: Image, g: Generator) -> tuple[Image, Image]:
        layers: list[Layer] = [] if streaks is None else [streaks.render(clean.shape[0], clean.shape[1], g)]
        return clean, to_8_bits(drops.over(rainy(clean, layers) if layers else clean, g))

    return Degradation(apply, is_oriented=True)


def dry_patterns(_: Generator) -> Degradation:
    """`restore.degradations.rain_like_patterns.patterned`, as reference and input."""

    def apply(clean: Image, g: Generator) -> tuple[Image, Image]:
        picture = patterned(clean, g)
        return picture, picture

    return Degradation(apply, is_oriented=True)


def dry(generator: Generator) -> Degradation:
    """A dry picture as reference and input: `dry_patterns` in half of the draws, else the photograph."""
    if generator.random() < 0.5:
        return dry_patterns(generator)
    return Degradation(lambda clean, _: (clean, clean), is_oriented=True)

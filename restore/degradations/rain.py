"""Rain: layers of streaks at several distances, mist, and rain taken from pairs of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from restore.degradations.base import Degradation, Draw, Image, log_uniform, to_8_bits

Layer = NDArray[np.float32]


@dataclass(frozen=True)
class Streaks:
    """Rain at one distance: streaks of one width and direction.

    Attributes:
        angle: Angle to the vertical, in degrees; above 0 the rain falls to the left.
        length: Mean length of a streak in pixels.
        spread: Standard deviation of the logarithm of the lengths.
        width: Width of a streak in pixels, at least 1.
        softness: Standard deviation in pixels of the blur across streaks.
        density: Share of the picture under streaks if no streaks overlapped.
        opacity: Brightness of the brightest streaks, in [0, 1].
        evenness: 0: streaks of all brightnesses; 1: all equally bright.
        taper: Power of the half sine along a streak; 0: blunt ends.
    """

    angle: float
    length: float
    spread: float
    width: int
    softness: float
    density: float
    opacity: float
    evenness: float
    taper: float

    def render(self, height: int, width: int, generator: Generator) -> Layer:
        """Brightness of the streaks over a picture, `(height, width)` in [0, opacity]."""
        radians = np.deg2rad(self.angle)
        cosine, sine = float(np.cos(radians)), float(np.sin(radians))
        # Upright streaks are drawn on a canvas that contains the rotated picture; then the canvas is rotated.
        wide = int(np.ceil(width * cosine + height * abs(sine))) + 4
        high = int(np.ceil(width * abs(sine) + height * cosine)) + 4
        count = generator.poisson(self.density * high * wide / (self.length * self.width))
        lengths = np.clip(self.length * np.exp(self.spread * generator.standard_normal(count)), 2, 4 * self.length)
        tops = generator.random(count) * (high + lengths) - lengths
        columns = generator.integers(0, wide, count)
        strengths = self.evenness + (1 - self.evenness) * generator.random(count)
        # All pixels of all streaks at once: the steps down each streak, streak after streak.
        steps = np.ceil(lengths).astype(np.intp)
        streak = np.repeat(np.arange(count), steps)
        down = np.arange(len(streak)) - np.repeat(np.cumsum(steps) - steps, steps)
        along = np.sin(np.pi * (down + 0.5) / steps[streak]) ** self.taper * strengths[streak]
        rows = np.floor(tops[streak]).astype(np.intp) + down
        inside = (rows >= 0) & (rows < high)
        pixels = rows[inside] * wide + columns[streak[inside]]
        drawn = np.bincount(pixels, along[inside], minlength=high * wide)
        canvas: NDArray[Any] = drawn.astype(np.float32).reshape(high, wide)
        if self.width > 1:
            canvas = cv2.filter2D(canvas, -1, np.ones((1, self.width), np.float32))
        if self.softness:
            canvas = cv2.GaussianBlur(canvas, (0, 0), self.softness, sigmaY=0.5)
        turn = np.array([[cosine, sine], [-sine, cosine]])  # positions of the picture to positions of the canvas
        middle = np.array([wide - 1, high - 1]) / 2 - turn @ np.array([width - 1, height - 1]) / 2
        way = np.column_stack([turn, middle])
        turned = cv2.warpAffine(canvas, way, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        layer: Layer = np.minimum(turned, np.float32(1)) * np.float32(self.opacity)
        return layer


@dataclass(frozen=True)
class Mist:
    """The veil of rain that is too far away to show streaks.

    Attributes:
        near, far: Its share of the light at the picture's bottom (mostly near) and top.
        unevenness: Standard deviation of that share between clouds, as a part of the share.
        light: Its brightness, in [0, 1].
    """

    near: float
    far: float
    unevenness: float
    light: float

    def share(self, height: int, width: int, generator: Generator) -> Layer:
        """The mist's share of the light at each pixel, `(height, width, 1)` in [0, 1]."""
        clouds = cv2.resize(
            generator.standard_normal((4, 5)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC
        )
        depth = np.linspace(self.far, self.near, height, dtype=np.float32)[:, None]
        share: Layer = np.clip(depth * (1 + np.float32(self.unevenness) * clouds), 0, 1)[..., None]
        return share


def rainy(
    clean: Image,
    layers: Sequence[Layer],
    is_screen: bool = False,
    tint: NDArray[np.float32] | None = None,
    mist: Layer | None = None,
    light: float = 1.0,
) -> Image:
    """A picture in rain.

    Streaks are added to the picture (Yang et al., "Deep Joint Rain Detection and Removal", CVPR 2017, Section 3). Or
    they are screened over it, which spares highlights (Luo et al., "Removing Rain from a Single Image via
    Discriminative Sparse Coding", ICCV 2015, Section 3). Mist veils both (heavy rain in Yang et al., and in Li et al.,
    "Heavy Rain Image Restoration", CVPR 2019, Section 3).

    Args:
        layers: Brightness of the streaks, `(H, W)` each.
        is_screen: Screen instead of add.
        tint: Colour of the streaks, RGB around 1; None: white.
        mist: Share of the mist in the light, `(H, W, 1)`.
        light: Brightness of the mist.

    Returns:
        `(H, W, 3)` in 8 bits.
    """
    streaks = sum(layers, np.zeros(clean.shape[:2], np.float32))[..., None] * (1 if tint is None else tint)
    x = 1 - (1 - clean) * (1 - np.minimum(streaks, 1)) if is_screen else clean + streaks
    if mist is not None:
        x = x + mist * (np.float32(light) - x)
    return to_8_bits(x)


def falling(
    layers: Sequence[Streaks], is_screen: bool, tint: NDArray[np.float32] | None, mist: Mist | None
) -> Degradation:
    """`rainy` with layers of streaks and optional mist, drawn for each picture."""

    def apply(clean: Image, g: Generator) -> tuple[Image, Image]:
        height, width = clean.shape[:2]
        drawn = [layer.render(height, width, g) for layer in layers]
        veil = None if mist is None else mist.share(height, width, g)
        return clean, rainy(clean, drawn, is_screen, tint, veil, 0.0 if mist is None else mist.light)

    return Degradation(apply, is_oriented=True)


def rain(generator: Generator) -> Degradation:
    """Synthetic rain from drizzle to cloudburst: 1 to 4 layers of about one direction, often with mist.

    Rain100H has blunt streaks of one brightness. Rain100L, Rain200L and photographs have fine streaks of all
    brightnesses. Half of the draws that cover more than a fifth of the picture have mist: the same rain farther away.
    The reference has no mist, so a network learns to lift it. Light rain has none: it would teach a network to darken
    clear pictures.
    """
    draw, chance = generator.uniform, generator.random
    angle = float(np.clip(generator.normal(0, 18), -45, 45))
    amount = log_uniform(generator, 0.02, 1.2)  # cover of all layers
    size = log_uniform(generator, 0.6, 2.0)
    is_heavy = chance() < 0.35
    kinds = int(generator.integers(1, 5))
    near = np.sort(generator.random(kinds))  # 1: at the camera
    shares = generator.dirichlet(np.full(kinds, 2.0))
    layers = []
    for closeness, share in zip(near, shares, strict=True):
        layers.append(
            Streaks(
                angle=float(angle + generator.normal(0, 2)),
                length=size * (8 + 45 * closeness) * draw(0.7, 1.4),
                spread=draw(0.0, 0.5),
                width=int(generator.integers(1, 2 + round(2 * size * closeness) + is_heavy)),
                softness=draw(0.3, 0.5 + 0.8 * closeness * size) if chance() < 0.8 else 0.0,
                density=amount * share,
                opacity=draw(0.3, 0.7) if is_heavy else draw(0.1, 0.6),
                evenness=draw(0.3, 1.0) if is_heavy else draw(0.0, 0.6),
                taper=0.0 if chance() < 0.25 else draw(0.3, 2.0),
            )
        )
    is_screen = chance() < 0.4
    tint = (1 + draw(-0.03, 0.03, 3)).astype(np.float32) if chance() < 0.3 else np.ones(3, np.float32)
    mist = None
    if chance() < 0.5 and amount > 0.2:
        thin = draw(0.0, 0.25)
        mist = Mist(near=thin, far=thin + draw(0.0, 0.2), unevenness=draw(0.0, 0.25), light=draw(0.5, 0.9))

    return falling(layers, is_screen, tint, mist)


def layer_of(clean: NDArray[np.uint8], degraded: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """The rain in a pair of pictures: rainy minus clean, maximum over the channels.

    Where one channel is saturated, the others still show the rain. Where all are, the rain is unknown and the picture
    shows through.

    Args:
        clean, degraded: `(H, W, 3)`.

    Returns:
        `(H, W)`; None if more than 5 % of the pixels are saturated in all channels.
    """
    if np.mean(degraded.min(axis=-1) == 255) > 0.05:
        return None
    layer: NDArray[np.uint8] = cv2.subtract(degraded, clean).max(axis=-1)  # not below 0
    return layer


def pasted_rain(layers: Sequence[NDArray[np.uint8]], share: float = 0.5) -> Draw:
    """Rain from pairs (`layer_of`) in `share` of the pictures, `rain` in the others.

    A layer is cropped at random, mirrored in half of the draws, scaled by 0.7 to 1.6, and up to a third weaker or
    stronger.
    """

    def draw(generator: Generator) -> Degradation:
        if generator.random() >= share:
            return rain(generator)
        layer = layers[int(generator.integers(len(layers)))]
        if generator.random() < 0.5:
            layer = layer[:, ::-1]
        zoom, gain = log_uniform(generator, 0.7, 1.6), np.float32(log_uniform(generator, 0.67, 1.33) / 255)

        def apply(clean: Image, g: Generator) -> tuple[Image, Image]:
            height, width = clean.shape[:2]
            high, wide = (int(np.ceil(side / zoom)) for side in (height, width))
            missing = [(0, max(0, need - have)) for need, have in zip((high, wide), layer.shape, strict=True)]
            large = np.pad(layer, missing, mode="symmetric") if np.any(missing) else layer
            top, left = (int(g.integers(have - need + 1)) for need, have in zip((high, wide), large.shape, strict=True))
            part = np.ascontiguousarray(large[top : top + high, left : left + wide])
            streaks = cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.float32) * gain
            return clean, to_8_bits(clean + streaks[..., None])

        return Degradation(apply, is_oriented=True)

    return draw

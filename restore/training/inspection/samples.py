"""Pictures with known faults, drawn from photographs without end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from restore import degradations as made
from restore.datasets.photo_cache import Photo
from restore.degradations.base import Image, log_uniform, to_8_bits
from restore.degradations.noise import noise_field
from restore.inspection.examples import Example, Maker, makers
from restore.inspection.verdict import CLAIMS, LEVELS

Pixels = NDArray[np.uint8]
Sample = tuple[Pixels, NDArray[np.float32]]
"""A crop `(H, W, 3)`, and its targets: 1 or -1 for each claim, log(1 + level) for each level; NaN for unknown."""

SIDE = 160  # pixels of a crop
_UNKNOWN = float("nan")
_MAYBE_JPEG = frozenset({"camera-noise", "phone-noise", "grain", "film-grain", "colour-blotches", "jpeg-noise"})
_KEPT, _AGAIN = 1500, 2  # samples that are kept, and how many of them are shown after a new one
# Shares of kinds that are harder to tell than others, instead of those of `makers`.
_SHARES = {
    "clean": 0.2, "camera-noise": 0.09, "phone-noise": 0.04, "grain": 0.05, "film-grain": 0.03, "uneven-noise": 0.03,
    "defocus": 0.07, "motion-blur": 0.1, "frames-blur": 0.03, "rain": 0.08, "rain-crossed": 0.04, "night-rain": 0.04,
    "enlarged": 0.06,
}  # fmt: skip


def samples(photos: Sequence[Photo], layers: Sequence[Pixels], generator: Generator) -> Iterator[Sample]:
    """Crops with the faults of `makers`, some of them with two; each about three times, half of them mirrored."""
    kinds, kept = makers(layers), list[Sample]()
    while True:
        kept.append(_draw(photos, kinds, generator))
        shown = [kept[-1]]
        if len(kept) > _KEPT:
            kept[int(generator.integers(_KEPT))] = kept.pop()
        shown += [kept[int(generator.integers(len(kept)))] for _ in range(_AGAIN)]
        for pixels, targets in shown:
            yield np.ascontiguousarray(pixels[:, ::-1] if generator.random() < 0.5 else pixels), targets


def _draw(photos: Sequence[Photo], kinds: dict[str, tuple[Maker, float]], g: Generator) -> Sample:
    shares = np.array([_SHARES.get(name, share) for name, (_, share) in kinds.items()])
    while True:
        x = varied(photos[int(g.integers(len(photos)))].pixels, g)
        x = np.ascontiguousarray(_crop(x, SIDE + 64 * int(g.integers(0, 3)), g))
        name = list(kinds)[int(g.choice(len(kinds), p=shares / shares.sum()))]
        is_soft = name == "clean" and g.random() < 0.12
        example = kinds[name][0](_softened(x, g) if is_soft else x, g)
        if example.task == "?":  # too weak to be a fault, too strong to be none
            continue
        targets = targets_of(example)
        if is_soft:
            targets |= dict.fromkeys(("upscale", "defocus", "motion", "enlarged"), _UNKNOWN)
        pixels = _crop(_worsened(example, targets, g), SIDE, g, grid=8 if g.random() < 0.75 else 1)
        missing = [(0, SIDE - side) for side in pixels.shape[:2]]
        pixels = np.pad(pixels, (*missing, (0, 0)), mode="symmetric")
        return pixels, np.array([targets[name] for name in (*CLAIMS, *LEVELS)], np.float32)


def varied(photo: Pixels, g: Generator) -> Image:
    """A photograph, smaller, softer, grey, mirrored, or with another contrast; 0 to 1, in 8 bits."""
    x: NDArray[Any] = photo.astype(np.float32) / 255
    if g.random() < 0.75:
        scale = g.uniform(0.55, 0.95)
        way = int(g.choice([cv2.INTER_AREA, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4]))
        x = cv2.resize(x, None, fx=scale, fy=scale, interpolation=way)
    if g.random() < 0.35:
        x = cv2.GaussianBlur(x, (0, 0), g.uniform(0.35, 0.75))
    if g.random() < 0.1:
        x = np.repeat((x @ np.array([0.299, 0.587, 0.114], np.float32))[..., None], 3, 2)
    if g.random() < 0.3:
        x = np.clip((x - 0.5) * g.uniform(0.5, 1.5) + 0.5 + g.uniform(-0.25, 0.15), 0, 1)
    if g.random() < 0.5:
        x = x[:, ::-1]
    return np.ascontiguousarray(to_8_bits(np.clip(x, 0, 1)))


def _softened(x: Image, g: Generator) -> Image:
    """A picture as a camera's own processing leaves it: enlarged a little."""
    height, width = x.shape[:2]
    factor = g.uniform(1.03, 1.35)
    small = cv2.resize(x, (round(width / factor), round(height / factor)), interpolation=cv2.INTER_AREA)
    return np.clip(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1).astype(np.float32)


def targets_of(example: Example) -> dict[str, float]:
    """The targets of an example by name."""
    task, kind = example.task, example.kind
    claims = dict.fromkeys(CLAIMS, -1.0)
    if task in claims:
        claims[task] = 1.0
    if task == "deblur":
        claims["defocus" if kind == "defocus" else "motion"] = 1.0
    claims["is_coarse"] = 2 * example.is_coarse - 1 if task == "denoise" else _UNKNOWN
    if kind in _MAYBE_JPEG:
        claims["dejpeg"] = _UNKNOWN
    levels = dict.fromkeys(LEVELS, _UNKNOWN)
    if task in ("none", "denoise", "deblur", "upscale"):
        levels["sigma"] = example.sigma
    if task in ("none", "denoise"):
        levels["chroma"] = example.chroma
    if kind == "defocus":
        levels["blur"] = example.blur
    elif task == "deblur":
        levels["motion_length"] = example.motion
    if task == "upscale":
        levels["enlarged"] = example.enlarged - 1
    return claims | {name: float(np.log1p(level)) for name, level in levels.items()}


def _worsened(example: Example, targets: dict[str, float], g: Generator) -> Pixels:
    """The pixels of an example, in a fifth of the draws with noise or JPEG after its fault; `targets` follow."""
    pixels, task, chance = example.pixels, example.task, g.random()
    if task in ("derain", "deblur", "upscale") and chance < 0.1:
        sigma = log_uniform(g, 3, 30)
        noise = noise_field(pixels.shape, g, correlation=float(g.random())) * np.float32(sigma / 255)
        x = to_8_bits(pixels.astype(np.float32) / 255 + noise)
        targets |= {"denoise": 1.0, "sigma": _UNKNOWN, "is_coarse": _UNKNOWN}
        if task == "upscale":
            targets["upscale"] = _UNKNOWN
    elif task in ("derain", "deblur", "upscale", "denoise") and example.kind not in _MAYBE_JPEG and chance < 0.22:
        quality = int(g.integers(25, 92))
        x = made.jpeg(pixels.astype(np.float32) / np.float32(255), quality, chroma_subsampling=bool(g.random() < 0.6))
        targets["dejpeg"] = 1.0 if task != "denoise" and quality <= 78 else _UNKNOWN
        targets |= {"sigma": _UNKNOWN, "chroma": _UNKNOWN} if task == "denoise" else {}
    else:
        return pixels
    return np.round(np.clip(x, 0, 1) * 255).astype(np.uint8)


def _crop(x: NDArray[Any], side: int, g: Generator, grid: int = 1) -> NDArray[Any]:
    """At most `side` pixels of each side, from a random place on a grid."""
    top, left = (int(g.integers(max(0, length - side) + 1)) // grid * grid for length in x.shape[:2])
    return x[top : top + side, left : left + side]

"""Pictures with known faults, to fit and to measure the inspection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from restore import degradations as made
from restore.degradations.base import Draw, Image, log_uniform, to_8_bits
from restore.degradations.blur import averaged, disc_kernel, motion_kernel, to_linear, to_srgb, trajectory
from restore.degradations.compression import jpeg_grey
from restore.degradations.noise import grey, noise_field
from restore.degradations.rain import pasted_rain

UNKNOWN = float("nan")
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Example:
    """A picture `(H, W, 3)`, 8 bits, and what is wrong with it. NaN is unknown; the other levels are 0 for no fault.

    Attributes:
        pixels: The picture.
        kind: The name of the degradation.
        task: The task that mends it, `none` or `upscale` (it was enlarged).
        sigma, chroma: Noise in 8-bit grey levels, of luma and of the colour differences.
        is_coarse: 1: grains are larger than a pixel.
        quality: Worst JPEG quality; 100 for none.
        blur, motion: Radius of defocus, or length of a motion, in pixels.
        rain: 1: it rains.
        enlarged: Factor; 1 for none.
    """

    pixels: NDArray[np.uint8]
    kind: str
    task: str
    sigma: float = 0.0
    chroma: float = 0.0
    is_coarse: float = 0.0
    quality: float = 100.0
    blur: float = 0.0
    motion: float = 0.0
    rain: float = 0.0
    enlarged: float = 1.0


Maker = Callable[[Image, Generator], Example]


def _example(x: Image, kind: str, task: str, **levels: float) -> Example:
    return Example(np.round(np.clip(x, 0, 1) * 255).astype(np.uint8), kind, task, **levels)


def _clean(x: Image, g: Generator) -> Example:
    return _example(x, "clean", "none")


def _good_jpeg(x: Image, g: Generator) -> Example:
    quality = int(g.integers(92, 101))
    degraded = made.jpeg(x, quality, chroma_subsampling=bool(g.random() < 0.5))
    return _example(degraded, "good-jpeg", "none", quality=quality)


def _pattern(x: Image, g: Generator) -> Example:
    return _example(made.DEGRADATIONS["dry-patterns"](None)(g).apply(x, g)[1], "dry-patterns", "none")


def _gaussian(x: Image, g: Generator) -> Example:
    sigma = log_uniform(g, 3, 75)
    kind = str(g.choice(["gaussian-noise", "correlated-noise", "grey-noise"], p=[0.5, 0.25, 0.25]))
    x = to_8_bits(grey(x)) if kind == "grey-noise" else x
    correlation = {"gaussian-noise": 0.0, "grey-noise": 1.0}.get(kind, float(g.random()))
    noisy = to_8_bits(x + noise_field(x.shape, g, correlation=correlation) * np.float32(sigma / 255))
    # Independent channels: the weights of luma, squared.
    share = np.sqrt(correlation + (1 - correlation) * float((_LUMA**2).sum()))
    chroma = sigma * np.sqrt(1 - correlation) * 0.57
    return _example(noisy, kind, "denoise", sigma=sigma * share, chroma=chroma)


def _noise(kind: str, draw: Draw) -> Maker:
    def make(x: Image, g: Generator) -> Example:
        reference, noisy = draw(g).apply(x, g)
        noise = (noisy - reference) * 255
        luma = noise @ _LUMA
        chroma = (noise - luma[..., None])[..., [0, 2]].std()
        # The correlation of neighbours: above a half for grains of two pixels.
        fine = luma - cv2.GaussianBlur(luma, (0, 0), 4)
        coarse = float((fine[:, 1:] * fine[:, :-1]).mean() / max(1e-6, float((fine**2).mean()))) > 0.35
        sigma = float(luma.std())
        is_seen = sigma >= 2 or chroma >= 2.5
        quality = UNKNOWN if kind in ("jpeg-noise", "grain", "film-grain", "phone-noise") else 100.0
        return _example(
            noisy, kind, "denoise" if is_seen else "?", sigma=sigma, chroma=float(chroma), is_coarse=float(coarse),
            quality=quality,
        )  # fmt: skip

    return make


def _jpeg(x: Image, g: Generator) -> Example:
    quality = int(g.integers(5, 81))
    if g.random() < 0.15:
        return _example(jpeg_grey(x, quality)[1], "jpeg-grey", "dejpeg", quality=quality)
    degraded = made.jpeg(x, quality, chroma_subsampling=bool(g.random() < 0.7))
    return _example(degraded, "jpeg", "dejpeg", quality=quality)


def _jpegs(kind: str) -> Maker:
    def make(x: Image, g: Generator) -> Example:
        degraded = made.DEGRADATIONS[kind]((10, 75))(g).apply(x, g)[1]
        return _example(degraded, kind, "dejpeg", quality=UNKNOWN)

    return make


def _finished(x: Image, g: Generator) -> tuple[Image, float]:
    """In half of the draws with slight noise; the sigma of its luma."""
    sigma = float(g.uniform(0, 1.5)) if g.random() < 0.5 else 0.0
    return to_8_bits(x + noise_field(x.shape, g) * np.float32(sigma / 255)), sigma * 0.67


def _defocus(x: Image, g: Generator) -> Example:
    radius = log_uniform(g, 1.5, 8)
    blurred, sigma = _finished(to_srgb(averaged(to_linear(x), disc_kernel(radius))), g)
    return _example(blurred, "defocus", "deblur", blur=radius, sigma=sigma)


def _motion(x: Image, g: Generator) -> Example:
    length = log_uniform(g, 5, 32)
    path = trajectory(length, float(g.uniform(0, 1.0)), float(g.uniform(0, 0.5)), g)
    blurred, sigma = _finished(to_srgb(averaged(to_linear(x), motion_kernel(path))), g)
    return _example(blurred, "motion-blur", "deblur", motion=length, sigma=sigma)


def _blur(kind: str) -> Maker:
    def make(x: Image, g: Generator) -> Example:
        reference, blurred = made.DEGRADATIONS[kind](None)(g).apply(x, g)
        error = float(((reference - blurred) ** 2).mean())
        is_seen = error > 10 ** (-2.8)
        return _example(blurred, kind, "deblur" if is_seen else "?", sigma=UNKNOWN, quality=UNKNOWN, motion=UNKNOWN)

    return make


def _rain(kind: str, draw: Draw) -> Maker:
    def make(x: Image, g: Generator) -> Example:
        reference, rainy = draw(g).apply(x, g)
        change = float(np.abs(rainy - reference).mean()) * 255
        return _example(rainy, kind, "derain" if change > 1.5 else "?", rain=1.0)

    return make


def _enlarged(x: Image, g: Generator) -> Example:
    factor = float(g.uniform(1.6, 4))
    height, width = x.shape[:2]
    small = cv2.resize(x, (round(width / factor), round(height / factor)), interpolation=cv2.INTER_AREA)
    way = int(g.choice([cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4]))
    large = np.asarray(cv2.resize(small, (width, height), interpolation=way), np.float32)
    return _example(large, "enlarged", "upscale", enlarged=factor)


def makers(layers: Sequence[NDArray[np.uint8]] = ()) -> dict[str, tuple[Maker, float]]:
    """How to make each kind of example, and its share. `layers` of real rain are pasted on."""
    noises: dict[str, Any] = {
        "camera-noise": 0.05, "phone-noise": 0.03, "grain": 0.04, "film-grain": 0.02, "colour-blotches": 0.02,
        "uneven-noise": 0.02, "jpeg-noise": 0.02,
    }  # fmt: skip
    plain = {name: made.DEGRADATIONS[name](None) for name in (*noises, "rain", "rain-crossed", "night-rain")}
    found = {
        "clean": (_clean, 0.19), "good-jpeg": (_good_jpeg, 0.05), "dry-patterns": (_pattern, 0.03),
        "gaussian": (_gaussian, 0.15),
        **{name: (_noise(name, plain[name]), share) for name, share in noises.items()},
        "jpeg": (_jpeg, 0.09), "jpeg-twice": (_jpegs("jpeg-twice"), 0.02),
        "jpeg-shifted": (_jpegs("jpeg-shifted"), 0.02),
        "defocus": (_defocus, 0.06), "motion-blur": (_motion, 0.06), "frames-blur": (_blur("frames-blur"), 0.02),
        "rain": (_rain("rain", plain["rain"]), 0.07),
        "rain-crossed": (_rain("rain-crossed", plain["rain-crossed"]), 0.02),
        "night-rain": (_rain("night-rain", plain["night-rain"]), 0.02), "enlarged": (_enlarged, 0.05),
    }  # fmt: skip
    if layers:
        found["pasted-rain"] = (_rain("pasted-rain", pasted_rain(layers, 1.0)), 0.06)
    return found

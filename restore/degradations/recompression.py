"""JPEG files with a history: saved twice, shifted or resized in between."""

from __future__ import annotations

import numpy as np
import PIL.Image
from numpy.random import Generator

from restore.degradations.base import Degradation, Draw, Image, log_uniform
from restore.degradations.compression import as_bytes, jpeg

_FILTERS = (PIL.Image.Resampling.BILINEAR, PIL.Image.Resampling.BICUBIC, PIL.Image.Resampling.LANCZOS)
_REACH = 5  # reach of the widest filter kernel, in pixels of a picture enlarged 1.5 times

Saving = tuple[int, bool]  # quality, and whether the chroma is subsampled


def twice_saved_jpegs(level: tuple[float, float]) -> Draw:
    """JPEG saved twice on the same grid; in half of the draws the second quality is not below the first."""

    def draw(generator: Generator) -> Degradation:
        first, second = _two_savings(generator, level)
        return Degradation(lambda x, _: (x, _saved(_saved(x, first), second)), grid=16)

    return draw


def shifted_jpegs(level: tuple[float, float]) -> Draw:
    """`twice_saved_jpegs` with a shift in between: the blocks of the two saves do not line up.

    The first save has up to 15 more rows and columns, mirrored, which are then cut off. Reference and result keep the
    size of the picture.
    """

    def draw(generator: Generator) -> Degradation:
        first, second = _two_savings(generator, level)
        # A shift by 8 would line up the luma blocks.
        down, right = (int(shift) for shift in generator.choice([1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15], 2))

        def apply(clean: Image, _: Generator) -> tuple[Image, Image]:
            larger = np.pad(clean, ((down, 0), (right, 0), (0, 0)), mode="symmetric")
            return clean, _saved(np.ascontiguousarray(_saved(larger, first)[down:, right:]), second)

        return Degradation(apply, grid=16)

    return draw


def resized_jpegs(level: tuple[float, float]) -> Draw:
    """JPEG saved, then resized: by 0.5 to 1 in two thirds of the draws, by 1 to 1.5 in one third.

    The reference is resized in the same way (Pillow's bilinear, bicubic or Lanczos filter, on bytes). Half of the
    pictures are then saved again, with a quality in the upper half of `level`.
    """

    def draw(generator: Generator) -> Degradation:
        first = _saving(generator, level)
        scale = log_uniform(generator, 0.5, 1) if generator.random() < 2 / 3 else log_uniform(generator, 1, 1.5)
        filter_ = _FILTERS[int(generator.integers(len(_FILTERS)))]
        again = _saving(generator, ((level[0] + level[1]) / 2, level[1])) if generator.random() < 0.5 else None

        def apply(clean: Image, _: Generator) -> tuple[Image, Image]:
            reference, degraded = (resized(x, scale, filter_) for x in (clean, _saved(clean, first)))
            return reference, degraded if again is None else _saved(degraded, again)

        return Degradation(apply, scale=scale, margin=_REACH, grid=max(16, int(np.ceil(16 * scale))))

    return draw


def mixed_quality(generator: Generator, level: tuple[float, float]) -> int:
    """A whole quality in `level`: in half of the draws uniform, in half with a uniform logarithm."""
    low, high = round(level[0]), round(level[1])
    if generator.random() < 0.5:
        return int(generator.integers(low, high + 1))
    return int(np.clip(round(log_uniform(generator, low - 0.5, high + 0.5)), low, high))


def _saving(generator: Generator, level: tuple[float, float]) -> Saving:
    """A quality, and 4:2:0 in 75 % of the draws."""
    return mixed_quality(generator, level), bool(generator.random() < 0.75)


def _two_savings(generator: Generator, level: tuple[float, float]) -> tuple[Saving, Saving]:
    first = _saving(generator, level)
    low = first[0] if generator.random() < 0.5 else level[0]
    return first, (int(generator.integers(round(low), round(level[1]) + 1)), bool(generator.random() < 0.75))


def _saved(x: Image, saving: Saving) -> Image:
    return jpeg(x, saving[0], chroma_subsampling=saving[1])


def resized(x: Image, scale: float, filter_: PIL.Image.Resampling) -> Image:
    """The picture in `scale` times the size, in 8 bits, by a filter of Pillow."""
    levels = as_bytes(x)
    height, width = (round(side * scale) for side in x.shape[:2])
    resized = PIL.Image.fromarray(levels).resize((width, height), filter_)
    return np.asarray(resized).astype(np.float32) / np.float32(255)

"""JPEG files with a history: saved twice, cut or resized in between; and the mixture that networks train on."""

from __future__ import annotations

import numpy as np
import PIL.Image
from numpy.random import Generator

from restore.degradations.base import Degradation, Draw, Image, log_uniform
from restore.degradations.compression import as_bytes, colour_jpegs, grey_jpegs, jpeg, luma_jpegs

_FILTERS = (PIL.Image.Resampling.BILINEAR, PIL.Image.Resampling.BICUBIC, PIL.Image.Resampling.LANCZOS)
_REACH = 5  # of a filter's kernel, in pixels of a picture that is enlarged 1.5 times
_FINE = (96, 100)  # qualities that leave nothing to see

Saving = tuple[int, bool]  # quality, and whether the chroma is subsampled


def twice_saved(level: tuple[float, float]) -> Draw:
    """JPEG saved twice on the same grid; in half of the pictures the second quality is drawn from the first upwards."""

    def draw(generator: Generator) -> Degradation:
        first, second = _two_savings(generator, level)
        return Degradation(lambda x, _: (x, _saved(_saved(x, first), second)), grid=16)

    return draw


def shifted_saved(level: tuple[float, float]) -> Draw:
    """`twice_saved`, with rows and columns cut off in between, so that the blocks of the first save lie across those of
    the second.

    The first save is of a picture that is larger by up to 15 mirrored rows and columns, and reference and result keep
    their size.
    """

    def draw(generator: Generator) -> Degradation:
        first, second = _two_savings(generator, level)
        # By 8 the blocks of luma would lie on each other.
        down, right = (int(shift) for shift in generator.choice([1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15], 2))

        def apply(clean: Image, _: Generator) -> tuple[Image, Image]:
            larger = np.pad(clean, ((down, 0), (right, 0), (0, 0)), mode="symmetric")
            return clean, _saved(np.ascontiguousarray(_saved(larger, first)[down:, right:]), second)

        return Degradation(apply, grid=16)

    return draw


def resized_saved(level: tuple[float, float]) -> Draw:
    """JPEG that was resized after it was saved: 0.5 to 1 times in two of three pictures, up to 1.5 times in the others.

    The reference is resized in the same way (Pillow's bilinear, bicubic or Lanczos filter, on bytes). Half of the
    pictures are then saved again, with a quality of the upper half of `level`.
    """

    def draw(generator: Generator) -> Degradation:
        first = _saving(generator, level)
        scale = log_uniform(generator, 0.5, 1) if generator.random() < 2 / 3 else log_uniform(generator, 1, 1.5)
        filter_ = _FILTERS[int(generator.integers(len(_FILTERS)))]
        again = _saving(generator, ((level[0] + level[1]) / 2, level[1])) if generator.random() < 0.5 else None

        def apply(clean: Image, _: Generator) -> tuple[Image, Image]:
            reference, degraded = (_resized(x, scale, filter_) for x in (clean, _saved(clean, first)))
            return reference, degraded if again is None else _saved(degraded, again)

        return Degradation(apply, scale=scale, margin=_REACH, grid=max(16, int(np.ceil(16 * scale))))

    return draw


def any_jpegs(level: tuple[float, float]) -> Draw:
    """What the networks against JPEG train on: any file, good ones among them, which stay as they are.

    50 % `colour_jpegs`, 15 % `luma_jpegs`, 5 % `grey_jpegs`, 10 % `twice_saved`, 7 % `shifted_saved`, 8 %
    `resized_saved`; in these half of the qualities are uniform in `level` and half in its logarithm. 3 % are of quality
    96 to 100 and 2 % are not compressed, whatever `level` is.
    """
    saved_once = (colour_jpegs, luma_jpegs, grey_jpegs)
    histories = (twice_saved(level), shifted_saved(level), resized_saved(level))

    def draw(generator: Generator) -> Degradation:
        kind = int(generator.choice(8, p=[0.50, 0.15, 0.05, 0.10, 0.07, 0.08, 0.03, 0.02]))
        if kind < 3:
            quality = float(_quality(generator, level))
            return saved_once[kind]((quality, quality))(generator)
        if kind < 6:
            return histories[kind - 3](generator)
        return colour_jpegs(_FINE)(generator) if kind == 6 else Degradation(lambda x, _: (x, x), grid=16)

    return draw


def _quality(generator: Generator, level: tuple[float, float]) -> int:
    """A whole quality in `level`, in half of the draws uniform and in half uniform in its logarithm."""
    low, high = round(level[0]), round(level[1])
    if generator.random() < 0.5:
        return int(generator.integers(low, high + 1))
    return int(np.clip(round(log_uniform(generator, low - 0.5, high + 0.5)), low, high))


def _saving(generator: Generator, level: tuple[float, float]) -> Saving:
    """Quality, and 4:2:0 in three of four."""
    return _quality(generator, level), bool(generator.random() < 0.75)


def _two_savings(generator: Generator, level: tuple[float, float]) -> tuple[Saving, Saving]:
    first = _saving(generator, level)
    low = first[0] if generator.random() < 0.5 else level[0]
    return first, (int(generator.integers(round(low), round(level[1]) + 1)), bool(generator.random() < 0.75))


def _saved(x: Image, saving: Saving) -> Image:
    return jpeg(x, saving[0], chroma_subsampling=saving[1])


def _resized(x: Image, scale: float, filter_: PIL.Image.Resampling) -> Image:
    levels = as_bytes(x)
    height, width = (round(side * scale) for side in x.shape[:2])
    resized = PIL.Image.fromarray(levels).resize((width, height), filter_)
    return np.asarray(resized).astype(np.float32) / np.float32(255)

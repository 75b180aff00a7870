"""The value that the network sees as white, so that dark pictures and bright lights keep their brightness.

Networks learn from photographs that fill the range from 0 to 1. They darken a picture that uses a twentieth of it by
several percent. One lamp of 40 in a floating-point picture would push all else down there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[Any]
Levels = npt.NDArray[np.float32]

_BRIGHTER = 0.001  # share of the pixels that may be brighter than the highlights: hot pixels, stars
_MOST_SAMPLES = 1 << 20


@dataclass(frozen=True)
class Exposure:
    """Maps pixel values to the levels of a network and back.

    Attributes:
        white: Pixel value that the network sees as 1.
        limit: Largest pixel value that the type holds; infinity for floats.
        passes_excess: Levels below 0 and above 1 bypass the network. Otherwise it sees them all.
    """

    white: float
    limit: float
    passes_excess: bool

    @classmethod
    def of(cls, pixels: Pixels, *, is_mosaic: bool = False) -> Exposure:
        """The exposure of a whole picture `(H, W, C)`.

        Highlights are the level that a thousandth of the pixels exceeds in their brightest channel. Integers: white is
        the type's largest value, or near the highlights if these are below half of it. Floats: the same with 1 for the
        largest value, and without pixels above 1. If most pixels are above 1 (such as values up to 255), white is four
        times their median, or the maximum if that is less.

        A mosaic takes its maximum for the highlights: what bypasses the network would keep the mosaic's colours.
        """
        is_float = pixels.dtype.kind == "f"
        limit = 1.0 if is_float else float(np.iinfo(pixels.dtype).max)
        if is_mosaic:
            highest = float(pixels.max())
            white = highest if highest > limit else _for_highlights(highest, limit)
        else:
            brightest = _brightest(pixels)
            if is_float and (median := float(np.median(brightest))) > 1:
                white = min(4 * median, float(brightest.max()))
            else:
                within = brightest[brightest <= limit] if is_float else brightest
                place = max(0, len(within) - 1 - int(_BRIGHTER * len(within)))
                white = _for_highlights(float(np.partition(within, place)[place]), limit)
        passes = not is_mosaic and (is_float or white < limit)
        return cls(white, np.inf if is_float else limit, passes)

    def split(self, values: Levels) -> tuple[Levels, Levels | None]:
        """The levels of a tile for the network, and what bypasses it (None for nothing); overwrites `values`."""
        values /= self.white
        if not self.passes_excess:
            return values, None
        inside = np.clip(values, 0, 1)
        values -= inside
        return inside, values if values.any() else None

    def join(self, restored: Levels, excess: Levels | None) -> Levels:
        """The network's result, without negative levels, plus the excess of the same size."""
        if not self.passes_excess:
            return restored
        restored = np.maximum(restored, 0)
        if excess is not None:
            restored += excess
        return restored


def _for_highlights(highlights: float, limit: float) -> float:
    """White for the highlights of a picture: near them if they are dark, `limit` from half of it on, without a jump.

    >>> [round(_for_highlights(value, limit=1), 4) for value in (0, 0.01, 0.05, 0.25, 0.49, 0.5, 0.9)]
    [1, 0.0102, 0.055, 0.375, 0.9702, 1, 1]
    """
    return min(limit, highlights * (1 + 2 * highlights / limit)) if highlights > 0 else limit


def _brightest(pixels: Pixels) -> Pixels:
    """The brightest channel of pixels on a regular grid, at most about `_MOST_SAMPLES` of them, flat."""
    height, width = pixels.shape[:2]
    step = int(np.ceil((height * width / _MOST_SAMPLES) ** 0.5)) | 1
    some = pixels[::step, ::step]
    brightest: Pixels = some[..., 0]
    for channel in range(1, pixels.shape[2]):
        brightest = np.maximum(brightest, some[..., channel])
    return brightest.ravel()

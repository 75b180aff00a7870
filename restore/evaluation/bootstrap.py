"""How far a mean over pictures may be off: 95 % confidence intervals by the bootstrap over pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

SAMPLES = 10_000  # means of as many pictures, drawn with replacement
SEED = 0
_AT_ONCE = 100  # samples, to bound the memory

Interval = tuple[float, float]


def interval(values: Sequence[float]) -> Interval | None:
    """The 95 % interval of the mean of the finite values (percentile bootstrap); None for fewer than two.

    The seed is fixed: the same values give the same interval, and values of the same pictures the same draws.

    >>> interval([30.0, 30.0, 30.0])
    (30.0, 30.0)
    >>> interval([30.0]) is None
    True
    """
    finite = np.array([value for value in values if math.isfinite(value)])
    if finite.size < 2:
        return None
    generator = np.random.default_rng(SEED)
    draws = (generator.integers(finite.size, size=(_AT_ONCE, finite.size)) for _ in range(SAMPLES // _AT_ONCE))
    low, high = np.percentile(np.concatenate([finite[draw].mean(axis=1) for draw in draws]), (2.5, 97.5))
    return float(low), float(high)


def differences(values: Sequence[float], first: Sequence[float]) -> list[float]:
    """What each picture gains over the first, for the pictures where both are finite.

    >>> differences([31.0, math.inf, 30.5], [30.0, 30.0, 31.0])
    [1.0, -0.5]
    """
    return [a - b for a, b in zip(values, first, strict=True) if math.isfinite(a) and math.isfinite(b)]

"""The few numbers that each claim of `restore.inspection.verdict` rests on, from `traces_of`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Table = NDArray[Any]


def features_of(traces: Table) -> dict[str, Table]:
    """Features of each claim: traces `(N, 276)` to `(N, K)` with a K of its own."""
    luma, half = traces[:, :54].reshape(-1, 6, 9), traces[:, 54:108].reshape(-1, 6, 9)
    chroma = traces[:, 108:162].reshape(-1, 6, 9)
    directions, streaks = traces[:, 162:206].reshape(-1, 4, 11), traces[:, 206:252]
    tones, edges, jpeg = traces[:, 252:259], traces[:, 259:273], traces[:, 273:276]
    flat = np.concatenate([luma[:, 0], luma[:, 2, ::2], half[:, 0, ::2]], axis=1)
    colour = np.concatenate([chroma[:, 0, ::2], chroma[:, 3, ::3]], axis=1)
    slopes = [_slopes(luma[:, k]) for k in (3, 4, 5)] + [_slopes(half[:, k]) for k in (4, 5)]
    sharpness = np.concatenate([*slopes, edges, luma[:, 0, 6:], half[:, 4:, 8]], axis=1)
    levels = directions[..., 8:].reshape(len(traces), -1)
    weakest = np.sort(directions[..., :8], axis=2)[..., [0, 1, 7]].reshape(len(traces), -1)
    lines = np.concatenate([streaks[:, 12:13], streaks[:, 37:], _sorted(streaks), luma[:, 0, 3::2]], axis=1)
    return {
        "denoise": np.concatenate([flat, colour, jpeg, slopes[2]], axis=1),
        "dejpeg": np.concatenate([flat, slopes[1], jpeg], axis=1),
        "defocus": np.concatenate([sharpness, weakest, jpeg], axis=1),
        "motion": np.concatenate([sharpness, weakest, jpeg, lines[:, :10]], axis=1),
        "derain": np.concatenate([lines, levels, weakest, tones, slopes[2]], axis=1),
        "upscale": np.concatenate([sharpness, weakest[:, :3], jpeg], axis=1),
        "is_coarse": flat,
        "sigma": np.concatenate([flat - flat[:, :1], flat[:, :1], jpeg], axis=1),
        "chroma": np.concatenate([colour, jpeg, flat[:, :1]], axis=1),
        "blur": sharpness,
        "motion_length": np.concatenate([sharpness, weakest], axis=1),
        "enlarged": sharpness,
    }


def _slopes(bands: Table) -> Table:
    """A spectrum relative to its third band."""
    return (bands - bands[:, 2:3])[:, [0, 4, 5, 6, 7, 8]]


def _sorted(streaks: Table) -> Table:
    """Strength, skew and brightness of the strongest upright lines against the others, for any slant."""
    strength, skew, bright = streaks[:, :12], streaks[:, 13:25], streaks[:, 25:37]
    upright = slice(3, 10)
    parts = [np.sort(strength[:, upright], axis=1)[:, [-1, -2, 0]], strength[:, [0, 1, 11]]]
    parts += [np.sort(one[:, upright], axis=1)[:, [-1, 3, 0]] for one in (skew, bright)]
    return np.concatenate(parts, axis=1)

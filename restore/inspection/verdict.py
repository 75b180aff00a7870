"""From the numbers of `traces` to faults: a kernel machine, evaluated with NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restore.inspection.features import features_of

CLAIMS = ("denoise", "dejpeg", "defocus", "motion", "derain", "upscale", "is_coarse")
LEVELS = ("sigma", "chroma", "blur", "motion_length", "enlarged")
WEIGHTS = Path(__file__).with_name("verdict.npz")

_MOST_AWAY = 4.0  # standard deviations
_LINEAR = 0.1  # share of the linear kernel
_WIDTH = 1.0  # of the Gaussian kernel, for the mean square of the differences of the features

Numbers = NDArray[Any]


@dataclass(frozen=True)
class Verdict:
    """Scores of the `CLAIMS`, about 1 for true and -1 for false; and the `LEVELS`, as `Examples` has them."""

    claims: dict[str, float]
    levels: dict[str, float]


def judge(traces: Numbers) -> Verdict:
    """The faults of the picture with these traces `(276,)`.

    Kernel ridge regression (Saunders et al., ICML 1998) against pictures with known faults. scripts/fit_inspection.py
    fits it.
    """
    stored = _weights()
    features = features_of(traces[None].astype(np.float64))
    outputs = {}
    for name in (*CLAIMS, *LEVELS):
        x = standard(features[name], stored[f"{name}_mean"], stored[f"{name}_spread"])
        outputs[name] = float((kernel(x, stored[f"{name}_known"]) @ stored[f"{name}_weights"])[0])
        outputs[name] += float(stored[f"{name}_bias"])
    return Verdict(
        {name: outputs[name] for name in CLAIMS},
        {name: float(np.expm1(np.clip(outputs[name], 0, 5))) for name in LEVELS},
    )


def standard(features: Numbers, mean: Numbers, spread: Numbers) -> Numbers:
    """Features in standard deviations, limited: a strange picture is not farther away than the strangest known."""
    return np.asarray(np.clip((features - mean) / spread, -_MOST_AWAY, _MOST_AWAY))


def kernel(a: Numbers, b: Numbers) -> Numbers:
    """Similarity of standard features: `(N, K)` and `(M, K)` to `(N, M)`."""
    product = a @ b.T
    apart = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None] - 2 * product
    return np.asarray(np.exp(-_WIDTH * apart / a.shape[1]) + _LINEAR * product / a.shape[1])


@cache
def _weights() -> dict[str, Numbers]:
    """What is stored, and `known`: the standard features of the known pictures that tell something of each output."""
    with np.load(WEIGHTS, allow_pickle=False) as file:
        stored = {name: file[name].astype(np.float64) for name in file.files}
    features = features_of(stored["traces"])
    for name in (*CLAIMS, *LEVELS):
        rows = stored[f"{name}_rows"].astype(np.int64)
        known = features[name][rows]
        stored[f"{name}_known"] = standard(known, stored[f"{name}_mean"], stored[f"{name}_spread"])
    return stored

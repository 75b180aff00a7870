"""From the numbers of `traces` to faults: a small network, evaluated with NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CLAIMS = ("denoise", "dejpeg", "defocus", "motion", "derain", "upscale", "is_coarse")
LEVELS = ("sigma", "chroma", "blur", "motion_length", "enlarged")
WEIGHTS = Path(__file__).with_name("verdict.npz")
_MOST_AWAY = 6.0  # standard deviations


@dataclass(frozen=True)
class Verdict:
    """Probabilities (0 to 1) of the `CLAIMS`, and the `LEVELS` in their units."""

    claims: dict[str, float]
    levels: dict[str, float]


def judge(traces: NDArray[np.float32]) -> Verdict:
    """The faults of the picture with these traces.

    Networks with two hidden layers (ReLU), the mean of several. scripts/fit_inspection.py fits them to pictures with
    known faults.
    """
    weights = _weights()
    x = np.clip((traces - weights["mean"]) / weights["spread"], -_MOST_AWAY, _MOST_AWAY)
    outputs = []
    for k in range(int(weights["count"])):
        h = np.maximum(x @ weights[f"a{k}"] + weights[f"a{k}_bias"], 0)
        h = np.maximum(h @ weights[f"b{k}"] + weights[f"b{k}_bias"], 0)
        outputs.append(h @ weights[f"c{k}"] + weights[f"c{k}_bias"])
    mean = np.mean(outputs, axis=0).astype(np.float64)
    logits, logs = mean[: len(CLAIMS)], mean[len(CLAIMS) :]
    probabilities = 1 / (1 + np.exp(-np.clip(logits, -30, 30)))
    levels = np.exp(np.clip(logs, -2, 6)) - 1
    return Verdict(
        dict(zip(CLAIMS, probabilities.tolist(), strict=True)),
        dict(zip(LEVELS, np.maximum(levels, 0).tolist(), strict=True)),
    )


@cache
def _weights() -> dict[str, Any]:
    with np.load(WEIGHTS, allow_pickle=False) as stored:
        return {name: stored[name].astype(np.float32) for name in stored.files}

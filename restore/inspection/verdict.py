"""From the pixels of crops to faults: a small convolutional network, evaluated with NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from restore.errors import WeightsError
from restore.inspection.crops import Plane

CLAIMS = ("denoise", "dejpeg", "defocus", "motion", "derain", "upscale", "is_coarse")
LEVELS = ("sigma", "chroma", "blur", "motion_length", "enlarged")
STRIDES = (1, 2, 2, 1, 2, 1, 2, 1)
WIDTHS = (8, 16, 24, 32, 32, 48, 48, 64)
PLACES, VALUES, HIDDEN = 8, 16, 96  # attention maps, numbers that each collects, and hidden numbers
MEASURED = (0, 1, 3, 5, 7)  # convolutions whose outputs are summed up over the picture
# JPEG's Y, Cb, Cr (ITU-R BT.601) of R, G, B.
COLOURS = ((0.299, 0.587, 0.114), (-0.1687, -0.3313, 0.5), (0.5, -0.4187, -0.0813))
FLOOR = 0.01  # added before logarithms
WEIGHTS = Path(__file__).with_name("verdict.npz")

_SIDE = 320  # pixels of a part that the network sees at once

Numbers = NDArray[np.float32]


@dataclass(frozen=True)
class Verdict:
    """Scores of the `CLAIMS`, above 0 for likely; and the `LEVELS`, as `Example` has them."""

    claims: dict[str, float]
    levels: dict[str, float]


def judge(crops: Sequence[Plane], weights: Path = WEIGHTS) -> Verdict:
    """The faults that crops `(H, W, 1 | 3)`, 0 to 255, show.

    The mean of what the network says of each part; the root mean square of levels. The network has eight convolutions
    of 3 x 3; the logarithms of the means and of the mean squares of five of them, and of what attention collects; two
    fully connected layers. `restore train inspect` trains it.

    Raises:
        WeightsError: `weights` is no file of `restore train inspect`.
    """
    parts = [part for crop in crops for part in _parts_of(crop)]
    outputs, sizes = np.array([outputs_of(part, weights) for part in parts]), [part.size for part in parts]
    claims = np.average(outputs[:, : len(CLAIMS)], axis=0, weights=sizes)
    levels = np.expm1(np.clip(outputs[:, len(CLAIMS) :], 0, 5))
    mean = np.sqrt(np.average(levels**2, axis=0, weights=sizes))  # variances add up
    return Verdict(dict(zip(CLAIMS, map(float, claims), strict=True)), dict(zip(LEVELS, map(float, mean), strict=True)))


def _parts_of(crop: Plane) -> list[Plane]:
    down, across = (max(1, round(length / _SIDE)) for length in crop.shape[:2])
    return [part for rows in np.array_split(crop, down) for part in np.array_split(rows, across, axis=1)]


def outputs_of(part: Plane, weights: Path = WEIGHTS) -> Numbers:
    """What the network says of `(H, W, 1 | 3)`, 0 to 255: scores of the claims, and log(1 + level)."""
    stored = _weights(weights)
    x = np.broadcast_to(part, (*part.shape[:2], 3)) @ np.array(COLOURS, np.float32).T / np.float32(32)
    x[..., 0] -= 4
    found = []
    for k, stride in enumerate(STRIDES):
        x = np.maximum(_convolved(x, stored[f"convolution{k}"], stride) + stored[f"convolution{k}_bias"], 0)
        if k in MEASURED:
            found += [x.mean((0, 1)), (x * x).mean((0, 1))]
    flat = x.reshape(-1, x.shape[-1])
    attention = flat @ stored["attention"] + stored["attention_bias"]
    attention = np.exp(attention - attention.max(0))
    values = np.maximum(flat @ stored["values"] + stored["values_bias"], 0)
    found.append((attention.T @ values / attention.sum(0)[:, None]).ravel())
    numbers = np.log(np.concatenate(found) + np.float32(FLOOR))
    hidden = np.maximum(numbers @ stored["hidden"] + stored["hidden_bias"], 0)
    return np.asarray(hidden @ stored["last"] + stored["last_bias"])


def _convolved(x: Numbers, kernel: Numbers, stride: int) -> Numbers:
    """`(H, W, C)` and `(C, 3, 3, D)` to `(H / stride, W / stride, D)`, with zeros around."""
    windows = sliding_window_view(np.pad(x, ((1, 1), (1, 1), (0, 0))), (3, 3), axis=(0, 1))[::stride, ::stride]
    height, width = windows.shape[:2]
    product = windows.reshape(height * width, -1) @ kernel.reshape(-1, kernel.shape[-1])
    return np.asarray(product.reshape(height, width, -1))


@cache
def _weights(path: Path) -> dict[str, Numbers]:
    fault = "it is no file of `restore train inspect`"
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            stored = {name: file[name].astype(np.float32) for name in file.files}
    except OSError as error:
        fault = error.strerror or fault
    except (ValueError, EOFError, BadZipFile, TypeError):
        pass
    else:
        if {name: array.shape for name, array in stored.items()} == _shapes():
            return stored
    raise WeightsError(f"cannot use {path}: {fault}", hint="give RUN/inspect.npz")


def _shapes() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for k, (before, width) in enumerate(zip((3, *WIDTHS), WIDTHS, strict=False)):
        shapes |= {f"convolution{k}": (before, 3, 3, width), f"convolution{k}_bias": (width,)}
    numbers = 2 * sum(WIDTHS[k] for k in MEASURED) + PLACES * VALUES
    layers = {
        "attention": (WIDTHS[-1], PLACES), "values": (WIDTHS[-1], VALUES), "hidden": (numbers, HIDDEN),
        "last": (HIDDEN, len(CLAIMS) + len(LEVELS)),
    }  # fmt: skip
    return shapes | layers | {f"{name}_bias": shape[1:] for name, shape in layers.items()}

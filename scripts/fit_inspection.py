"""Fits `restore inspect`: makes pictures with known faults from photographs, and writes restore/inspection/verdict.npz.

python scripts/fit_inspection.py --photos photos --rain-pairs rain_pairs --count 1500
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from restore.degradations.rain import layer_of
from restore.images import Picture
from restore.inspection.compression import compression_of
from restore.inspection.crops import crops_of
from restore.inspection.examples import makers
from restore.inspection.features import features_of
from restore.inspection.traces import traces_of
from restore.inspection.verdict import CLAIMS, LEVELS, WEIGHTS, kernel, standard

RIDGE = 0.01
# A claim is false unless pictures like it say otherwise.
BIAS = -0.6
MAYBE_JPEG = frozenset({"camera-noise", "phone-noise", "grain", "film-grain", "colour-blotches", "jpeg-noise"})
Known = dict[str, Any]


def varied(photo: NDArray[np.uint8], g: Generator) -> NDArray[np.float32]:
    """A photograph, smaller, softer, grey, or with another contrast; in 8 bits from 0 to 1."""
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
    return np.ascontiguousarray(np.round(np.clip(x, 0, 1) * 255).astype(np.float32) / 255)


def layers_of(folder: Path) -> list[NDArray[np.uint8]]:
    """The rain of three quarters of the pairs; the others are for measuring."""
    pairs = [path for k, path in enumerate(sorted((folder / "clean").iterdir())) if k % 4 != 3]
    found = [layer_of(_pixels(path), _pixels(folder / "rainy" / path.name)) for path in pairs]
    return [layer for layer in found if layer is not None]


def _pixels(path: Path) -> NDArray[np.uint8]:
    return np.array(Image.open(path).convert("RGB"))


def known_of(photos: Sequence[Path], layers: list[NDArray[np.uint8]], count: int) -> list[tuple[Known, Any]]:
    """What is known of each picture, and its traces."""
    g = np.random.default_rng(0)
    kinds = makers(layers)
    shares = np.array([share for _, share in kinds.values()])
    found = []
    for k in range(count):
        photo = varied(_pixels(photos[k % len(photos)]), g)
        make = list(kinds.values())[int(g.choice(len(kinds), p=shares / shares.sum()))][0]
        example = make(photo, g)
        crops = crops_of(Picture(np.ascontiguousarray(example.pixels)))
        known = {name: value for name, value in asdict(example).items() if name != "pixels"}
        found.append((known, traces_of(crops, compression_of(crops))))
    return found


def targets_of(known: Known) -> dict[str, float]:
    """1 or -1 for each claim, log(1 + level) for each level; NaN where nothing is known."""
    task, kind, nan = known["task"], known["kind"], float("nan")
    claims = dict.fromkeys(CLAIMS, nan if task == "?" else -1.0)
    if task in claims:
        claims[task] = 1.0
    if task == "deblur":
        claims["defocus" if kind == "defocus" else "motion"] = 1.0
    claims["is_coarse"] = 2 * known["is_coarse"] - 1 if task == "denoise" else nan
    if kind in MAYBE_JPEG:
        claims["dejpeg"] = nan
    levels = dict.fromkeys(LEVELS, nan)
    if task in ("none", "denoise", "deblur", "upscale", "?"):
        levels["sigma"] = known["sigma"]
    if task in ("none", "denoise"):
        levels["chroma"] = known["chroma"]
    if kind == "defocus":
        levels["blur"] = known["blur"]
    elif task == "deblur":
        levels["motion_length"] = known["motion"]
    if task == "upscale":
        levels["enlarged"] = known["enlarged"] - 1
    return claims | {name: float(np.log1p(level)) for name, level in levels.items()}


def fitted(pictures: Sequence[tuple[Known, Any]]) -> dict[str, NDArray[Any]]:
    """The arrays of the weights file."""
    traces = np.array([one for _, one in pictures], np.float16)
    targets = [targets_of(known) for known, _ in pictures]
    features = features_of(traces.astype(np.float64))
    stored: dict[str, NDArray[Any]] = {"traces": traces}
    for name in (*CLAIMS, *LEVELS):
        wanted = np.array([target[name] for target in targets])
        rows = np.flatnonzero(~np.isnan(wanted))
        mean, spread = features[name][rows].mean(axis=0), features[name][rows].std(axis=0) + 0.01
        stored[f"{name}_mean"], stored[f"{name}_spread"] = mean.astype(np.float32), spread.astype(np.float32)
        x = standard(features[name][rows], stored[f"{name}_mean"], stored[f"{name}_spread"])
        bias = BIAS if name in CLAIMS else float(wanted[rows].mean())
        stored[f"{name}_bias"] = np.float32(bias)  # type: ignore[assignment]
        stored[f"{name}_rows"] = rows.astype(np.int16)
        weights = np.linalg.solve(kernel(x, x) + RIDGE * np.eye(len(x)), wanted[rows] - bias)
        stored[f"{name}_weights"] = weights.astype(np.float32)
    return stored


def main() -> None:
    """Make the pictures, fit, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--rain-pairs", type=Path, required=True)
    parser.add_argument("--count", type=int, default=1500)
    given = parser.parse_args()
    photos = sorted(given.photos.glob("*.jpg"))
    np.savez_compressed(WEIGHTS, **fitted(known_of(photos, layers_of(given.rain_pairs), given.count)))  # type: ignore[arg-type]
    print(f"{WEIGHTS}: {WEIGHTS.stat().st_size} bytes")


if __name__ == "__main__":
    main()

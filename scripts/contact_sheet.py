"""Make the pictures of README and docs/: sheets of a task, of the degradations, and before and after.

    python scripts/contact_sheet.py denoise derain dejpeg deblur demosaic upscale   # docs/TASK.jpg
    python scripts/contact_sheet.py degradations strip before-after

A sheet of a task has crops 1:1: degraded, restored by the default weights, clean. The first rows of denoise and derain
are unchanged photographs with real noise and rain. The captions are in scripts/write_weights_page.py. The car of the
degradations is a training photo (CC0).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from restore import checkpoints
from restore.checkpoints.catalogue import weights_for
from restore.datasets.pairs import Pair, degrading, read_rgb
from restore.degradations import DEGRADATIONS, Image, imresize, to_8_bits
from restore.evaluation.scoring import restoring
from restore.images import Picture, write_picture
from restore.inference.restorer import Restorer

DOCS = Path(__file__).parents[1] / "docs"
HEIGHT, WIDTH, GAP = 192, 288, 6


@dataclass(frozen=True)
class Row:
    """A row of a sheet.

    Attributes:
        sample: Name of the file in docs/samples.
        degradation, level: What spoils it; None leaves it as it is.
        seed: Of the degradation.
        at: Top and left of the crop; below the size of the small samples, it is their middle.
        weights: Instead of the task's default.
    """

    sample: str
    degradation: str | None = None
    level: float | None = None
    seed: int = 0
    at: tuple[int, int] = (32, 32)
    weights: str | None = None


# The large samples are noisy: where they are spoilt, half their size stands for a clean picture.
ROWS: dict[str, list[Row]] = {
    "denoise": [
        Row("tower-at-night", at=(330, 750)),
        Row("lantern-at-night", at=(560, 1300)),
        Row("astronaut", "phone-noise", seed=8),
        Row("cat", "grain", seed=9),
        Row("photographer", "grey-noise", 25),
    ],
    "derain": [
        Row("tower-at-night", at=(700, 860)),
        Row("pagoda", "rain", seed=1),
        Row("lantern-at-night", "rain", seed=2, at=(170, 504)),
        Row("photographer", "rain", seed=7),
        Row("dahlia", "lens-drops", seed=5),
    ],
    "dejpeg": [
        Row("astronaut", "jpeg", 15),
        Row("pagoda", "jpeg", 10),
        Row("typewriter", "jpeg", 25),
        Row("tower-at-night", "jpeg", 30, at=(150, 376)),
        Row("photographer", "jpeg-grey", 10),
    ],
    "deblur": [
        Row("astronaut", "frames-blur", seed=12),
        Row("pagoda", "defocus", seed=2),
        Row("typewriter", "defocus", seed=8),
        Row("tower-at-night", "shake", seed=2, at=(150, 376)),
        Row("photographer", "motion-blur", seed=1),
    ],
    "demosaic": [Row("pagoda", "mosaic"), Row("dahlia", "mosaic"), Row("tower-at-night", "mosaic", at=(150, 376))],
    "upscale": [
        Row("astronaut", "bicubic", 2),
        Row("pagoda", "bicubic", 3),
        Row("cat", "bicubic", 4),
        Row("typewriter", "bicubic", 2),
        Row("pagoda", "small-jpeg", 2, weights="pa-edsr-m-x2-web"),
    ],
}

KINDS: list[tuple[str, tuple[float, float] | None, int]] = [  # degradation, level, seed
    ("gaussian-noise", (25, 25), 1), ("grey-noise", (25, 25), 1), ("correlated-noise", (25, 25), 3),
    ("camera-noise", None, 5), ("phone-noise", None, 2), ("grain", None, 4), ("film-grain", None, 3),
    ("jpeg-noise", None, 6), ("uneven-noise", None, 4), ("colour-blotches", None, 4),
    ("frames-blur", None, 1), ("shake", None, 2), ("motion-blur", None, 1), ("defocus-shapes", None, 1),
    ("jpeg", (10, 10), 1), ("jpeg-grey", (10, 10), 1), ("jpeg-twice", (10, 40), 1), ("jpeg-shifted", (10, 40), 1),
    ("jpeg-resized", (10, 20), 1),
    ("rain", None, 4), ("rain-crossed", None, 1), ("night-rain", None, 1), ("lens-drops", None, 4),
    ("dry-patterns", None, 1),
]  # fmt: skip
SIDE, LABEL, COLUMNS = 176, 20, 6
STRIP = 216  # pixels, side of each picture in it
STRIP_OF: list[tuple[str, str, float, str | None, float | None, int, tuple[int, int], int]] = [
    # task, sample, its scale, degradation, level, seed, top and left, enlarged by
    ("denoise", "drops-on-window", 1.0, None, None, 0, (400, 380), 2),
    ("dejpeg", "drops-on-window", 0.5, "jpeg", 10, 0, (114, 112), 2),
    ("derain", "yellow-wall", 0.5, "rain", None, 5, (262, 137), 1),
    ("upscale", "yellow-wall", 0.5, "bicubic", 4, 0, (440, 430), 2),
]
SHARED = DOCS.parents[1] / "shared/samples"
CAR = DOCS.parents[1] / "shared/data/train/photos/0147_0.jpg"  # CC0-1.0


def restored(task: str, pair: Pair, level: float | None = None, weights: str | None = None) -> Image:
    """Restore a pair with the default weights of the task, or with others."""
    return restoring(Restorer(checkpoints.load(weights or weights_for(task, level).name)[0]))(pair)


def row(task: str, about: Row) -> Image:
    """A row of a sheet: degraded (upscaled by a bicubic kernel if smaller), restored, clean.

    An undegraded sample has no third picture; rain has the derained one, denoised as well.
    """
    picture = read_rgb(next((DOCS / "samples").glob(f"{about.sample}.*")))
    (top, left), level = about.at, about.level
    if about.degradation is None:
        first = restored(task, Pair(about.sample, picture, picture))
        columns = [picture, first]
        if task == "derain":
            columns.append(restored("denoise", Pair(about.sample, first, first)))
    else:
        if picture.shape[0] > 2 * HEIGHT:
            half = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
            picture = to_8_bits(np.asarray(half, np.float32))
        generator = np.random.default_rng(about.seed)
        reference, degraded = degrading(about.degradation, level)(generator).apply(picture, generator)
        before = imresize(degraded, level) if task == "upscale" and level else degraded
        columns = [before, restored(task, Pair(about.sample, reference, degraded), level, about.weights), reference]
    crops = [x[top : top + HEIGHT, left : left + WIDTH] for x in columns]
    crops += [np.ones_like(crops[0])] * (3 - len(crops))
    return np.concatenate([np.pad(x, ((0, GAP), (0, GAP), (0, 0)), constant_values=1) for x in crops], axis=1)


def as_bytes(x: Image) -> NDArray[np.uint8]:
    return np.round(np.clip(x, 0, 1) * 255).astype(np.uint8)


def kinds() -> NDArray[np.uint8]:
    """A labelled crop under each of `KINDS`."""
    clean = read_rgb(CAR)[100:, 100:]
    cells = []
    for name, level, seed in KINDS:
        generator = np.random.default_rng(seed)
        degraded = DEGRADATIONS[name](level)(generator).apply(clean, generator)[1]
        top, left = (side // 2 - SIDE // 2 for side in degraded.shape[:2])
        cell = np.full((SIDE + LABEL, SIDE + GAP, 3), 255, np.uint8)
        cell[:SIDE, :SIDE] = as_bytes(degraded[top : top + SIDE, left : left + SIDE])
        cv2.putText(cell, name, (2, SIDE + 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
        cells.append(cell)
    rows = [np.concatenate(cells[i : i + COLUMNS], axis=1) for i in range(0, len(cells), COLUMNS)]
    return np.concatenate(rows)[:, :-GAP]


def strip() -> NDArray[np.uint8]:
    """Four tasks in a row: the left half of each picture before, the right half after."""
    cells = []
    for task, sample, scale, degradation, level, seed, (top, left), zoom in STRIP_OF:
        picture = read_rgb(SHARED / f"{sample}.jpg")
        smaller = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        clean = np.asarray(smaller, np.float32)[:548, :800]
        if degradation is None:
            clean = before = picture
        else:
            generator = np.random.default_rng(seed)
            clean, before = degrading(degradation, level)(generator).apply(clean, generator)
        before = to_8_bits(before)
        after = restored(task, Pair(sample, clean, before), level)
        before = before.repeat(len(after) // len(before), 0).repeat(len(after) // len(before), 1)
        half = STRIP // zoom // 2
        rows, columns = slice(top, top + 2 * half), slice(left, left + 2 * half)
        cell = as_bytes(np.concatenate([before[rows, columns][:, :half], after[rows, columns][:, half:]], axis=1))
        cell = cell.repeat(zoom, 0).repeat(zoom, 1)
        cell[:, STRIP // 2 - 1 : STRIP // 2 + 1] = 255
        cells.append(np.pad(cell, ((0, 0), (0, GAP), (0, 0)), constant_values=255))
    return np.concatenate(cells, axis=1)[:, :-GAP]


def before_after() -> NDArray[np.uint8]:
    """A crop of a sample, and the same crop denoised."""
    picture = read_rgb(DOCS / "samples/drops-on-window.jpg")
    after = restored("denoise", Pair("drops", picture, picture))
    crops = [as_bytes(x[180:580, 120:560]) for x in (picture, after)]
    return np.concatenate([np.pad(crops[0], ((0, 0), (0, GAP), (0, 0)), constant_values=255), crops[1]], axis=1)


SHEETS = {"degradations": kinds, "strip": strip, "before-after": before_after}


def main(tasks: list[str]) -> None:
    for task in tasks:
        path = DOCS / f"{task}.jpg"
        if task in SHEETS:
            sheet = SHEETS[task]()
        else:
            sheet = as_bytes(np.concatenate([row(task, about) for about in ROWS[task]])[:-GAP, :-GAP])
        write_picture(Picture(sheet), path, quality=92)
        print(path)


if __name__ == "__main__":
    typer.run(main)

"""Make the pictures of README and docs/: sheets of a task, of the degradations, and before and after.

    python scripts/contact_sheet.py derain dejpeg deblur demosaic upscale   # docs/TASK.jpg
    python scripts/contact_sheet.py degradations strip before-after

A sheet of a task has crops 1:1: degraded, restored by the default weights, clean. The samples are noisy, so half their
size stands for a clean picture. Only the first row of derain is an unchanged sample, because it shows real rain. The
captions are in scripts/write_weights_page.py. The car is a training photo (CC0).
"""

from __future__ import annotations

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
ROWS: dict[str, list[tuple[str, int, int, str | None, float | None]]] = {
    # sample, top and left in the reduced picture, degradation, level
    "derain": [
        ("tower-at-night", 700, 860, None, None),
        ("tower-at-night", 150, 376, "rain", None),
        ("lantern-at-night", 170, 504, "rain", None),
    ],
    "dejpeg": [
        ("tower-at-night", 150, 376, "jpeg", 10),
        ("lantern-at-night", 170, 504, "jpeg", 10),
        ("tower-at-night", 330, 376, "jpeg", 25),
    ],
    "deblur": [
        ("tower-at-night", 150, 376, "motion-blur", None),
        ("lantern-at-night", 170, 504, "motion-blur", None),
        ("tower-at-night", 330, 376, "defocus", None),
    ],
    "demosaic": [("tower-at-night", 150, 376, "mosaic", None), ("lantern-at-night", 300, 504, "mosaic", None)],
    "upscale": [
        ("tower-at-night", 150, 376, "bicubic", 2),
        ("lantern-at-night", 168, 504, "bicubic", 3),
        ("tower-at-night", 330, 376, "bicubic", 4),
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


def restored(task: str, pair: Pair, level: float | None = None) -> Image:
    """Restore a pair with the default weights of the task."""
    return restoring(Restorer(checkpoints.load(weights_for(task, level).name)[0]))(pair)


def row(task: str, number: int) -> Image:
    """A row of a sheet: degraded (upscaled by a bicubic kernel if smaller), restored, clean.

    For an undegraded sample: the sample, restored, then denoised as well.
    """
    sample, top, left, degradation, level = ROWS[task][number]
    picture = read_rgb(DOCS / "samples" / f"{sample}.jpg")
    if degradation is None:
        first = restored(task, Pair(sample, picture, picture))
        columns = [picture, first, restored("denoise", Pair(sample, first, first))]
    else:
        half = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        clean = to_8_bits(np.asarray(half, np.float32))
        generator = np.random.default_rng(number)
        reference, degraded = degrading(degradation, level)(generator).apply(clean, generator)
        before = imresize(degraded, level) if task == "upscale" and level else degraded
        columns = [before, restored(task, Pair(sample, reference, degraded), level), reference]
    crops = [x[top : top + HEIGHT, left : left + WIDTH] for x in columns]
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
            rows = [row(task, number) for number in range(len(ROWS[task]))]
            sheet = as_bytes(np.concatenate(rows)[:-GAP, :-GAP])
        write_picture(Picture(sheet), path, quality=92)
        print(path)


if __name__ == "__main__":
    typer.run(main)

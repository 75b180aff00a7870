"""Write docs/TASK.jpg: crops of the sample pictures, degraded, restored by the default weights, and as they were, 1:1.

    python scripts/contact_sheet.py derain dejpeg deblur demosaic upscale

The samples are noisy, so half their size stands for a clean picture; only the first row of derain is a sample as it is,
for it was raining. The captions are in scripts/write_weights_page.py.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import typer

from restore import checkpoints
from restore.catalogue import weights_for
from restore.data import Pair, read_rgb
from restore.dataset_files import degrading
from restore.degradations import Image, imresize, to_8_bits
from restore.evaluation import restoring
from restore.images import Picture, write_picture
from restore.restorer import Restorer

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


def restored(task: str, pair: Pair, level: float | None = None) -> Image:
    """By the default weights of the task."""
    return restoring(Restorer(checkpoints.load(weights_for(task, level).name)[0]))(pair)


def row(task: str, number: int) -> Image:
    """Degraded (enlarged by a bicubic kernel where it is smaller), restored, clean; of a sample as it is, that,
    restored, and then denoised as well.
    """
    sample, top, left, degradation, level = ROWS[task][number]
    picture = read_rgb(DOCS / "samples" / f"{sample}.jpg")
    if degradation is None:
        first = restored(task, Pair(sample, picture, picture))
        columns = [picture, first, restored("denoise", Pair(sample, first, first))]
    else:
        clean = to_8_bits(cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
        generator = np.random.default_rng(number)
        reference, degraded = degrading(degradation, level)(generator).apply(clean, generator)
        before = imresize(degraded, level) if task == "upscale" and level else degraded
        columns = [before, restored(task, Pair(sample, reference, degraded), level), reference]
    crops = [x[top : top + HEIGHT, left : left + WIDTH] for x in columns]
    return np.concatenate([np.pad(x, ((0, GAP), (0, GAP), (0, 0)), constant_values=1) for x in crops], axis=1)


def main(tasks: list[str]) -> None:
    for task in tasks:
        rows = [row(task, number) for number in range(len(ROWS[task]))]
        sheet = np.round(np.clip(np.concatenate(rows)[:-GAP, :-GAP], 0, 1) * 255).astype(np.uint8)
        write_picture(Picture(sheet), DOCS / f"{task}.jpg", quality=92)
        print(DOCS / f"{task}.jpg")


if __name__ == "__main__":
    typer.run(main)

"""Write docs/TASK.jpg: crops of the sample pictures, degraded, restored by the default weights, and as they were, 1:1.

    python scripts/contact_sheet.py deblur demosaic upscale

The samples are noisy, so half their size stands for a clean picture. The captions are in
scripts/write_weights_page.py.
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
ROWS: dict[str, list[tuple[str, int, int, str, float | None]]] = {
    # sample, top and left in the reduced picture, degradation, level
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


def row(task: str, pair: Pair, top: int, left: int, level: float | None) -> Image:
    """Degraded (enlarged by a bicubic kernel where it is smaller), restored, clean."""
    restored = restoring(Restorer(checkpoints.load(weights_for(task, level).name)[0]))(pair)
    before = imresize(pair.degraded, level) if task == "upscale" and level else pair.degraded
    crops = [x[top : top + HEIGHT, left : left + WIDTH] for x in (before, restored, pair.clean)]
    return np.concatenate([np.pad(x, ((0, GAP), (0, GAP), (0, 0)), constant_values=1) for x in crops], axis=1)


def main(tasks: list[str]) -> None:
    for task in tasks:
        rows = []
        for number, (sample, top, left, degradation, level) in enumerate(ROWS[task]):
            picture = read_rgb(DOCS / "samples" / f"{sample}.jpg")
            clean = to_8_bits(cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
            generator = np.random.default_rng(number)
            reference, degraded = degrading(degradation, level)(generator).apply(clean, generator)
            rows.append(row(task, Pair(sample, reference, degraded), top, left, level))
        sheet = np.round(np.clip(np.concatenate(rows)[:-GAP, :-GAP], 0, 1) * 255).astype(np.uint8)
        write_picture(Picture(sheet), DOCS / f"{task}.jpg", quality=92)
        print(DOCS / f"{task}.jpg")


if __name__ == "__main__":
    typer.run(main)

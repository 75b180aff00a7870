"""What `inspect` finds in pictures with known faults; docs/photographs.md has the shares of 400 pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from restore.images import Picture, read_picture
from restore.inspection.examples import makers
from restore.inspection.inspect import inspect

BENCH = Path(__file__).parents[3] / "shared/data/bench/Kodak24"
SAMPLES = Path(__file__).parents[2] / "docs/samples"
KINDS = {
    "clean": "none", "good-jpeg": "none", "gaussian": "denoise", "camera-noise": "denoise", "phone-noise": "denoise",
    "jpeg": "dejpeg", "jpeg-twice": "dejpeg", "rain": "derain", "motion-blur": "deblur",
}  # fmt: skip


def photos() -> Iterator[np.ndarray]:
    """Parts of held-out photographs, `(H, W, 3)`, 0 to 1."""
    for path in sorted(BENCH.iterdir())[::8]:
        yield read_picture(path).pixels[:320, :320].astype(np.float32) / np.float32(255)


@pytest.mark.skipif(not BENCH.is_dir(), reason="needs ../shared/data/bench")
def test_most_faults_are_told_and_clean_pictures_are_left_alone() -> None:
    generator, right, clean = np.random.default_rng(11), 0, 0
    kinds = makers()
    cases = [(kind, photo) for kind in KINDS for photo in photos()]
    for kind, photo in cases:
        example = kinds[kind][0](photo, generator)
        found = inspect(Picture(np.ascontiguousarray(example.pixels)))
        tasks = "+".join(sorted(found.tasks)) or ("upscale" if found.enlarged > 1 else "none")
        right += tasks == KINDS[kind] or example.task == "?"
        clean += KINDS[kind] == tasks == "none"
    assert clean == 6
    assert right >= 0.9 * len(cases)


@pytest.mark.parametrize("name", ["tower-at-night.jpg", "lantern-at-night.jpg"])
def test_good_photographs_are_left_alone(name: str) -> None:
    assert inspect(read_picture(SAMPLES / name)).tasks == ()

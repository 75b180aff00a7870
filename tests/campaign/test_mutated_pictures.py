"""Picture files with structural mutations: each is read and copied, or refused with one clear error."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np
import pytest
from limited_children import run_all
from mutators import mutated
from odd_files import MAKERS, Odd, palette, samples
from PIL import Image

pytestmark = pytest.mark.skipif(os.name != "posix", reason="limits of POSIX")

SEED = int(os.environ.get("CAMPAIGN_SEED", "1"))
FILES = int(os.environ.get("CAMPAIGN_FILES", "20000"))
EVERYTHING = (
    Odd(),
    Odd("grey"),
    Odd("RGBA"),
    Odd("RGB", "16"),
    Odd("grey + alpha", "16"),
    Odd("palette"),
    Odd("CMYK"),
    Odd("RGB", "float"),
    Odd("RGB", "8", frozenset({"icc", "exif", "xmp", "dpi"})),
    Odd("RGB", "8", frozenset({"pages"})),
    Odd("RGB", "8", frozenset({"progressive"})),
    Odd("RGB", "8", frozenset({"interlaced"})),
    Odd("RGB", "8", frozenset({"lossy"})),
    Odd("RGB", "8", frozenset({"stream"})),
    Odd("RGB", "16", frozenset({"tiled", "lzw"})),
    Odd("RGB", "8", frozenset({"planar", "deflate"})),
    Odd("RGB", "8", frozenset({"packbits", "big-endian"})),
    Odd("RGB", "12", frozenset()),
)


def sources() -> list[tuple[str, bytes]]:
    """Extension and bytes of a whole file of every format and kind."""
    made = [(extension, make(odd)) for make, extension in MAKERS.values() for odd in EVERYTHING]
    return [(extension, data) for extension, data in made if data] + [(".gif", gif(1)), (".gif", gif(4))]


def gif(frames: int) -> bytes:
    """A GIF with transparency, and from two frames on an animation that disposes of each in turn."""
    images = [Image.fromarray(np.roll(samples("palette")[..., 0] // 32, 5 * k, 1), "P") for k in range(frames)]
    for image in images:
        image.putpalette(palette()[::32].tobytes())
    file = io.BytesIO()
    images[0].save(file, "GIF", save_all=True, append_images=images[1:], duration=70, disposal=2, transparency=3)
    return file.getvalue()


def mutants(count: int, folder: Path) -> Iterator[tuple[str, str]]:
    """Name and path of each file, one on disk at a time."""
    random, files = Random(SEED), sources()
    for number in range(count):
        extension, data = files[number % len(files)]
        for _ in range(random.choice((1, 1, 1, 2, 4))):
            data = mutated(data, random) or data
        path = folder / f"m{extension}"
        path.write_bytes(data)
        yield f"seed {SEED}, number {number} ({extension}, {len(data)} bytes)", str(path)


def test_a_few_mutated_pictures_are_read_or_refused(tmp_path: Path) -> None:
    figures = run_all("cases:copied", mutants(300, tmp_path), f"mutated pictures, seed {SEED}")
    assert figures.counts["restored"] > 50 and figures.counts["refused"] > 50


@pytest.mark.slow
def test_mutated_pictures_are_read_or_refused(tmp_path: Path) -> None:
    run_all("cases:copied", mutants(FILES, tmp_path), f"mutated pictures, seed {SEED}")

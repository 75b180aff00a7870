"""Hundreds of odd, cut and mutated files: each is read and copied without loss, or refused in clear words."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from odd_files import DEPTHS, MAKERS, Odd

from restore.errors import PictureError
from restore.images import Picture, read_picture, write_picture

COLOURS = ("grey", "RGB", "grey + alpha", "RGBA", "palette", "palette + alpha", "1 bit", "CMYK")
EXTRAS = ("icc", "exif", "xmp", "dpi", "text", "comment", "gamma", "turned", "pages", "lossy")
VARIANTS = {
    "PNG": (),
    "JPEG": ("progressive",),
    "TIFF": ("big", "tiled", "planar", "big-endian", "deflate", "lzw", "packbits"),
    "JPEG 2000": ("stream",),
}


def made() -> Iterator[tuple[str, str, bytes]]:
    """Format, what the file holds in words, and its bytes."""
    for name, (make, _) in MAKERS.items():
        variants = VARIANTS.get(name, ())
        for colours, depth, extra in product(COLOURS, DEPTHS, ("", *EXTRAS, *variants)):
            if data := make(Odd(colours, depth, frozenset({extra} - {""}))):
                yield name, f"{name}, {colours}, {depth} bits, {extra}", data
        everything = Odd("RGB", "8", frozenset({"icc", "exif", "xmp", "dpi", "text", "gamma"}))
        while everything.extras:
            if data := make(everything):
                yield name, f"{name} with {sorted(everything.extras)}", data
                break
            everything = Odd("RGB", "8", frozenset(sorted(everything.extras)[:-1]))


@cache
def corpus() -> dict[str, tuple[str, bytes]]:
    """What a file holds, in words -> its format and its bytes."""
    return {words: (name, data) for name, words, data in made()}


def test_the_corpus_is_large() -> None:
    assert len(corpus()) >= 300
    assert len({data for _, data in corpus().values()}) >= 300


def copied(name: str, picture: Picture) -> Picture:
    file = io.BytesIO()
    write_picture(picture, file, format="TIFF" if name == "RAW" else picture.source_format)
    file.seek(0)
    return read_picture(file)


@pytest.mark.parametrize("name", MAKERS)
def test_every_odd_file_is_read_and_copied(name: str) -> None:
    for words, (kind, data) in corpus().items():
        if kind == name:
            picture = read_picture(io.BytesIO(data))
            copy = copied(name, picture)
            assert copy.pixels.shape == picture.pixels.shape, words
            assert (copy.alpha is None) == (picture.alpha is None), words
            if picture.source_is_lossless and name not in ("AVIF", "HEIC"):
                np.testing.assert_array_equal(copy.pixels, picture.pixels, err_msg=words)
                assert picture.alpha is None or np.array_equal(copy.alpha, picture.alpha), words  # type: ignore[arg-type]


def outcome(data: bytes, suffix: str, folder: Path) -> Picture | None:
    """The picture, or None if it was refused as it should be; anything else is raised."""
    path = folder / f"a{suffix}"
    path.write_bytes(data)
    try:
        picture = read_picture(path, max_pixels=100_000)
    except PictureError as error:
        assert error.hint
        assert str(path) in error.message
        return None
    assert picture.pixels.dtype in (np.uint8, np.uint16, np.float32)
    assert picture.pixels.ndim == 3
    assert picture.pixels.shape[2] in (1, 3)
    assert 0 < picture.pixels[..., 0].size <= 100_000
    assert np.isfinite(picture.pixels).all()
    assert picture.alpha is None or picture.alpha.shape == picture.pixels.shape[:2]
    return picture


@pytest.mark.parametrize("name", MAKERS)
def test_files_cut_anywhere_are_refused_or_have_lost_no_pixel(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    files = [(words, data) for words, (kind, data) in corpus().items() if kind == name]
    for words, data in files[:: max(1, len(files) // 12)]:
        for length in (*rng.integers(1, len(data), 3), len(data) - 1):
            picture = outcome(data[:length], MAKERS[name][1], tmp_path)
            if picture is not None:  # what followed was metadata
                np.testing.assert_array_equal(picture.pixels, read_picture(io.BytesIO(data)).pixels, err_msg=words)


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """A few bytes changed, or a piece left out, doubled or filled with zeros; mostly near the start."""
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 6))):
        end = len(changed) if rng.random() < 0.4 else min(400, len(changed))
        place, length = int(rng.integers(2, max(3, end))), int(rng.integers(1, 40))
        match rng.integers(8):
            case 0:
                del changed[place : place + length]
            case 1:
                changed[place:place] = changed[place : place + length]
            case 2:
                changed[place : place + length] = bytes(length)
            case 3:
                changed[place : place + 4] = b"\xff\xff\xff\x7f"
            case _:
                if place < len(changed):
                    changed[place] = int(rng.integers(256))
    return bytes(changed)


def check_mutations(count: int, seed: int, folder: Path) -> None:
    rng = np.random.default_rng(seed)
    files = list(corpus().items())
    read = 0
    for _ in range(count):
        words, (name, data) = files[int(rng.integers(len(files)))]
        picture = outcome(mutated(data, rng), MAKERS[name][1], folder)
        if picture is None:
            continue
        read += 1
        if name == "PNG" and picture.source_format == "PNG":  # every byte that matters is under a checksum
            np.testing.assert_array_equal(picture.pixels, read_picture(io.BytesIO(data)).pixels, err_msg=words)
        copied(name, picture)
    assert 0 < read < count


def test_mutated_files_are_read_or_refused(tmp_path: Path) -> None:
    check_mutations(120, 0, tmp_path)


@pytest.mark.slow
def test_two_thousand_mutated_files_are_read_or_refused(tmp_path: Path) -> None:
    check_mutations(2000, 1, tmp_path)

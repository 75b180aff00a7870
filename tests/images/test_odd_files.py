"""Hundreds of odd, cut and mutated files: each is read and copied without loss, or refused with a clear error."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from odd_files import DEPTHS, MAKERS, Odd, png, samples, tiff
from PIL import Image

from restore.errors import PictureError
from restore.images import Picture, read_picture, write_picture

COLOURS = ("grey", "RGB", "grey + alpha", "RGBA", "palette", "palette + alpha", "1 bit", "CMYK")
EXTRAS = ("icc", "exif", "xmp", "dpi", "text", "comment", "gamma", "turned", "pages", "lossy")
VARIANTS = {
    "PNG": ("interlaced",),
    "JPEG": ("progressive",),
    "TIFF": ("big", "tiled", "planar", "big-endian", "deflate", "lzw", "packbits"),
    "JPEG 2000": ("stream",),
}


def made() -> Iterator[tuple[str, str, bytes]]:
    """Format, description and bytes of each file."""
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
    """Description of a file -> its format and its bytes."""
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


@pytest.mark.parametrize("depth", ["8", "16"])
@pytest.mark.parametrize("colours", ["grey", "RGB", "grey + alpha", "RGBA"])
def test_interlaced_png_is_read_exactly_and_without_a_warning(
    colours: str, depth: str, caplog: pytest.LogCaptureFixture
) -> None:
    data = png(Odd(colours, depth, frozenset({"interlaced"})))
    assert data is not None
    found, values = read_picture(io.BytesIO(data)), samples(colours, depth)
    whole = found.pixels if found.alpha is None else np.concatenate([found.pixels, found.alpha[..., None]], axis=2)
    np.testing.assert_array_equal(whole, values)
    assert not caplog.records


def inks() -> np.ndarray:
    """(16, 80, 4): paper, cyan, magenta, yellow and black."""
    values = np.zeros((16, 80, 4), np.uint8)
    for k in range(4):
        values[:, 16 * (k + 1) : 16 * (k + 2), k] = 255
    return values


def test_inverted_inks_of_adobes_jpegs_have_their_colours() -> None:
    plain = io.BytesIO()
    Image.fromarray(inks(), "CMYK").save(plain, "JPEG", quality=95)
    stored = imagecodecs.jpeg8_decode(plain.getvalue(), colorspace="CMYK", outcolorspace="CMYK")
    assert np.abs(stored[8, 8::16].astype(int) - (255 - inks()[8, 8::16])).max() <= 2
    as_ycck = imagecodecs.jpeg8_encode(255 - inks(), colorspace="CMYK", outcolorspace="YCCK", level=95)
    for data in (plain.getvalue(), bytes(as_ycck)):
        assert b"Adobe" in data  # whose 255 is no ink
        shown = read_picture(io.BytesIO(data)).pixels[8, 8::16].astype(int)
        white_cyan_magenta_yellow_black = [[255] * 3, [0, 255, 255], [255, 0, 255], [255, 255, 0], [0] * 3]
        assert np.abs(shown - white_cyan_magenta_yellow_black).max() <= 2


@pytest.mark.parametrize(("bits", "is_lossless"), [(12, False), (12, True), (16, True)])
def test_jpeg_of_more_than_8_bits_is_refused_in_clear_words(bits: int, is_lossless: bool) -> None:
    data = imagecodecs.jpeg8_encode(samples("RGB", str(bits)), bitspersample=bits, lossless=is_lossless)
    with pytest.raises(PictureError, match=f"JPEG of {bits} bits is not read") as caught:
        read_picture(io.BytesIO(data))
    assert caught.value.hint


def test_tiff_whose_decoder_is_not_known_to_be_safe_is_refused() -> None:
    file = io.BytesIO()
    tifffile.imwrite(file, samples("RGB"), compression="jpegxr", photometric="rgb")
    with pytest.raises(PictureError, match=r"compression \(JPEGXR, 34934\) is not read") as caught:
        read_picture(io.BytesIO(file.getvalue()))
    assert caught.value.hint == "save it with deflate or LZW"


def outcome(data: bytes, suffix: str, folder: Path) -> Picture | None:
    """The picture, or None if the file was refused with a clear error; other errors pass."""
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
def test_files_cut_anywhere_are_refused_or_say_so_or_have_lost_no_pixel(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    files = [(words, data) for words, (kind, data) in corpus().items() if kind == name]
    for words, data in files[:: max(1, len(files) // 12)]:
        for length in (*rng.integers(1, len(data), 3), len(data) - 1):
            picture = outcome(data[:length], MAKERS[name][1], tmp_path)
            if picture is not None and not picture.damage:  # only metadata was cut off
                np.testing.assert_array_equal(picture.pixels, read_picture(io.BytesIO(data)).pixels, err_msg=words)


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Changes a few bytes, or removes, doubles or zeros a piece; mostly near the start."""
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


def test_no_changed_bit_of_deflated_strips_changes_the_picture_in_silence() -> None:
    """Deflate has a checksum, as PNG has.

    BMP, WebP, JPEG 2000, other compressions of TIFF and the tags of every TIFF have none. A changed byte can give
    another valid picture there.
    """
    data = tiff(Odd("RGB", "8", frozenset({"deflate"})))
    assert data is not None
    with tifffile.TiffFile(io.BytesIO(data)) as opened:
        (start,), (length,) = opened.pages[0].dataoffsets, opened.pages[0].databytecounts
    whole, refused = read_picture(io.BytesIO(data)).pixels, 0
    for place in range(start, start + length, 7):
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        try:
            np.testing.assert_array_equal(read_picture(io.BytesIO(bytes(changed))).pixels, whole)
        except PictureError:
            refused += 1
    assert refused > length // 8


@pytest.mark.slow
def test_two_thousand_mutated_files_are_read_or_refused(tmp_path: Path) -> None:
    check_mutations(2000, 1, tmp_path)

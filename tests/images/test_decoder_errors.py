"""Texts of decoders never reach the user; what is wrong with a file is said in our words."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from restore.errors import PictureError
from restore.images import read_picture
from restore.images.decoder_errors import words_for

# Pieces of the texts of Python, Pillow, NumPy, tifffile and imagecodecs.
FOREIGN = (
    "truncated (",
    "not supported",
    "object",
    "buffer",
    "<_io",
    "0x",
    "None",
    "Error",
    "b'",
    "returned",
    "imread",
)


def raised(error: Exception) -> Exception:
    """The error as a library raises it: from a frame that is not ours."""
    try:
        exec("raise error", {"error": error, "__name__": "library"})
    except Exception as found:
        return found
    raise AssertionError


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError("image file is truncated (3 bytes not processed)"), "it ends early"),
        (struct.error("unpack requires a buffer of 4 bytes"), "it ends early"),
        (SyntaxError("broken PNG file (bad header checksum in b'IHDR')"), "a checksum is wrong"),
        (zlib.error("Error -3 while decompressing data: invalid code lengths set"), "its compressed data is damaged"),
        (OSError("cannot identify image file <_io.BufferedReader>"), "its header is damaged"),
        (RecursionError("maximum recursion depth exceeded"), "its parts nest too deep"),
        (TypeError("'<' not supported between instances of 'NoneType' and 'int'"), "it holds an unknown kind of data"),
        (IndexError("list index out of range"), "a field holds an impossible value"),
        (RuntimeError("\x1b[31m"), "its data is damaged"),
        (OSError(5, "Input/output error"), "Input/output error"),
    ],
)
def test_an_error_of_a_library_is_told_in_our_words(error: Exception, words: str) -> None:
    assert words_for(raised(error)) == words


def test_words_of_our_own_readers_stay() -> None:
    scope = {"__name__": "restore.images.png"}
    with pytest.raises(OSError) as found:
        exec("raise OSError('a frame has no pixels')", scope)
    assert words_for(found.value) == "a frame has no pixels"


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.bmp", "a.tif", "a.jp2", "a.avif", "a.gif"])
def test_no_damaged_file_passes_a_decoders_text_on(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    pixels = np.random.default_rng(1).integers(0, 255, (40, 50, 3)).astype(np.uint8)
    if name.endswith("tif"):
        tifffile.imwrite(path, pixels, photometric="rgb", compression="zlib")
    else:
        Image.fromarray(pixels).save(path)
    whole = path.read_bytes()
    for cut in range(20, len(whole), max(1, len(whole) // 12)):
        for data in (whole[:cut], whole[:cut] + b"\x1b[31m\xff\x00\xff" + whole[cut + 8 :]):
            path.write_bytes(data)
            try:
                read_picture(path)
            except PictureError as error:
                _, is_damaged, words = error.message.partition("the file is damaged or incomplete (")
                assert not is_damaged or "\x1b" not in words
                assert not any(foreign in words for foreign in FOREIGN), words

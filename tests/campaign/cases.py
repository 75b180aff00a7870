"""What a campaign does with one file: functions for `limited_children`, which take a path."""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from restore.errors import RestoreError
from restore.images import FORMATS, Picture, holds_pages, read_pages, read_picture, write_pages, write_picture


def copied(path: str) -> str:
    """Reads a picture, writes it in its own format, reads that again, and compares.

    Raises:
        Exception: Anything but a clear refusal: each is a fault of `restore`.
    """
    try:
        picture = read_picture(Path(path))
    except RestoreError as error:
        return _refusal(error, path)
    height, width = picture.pixels.shape[:2]
    assert picture.alpha is None or picture.alpha.shape == (height, width)
    assert all(note.isprintable() for note in picture.notes), picture.notes
    pixels = picture.pixels.copy()
    name = picture.source_format if picture.source_format in FORMATS.values() else "TIFF"
    file = io.BytesIO()
    try:
        write_picture(picture, file, format=name)
    except RestoreError as error:  # such as a JPEG 2000 of one pixel a side that its encoder cannot write
        return _refusal(error, path)
    file.seek(0)
    again = read_picture(file)
    assert again.pixels.shape[:2] == (height, width), f"{again.pixels.shape} from {pixels.shape}"
    assert again.damage is None, again.damage
    if name in ("PNG", "TIFF", "BMP"):
        np.testing.assert_array_equal(again.pixels, pixels)
    return _pages_copied(path, name) if 1 < picture.pages <= 20 else "restored"


def _pages_copied(path: str, name: str) -> str:
    """All pages of a file that its format can hold, written and read again."""
    file = io.BytesIO()
    sizes: list[tuple[int, ...]] = []

    def noted() -> Iterator[Picture]:
        for page in read_pages(Path(path)):
            sizes.append(page.pixels.shape[:2])
            yield page

    try:
        if holds_pages(name, next(read_pages(Path(path)))):
            write_pages(noted(), file, format=name)
    except RestoreError as error:
        return _refusal(error, path)
    if sizes:
        file.seek(0)
        assert [page.pixels.shape[:2] for page in read_pages(file)] == sizes
    return "restored"


def _refusal(error: RestoreError, path: str) -> str:
    """The refusal, which must be one clear line that names what to do."""
    assert error.hint, f"no hint: {error.message}"
    text = error.message.replace(path, "").replace("to the stream", "")
    assert text.isprintable(), f"not printable: {text!r}"
    assert len(text) < 600, f"too long: {text[:600]}"
    return f"refused: {error.message}"


def configured(path: str) -> str:
    """Loads a checkpoint as `--weights` does."""
    import torch

    torch.set_num_threads(1)
    from restore import checkpoints

    try:
        checkpoints.load(path)
    except RestoreError as error:
        return _refusal(error, path)
    return "restored"


def recipe(path: str) -> str:
    """Reads a training recipe."""
    from restore.training.recipe import load_recipe

    try:
        load_recipe(path)
    except RestoreError as error:
        says_how = " must " in error.message
        return f"refused: {error.message}" if says_how else _refusal(error, path)
    return "restored"


def cut(path: str) -> str:
    """Reads a picture that loses half of its bytes meanwhile, at a moment that its name gives in microseconds."""
    microseconds = int(Path(path).stem.rpartition("-")[2])

    def shorten() -> None:
        time.sleep(microseconds / 1e6)
        os.truncate(path, os.path.getsize(path) // 2)

    thread = threading.Thread(target=shorten, daemon=True)
    thread.start()
    answer = copied(path)
    thread.join()
    return answer

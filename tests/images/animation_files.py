"""Animations that are made by Pillow or byte by byte, and how Pillow shows them."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from odd_files import chunk
from PIL import Image

from restore.images import Picture

DELAYS = [40, 100, 30, 2000]
HEIGHT, WIDTH = 12, 18


def frames(*, alpha: bool = True, count: int = 4) -> list[np.ndarray]:
    """(H, W, 3 or 4) uint8 of few colours; alpha is 0 or 255."""
    rng = np.random.default_rng(3)
    values = rng.choice(np.array([0, 85, 170, 255], np.uint8), (count, HEIGHT, WIDTH, 4))
    values[..., 3] = np.where(rng.random((count, HEIGHT, WIDTH)) < 0.3, 0, 255)
    return list(values if alpha else values[..., :3])


def animation(name: str, pictures: Sequence[np.ndarray], **options: Any) -> bytes:
    """A file of Pillow: "PNG", "WEBP" or "GIF"."""
    if name == "WEBP":
        options = {"lossless": True, "exact": True} | options
    images = [Image.fromarray(picture) for picture in pictures]
    file = io.BytesIO()
    delays = DELAYS[: len(images)]
    images[0].save(file, name, save_all=True, append_images=images[1:], duration=delays, **options)
    return file.getvalue()


def shown(source: Path | bytes) -> list[np.ndarray]:
    """The frames as Pillow shows them, RGBA."""
    with Image.open(source if isinstance(source, Path) else io.BytesIO(source)) as image:
        found = []
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            found.append(np.asarray(image.convert("RGBA")).copy())
    return found


def rgba(picture: Picture) -> np.ndarray:
    """(H, W, 4) of the picture's type."""
    height, width = picture.pixels.shape[:2]
    white = np.iinfo(picture.pixels.dtype).max
    alpha = np.full((height, width), white, picture.pixels.dtype) if picture.alpha is None else picture.alpha
    return np.dstack([np.broadcast_to(picture.pixels, (height, width, 3)), alpha])


def assert_looks_the_same(found: np.ndarray, expected: np.ndarray) -> None:
    """Equal where something is visible."""
    np.testing.assert_array_equal(found[..., 3], expected[..., 3])
    visible = expected[..., 3] > 0
    np.testing.assert_array_equal(found[visible], expected[visible])


def png_frame(pixels: np.ndarray) -> bytes:
    """The compressed pixels (H, W, C) of a frame."""
    rows = pixels.astype(f">u{pixels.itemsize}")
    return zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))


def apng(
    parts: Sequence[tuple[np.ndarray, int, int, int, int]],
    *,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    still: np.ndarray | None = None,
    stated: int | None = None,
    plays: int = 0,
    delay: tuple[int, int] = (1, 25),
    before: bytes = b"",
) -> bytes:
    """An animated PNG by hand.

    Args:
        parts: Pixels (h, w, C), left, top, disposal (0 keep, 1 clear, 2 undo) and blending (1 is "over") of each frame.
        size: Width and height.
        still: A picture for other viewers that is no frame; None: the first frame is it.
        stated: The number of frames that acTL states.
        plays, delay: For acTL and fcTL.
        before: Chunks before the pixels.
    """
    first = parts[0][0] if still is None else still
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[first.shape[2]]
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8 * first.itemsize, colour, 0, 0, 0))
    data += before + chunk(b"acTL", struct.pack(">II", len(parts) if stated is None else stated, plays))
    if still is not None:
        data += chunk(b"IDAT", png_frame(still))
    number, chunks = 0, []
    for pixels, left, top, after, blend in parts:
        head = struct.pack(">IIIIIHHBB", number, *pixels.shape[1::-1], left, top, *delay, after, blend)
        chunks.append(chunk(b"fcTL", head))
        is_still = number == 0 and still is None
        number += 1
        packed = png_frame(pixels)
        chunks.append(chunk(b"IDAT", packed) if is_still else chunk(b"fdAT", struct.pack(">I", number) + packed))
        number += not is_still
    return data + b"".join(chunks) + chunk(b"IEND", b"")

"""WebP: read and written with Pillow."""

from __future__ import annotations

import struct
from typing import IO, Any

from PIL import WebPImagePlugin

from restore.images import pillow
from restore.images.picture import DEFAULT_QUALITY, Picture, check_size


def read(file: IO[bytes], picture: Picture, max_pixels: int) -> int:
    """Fills `picture`; returns the orientation still to apply."""
    image: Any = WebPImagePlugin.WebPImageFile(file)
    check_size(image.size, max_pixels, file)
    if image.n_frames > 1:
        picture.note(f"only the first of {image.n_frames} pictures in the file is used")
    picture.source_is_lossless = _is_lossless(file)
    pillow.load(image, picture)
    return pillow.take_metadata(image, picture)


def _is_lossless(file: IO[bytes]) -> bool:
    position = 12
    while True:  # the first VP8L or VP8 chunk is the compression of the first picture; ANMF wraps a frame
        file.seek(position)
        name, size = struct.unpack("<4sI", file.read(8).ljust(8, b"\0"))
        if name in (b"VP8L", b"VP8 ", b"\0\0\0\0"):
            return bool(name == b"VP8L")
        position += 24 if name == b"ANMF" else 8 + size + size % 2


def write(file: IO[bytes], picture: Picture, quality: int | None) -> None:
    """Writes a WebP; lossless if the source was and `quality` is None."""
    options: dict[str, Any] = {"quality": quality or max(DEFAULT_QUALITY, picture.jpeg_quality or 0)}
    if quality is None and picture.source_is_lossless:
        options = {"lossless": True, "exact": True}  # exact: keep colours under full transparency
    pillow.save(file, picture, "WEBP", **options)

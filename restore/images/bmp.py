"""BMP: read with Pillow, written with Pillow or, with transparency, by hand."""

from __future__ import annotations

import struct
from typing import IO, Any

from PIL import BmpImagePlugin

from restore.images import pillow
from restore.images.picture import Picture, bands, check_size, interleaved, to_8_bits


def read(file: IO[bytes], picture: Picture, max_pixels: int) -> int:
    """Fills `picture`; returns the orientation still to apply."""
    image: Any = BmpImagePlugin.BmpImageFile(file)
    check_size(image.size, max_pixels, file)
    pillow.load(image, picture)
    return pillow.take_metadata(image, picture)


def write(file: IO[bytes], picture: Picture) -> None:
    """Writes a BMP; with transparency, one of header version 4."""
    if picture.alpha is None:
        pillow.save(file, picture, "BMP", icc_profile=None)
    else:
        _write_with_alpha(file, picture)


def _write_with_alpha(file: IO[bytes], picture: Picture) -> None:
    """Writes a BMP with header version 4, the first with transparency. Pillow cannot write it."""
    height, width, channels = picture.pixels.shape
    across, down = (round(d / 0.0254) for d in picture.dpi or (0, 0))
    size = 4 * width * height
    head = struct.pack("<IiiHHIIiiII", 108, width, height, 1, 32, 3, size, across, down, 0, 0)  # 3: channels by masks
    head += struct.pack("<IIII4s", 0xFF0000, 0xFF00, 0xFF, 0xFF000000, b"BGRs").ljust(68, b"\0")
    file.write(b"BM" + struct.pack("<IHHI", 14 + len(head) + size, 0, 0, 14 + len(head)) + head)
    order = [2, 1, 0, 3] if channels == 3 else [0, 0, 0, 1]
    for rows in reversed(list(bands(height, 4 * width))):
        file.write(to_8_bits(interleaved(picture, rows))[::-1, :, order].tobytes())

"""Writing TIFF: deflated strips, and BigTIFF where the file would end beyond 4 GB."""

from __future__ import annotations

from itertools import accumulate
from typing import IO, Any

import numpy as np
from PIL import Image, TiffImagePlugin

from restore.images import metadata
from restore.images.picture import Picture, bands, interleaved
from restore.images.png import compressor

_LARGEST = 4_100_000_000  # bytes of pixels; below this, a file with its metadata ends before 4 GB


def write(file: IO[bytes], picture: Picture) -> None:
    """Writes TIFF 6.0, or BigTIFF above 4 GB: little-endian, directory first, deflated strips.

    Integers are stored as horizontal differences, floats as differences of their bytes (Adobe's TIFF Technical
    Note 3).
    """
    height, width, channels = picture.pixels.shape
    samples, size = channels + (picture.alpha is not None), picture.pixels.itemsize
    is_float = picture.pixels.dtype.kind == "f"
    strips = list(bands(height, width * samples * size))
    is_big = height * width * samples * size > _LARGEST
    start = 16 if is_big else 8
    profile = metadata.profile_for(picture)

    def directory(offsets: tuple[int, ...], counts: tuple[int, ...], with_exif: bool) -> Any:
        tags: Any = TiffImagePlugin.ImageFileDirectory_v2(b"II+\0\x08" + bytes(11) if is_big else b"II*\0" + bytes(4))
        if with_exif and picture.exif:
            exif = Image.Exif()
            exif.load(picture.exif)
            for tag, value in metadata.descriptive(exif).items():
                tags[tag] = value
        tags[256], tags[257], tags[258], tags[259] = width, height, (8 * size,) * samples, 8  # 8 is deflate
        tags[262], tags[274], tags[277], tags[278] = 2 if channels == 3 else 1, 1, samples, strips[0].stop
        tags[284], tags[317] = 1, 3 if is_float else 2  # interleaved samples, differences
        if picture.alpha is not None:
            tags[338] = 2  # not premultiplied
        if is_float:
            tags[339] = (3,) * samples
        if picture.dpi:
            tags[282], tags[283], tags[296] = *picture.dpi, 2
        if picture.xmp:
            tags[700] = picture.xmp
        if profile:
            tags[34675] = profile
        for tag, values in ((273, offsets), (279, counts)):
            tags[tag] = values
            tags.tagtype[tag] = 16 if is_big else 4  # always LONG8 or LONG, so that the directory keeps its length
        return tags

    zeros, with_exif = (0,) * len(strips), True
    try:
        length = len(directory(zeros, zeros, with_exif).tobytes(start))
    except Exception:  # on odd EXIF Pillow raises errors of any type
        picture.note("TIFF could not take this EXIF; it is dropped")
        with_exif = False
        length = len(directory(zeros, zeros, with_exif).tobytes(start))
    file.seek(start + length)
    counts = []
    for rows in strips:
        deflate = compressor()
        strip = _differences(interleaved(picture, rows))
        counts.append(file.write(deflate.compress(strip)) + file.write(deflate.flush()))
    file.seek(0)
    # Offsets count from the end of the directory; Pillow adds its position.
    directory(tuple(accumulate(counts[:-1], initial=0)), tuple(counts), with_exif).save(file)


def _differences(values: np.ndarray) -> bytes:
    """The bytes of a strip (H, W, S) to compress: its differences."""
    if values.dtype.kind == "f":
        import imagecodecs

        return bytes(imagecodecs.floatpred_encode(np.ascontiguousarray(values.astype("<f4", copy=False)), axis=-2))
    values = values.astype(f"<u{values.itemsize}")
    values[:, 1:] -= values[:, :-1].copy()
    return values.tobytes()

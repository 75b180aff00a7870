"""Camera RAW, developed with libraw (rawpy)."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import IO, BinaryIO, cast

from PIL import Image

from restore.images import metadata, tiff
from restore.images.picture import Picture, Refusal, check_size
from restore.images.tiff_directories import Directories

_SIGNATURES = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb", b"\0MRM")
_SENSOR_COLOURS = (32803, 34892)  # TIFF's PhotometricInterpretation: the mosaic, or linear raw
_PHOTOMETRIC, _SUB_DIRECTORIES, _DNG_VERSION = 262, 330, 50706  # tags


def is_raw(head: bytes) -> bool:
    """Whether a file starts like a camera format that is not a TIFF."""
    return head.startswith(_SIGNATURES) or head[6:14] == b"HEAPCCDR" or head[8:10] == b"CR"


def is_raw_tiff(file: IO[bytes]) -> bool:
    """Whether a TIFF is camera RAW: a DNG, or with sensor data in a sub-directory."""
    with suppress(Exception):  # reading reports the damage
        directories = Directories(file)
        tags, _, _ = directories.at(directories.first)
        if _DNG_VERSION in tags:
            return True
        found = list(directories.numbers(tags.get(_PHOTOMETRIC)))
        for offset in directories.numbers(tags.get(_SUB_DIRECTORIES), 8):
            with suppress(OSError):
                found += directories.numbers(directories.at(offset)[0].get(_PHOTOMETRIC))
        return not set(_SENSOR_COLOURS).isdisjoint(found)
    return False


def read(file: IO[bytes], picture: Picture, max_pixels: int) -> int:
    """Fills `picture`, upright (returns 0): 16-bit sRGB with the camera's white balance, without brightening.

    Raises:
        Refusal: rawpy is not installed, or libraw does not support the file.
        Exception: The file is damaged.
    """
    try:
        import rawpy
    except ImportError:
        raise Refusal("no decoder for camera RAW is installed", "pip install 'restore-photos[raw]'") from None
    try:
        opened = rawpy.imread(cast(BinaryIO, file))
    except rawpy.LibRawFileUnsupportedError:
        raise Refusal("libraw does not know this kind of camera RAW", "convert it to DNG or TIFF first") from None
    with opened as raw:
        check_size((raw.sizes.iwidth, raw.sizes.iheight), max_pixels, file)
        picture.pixels = raw.postprocess(
            use_camera_wb=True,
            no_auto_bright=True,
            output_bps=16,
            output_color=rawpy.ColorSpace.sRGB,
            gamma=(2.4, 12.92),
        )
        picture.icc_profile = metadata.srgb_profile()
        picture.note("camera RAW is developed with the camera's white balance into 16-bit sRGB")
        file.seek(0)
        if file.read(4) in (b"II*\0", b"MM\0*"):
            picture.exif = tiff.read_exif(file, None, picture)
        else:
            with suppress(Exception):  # no thumbnail, or one without EXIF
                thumb = Image.open(io.BytesIO(bytes(raw.extract_thumb().data)))
                metadata.take_exif(thumb.info.get("exif", b""), picture)
    return 0

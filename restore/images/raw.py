"""Camera RAW, developed with libraw (rawpy)."""

from __future__ import annotations

import io
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, BinaryIO, cast

from PIL import Image

from restore.images import metadata, tiff
from restore.images.picture import Picture, Refusal, check_size
from restore.images.tiff.directories import Directories

_SIGNATURES = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb", b"\0MRM")
_WARNING = re.compile(rb": (Unexpected end of file|data corrupted at \d+)")  # in LibRaw's words
_ONE_AT_A_TIME = threading.Lock()
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


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """Collects what LibRaw prints to the error stream about damaged data; all other output passes, a little later."""
    found: list[str] = []
    with _ONE_AT_A_TIME, tempfile.TemporaryFile() as caught:
        try:
            sys.stderr.flush()
            kept = os.dup(2)
        except (OSError, ValueError, AttributeError):  # there is no error stream
            yield found
            return
        os.dup2(caught.fileno(), 2)
        try:
            yield found
        finally:
            with suppress(OSError, ValueError):
                sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            caught.seek(0)
            for line in caught:
                if _WARNING.search(line):
                    found.append(line.decode(errors="replace"))
                else:
                    with suppress(OSError):
                        os.write(2, line)


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
    with _warnings() as warned:
        try:
            opened = rawpy.imread(cast(BinaryIO, file))
        except (rawpy.LibRawFileUnsupportedError, rawpy.LibRawNotImplementedError):
            raise Refusal(
                "LibRaw does not know this kind of camera RAW",
                "convert it to DNG or TIFF first; a file of bare samples needs a program that knows its size",
            ) from None
        except rawpy.LibRawTooBigError:
            raise Refusal("LibRaw takes it for too large", "convert it to DNG or TIFF first") from None
    with opened as raw:
        check_size((raw.sizes.iwidth, raw.sizes.iheight), max_pixels, file)
        with _warnings() as warned_later:
            values = raw.postprocess(
                use_camera_wb=True,
                no_auto_bright=True,
                output_bps=16,
                output_color=rawpy.ColorSpace.sRGB,
                gamma=(2.4, 12.92),
            )
        picture.pixels = values.reshape(*values.shape[:2], -1)
        picture.icc_profile = metadata.srgb_profile() if picture.pixels.shape[2] == 3 else None
        picture.note("camera RAW is developed with the camera's white balance into 16-bit sRGB")
        if warned or warned_later:
            picture.damage = "its data is damaged or incomplete"
        file.seek(0)
        if file.read(4) in (b"II*\0", b"MM\0*"):
            picture.exif = tiff.read_exif(file, None, picture)
        else:
            with suppress(Exception):  # no thumbnail, or one without EXIF
                thumb = Image.open(io.BytesIO(bytes(raw.extract_thumb().data)))
                metadata.take_exif(thumb.info.get("exif", b""), picture)
    return 0

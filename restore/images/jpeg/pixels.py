"""The pixels of a JPEG, and what libjpeg warns of while it decodes them."""

from __future__ import annotations

import re

import numpy as np
import simplejpeg

from restore.images.jpeg.segments import COM, EOI, FRAMES, SOS, markers, with_tables

_WORDS = {  # libjpeg's warnings (jerror.h) in plain words
    "premature end of data segment": "premature end of data; the rest of the picture is grey or shifted",
    "bad huffman code": "corrupt data; parts of the picture are wrong",
    "bad arithmetic code": "corrupt data; parts of the picture are wrong",
    "instead of rst": "a restart marker is missing or wrong; parts of the picture are shifted",
    "extraneous bytes before marker": "extra bytes in the data; parts of the picture may be wrong",
    "inconsistent progression": "its scans contradict each other; details may be wrong",
    "premature end of jpeg file": "the end of the file is missing; the rest of the picture is grey or shifted",
    "adobe color transform": "its colour transform is unknown; the colours may be wrong",
    "invalid sos parameters": "the parameters of a scan are invalid; the picture may be wrong",
}
_OTHER = "damaged data; parts of the picture may be wrong"
_UNCHECKED = "subsampling level"  # TurboJPEG knows only the usual ratios of chroma; it cannot check others
_PADDING = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
_ADOBE = 0xEE


def decoded(data: bytes, size: tuple[int, int], channels: int) -> np.ndarray | None:
    """The pixels (H, W, channels) of a grey or RGB picture of `size` (W, H), equal to Pillow's bit for bit.

    None where TurboJPEG warns or fails: `warning_of` says why, and Pillow decides what can be read.
    """
    pixels = np.empty((size[1], size[0], channels), np.uint8)
    try:
        simplejpeg.decode_jpeg(data, "GRAY" if channels == 1 else "RGB", False, False, buffer=pixels)
    except (ValueError, KeyError):
        return None
    return pixels


def warning_of(data: bytes, tables: bytes | None = None) -> str | None:
    """What libjpeg warns of in a JPEG, in plain words; None for a whole one and for unusual ratios of chroma.

    Takes about half of the time to decode it.

    Args:
        data: A JPEG, or one of the strips or tiles of a TIFF.
        tables: The tag JPEGTables of the TIFF.
    """
    data = with_tables(data, tables)
    message = _message(data)
    if message:
        data = _without_metadata(data)  # an odd version of JFIF or a broken profile says nothing about the pixels
        message = _message(data)
    if (found := _PADDING.search(message)) and (plain := _without_padding(data, int(found[1]))):
        message = _message(plain)
    if not message or _UNCHECKED in message:
        return None
    message = message.lower()
    return next((words for part, words in _WORDS.items() if part in message), _OTHER)


def _message(data: bytes) -> str:
    """The last warning or error of libjpeg; empty without any."""
    channels = next((data[place + 9] for code, place in markers(data) if code in FRAMES), 0)
    try:
        simplejpeg.decode_jpeg(data, "CMYK" if channels == 4 else "GRAY", min_factor=8)
    except ValueError as error:
        return str(error) or _OTHER
    except KeyError:
        return _UNCHECKED
    return ""


def _without_metadata(data: bytes) -> bytes:
    """The JPEG without the segments that do not matter for its pixels. Bytes between segments stay."""
    kept, place = [], 0
    for code, start in markers(data):
        if code == SOS:
            break
        if (0xE0 <= code <= 0xEF and code != _ADOBE) or code == COM:
            kept.append(data[place:start])
            place = start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")
    return b"".join(kept) + data[place:]


def _without_padding(data: bytes, count: int) -> bytes | None:
    """The JPEG without the zeros before its end; None if `count` unread bytes are not all of at least 16 zeros.

    If they are, the last block ends where the zeros begin, so every pixel is right. Damaged data does not end there.
    """
    end = next((place for code, place in markers(data) if code == EOI), 0)
    start = len(data[:end].rstrip(b"\0"))
    zeros = end - start
    is_padding = zeros >= 16 and zeros - 8 <= count <= zeros  # libjpeg reads up to 8 bytes ahead
    return data[:start] + data[end:] if is_padding else None

"""Image resources of Photoshop, in segment APP13 of a JPEG and tag 34377 of a TIFF (its File Formats Specification)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

HEAD = b"Photoshop 3.0\0"
TIFF_PART = b"TIFF 34377 7"
"""Name of the part of a picture that holds the resources of a TIFF."""
TURNED = "paths, guides and slices of Photoshop do not fit the turned picture; they are dropped"
IPTC = 0x0404
_DIGEST = 0x0425  # MD5 of the IPTC
_THUMBNAILS = (0x0409, 0x040C)  # they show the unrestored picture
_PLACES = frozenset({0x0408, 0x041A, *range(2000, 2998)})  # guides, slices and paths, by their place in the picture
_SIGNATURES = (b"8BIM", b"MeSa", b"AgHg", b"PHUT", b"DCSR")


def resources(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Number, start, end and content of each resource.

    Raises:
        ValueError, IndexError, struct.error: The rest is damaged.
    """
    place = 0
    while place < len(data):
        if data[place : place + 4] not in _SIGNATURES:
            if not any(data[place:]):
                return  # padding
            raise ValueError("a resource has no signature")
        (number,) = struct.unpack_from(">H", data, place + 4)
        start = place + 6 + (data[place + 6] + 2) // 2 * 2  # a name with its length, padded
        (length,) = struct.unpack_from(">I", data, start)
        start += 4
        if start + length > len(data):
            raise ValueError("a resource is not whole")
        end = start + length + length % 2
        yield number, place, end, data[start : start + length]
        place = end


def taken(data: bytes) -> tuple[bytes | None, bytes, bool]:
    """IPTC, the resources without thumbnails, and whether all could be read."""
    iptc: bytes | None = None
    kept: list[bytes] = []
    try:
        for number, start, end, content in resources(data):
            if number == IPTC and iptc is None:
                iptc = content
            if number not in _THUMBNAILS:
                kept.append(data[start:end].ljust(end - start, b"\0"))
    except (ValueError, IndexError, struct.error):
        return iptc, b"".join(kept), False
    return iptc, b"".join(kept), True


def without_places(kept: bytes) -> bytes:
    """Resources that `taken` returned, without those that a turn of the picture makes wrong."""
    return b"".join(kept[start:end] for number, start, end, _ in resources(kept) if number not in _PLACES)


def with_iptc(kept: bytes, iptc: bytes | None) -> bytes:
    """Resources that `taken` returned, with these IPTC records. Other records than before void their digest."""
    before: bytes | None = None
    others: list[bytes] = []
    for number, start, end, content in resources(kept):
        if number == IPTC:
            before = content if before is None else before
        elif number != _DIGEST:
            others.append(kept[start:end])
    if before == iptc:
        return kept
    if iptc is not None:
        others.insert(0, b"8BIM" + struct.pack(">HHI", IPTC, 0, len(iptc)) + iptc + b"\0" * (len(iptc) % 2))
    return b"".join(others)

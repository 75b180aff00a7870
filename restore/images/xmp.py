"""XMP packets: what they state about the pixels."""

from __future__ import annotations

import re

from restore.images.picture import Picture

_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation(?:=[\"']|>))([1-8])")


def take_xmp(xmp: object, picture: Picture) -> int:
    """Sets the XMP of `picture` with orientation 1; returns the original orientation, 0 if there is none."""
    if not (isinstance(xmp, bytes) and xmp):
        return 0
    found = _XMP_ORIENTATION.search(xmp)
    picture.xmp = upright_xmp(xmp)
    return int(found[2]) if found else 0


def upright_xmp(xmp: bytes) -> bytes:
    """The packet with its orientation set to 1.

    >>> upright_xmp(b"<a tiff:Orientation='6'/>")
    b"<a tiff:Orientation='1'/>"
    """
    return _XMP_ORIENTATION.sub(rb"\g<1>1", xmp)

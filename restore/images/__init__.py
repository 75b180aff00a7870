"""File <-> `Picture`: the pixels plus all that must survive the round trip.

What each format keeps, converts, drops with a note or refuses is one table in docs/formats.md, every cell a test.
"""

from restore.images.picture import (
    DEFAULT_QUALITY,
    FORMATS,
    MAX_PIXELS,
    RAW_SUFFIXES,
    READABLE,
    Picture,
    default_suffix,
)
from restore.images.reading import read_picture
from restore.images.writing import check_output, write_picture

__all__ = [
    "DEFAULT_QUALITY",
    "FORMATS",
    "MAX_PIXELS",
    "RAW_SUFFIXES",
    "READABLE",
    "Picture",
    "check_output",
    "default_suffix",
    "read_picture",
    "write_picture",
]

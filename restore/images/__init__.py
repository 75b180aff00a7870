"""Reads files into `Picture` and writes them: the pixels and everything else that must survive.

A table in docs/formats.md says what each format keeps, converts, drops with a note or refuses. Tests check every cell.
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
from restore.images.reading import read_pages, read_picture
from restore.images.writing import check_output, holds_pages, write_pages, write_picture

__all__ = [
    "DEFAULT_QUALITY",
    "FORMATS",
    "MAX_PIXELS",
    "RAW_SUFFIXES",
    "READABLE",
    "Picture",
    "check_output",
    "default_suffix",
    "holds_pages",
    "read_pages",
    "read_picture",
    "write_pages",
    "write_picture",
]

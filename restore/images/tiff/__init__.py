"""TIFF: pages, further channels and tags, read with tifffile and written in bands."""

from restore.images.tiff.reading import read, read_exif, read_pages
from restore.images.tiff.writing import write, write_pages

__all__ = ["read", "read_exif", "read_pages", "write", "write_pages"]

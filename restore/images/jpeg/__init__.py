"""JPEG: decoded with TurboJPEG, encoded with Pillow; everything else in the file is read and written here."""

from restore.images.jpeg.codec import read, write

__all__ = ["read", "write"]

"""A Pillow image that saves its metadata: Pillow itself saves little of what is in `info`."""

from __future__ import annotations

import os
from typing import Any

from PIL import Image

METADATA = ("icc_profile", "exif", "xmp", "dpi")
"""The keys of `info` that are kept."""

_MOST_OF_JPEG = 65_500  # bytes of EXIF or XMP in one segment; Pillow fails on more


class RestoredImage(Image.Image):
    """A Pillow image whose `save` keeps profile, EXIF, XMP and resolution, as far as Pillow can in the format.

    Arguments of `save` come first; None or empty bytes leave a part out.
    """

    @classmethod
    def of(cls, image: Image.Image) -> RestoredImage:
        """The same image, of this class."""
        image.__class__ = cls
        assert isinstance(image, cls)
        return image

    def save(self, fp: Any, format: str | None = None, **params: Any) -> None:
        """As `PIL.Image.Image.save`, with the metadata in `info`."""
        kept = {key: self.info[key] for key in METADATA if self.info.get(key) and key not in params}
        if _format_of(fp, format) in ("JPEG", "MPO"):
            kept = {k: v for k, v in kept.items() if k not in ("exif", "xmp") or len(v) <= _MOST_OF_JPEG}
        super().save(fp, format, **kept, **params)


def _format_of(fp: Any, format: str | None) -> str | None:
    """The format that Pillow would save in."""
    if format is not None:
        return format.upper()
    name = fp if isinstance(fp, (str, bytes, os.PathLike)) else getattr(fp, "name", "")
    ending = os.path.splitext(os.fsdecode(name))[1].lower() if isinstance(name, (str, bytes, os.PathLike)) else ""
    return Image.registered_extensions().get(ending)

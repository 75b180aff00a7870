"""The tags of a TIFF beside its pixels: which are kept, made void or noted."""

from __future__ import annotations

from typing import Any

from restore.images.picture import Picture


def kept(picture: Picture) -> dict[int, tuple[int, Any]]:
    """Tags to write back: number -> type and value, as Pillow's directories take them."""
    return {}

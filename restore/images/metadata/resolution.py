"""Resolution: dots per inch."""

from __future__ import annotations

import math
from typing import Any

from restore.images.picture import Picture


def take_stated(info: dict[Any, Any], picture: Picture) -> None:
    """Sets the resolution that Pillow found. For a JPEG only JFIF's counts: without one, Pillow guesses from EXIF.

    A density without a unit is only the shape of the pixels.
    """
    if picture.source_format != "JPEG" or info.get("jfif_unit") in (1, 2):
        take_dpi(info.get("dpi"), picture)
    elif "jfif_density" in info:
        across, down = info["jfif_density"]
        note_shape(across, down, picture)


def note_shape(across: float, down: float, picture: Picture) -> None:
    """Notes that pixels which are not square become so."""
    if across > 0 and down > 0 and not math.isclose(across, down, rel_tol=0.001):
        picture.note(f"its pixels are not square ({down:g} x {across:g}); that is dropped")


def take_dpi(dpi: Any, picture: Picture) -> None:
    """Sets the resolution of `picture` if it is plausible."""
    try:
        across, down = (float(d) for d in dpi)
    except (TypeError, ValueError, ZeroDivisionError):
        return
    if all(math.isfinite(d) and 0 < d < 65536 for d in (across, down)):
        picture.dpi = across, down

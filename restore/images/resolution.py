"""Resolution: dots per inch."""

from __future__ import annotations

import math
from typing import Any

from restore.images.picture import Picture


def take_dpi(dpi: Any, picture: Picture) -> None:
    """Sets the resolution of `picture` if it is plausible."""
    try:
        across, down = (float(d) for d in dpi)
    except (TypeError, ValueError, ZeroDivisionError):
        return
    if all(math.isfinite(d) and 0 < d < 65536 for d in (across, down)):
        picture.dpi = across, down

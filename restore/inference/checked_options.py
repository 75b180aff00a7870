"""The options of a restoration, checked."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from restore.errors import UsageError


def check_options(
    *, tile: Any, overlap: Any, strength: Any, self_ensemble: Any, memory: Any, scale: int
) -> tuple[Any, int]:
    """Refuse options of a wrong type or out of range.

    Args:
        tile, overlap, strength, self_ensemble, memory: As for `Restorer.restore_picture`.
        scale: That of the network.

    Returns:
        Tile and overlap, as whole numbers of Python.

    Raises:
        UsageError: One is wrong.
    """
    is_number = isinstance(strength, (int, float, np.integer, np.floating))
    if not is_number or not 0 <= strength <= 1:
        raise UsageError(f"strength must be between 0 and 1, not {_shown(strength)}")
    if scale != 1 and strength != 1:
        raise UsageError("strength cannot mix a picture with a larger one", hint="leave out --strength")
    if not isinstance(self_ensemble, (bool, np.bool_)):
        raise UsageError(f"self_ensemble is True or False, not {_shown(self_ensemble)}")
    if not isinstance(tile, str) or tile != "auto":
        tile = _whole("tile", tile, hint='give pixels, or "auto"')
    overlap = _whole("overlap", overlap, hint="give pixels")
    if overlap < 1:
        raise UsageError(f"overlap must be at least 1 pixel, not {overlap}: without it, tiles show as a grid")
    if memory is not None and _whole("memory", memory, hint="give bytes, or None") < 1:
        raise UsageError(f"memory is a number of bytes above 0, not {memory}", hint="such as 2_000_000_000")
    return tile, overlap


def _whole(name: str, value: Any, *, hint: str) -> int:
    try:
        if not isinstance(value, (bool, np.bool_)):
            return operator.index(value)
    except TypeError:
        pass
    raise UsageError(f"{name} is a whole number, not {_shown(value)}", hint=hint)


def _shown(value: Any) -> str:
    """A value in a message: numbers as they are written."""
    return f"{value:g}" if isinstance(value, (float, np.floating)) else f"{value!r:.80}"

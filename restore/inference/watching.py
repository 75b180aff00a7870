"""Progress and cancelling: what a caller hears after each tile, and how the caller stops the work."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

from restore.errors import Cancelled, UsageError

Progress = Callable[[int, int], object]


def watched(progress: Progress | None, cancel: threading.Event | None) -> Callable[[int, int], None] | None:
    """A function to call after each tile; None if nobody watches.

    Args:
        progress: Takes the number of finished tiles and of all tiles. If it returns False, the work stops.
        cancel: If it is set, the work stops.

    Raises:
        UsageError: `progress` cannot be called, or `cancel` is no event.
        Cancelled: `cancel` is already set; the returned function raises it as well.
    """
    if progress is not None and not callable(progress):
        raise UsageError(f"progress is a function, not {progress!r}", hint="it takes the tiles done, and all tiles")
    if cancel is not None and not callable(getattr(cancel, "is_set", None)):
        raise UsageError(f"cancel is an event, not {cancel!r}", hint="give a threading.Event()")
    if cancel is not None and cancel.is_set():
        raise Cancelled("cancelled before the first tile")
    if progress is None and cancel is None:
        return None

    def after_tile(done: int, total: int) -> None:
        answer = None if progress is None else progress(done, total)
        is_refused = isinstance(answer, (bool, np.bool_)) and not answer  # 0 is a result of many functions
        if is_refused or (cancel is not None and cancel.is_set()):
            raise Cancelled(f"cancelled after {done} of {total} tiles")

    return after_tile

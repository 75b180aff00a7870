"""When a run is saved: every few minutes, and at its end, however it ends."""

from __future__ import annotations

import time
from types import TracebackType

from restore.training.interrupts import uninterrupted
from restore.training.run_folder import Run
from restore.training.state import State


class Saver:
    """Saves the state of a run; a context manager, which saves at its end.

    Args:
        folder: Where to save.
        state: What to save.
        every: Seconds between saves.
    """

    def __init__(self, folder: Run, state: State, *, every: float) -> None:
        self._folder, self._state, self._every = folder, state, every
        self._saved = time.monotonic()

    def save_if_due(self) -> None:
        """Save, if the last save is long enough ago."""
        if time.monotonic() - self._saved > self._every:
            self._save()
            self._saved = time.monotonic()

    def _save(self) -> None:
        self._folder.save(self._state.average, self._state.as_dict())

    def __enter__(self) -> Saver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with uninterrupted():
            self._save()

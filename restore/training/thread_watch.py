"""Notices threads that wait, because of other work on the machine or because there is too little to compute."""

from __future__ import annotations

import time
from collections.abc import Callable

_EVERY = 30.0  # seconds
_LEAST = 0.6  # processor time, as a share of what the threads could have had


class ThreadWatch:
    """Compares the processor time of the process with what its threads could have had.

    Args:
        threads: Threads that compute together. A single thread never waits.
        wall, cpu: Clocks in seconds: elapsed time, and processor time of the process.
    """

    def __init__(
        self,
        threads: int,
        *,
        wall: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = time.process_time,
    ) -> None:
        self._threads, self._wall, self._cpu = threads, wall, cpu
        self._since = wall(), cpu()

    def note(self) -> list[str]:
        """One sentence after half a minute in which the threads computed less than 60 %; else none."""
        if self._threads == 1 or (took := self._wall() - self._since[0]) < _EVERY:
            return []
        share = (self._cpu() - self._since[1]) / (took * self._threads)
        self._since = self._wall(), self._cpu()
        if share >= _LEAST:
            return []
        count, self._threads = self._threads, 1
        return [
            f"the threads computed {100 * share:.0f} % of the time: there is other work on this machine, or too little "
            f"for {count} threads; fewer --threads may be faster"
        ]

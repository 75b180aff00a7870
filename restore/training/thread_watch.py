"""Whether the threads of a computation wait: beside other work, or where there is too little work for all of them."""

from __future__ import annotations

import time
from collections.abc import Callable

_EVERY = 30.0  # seconds
_LEAST = 0.6  # processor time over what the threads could have had


class ThreadWatch:
    """Compares the processor time that the process got with what its threads could have had.

    Args:
        threads: Threads that compute together; one waits for no other.
        wall, cpu: Clocks, in seconds: the world's, and that of the processor time of the process.
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
        """A sentence, once, after half a minute in which the process got less than three fifths; else none."""
        if self._threads == 1 or (took := self._wall() - self._since[0]) < _EVERY:
            return []
        share = (self._cpu() - self._since[1]) / (took * self._threads)
        self._since = self._wall(), self._cpu()
        if share >= _LEAST:
            return []
        count, self._threads = self._threads, 1
        return [
            f"the threads computed {100 * share:.0f} % of the time: other work on this machine, or too little work for "
            f"{count} threads; fewer --threads may be faster"
        ]

"""Ctrl-C, SIGTERM and SIGHUP (a closed terminal): the first asks to stop, the second ends the process."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)  # Windows has no SIGHUP


class Interrupted(SystemExit):
    """Ctrl-C, SIGTERM or SIGHUP, after the command has told the user."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__(128 + number)


class Signals:
    """Handles the signals inside its `with` block: the first asks to stop, the second ends the process.

    Args:
        ask: Called at the first signal.
        give_up: Called with the number of the second signal, before the process ends.
        echo_seconds: A second signal within this time is ignored. A launcher passes signals on to processes that the
            terminal has sent them to.
    """

    def __init__(self, ask: Callable[[], None], give_up: Callable[[int], None], *, echo_seconds: float = 0.0) -> None:
        self._ask, self._give_up, self._echo_seconds = ask, give_up, echo_seconds
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        for number in _SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:  # ignored: in a background job of a script, by nohup
                self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            # After a signal the process is about to end, and another must not disturb that.
            signal.signal(number, handler if self.received is None else signal.SIG_IGN)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received is None:
            self.received, self._at = number, time.monotonic()
            self._ask()
        elif time.monotonic() - self._at >= self._echo_seconds:
            try:
                self._give_up(number)
            finally:
                os._exit(128 + number)  # sys.exit would wait for threads that still work

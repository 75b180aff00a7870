"""Signals."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from restore.cli.signals import Signals


@pytest.fixture
def handlers() -> Iterator[None]:
    """Those of a program in the foreground, whatever the tests were started by; puts back who handled signals."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
def test_a_signal_that_a_launcher_passes_on_is_not_a_second_one() -> None:
    asked: list[int] = []
    with Signals(lambda: asked.append(1), lambda number: pytest.fail("given up"), echo_seconds=3600) as signals:
        for number in (signal.SIGINT, signal.SIGINT, signal.SIGTERM):
            signal.raise_signal(number)
    signal.raise_signal(signal.SIGTERM)  # while the process ends
    assert asked == [1] and signals.received == signal.SIGINT


@pytest.mark.usefixtures("handlers")
def test_a_signal_that_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in a background job of a script
    with Signals(lambda: pytest.fail("asked"), lambda number: pytest.fail("given up")):
        signal.raise_signal(signal.SIGINT)

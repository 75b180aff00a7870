"""Signals."""

from __future__ import annotations

import importlib
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from restore.cli import start
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


def test_ctrl_c_during_an_import_comes_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Raised inside, it can be dropped by Python's own import system."""
    (tmp_path / "slow_to_import.py").write_text("import signal\nsignal.raise_signal(signal.SIGINT)\nis_whole = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(start, "_was_raised", False)
    before = signal.signal(signal.SIGINT, start.interrupt)
    imported = None
    try:
        with pytest.raises(KeyboardInterrupt):
            imported = importlib.import_module("slow_to_import")
            time.sleep(10)
    finally:
        signal.signal(signal.SIGINT, before)
    assert imported is not None and imported.is_whole


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="has no SIGHUP")
def test_a_closed_terminal_asks_to_stop() -> None:
    asked: list[int] = []
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        with Signals(lambda: asked.append(1), lambda number: None) as signals:
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert (asked, signals.received) == ([1], signal.SIGHUP)

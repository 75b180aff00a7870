"""The entry point: Ctrl-C while Python still imports the command gives one line, not a traceback."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from types import FrameType


def main() -> None:
    """Import the command line and run it."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # else ignored, as in a background job of a script
        signal.signal(signal.SIGINT, _end)
    from restore.cli.app import main as run

    if not sys.warnoptions:  # those of libraries are for programmers; `python -W default -m restore` shows them
        warnings.simplefilter("ignore")
    signal.signal(signal.SIGINT, before)
    run()


def _end(number: int, frame: FrameType | None) -> None:
    """End at once: nothing has begun, and an exception during an import can become another one."""
    try:
        os.write(2, b"interrupted\n")
    finally:
        os._exit(128 + number)

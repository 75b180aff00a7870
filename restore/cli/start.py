"""The entry point: Ctrl-C while Python imports gives one line, not a traceback, and is never lost."""

from __future__ import annotations

import _thread
import gc
import os
import signal
import sys
import threading
import warnings
from types import FrameType


def main() -> None:
    """Import the command line and run it."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # else ignored, as in a background job of a script
        signal.signal(signal.SIGINT, _end)
    gc.disable()  # imports leave no garbage, and looking for it takes a tenth of the start; a command enables it
    from restore.cli.app import main as run

    if not sys.warnoptions:  # those of libraries are for programmers; `python -W default -m restore` shows them
        warnings.simplefilter("ignore")
    signal.signal(signal.SIGINT, interrupt if before is signal.default_int_handler else before)
    run()


_was_raised = False


def interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, but not during an import: Python drops it there, or it becomes another error."""
    global _was_raised
    if not _is_importing(frame):
        _was_raised = True
        raise KeyboardInterrupt
    again = threading.Timer(0.05, _again, (number,))
    again.daemon = True
    again.start()


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None and not frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    return frame is not None


def _again(number: int) -> None:
    """Send the signal to the main thread once more."""
    if _was_raised:  # after another signal
        return
    if sys.platform == "win32":
        _thread.interrupt_main(number)
    else:  # which also ends a system call that waits
        signal.pthread_kill(threading.main_thread().ident or 0, number)


def _end(number: int, frame: FrameType | None) -> None:
    """End at once: nothing has begun, and an exception during an import can become another one."""
    try:
        os.write(2, b"interrupted\n")
    finally:
        os._exit(128 + number)

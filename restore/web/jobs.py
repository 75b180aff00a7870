"""One thread that does the jobs of all tabs, so that one network at a time takes memory and cores."""

from __future__ import annotations

import queue
import sys
import threading
import time
import traceback
from functools import partial
from itertools import count

from restore.errors import RestoreError, UsageError
from restore.web import picture_work
from restore.web.networks import Networks
from restore.web.picture_work import Cancelled
from restore.web.sessions import Session, State, Work

MOST_WAITING = 100
"""Jobs that wait, of all tabs."""

_ORDER = {"inspect": 0, "crop": 1, "restore": 2}  # who looks at a picture should not wait for a whole one


class Worker:
    """Does jobs one after the other: short ones first, else in the order in which they came.

    Args:
        networks: Used in the worker's thread alone.
    """

    def __init__(self, networks: Networks) -> None:
        self._networks = networks
        self._queue: queue.PriorityQueue[tuple[int, int, tuple[Session, Work] | None]] = queue.PriorityQueue()
        self._numbers = count()
        self._current: Work | None = None
        self._thread = threading.Thread(target=self._loop, name="worker", daemon=True)
        self._thread.start()

    def add(self, session: Session, work: Work) -> None:
        """Queue a job and show it on the page.

        Raises:
            UsageError: Too many wait.
        """
        if self._queue.qsize() >= MOST_WAITING:
            raise UsageError(f"{MOST_WAITING} jobs are waiting already", hint="wait for some of them")
        session.add_work(work)
        self._queue.put((_ORDER[work.kind], next(self._numbers), (session, work)))

    def cancel(self, session: Session, work: Work) -> None:
        """Stop a job after its current tile. One that waits never starts."""
        work.stop.set()
        if work.state == "waiting":
            work.state = "cancelled"
        session.touch(work)

    def close(self, seconds: float = 20.0) -> None:
        """Cancel the current job and end the thread; wait so long for its current tile."""
        self._queue.put((-1, next(self._numbers), None))
        if (work := self._current) is not None:
            work.stop.set()
        self._thread.join(seconds)

    def _loop(self) -> None:
        while (item := self._queue.get()[2]) is not None:
            session, work = item
            if work.stop.is_set():
                self._end(session, work, "cancelled")
                continue
            self._current = work
            work.state = "running"
            session.touch(work)
            begun = time.perf_counter()
            state = self._do(session, work)
            work.seconds = time.perf_counter() - begun
            self._end(session, work, state)
            self._current = None

    def _end(self, session: Session, work: Work, state: State) -> None:
        if work.stop.is_set() and work.upload.is_removed:
            work.views, work.result, state = {}, None, "cancelled"
        session.settle(work.upload)
        work.state = state
        session.touch(work)

    def _do(self, session: Session, work: Work) -> State:
        """Do a job; whatever happens, the thread goes on."""
        try:
            self._carry_out(session, work)
        except Cancelled:
            return "cancelled"
        except RestoreError as error:
            work.reason, work.hint = picture_work.in_words_of_user(error.message, work), error.hint
        except MemoryError:
            work.reason, work.hint = "not enough memory", "close other programs, or choose a crop"
        except Exception as error:
            if work.upload.is_removed:  # its files went while they were read
                return "cancelled"
            traceback.print_exc(file=sys.stderr)  # a bug
            work.reason, work.hint = f"{type(error).__name__}", "the terminal shows more; please report it"
        else:
            return "done"
        return "failed"

    def _carry_out(self, session: Session, work: Work) -> None:
        def progress(done: int, total: int) -> None:
            work.done, work.total = done, total
            session.touch(work)
            if work.stop.is_set() and done < total:
                raise Cancelled

        reserve = partial(session.reserve, work.upload)
        if work.kind == "inspect":
            work.upload.facts = picture_work.inspect_upload(work, reserve)
            session.touch(work.upload)
        elif work.kind == "crop":
            picture_work.restore_crop(work, self._networks, progress, reserve)
        else:
            picture_work.restore_whole(work, self._networks, progress, reserve)

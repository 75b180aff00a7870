"""The server: one user of this machine, on 127.0.0.1 with a token in every address."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import ExitStack, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

from restore.errors import RestoreError
from restore.web import security
from restore.web.http_request import Refused, RequestServer
from restore.web.jobs import Worker
from restore.web.networks import Networks
from restore.web.page_requests import PageRequest
from restore.web.sessions import BEAT, Session
from restore.web.storage import Storage

LARGEST_FILE = 200 << 20
"""Bytes of one uploaded file."""
MOST_BYTES = 8 << 30
"""Bytes of all files of all tabs, results included."""
MOST_TABS = 16
MOST_CONNECTIONS = 48
"""Requests at a time, event streams included. More wait, and then are refused."""


class Server(RequestServer):
    """Serves the page until `shutdown`. Close it after that: it ends the work and removes all files.

    Args:
        port: On 127.0.0.1; 0 takes a free one.
        networks: What restores.
        largest_file, most_bytes: Limits in bytes.
        parent: Folder for the temporary files; None: the system's.

    Raises:
        RestoreError: The port is taken.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256
    allow_reuse_address = sys.platform != "win32"  # there it would let two servers share a port

    def __init__(
        self,
        port: int = 0,
        *,
        networks: Networks | None = None,
        largest_file: int = LARGEST_FILE,
        most_bytes: int = MOST_BYTES,
        parent: Path | None = None,
    ) -> None:
        self.sessions = {}
        self._ending = ExitStack()
        try:
            super().__init__(("127.0.0.1", port), PageRequest)  # which closes the server if the port is taken
        except OSError as error:
            why = f"cannot listen on port {port}: {error.strerror}"
            raise RestoreError(why, hint="choose another --port, or leave it out") from error
        self.token = security.new_token()
        self.largest_file = largest_file
        self.storage = Storage(most_bytes, parent)
        self._ending.callback(self.storage.close)
        self.worker = Worker(networks or Networks())
        self._ending.callback(self.worker.close)
        self._guard = threading.Lock()
        self._places = threading.BoundedSemaphore(MOST_CONNECTIONS)

    @property
    def url(self) -> str:
        """The address of the page, with the token."""
        return f"http://127.0.0.1:{self.server_port}/{self.token}/"

    def new_session(self) -> Session:
        """A session for a new tab; the one that was silent for longest makes room."""
        with self._guard:
            closed = [session for session in self.sessions.values() if session.is_closed]
            for session in closed:
                del self.sessions[session.id]
            oldest = None
            if len(self.sessions) >= MOST_TABS:
                oldest = min(self.sessions.values(), key=lambda session: session.seen)
                if time.monotonic() - oldest.seen < 3 * BEAT:
                    raise Refused(HTTPStatus.TOO_MANY_REQUESTS, "too many tabs are open", "close some of them")
                del self.sessions[oldest.id]
            session = Session(self.storage)
            self.sessions[session.id] = session
        if oldest is not None:
            oldest.close()
        return session

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for a connection, if there are not too many."""
        if not self._places.acquire(timeout=2):
            with suppress(OSError):
                request.settimeout(1)
                request.sendall(b"HTTP/1.0 503 Service Unavailable\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n")
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection, and free its place."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Drop connections that end early; others are bugs and keep their traceback."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)

    def server_close(self) -> None:
        """End the work and remove all files."""
        super().server_close()
        for session in list(self.sessions.values()):
            session.close()
        self._ending.close()

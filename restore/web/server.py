"""The server: one small HTTP interface for one user of this machine, on 127.0.0.1 with a token in every address."""

from __future__ import annotations

import io
import json
import re
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from restore.errors import RestoreError, UsageError
from restore.images import FORMATS
from restore.tasks import TASKS
from restore.web import security
from restore.web.jobs import Worker
from restore.web.networks import Networks, safe_steps
from restore.web.picture_work import LARGEST_CROP
from restore.web.sessions import Session, Upload, Work
from restore.web.storage import Full, Storage

LARGEST_FILE = 200 << 20
"""Bytes of one uploaded file."""
MOST_BYTES = 8 << 30
"""Bytes of all files of all tabs, results included."""
MOST_TABS = 16
MOST_CONNECTIONS = 48
"""Requests at a time, event streams included. More wait, and then are refused."""

_SMALL = 16 << 10  # bytes of a request without a picture
_QUIET = 10.0  # seconds without a byte after which a connection ends
_HEAD = 15.0  # seconds for the head of a request
_SLOWEST = 64 << 10  # bytes a second of a body, after the first `_QUIET` seconds
_BEAT = 10.0  # seconds between signs of life of an event stream
_ASSETS = {
    "": ("page.html", "text/html; charset=utf-8"),
    "page.js": ("page.js", "text/javascript; charset=utf-8"),
    "page.css": ("page.css", "text/css; charset=utf-8"),
    "viewer.js": ("../../viewer/assets/viewer.js", "text/javascript; charset=utf-8"),
    "viewer.css": ("../../viewer/assets/viewer.css", "text/css; charset=utf-8"),
}
ORDER = ("demosaic", "derain", "denoise", "dejpeg", "deblur", "upscale")
"""Tasks in the order in which the page runs them: a mosaic first, the size last."""
_VIEW_TYPES = {".jpeg": "image/jpeg", ".webp": "image/webp"}


_MOST_DRAINED = 16 << 20  # bytes of a refused request


class Refused(Exception):
    """The answer to a request that is refused.

    Args:
        status: Of HTTP.
        reason: Why, in words.
        hint: What to do.
    """

    def __init__(self, status: HTTPStatus, reason: str, hint: str | None = None) -> None:
        super().__init__(reason)
        self.status, self.reason, self.hint = status, reason, hint


class Server(ThreadingHTTPServer):
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
        self.sessions: dict[str, Session] = {}
        self._ending = ExitStack()
        try:
            super().__init__(("127.0.0.1", port), _Handler)  # which closes the server if the port is taken
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
                if time.monotonic() - oldest.seen < 3 * _BEAT:
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


class _Patient(io.RawIOBase):
    """The bytes of a connection, up to a deadline that moves with the request."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.deadline = time.monotonic() + _HEAD

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the client is too slow")
        self._connection.settimeout(min(left, _QUIET))
        return self._connection.recv_into(buffer)


class _Handler(BaseHTTPRequestHandler):
    """One request. HTTP/1.0: a connection ends with its answer, so no request hides behind another."""

    server: Server
    server_version, sys_version = "restore", ""

    def setup(self) -> None:
        super().setup()
        self._patient = _Patient(self.connection)
        self.rfile = io.BufferedReader(self._patient)
        self.connection.settimeout(_QUIET)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: addresses hold the token."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what is no request, or one of another method, in our own form."""
        self._refuse(Refused(HTTPStatus(code), message or HTTPStatus(code).phrase))

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def _answer(self, method: str) -> None:
        try:
            self._route(method)
        except Refused as refused:
            self._refuse(refused)
        except Full as error:
            self._refuse(Refused(HTTPStatus.INSUFFICIENT_STORAGE, error.message, error.hint))
        except RestoreError as error:
            self._refuse(Refused(HTTPStatus.BAD_REQUEST, error.message, error.hint))
        except TimeoutError:
            with suppress(OSError):
                self._refuse(Refused(HTTPStatus.REQUEST_TIMEOUT, "the request came too slowly"))

    def _refuse(self, refused: Refused) -> None:
        self._send_json({"reason": refused.reason, "hint": refused.hint}, refused.status)
        self._drain()

    def _drain(self) -> None:
        """Take what is on its way for a moment: closing at once would end the connection before the answer is read."""
        with suppress(OSError, ValueError):
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_WR)
            end, room = time.monotonic() + 1, _MOST_DRAINED
            while room > 0 and (left := end - time.monotonic()) > 0:
                self.connection.settimeout(left)
                taken = len(self.connection.recv(1 << 16))
                room -= taken or room

    def _route(self, method: str) -> None:
        """Check who asks, and call the function of the path."""
        headers: dict[str, list[str]] = {}
        for name, value in self.headers.items():
            headers.setdefault(name.lower(), []).append(value)
        if why := security.refusal(headers, self.server.server_port):
            raise Refused(HTTPStatus.FORBIDDEN, f"the request is refused: {why}", "paste the address into a new tab")
        address, _, query = self.path.partition("?")
        parts = address.split("/")
        if len(parts) < 3 or parts[0] or not security.is_token(parts[1], self.server.token):
            raise Refused(HTTPStatus.FORBIDDEN, "the token is missing or wrong", "open the address in the terminal")
        path = "/".join(parts[2:])
        for pattern, routed_method, function in _ROUTES:
            if (match := pattern.fullmatch(path)) and method == routed_method:
                self._length = self._checked_length(headers, method)
                if (query != "") != (function is _Handler._upload):
                    break
                return function(self, *match.groups(), *([query] if query else []))
        raise Refused(HTTPStatus.NOT_FOUND, "there is nothing here")

    def _checked_length(self, headers: dict[str, list[str]], method: str) -> int:
        """Bytes of the body; none is read before this."""
        if "transfer-encoding" in headers:
            raise Refused(HTTPStatus.NOT_IMPLEMENTED, "the length of the request must be known")
        lengths = headers.get("content-length", [])
        if method == "GET" and not lengths:
            return 0
        if len(lengths) != 1 or not re.fullmatch(r"[0-9]{1,15}", lengths[0], re.ASCII):
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "the length of the request must be known")
        return int(lengths[0])

    def _body(self, most: int, write: Callable[[bytes], Any]) -> None:
        """Pass the body on in blocks.

        Raises:
            Refused: It is larger than `most`, or ends early.
        """
        left = self._length
        if left > most:
            size = f"{most >> 20} MB" if most >> 20 else f"{most} bytes"
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the file is larger than {size}", "use the command")
        self._patient.deadline = time.monotonic() + _QUIET + left / _SLOWEST
        while left:
            block = self.rfile.read(min(left, 1 << 20))
            if not block:
                raise Refused(HTTPStatus.BAD_REQUEST, "the file is not complete")
            write(block)
            left -= len(block)

    def _json(self) -> dict[str, Any]:
        body = bytearray()
        self._body(_SMALL, body.extend)
        try:
            value = json.loads(body or b"{}")
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise Refused(HTTPStatus.BAD_REQUEST, "the request is not JSON")
        return value

    def _head(self, status: HTTPStatus, kind: str, length: int | None, **more: str) -> None:
        self.send_response(status)
        for name, value in security.HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in more.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def _send_json(self, value: Any, status: HTTPStatus = HTTPStatus.OK) -> None:
        body = json.dumps(value).encode()
        self._head(status, "application/json", len(body))
        self.wfile.write(body)

    def _send_file(self, path: Path, kind: str, **more: str) -> None:
        try:
            file = path.open("rb")
        except OSError:  # removed meanwhile
            raise Refused(HTTPStatus.NOT_FOUND, "there is nothing here") from None
        with file:
            self._head(HTTPStatus.OK, kind, path.stat().st_size, **more)
            while block := file.read(1 << 18):
                self.connection.settimeout(_QUIET)
                self.wfile.write(block)

    # ---------------------------------------------------------------------------------------------------------- paths

    def _asset(self, name: str) -> None:
        file, kind = _ASSETS[name]
        self._send_file(Path(__file__).parent / "assets" / file, kind)

    def _open(self) -> None:
        """A new tab: its id, and what the page must know."""
        self._json()
        session = self.server.new_session()
        tasks = [
            {
                "name": task.name,
                "summary": task.summary,
                "level": task.level and {"name": task.level.name, "low": task.level.low, "high": task.level.high},
            }
            for task in TASKS.values()
        ]
        self._send_json({"session": session.id, "tasks": tasks, "order": ORDER, "largest": self.server.largest_file})

    def _session(self, id: str) -> Session:
        session = self.server.sessions.get(id)
        if session is None or session.is_closed:
            raise Refused(HTTPStatus.NOT_FOUND, "the tab is not known any more", "reload the page")
        return session

    def _close(self, session_id: str) -> None:
        self._session(session_id).close()
        self._send_json({})

    def _events(self, session_id: str) -> None:
        """Server-sent events: what has changed, until the tab closes."""
        session = self._session(session_id)
        listener, version = session.listen(), 0
        self._head(HTTPStatus.OK, "text/event-stream; charset=utf-8", None)
        self.wfile.write(b"retry: 1000\n\n")
        while (found := session.changes(version, listener, _BEAT)) is not None:
            version, changed = found
            text = f"data: {json.dumps(changed)}\n\n" if changed else ":\n\n"
            self.connection.settimeout(_QUIET)
            self.wfile.write(text.encode())
            time.sleep(0.05)  # many tiles make one event

    def _upload(self, session_id: str, query: str) -> None:
        """A picture, as raw bytes; its name is in the query."""
        session = self._session(session_id)
        match = re.fullmatch(r"name=([A-Za-z0-9%._~!'()*-]{1,3000})", query, re.ASCII)
        if match is None:
            raise Refused(HTTPStatus.BAD_REQUEST, "the picture has no name")
        if self._length > self.server.largest_file:
            self._body(self.server.largest_file, bytes)
        name = security.clean_name(unquote(match[1], errors="replace"))
        upload = session.new_upload(name, security.safe_suffix(name), self._length)
        try:
            with upload.path.open("xb") as file:
                self._body(self.server.largest_file, file.write)
            session.add(upload)
            self.server.worker.add(session, Work(upload, "inspect"))
        except BaseException:
            session.discard(upload)
            raise
        self._send_json(upload.shown(), HTTPStatus.CREATED)

    def _upload_of(self, session: Session, id: Any) -> Upload:
        upload = session.uploads.get(id) if isinstance(id, str) else None
        if upload is None:
            raise Refused(HTTPStatus.NOT_FOUND, "the picture is not known any more")
        return upload

    def _remove(self, session_id: str, picture_id: str) -> None:
        session = self._session(session_id)
        session.discard(self._upload_of(session, picture_id))
        self._send_json({})

    def _start(self, session_id: str) -> None:
        """A new job: a crop where there is a region, else the whole picture."""
        session, asked = self._session(session_id), self._json()
        steps, region, format = asked.get("steps"), asked.get("region"), asked.get("format")
        if not isinstance(steps, str) or not {"picture", "steps", "region", "format"} >= asked.keys():
            raise Refused(HTTPStatus.BAD_REQUEST, "the request is not a job")
        if format is not None and (not isinstance(format, str) or f".{format}" not in FORMATS):
            raise Refused(HTTPStatus.BAD_REQUEST, "the format is unknown")
        safe_steps(steps)
        upload = self._upload_of(session, asked.get("picture"))
        kind = "restore" if region is None else "crop"
        work = Work(upload, kind, steps, None if region is None else _region(region), format)  # type: ignore[arg-type]
        self.server.worker.add(session, work)
        self._send_json(work.shown(), HTTPStatus.CREATED)

    def _work(self, session: Session, id: str) -> Work:
        work = session.works.get(id)
        if work is None:
            raise Refused(HTTPStatus.NOT_FOUND, "the job is not known any more")
        return work

    def _cancel(self, session_id: str, work_id: str) -> None:
        session = self._session(session_id)
        self.server.worker.cancel(session, self._work(session, work_id))
        self._send_json({})

    def _view(self, session_id: str, work_id: str, name: str) -> None:
        path = self._work(self._session(session_id), work_id).views.get(name)
        if path is None:
            raise Refused(HTTPStatus.NOT_FOUND, "there is nothing here")
        self._send_file(path, _VIEW_TYPES[path.suffix])

    def _download(self, session_id: str, work_id: str) -> None:
        result = self._work(self._session(session_id), work_id).result
        if result is None:
            raise Refused(HTTPStatus.NOT_FOUND, "there is nothing here")
        self._send_file(result[0], "application/octet-stream", Content_Disposition=security.attachment(result[1]))


def _region(value: Any) -> tuple[int, int, int, int]:
    """Left, top, width and height of a crop."""
    is_region = isinstance(value, list) and len(value) == 4 and all(type(one) is int for one in value)
    if not is_region or min(value[:2]) < 0 or not all(1 <= side <= LARGEST_CROP for side in value[2:]):
        raise UsageError(f"a crop is at most {LARGEST_CROP} pixels wide and high, within the picture")
    return value[0], value[1], value[2], value[3]


_ID = "([0-9a-f]{32})"
_ROUTES: tuple[tuple[re.Pattern[str], str, Callable[..., None]], ...] = tuple(
    (re.compile(pattern, re.ASCII), method, function)
    for pattern, method, function in (
        ("(|page.js|page.css|viewer.js|viewer.css)".replace(".", r"\."), "GET", _Handler._asset),
        ("sessions", "POST", _Handler._open),
        (f"{_ID}/close", "POST", _Handler._close),
        (f"{_ID}/events", "GET", _Handler._events),
        (f"{_ID}/pictures", "POST", _Handler._upload),
        (f"{_ID}/pictures/{_ID}/remove", "POST", _Handler._remove),
        (f"{_ID}/jobs", "POST", _Handler._start),
        (f"{_ID}/jobs/{_ID}/cancel", "POST", _Handler._cancel),
        (f"{_ID}/jobs/{_ID}/(thumb|before|after)", "GET", _Handler._view),
        (f"{_ID}/jobs/{_ID}/result", "GET", _Handler._download),
    )
)
"""The only paths there are, below the token, each with its method."""

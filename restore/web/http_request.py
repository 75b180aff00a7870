"""One request over HTTP: who asks, how much comes, how long it may take, and how the answer is sent."""

from __future__ import annotations

import io
import json
import re
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from restore.errors import RestoreError
from restore.web import security
from restore.web.storage import Full

if TYPE_CHECKING:
    from restore.web.jobs import Worker
    from restore.web.sessions import Session

_SMALL = 16 << 10  # bytes of a request without a picture
QUIET = 10.0
"""Seconds without a byte after which a connection ends."""
_HEAD = 15.0  # seconds for the head of a request
_SLOWEST = 64 << 10  # bytes a second of a body, after the first `QUIET` seconds
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


class RequestServer(ThreadingHTTPServer):
    """What a request needs of its server."""

    token: str
    largest_file: int
    sessions: dict[str, Session]
    worker: Worker

    def new_session(self) -> Session:
        """A session for a new tab."""
        raise NotImplementedError


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
        self._connection.settimeout(min(left, QUIET))
        return self._connection.recv_into(buffer)


class Request(BaseHTTPRequestHandler):
    """One request. HTTP/1.0: a connection ends with its answer, so no request hides behind another."""

    server: RequestServer
    server_version, sys_version = "restore", ""

    def setup(self) -> None:
        super().setup()
        self._patient = _Patient(self.connection)
        self.rfile = io.BufferedReader(self._patient)
        self.connection.settimeout(QUIET)

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
        self._length = self._checked_length(headers, method)
        self.call(method, "/".join(parts[2:]), query)

    def call(self, method: str, path: str, query: str) -> None:
        """Answer a request from our own page, by its path below the token."""
        raise NotImplementedError

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
        self._patient.deadline = time.monotonic() + QUIET + left / _SLOWEST
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
                self.connection.settimeout(QUIET)
                self.wfile.write(block)

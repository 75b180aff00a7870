"""The guard of every HTTP exchange with the Hub: a hostile or broken server can do no harm.

`huggingface_hub` joins headers of the server (ETag, X-Linked-Etag, X-Repo-Commit) into paths, and trusts sizes, waits
and redirects. The guard hooks into the HTTP client that `huggingface_hub` makes. So it sees each request and each
answer, also those of redirects and repeats.

This module imports `huggingface_hub`, so import it only when the Hub is needed.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from huggingface_hub import close_session, constants, set_client_factory
from huggingface_hub.utils import _http

LARGEST_FILE = 4_000_000_000  # bytes of weights; the largest known restoration networks have 1 GB
LARGEST_TEXT = 8_000_000  # bytes of an answer in JSON, such as the file list of a repository
PATIENCE = 60.0  # seconds until an answer must keep the lowest rate
LOWEST_RATE = 10_000  # bytes per second in the mean, after PATIENCE

_MOST_REQUESTS = 100  # of one download, with redirects and repeats; without it a server can cut each answer for ever
_MOST_HEADERS = 100
_LONGEST_WAIT = 60  # seconds that the client may sleep when a server says so

_HASH = r"(?:[0-9a-f]{40}|[0-9a-f]{64})"
_ETAG = re.compile(rf'(?:W/)?"?{_HASH}"?')
_COMMIT = re.compile(_HASH)
_SIZE = re.compile(r"[0-9]{1,18}")
_RANGE = re.compile(r"bytes [0-9]{1,18}-[0-9]{1,18}/[0-9]{1,18}")

# Dropped from answers. The first three make a download use Xet: a library of its own, past this guard, and an address
# of the server that would get the token. Of the others huggingface_hub would print texts of the server.
_DROPPED = ("x-xet-hash", "x-xet-refresh-route", "link", "x-hf-warning", "content-disposition")

_lock = threading.RLock()  # the client of huggingface_hub is one for the whole process


class AnswerError(Exception):
    """An answer of the server that the guard refuses: the reason, and what to do."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint or "if HF_ENDPOINT is set, check that it is a mirror you trust; else try again later"


@dataclass
class Exchange:
    """What one operation with the Hub may do, and what it has met so far.

    Attributes:
        largest: Bytes of the largest body.
        announced: Size of the file, from the answer to HEAD.
        received: Bytes of the last body.
        status: Of the last answer; None before it.
        content_type: Of the last answer.
        is_late: Whether the guard ended a slow answer.
    """

    largest: int
    announced: int | None = None
    received: int = 0
    status: int | None = None
    content_type: str = ""
    is_late: bool = False
    _requests: int = 0
    _deadlines: dict[int, float] = field(default_factory=dict)  # by thread: an upload has several
    _clients: list[Any] = field(default_factory=list)

    def before(self, request: Any) -> None:
        """Check a request: its number, and that only the Hub itself gets the token."""
        self._requests += request.method in ("GET", "HEAD")
        if self._requests > _MOST_REQUESTS:
            raise AnswerError(f"it takes more than {_MOST_REQUESTS} requests")
        if not _is_hub(request.url):
            request.headers.pop("Authorization", None)
        # A compressed answer can expand a thousand times.
        request.headers["Accept-Encoding"] = "identity"
        sent = request.headers.get("Content-Length", "0")
        self.received = 0
        self._start_clock(int(sent) if sent.isdecimal() else 0)

    def after(self, response: Any) -> None:
        """Check an answer before its body is read, and bound the body."""
        headers = response.headers
        self.status, self.content_type = response.status_code, headers.get("Content-Type", "").lower()
        _check_headers(headers)
        if response.request.method == "HEAD" and response.status_code < 400:
            if "X-Linked-Etag" not in headers and "ETag" in headers and not _ETAG.fullmatch(headers["ETag"]):
                if not response.is_redirect:
                    raise AnswerError(f"the Hub states {_shown(headers['ETag'])} as the hash of the file")
                del headers["ETag"]  # of the redirect itself; huggingface_hub follows it, or misses a hash
            stated = headers.get("X-Linked-Size") or (None if response.is_redirect else headers.get("Content-Length"))
            self.announced = self._size(stated)
        for name in _DROPPED:
            headers.pop(name, None)
        wait = _wait(headers)
        if response.status_code == 429 and wait is not None and wait > _LONGEST_WAIT:
            raise AnswerError("too many requests to the Hub", f"try again in {wait:,} seconds")
        bound = self.largest
        if response.request.method == "GET" and response.status_code in (200, 206) and self.announced is not None:
            bound = self.announced
        elif response.status_code >= 300:
            bound = LARGEST_TEXT
        if response.request.method != "HEAD":
            self._size(headers.get("Content-Length"))
        response.stream = _bounded(response.stream, self, bound)
        self._start_clock(0)

    def _start_clock(self, sent: int) -> None:
        """Measure the time of a request of `sent` bytes, or of an answer."""
        self._deadlines[threading.get_ident()] = time.monotonic() + PATIENCE + sent / LOWEST_RATE

    def _size(self, stated: str | None) -> int | None:
        """A size that the server states, if it is allowed."""
        if stated is None:
            return None
        if (size := int(stated)) > self.largest:
            raise AnswerError(f"the Hub announces {size:,} bytes, and at most {self.largest:,} are allowed here")
        return size

    def count(self, chunk: bytes, bound: int) -> None:
        """Count bytes of a body, which may not be larger than `bound` bytes nor slow."""
        self.received += len(chunk)
        if self.received > bound:
            raise AnswerError(f"the Hub sends more than the {bound:,} bytes that it announced or that are allowed")
        self._deadlines[threading.get_ident()] += len(chunk) / LOWEST_RATE

    def watch(self, ended: threading.Event) -> None:
        """End the connections of a slow answer. A server that drips a line byte by byte never gives control back."""
        while not ended.wait(min(1.0, PATIENCE / 4)):
            if any(time.monotonic() > deadline for deadline in list(self._deadlines.values())):
                self.is_late = True
                for client in list(self._clients):
                    client.close()
                return

    def rest(self) -> None:
        """Between two answers no time is measured."""
        self._deadlines.pop(threading.get_ident(), None)


@contextmanager
def guarded(largest: int) -> Iterator[Exchange]:
    """Guard all that `huggingface_hub` exchanges with a server within the context.

    Args:
        largest: Bytes of the largest body that may be read.
    """
    with _lock, warnings.catch_warnings():
        # A full disk is an error of ours.
        warnings.filterwarnings("ignore", message="Not enough free disk space")
        exchange, before, ended = Exchange(largest), _http._GLOBAL_CLIENT_FACTORY, threading.Event()

        def factory() -> Any:
            client = before()
            if client.timeout.read is None:  # for uploads huggingface_hub would wait for ever
                client.timeout = PATIENCE
            hooks = client.event_hooks
            client.event_hooks = {
                "request": [*hooks["request"], exchange.before],
                "response": [*hooks["response"], exchange.after],
            }
            exchange._clients.append(client)
            return client

        # Its warnings hold texts and signed addresses of the server. It is one logger for the whole process.
        logger = logging.getLogger("huggingface_hub")
        level = logger.level
        watcher = threading.Thread(target=exchange.watch, args=(ended,), daemon=True)
        set_client_factory(factory)
        logger.setLevel(logging.CRITICAL)
        watcher.start()
        try:
            yield exchange
        finally:
            ended.set()
            watcher.join()
            logger.setLevel(level)
            set_client_factory(before)
            close_session()


@contextmanager
def without_xet() -> Iterator[None]:
    """Download by HTTP alone, which the guard sees; a list of files in the cache may name hashes for Xet."""
    with _lock:
        before, constants.HF_HUB_DISABLE_XET = constants.HF_HUB_DISABLE_XET, True
        try:
            yield
        finally:
            constants.HF_HUB_DISABLE_XET = before


def too_slow() -> tuple[str, str]:
    """Reason and hint for an answer that takes too long."""
    return (
        f"the Hub sends fewer than {LOWEST_RATE:,} bytes per second",
        "check the network, and HF_ENDPOINT if it is set",
    )


def _check_headers(headers: Any) -> None:
    """Refuse headers that `huggingface_hub` would join into a path, cannot read, or would print."""
    fields = headers.multi_items()
    if len(fields) > _MOST_HEADERS:
        raise AnswerError(f"the Hub's answer has {len(fields):,} headers")
    for name, value in fields:
        if any((ord(character) < 32 and character != "\t") or ord(character) == 127 for character in value):
            raise AnswerError(f"the Hub's answer has control characters in its header {_shown(name)}")
    for header, pattern, what in (
        ("X-Linked-Etag", _ETAG, "hash of the file"),
        ("X-Repo-Commit", _COMMIT, "commit"),
        ("X-Linked-Size", _SIZE, "size of the file"),
        ("Content-Length", _SIZE, "size of its answer"),
        ("Content-Range", _RANGE, "range of its answer"),
    ):
        if header in headers and not pattern.fullmatch(headers[header]):
            raise AnswerError(f"the Hub states {_shown(headers[header])} as the {what}")
    if headers.get("Content-Encoding", "").lower() not in ("", "identity"):
        raise AnswerError("the Hub compresses its answer, although it may not")
    if "Location" in headers and not _is_address(headers["Location"]):
        raise AnswerError(f"the Hub redirects to {_shown(headers['Location'])}, which is no address")


def _is_address(text: str) -> bool:
    """Whether a redirect goes to an address of HTTP, or to a path on the same host."""
    try:
        parts = urlsplit(text)
        return text.isascii() and text.isprintable() and parts.scheme in ("", "http", "https") and parts.port != 0
    except ValueError:
        return False


def _is_hub(url: Any) -> bool:
    """Whether an address is on the Hub itself: the same scheme, host and port. From http to https is allowed too."""

    def origin(one: Any) -> tuple[str, str, int | None]:
        return one.scheme, one.host, one.port or {"http": 80, "https": 443}.get(one.scheme)

    hub = origin(type(url)(constants.ENDPOINT))
    return origin(url) == hub or (hub[::2] == ("http", 80) and origin(url) == ("https", hub[1], 443))


def _wait(headers: Any) -> int | None:
    """Seconds that `huggingface_hub` would sleep before it asks again."""
    waits = re.findall(r"[0-9]{1,18}", headers.get("Retry-After", "")[:18])
    waits += re.findall(r";\s*t\s*=\s*([0-9]{1,18})", headers.get("RateLimit", "")[:200])
    return max(map(int, waits), default=None)


def _shown(text: str) -> str:
    """A text of a server, short and in quotes."""
    return repr(text if len(text) <= 80 else f"{text[:77]}...")


def _bounded(stream: Any, exchange: Exchange, bound: int) -> Any:
    """A body that may not be larger than `bound` bytes, nor slow."""
    # The HTTP library is httpx or httpx2, by the version of huggingface_hub.
    library: Any = sys.modules[type(stream).__module__.partition(".")[0]]

    class Bounded(library.SyncByteStream):  # type: ignore[misc]
        def __iter__(self) -> Iterator[bytes]:
            for chunk in stream:
                exchange.count(chunk, bound)
                yield chunk
            exchange.rest()

        def close(self) -> None:
            exchange.rest()
            stream.close()

    return Bounded()

"""What the page can ask: every path there is, and what it does."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from restore.errors import UsageError
from restore.images import FORMATS
from restore.inspection.advice import NOISY_ORDER, PLAIN_ORDER
from restore.tasks import TASKS
from restore.web import security
from restore.web.http_request import QUIET, Refused, Request
from restore.web.networks import safe_steps
from restore.web.picture_work import LARGEST_CROP
from restore.web.sessions import BEAT, Session, Upload, Work

_ASSETS = {
    "": ("page.html", "text/html; charset=utf-8"),
    "page.js": ("page.js", "text/javascript; charset=utf-8"),
    "page.css": ("page.css", "text/css; charset=utf-8"),
    "viewer.js": ("../../viewer/assets/viewer.js", "text/javascript; charset=utf-8"),
    "viewer.css": ("../../viewer/assets/viewer.css", "text/css; charset=utf-8"),
}
_ORDERS = {"noisy": ("demosaic", *NOISY_ORDER, "upscale"), "plain": ("demosaic", *PLAIN_ORDER, "upscale")}
"""Tasks in the order in which the page runs them with and without `denoise`: a mosaic first, the size last."""
_VIEW_TYPES = {".jpeg": "image/jpeg", ".webp": "image/webp"}


class PageRequest(Request):
    """A request of the page."""

    def call(self, method: str, path: str, query: str) -> None:
        """Call the function of the path."""
        for pattern, routed_method, function in _ROUTES:
            if (match := pattern.fullmatch(path)) and method == routed_method:
                if (query != "") != (function is PageRequest._upload):
                    break
                return function(self, *match.groups(), *([query] if query else []))
        raise Refused(HTTPStatus.NOT_FOUND, "there is nothing here")

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
        self._send_json({"session": session.id, "tasks": tasks, "orders": _ORDERS, "largest": self.server.largest_file})

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
        while (found := session.changes(version, listener, BEAT)) is not None:
            version, changed = found
            text = f"data: {json.dumps(changed)}\n\n" if changed else ":\n\n"
            self.connection.settimeout(QUIET)
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
        ("(|page.js|page.css|viewer.js|viewer.css)".replace(".", r"\."), "GET", PageRequest._asset),
        ("sessions", "POST", PageRequest._open),
        (f"{_ID}/close", "POST", PageRequest._close),
        (f"{_ID}/events", "GET", PageRequest._events),
        (f"{_ID}/pictures", "POST", PageRequest._upload),
        (f"{_ID}/pictures/{_ID}/remove", "POST", PageRequest._remove),
        (f"{_ID}/jobs", "POST", PageRequest._start),
        (f"{_ID}/jobs/{_ID}/cancel", "POST", PageRequest._cancel),
        (f"{_ID}/jobs/{_ID}/(thumb|before|after)", "GET", PageRequest._view),
        (f"{_ID}/jobs/{_ID}/result", "GET", PageRequest._download),
    )
)
"""The only paths there are, below the token, each with its method."""

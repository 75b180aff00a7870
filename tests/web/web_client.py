"""A client of the local page's server, and a network that needs no time."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from restore.images import Picture
from restore.inspection.findings import Findings
from restore.web.server import Server


class Answer(NamedTuple):
    """Status, headers (lower case) and body of an answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def value(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Client:
    """One tab of a browser."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.session = ""

    def ask(self, method: str, path: str, body: Any = None, *, token: str | None = None, **headers: str) -> Answer:
        """One request to a path below the token."""
        return self.raw(method, f"/{self.server.token if token is None else token}/{path}", body, **headers)

    def raw(self, method: str, address: str, body: Any = None, **headers: str) -> Answer:
        """One request to any address. Names of headers have `_` for `-`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=30)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, address, body, named)
        answer = connection.getresponse()
        found = Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        connection.close()
        return found

    def open(self) -> Client:
        """Open the tab."""
        self.session = self.ask("POST", "sessions", "{}").value["session"]
        return self

    def upload(self, path: Path, name: str | None = None) -> dict[str, Any]:
        """Upload a file, and wait until it is inspected; the picture as the page sees it."""
        address = f"{self.session}/pictures?name={quote(name or path.name, safe='')}"
        answer = self.ask("POST", address, path.read_bytes())
        assert answer.status == 201, answer
        id = answer.value["id"]
        self.until(lambda seen: any(work["picture"] == id and work["state"] in ENDED for work in seen.works.values()))
        return self.seen().pictures[id]

    def start(self, picture: str, steps: str = "denoise", **more: Any) -> dict[str, Any]:
        """Start a job."""
        body = {"picture": picture, "steps": steps, **more}
        answer = self.ask("POST", f"{self.session}/jobs", json.dumps(body))
        assert answer.status == 201, answer
        return dict(answer.value)

    def restore(self, picture: str, steps: str = "denoise", **more: Any) -> dict[str, Any]:
        """Start a job and wait for its end."""
        return self.end_of(self.start(picture, steps, **more)["id"])

    def end_of(self, work: str) -> dict[str, Any]:
        """Wait for the end of a job."""
        return self.until(lambda seen: seen.works.get(work, {}).get("state") in ENDED).works[work]

    def until(self, is_true: Any) -> Seen:
        """Read events until something is true; what the page then knows."""
        for seen in self.events():
            if is_true(seen):
                return seen
        raise AssertionError("the events ended")

    def seen(self) -> Seen:
        """What a page that is opened now would know."""
        return next(self.events())

    def events(self) -> Iterator[Seen]:
        """What the page knows after each event."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=30)
        connection.request("GET", f"/{self.server.token}/{self.session}/events")
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        seen = Seen({}, {})
        try:
            while line := answer.readline():
                if line.startswith(b"data: "):
                    changed = json.loads(line[6:])
                    for picture in changed["pictures"]:
                        seen.pictures[picture["id"]] = picture
                    for work in changed["works"]:
                        seen.works[work["id"]] = work
                    yield seen
        finally:
            connection.close()
            answer.close()


class Seen(NamedTuple):
    """Pictures and jobs by their ids."""

    pictures: dict[str, dict[str, Any]]
    works: dict[str, dict[str, Any]]


ENDED = ("done", "failed", "cancelled")


def find_nothing(picture: Picture) -> Findings:
    """Stands in for the inspection: the size alone, at once."""
    height, width = picture.pixels.shape[:2]
    return Findings(
        width=width, height=height, bits=8, is_grey=False, profile=None, format=picture.source_format, noise=0.0,
        noise_chroma=0.0, noise_is_coarse=False, jpeg_quality=None, jpeg_quality_seen=None, blur="none",
        blur_pixels=0.0, rain=0.0, enlarged=1.0,
    )  # fmt: skip


@contextmanager
def running(parent: Path, **options: Any) -> Iterator[Server]:
    """A server in a thread, with its temporary files below `parent`; closed at the end."""
    parent.mkdir(exist_ok=True)
    server = Server(parent=parent, **options)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def wait_for(is_true: Any, seconds: float = 10.0) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.01)

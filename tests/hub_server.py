"""A small Hugging Face Hub on loopback for the real client: branches, tokens, large files and faults.

Large files (`.safetensors` and pickles) are on a second host, as on the real Hub. `resolve` redirects to it, and the
client must not send a token there.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from huggingface_hub import ModelCard

TOKEN = "hf_test"


@dataclass
class Answer:
    """An answer that a test may change before it is sent.

    Attributes:
        status: Of HTTP.
        headers: By name; Content-Length is added to an answer without Transfer-Encoding.
        body: Bytes, or pieces of an answer in chunks.
        pause: Seconds between two bytes, of headers too.
    """

    status: int
    headers: dict[str, str]
    body: bytes | Iterable[bytes]
    pause: float = 0


class Asked(NamedTuple):
    """A request of the client."""

    method: str
    path: str
    range: str | None
    token: str | None


@dataclass
class Repo:
    """A repository: its commits, oldest first, and the commits of its branches and tags."""

    private: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes], *, branch: str = "main") -> str:
        """Commit files on top of a branch; returns the commit."""
        before = self.commits.get(self.refs.get(branch, ""), {})
        sha = hashlib.sha1(f"{branch} {len(self.commits)} {sorted(files)}".encode()).hexdigest()
        self.commits[sha] = before | files
        self.refs[branch] = sha
        return sha


@dataclass
class Hub:
    """The Hub's state, and its faults on purpose.

    Attributes:
        url: The endpoint.
        repos: The repositories by name.
        asked: All requests.
        status: Path pattern -> status of the answer, with `code` as the reason.
        cut_at: The connection ends after so many bytes, once.
        stated_sha256, stated_size: Wrong values instead of the true ones.
        uploads: Uploaded large files by SHA-256.
        twist: Changes every answer, by method and path.
    """

    url: str = ""
    repos: dict[str, Repo] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    status: dict[str, int] = field(default_factory=dict)
    code: str | None = None
    cut_at: int | None = None
    stated_sha256: str | None = None
    stated_size: int | None = None
    uploads: dict[str, bytes] = field(default_factory=dict)
    twist: Callable[[str, str, Answer], None] = lambda method, path, answer: None

    def repo(self, name: str, files: dict[str, bytes], *, private: bool = False) -> str:
        """Create a repository with one commit; returns the commit."""
        self.repos[name] = Repo(private=private)
        return self.repos[name].commit(files)

    def downloads(self) -> list[Asked]:
        """The requests for large files."""
        return [one for one in self.asked if one.method == "GET" and one.path.startswith("/large/")]


@contextmanager
def serve() -> Iterator[Hub]:
    """A Hub for the duration of the context."""
    hub = Hub()
    server = _Server(("127.0.0.1", 0), type("Bound", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    def handle_error(self, *args: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # the client may go at any time
            super().handle_error(*args)


class _Refused(Exception):
    def __init__(self, status: int, code: str | None = None) -> None:
        self.status, self.code = status, code


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_GET

    def _answer(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = unquote(urlsplit(self.path).path)
        self.token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
        self.hub.asked.append(Asked(self.command, path, self.headers.get("Range"), self.token))
        try:
            for pattern, status in self.hub.status.items():
                if re.search(pattern, path):
                    raise _Refused(status, self.hub.code)
            if self.token not in (None, TOKEN):
                raise _Refused(401, "InvalidCredentials")
            self._route(path)
        except _Refused as refused:
            extra = {"X-Error-Code": refused.code} if refused.code else {}
            if refused.code == "InvalidCredentials":
                extra = {"X-Error-Message": "Invalid credentials in Authorization header"}
            if refused.status == 429:
                extra["Retry-After"] = "30"
            self._send(refused.status, b"{}", extra)

    def _route(self, path: str) -> None:
        repo = r"(?P<repo>[^/]+/[^/]+)"
        for method, pattern, do in (
            ("GET", rf"/api/models/{repo}(?:/revision/(?P<revision>.+))?", self._info),
            ("GET HEAD", rf"/{repo}/resolve/(?P<revision>[^/]+)/(?P<file>.+)", self._resolve),
            ("GET", r"/large/(?P<sha256>\w+)", self._large),
            ("POST", r"/api/validate-yaml", self._validate),
            ("POST", r"/api/repos/create", self._create),
            ("POST", rf"/api/models/{repo}/preupload/main", self._preupload),
            ("POST", rf"/{repo}\.git/info/lfs/objects/batch", self._batch),
            ("PUT", r"/upload/(?P<sha256>\w+)", self._put),
            ("POST", rf"/api/models/{repo}/commit/main", self._commit),
        ):
            match = re.fullmatch(pattern, path)
            if match and self.command in method:
                return do(**match.groupdict())
        raise _Refused(404)

    # Reading

    def _files(self, repo: str, revision: str | None) -> tuple[str, dict[str, bytes]]:
        found = self.hub.repos.get(repo)
        if found is None or (found.private and self.token is None):
            # The Hub does not tell strangers which names exist.
            raise _Refused(401 if self.token is None else 404, "RepoNotFound")
        commit = found.refs.get(revision or "main", revision or "")
        if commit not in found.commits:
            raise _Refused(404, "RevisionNotFound")
        return commit, found.commits[commit]

    def _info(self, repo: str, revision: str | None) -> None:
        commit, files = self._files(repo, revision)
        siblings: list[dict[str, Any]] = []
        for name, content in files.items():
            sibling: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": _git_hash(content)}
            if _is_large(name):
                sha256 = self.hub.stated_sha256 or _sha256(content)
                sibling["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 130}
            siblings.append(sibling)
        card = ModelCard(files["README.md"].decode()).data if "README.md" in files else None
        self._json({
            "id": repo, "modelId": repo, "sha": commit, "private": self.hub.repos[repo].private, "tags": [],
            "siblings": siblings, "cardData": card and card.to_dict(),  # type: ignore[no-untyped-call]
        })  # fmt: skip

    def _resolve(self, repo: str, revision: str, file: str) -> None:
        commit, files = self._files(repo, revision)
        if file not in files:
            raise _Refused(404, "EntryNotFound")
        content, headers = files[file], {"X-Repo-Commit": commit}
        if not _is_large(file):
            return self._send(200, content, headers | {"ETag": f'"{_git_hash(content)}"'})
        sha256 = _sha256(content)
        self._send(302, b"", headers | {
            "Location": self.hub.url.replace("127.0.0.1", "localhost") + f"/large/{sha256}",
            "ETag": f'"{_git_hash(content)}"',
            "X-Linked-Etag": f'"{self.hub.stated_sha256 or sha256}"',
            "X-Linked-Size": str(self.hub.stated_size or len(content)),
        })  # fmt: skip

    def _large(self, sha256: str) -> None:
        every = [
            content for repo in self.hub.repos.values() for files in repo.commits.values() for content in files.values()
        ]
        content = next(content for content in every if _sha256(content) == sha256)
        start = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        first = int(start[1]) if start else 0
        headers = {"Content-Range": f"bytes {first}-{len(content) - 1}/{len(content)}"} if start else {}
        self._send(206 if start else 200, content[first:], headers, cut_at=self.hub.cut_at)
        self.hub.cut_at = None

    # Writing

    def _writer(self) -> None:
        if self.token != TOKEN:
            raise _Refused(401)

    def _validate(self) -> None:
        card = ModelCard(json.loads(self.body)["content"])
        wrong = [] if card.data.get("license") else [{"message": "license is missing"}]
        self._json({"errors": wrong, "warnings": []}, 400 if wrong else 200)

    def _create(self) -> None:
        self._writer()
        wanted = json.loads(self.body)
        name = f"{wanted['organization']}/{wanted['name']}"
        if wanted["organization"] != "owner":
            raise _Refused(403)
        status = 409 if name in self.hub.repos else 200
        self.hub.repos.setdefault(name, Repo(private=wanted.get("visibility") == "private"))
        self.hub.repos[name].refs.setdefault("main", self.hub.repos[name].commit({}) if status == 200 else "")
        self._json({"url": f"{self.hub.url}/{name}", "name": name}, status)

    def _preupload(self, repo: str) -> None:
        self._writer()
        names = [file["path"] for file in json.loads(self.body)["files"]]
        modes = [{"path": n, "uploadMode": "lfs" if _is_large(n) else "regular", "shouldIgnore": False} for n in names]
        self._json({"files": modes})

    def _batch(self, repo: str) -> None:
        self._writer()
        objects = json.loads(self.body)["objects"]
        upload = [{**o, "actions": {"upload": {"href": f"{self.hub.url}/upload/{o['oid']}"}}} for o in objects]
        self._json({"transfer": "basic", "objects": upload})

    def _put(self, sha256: str) -> None:
        if _sha256(self.body) != sha256:
            raise _Refused(400)
        self.hub.uploads[sha256] = self.body
        self._send(200, b"")

    def _commit(self, repo: str) -> None:
        self._writer()
        files = {}
        for line in self.body.splitlines():
            step = json.loads(line)
            if step["key"] == "file":
                files[step["value"]["path"]] = base64.b64decode(step["value"]["content"])
            elif step["key"] == "lfsFile":
                files[step["value"]["path"]] = self.hub.uploads[step["value"]["oid"]]
        sha = self.hub.repos[repo].commit(files)
        self._json({"success": True, "commitOid": sha, "commitUrl": f"{self.hub.url}/{repo}/commit/{sha}"})

    # Answers

    def _json(self, content: Any, status: int = 200) -> None:
        self._send(status, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _send(
        self, status: int, body: bytes, headers: dict[str, str] | None = None, *, cut_at: int | None = None
    ) -> None:
        answer = Answer(status, dict(headers or {}), body)
        self.hub.twist(self.command, unquote(urlsplit(self.path).path), answer)
        in_chunks = not isinstance(answer.body, bytes)
        length = {"Transfer-Encoding": "chunked"}
        if isinstance(answer.body, bytes):
            length = {"Content-Length": str(len(answer.body))}
        lines = [f"HTTP/1.1 {answer.status} x", *(f"{k}: {v}" for k, v in (length | answer.headers).items()), "", ""]
        try:
            self._write("\r\n".join(lines).encode("latin-1"), answer.pause)
            if self.command != "HEAD":
                for piece in [answer.body[:cut_at]] if isinstance(answer.body, bytes) else answer.body:
                    self._write(b"%x\r\n%b\r\n" % (len(piece), piece) if in_chunks else piece, answer.pause)
        except ConnectionError:  # the client has gone
            self.close_connection = True
        if cut_at is not None or (answer.headers.keys() & {"Content-Length"} and self.command != "HEAD"):
            self.close_connection = True

    def _write(self, content: bytes, pause: float) -> None:
        for start in range(0, len(content), 1 if pause else max(len(content), 1)):
            self.wfile.write(content[start : start + 1] if pause else content)
            time.sleep(pause)


def _is_large(name: str) -> bool:
    return name.endswith((".safetensors", ".pth", ".bin"))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

"""What the local page's server refuses, and that nothing stays behind."""

from __future__ import annotations

import http.client
import os
import re
import socket
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from web_client import Client, find_nothing, running, wait_for

from restore.web import http_request
from restore.web import server as server_module
from restore.web.server import Server

SMALL = 100_000  # bytes; the largest file here


@pytest.fixture
def server(tiny_catalogue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server with small limits. Nothing is left on disk after it, whatever a test does."""
    monkeypatch.setattr("restore.web.picture_work.inspect", find_nothing)
    with running(tmp_path / "web", largest_file=SMALL, most_bytes=1 << 20) as server:
        yield server
    assert list((tmp_path / "web").iterdir()) == []


@pytest.fixture
def tab(server: Server) -> Client:
    return Client(server).open()


def send(server: Server, request: bytes, *, seconds: float = 10) -> bytes:
    """The answer to bytes as they are."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=seconds) as connection:
        connection.sendall(request)
        answer = b""
        while block := connection.recv(1 << 16):
            answer += block
    return answer


def used(server: Server) -> tuple[int, list[str]]:
    return server.storage.used, [path.name for path in server.storage.folder.iterdir()]


NOTHING = (0, ["lock"])


# -------------------------------------------------------------------------------------------------------- who may ask


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://127.0.0.1:{port}"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://localhost:{port}"},  # another origin than that of Host
        {"Host": "evil.example"},
        {"Host": "evil.example:{port}"},
        {"Host": "127.0.0.1"},
        {"Host": "127.0.0.1:{port}.evil.example"},
        {"Host": "[::1]:{port}"},
        {"Host": ""},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_other_pages_and_other_names_of_this_machine_are_refused(server: Server, headers: dict[str, str]) -> None:
    for method, path in (("POST", "sessions"), ("GET", "")):
        named = {name: value.format(port=server.server_port) for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
        connection.request(method, f"/{server.token}/{path}", "{}" if method == "POST" else None, named)
        answer = connection.getresponse()
        assert (answer.status, answer.getheader("Access-Control-Allow-Origin")) == (403, None)
        connection.close()
    assert server.sessions == {}


def test_two_hosts_are_refused(server: Server) -> None:
    own = f"127.0.0.1:{server.server_port}"
    request = f"GET /{server.token}/ HTTP/1.1\r\nHost: {own}\r\nHost: evil.example\r\n\r\n"
    assert send(server, request.encode()).split()[1] == b"403"


def test_the_page_itself_may_ask(server: Server) -> None:
    for host in (f"127.0.0.1:{server.server_port}", f"localhost:{server.server_port}"):
        answer = Client(server).ask("POST", "sessions", "{}", Host=host, Origin=f"http://{host}")
        assert answer.status == 200


@pytest.mark.parametrize("token", ["", "wrong", "A" * 43, "%00", "..", "%2e%2e"])
def test_a_wrong_token_opens_nothing(server: Server, token: str) -> None:
    for path in ("", "page.js", "sessions"):
        assert Client(server).ask("GET", path, token=token).status == 403
    assert Client(server).ask("POST", "sessions", "{}", token=token).status == 403
    assert Client(server).raw("GET", "/").status == 403
    assert Client(server).ask("GET", "", token=server.token[:-1]).status == 403
    assert Client(server).ask("GET", "", token=server.token + "A").status == 403


def test_a_token_beyond_ascii_opens_nothing(server: Server) -> None:
    own = f"127.0.0.1:{server.server_port}".encode()
    assert send(server, b"GET /\xff\xc3\xa9/ HTTP/1.1\r\nHost: " + own + b"\r\n\r\n").split()[1] == b"403"


def test_every_answer_has_the_security_headers(tab: Client) -> None:
    answers = [tab.ask("GET", ""), tab.ask("GET", "none"), tab.ask("GET", "", token="wrong"), tab.ask("PUT", "", "{}")]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_file_of_one_tab_has_no_other_address(server: Server, tab: Client) -> None:
    assert len({server.token, tab.session, Client(server).open().session}) == 3
    assert len(server.token) == 43  # 256 bits


# --------------------------------------------------------------------------------------------------------------- paths


@pytest.mark.parametrize(
    "path",
    [
        "../../../../etc/passwd", "%2e%2e/%2e%2e/etc/passwd", "..%2f..%2fetc%2fpasswd", "/etc/passwd", "//etc/passwd",
        "page.js/../../server.py", "page.js%00.html", "page.js\0", "page.html", "PAGE.JS", "page.js?a=b", "viewer.js/",
        "assets/page.js", "\\..\\..\\x", ".", "..", "sessions/../page.js",
    ],
)  # fmt: skip
def test_only_listed_paths_exist(server: Server, path: str) -> None:
    address = f"/{server.token}/{path}".encode("latin-1")
    own = f"127.0.0.1:{server.server_port}".encode()
    answer = send(server, b"GET " + address + b" HTTP/1.1\r\nHost: " + own + b"\r\n\r\n")
    assert int(answer.split()[1]) in (400, 403, 404), answer
    assert b"root:" not in answer


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "HEAD", "TRACE", "CONNECT", "PATCH", "GETT"])
def test_only_get_and_post_exist(server: Server, method: str) -> None:
    own = f"127.0.0.1:{server.server_port}"
    answer = send(server, f"{method} /{server.token}/ HTTP/1.1\r\nHost: {own}\r\n\r\n".encode())
    assert answer.split()[1] == b"501"


def test_a_path_has_one_method(tab: Client) -> None:
    assert tab.ask("GET", "sessions").status == 404
    assert tab.ask("POST", "", "{}").status == 404


@pytest.mark.parametrize("steps", [
    "denoise:weights=/etc/passwd", "denoise:weights=hf://a/b", "denoise:weights=../x.safetensors",
    "denoise:weights=tiny.safetensors", "nonsense", "", "denoise," * 100, "denoise:strength=7", "denoise:strength=nan",
])  # fmt: skip
def test_steps_name_no_files_and_no_nonsense(tab: Client, steps: str, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(tmp_path / "a.png")
    picture = tab.upload(tmp_path / "a.png")["id"]
    body = f'{{"picture": "{picture}", "steps": "{steps}"}}'
    assert tab.ask("POST", f"{tab.session}/jobs", body).status == 400


@pytest.mark.parametrize("body", [
    "", "[]", "nonsense", "{", '{"picture": 1, "steps": "denoise"}', '{"picture": "x", "steps": ["denoise"]}',
    '{"picture": "PICTURE", "steps": "denoise", "region": [0, 0, 9999, 9999]}', "[" * 9000, "\xff",
    '{"picture": "PICTURE", "steps": "denoise", "region": [0, 0, 0, 5]}',
    '{"picture": "PICTURE", "steps": "denoise", "region": [-1, 0, 5, 5]}',
    '{"picture": "PICTURE", "steps": "denoise", "region": [0, 0, 1.5, 5]}',
    '{"picture": "PICTURE", "steps": "denoise", "region": "center:5"}',
    '{"picture": "PICTURE", "steps": "denoise", "format": "../x"}',
    '{"picture": "PICTURE", "steps": "denoise", "format": ["png"]}',
    '{"picture": "PICTURE", "steps": "denoise", "path": "/etc/passwd"}',
])  # fmt: skip
def test_a_job_that_makes_no_sense_is_refused(tab: Client, body: str, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(tmp_path / "a.png")
    picture = tab.upload(tmp_path / "a.png")["id"]
    answer = tab.ask("POST", f"{tab.session}/jobs", body.replace("PICTURE", picture).encode("latin-1"))
    assert answer.status in (400, 404)
    assert answer.value["reason"]


def test_a_crop_beyond_the_picture_fails(tab: Client, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(tmp_path / "a.png")
    assert tab.restore(tab.upload(tmp_path / "a.png")["id"], region=[30, 0, 20, 20])["state"] == "failed"


# -------------------------------------------------------------------------------------------------------------- bodies


def head(server: Server, path: str, *lines: str) -> bytes:
    own = f"127.0.0.1:{server.server_port}"
    first = [f"POST /{server.token}/{path} HTTP/1.1", f"Host: {own}", *lines]
    return "\r\n".join([*first, "", ""]).encode()


def test_a_body_over_the_limit_is_refused_before_it_is_read(server: Server, tab: Client) -> None:
    begun = time.monotonic()
    answer = send(server, head(server, f"{tab.session}/pictures?name=a.png", f"Content-Length: {1 << 30}"))
    assert answer.split()[1] == b"413" and time.monotonic() - begun < 5
    assert used(server) == NOTHING


@pytest.mark.parametrize("lines", [
    ["Transfer-Encoding: chunked"], ["Transfer-Encoding: chunked", "Content-Length: 5"], [], ["Content-Length: -1"],
    ["Content-Length: 1e3"], ["Content-Length: 5", "Content-Length: 6"], ["Content-Length: +5"],
    ["Content-Length: 99999999999999999999"],
])  # fmt: skip
def test_a_body_of_unknown_length_is_refused(server: Server, tab: Client, lines: list[str]) -> None:
    for path in (f"{tab.session}/pictures?name=a.png", "sessions"):
        answer = send(server, head(server, path, *lines) + b"40000000\r\n" + b"x" * 1000)
        assert answer.split()[1] in (b"411", b"501")
    assert used(server) == NOTHING


def test_a_chunked_gigabyte_is_cut_off(server: Server, tab: Client) -> None:
    sent = 0
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as connection:
        connection.sendall(head(server, f"{tab.session}/pictures?name=a.png", "Transfer-Encoding: chunked"))
        try:
            for _ in range(1024):
                connection.sendall(b"100000\r\n" + b"x" * (1 << 20) + b"\r\n")
                sent += 1
        except OSError:
            pass
    assert sent < 1024
    assert used(server) == NOTHING


def test_a_body_that_ends_early_or_comes_too_slowly_leaves_nothing(
    server: Server, tab: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = head(server, f"{tab.session}/pictures?name=a.png", "Content-Length: 1000")
    with socket.create_connection(("127.0.0.1", server.server_port)) as connection:
        connection.sendall(request + b"x" * 10)
    wait_for(lambda: used(server) == NOTHING)
    monkeypatch.setattr(http_request, "QUIET", 0.4)
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as connection:
        connection.sendall(request)
        begun = time.monotonic()
        with pytest.raises(OSError):
            for _ in range(100):  # a byte at a time, each within the time of silence
                connection.sendall(b"x")
                time.sleep(0.1)
        assert time.monotonic() - begun < 5
    wait_for(lambda: used(server) == NOTHING)


def test_a_head_that_comes_too_slowly_ends(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_request, "_HEAD", 0.3)
    begun = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as connection, pytest.raises(OSError):
        for _ in range(100):
            connection.sendall(b"G")
            time.sleep(0.1)
    assert time.monotonic() - begun < 5


def test_the_limit_of_all_files_holds_and_removing_one_makes_room(server: Server, tab: Client, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"x" * SMALL)
    pictures = [tab.upload(tmp_path / "a.txt")["id"] for _ in range((1 << 20) // SMALL)]
    address = f"{tab.session}/pictures?name=a.txt"
    assert tab.ask("POST", address, b"x" * SMALL).status == 507
    tab.ask("POST", f"{tab.session}/pictures/{pictures[0]}/remove", "{}")
    assert tab.ask("POST", address, b"x" * SMALL).status == 201


def test_a_tab_holds_so_many_pictures(server: Server, tab: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("restore.web.sessions.MOST_PICTURES", 2)
    statuses = [tab.ask("POST", f"{tab.session}/pictures?name=a", b"x").status for _ in range(3)]
    assert statuses == [201, 201, 400]


def test_so_many_tabs_are_open(server: Server) -> None:
    statuses = [Client(server).ask("POST", "sessions", "{}").status for _ in range(server_module.MOST_TABS + 1)]
    assert statuses == [200] * server_module.MOST_TABS + [429]
    assert statuses[-1] == 429
    next(iter(server.sessions.values())).seen -= 1000  # silent for long
    assert Client(server).ask("POST", "sessions", "{}").status == 200


def test_200_requests_at_once_are_answered_or_refused_by_few_threads(server: Server) -> None:
    most = 0

    def one(_: int) -> int:
        nonlocal most
        most = max(most, sum("process_request_thread" in thread.name for thread in threading.enumerate()))
        try:
            return Client(server).ask("GET", "page.js").status
        except OSError:
            return 503

    with ThreadPoolExecutor(200) as pool:
        statuses = list(pool.map(one, range(200)))
    assert set(statuses) <= {200, 503}
    assert statuses.count(200) >= 100
    assert most <= server_module.MOST_CONNECTIONS
    assert Client(server).ask("GET", "").status == 200


def test_silent_connections_free_their_places(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_request, "_HEAD", 0.3)
    silent = [
        socket.create_connection(("127.0.0.1", server.server_port)) for _ in range(server_module.MOST_CONNECTIONS)
    ]
    assert Client(server).ask("GET", "").status == 200
    for connection in silent:
        connection.close()


# ------------------------------------------------------------------------------------------------------ other protocols


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ("GET {path}\r\n\r\n", None),  # HTTP/0.9 has no host
        ("GET {path} HTTP/1.0\r\n\r\n", 403),
        ("GET http://{host}{path} HTTP/1.1\r\nHost: {host}\r\n\r\n", 403),
        ("GET {path} HTTP/1.1\r\nHost: {host}\r\nX: " + "a" * 70_000 + "\r\n\r\n", 431),
        ("GET {path} HTTP/1.1\r\nHost: {host}\r\n" + "X: a\r\n" * 200 + "\r\n", 431),
        ("GET {path}" + "a" * 70_000 + " HTTP/1.1\r\nHost: {host}\r\n\r\n", 414),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", None),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", None),  # TLS
    ],
)
def test_other_protocols_and_endless_heads_open_nothing(server: Server, request_: str, status: int | None) -> None:
    host = f"127.0.0.1:{server.server_port}"
    answer = send(server, request_.format(path=f"/{server.token}/", host=host).encode("latin-1"))
    if status is not None:
        assert int(answer.split()[1]) == status
    assert b"<title>" not in answer and b'"reason"' in answer
    assert Client(server).ask("GET", "").status == 200


def test_a_websocket_is_not_opened(server: Server, tab: Client) -> None:
    lines = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAA\r\n"
    own = f"127.0.0.1:{server.server_port}"
    head = f"GET /{server.token}/page.css HTTP/1.1\r\nHost: {own}\r\n{lines}"
    assert send(server, f"{head}\r\n".encode()).split()[1] == b"200"  # an answer as to any other request
    assert send(server, f"{head}Origin: http://evil.example\r\n\r\n".encode()).split()[1] == b"403"


def test_a_request_behind_another_is_not_answered(server: Server) -> None:
    own = f"127.0.0.1:{server.server_port}"
    one = f"GET /{server.token}/page.css HTTP/1.1\r\nHost: {own}\r\nConnection: keep-alive\r\n\r\n"
    assert send(server, one.encode() * 3).count(b"HTTP/1.0 200") == 1


def test_clients_that_are_killed_in_a_download_or_an_event_stream_free_their_places(
    server: Server, tab: Client, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (100, 100, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    done = tab.restore(tab.upload(tmp_path / "a.png")["id"])
    for path in (f"jobs/{done['id']}/result", "events"):
        own = f"127.0.0.1:{server.server_port}"
        request = f"GET /{server.token}/{tab.session}/{path} HTTP/1.1\r\nHost: {own}\r\n\r\n"
        for _ in range(10):
            connection = socket.socket()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # as if killed
            connection.connect(("127.0.0.1", server.server_port))
            connection.sendall(request.encode())
            connection.recv(10)
            connection.close()
    tab.ask("POST", f"{tab.session}/close", "{}")
    wait_for(lambda: not [one for one in threading.enumerate() if "process_request_thread" in one.name])
    assert used(server) == NOTHING
    assert "Traceback" not in capfd.readouterr().err


# --------------------------------------------------------------------------------------------------- names and pictures


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("/etc/passwd", "passwd"),
        ("C:\\windows\\win.ini", "win.ini"),
        ("a\0b.png", "ab.png"),
        ('"><img src=x onerror=alert(1)>.png', '"><img src=x onerror=alert(1)>.png'),
        ("a\r\nSet-Cookie: x=1.png", "aSet-Cookie: x=1.png"),
        ("photo\u202egnp.exe", "photognp.exe"),
        ("..", "picture"),
        (".bashrc", "bashrc"),
        ("Grüße 写真.png", "Grüße 写真.png"),
        ("x" * 900 + ".png", "x" * 188 + "xxxxxxxx.png"),
        ("CON", "CON"),
        ("%2e%2e%2fx.png", "%2e%2e%2fx.png"),
        ("\ud800.png".encode("utf-8", "surrogatepass").decode("latin-1"), None),
    ],
)
def test_names_are_text_and_never_paths(
    server: Server, tab: Client, tmp_path: Path, name: str, shown: str | None
) -> None:
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(tmp_path / "a.png")
    picture = tab.upload(tmp_path / "a.png", name)
    assert shown is None or picture["name"] == shown
    files = [path for path in server.storage.folder.rglob("*") if path.is_file()]
    assert all(re.fullmatch(r"lock|source(\.\w+)?|[0-9a-f]{32}-thumb\.jpeg", path.name) for path in files)
    done = tab.restore(picture["id"])
    answer = tab.ask("GET", f"{tab.session}/jobs/{done['id']}/result")
    disposition = answer.headers["content-disposition"]
    assert re.fullmatch(r"attachment; filename=\"[\w .()-]*\"; filename\*=UTF-8''[\w.~%-]*", disposition, re.ASCII)
    assert "set-cookie" not in answer.headers
    assert answer.headers["content-type"] == "application/octet-stream"


def test_a_name_that_is_no_name_is_refused(tab: Client) -> None:
    for query in ("", "?", "?name=", "?name=a&b=c", "?name=a/b", "?name=" + "a" * 4000):
        assert tab.ask("POST", f"{tab.session}/pictures{query}", b"x").status in (400, 404)


def png_of(width: int, height: int) -> bytes:
    """A small PNG that states a size and holds one row of zeros."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(60_000))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("content", [
    png_of(60_000, 60_000), png_of(20_000, 20_000), b"", b"\0" * 5000, b"GIF89a", b"\xff\xd8\xff\xe0", b"<svg/>",
    b"<html><script>alert(1)</script>", b"PK\x03\x04" + b"x" * 500, os.urandom(5000),
])  # fmt: skip
def test_bombs_and_other_files_fail_and_the_next_picture_works(tab: Client, content: bytes, tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(content)
    picture = tab.upload(tmp_path / "bomb.png")
    works = [work for work in tab.seen().works.values() if work["picture"] == picture["id"]]
    assert (works[0]["state"], picture["facts"]) == ("failed", None)
    assert tab.restore(picture["id"])["state"] == "failed"
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(tmp_path / "a.png")
    assert tab.restore(tab.upload(tmp_path / "a.png")["id"])["state"] == "done"


def test_removing_a_picture_while_it_is_restored_leaves_nothing(
    server: Server, tab: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tiny_networks import Tiny

    forward, has_begun, go = Tiny.forward, threading.Event(), threading.Event()

    def slow(self, degraded):  # type: ignore[no-untyped-def]
        has_begun.set()
        assert go.wait(10)
        return forward(self, degraded)

    monkeypatch.setattr(Tiny, "forward", slow)
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(tmp_path / "a.png")
    picture = tab.upload(tmp_path / "a.png")["id"]
    work = tab.start(picture)["id"]
    assert has_begun.wait(10)
    tab.ask("POST", f"{tab.session}/pictures/{picture}/remove", "{}")
    go.set()
    assert tab.end_of(work)["state"] == "cancelled"
    wait_for(lambda: used(server) == NOTHING)

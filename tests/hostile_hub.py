"""Answers of a hostile or broken Hub, as data: what changes, and what a download must say.

`ANSWERS` holds them by name. `attack` installs one on a Hub of `hub_server`. `{outside}` in a value is a folder that no
download may touch, `{other}` another server, and `{hub}` the Hub.
"""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from hub_server import Answer, Hub

HASH = "0123456789abcdef0123456789abcdef01234567"


@dataclass(frozen=True)
class Hostile:
    """How answers change.

    Attributes:
        says: Words in the error; None if the download succeeds all the same.
        at: Method and start of the path that are meant.
        headers: New headers; None removes one.
        status, body, pause: New values; None leaves them.
        after: The first so many answers that are meant stay honest.
    """

    says: str | None
    at: tuple[str, str] = ("HEAD", "/owner/net/resolve/")
    headers: dict[str, str | None] = field(default_factory=dict)
    status: int | None = None
    body: bytes | Callable[[], Iterable[bytes]] | None = None
    pause: float | None = None
    after: int = 0


FILE, INFO = ("GET", "/large/"), ("GET", "/api/models/")
_ELSEWHERE = (
    '"{outside}/x.py"', '"../../../../outside/x"', '"..\\\\..\\\\x"', "C:\\x", '""', '"a"', f'"{"a" * 5000}"',
    '"%2e%2e/x"', 'W/"../x"', f'"{"g" * 40}"', f'"{HASH[:39]}"', f'"{HASH}0"', f'"{HASH}/../x"', f'"{HASH}""', "../x",
)  # fmt: skip
_BLANKS = b" " * 10**7
_ANY = ""  # refused by the HTTP library: any words of ours


def _endless() -> Iterable[bytes]:
    return itertools.repeat(bytes(1 << 16))


def _info(**changes: object) -> bytes:
    info = {"id": "owner/net", "sha": HASH, "siblings": [{"rfilename": "model.safetensors", "size": 9}], "tags": []}
    return json.dumps(info | changes).encode()


ANSWERS: dict[str, Hostile] = {
    **{f"hash {v[:24]}": Hostile("hash of the file", headers={"X-Linked-Etag": v}) for v in _ELSEWHERE},
    **{
        f"etag {v[:24]}": Hostile("no hash or no commit", headers={"X-Linked-Etag": None, "ETag": v})
        for v in _ELSEWHERE
    },
    **{
        f"etag without a redirect {v[:24]}": Hostile(
            "hash of the file", status=200, headers={"X-Linked-Etag": None, "ETag": v, "Location": None}
        )
        for v in _ELSEWHERE
    },
    **{
        f"commit {v[:24]}": Hostile("as the commit", headers={"X-Repo-Commit": v.replace('"', "")})
        for v in _ELSEWHERE
        if v not in ('""', f'"{HASH}""')
    },
    "no commit": Hostile("no hash or no commit", headers={"X-Repo-Commit": None}),
    "no hash": Hostile("no hash or no commit", headers={"X-Linked-Etag": None, "ETag": None}),
    "hash with NUL": Hostile(_ANY, headers={"X-Linked-Etag": '"a\0b"'}),
    "hash with ESC": Hostile("control characters", headers={"X-Linked-Etag": '"\x1b[2J"'}),
    "commit of a missing file": Hostile(
        "as the commit", status=404, headers={"X-Error-Code": "EntryNotFound", "X-Repo-Commit": "../../../outside/x"}
    ),
    "weak but right hash": Hostile(None, headers={"ETag": f'W/"{HASH}"'}),
    "hash on a later hop": Hostile(
        "hash of the file", status=307, headers={"Location": "{hub}/hop", "X-Linked-Etag": None, "ETag": None}
    ),
    "second file": Hostile("hash of the file", headers={"X-Linked-Etag": '"{outside}/x"'}, after=1),
    # Redirects
    "circle": Hostile("redirects in a circle", status=302, headers={"Location": "/owner/net/resolve/main/x"}),
    "circle of the file list": Hostile("redirects in a circle", INFO, {"Location": "{hub}/api/models/owner/net"}, 302),
    "circle of the file": Hostile("redirects in a circle", FILE, {"Location": "?again"}, 302),
    **{
        f"redirect to {place[:12]!r}": Hostile(_ANY, headers={"Location": place})
        for place in ("file:/etc/passwd", "ftp://a/b", "javascript:alert(1)", "http://[::bad/", "http://a\x1b[2J/",
                      "http://a:99999999/", "http://" + "a" * 9000 + "/", "data:,a")
    },
    # Xet: a library past the guard, from an address of the server
    "xet": Hostile(None, headers={"X-Xet-Hash": "0" * 64, "X-Xet-Refresh-Route": "{other}/xet"}),
    "xet in a link": Hostile(None, headers={"X-Xet-Hash": "../../x", "Link": '<{other}/xet>; rel="xet-auth"'}),
    # Sizes
    **{
        f"size {size[:12]}": Hostile(says, headers={"X-Linked-Size": size})
        for size, says in (
            ("-5", "size of the file"), ("1e9", "size of the file"), ("9" * 5000, "size of the file"),
            ("1_0", "size of the file"), ("0x10", "size of the file"), ("5000000000", "announces 5,000,000,000 bytes"),
        )
    },
    "longer than announced": Hostile("more than the", FILE, body=_endless),
    "endless without a size": Hostile("more than the", FILE, {"Content-Range": None}, body=_endless),
    "shorter than announced": Hostile("is cut", FILE, body=b"short"),
    "length above the limit": Hostile("announces 9,000,000,000,000 bytes", FILE, {"Content-Length": "9000000000000"}),
    "wrong range": Hostile("range of its answer", FILE, {"Content-Range": "bytes 0-9/x"}, 206),
    "gzip bomb": Hostile("compresses", FILE, {"Content-Encoding": "gzip"}, body=gzip.compress(bytes(10**6))),
    "gzip bomb as file list": Hostile("compresses", INFO, {"Content-Encoding": "gzip"}, body=gzip.compress(_BLANKS)),
    # The file list
    "endless file list": Hostile("more than the", INFO, body=_endless),
    "endless error page": Hostile("more than the", INFO, status=500, body=_endless),
    "web page": Hostile("a web page answers", INFO, {"Content-Type": "text/html"}, body=b"<html>Sign in</html>"),
    "web page as error": Hostile("error 503", INFO, {"Content-Type": "text/html"}, 503, b"<html>\x1b[2J</html>"),
    **{
        f"file list {name}": Hostile(says, INFO, body=body)
        for name, says, body in (
            ("empty", "makes no sense", b""),
            ("of nothing", "makes no sense", b"null"),
            ("as list", "makes no sense", b"[1]"),
            ("as number", "makes no sense", b"1" * 6000),
            ("deep", "makes no sense", b"[" * 10**5),
            ("not UTF-8", "makes no sense", b'{"id": "\xff"}'),
            ("without names", "makes no sense", _info(siblings=[{"size": 1}])),
            ("of numbers", "has no .safetensors file", _info(siblings=[{"rfilename": 5}, {"rfilename": None}])),
            ("as text", "makes no sense", _info(siblings="abc")),
            ("with wrong dates", "makes no sense", _info(lastModified="\x1b[2J")),
            ("with a wrong commit", "no valid commit", _info(sha="../../../outside/x")),
            ("with a commit of another type", "no valid commit", _info(sha=5)),
            ("with names outside", "has no .safetensors file", _info(
                siblings=[{"rfilename": name} for name in ("../../../outside/x.safetensors", "/x.safetensors",
                          "a\\b.safetensors", "C:x.safetensors", "a/../b.safetensors", "\x1b.safetensors")])),
            ("with a wrong hash", "no valid SHA-256", _info(siblings=[
                {"rfilename": "model.safetensors", "lfs": {"sha256": "../x", "size": 1, "pointerSize": 1}}])),
        )
    },
    # Headers
    "many headers": Hostile("headers", headers={f"X-{i}": "a" for i in range(300)}),
    "long header": Hostile(_ANY, headers={"X-Long": "a" * 10**6}),
    "warning on the terminal": Hostile(None, headers={"X-HF-Warning": "a; EVIL"}),
    "name of a file on the terminal": Hostile(None, FILE, {"Content-Disposition": 'attachment; filename="EVIL";'}),
    "text of an error": Hostile("error 400, ?[2J", INFO, status=400, body=b'{"error": "\\u001b[2J\\nmore"}'),
    "errors that are no list": Hostile("error 400", INFO, status=400, body=b'{"errors": 5}'),
    "deep error": Hostile("error 400", INFO, status=400, body=b"[" * 10**5),
    "wait for years": Hostile("too many requests", INFO, {"Retry-After": "999999999"}, 429),
    "wait for years in the download": Hostile("too many requests", FILE, {"Retry-After": "999999999"}, 429),
    "limit for years": Hostile("too many requests", FILE, {"RateLimit": '"a";r=0;t=999999999'}, 429),
    # Time
    "headers byte by byte": Hostile("bytes per second", pause=0.05, headers={"X-Long": "a" * 9999}),
    "file list byte by byte": Hostile("bytes per second", INFO, pause=0.05, body=b" " * 9999),
    "file byte by byte": Hostile("bytes per second", FILE, pause=0.05),
}  # fmt: skip

QUICK = (
    'hash "{outside}/x.py"', 'etag "../../../../outside/x"', 'commit "../../../../outside/x"',
    "commit of a missing file", "hash on a later hop", "second file", "circle of the file list", "xet",
    "size 5000000000", "longer than announced", "gzip bomb", "endless file list", "web page", "file list deep",
    "file list with names outside", "warning on the terminal", "wait for years in the download", "headers byte by byte",
)  # fmt: skip
"""One of each kind, for the default run of the tests."""

CONFIGS: dict[str, tuple[bytes, str]] = {
    "deep": (b"[" * 10**5, "nested too deeply"),
    "deep and closed": (b'{"a":' * 30000 + b"1" + b"}" * 30000, "is nested too deeply"),
    "long number": (b'{"steps": ' + b"9" * 5000 + b"}", "not JSON"),
    "key twice": (b'{"sha256": "a", "sha256": "b"}', "has the key 'sha256' twice"),
    "not a number": (b'{"hours": NaN}', "NaN, which is no number of JSON"),
    "infinity": (b'{"hours": -Infinity}', "-Infinity, which is no number of JSON"),
    "too large number": (b'{"hours": 1e999}', "1e999, which is no number of JSON"),
    "web page": (b"<html>", "is not JSON"),
    "not UTF-8": (b'{"a": "\xff"}', "is not JSON"),
    "empty": (b"", "is not JSON"),
    "large": (b'{"a": "' + b"a" * 10**6 + b'"}', "announces 1,000,009 bytes"),
}
"""Contents of a config.json, and the words that refuse it."""


def attack(hub: Hub, hostile: Hostile, *, outside: Path, other: str) -> None:
    """Let a Hub answer so.

    Args:
        hub: The Hub.
        hostile: What changes.
        outside: The folder for `{outside}`.
        other: The address for `{other}`.
    """
    met = itertools.count()

    def place(text: str) -> str:
        return text.replace("{outside}", str(outside)).replace("{other}", other).replace("{hub}", hub.url)

    def twist(method: str, path: str, answer: Answer) -> None:
        if method == "HEAD" and path == "/hop":  # where "hash on a later hop" leads
            answer.status, answer.headers = (
                200,
                {"X-Repo-Commit": HASH, "ETag": f'"{outside}/x"', "Content-Length": "9"},
            )
        if method != hostile.at[0] or not path.startswith(hostile.at[1]) or next(met) < hostile.after:
            return
        for name, value in hostile.headers.items():
            answer.headers.pop(name, None)
            if value is not None:
                answer.headers[name] = place(value)
        answer.status = hostile.status or answer.status
        if hostile.body is not None:
            answer.body = hostile.body() if callable(hostile.body) else hostile.body
        answer.pause = hostile.pause or 0

    hub.twist = twist


def tree(folder: Path) -> set[str]:
    """All names below a folder."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}

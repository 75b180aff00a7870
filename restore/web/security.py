"""Who may talk to the server, and what the browser may do with its answers."""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Mapping
from urllib.parse import quote

HEADERS = {
    # Nothing but our own files runs or loads, and no page can frame ours.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",  # the address holds the token
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Sent with every answer."""

_LONGEST_NAME = 200  # characters
_LONGEST_SUFFIX = re.compile(r"\.[a-z0-9]{1,8}", re.ASCII)


def new_token() -> str:
    """256 random bits, as letters, digits, `-` and `_`."""
    return secrets.token_urlsafe(32)


def new_id() -> str:
    """A name that nobody can guess, for a picture, a job or a tab."""
    return secrets.token_hex(16)


def is_token(given: str, token: str) -> bool:
    """Whether `given` is the token; the time tells nothing about where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), token.encode("ascii"))


def refusal(headers: Mapping[str, list[str]], port: int) -> str | None:
    """Why a request is not from our own page or the address bar; None if it may be.

    The check of Host stops DNS rebinding: a foreign name that leads to 127.0.0.1 still stands in Host. The check of
    Origin stops requests that other pages send.

    >>> refusal({"host": ["127.0.0.1:8000"], "origin": ["http://evil.example"]}, 8000)
    'it comes from another page'

    Args:
        headers: Name in lower case -> all its values.
        port: Where the server listens.
    """
    hosts = headers.get("host", [])
    if len(hosts) != 1 or hosts[0].lower() not in (f"127.0.0.1:{port}", f"localhost:{port}"):
        return "it names another host"
    origins = headers.get("origin", [])
    if any(origin.lower() != f"http://{hosts[0].lower()}" for origin in origins):
        return "it comes from another page"
    # Sent by browsers alone. `none` is the address bar or a bookmark.
    if any(site.lower() not in ("same-origin", "none") for site in headers.get("sec-fetch-site", [])):
        return "it comes from another page"
    return None


def clean_name(name: str) -> str:
    """The last part of a path that a browser gives, printable and not hidden. It is text to show, never a path.

    >>> clean_name("C:\\\\photos\\\\..\\\\a\\x00b.jpg"), clean_name("../../.ssh/"), clean_name("..")
    ('ab.jpg', 'ssh', 'picture')
    """
    parts = [part for part in re.split(r"[/\\]", name) if part.strip(". ")]
    shown = "".join(c for c in (parts[-1] if parts else "") if c.isprintable())  # also without marks of direction
    shown = shown.lstrip(". ").rstrip(". ")
    if len(shown) > _LONGEST_NAME:
        shown = shown[: _LONGEST_NAME - 12] + shown[-12:]  # keep the extension
    return shown or "picture"


def safe_suffix(name: str) -> str:
    """The extension of a name, in lower case, if it is one; else empty.

    >>> safe_suffix("a.JPG"), safe_suffix("a.j/../pg"), safe_suffix("a")
    ('.jpg', '', '')
    """
    dot = name.rfind(".")
    suffix = name[dot:].lower() if dot > 0 else ""
    return suffix if _LONGEST_SUFFIX.fullmatch(suffix) else ""


def attachment(name: str) -> str:
    """The value of Content-Disposition for a download (RFC 6266; characters beyond ASCII as in RFC 5987).

    >>> print(attachment('a"b.jpg'))
    attachment; filename="a_b.jpg"; filename*=UTF-8''a%22b.jpg
    """
    plain = re.sub(r"[^A-Za-z0-9 ._()-]", "_", name)
    encoded = quote(name.encode("utf-8", "replace"), safe="")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}"

"""Names that are no path on this machine, such as URLs and Windows paths: what to type instead."""

from __future__ import annotations

import os
import re
import shlex
from urllib.parse import unquote, urlsplit

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(?=[^/])|(data):(?=\w+/)")  # a path object keeps one slash of two
_DRIVE = re.compile(r"([A-Za-z]):[\\/]")
_WINDOWS = "it is a Windows path, and this is another system"
_A_URL = "it is a URL, not a path"


def foreign(text: str, *, is_output: bool = False) -> tuple[str, str] | None:
    """Why `text` is no path here, and what to type instead; None if it may be one.

    A file that exists is never foreign.

    Args:
        text: An input or output as the user wrote it.
        is_output: It is to be written, not read.

    >>> foreign("https://example.org/a.jpg")
    ('it is a URL, not a path', "download it first: curl -LO 'https://example.org/a.jpg'")
    >>> foreign("file:///tmp/my%20photo.jpg")
    ('it is a URL, not a path', "type its path: '/tmp/my photo.jpg'")
    >>> foreign("photo.jpg")
    """
    if is_output and text in ("/dev/stdout", "/dev/fd/1"):
        return "a stream has no extension that tells the format", "-o -"
    if text == "-" or os.path.lexists(text):
        return None
    if match := _URL.match(text):
        scheme = (match[1] or match[2]).lower()
        return _A_URL, _instead_of_url(scheme, f"{scheme}://{text[match.end() :]}", is_output)
    if os.name == "posix":
        here = text.replace("\\", "/")
        if drive := _DRIVE.match(text):
            here = f"/mnt/{drive[1].lower()}/{here[3:]}"  # where Linux in Windows has the drives
        if drive or text.startswith("\\\\") or (here != text and not is_output and os.path.lexists(here)):
            is_here = os.path.lexists(here)
            return _WINDOWS, f"did you mean {shlex.quote(here)}?" if is_here else "a path looks like photos/a.jpg"
    user = re.match(r"~([^/]+)", text)
    return (f"there is no user {user[1]}", "check the name after ~") if user and not is_output else None


def _instead_of_url(scheme: str, url: str, is_output: bool) -> str:
    if scheme == "file":
        host, path = urlsplit(url).netloc, urlsplit(url).path
        # One slash after the colon became two.
        return f"type its path: {shlex.quote(unquote(path if host in ('', 'localhost') else f'/{host}{path}'))}"
    if is_output:
        return "write to a file, then upload it"
    if scheme in ("http", "https", "ftp", "ftps"):
        quoted = f"'{url}'" if "'" not in url else shlex.quote(url)
        return f"download it first: curl -LO {quoted}"
    return "copy it to this machine first"


def at_home(text: str) -> str:
    """`text` with a leading `~` or `~user` replaced by the home folder, as the shell does where it is not quoted."""
    return text if os.path.lexists(text) else os.path.expanduser(text)

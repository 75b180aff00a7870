"""What is said when the Hub, the network or the cache fails: one message and one hint, in our words.

This module imports `huggingface_hub`, so import it only when the Hub is needed.
"""

from __future__ import annotations

import errno
import re
import socket
import ssl
from collections.abc import Iterator
from typing import Any

from huggingface_hub import constants, errors

from restore.checkpoints.hub_client import AnswerError, Exchange, too_slow

LOG_IN = "log in with `hf auth login`, or set HF_TOKEN"

_OF_DISKS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE)
_NETWORK = "check the network, and HF_ENDPOINT if it is set"
_ENDPOINT = "if HF_ENDPOINT is set, check that it is a mirror of the Hub; else try again later"


def explain(error: BaseException, repo: str, place: str, what: str, exchange: Exchange | None) -> tuple[str, str]:
    """Message and hint for an exception of `huggingface_hub`, its HTTP library or the file system.

    Args:
        error: The exception.
        repo: `owner/name`.
        place: Revision and file as the user knows them, for "has no ...".
        what: The start of the message, such as "cannot download hf://owner/name".
        exchange: What the guard of the connection saw; None if there was no connection.
    """
    chain = list(_chain(error))
    if exchange and exchange.is_late:
        reason, hint = too_slow()
        return f"{what}: {reason}", hint
    for one in chain:
        if isinstance(one, AnswerError):
            return f"{what}: {one.reason}", one.hint
        if isinstance(one, errors.OfflineModeIsEnabled):
            return f"{what}: HF_HUB_OFFLINE is set", "unset it, or choose weights on this machine"
        if isinstance(one, errors.HFValidationError):
            return f"{repo!r} is not a valid repository name", "write owner/name with letters, digits, '-', '_' and '.'"
        if said := _refusal(one, repo, place, what):
            return said
    for find in (_disk, _network):
        for one in reversed(chain):  # the first cause says most
            if said := find(one):
                return f"{what}: {said[0]}", said[1]
    return _unintelligible(chain, what, exchange)


def first_line(text: object) -> str:
    """The first line of a foreign text, printable and cut to 200 characters.

    >>> first_line("\\x1b[2J bad\\nmore")
    '?[2J bad'
    """
    line = next((line.strip() for line in str(text)[:2000].splitlines() if line.strip()), "")
    return "".join(character if character.isprintable() else "?" for character in line[:200])


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and its causes."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__  # the HTTP library hides the error of the socket


def _refusal(error: BaseException, repo: str, place: str, what: str) -> tuple[str, str] | None:
    """Message and hint if the Hub answers with an error of HTTP."""
    if isinstance(error, errors.GatedRepoError):
        return f"{repo} needs the permission of its owners", f"request access on its page, then {LOG_IN}"
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            f"the Hub has no repository {repo}, or it is private",
            f"check the spelling; if it is private, {LOG_IN} to a token with read access",
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{repo} has no revision {place}", "use an existing branch, tag or commit"
    if isinstance(error, errors.RemoteEntryNotFoundError):
        return f"{repo} has no file {place}", "see the file list on its page"
    response: Any = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    if status is None:
        return None
    if status == 401:
        return f"{what}: the Hub rejects your token", LOG_IN
    if status == 403:
        return f"{what}: your token lacks permission", "grant it on the Hub's access token page"
    if status == 429:
        wait = response.headers.get("Retry-After", "")
        wait = f"{wait} seconds" if re.fullmatch(r"[0-9]{1,6}", wait) else "a few minutes"
        return f"{what}: too many requests to the Hub", f"try again in {wait}; logged-in users may send more"
    said = first_line(getattr(error, "server_message", None) or "")
    again = "try again later" if status >= 500 else _ENDPOINT
    return f"{what}: the Hub answers with error {status}" + (f", {said}" if said else ""), again


def _disk(error: BaseException) -> tuple[str, str] | None:
    """Reason and hint if a file cannot be written."""
    if not isinstance(error, OSError) or (error.filename is None and error.errno not in _OF_DISKS):
        return None  # errors of sockets have no file name
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full", f"free some space, or set HF_HOME to a folder on another disk than {_cache()}"
    reason = error.strerror or "it cannot be read or written"
    return f"the Hub's cache {_cache()} cannot be used: {reason}", "check its permissions, or set HF_HOME"


def _network(error: BaseException) -> tuple[str, str] | None:
    """Reason and hint if there is no connection, or it breaks."""
    names = {kind.__name__ for kind in type(error).__mro__ if kind.__module__.startswith(("httpx", "httpcore"))}
    if isinstance(error, socket.gaierror):
        return "the name of the host is unknown", _NETWORK
    if isinstance(error, ssl.SSLCertVerificationError):
        return "the certificate of the host is not valid", "check the clock; behind a company's proxy set SSL_CERT_FILE"
    if isinstance(error, ssl.SSLError):
        return "no encrypted connection is possible", _NETWORK
    if "ProxyError" in names:
        return "the proxy refuses the connection", "check HTTP_PROXY, HTTPS_PROXY and NO_PROXY"
    if isinstance(error, ConnectionRefusedError):
        return "the connection is refused", _NETWORK
    if names & {"TooManyRedirects"}:
        return "the Hub redirects in a circle", _ENDPOINT
    if names & {"UnsupportedProtocol", "InvalidURL"}:
        return "the address is not one of HTTP", "check HF_ENDPOINT and the variables of your proxy"
    if names & {"TimeoutException"} or isinstance(error, TimeoutError):
        return "the Hub does not answer in time", _NETWORK
    if names & {"NetworkError", "ProtocolError"} or isinstance(error, ConnectionError):
        return "the connection broke", f"try again; {_NETWORK}"
    if isinstance(error, OSError) and error.errno and error.filename is None:
        return f"the network fails: {error.strerror}", _NETWORK
    return None


def _unintelligible(chain: list[BaseException], what: str, exchange: Exchange | None) -> tuple[str, str]:
    """Message and hint for what is left: an answer that is not the Hub's, or not whole."""
    if exchange is None or exchange.status is None:
        return f"{what}: the address or the Hub's cache {_cache()} is damaged", "check HF_ENDPOINT and HF_HOME"
    if exchange.status >= 400:
        return f"{what}: the Hub answers with error {exchange.status}", "try again later"
    if any(isinstance(error, errors.FileMetadataError) for error in chain):
        return f"{what}: the Hub states no hash or no commit of the file", _ENDPOINT
    announced = exchange.announced
    if any(isinstance(error, OSError) for error in chain) and announced is not None:
        return (
            f"{what}: the file is cut: the Hub announces {announced:,} bytes and sends {exchange.received:,}",
            "try again",
        )
    if "html" in exchange.content_type:
        return f"{what}: a web page answers instead of the Hub", f"log in to the network you are on; {_ENDPOINT}"
    return f"{what}: the Hub's answer makes no sense", _ENDPOINT


def _cache() -> str:
    return str(constants.HF_HUB_CACHE)

"""Files at URLs, such as `s3://bucket/a.jpg`, by the file systems of fsspec, which are imported only when used."""

from __future__ import annotations

import errno
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from restore.errors import PictureError, RestoreError, UsageError
from restore.images import FORMATS, READABLE

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_NO_STORE = frozenset({"file", "local", "data"})
_WEB = frozenset({"http", "https"})
_BUCKETS = frozenset({"s3", "s3a", "gs", "gcs"})  # the first part of a path must exist, and cannot be made here
_WHOLE = _BUCKETS | {"abfs", "abfss", "az", "adl", "oss", "hf"}  # where an object appears when all of it is there
_EXTRA = frozenset({"s3", "s3a"}) | _WEB  # what `restore-photos[remote]` installs
_MAGIC = re.compile(r"[*?]")
_MANY = 32  # outputs in one folder from which on it is listed


def is_url(text: str) -> bool:
    """Whether it is the URL of a file or folder that is not on this machine.

    >>> is_url("s3://bucket/a.jpg"), is_url("file:///tmp/a.jpg"), is_url("photos/a.jpg")
    (True, False, False)
    """
    match = _URL.match(text) if "://" in text else None
    return match is not None and match[1].lower() not in _NO_STORE and not os.path.lexists(text)


def name_in(url: str) -> str:
    """The name of a file.

    >>> name_in("https://example.org/my%20photo.jpg?size=2"), name_in("s3://bucket/a?.jpg")
    ('my photo.jpg', 'a?.jpg')
    """
    if _scheme(url) in _WEB:  # urlsplit refuses some texts
        url = unquote(re.split("[?#]", url, maxsplit=1)[0].partition("://")[2].partition("/")[2])
    return url.rpartition("/")[2]


def join(folder: str, place: str) -> str:
    """The URL of a file in a folder. `place` is its path in the folder, as on this machine."""
    return f"{folder.rstrip('/')}/{place.replace(os.sep, '/')}"


def is_many(url: str) -> bool:
    """Whether it is a folder or a pattern. Asks the store only where the name does not tell.

    Raises:
        PictureError, UsageError: The store cannot be asked.
    """
    if url.endswith("/"):
        return True
    if _is_pattern(url):
        return True
    has_picture_name = os.path.splitext(name_in(url))[1].lower() in READABLE
    return not has_picture_name and _scheme(url) not in _WEB and _is_folder(url)


@lru_cache(maxsize=64)
def _is_folder(url: str) -> bool:
    with errors("read", url):
        system, path = _system(url)
        return _exists(system, path) and system.info(path)["type"] == "directory"


@lru_cache(maxsize=64)
def _is_pattern(url: str) -> bool:
    if _scheme(url) in _WEB or not _MAGIC.search(url):
        return False
    with errors("read", url):
        system, path = _system(url)
        return not _exists(system, path)


class Listed(NamedTuple):
    """What is in a folder or fits a pattern.

    Attributes:
        base: The folder that the places are in.
        places: The path of each file in `base`, in order; hidden ones are left out.
        has_folders: Whether there are folders that were not entered.
    """

    base: str
    places: list[str]
    has_folders: bool


def listed(url: str, *, recursive: bool) -> Listed:
    """The files of a folder or a pattern, by one listing of each folder.

    Raises:
        PictureError, UsageError: It is missing, or cannot be read.
    """
    with errors("read", url):
        system, path = _system(url)
        system.invalidate_cache()
        if _is_pattern(url):
            base = url[: _MAGIC.search(url).start()].rpartition("/")[0]  # type: ignore[union-attr]
            return Listed(base, _places(system, base, system.glob(path)), False)
        if not recursive:
            entries = system.ls(path, detail=True)
            files = [entry["name"] for entry in entries if entry["type"] != "directory"]
            return Listed(url, _places(system, url, files), len(files) < len(entries))
        files = system.find(path)
        if not files:
            system.info(path)
        return Listed(url, _places(system, url, files), False)


def _places(system: Any, base: str, paths: Iterable[str]) -> list[str]:
    above = f"{system._strip_protocol(base).rstrip('/')}/"
    places = ("/".join(filter(None, path.removeprefix(above).split("/"))) for path in paths if path.startswith(above))
    # A name in a store can hold what leads out of a folder of Windows. One that begins with a dot is hidden.
    bad = re.compile(r"(^|/)\." + (r"|[\\:]" if os.name == "nt" else ""))
    return sorted((place for place in places if place and not bad.search(place)), key=_in_order)


def _in_order(place: str) -> tuple[list[str], str]:
    """The pictures of a folder come before those of its folders."""
    folder, _, name = place.rpartition("/")
    return folder.split("/") if folder else [], name


def check_exists(url: str) -> None:
    """Raise a PictureError if a file is missing or its store cannot be asked. Those of web pages are seen when read."""
    if _scheme(url) in _WEB:
        with errors("read", url):
            _system(url)
        return
    with errors("read", url):
        system, path = _system(url)
        system.info(path)


def existing(urls: Iterable[str]) -> set[str]:
    """Those that exist; a folder of many is listed once.

    Raises:
        PictureError: A store cannot be asked.
    """
    folders: dict[str, list[str]] = {}
    for url in urls:
        folders.setdefault(url.rpartition("/")[0], []).append(url)
    found: set[str] = set()
    for folder, together in folders.items():
        with errors("read", folder):
            system, path = _system(folder)
            system.invalidate_cache()
            if len(together) < _MANY:
                found.update(url for url in together if _exists(system, _system(url)[1]))
                continue
            with suppress(FileNotFoundError):
                names = {name.rpartition("/")[2] for name in system.ls(path, detail=False)}
                found.update(url for url in together if url.rpartition("/")[2] in names)
    return found


def is_folder_of_outputs(url: str) -> bool:
    """Whether an output of one picture is a folder, not a file.

    Raises:
        UsageError: It may be neither.
    """
    if url.endswith("/") or _has_format(url):
        return url.endswith("/")
    if _is_folder(url):
        return True
    raise UsageError(
        f"cannot write {url}: its name has no extension that tells the format",
        hint=f"use one of {', '.join(FORMATS)}; for a folder, end the name with /",
    )


def check_folder(url: str) -> None:
    """Raise a UsageError if a folder of outputs has the name of a picture."""
    if _has_format(url):
        folder = os.path.splitext(url)[0]
        raise UsageError(f"{url} is the name of a file, but these inputs need a folder", hint=f"-o {folder}/")


def _has_format(url: str) -> bool:
    return os.path.splitext(url)[1].lower() in FORMATS


def check_output(url: str) -> None:
    """Refuse an output that no run can write.

    Raises:
        PictureError: There is no such bucket, or no access to it.
        UsageError: It is at a place that can only be read.
    """
    scheme = _scheme(url)
    if scheme in _WEB:
        raise UsageError(f"cannot write {url}: {scheme}:// can only be read", hint="write to a folder or a bucket")
    with errors("write", url):
        system, path = _system(url)
        bucket = path.partition("/")[0]
        if scheme not in _BUCKETS:
            return
        with suppress(PermissionError):  # the right to write needs no right to look
            if not _exists(system, bucket):
                raise PictureError(f"cannot write {url}: there is no bucket {bucket}", hint="use another -o")


def fetch(url: str, file: Path) -> None:
    """Copy a file to this machine, with its time of change. A file that is not whole is an error.

    Raises:
        PictureError: It is missing, or cannot be read whole.
    """
    with errors("read", url):
        system, path = _system(url)
        facts: dict[str, Any] = {}
        if _scheme(url) not in _WEB:  # where an address may answer only one question
            facts = system.info(path)
        system.get_file(path, str(file))
        size, there = file.stat().st_size, facts.get("size")
        if there is not None and size != there:
            raise ConnectionError(f"{size} of {there} bytes came")
        changed: Any = next((facts[key] for key in ("LastModified", "mtime", "created") if facts.get(key)), None)
        seconds = changed.timestamp() if isinstance(changed, datetime) else changed
        if isinstance(seconds, int | float):
            os.utime(file, (seconds, seconds))


def put(file: Path, url: str, *, overwrite: bool) -> None:
    """Copy a file to a store, whole or not at all.

    Raises:
        PictureError: It cannot be written, or exists and `overwrite` is False.
    """
    with errors("write", url):
        system, path = _system(url)
        system.invalidate_cache()
        if not overwrite and _exists(system, path):
            raise FileExistsError
        if _scheme(url) in _WHOLE:
            system.put_file(str(file), path)
            return
        folder = path.rpartition("/")[0]
        temporary = f"{folder}/.restore-{secrets.token_hex(8)}.tmp"
        system.makedirs(folder, exist_ok=True)
        try:
            system.put_file(str(file), temporary)
            system.mv(temporary, path)
        except BaseException:
            with suppress(Exception):
                system.rm_file(temporary)
            raise


@contextmanager
def errors(verb: str, url: str) -> Iterator[None]:
    """What a store raises, as an error that says what to do. Each store has error types of its own."""
    try:
        yield
    except RestoreError:
        raise
    except FileExistsError as error:
        hint = "use another -o, --skip-existing, or --overwrite"
        raise PictureError(f"{url} already exists", hint=hint) from error
    except Exception as error:
        why, todo = _why(error, verb, url)
        raise PictureError(f"cannot {verb} {url}: {why}", hint=todo) from error


def _why(error: Exception, verb: str, url: str) -> tuple[str, str | None]:
    """What went wrong, and what to do."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    text = " ".join(str(error).split())
    again = "check the connection; the same command with --skip-existing goes on"
    if isinstance(error, FileNotFoundError):
        return "there is no such bucket or folder" if verb == "write" else "it does not exist", None
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "no space left for temporary files", "the environment variable TMPDIR names another folder for them"
    if isinstance(error, PermissionError) or any("Credential" in kind for kind in kinds):
        return "no access" + (
            f" ({text})" if text else ""
        ), f"check the credentials for {_scheme(url)}://, and the name"
    if isinstance(error, ConnectionError | TimeoutError) or any(
        word in kind for kind in kinds for word in ("Connect", "Timeout", "ClientPayload", "IncompleteRead")
    ):
        return f"the connection failed ({text or type(error).__name__})", again
    return f"{type(error).__name__}: {text}" if text else type(error).__name__, again


def _exists(system: Any, path: str) -> bool:
    """Whether a file or folder exists. `exists` of the file systems also says no where they cannot tell."""
    try:
        system.info(path)
    except FileNotFoundError:
        return False
    return True


def _scheme(url: str) -> str:
    return url.partition("://")[0].lower()


def _system(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path in it.

    Raises:
        UsageError: None is known, or its package is missing.
    """
    scheme = _scheme(url)
    try:
        from fsspec.core import url_to_fs

        system, path = url_to_fs(url)
    except ImportError as error:
        raise UsageError(f"{scheme}:// needs a package that is not installed", hint=_install(scheme)) from error
    except ValueError as error:
        if "protocol not known" not in str(error).lower():
            raise
        known = "s3://, gs://, hf://, https:// and the others of fsspec are known"
        raise UsageError(f"cannot read {url}: {scheme}:// is not known", hint=known) from error
    return system, path


def _install(scheme: str) -> str:
    from fsspec.registry import known_implementations

    if scheme in _EXTRA:
        return "pip install 'restore-photos[remote]'"
    package = known_implementations.get(scheme, {}).get("class", "").partition(".")[0]
    if package and package != "fsspec":
        return f"pip install {package}"
    return str(known_implementations.get(scheme, {}).get("err") or f"install the package of fsspec for {scheme}://")

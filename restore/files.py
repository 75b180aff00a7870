"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import re
import secrets
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

_OLD = 24 * 3600  # seconds without a write after which a temporary file is a leftover, whoever made it

_TEMPORARY = re.compile(r"\.restore-([0-9a-f]{8})-(\d+)-[0-9a-f]{8}\.tmp")  # place, process, random

_unfinished: set[Path] = set()  # the temporary files of this process


@contextmanager
def whole_file(path: Path, *, replace: bool = True, rights: int | None = None) -> Iterator[Path]:
    """A temporary file in the same folder (`.restore-*.tmp`), renamed to `path` at the end.

    After an error or interrupt it is removed and `path` stays as it was. A replaced file passes on its mode; a link
    stays a link.

    Args:
        path: The file to write.
        replace: False if `path` must be free, at the start and at the end. A link to nowhere is not free.
        rights: The most permission bits of a new file, beside the umask; the temporary file is then created. None: only
            the umask counts. Windows has no such bits.

    Raises:
        FileExistsError: `path` is not free.
        OSError: It cannot be flushed or renamed, or `path` exists and is not a file, such as /dev/null.
    """
    if not replace and os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, "it already exists", str(path))
    target = Path(os.path.realpath(path)) if replace else path
    if os.path.exists(target) and not os.path.isfile(target):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    temporary = target.with_name(f".restore-{_place()}-{os.getpid()}-{secrets.token_hex(4)}.tmp")
    _unfinished.add(temporary)
    try:
        if rights is not None:
            with suppress(FileNotFoundError):
                rights &= stat.S_IMODE(target.stat().st_mode) if replace else 0o777
            # The owner must be able to write; who may read is right from the first byte.
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, rights & 0o666 | 0o600))
        yield temporary
        # Without fsync a power failure can leave the new name without its bytes, and a resumed run would take that
        # file as done. The folder needs no fsync: at worst the name is missing, and the picture is restored again.
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        if rights is not None and rights & 0o600 != 0o600 and os.name == "posix":
            with suppress(OSError):  # FAT and some network drives have no permission bits
                temporary.chmod(stat.S_IMODE(temporary.stat().st_mode) & rights)
        if replace:
            with suppress(FileNotFoundError):
                shutil.copymode(target, temporary)
            os.replace(temporary, target)
        else:
            _name(temporary, target)
    finally:
        with suppress(OSError):
            temporary.unlink()
        _unfinished.discard(temporary)


def _name(temporary: Path, target: Path) -> None:
    """Give a finished file a name that must be free, in one step where the system can."""
    try:
        if os.name == "nt":
            os.rename(temporary, target)  # which replaces nothing on Windows
        else:
            os.link(temporary, target)
    except FileExistsError:
        raise
    except OSError:  # no hard links, as on FAT and some network drives: claim the name with an empty file
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        os.replace(temporary, target)


@contextmanager
def locked(path: Path, *, wait: float = 30.0) -> Iterator[None]:
    """Hold a lock file, which is removed at the end. The system releases the lock of a process that is killed.

    Args:
        path: The lock file.
        wait: Most seconds to wait for others.

    Raises:
        TimeoutError: Others hold it for longer.
        OSError: The file cannot be made.
    """
    end = time.monotonic() + wait
    while True:
        with path.open("ab") as file:
            held = _lock(file.fileno())
            # The one who held the lock may have removed the file that was opened here.
            if held and os.path.exists(path) and os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                try:
                    yield
                finally:
                    with suppress(OSError):  # Windows removes no open file, and it may stay
                        path.unlink()
                return
        if time.monotonic() > end:
            raise TimeoutError(errno.ETIMEDOUT, "another process holds", str(path))
        time.sleep(0.01)


def _lock(file: int) -> bool:
    """Lock an open file, without waiting; False if another process holds it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EAGAIN, errno.EACCES, errno.EDEADLK)  # others: a drive without locks
    return True


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder for temporary files, which is removed at the end. Those of killed runs go when the next one begins."""
    above = Path(os.path.realpath(tempfile.gettempdir()))
    remove_leftovers(above)
    folder = above / f".restore-{_place()}-{os.getpid()}-{secrets.token_hex(4)}.tmp"
    _unfinished.add(folder)
    try:
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        _remove(folder)
        _unfinished.discard(folder)


def _remove(temporary: Path) -> None:
    """Remove a temporary file or folder as far as possible."""
    with suppress(OSError):
        if temporary.is_dir() and not temporary.is_symlink():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink()


def remove_unfinished() -> None:
    """Remove the temporary files that threads of this process are writing, before the process ends at once."""
    for temporary in list(_unfinished):
        _remove(temporary)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of killed runs from `folder`, as far as possible.

    Files of a process that is alive stay. Files of another machine or container stay for a day after the last write.
    Files with other names stay, such as a user's own `.restore-notes.tmp`.
    """
    for path in folder.glob(".restore-*.tmp"):
        match = _TEMPORARY.fullmatch(path.name)
        if match is None:
            continue
        with suppress(OSError):
            if _is_ownerless(match) or time.time() - path.stat().st_mtime > _OLD:
                _remove(path)


def _is_ownerless(match: re.Match[str]) -> bool:
    """Whether the process that made the temporary file is known to be gone."""
    if match[1] != _place() or os.name != "posix":  # os.kill would end the process on Windows
        return False
    try:
        os.kill(int(match[2]), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # it belongs to another user
        return False
    return False


@cache
def _place() -> str:
    """Where a process number is unique: on one machine since its start, within one container."""
    try:
        facts = Path("/proc/sys/kernel/random/boot_id").read_text() + os.readlink("/proc/self/ns/pid")
    except OSError:  # only Linux has these
        facts = platform.node()
    return hashlib.sha256(facts.encode()).hexdigest()[:8]

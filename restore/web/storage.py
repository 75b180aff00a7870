"""The temporary folder of one server: rights for its owner alone, a limit, and removal of what killed servers left."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from restore.errors import RestoreError

_PREFIX = "restore-web-"
_OLD = 24 * 3600  # seconds after which a folder without a lock is a leftover
_RESERVE = 256 << 20  # bytes of the disk that stay free


class Full(RestoreError):
    """The limit of the folder, or the disk, leaves no room."""


class Storage:
    """A folder in the system's temporary folder, with mode 0700. Closing it removes it.

    A lock on a file in it lives as long as the process, however that ends. A later server removes folders whose lock
    is free.

    Args:
        most: Bytes that the folder may hold.
        parent: Where the folder is made; None: the system's temporary folder.

    Raises:
        RestoreError: It cannot be made.
    """

    def __init__(self, most: int, parent: Path | None = None) -> None:
        self.most = most
        try:
            place = parent or Path(tempfile.gettempdir())
            remove_leftovers(place)
            self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))  # mode 0700
        except OSError as error:
            why = f"cannot make a folder for temporary files: {error.strerror}"
            raise RestoreError(why, hint="set TMPDIR to a folder that you can write to") from error
        self._lock_file = _locked(self.folder / "lock")
        self._guard = threading.Lock()
        self._reserved = 0

    def reserve(self, size: int) -> None:
        """Count `size` bytes as used, before they are written.

        Raises:
            Full: They are more than the limit or the disk leaves.
        """
        with self._guard:
            if self._reserved + size > self.most:
                raise Full("the pictures of all tabs are too large together", hint="remove some pictures first")
            if shutil.disk_usage(self.folder).free < size + _RESERVE:
                raise Full("the disk for temporary files is full", hint="free some space, or set TMPDIR")
            self._reserved += size

    def release(self, size: int) -> None:
        """Count `size` bytes as free again."""
        with self._guard:
            self._reserved -= size

    @property
    def used(self) -> int:
        """Bytes that are reserved."""
        return self._reserved

    def close(self) -> None:
        """Remove the folder and all in it."""
        if self._lock_file is not None:
            self._lock_file.close()
        for _ in range(3):  # a file may appear while the tree is removed
            shutil.rmtree(self.folder, ignore_errors=True)
            if not self.folder.exists():
                break


def _locked(path: Path) -> IO[bytes] | None:
    """The file, made and locked. On Windows an open file cannot be removed, which is lock enough."""
    file = path.open("xb")
    if sys.platform != "win32":
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # a file system without locks: only the age protects the folder
            file.close()
            path.unlink()
            return None
    return file


def remove_leftovers(parent: Path) -> None:
    """Remove the folders of servers that were killed. Those of other users and of servers that live stay."""
    for folder in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            facts = folder.lstat()
            is_ours = stat.S_ISDIR(facts.st_mode) and (os.name == "nt" or facts.st_uid == os.getuid())
            if is_ours and _is_free(folder / "lock", time.time() - facts.st_mtime):
                shutil.rmtree(folder, ignore_errors=True)


def _is_free(lock: Path, age: float) -> bool:
    """Whether no process holds the lock of a folder of this age in seconds."""
    if not lock.exists():  # a server may be about to make it
        return age > _OLD
    if sys.platform == "win32":
        lock.unlink()  # raises an OSError if a server has it open
        return True
    import fcntl

    with lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return age > 5  # seconds; a server may be between making and locking it

"""Photos decoded once, in files that are mapped into memory: crops are read from them without reading the whole.

The files are in `cache_folder`, named by path, size and time of the photo, so that one that has changed is decoded
again. Each is written whole or not at all, which makes it safe to end a run at any time and to start two at once. What
no run has used for a month is removed.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import platformdirs
from numpy.typing import NDArray

from restore.errors import DataError, PictureError
from restore.files import remove_leftovers, whole_file
from restore.images import read_picture

_UNUSED = 30 * 24 * 3600  # seconds


@dataclass(frozen=True)
class Photo:
    """A decoded 8-bit RGB photo.

    Attributes:
        path: The file that it was decoded from.
        shape: Height, width and 3.
        file: Where its pixels are, as NumPy saves them.
        offset: Bytes before the first pixel.
    """

    path: Path
    shape: tuple[int, int, int]
    file: Path
    offset: int

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """`(H, W, 3)`, of which only what is looked at is read from the disk.

        The file is opened for each call: a folder of photos kept open would take more files than a process may have.

        Raises:
            DataError: The file is gone.
        """
        try:
            with self.file.open("rb") as file:  # np.load takes ten times as long
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            return np.frombuffer(mapped, np.uint8, offset=self.offset).reshape(self.shape)
        except (OSError, ValueError) as error:
            raise DataError(
                f"the decoded copy of {self.path} cannot be read: {error}", hint="start again: it is made anew"
            ) from error


def cache_folder() -> Path:
    """Where decoded photos are: `$RESTORE_CACHE`, else in the place where the system keeps what can be made again."""
    given = os.environ.get("RESTORE_CACHE")
    return Path(given) if given else platformdirs.user_cache_path("restore", appauthor=False) / "photos"


def decode(
    paths: Sequence[Path], progress: Callable[[int, int], None] | None = None
) -> tuple[list[Photo | None], list[str]]:
    """Decode photos, those that have not been decoded before; in several threads.

    Args:
        paths: The photos.
        progress: Called with the number that is done and the number in all.

    Returns:
        For each path its photo, or None if it has a fault; and the faults, a sentence each: it cannot be read, is grey,
        or has more than 8 bits.

    Raises:
        DataError: The cache cannot be written.
    """
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _no_room(folder, error) from error
    _tidy(folder)
    pool = ThreadPoolExecutor(os.cpu_count())
    photos: list[Photo | None] = []
    faults = []
    try:
        for found in pool.map(lambda path: _decoded(path, folder), paths):
            photos.append(found if isinstance(found, Photo) else None)
            if isinstance(found, str):
                faults.append(found)
            if progress is not None:
                progress(len(photos), len(paths))
    finally:
        pool.shutdown(cancel_futures=True)
    return photos, faults


def _decoded(path: Path, folder: Path) -> Photo | str:
    """The photo, or what is wrong with it."""
    try:
        status = path.stat()
        key = f"{path.resolve()}\0{status.st_size}\0{status.st_mtime_ns}"
    except OSError as error:
        return f"cannot read {path}: {error.strerror}"
    file = folder / f"{hashlib.sha256(key.encode(errors='surrogateescape')).hexdigest()[:32]}.npy"
    with suppress(OSError, ValueError, EOFError):  # it is not there, or was cut short by a full disk
        photo = _kept(path, file)
        os.utime(file)
        return photo
    try:
        pixels = read_picture(path).pixels
    except PictureError as error:
        return error.message
    if pixels.shape[2] != 3:
        return f"{path} is grey"
    if pixels.dtype != np.uint8:
        return f"{path} has more than 8 bits a channel"
    try:
        with whole_file(file) as temporary, temporary.open("wb") as stream:
            np.save(stream, pixels)
    except OSError as error:
        raise _no_room(folder, error) from error
    return _kept(path, file)


def _kept(path: Path, file: Path) -> Photo:
    mapped = np.load(file, mmap_mode="r")
    height, width, channels = mapped.shape
    return Photo(path, (height, width, channels), file, mapped.offset)


def _no_room(folder: Path, error: OSError) -> DataError:
    return DataError(
        f"cannot keep decoded photos in {folder}: {error.strerror or error}",
        hint="name another folder by the environment variable RESTORE_CACHE; it takes 3 bytes a pixel",
    )


def _tidy(folder: Path) -> None:
    """Remove what killed runs left, and what was not used for long."""
    remove_leftovers(folder)
    for file in folder.glob("*.npy"):
        with suppress(OSError):
            if time.time() - file.stat().st_mtime > _UNUSED:
                file.unlink()

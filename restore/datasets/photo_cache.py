"""A cache of decoded photos: files that are mapped into memory, so that a crop reads only its own pixels.

The files are in `cache_folder`. Path, size and time of a photo are in the name of its file: a changed photo is decoded
again. Each file is written completely or not at all, so runs may be killed, and several may share the cache. Files that
no run has used for a month are removed.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import shutil
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
from restore.images.picture import to_8_bits

_REDUCED = ".16.npy"  # ends the name of a copy whose photo has more than 8 bits
_UNUSED = 30 * 24 * 3600  # seconds


@dataclass(frozen=True)
class Photo:
    """A decoded photo, with 8 bits a channel.

    Attributes:
        path: The file that it was decoded from.
        shape: Height, width and 3, also of a grey photo.
        file: Its pixels, as NumPy saves them; a grey photo has one channel there.
        offset: Bytes before the first pixel.
        is_grey: Whether the file is grey.
        is_reduced: Whether the file has more than 8 bits.
    """

    path: Path
    shape: tuple[int, int, int]
    file: Path
    offset: int
    is_grey: bool = False
    is_reduced: bool = False

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """`(H, W, 3)`, three equal channels of a grey photo; only the pixels that are used are read from disk.

        The file is opened on each call: a process may not keep as many files open as a folder has photos.

        Raises:
            DataError: The file cannot be read.
        """
        try:
            with self.file.open("rb") as file:  # np.load takes 10 times as long
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            kept = np.frombuffer(mapped, np.uint8, offset=self.offset)
            height, width, _ = self.shape
            return np.broadcast_to(kept.reshape(height, width, 1 if self.is_grey else 3), self.shape)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "it has changed"
            raise DataError(
                f"cannot read the decoded copy of {self.path}: {why}", hint="start again to decode it again"
            ) from error


def cache_folder() -> Path:
    """Folder of the decoded photos: `$RESTORE_CACHE`, else in the user's cache folder."""
    given = os.environ.get("RESTORE_CACHE")
    return Path(given) if given else platformdirs.user_cache_path("restore", appauthor=False) / "photos"


def blocks_folder() -> Path:
    """Folder of the pictures that are unpacked from MATLAB files (`restore.datasets.unpacking`)."""
    return cache_folder() / "blocks"


def decode(
    paths: Sequence[Path], progress: Callable[[int, int], None] | None = None
) -> tuple[list[Photo | None], list[str]]:
    """Decode the photos that are not in the cache, in several threads.

    Args:
        paths: The photos.
        progress: Called with the number of photos that are done and the total.

    Returns:
        A photo for each path, or None if it has a fault; and one sentence for each fault. A photo that cannot be read
        has a fault. 16 bits and floats (1 is white) are rounded to 8 bits.

    Raises:
        DataError: The cache cannot be written.
    """
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise no_room(folder, error) from error
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
    """The photo, or its fault."""
    try:
        status = path.stat()
        key = f"{path.resolve()}\0{status.st_size}\0{status.st_mtime_ns}"
    except OSError as error:
        return f"cannot read {path}: {error.strerror}"
    name = hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()[:32]
    for ending in (".npy", _REDUCED):
        with suppress(OSError, ValueError, EOFError):  # it does not exist, or a full disk cut it short
            photo = _kept(path, folder / f"{name}{ending}")
            os.utime(photo.file)
            return photo
    try:
        picture = read_picture(path)
    except PictureError as error:
        return error.message
    if picture.damage:
        return f"{path} is damaged: {picture.damage}"
    pixels = picture.pixels
    file = folder / f"{name}{'.npy' if pixels.dtype == np.uint8 else _REDUCED}"
    pixels = to_8_bits(pixels)
    try:
        with whole_file(file) as temporary, temporary.open("wb") as stream:
            np.save(stream, pixels)
    except OSError as error:
        raise no_room(folder, error) from error
    return _kept(path, file)


def _kept(path: Path, file: Path) -> Photo:
    mapped = np.load(file, mmap_mode="r")
    height, width, channels = mapped.shape
    return Photo(path, (height, width, 3), file, mapped.offset, channels == 1, file.name.endswith(_REDUCED))


def no_room(folder: Path, error: OSError) -> DataError:
    """The error of a cache that cannot be written."""
    return DataError(
        f"cannot write decoded photos to {folder}: {error.strerror or error}",
        hint="name another folder in the environment variable RESTORE_CACHE; a pixel takes 3 bytes",
    )


def _tidy(folder: Path) -> None:
    """Remove what killed runs left, and what no run has used for a month."""
    remove_leftovers(folder)
    for found in (*folder.glob("*.npy"), *blocks_folder().glob("*")):
        with suppress(OSError):
            if time.time() - found.stat().st_mtime > _UNUSED:
                shutil.rmtree(found) if found.is_dir() else found.unlink()

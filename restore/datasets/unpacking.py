"""Blocks of MATLAB files as picture files, for training: they are unpacked once, into the cache of decoded photos."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import secrets
import shutil
from pathlib import Path

import cv2
import numpy as np

from restore.datasets.found import Found, Item, Source
from restore.datasets.photo_cache import blocks_folder, no_room


def unpacked(found: Found) -> Found:
    """The same pictures as files; a set that is stored as files stays as it is.

    The folder is named after the MATLAB files, their sizes and times: other files are unpacked anew. It is complete or
    does not exist, so several processes may ask for it at once.

    Args:
        found: Pictures on disk. Those in MATLAB files have 8 bits.

    Raises:
        DataError: The cache cannot be written, or a MATLAB file cannot be read.
    """
    if all(isinstance(source, Path | None) for item in found.items for source in (item.clean, item.degraded)):
        return found
    folder = blocks_folder() / _key(found)
    if not folder.is_dir():
        temporary = folder.with_name(f".restore-{os.getpid()}-{secrets.token_hex(4)}")
        try:
            for side in ("clean", "degraded"):
                (temporary / side).mkdir(parents=True)
            for item in found.items:
                for source, path in zip(_sides(item), _paths(temporary, item), strict=True):
                    _write(source, path)
            try:
                temporary.rename(folder)
            except OSError:  # another process was faster
                if not folder.is_dir():
                    raise
        except OSError as error:
            raise no_room(folder, error) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    os.utime(folder)
    return dataclasses.replace(found, items=tuple(Item(item.name, *_paths(folder, item)) for item in found.items))


def _sides(item: Item) -> tuple[Source, Source]:
    assert item.clean is not None and item.degraded is not None
    return item.clean, item.degraded


def _paths(folder: Path, item: Item) -> tuple[Path, Path]:
    return folder / "clean" / f"{item.name}.png", folder / "degraded" / f"{item.name}.png"


def _write(source: Source, path: Path) -> None:
    assert not isinstance(source, Path)
    pixels = np.round(source() * 255).astype(np.uint8)
    path.write_bytes(cv2.imencode(".png", pixels[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes())


def _key(found: Found) -> str:
    files = sorted(found.folder / name for name in found.layout.paths.split(" + "))
    statuses = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(repr(statuses).encode(errors="surrogateescape")).hexdigest()[:32]

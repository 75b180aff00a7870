"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary file to write in the same folder (`.restore-*.tmp`), which is `path` at the end.

    If anything goes wrong, an interrupt included, it is removed and `path` stays as it was. A file that was there
    leaves its mode; a link stays a link.

    Raises:
        OSError: It cannot be renamed.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".restore-{secrets.token_hex(8)}.tmp")
    try:
        yield temporary
        with suppress(FileNotFoundError):
            shutil.copymode(target, temporary)
        os.replace(temporary, target)
    finally:
        with suppress(OSError):
            temporary.unlink()

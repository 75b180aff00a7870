"""Copies of pictures that need nothing: byte for byte, under a new name or into a pipe."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any, BinaryIO

from restore.batch.planning import Job, name_of
from restore.errors import PictureError
from restore.files import whole_file
from restore.images import FORMATS, Picture


def can_be_copied(job: Job, picture: Picture, pipe_format: str) -> bool:
    """Whether the file is what the output should be: a whole picture, alone in its file, in the output's format.

    Args:
        job: From where to where.
        picture: What was read.
        pipe_format: The format of an output that is a pipe.
    """
    format = FORMATS[job.target.suffix.lower()] if isinstance(job.target, Path) else pipe_format
    return picture.pages == 1 and picture.damage is None and picture.source_format == format


def copy(
    source: Path | BinaryIO, target: Path | BinaryIO, *, overwrite: bool = True, rights: int | None = None, **_: Any
) -> None:
    """Copy all bytes, whole or not at all. Arguments as for `write_picture`; those for an encoder are ignored.

    Raises:
        PictureError: The file cannot be read or written, or exists and `overwrite` is False.
    """
    try:
        with source.open("rb") if isinstance(source, Path) else nullcontext(source) as content:
            content.seek(0)
            if not isinstance(target, Path):
                shutil.copyfileobj(content, target)
                return
            with whole_file(target, replace=overwrite, rights=rights) as temporary, temporary.open("wb") as file:
                shutil.copyfileobj(content, file)
    except FileExistsError as error:
        raise PictureError(
            f"{target} already exists", hint="use another -o, --skip-existing, or --overwrite"
        ) from error
    except OSError as error:
        raise PictureError(f"cannot copy {name_of(source)} to {name_of(target)}: {error.strerror}") from error

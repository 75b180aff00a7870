"""A line of JSON for each picture, written as soon as its outcome is known."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Sequence
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from restore.batch.planning import Job
from restore.batch.processes import Rank
from restore.batch.report import check_file
from restore.errors import RestoreError

_BLOCK = 1 << 16


class JsonLines:
    """Adds lines to a file, so that a run that goes on keeps those of the killed one. A context manager.

    A line that a killed run left half is removed first. If the disk is full the work goes on, and the error comes last.

    Args:
        jobs: All jobs of this process.
        rank: Its place among several processes; each writes its own file.
        file: A file, a text stream, or None for nowhere.

    Raises:
        UsageError: `file` cannot be written, is one of the pictures, or holds something else.
    """

    def __init__(self, jobs: Sequence[Job], rank: Rank, file: Path | TextIO | None) -> None:
        self._to = rank.path(file) if isinstance(file, Path) else file
        self._stream: FileIO | None = None
        self._error: OSError | None = None
        if isinstance(self._to, Path):
            check_file(self._to, jobs, "--json-lines", _has_lines)

    def __enter__(self) -> JsonLines:
        if isinstance(self._to, Path):
            try:
                if self._to.is_file():
                    _remove_half_line(self._to)
                self._stream = self._to.open("ab", buffering=0)  # a line is in the file at once
            except OSError as error:
                raise self._failed(error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            self._stream.close()
        if error is None and self._error is not None:
            raise self._failed(self._error)

    def add(self, record: dict[str, Any]) -> None:
        """Write a line."""
        if self._to is None or self._error is not None:
            return
        line = json.dumps(record)  # in ASCII, which also holds file names that are not text
        if not isinstance(self._to, Path):
            print(line, file=self._to, flush=True)
        elif self._stream is not None:
            try:
                if self._stream.write(line.encode("ascii") + b"\n") <= len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError as error:
                self._error = error

    def _failed(self, error: OSError) -> RestoreError:
        return RestoreError(f"cannot write {self._to}: {error.strerror}", hint="check --json-lines")


def _has_lines(path: Path) -> bool:
    """Whether a file is empty or begins as a line does, and not as the report of `--json` does."""
    try:
        with path.open("rb") as file:
            return file.read(2) in (b"", b"{", b'{"')
    except OSError:
        return False


def _remove_half_line(path: Path) -> None:
    with path.open("rb+") as file:
        end = file.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - _BLOCK)
            file.seek(start)
            newline = file.read(end - start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        file.truncate(end)

"""One picture to restore: from where to where."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO


class Job:
    """One picture to restore: from `source` to `target`, files or pipes. Small, because there may be a million.

    Args:
        source, target: Paths, also as texts; URLs as texts; or streams.
        is_own: Whether this process does it, and not another one.
    """

    __slots__ = ("_source", "_target", "is_own")

    def __init__(self, source: Path | str | BinaryIO, target: Path | str | BinaryIO, *, is_own: bool = True) -> None:
        self._source = str(source) if isinstance(source, Path) else source
        self._target = str(target) if isinstance(target, Path) else target
        self.is_own = is_own

    @property
    def source(self) -> Path | BinaryIO:
        """The picture to restore, if it is at no URL."""
        return Path(self._source) if isinstance(self._source, str) else self._source

    @property
    def target(self) -> Path | BinaryIO:
        """Where the restored picture goes, if not to a URL."""
        return Path(self._target) if isinstance(self._target, str) else self._target

    @property
    def source_path(self) -> str | None:
        """The path or URL of the source as a text; None for a pipe."""
        return self._source if isinstance(self._source, str) else None

    @property
    def target_path(self) -> str | None:
        """The path or URL of the target as a text; None for a pipe."""
        return self._target if isinstance(self._target, str) else None

    @property
    def name(self) -> str:
        """The source as the user writes it."""
        return self.source_path or "-"

    @property
    def is_source_remote(self) -> bool:
        """Whether the source is at a URL."""
        return isinstance(self._source, str) and "://" in self._source  # a path has no two slashes

    @property
    def is_target_remote(self) -> bool:
        """Whether the target is at a URL."""
        return isinstance(self._target, str) and "://" in self._target

    @property
    def is_remote(self) -> bool:
        """Whether one of them is at a URL."""
        return self.is_source_remote or self.is_target_remote

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and (self._source, self._target) == (other._source, other._target)

    def __hash__(self) -> int:
        return hash((self._source, self._target))

    def __str__(self) -> str:
        return f"{self.source_path or '-'} -> {self.target_path or '-'}"

    def __repr__(self) -> str:
        return f"Job({self._source!r}, {self._target!r})"


def name_of(end: Path | BinaryIO) -> str:
    """A source or target as the user writes it."""
    return str(end) if isinstance(end, Path) else "-"

"""`HtmlReport`: the pictures of a run before and after, in one page that needs no network."""

from __future__ import annotations

import base64
import os
import re
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any
from urllib.parse import quote

from restore.errors import RestoreError, UsageError
from restore.files import whole_file
from restore.images import Picture
from restore.viewer import page
from restore.viewer.places import ChangedPlace, changed_places
from restore.viewer.shown import Shown, divisor_for, shown

MOST_INSIDE = 20_000_000
"""Bytes of pictures that a page holds; more lie beside it."""

_BESIDE = re.compile(r"\d{4,}-(before|after)-[0-9a-f]{8}\.(jpeg|webp)")
_BLOCK = 3 << 18  # bytes, a multiple of 3 for base64


@dataclass(frozen=True)
class Stored:
    """A picture in the spool, before and after.

    Attributes:
        places: Where it changed most, in pixels of the restored picture.
        before, after: Position in the spool, size in bytes, and what `Shown` says.
        sizes: Width and height of the whole pictures, before and after.
    """

    places: tuple[ChangedPlace, ...]
    before: dict[str, Any]
    after: dict[str, Any]
    sizes: tuple[tuple[int, int], tuple[int, int]]


class HtmlReport:
    """A page with the pictures of a run, written whole at the end, even after an error.

    Pictures wait in a nameless temporary file beside the page, so the memory is that of one picture.

    Args:
        path: The page. Pictures above 20 MB go into a folder beside it: `out_files` for `out.html`.
        overwrite: Replace any file. Without it, only an earlier report is replaced.
        title: Heading of the page.

    Raises:
        UsageError: The page cannot be written there.
    """

    def __init__(self, path: Path, *, overwrite: bool = False, title: str = "Before and after") -> None:
        self._path, self._title = path, title
        self._folder = path.with_name(f"{path.stem}_files")
        self._check(overwrite)
        self._entries: list[tuple[dict[str, Any], Stored | None]] = []
        self._end = 0
        self._spool: IO[bytes] | None = None

    def __enter__(self) -> HtmlReport:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.write()
        except RestoreError:
            if error is None:  # it matters more
                raise
        finally:
            self.close()

    def add(self, before: Picture, after: Picture, facts: Mapping[str, Any]) -> None:
        """Add a picture.

        Args:
            before: The input.
            after: The restored picture.
            facts: As for `add_entry`.

        Raises:
            OSError: The disk is full.
        """
        self.add_entry(self.store(before, after), facts)

    def store(self, before: Picture, after: Picture) -> Stored:
        """Keep the pictures for a later `add_entry`.

        Raises:
            OSError: The disk is full.
        """
        (high, wide), (height, width) = before.pixels.shape[:2], after.pixels.shape[:2]
        places = changed_places(before, after)
        divisor = divisor_for(width, height)
        same = divisor if (high, wide) == (height, width) else 1
        return Stored(
            places, self._keep(shown(before, divisor=same)), self._keep(shown(after)), ((wide, high), (width, height))
        )

    def add_entry(self, stored: Stored | None, facts: Mapping[str, Any]) -> None:
        """Add an entry.

        Args:
            stored: Its pictures; None for a picture that failed.
            facts: `name` is the heading. `status` is a word, `notes` a list of sentences. Any other key is a label, its
                value text or a number; None is left out.
        """
        self._entries.append((dict(facts), stored))

    def write(self) -> None:
        """Write the page, and the pictures beside it where they are large.

        Raises:
            RestoreError: It cannot be written.
        """
        beside = self._end > MOST_INSIDE
        token = secrets.token_hex(4)
        made: list[Path] = []
        try:
            records = [self._record(number, *entry) for number, entry in enumerate(self._entries, 1)]
            if beside:
                self._folder.mkdir(exist_ok=True)
                for number, (_, stored) in enumerate(self._entries, 1):
                    for side in ("before", "after") if stored else ():
                        made.append(self._write_beside(records[number - 1][side], number, side, token))
            with whole_file(self._path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
                page.write(file, self._title, records, beside=beside, copy=self._copy)
        except BaseException as error:
            for path in made:
                with suppress(OSError):
                    path.unlink()
            if isinstance(error, OSError):
                why = error.strerror or str(error)
                raise RestoreError(f"cannot write {self._path}: {why}", hint="check --report") from error
            raise
        self._remove_old(token)

    def close(self) -> None:
        """Drop the pictures in the spool."""
        if self._spool is not None:
            self._spool.close()
            self._spool = None

    def _keep(self, picture: Shown) -> dict[str, Any]:
        if self._spool is None:
            self._spool = tempfile.TemporaryFile(dir=self._path.absolute().parent, prefix=".restore-")  # noqa: SIM115
        begin = self._spool.seek(0, os.SEEK_END)
        self._spool.write(picture.data)
        self._end = self._spool.tell()
        facts = {"mime": picture.mime, "width": picture.width, "height": picture.height, "divisor": picture.divisor}
        return {"begin": begin, "bytes": self._end - begin, **facts}

    def _record(self, number: int, facts: dict[str, Any], stored: Stored | None) -> dict[str, Any]:
        record: dict[str, Any] = {"number": number, "facts": facts}
        if stored is None:
            return record
        divisor = stored.after["divisor"]
        (wide, high), (width, height) = stored.sizes
        places = [
            {key: value if key == "difference" else round(value / divisor) for key, value in asdict(place).items()}
            for place in stored.places
        ]
        shapes = {"sizes": {"before": [wide, high], "after": [width, height]}, "scale": width / wide}
        return record | {"before": dict(stored.before), "after": dict(stored.after), "places": places, **shapes}

    def _write_beside(self, picture: dict[str, Any], number: int, side: str, token: str) -> Path:
        name = f"{number:04}-{side}-{token}.{picture['mime'].removeprefix('image/')}"
        path = self._folder / name
        with whole_file(path, replace=False) as temporary, temporary.open("wb") as file:
            for block in self._blocks(picture):
                file.write(block)
        picture["file"] = quote(os.fsencode(self._folder.name) + b"/" + name.encode())  # an address
        return path

    def _copy(self, picture: dict[str, Any], file: IO[str]) -> None:
        """Write the bytes of a picture in base64."""
        for block in self._blocks(picture):
            file.write(base64.b64encode(block).decode("ascii"))

    def _blocks(self, picture: dict[str, Any]) -> Iterator[bytes]:
        assert self._spool is not None
        left = picture["bytes"]
        self._spool.seek(picture["begin"])
        while left > 0:
            block = self._spool.read(min(left, _BLOCK))
            left -= len(block)
            yield block

    def _check(self, overwrite: bool) -> None:
        path, hint = self._path, "choose another --report"
        if path.suffix.lower() not in (".html", ".htm"):
            raise UsageError(f"cannot write {path}: a report is a web page", hint="end its name with .html")
        if not path.absolute().parent.is_dir():
            raise UsageError(f"cannot write {path}: its folder does not exist", hint="make the folder first")
        if not os.access(path.absolute().parent, os.W_OK):
            raise UsageError(f"cannot write to the folder {path.absolute().parent}", hint=hint)
        if os.path.lexists(path) and not path.is_file():  # a pipe would wait for its other end
            raise UsageError(f"cannot write {path}: it is a folder, a device or a broken link", hint=hint)
        if os.path.lexists(path) and not overwrite and not page.is_report(path):
            raise UsageError(f"{path} exists and is no report", hint="choose another --report, or use --overwrite")
        folder = self._folder
        if os.path.lexists(folder) and (folder.is_symlink() or not folder.is_dir() or not _is_ours(folder)):
            raise UsageError(f"{folder}, for large pictures, exists and is no folder of a report", hint=hint)

    def _remove_old(self, token: str) -> None:
        """Remove the pictures of an earlier report, which this one replaced."""
        with suppress(OSError):
            for name in os.listdir(self._folder):
                if _BESIDE.fullmatch(name) and token not in name:
                    (self._folder / name).unlink()
            if not os.listdir(self._folder):
                self._folder.rmdir()


def _is_ours(folder: Path) -> bool:
    """Whether a folder holds only pictures of reports."""
    try:
        return all(_BESIDE.fullmatch(name) for name in os.listdir(folder))
    except OSError:
        return False

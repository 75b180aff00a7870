"""What one tab of the browser has: its pictures, the work on them, and what has changed since it last asked."""

from __future__ import annotations

import shutil
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from restore.errors import RestoreError, UsageError
from restore.web.security import new_id
from restore.web.storage import Storage

MOST_PICTURES = 200
"""Pictures of one tab."""
MOST_WORKS = 1000
"""Jobs of one tab, since it was opened."""

BEAT = 10.0
"""Seconds between signs of life of an event stream."""

State = Literal["waiting", "running", "done", "failed", "cancelled"]


@dataclass(eq=False)
class Upload:
    """A picture of a tab.

    Attributes:
        id: Random; also the name of its folder.
        name: What the browser called it, as text to show.
        folder: Holds the file and all that is made of it.
        path: The file. Its name is ours; only the extension comes from `name`.
        size: Bytes of the file.
        reserved: Bytes that count for it in the storage.
        facts: What the inspection found; None before it.
        is_removed: The user removed it, or closed the tab.
    """

    id: str
    name: str
    folder: Path
    path: Path
    size: int
    reserved: int
    facts: dict[str, Any] | None = None
    is_removed: bool = False

    def shown(self) -> dict[str, Any]:
        """What the page needs, JSON-safe."""
        return {"id": self.id, "name": self.name, "bytes": self.size, "facts": self.facts, "removed": self.is_removed}


@dataclass(eq=False)
class Work:
    """One job: look at a picture, restore a crop of it, or restore it all.

    Attributes:
        kind: What to do.
        steps: As for `parse_steps`; empty for `inspect`.
        region: Left, top, width and height of a crop, in pixels.
        format: Extension of the result without dot; None: as the source.
        state: Where it stands.
        done, total: Tiles.
        reason, hint: Why it failed, and what to do.
        notes: What the user should know about the result.
        seconds: How long it took.
        views: Name -> picture file that the page may show.
        result: The restored file, and its name for the download.
        about: Further facts for the page, JSON-safe.
        stop: Set it to cancel after the current tile.
    """

    upload: Upload
    kind: Literal["inspect", "crop", "restore"]
    steps: str = ""
    region: tuple[int, int, int, int] | None = None
    format: str | None = None
    id: str = field(default_factory=new_id)
    state: State = "waiting"
    done: int = 0
    total: int = 0
    reason: str | None = None
    hint: str | None = None
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    views: dict[str, Path] = field(default_factory=dict)
    result: tuple[Path, str] | None = None
    about: dict[str, Any] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)

    def shown(self) -> dict[str, Any]:
        """What the page needs, JSON-safe."""
        return {
            "id": self.id, "picture": self.upload.id, "kind": self.kind, "steps": self.steps, "region": self.region,
            "state": self.state, "done": self.done, "total": self.total, "reason": self.reason, "hint": self.hint,
            "notes": self.notes, "seconds": round(self.seconds, 2), "views": sorted(self.views),
            "result": self.result and self.result[1], **self.about,
        }  # fmt: skip


class Session:
    """The pictures and jobs of one tab. Tabs do not see each other's.

    Args:
        storage: Where files go, and what counts them.
    """

    def __init__(self, storage: Storage) -> None:
        self.id = new_id()
        self.uploads: dict[str, Upload] = {}
        self.works: dict[str, Work] = {}
        self.seen = time.monotonic()
        self.is_closed = False
        self.listener = 0  # number of the newest event stream
        self._storage = storage
        self._changed = threading.Condition()
        self._version = 0
        self._versions: dict[Upload | Work, int] = {}

    def new_upload(self, name: str, suffix: str, size: int) -> Upload:
        """Make room for a picture of `size` bytes. `add` shows it, `discard` gives the room back.

        Raises:
            Full: The storage has no room.
        """
        with self._changed:
            if len(self.uploads) >= MOST_PICTURES:
                raise RestoreError(f"a tab holds at most {MOST_PICTURES} pictures", hint="remove some pictures first")
        self._storage.reserve(size)
        folder = self._storage.folder / (id := new_id())
        folder.mkdir(mode=0o700)
        return Upload(id, name, folder, folder / f"source{suffix}", size, size)

    def add(self, upload: Upload) -> None:
        """Show a picture whose file is complete."""
        with self._changed:
            is_late = self.is_closed or len(self.uploads) >= MOST_PICTURES
            if not is_late:
                self.uploads[upload.id] = upload
        if is_late:
            self.discard(upload)
            raise RestoreError("the tab was closed, or holds too many pictures", hint="reload the page")
        self.touch(upload)

    def reserve(self, upload: Upload, size: int) -> None:
        """Count `size` more bytes for a picture.

        Raises:
            Full: The storage has no room.
            RestoreError: The picture was removed.
        """
        with self._changed:
            if upload.is_removed:
                raise RestoreError("the picture was removed")
            self._storage.reserve(size)
            upload.reserved += size

    def settle(self, upload: Upload) -> None:
        """Count what the folder of a picture really holds; remove the folder of a removed picture."""
        with self._changed:
            if upload.is_removed:
                shutil.rmtree(upload.folder, ignore_errors=True)
            held = sum(path.stat().st_size for path in upload.folder.glob("*")) if upload.folder.exists() else 0
            self._storage.release(upload.reserved - held)
            upload.reserved = held

    def add_work(self, work: Work) -> None:
        """Show a job.

        Raises:
            UsageError: The tab has had too many.
        """
        with self._changed:
            if len(self.works) >= MOST_WORKS:
                raise UsageError("this tab has had too many jobs", hint="reload the page")
            self.works[work.id] = work
        self.touch(work)

    def discard(self, upload: Upload) -> None:
        """Remove a picture, its results and its files, and cancel its jobs."""
        for work in list(self.works.values()):
            if work.upload is upload:
                work.stop.set()
                work.views, work.result = {}, None
        with self._changed:
            upload.is_removed = True
            self.uploads.pop(upload.id, None)
        self.settle(upload)
        self.touch(upload)

    def close(self) -> None:
        """Remove everything; event streams end."""
        with self._changed:
            self.is_closed = True
        for upload in list(self.uploads.values()):
            self.discard(upload)
        with self._changed:
            self._changed.notify_all()

    def touch(self, item: Upload | Work) -> None:
        """Tell the page that `item` has changed."""
        with self._changed:
            self._version += 1
            self._versions[item] = self._version
            self._changed.notify_all()

    def listen(self) -> int:
        """The number of a new event stream; older streams of the tab end."""
        with self._changed:
            self.listener += 1
            self._changed.notify_all()
            return self.listener

    def changes(self, since: int, listener: int, seconds: float) -> tuple[int, dict[str, Any]] | None:
        """What has changed, and the version to ask with next time.

        Waits up to `seconds` for a change; returns None if the stream should end.
        """
        with self._changed:
            self.seen = time.monotonic()
            self._changed.wait_for(lambda: self._version > since or self._must_end(listener), seconds)
            if self._must_end(listener):
                return None
            changed = [item for item, version in self._versions.items() if version > since]
            pictures = [item.shown() for item in changed if isinstance(item, Upload)]
            works = [item.shown() for item in changed if isinstance(item, Work)]
            return self._version, {"pictures": pictures, "works": works} if changed else {}

    def _must_end(self, listener: int) -> bool:
        return self.is_closed or listener != self.listener

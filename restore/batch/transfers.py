"""Local files that stand for the URLs of jobs: pictures are downloaded to them, and outputs uploaded from them."""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from types import TracebackType

from restore.batch import remote
from restore.batch.job import Job
from restore.files import temporary_folder


class Transfers:
    """The temporary files of a run: a context manager that removes them."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._folder: Path | None = None
        self._numbers = count()
        self._local: dict[Job, tuple[Job, Path]] = {}

    def __enter__(self) -> Transfers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def fetch(self, job: Job) -> Job:
        """The job with files of this machine; a source at a URL is downloaded. A job without URLs is itself.

        Raises:
            PictureError: It cannot be downloaded.
        """
        if not job.is_remote:
            return job
        if self._folder is None:
            self._folder = self._stack.enter_context(temporary_folder())
        folder = self._folder / str(next(self._numbers))
        folder.mkdir()
        source, target = job.source_path, job.target_path
        # Names in a store can be such that no file here can have them.
        here = folder / f"in{_extension(source)}" if job.is_source_remote else job.source
        there = folder / f"out{_extension(target)}" if job.is_target_remote else job.target
        self._local[job] = Job(here, there), folder
        if job.is_source_remote and source is not None and isinstance(here, Path):
            remote.fetch(source, here)
        return self._local[job][0]

    def local(self, job: Job) -> Job:
        """The job that `fetch` gave."""
        return self._local[job][0] if job in self._local else job

    def deliver(self, job: Job, *, overwrite: bool) -> None:
        """Upload an output that is written.

        Raises:
            PictureError: It cannot be uploaded, or exists and `overwrite` is False.
        """
        if job.is_target_remote and job.target_path is not None:
            output = self.local(job).target
            assert isinstance(output, Path)
            remote.put(output, job.target_path, overwrite=overwrite)

    def named(self, job: Job, text: str) -> str:
        """A text with the names that the user knows."""
        local = self.local(job)
        for ours, theirs in ((local.source_path, job.source_path), (local.target_path, job.target_path)):
            if ours and theirs:
                text = text.replace(ours, theirs)
        return text

    def drop(self, job: Job) -> None:
        """Remove the temporary files of a job that is done."""
        if job in self._local:
            shutil.rmtree(self._local.pop(job)[1], ignore_errors=True)


def _extension(url: str | None) -> str:
    """The extension of a file, if it is one that a picture may have: other texts may be no name here."""
    extension = os.path.splitext(remote.name_in(url or ""))[1]
    return extension if extension[1:].isalnum() and extension.isascii() and len(extension) < 12 else ""

"""One picture or many: which file becomes which, checked before any work, then done one by one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from restore.catalogue import did_you_mean
from restore.errors import PictureError, RestoreError, UsageError
from restore.images import FORMATS, Picture, check_output, read_picture, write_picture


@dataclass(frozen=True)
class Job:
    """One picture to restore: from `source` to `target`."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        job: The job.
        error: Why there is no output; None if there is.
        notes: What the user should know about the picture.
    """

    job: Job
    error: RestoreError | None = None
    notes: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        """The error's message, which names the picture; empty if there is none."""
        message = self.error.message if self.error else ""
        source = str(self.job.source)
        return message if self.error is None or source in message else f"{source}: {message}"


def plan(inputs: Sequence[Path], output: str | os.PathLike[str], *, overwrite: bool = False) -> list[Job]:
    """Decide which file each input is written to.

    One file goes to the file `output`, or under its own name into `output` if that is a folder or ends in a slash.
    Several inputs, or the pictures of a folder with all that is below it, go into the folder `output`: a file under
    its own name, those of a folder under their paths in it. Hidden files, and an `output` inside the input folder,
    are left out.

    Raises:
        PictureError: An input is missing or holds no picture, or an output is there already or cannot be.
        UsageError: The arguments do not say where to write, or would write two pictures to one file.
    """
    into_folder = os.fspath(output).endswith(("/", os.sep))
    out = Path(output)
    for path in inputs:
        if not os.path.exists(path):  # unlike Path.exists it does not stumble over names that are too long
            raise PictureError(f"cannot find {path}", hint=_nearby(path))
    if len(inputs) == 1 and not inputs[0].is_dir():
        jobs = [Job(inputs[0], _single_target(inputs[0], out, into_folder))]
    else:
        if os.path.exists(out) and not os.path.isdir(out):
            raise PictureError(f"{out} is a file, but these inputs need a folder", hint="give -o a folder")
        if not os.path.exists(out) and out.suffix.lower() in FORMATS and not into_folder:
            raise UsageError(f"{out} is the name of a file, but these inputs need a folder", hint=f"-o {out.stem}/")
        jobs = [job for path in inputs for job in _jobs_of(path, out)]
    _check(jobs, overwrite)
    return jobs


def run(
    jobs: Sequence[Job], restore: Callable[[Picture], Picture], *, started: Callable[[Job], None] | None = None
) -> Iterator[Outcome]:
    """Do the jobs in order; a picture that fails does not stop the others.

    Args:
        jobs: What `plan` made.
        restore: Makes the restored picture.
        started: Called before each job.

    Yields:
        What became of each job, as soon as it is done.

    Raises:
        UsageError: What was asked of `restore` is impossible.
    """
    for job in jobs:
        if started is not None:
            started(job)
        try:
            picture = read_picture(job.source)
            _make_folder(job.target.parent)
            check_output(job.target, picture)
            restored = restore(picture)
            del picture  # may be large, and writing needs memory too
            write_picture(restored, job.target)
        except UsageError:
            raise  # holds for every picture
        except RestoreError as error:
            yield Outcome(job, error)
        else:
            notes = tuple(restored.notes)
            del restored
            yield Outcome(job, notes=notes)


def _single_target(source: Path, out: Path, into_folder: bool) -> Path:
    """Where one file goes."""
    if os.path.isdir(out) and out.suffix.lower() in FORMATS and not into_folder:
        raise PictureError(f"{out} is a folder, though it is called like a file", hint=f"-o {out}{os.sep}")
    if os.path.isdir(out) or into_folder:
        out = out / source.name
    if out.suffix.lower() not in FORMATS:
        what = f"the format {out.suffix} is not known" if out.suffix else "it has no suffix to say the format"
        raise UsageError(
            f"cannot write {out}: {what}", hint=f"use one of {', '.join(FORMATS)}; a folder ends in {os.sep}"
        )
    return out


def _jobs_of(path: Path, out: Path) -> list[Job]:
    """The jobs of one of several inputs."""
    if not path.is_dir():
        return [Job(path, out / path.name)]
    jobs = []
    own_output = out.resolve()
    for folder, folders, names in os.walk(path, onerror=_unreadable):
        here = Path(folder)
        folders[:] = sorted(f for f in folders if not f.startswith(".") and (here / f).resolve() != own_output)
        pictures = (here / n for n in sorted(names) if not n.startswith(".") and Path(n).suffix.lower() in FORMATS)
        jobs += [Job(picture, out / picture.relative_to(path)) for picture in pictures]
    if not jobs:
        raise PictureError(f"no pictures in {path}", hint=f"looked for {', '.join(FORMATS)}")
    return jobs


def _unreadable(error: OSError) -> NoReturn:
    raise PictureError(f"cannot read the folder {error.filename}: {error.strerror}") from error


def _check(jobs: Sequence[Job], overwrite: bool) -> None:
    """Refuse what would lose a picture or cannot be written, before any work is done."""
    sources = {job.source.resolve(): job.source for job in jobs}
    taken: dict[Path, Path] = {}
    for job in jobs:
        target = job.target.resolve()
        if (other := taken.setdefault(target, job.source)) is not job.source:
            raise UsageError(
                f"{other} and {job.source} would both be written to {job.target}", hint="restore them in separate runs"
            )
        if target == job.source.resolve():
            if not overwrite:
                raise PictureError(
                    f"{job.target} would replace its own source", hint="choose another -o, or --overwrite"
                )
        elif target in sources:
            raise UsageError(f"{job.target} is an input too and would be replaced", hint="choose another -o")
        if os.path.isdir(job.target):
            raise PictureError(f"cannot write {job.target}: it is a folder", hint="choose another -o")
        _check_folder(job.target.parent)
    existing = [job.target for job in jobs if os.path.exists(job.target)]
    if existing and not overwrite:
        more = f" (and {len(existing) - 1} more)" if len(existing) > 1 else ""
        raise PictureError(f"{existing[0]} is there already{more}", hint="choose another -o, or --overwrite")


def _check_folder(folder: Path) -> None:
    """Raise if `folder` is not writable, or cannot be made."""
    nearest = next(path for path in (folder, *folder.parents) if os.path.exists(path))
    if not nearest.is_dir():
        raise PictureError(f"cannot write into {folder}: {nearest} is a file", hint="choose another -o")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise PictureError(f"cannot write into {folder}: no permission", hint="choose another -o")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PictureError(f"cannot make the folder {folder}: {error.strerror}", hint="choose another -o") from error


def _nearby(path: Path) -> str | None:
    """What else the user may have meant by a missing file."""
    try:
        return did_you_mean(path.name, os.listdir(path.parent))
    except OSError:
        return f"there is no folder {path.parent} either"

"""Which input is written to which output, for one picture or many; checked before any work."""

from __future__ import annotations

import os
import re
import tempfile
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from restore.batch.finding import Finder, is_many, missing
from restore.batch.foreign_paths import foreign
from restore.errors import PictureError, UsageError, first_few
from restore.images import FORMATS, default_suffix


@dataclass(frozen=True)
class Job:
    """One picture to restore: from `source` to `target`, files or pipes."""

    source: Path | BinaryIO
    target: Path | BinaryIO

    def __str__(self) -> str:
        return f"{name_of(self.source)} -> {name_of(self.target)}"


@dataclass(frozen=True)
class Plan:
    """The jobs of a run, and what the user should know about them.

    Attributes:
        jobs: One for each picture.
        notes: In words.
        left_out: Files of the folders and patterns that are no pictures: kind and number, the most frequent first.
    """

    jobs: tuple[Job, ...]
    notes: tuple[str, ...]
    left_out: dict[str, int] = field(default_factory=dict)


def name_of(end: Path | BinaryIO) -> str:
    """A source or target as the user writes it."""
    return str(end) if isinstance(end, Path) else "-"


def plan(
    inputs: Sequence[str],
    output: str | None,
    *,
    recursive: bool = False,
    suffix: str = "",
    format: str | None = None,
    overwrite: bool = False,
    copied: frozenset[str] = frozenset(),
    stdin: BinaryIO | None = None,
    stdout: BinaryIO | None = None,
) -> Plan:
    """Decide which file each input is written to. `refuse_existing` looks at existing outputs.

    One file goes to the file `output`. If `output` is a folder or ends in a slash, the file keeps its name in it.
    Several inputs, folders and patterns go into the folder `output`. Pictures of a folder keep their paths in it.
    Three things are left out: hidden files, an `output` inside the input folder, and with a `suffix` the outputs of
    other inputs. Linked folders are not followed.

    Args:
        inputs: Files, folders, patterns such as `*.jpg`, or `-` alone.
        output: A file, a folder, or `-`; None: beside the sources, which needs a `suffix`.
        recursive: Include subfolders.
        suffix: Added to the name, before the extension.
        format: Extension of all outputs, without dot; None: that of the source if it can be written.
        overwrite: A picture may replace its source.
        copied: As for `Finder`.
        stdin, stdout: The streams that `-` stands for.

    Raises:
        PictureError: An input is missing or holds no picture, or an output cannot be written.
        UsageError: The arguments do not say where to write, or two pictures would go to one file.
    """
    _check_names(suffix, format)
    if output is not None and (why := foreign(output, is_output=True)):
        raise UsageError(f"cannot write {output}: {why[0]}", hint=why[1])
    notes: list[str] = []
    left_out: dict[str, int] = {}
    if "-" in (*inputs, output):
        if len(inputs) > 1:
            raise UsageError("a pipe takes one picture, but there are several inputs", hint="name one input")
        if suffix:
            raise UsageError("--suffix changes names, and a pipe has none", hint="leave out --suffix")
    if len(inputs) == 1 and not is_many(inputs[0]):
        jobs = [_single(inputs[0], output, suffix, format, stdin, stdout)]
    else:
        out = folder_of_outputs(output, suffix, format)
        finder = Finder(out, recursive, copied, notes)
        found = [pair for text in inputs for pair in finder.find(text)]
        left_out = finder.kinds()
        if left := finder.left_out_note():
            notes.append(f"left out{f' of {inputs[0]}' if len(inputs) == 1 else ''}: {left}")
        jobs = [Job(source, target_in(out, source, place, suffix, format)) for source, place in found]
    jobs = list(dict.fromkeys(jobs))
    if suffix:
        jobs = _without_outputs(jobs, notes)
    check(jobs, overwrite)
    return Plan(tuple(jobs), tuple(notes), left_out)


def folder_of_outputs(output: str | None, suffix: str, format: str | None) -> Path | None:
    """The folder for the outputs of many inputs; None: beside the sources.

    Args:
        output, suffix, format: As for `plan`.

    Raises:
        PictureError: It is a file.
        UsageError: The arguments do not say where to write.
    """
    _check_names(suffix, format)
    if output is not None and (why := foreign(output, is_output=True)):
        raise UsageError(f"cannot write {output}: {why[0]}", hint=why[1])
    if output == "-":
        raise UsageError("a pipe takes one picture, but this input is many", hint="-o FOLDER/")
    if output is None and not suffix:
        raise _no_output()
    return None if output is None else _output_folder(output)


def target_in(out: Path | None, source: Path, place: Path, suffix: str, format: str | None) -> Path:
    """The output of a picture of a folder.

    Args:
        out: The folder of the outputs; None: beside the sources.
        source: The picture.
        place: Its path in the input folder.
        suffix, format: As for `plan`.
    """
    return _renamed(source if out is None else out / place, suffix, format)


def refuse_existing(jobs: Sequence[Job]) -> None:
    """Raise a PictureError if an output exists."""
    existing = [job.target for job in jobs if is_done(job)]
    if existing:
        more = f" (and {len(existing) - 1} more)" if len(existing) > 1 else ""
        raise PictureError(
            f"{existing[0]} already exists{more}", hint="use another -o, --skip-existing, or --overwrite"
        )


def is_done(job: Job) -> bool:
    """Whether the output exists. It is then complete, even if the run that wrote it was killed.

    A link that leads nowhere counts: writing would follow it.
    """
    return isinstance(job.target, Path) and os.path.lexists(job.target)


def _check_names(suffix: str, format: str | None) -> None:
    """Refuse what cannot be part of a name."""
    if format is not None and f".{format}" not in FORMATS:
        known = ", ".join(extension[1:] for extension in FORMATS)
        raise UsageError(f"unknown format {format}", hint=f"use one of {known}")
    if suffix.lower() in FORMATS:
        raise UsageError(
            f"--suffix is a part of the name, but {suffix} is a format", hint=f"--format {suffix[1:].lower()}"
        )
    if re.search(r"[/\0]", suffix) or os.sep in suffix:
        raise UsageError(f"--suffix is a part of the name and cannot be {suffix!r}", hint="--suffix _clean")


def _no_output() -> UsageError:
    return UsageError(
        "no output given",
        hint="-o clean.png, -o FOLDER/, or --suffix _clean to write beside the source",
    )


# ------------------------------------------------------------------------------------------------------------ one input


def _single(
    text: str, output: str | None, suffix: str, format: str | None, stdin: BinaryIO | None, stdout: BinaryIO | None
) -> Job:
    """The job of one file or pipe."""
    source: Path | BinaryIO = Path(text)
    if text == "-":
        assert stdin is not None
        source = stdin
    elif not os.path.exists(text):
        raise missing(text)
    if output == "-":
        assert stdout is not None
        return Job(source, stdout)
    if output is not None:
        return Job(source, _single_target(source, output, suffix, format))
    if not isinstance(source, Path) or not suffix:
        raise _no_output()
    return Job(source, _known(_renamed(source, suffix, format)))


def _single_target(source: Path | BinaryIO, output: str, suffix: str, format: str | None) -> Path:
    """Where one picture goes."""
    into_folder = output.endswith(("/", os.sep))
    out = Path(output)
    if os.path.isdir(out) and out.suffix.lower() in FORMATS and not into_folder:
        raise PictureError(f"{out} is a folder, but its name looks like a file", hint=f"-o {out}{os.sep}")
    if os.path.isdir(out) or into_folder:
        if not isinstance(source, Path):
            raise UsageError(f"{out} is a folder, but a picture from a pipe has no name", hint="-o FILE")
        return _known(_renamed(out / source.name, suffix, format))
    _known(out)
    if suffix:
        raise UsageError(f"{out} is the full name of the output", hint="leave out --suffix")
    if format is not None and FORMATS[out.suffix.lower()] != FORMATS[f".{format}"]:
        raise UsageError(f"the name {out} does not fit --format {format}", hint=f"-o {out.with_suffix('.' + format)}")
    return out


def _known(out: Path) -> Path:
    """`out`, if its extension is one that can be written."""
    if out.suffix.lower() not in FORMATS:
        what = f"unknown format {out.suffix}" if out.suffix else "its name has no extension that tells the format"
        raise UsageError(
            f"cannot write {out}: {what}",
            hint=f"use one of {', '.join(FORMATS)}; for a folder, end the name with {os.sep}",
        )
    return out


def _renamed(path: Path, suffix: str, format: str | None) -> Path:
    """The name of an output whose source is named `path`."""
    extension = default_suffix(path)
    if format is not None and FORMATS.get(extension.lower()) != FORMATS[f".{format}"]:
        extension = f".{format}"
    return path.with_name(path.stem + suffix + extension)


# ---------------------------------------------------------------------------------------------------------- many inputs


def _output_folder(output: str) -> Path:
    out = Path(output)
    if os.path.exists(out) and not os.path.isdir(out):
        raise PictureError(f"{out} is a file, but these inputs need a folder", hint="-o FOLDER/")
    if not os.path.exists(out) and out.suffix.lower() in FORMATS and not output.endswith(("/", os.sep)):
        raise UsageError(f"{out} is the name of a file, but these inputs need a folder", hint=f"-o {out.stem}/")
    return out


# ---------------------------------------------------------------------------------------------------------------- check


def _without_outputs(jobs: list[Job], notes: list[str]) -> list[Job]:
    """The jobs without those whose source is the output of another, as in a second run over the same folder."""
    outputs = {_real(job.target) for job in jobs if _real(job.target) != _real(job.source)}
    left_out = [str(job.source) for job in jobs if _real(job.source) in outputs]
    if left_out:
        notes.append(f"left out, because they are outputs of other inputs: {first_few(left_out)}")
    return [job for job in jobs if _real(job.source) not in outputs]


def _real(end: Path | BinaryIO) -> Path | BinaryIO:
    """A path without links; a pipe unchanged."""
    return Path(os.path.realpath(end)) if isinstance(end, Path) else end


def check(jobs: Sequence[Job], overwrite: bool) -> None:
    """Refuse jobs that would lose a picture or cannot be written, before any work."""
    sources = {_real(job.source) for job in jobs}
    folders: set[Path] = set()
    for job in jobs:
        if not isinstance(job.target, Path):
            continue
        target = _real(job.target)
        if target == _real(job.source):
            if not overwrite:
                raise PictureError(f"{job.target} would replace its own source", hint="use another -o, or --overwrite")
        elif target in sources:
            raise UsageError(f"{job.target} is also an input and would be replaced", hint="use another -o")
        if os.path.isdir(job.target):
            raise PictureError(f"cannot write {job.target}: it is a folder", hint="use another -o")
        if job.target.parent not in folders:
            folders.add(job.target.parent)
            _check_folder(job.target.parent)
    _check_collisions(jobs)


def _check_collisions(jobs: Sequence[Job]) -> None:
    """Refuse two pictures for one file, also if their names differ only in case and the file system ignores case."""
    taken: dict[str, Job] = {}
    for job in jobs:
        if not isinstance(job.target, Path):
            continue
        target = str(_real(job.target))
        # File systems of macOS ignore case and the Unicode form of accents.
        other = taken.setdefault(unicodedata.normalize("NFC", target).casefold(), job)
        if other is job:
            continue
        assert isinstance(other.target, Path)
        if str(_real(other.target)) == target or _ignores_case(_nearest(job.target.parent)):
            raise UsageError(
                f"{name_of(other.source)} and {name_of(job.source)} would both be written to {job.target}",
                hint="restore them in separate runs, or into separate folders",
            )


def _ignores_case(folder: Path) -> bool:
    """Whether names that differ only in case are one file in `folder`."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".restore-a-", suffix=".tmp") as file:
            return os.path.exists(os.path.join(folder, os.path.basename(file.name).upper()))
    except OSError:
        return True  # caution loses nothing


def _nearest(folder: Path) -> Path:
    """The folder, or its nearest parent that exists."""
    return next(path for path in (folder, *folder.parents) if os.path.exists(path))


def _check_folder(folder: Path) -> None:
    """Raise a PictureError if `folder` cannot be written to or made."""
    if broken := next((path for path in (folder, *folder.parents) if _leads_nowhere(path)), None):
        raise PictureError(f"cannot write into {folder}: {broken} is a link that leads nowhere", hint="use another -o")
    nearest = _nearest(folder)
    if not nearest.is_dir():
        raise PictureError(f"cannot write into {folder}: {nearest} is a file", hint="use another -o")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise PictureError(f"cannot write into {folder}: no permission", hint="use another -o")


def _leads_nowhere(path: Path) -> bool:
    return os.path.islink(path) and not os.path.exists(path)

"""Which input is written to which output, for one picture or many; checked before any work."""

from __future__ import annotations

import os
import re
import tempfile
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import BinaryIO

from restore.batch import remote
from restore.batch.finding import Finder, is_many, missing
from restore.batch.foreign_paths import foreign
from restore.batch.job import Job as Job
from restore.batch.job import name_of as name_of
from restore.batch.listing import Listing, existing
from restore.batch.processes import Rank
from restore.errors import PictureError, UsageError, first_few
from restore.images import FORMATS, default_suffix


@dataclass(frozen=True)
class Plan:
    """The jobs of a run, and what the user should know about them.

    Attributes:
        jobs: One for each picture of this process.
        notes: In words.
        left_out: Files of the folders and patterns that are no pictures: kind and number, the most frequent first.
    """

    jobs: tuple[Job, ...]
    notes: tuple[str, ...]
    left_out: dict[str, int] = field(default_factory=dict)
    total: int = 0
    """The number of pictures of all processes."""


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
    rank: Rank | None = None,
) -> Plan:
    """Decide which file each input is written to. `refuse_existing` looks at existing outputs.

    One file goes to the file `output`. If `output` is a folder or ends in a slash, the file keeps its name in it.
    Several inputs, folders and patterns go into the folder `output`. Pictures of a folder keep their paths in it.
    Three things are left out: hidden files, an `output` inside the input folder, and with a `suffix` the outputs of
    other inputs. Linked folders are not followed.

    Args:
        inputs: Files, folders, patterns such as `*.jpg`, URLs of these, or `-` alone.
        output: A file, a folder, a URL, or `-`; None: beside the sources, which needs a `suffix`.
        recursive: Include subfolders.
        suffix: Added to the name, before the extension.
        format: Extension of all outputs, without dot; None: that of the source if it can be written.
        overwrite: A picture may replace its source.
        copied: As for `Finder`.
        stdin, stdout: The streams that `-` stands for.
        rank: Which of several processes plans; all of them find the same faults. None: it is alone.

    Raises:
        PictureError: An input is missing or holds no picture, or an output cannot be written.
        UsageError: The arguments do not say where to write, or two pictures would go to one file.
    """
    _check_names(suffix, format)
    notes: list[str] = []
    left_out: dict[str, int] = {}
    if "-" in (*inputs, output):
        if len(inputs) > 1:
            raise UsageError("a pipe takes one picture, but there are several inputs", hint="name one input")
        if suffix:
            raise UsageError("--suffix changes names, and a pipe has none", hint="leave out --suffix")
    rank = rank or Rank()
    for text in [] if output is not None else filter(remote.is_url, inputs):  # outputs go beside them
        remote.check_output(text)
    if is_one(inputs):
        if output is not None:
            _check_output(output)
        jobs = [_single(inputs[0], output, suffix, format, stdin, stdout, is_own=rank.owns(str(Path(inputs[0]))))]
    else:
        folder = folder_of_outputs(output, suffix, format)
        finder = Finder(folder, recursive, copied, notes)
        out = None if folder is None else str(folder)
        jobs = [
            Job(found.source, _target_in(out, found.source, found.place, suffix, format), is_own=rank.owns(found.key))
            for text in inputs
            for found in finder.each(text)
        ]
        left_out = finder.kinds()
        if left := finder.left_out_note():
            notes.append(f"left out{f' of {inputs[0]}' if len(inputs) == 1 else ''}: {left}")
    if len(inputs) > 1:
        jobs = list(dict.fromkeys(jobs))
    if suffix:
        jobs = _without_outputs(jobs, notes)
    check(jobs, overwrite)
    own = tuple(jobs) if rank.is_alone else tuple(job for job in jobs if job.is_own)
    return Plan(own, tuple(notes), left_out, len(jobs))


def is_one(inputs: Sequence[str]) -> bool:
    """Whether the inputs are one picture, which is named or comes from a pipe."""
    return len(inputs) == 1 and not is_many(inputs[0])


def _check_output(output: str) -> None:
    """Refuse what can be no output."""
    if remote.is_url(output):
        remote.check_output(output)
    elif why := foreign(output, is_output=True):
        raise UsageError(f"cannot write {output}: {why[0]}", hint=why[1])


def folder_of_outputs(output: str | None, suffix: str, format: str | None) -> Path | str | None:
    """The folder for the outputs of many inputs, a text if it is at a URL; None: beside the sources.

    Args:
        output, suffix, format: As for `plan`.

    Raises:
        PictureError: It is a file.
        UsageError: The arguments do not say where to write.
    """
    _check_names(suffix, format)
    if output is not None:
        _check_output(output)
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
    return Path(_target_in(None if out is None else str(out), str(source), str(place), suffix, format))


def _target_in(out: str | None, source: str, place: str, suffix: str, format: str | None) -> str:
    if out is not None and "://" in out:
        return _renamed(remote.join(out, place), suffix, format)
    return _renamed(source if out is None else place if out == "." else os.path.join(out, place), suffix, format)


def done(jobs: Sequence[Job]) -> set[str]:
    """The paths of the outputs that exist. They are complete, even if the run that wrote them was killed.

    A link that leads nowhere counts: writing would follow it.
    """
    there = remote.existing(job.target_path for job in jobs if job.target_path and job.is_target_remote)
    return there | existing(job.target_path for job in jobs if job.target_path and not job.is_target_remote)


def refuse_existing(jobs: Sequence[Job]) -> None:
    """Raise a PictureError if an output exists."""
    found = done(jobs)
    if found:
        first = next(job.target_path for job in jobs if job.target_path in found)
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise PictureError(f"{first} already exists{more}", hint="use another -o, --skip-existing, or --overwrite")


def is_done(job: Job) -> bool:
    """Whether the output exists, as in `done`."""
    return bool(done([job]))


def replacing(jobs: Sequence[Job]) -> Iterator[Job]:
    """The jobs whose output is their own source."""
    return (job for job, source, target in _ends(jobs, _listing(jobs)) if source is not None and source == target)


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
    text: str,
    output: str | None,
    suffix: str,
    format: str | None,
    stdin: BinaryIO | None,
    stdout: BinaryIO | None,
    *,
    is_own: bool,
) -> Job:
    """The job of one file or pipe."""
    source: Path | str | BinaryIO = Path(text)
    if text == "-":
        assert stdin is not None
        source = stdin
    elif remote.is_url(text):
        remote.check_exists(text)
        source = text
    elif not os.path.exists(text):
        raise missing(text)
    if output == "-":
        assert stdout is not None
        return Job(source, stdout, is_own=is_own)
    if output is not None:
        return Job(source, _single_target(source, output, suffix, format), is_own=is_own)
    if not isinstance(source, Path | str) or not suffix:
        raise _no_output()
    beside = _renamed(str(source), suffix, format)
    return Job(source, _known_text(beside), is_own=is_own)


def _single_target(source: Path | str | BinaryIO, output: str, suffix: str, format: str | None) -> Path | str:
    """Where one picture goes."""
    if isinstance(source, str):
        source = Path(remote.name_in(source))
    if remote.is_url(output) and remote.is_folder_of_outputs(output):
        if isinstance(source, Path):
            return _known_text(remote.join(output, _renamed(source.name, suffix, format)))
        raise UsageError(f"{output} is a folder, but a picture from a pipe has no name", hint="-o FILE")
    into_folder = output.endswith(("/", os.sep))
    out = Path(output)
    if os.path.isdir(out) and out.suffix.lower() in FORMATS and not into_folder:
        raise PictureError(f"{out} is a folder, but its name looks like a file", hint=f"-o {out}{os.sep}")
    if os.path.isdir(out) or into_folder:
        if not isinstance(source, Path):
            raise UsageError(f"{out} is a folder, but a picture from a pipe has no name", hint="-o FILE")
        return _known(Path(_renamed(str(out / source.name), suffix, format)))
    _known(out)
    if suffix:
        raise UsageError(f"{output} is the full name of the output", hint="leave out --suffix")
    if format is not None and FORMATS[out.suffix.lower()] != FORMATS[f".{format}"]:
        better = f"{os.path.splitext(output)[0]}.{format}"
        raise UsageError(f"the name {output} does not fit --format {format}", hint=f"-o {better}")
    return output if remote.is_url(output) else out


def _known(out: Path) -> Path:
    """`out`, if its extension is one that can be written."""
    if out.suffix.lower() not in FORMATS:
        what = f"unknown format {out.suffix}" if out.suffix else "its name has no extension that tells the format"
        raise UsageError(
            f"cannot write {out}: {what}",
            hint=f"use one of {', '.join(FORMATS)}; for a folder, end the name with {os.sep}",
        )
    return out


def _known_text(out: str) -> str:
    _known(Path(out))
    return out


def _renamed(path: str, suffix: str, format: str | None) -> str:
    """The name of an output whose source is named `path`."""
    start = max(path.rfind(os.sep), path.rfind("/")) + 1  # that of a URL, on Windows too
    dot = path.rfind(".")
    if not start < dot < len(path) - 1:  # as pathlib does: ".png" and "a." have no extension
        dot = len(path)
    extension = _extension(path[dot:], format)
    return path if not suffix and extension == path[dot:] else path[:dot] + suffix + extension


@cache
def _extension(old: str, format: str | None) -> str:
    """The extension of an output whose source has the extension `old`."""
    extension = default_suffix(Path(f"a{old}"))
    return f".{format}" if format is not None and FORMATS.get(extension.lower()) != FORMATS[f".{format}"] else extension


# ---------------------------------------------------------------------------------------------------------- many inputs


def _output_folder(output: str) -> Path | str:
    if remote.is_url(output):
        remote.check_folder(output)
        return output
    out = Path(output)
    if os.path.exists(out) and not os.path.isdir(out):
        raise PictureError(f"{out} is a file, but these inputs need a folder", hint="-o FOLDER/")
    if not os.path.exists(out) and out.suffix.lower() in FORMATS and not output.endswith(("/", os.sep)):
        raise UsageError(f"{out} is the name of a file, but these inputs need a folder", hint=f"-o {out.stem}/")
    return out


# ---------------------------------------------------------------------------------------------------------------- check


def _listing(jobs: Sequence[Job]) -> Listing:
    return Listing(path for job in jobs for path in (job.source_path, job.target_path) if path is not None)


def _ends(
    jobs: Iterable[Job], listing: Listing
) -> Iterator[tuple[Job, tuple[str, str] | None, tuple[str, str] | None]]:
    """Each job with its real source and target, as folder and name; None for a pipe."""
    for job in jobs:
        source, target = job.source_path, job.target_path
        yield job, None if source is None else listing.real(source), None if target is None else listing.real(target)


def _without_outputs(jobs: list[Job], notes: list[str]) -> list[Job]:
    """The jobs without those whose source is the output of another, as in a second run over the same folder."""
    listing = _listing(jobs)
    outputs: defaultdict[str, set[str]] = defaultdict(set)
    for _, source, target in _ends(jobs, listing):
        if target is not None and target != source:
            outputs[target[0]].add(target[1])
    kept: list[Job] = []
    left_out: list[Job] = []
    for job in jobs:
        folder, name = ("", "") if job.source_path is None else listing.real(job.source_path)
        (left_out if folder in outputs and name in outputs[folder] else kept).append(job)
    if left_out:
        names = first_few([str(job.source_path) for job in left_out])
        notes.append(f"left out, because they are outputs of other inputs: {names}")
    return kept


def check(jobs: Sequence[Job], overwrite: bool) -> None:
    """Refuse jobs that would lose a picture or cannot be written, before any work."""
    listing = _listing(jobs)
    targets: dict[str, tuple[list[str], list[Job]]] = {}  # by real folder: real names, and their jobs
    checked: set[str] = set()
    for job, source, target in _ends(jobs, listing):
        if target is None or job.target_path is None:
            continue
        if target == source and not overwrite:
            raise PictureError(f"{job.target_path} would replace its own source", hint="use another -o, or --overwrite")
        if not job.is_target_remote:
            if listing.is_folder(job.target_path):
                raise PictureError(f"cannot write {job.target_path}: it is a folder", hint="use another -o")
            _check_folder(os.path.dirname(job.target_path), checked)
        names, of_names = targets.setdefault(target[0], ([], []))
        names.append(target[1])
        of_names.append(job)
    _check_inputs(jobs, listing, targets)
    _check_collisions(targets)


def _check_inputs(jobs: Sequence[Job], listing: Listing, targets: dict[str, tuple[list[str], list[Job]]]) -> None:
    """Refuse a target that is the source of another job."""
    shared: defaultdict[str, set[str]] = defaultdict(set)  # sources in folders that have targets, too
    for job in jobs:
        folder, name = ("", "") if job.source_path is None else listing.real(job.source_path)
        if folder in targets:
            shared[folder].add(name)
    for folder, sources in shared.items():
        for name, job in zip(*targets[folder], strict=True):
            if name in sources and (job.source_path is None or listing.real(job.source_path) != (folder, name)):
                raise UsageError(f"{job.target_path} is also an input and would be replaced", hint="use another -o")


def _check_collisions(targets: dict[str, tuple[list[str], list[Job]]]) -> None:
    """Refuse two pictures for one file, also if their names differ only in case and the file system ignores case."""
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for folder in targets:
        alike[_folded(folder)].append(folder)
    for folders in alike.values():
        taken: dict[str, tuple[str, str, Job]] = {}
        for folder in folders:
            for name, job in zip(*targets[folder], strict=True):
                other = taken.setdefault(_folded(name), (folder, name, job))
                if other[2] is job:
                    continue
                if other[:2] == (folder, name) or (
                    not job.is_target_remote and _ignores_case(_nearest(Path(job.target_path or "").parent))
                ):
                    both = f"{other[2].name} and {job.name}"
                    raise UsageError(
                        f"{both} would both be written to {job.target_path}",
                        hint="restore them in separate runs, or into separate folders",
                    )


def _folded(name: str) -> str:
    """A name as file systems of macOS compare it: they ignore case and the Unicode form of accents."""
    return name.lower() if name.isascii() else unicodedata.normalize("NFC", name).casefold()


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


def _check_folder(text: str, checked: set[str]) -> None:
    """Raise a PictureError if a folder cannot be written to or made.

    Args:
        text: The folder; empty for the current one.
        checked: Those that can be; grows.
    """
    absent: list[str] = []  # from the inside out
    while text not in checked:
        checked.add(text)
        folder = Path(text)
        if os.path.lexists(folder):
            _check_nearest(folder, Path(absent[0] if absent else text))
            return
        absent.append(text)
        text = str(folder.parent)


def _check_nearest(nearest: Path, folder: Path) -> None:
    """Raise a PictureError if `nearest`, which exists, is no folder in which `folder` can be written."""
    if not os.path.exists(nearest):
        raise PictureError(f"cannot write into {folder}: {nearest} is a link that leads nowhere", hint="use another -o")
    if not nearest.is_dir():
        raise PictureError(f"cannot write into {folder}: {nearest} is a file", hint="use another -o")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise PictureError(f"cannot write into {folder}: no permission", hint="use another -o")

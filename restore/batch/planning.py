"""One picture or many: which file becomes which, checked before any work is done."""

from __future__ import annotations

import glob
import os
import re
import tempfile
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import BinaryIO, NoReturn

from restore.errors import PictureError, UsageError, did_you_mean, first_few
from restore.images import FORMATS, READABLE, default_suffix

_MAGIC = re.compile(r"[*?[]")


@dataclass(frozen=True)
class Job:
    """One picture to restore: from `source` to `target`, files or pipes."""

    source: Path | BinaryIO
    target: Path | BinaryIO

    def __str__(self) -> str:
        return f"{name_of(self.source)} -> {name_of(self.target)}"


@dataclass(frozen=True)
class Plan:
    """What is to be done, and what the user should know about it."""

    jobs: tuple[Job, ...]
    notes: tuple[str, ...]


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
    stdin: BinaryIO | None = None,
    stdout: BinaryIO | None = None,
) -> Plan:
    """Decide which file each input is written to; whether outputs are there already is another question.

    One file goes to the file `output`, or under its own name into `output` if that is a folder or ends in a slash.
    Several inputs, the pictures of a folder, and what matches a pattern go into the folder `output`: a file under its
    own name, those of a folder under their paths in it. Hidden files, an `output` inside the input folder, and with a
    `suffix` the outputs of other inputs are left out.

    Args:
        inputs: Files, folders, patterns such as `*.jpg`, or `-` alone.
        output: A file, a folder, or `-`; None: beside the sources, which takes a `suffix`.
        recursive: Take all that is below a folder, not only the pictures in it.
        suffix: What is added to the name, before the extension.
        format: Extension that all outputs get, without its dot; None: that of the source, as far as it can be written.
        overwrite: A picture may replace its source.
        stdin, stdout: What `-` stands for.

    Raises:
        PictureError: An input is missing or holds no picture, or an output cannot be.
        UsageError: The arguments do not say where to write, or would write two pictures to one file.
    """
    _check_names(suffix, format)
    notes: list[str] = []
    if "-" in (*inputs, output):
        if len(inputs) > 1:
            raise UsageError("a pipe is one picture, and there are several inputs", hint="give one input")
        if suffix:
            raise UsageError("--suffix is for names that are made up, not for a pipe", hint="leave out --suffix")
    if len(inputs) == 1 and not _is_many(inputs[0]):
        jobs = [_single(inputs[0], output, suffix, format, stdin, stdout)]
    else:
        if output == "-":
            raise UsageError("a pipe is one picture, and this input is many", hint="give -o a folder")
        if output is None and not suffix:
            raise _no_output()
        out = None if output is None else _output_folder(output)
        found = [pair for text in inputs for pair in _find(text, out, recursive, notes)]
        jobs = [
            Job(source, _renamed(source if out is None else out / place, suffix, format)) for source, place in found
        ]
    jobs = list(dict.fromkeys(jobs))
    if suffix:
        jobs = _without_outputs(jobs, notes)
    _check(jobs, overwrite)
    return Plan(tuple(jobs), tuple(notes))


def refuse_existing(jobs: Sequence[Job]) -> None:
    """Raise a PictureError if an output is there already."""
    existing = [job.target for job in jobs if is_done(job)]
    if existing:
        more = f" (and {len(existing) - 1} more)" if len(existing) > 1 else ""
        raise PictureError(
            f"{existing[0]} is there already{more}", hint="choose another -o, --skip-existing, or --overwrite"
        )


def is_done(job: Job) -> bool:
    """Whether the output is there; it is whole then, whatever became of the run that wrote it."""
    return isinstance(job.target, Path) and os.path.exists(job.target)


def _check_names(suffix: str, format: str | None) -> None:
    """Refuse what cannot be part of a name."""
    if format is not None and f".{format}" not in FORMATS:
        known = ", ".join(extension[1:] for extension in FORMATS)
        raise UsageError(f"the format {format} is not known", hint=f"use one of {known}")
    if suffix.lower() in FORMATS:
        raise UsageError(
            f"--suffix is added to the name, and {suffix} is a format", hint=f"--format {suffix[1:].lower()}"
        )
    if re.search(r"[/\0]", suffix) or os.sep in suffix:
        raise UsageError(f"--suffix is part of a name and cannot hold {suffix!r}", hint="--suffix _clean")


def _no_output() -> UsageError:
    return UsageError(
        "nothing says where to write", hint="-o OUT, or --suffix _clean to write beside the source under a new name"
    )


# ------------------------------------------------------------------------------------------------------------ one input


def _is_many(text: str) -> bool:
    """Whether an input is a folder or a pattern."""
    return os.path.isdir(text) or (_MAGIC.search(text) is not None and not os.path.exists(text))


def _single(
    text: str, output: str | None, suffix: str, format: str | None, stdin: BinaryIO | None, stdout: BinaryIO | None
) -> Job:
    """The job of one file or pipe."""
    source: Path | BinaryIO = Path(text)
    if text == "-":
        assert stdin is not None
        source = stdin
    elif not os.path.exists(text):
        raise _missing(Path(text))
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
        raise PictureError(f"{out} is a folder, though it is called like a file", hint=f"-o {out}{os.sep}")
    if os.path.isdir(out) or into_folder:
        if not isinstance(source, Path):
            raise UsageError(f"{out} is a folder, and what comes from a pipe has no name", hint="give -o a file")
        return _known(_renamed(out / source.name, suffix, format))
    _known(out)
    if suffix:
        raise UsageError(f"{out} is the whole name of the output already", hint="leave out --suffix")
    if format is not None and FORMATS[out.suffix.lower()] != FORMATS[f".{format}"]:
        raise UsageError(f"{out} is not called like {format}", hint=f"-o {out.with_suffix('.' + format)}")
    return out


def _known(out: Path) -> Path:
    """`out`, if its extension is one that can be written."""
    if out.suffix.lower() not in FORMATS:
        what = f"the format {out.suffix} is not known" if out.suffix else "it has no suffix to say the format"
        raise UsageError(
            f"cannot write {out}: {what}", hint=f"use one of {', '.join(FORMATS)}; a folder ends in {os.sep}"
        )
    return out


def _renamed(path: Path, suffix: str, format: str | None) -> Path:
    """The name of an output whose source is called like `path`."""
    extension = default_suffix(path)
    if format is not None and FORMATS.get(extension.lower()) != FORMATS[f".{format}"]:
        extension = f".{format}"
    return path.with_name(path.stem + suffix + extension)


# ---------------------------------------------------------------------------------------------------------- many inputs


def _output_folder(output: str) -> Path:
    out = Path(output)
    if os.path.exists(out) and not os.path.isdir(out):
        raise PictureError(f"{out} is a file, but these inputs need a folder", hint="give -o a folder")
    if not os.path.exists(out) and out.suffix.lower() in FORMATS and not output.endswith(("/", os.sep)):
        raise UsageError(f"{out} is the name of a file, but these inputs need a folder", hint=f"-o {out.stem}/")
    return out


def _find(text: str, out: Path | None, recursive: bool, notes: list[str]) -> list[tuple[Path, Path]]:
    """The pictures of one of several inputs: where each is, and its place in the output folder."""
    path = Path(text)
    if os.path.isdir(path):
        return [(picture, picture.relative_to(path)) for picture in _in_folder(path, out, recursive, notes)]
    if os.path.exists(path):  # unlike Path.exists it does not stumble over names that are too long
        return [(path, Path(path.name))]
    if not _MAGIC.search(text):
        raise _missing(path)
    matches = [Path(match) for match in sorted(glob.glob(text, recursive=True))]
    base = Path(*takewhile(lambda part: not _MAGIC.search(part), path.parts))
    if out is not None and base.resolve() in out.resolve().parents:  # outputs of an earlier run
        matches = [match for match in matches if out.resolve() not in match.resolve().parents]
    pictures = [(match, Path(match.name)) for match in matches if _is_picture(match.name) and match.is_file()]
    if not pictures:
        raise PictureError(f"no picture matches {text}", hint=f"looked for {', '.join(sorted(READABLE))}")
    return pictures


def _in_folder(folder: Path, out: Path | None, recursive: bool, notes: list[str]) -> list[Path]:
    """The pictures of a folder."""
    tree = _walk(folder, out)
    pictures = list(next(tree))
    if recursive:
        return _some([*pictures, *(picture for deeper in tree for picture in deeper)], folder)
    has_deeper = False
    with suppress(PictureError):  # of a folder that nobody asked for
        has_deeper = any(tree)
    if has_deeper and not pictures:
        raise PictureError(
            f"no pictures in {folder}, only in folders below it", hint="-r takes all that is below a folder"
        )
    if has_deeper:
        notes.append(f"{folder} holds pictures in folders below it too; -r takes them as well")
    return _some(pictures, folder)


def _some(pictures: list[Path], folder: Path) -> list[Path]:
    if not pictures:
        raise PictureError(f"no pictures in {folder}", hint=f"looked for {', '.join(sorted(READABLE))}")
    return pictures


def _walk(top: Path, out: Path | None) -> Iterator[list[Path]]:
    """The pictures of a folder, then of each below it but `out`."""
    own_output = None if out is None else out.resolve()
    for folder, folders, names in os.walk(top, onerror=_unreadable):
        here = Path(folder)
        folders[:] = sorted(f for f in folders if not f.startswith(".") and (here / f).resolve() != own_output)
        yield [here / name for name in sorted(names) if _is_picture(name)]


def _is_picture(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in READABLE


def _unreadable(error: OSError) -> NoReturn:
    raise PictureError(f"cannot read the folder {error.filename}: {error.strerror}") from error


def _missing(path: Path) -> PictureError:
    """The error of an input that is not there, with what else the user may have meant."""
    try:
        hint = did_you_mean(path.name, os.listdir(path.parent))
    except OSError:
        hint = f"there is no folder {path.parent} either"
    return PictureError(f"cannot find {path}", hint=hint)


# ---------------------------------------------------------------------------------------------------------------- check


def _without_outputs(jobs: list[Job], notes: list[str]) -> list[Job]:
    """The jobs but those whose source is another's output, as in a second run over the same folder."""
    outputs = {_real(job.target) for job in jobs if _real(job.target) != _real(job.source)}
    left_out = [str(job.source) for job in jobs if _real(job.source) in outputs]
    if left_out:
        notes.append(f"left out, for they are outputs of others: {first_few(left_out)}")
    return [job for job in jobs if _real(job.source) not in outputs]


def _real(end: Path | BinaryIO) -> Path | BinaryIO:
    """A path without links; a pipe as it is."""
    return Path(os.path.realpath(end)) if isinstance(end, Path) else end


def _check(jobs: Sequence[Job], overwrite: bool) -> None:
    """Refuse what would lose a picture or cannot be written, before any work is done."""
    sources = {_real(job.source) for job in jobs}
    folders: set[Path] = set()
    for job in jobs:
        if not isinstance(job.target, Path):
            continue
        target = _real(job.target)
        if target == _real(job.source):
            if not overwrite:
                raise PictureError(
                    f"{job.target} would replace its own source", hint="choose another -o, or --overwrite"
                )
        elif target in sources:
            raise UsageError(f"{job.target} is an input too and would be replaced", hint="choose another -o")
        if os.path.isdir(job.target):
            raise PictureError(f"cannot write {job.target}: it is a folder", hint="choose another -o")
        if job.target.parent not in folders:
            folders.add(job.target.parent)
            _check_folder(job.target.parent)
    _check_collisions(jobs)


def _check_collisions(jobs: Sequence[Job]) -> None:
    """Refuse two pictures for one file, also where names differ in case only and the file system ignores case."""
    taken: dict[str, Job] = {}
    for job in jobs:
        if not isinstance(job.target, Path):
            continue
        target = str(_real(job.target))
        # Apple's file systems ignore case, and how accents are composed.
        other = taken.setdefault(unicodedata.normalize("NFC", target).casefold(), job)
        if other is job:
            continue
        assert isinstance(other.target, Path)
        if str(_real(other.target)) == target or _ignores_case(_nearest(job.target.parent)):
            raise UsageError(
                f"{name_of(other.source)} and {name_of(job.source)} would both be written to {job.target}",
                hint="restore them in separate runs, or with another --format or --suffix",
            )


def _ignores_case(folder: Path) -> bool:
    """Whether names that differ in case are one file in `folder`."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".restore-a-", suffix=".tmp") as file:
            return os.path.exists(os.path.join(folder, os.path.basename(file.name).upper()))
    except OSError:
        return True  # nothing is lost by caution


def _nearest(folder: Path) -> Path:
    """The folder, or what is there of its parents."""
    return next(path for path in (folder, *folder.parents) if os.path.exists(path))


def _check_folder(folder: Path) -> None:
    """Raise if `folder` is not writable, or cannot be made."""
    nearest = _nearest(folder)
    if not nearest.is_dir():
        raise PictureError(f"cannot write into {folder}: {nearest} is a file", hint="choose another -o")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise PictureError(f"cannot write into {folder}: no permission", hint="choose another -o")

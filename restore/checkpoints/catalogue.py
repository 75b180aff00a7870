"""The catalogue of weights: one table each in weights/catalogue.toml, and in the user's own weights folder."""

from __future__ import annotations

import dataclasses
import errno
import os
import re
import tomllib
import typing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import platformdirs

from restore.errors import UsageError, WeightsError, did_you_mean
from restore.files import locked, whole_file
from restore.tasks import TASKS

Record = TypeVar("Record", "Score", "WeightsEntry")

_LOCK_WAIT = 30.0  # seconds; a change takes milliseconds


@dataclass(frozen=True)
class Score:
    """One measurement.

    Attributes:
        set: The dataset and the degradation, such as `PolyU` or `CBSD68 sigma 25`.
        protocol: How it is measured; a name of docs/evaluation.md.
        psnr, input_psnr: Of the restored and of the degraded pictures, in dB.
        ssim: Of the restored pictures.
        others: Other methods on the same set and protocol, in dB: the paper's full-size network, classical methods.
        bfloat16_psnr: As `psnr`, with the network in bfloat16; None if not measured. `psnr` is that of float32.
    """

    set: str
    protocol: str
    psnr: float
    input_psnr: float
    ssim: float | None = None
    others: str | None = None
    bfloat16_psnr: float | None = None


@dataclass(frozen=True)
class WeightsEntry:
    """One checkpoint: the only link between a task and a network. The fields are the keys of its table.

    Attributes:
        name: Name of the table; what `--weights` takes.
        folder: The catalogue's folder, which also holds the file if it is on this machine.
        network, config: Keys of `restore.networks.NETWORKS` and of that network's `CONFIGS`; the config of imported
            weights may be "own".
        task: Key of `restore.tasks.TASKS`.
        file: Name of the file in `folder`; it may be missing if the Hub has it.
        sha256: 64 hexadecimal digits; checked at every load.
        size_bytes: Size of the file.
        parameters: Number of trained values.
        licence: SPDX identifier of the weights.
        trained_on: The training data and their degradation.
        summary: One line: what the weights are for.
        recipe: Name of the training recipe; None if unknown, as the next three.
        steps, hours, machine: How long the training took, and on what.
        level: The strength that the weights are for, in the unit of the task's `Level`; None for blind weights.
        default: Whether the task uses them by default.
        bfloat16_loss: dB of PSNR that bfloat16 loses against float32 on the first set of `scores`; None if not
            measured. It decides what `--precision auto` does.
        hub_repo, hub_revision, hub_file: Their place on the Hub: `owner/name`, a commit and a path; all or none.
        scores: The measured scores.
    """

    name: str
    network: str
    config: str
    task: str
    file: str
    sha256: str
    size_bytes: int
    parameters: int
    licence: str
    trained_on: str
    summary: str
    folder: Path
    recipe: str | None = None
    steps: int | None = None
    hours: float | None = None
    machine: str | None = None
    level: float | None = None
    default: bool = False
    bfloat16_loss: float | None = None
    hub_repo: str | None = None
    hub_revision: str | None = None
    hub_file: str | None = None
    scores: tuple[Score, ...] = ()

    @property
    def path(self) -> Path:
        """The file, if it is on this machine and not in the Hub's cache."""
        return self.folder / self.file


def own_folder() -> Path:
    """The user's own weights folder: `$RESTORE_WEIGHTS`, else in the system's folder for application data."""
    given = os.environ.get("RESTORE_WEIGHTS")
    return Path(given) if given else platformdirs.user_data_path("restore", appauthor=False) / "weights"


def own_folder_fault() -> str | None:
    """Why the user's own catalogue cannot be opened; None if it can, or if there is none yet."""
    path = own_folder() / "catalogue.toml"
    try:
        path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        return error.strerror
    return None if os.access(path, os.R_OK) else os.strerror(errno.EACCES)


def weights_folder() -> Path:
    """The folder of the bundled weights: in the installed package, else beside it in a checkout.

    Raises:
        WeightsError: Neither folder has a catalogue.
    """
    package = Path(__file__).parents[1]
    for folder in (package / "weights", package.parent / "weights"):
        if (folder / "catalogue.toml").is_file():
            return folder
    raise WeightsError("this installation has no weights", hint="pip install --force-reinstall restore-photos")


def load_catalogue(path: Path | None = None) -> dict[str, WeightsEntry]:
    """Every entry by name, in the order of the file.

    Args:
        path: The catalogue; None: the bundled one, then the user's own. If both have a name, the bundled entry wins.

    Raises:
        WeightsError: A key is missing, unknown or of the wrong type, or entries contradict each other.
    """
    if path is None:
        own = own_folder() / "catalogue.toml"
        bundled = load_catalogue(weights_folder() / "catalogue.toml")
        usable = own_folder_fault() is None and own.is_file()
        return bundled | {k: v for k, v in (load_catalogue(own) if usable else {}).items() if k not in bundled}
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise _not_toml(path, error) from None
    catalogue = {name: _entry(path, name, table) for name, table in tables.items()}
    defaults: dict[tuple[str, float | None], str] = {}
    for entry in catalogue.values():
        if entry.default and (first := defaults.setdefault((entry.task, entry.level), entry.name)) != entry.name:
            raise WeightsError(f"{path}: {first} and {entry.name} are both the default of {entry.task}")
    return catalogue


def find(name: str) -> WeightsEntry:
    """The entry of a name.

    Raises:
        WeightsError: There is none; the hint names the most similar one.
    """
    catalogue = load_catalogue()
    if name in catalogue:
        return catalogue[name]
    hint = did_you_mean(name, catalogue) or "`restore weights list` shows all names; files end in .safetensors"
    raise WeightsError(f"unknown weights {name!r}", hint=hint)


def check_new_name(name: str) -> None:
    """Check that a name is valid and free.

    Raises:
        WeightsError: It is invalid or taken.
    """
    if not re.fullmatch(r"[\w-][\w.-]*", name, re.ASCII):
        raise WeightsError(f"{name!r} is not a valid name", hint="use letters, digits, '-', '_' and '.'")
    if name in load_catalogue():
        raise WeightsError(f"weights called {name!r} already exist", hint="choose another with --name")


def add_own(name: str, table: dict[str, Any]) -> WeightsEntry:
    """Add a table to the user's own catalogue.

    Raises:
        WeightsError: The name is taken, the table is wrong, or the catalogue cannot be written.
    """
    check_new_name(name)
    entry = _entry(own_folder() / "catalogue.toml", name, table)

    def add(tables: dict[str, Any]) -> dict[str, Any]:
        if name in tables:  # since the check, by another process
            raise WeightsError(f"weights called {name!r} already exist", hint="choose another with --name")
        return tables | {name: table}

    _change_own(add)
    return entry


def remove_own(name: str) -> WeightsEntry:
    """Remove a table from the user's own catalogue; the file stays.

    Returns:
        The removed entry.

    Raises:
        WeightsError: There is no such entry, it is bundled, or the catalogue cannot be written.
    """
    entry = find(name)
    if entry.folder == weights_folder():
        raise WeightsError(f"cannot remove {name}: it comes with restore", hint="choose imported or pulled weights")
    _change_own(lambda tables: {key: table for key, table in tables.items() if key != name})
    return entry


def _change_own(change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Rewrite the user's own catalogue, one process after the other."""
    import tomli_w  # imported here: every command imports this file, few write

    path = own_folder() / "catalogue.toml"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.with_name(".catalogue.lock"), wait=_LOCK_WAIT):
            tables = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
            with whole_file(path) as temporary:
                temporary.write_text(tomli_w.dumps(change(tables)), encoding="utf-8")
    except TimeoutError as error:
        raise WeightsError(f"{error.strerror} {error.filename}", hint="try again when it has ended") from None
    except OSError as error:
        raise WeightsError(f"cannot write {path}: {error.strerror}", hint="check its folder's permissions") from error
    except ValueError as error:
        raise _not_toml(path, error) from None


def _not_toml(path: Path, error: ValueError) -> WeightsError:
    place = re.search(r"line (\d+), column (\d+)", str(error))
    where = f"line {place[1]}, column {place[2]} is" if place else "it is"
    return WeightsError(f"cannot read {path}: {where} not valid TOML", hint="correct the file, or move it away")


def default_for(task: str, level: float | None = None) -> WeightsEntry:
    """The default weights of a task.

    Args:
        task: Key of `TASKS`.
        level: The strength of the degradation; None for blind weights.

    Raises:
        WeightsError: There are none.
    """
    for entry in load_catalogue().values():
        if entry.default and (entry.task, entry.level) == (task, level):
            return entry
    strength = "" if level is None else f" at level {level:g}"
    raise WeightsError(
        f"there are no default weights for {task}{strength}",
        hint="choose some with --weights; `restore weights list` shows all",
    )


def weights_for(task: str, level: float | None = None) -> WeightsEntry:
    """The default weights of a task for a strength: those made for it, else blind ones.

    Args:
        task: Key of `TASKS`.
        level: The strength; None if the user gives none.

    Raises:
        UsageError: All weights are for one strength each, and `level` is None.
        WeightsError: There are none for this strength.
    """
    entries = {entry.level: entry for entry in load_catalogue().values() if entry.default and entry.task == task}
    option = TASKS[task].level
    if found := entries.get(level) or entries.get(None):
        return found
    if not entries or option is None:
        return default_for(task, level)
    there = f"choose one of {', '.join(f'{made_for:g}' for made_for in entries)}"
    if level is None:
        raise UsageError(f"{task} needs --{option.name}", hint=there)
    raise WeightsError(
        f"there are no weights for {task} at --{option.name} {level:g}", hint=f"{there}, or use --weights"
    )


def _entry(path: Path, name: str, table: Any) -> WeightsEntry:
    """Check one table of the catalogue."""
    where = f"{path}: [{name}]"
    if not isinstance(table, dict):
        raise WeightsError(f"{path}: {name!r} is outside a table")
    scores = table.get("scores", [])
    if not (isinstance(scores, list) and all(isinstance(score, dict) for score in scores)):
        raise WeightsError(f"{where}: scores must be tables", hint=f"write them as [[{name}.scores]]")
    scores = tuple(_record(Score, f"{where}: scores", score) for score in scores)
    plain = {key: value for key, value in table.items() if key != "scores"}
    entry = _record(WeightsEntry, where, plain, name=name, scores=scores, folder=path.parent)
    if entry.task not in TASKS:
        raise WeightsError(f"{where}: unknown task {entry.task!r}", hint=did_you_mean(entry.task, TASKS))
    if not re.fullmatch(r"[0-9a-f]{64}", entry.sha256):
        raise WeightsError(f"{where}: sha256 is not 64 lower-case hexadecimal digits")
    if not re.fullmatch(r"[\w-][\w.-]*\.safetensors", entry.file):
        raise WeightsError(f"{where}: file is not the plain name of a .safetensors file: {entry.file!r}")
    if len({entry.hub_repo is None, entry.hub_revision is None, entry.hub_file is None}) == 2:
        raise WeightsError(f"{where}: give all of hub_repo, hub_revision and hub_file, or none")
    if entry.hub_revision is not None and not re.fullmatch(r"[0-9a-f]{40}", entry.hub_revision):
        raise WeightsError(f"{where}: hub_revision is not a commit", hint="give the 40 digits: branches and tags move")
    return entry


def _record(kind: type[Record], where: str, table: dict[str, Any], **given: Any) -> Record:
    """Build a record from a table, whose keys and types must match the fields, and from `given` values."""
    types = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind) if field.name not in given}
    for key, value in table.items():
        if key not in fields:
            raise WeightsError(f"{where}: unknown key {key!r}", hint=did_you_mean(key, fields))
        accepted = typing.get_args(types[key]) or (types[key],)  # `float | None` or `float`
        # Not isinstance: in Python, True is an integer.
        if type(value) not in accepted and not (type(value) is int and float in accepted):
            raise WeightsError(f"{where}: {key} is {value!r}, not of type {accepted[0].__name__}")
        # The text may come from a stranger's repository: printing it must not control the terminal.
        if isinstance(value, str) and not value.isprintable():
            raise WeightsError(f"{where}: {key} has characters that cannot be printed")
    for key, field in fields.items():
        if field.default is dataclasses.MISSING and key not in table:
            raise WeightsError(f"{where}: the key {key!r} is missing")
    return kind(**table, **given)

"""Values of options that are not typed: from the environment and from the user's config file.

The command line wins over the environment, the environment over the file, the file over the default.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from restore.errors import RestoreError, UsageError, did_you_mean

ALL = "all"  # the table for every command that has the option

# Options that say what one run reads, writes or replaces. Set for good, they would surprise the next run.
_OF_ONE_RUN = frozenset({
    "compare", "crop", "csv", "dataset", "dry-run", "json", "json-lines", "message", "name", "new-data", "overwrite",
    "page", "port", "private", "recipe", "report", "resume", "shard", "split", "status", "strengths", "watch",
})  # fmt: skip
_PATHS = frozenset({"DIR", "FILE", "OUT", "OWNER/NAME", "PATH", "RUN"})  # metavars
_CONTRADICT = (frozenset({"overwrite", "skip-existing"}), frozenset({"watch", "overwrite"}))
_YES, _NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


@dataclass(frozen=True)
class Setting:
    """The value of an option, and where it comes from.

    Attributes:
        value: A bool for a flag, a list of texts for a repeatable option, else a text.
        source: In words, such as `RESTORE_DENOISE_STRENGTH`.
        table: Name of the command's table, or `ALL`.
        is_in_file: Whether the file sets it.
    """

    value: bool | str | list[str]
    source: str
    table: str
    is_in_file: bool = False


def path() -> Path:
    """The config file: `$RESTORE_CONFIG`, else config.toml in the user's folder for settings."""
    if given := os.environ.get("RESTORE_CONFIG"):
        return Path(given)
    import platformdirs

    return platformdirs.user_config_path("restore", appauthor=False) / "config.toml"


def key_of(param: Any) -> str:
    """The name of an option in the file: its long name without dashes."""
    return str(max(param.opts, key=len).lstrip("-"))


def variable(table: str, key: str) -> str:
    """The environment variable of an option.

    >>> variable("weights.list", "cached"), variable("denoise", "self-ensemble")
    ('RESTORE_WEIGHTS_LIST_CACHED', 'RESTORE_DENOISE_SELF_ENSEMBLE')
    """
    return f"RESTORE_{table}_{key}".upper().replace("-", "_").replace(".", "_")


class Options(Mapping[str, Mapping[str, Any]]):
    """The options of every command: name of its table, such as `weights.list`, to key and parameter.

    A command is built when its table is asked for.

    Args:
        root: The command `restore`.
    """

    def __init__(self, root: Any) -> None:
        self._root = root
        self._known: dict[str, dict[str, Any]] = {}

    def __getitem__(self, table: str) -> Mapping[str, Any]:
        if table not in self._known:
            command = self._root
            for name in table.split("."):
                command = getattr(command, "commands", {})[name]
            if not _has_settings(command, table):
                raise KeyError(table)
            self._known[table] = {key_of(param): param for param in command.params if param.param_type_name == "option"}
        return self._known[table]

    def __iter__(self) -> Iterator[str]:
        for table, command in _commands(self._root, ()):
            if _has_settings(command, table):
                yield table

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _commands(command: Any, place: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """Every command below this one, with its words joined by dots."""
    for name, one in getattr(command, "commands", {}).items():
        yield ".".join((*place, name)), one
        yield from _commands(one, (*place, name))


def _has_settings(command: Any, table: str) -> bool:
    return not hasattr(command, "commands") and not table.startswith("config.")


def may_be_in_file(param: Any) -> bool:
    """Whether an option can be set in the config file; None is no option."""
    if param is None:
        return False
    is_path = param.metavar in _PATHS and key_of(param) not in ("weights",)
    return not (param.required or param.hidden or is_path or key_of(param) in _OF_ONE_RUN)


def read(file: Path, *, may_be_missing: bool = False) -> dict[str, dict[str, Any]]:
    """The tables of the config file: name of the table to keys and values as TOML has them. Empty if there is no file.

    Args:
        file: Its path.
        may_be_missing: Also if `RESTORE_CONFIG` names it.

    Raises:
        UsageError: It cannot be read, is not TOML, or `RESTORE_CONFIG` names no file.
    """
    try:
        text = file.read_text(encoding="utf-8")
        if not text:
            return {}
        import tomllib

        tables = tomllib.loads(text)
    except (FileNotFoundError, NotADirectoryError):
        if os.environ.get("RESTORE_CONFIG") and not may_be_missing:
            why = f"cannot read {file}, which RESTORE_CONFIG names: it does not exist"
            raise UsageError(why, hint="`restore config set KEY VALUE` makes it") from None
        return {}
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}", hint="set RESTORE_CONFIG to another file") from error
    except (ValueError, RecursionError) as error:  # also what is not UTF-8
        why = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else f"not valid TOML: {error}"
        raise UsageError(f"cannot read {file}: {why}", hint="correct the file, or move it away") from None
    return _flat(tables, file)


def _flat(tables: dict[str, Any], file: Path) -> dict[str, dict[str, Any]]:
    """Tables in tables, such as `[weights.list]`, under names with dots."""
    flat: dict[str, dict[str, Any]] = {}
    to_do = [(name, table) for name, table in tables.items()]
    for name, table in to_do:
        if not isinstance(table, dict):
            why = f"{file}: {name} is not in a table"
            raise UsageError(why, hint=f"write it below [denoise], or [{ALL}] for all commands")
        values = {key: value for key, value in table.items() if not isinstance(value, dict)}
        deeper = [(f"{name}.{key}", value) for key, value in table.items() if isinstance(value, dict)]
        if values or not deeper:
            flat[name] = values
        to_do += deeper
    return flat


def check_table(table: str, options: Options, where: str) -> None:
    """Refuse a table that stands for no command.

    Args:
        table: Its name.
        options: Those of every command.
        where: The file, for the message.
    """
    if table != ALL and table not in options:
        hint = did_you_mean(table, [ALL, *options]) or f"tables are [{ALL}] and the commands, such as [denoise]"
        raise UsageError(f"{where}: there is no command {table!r}", hint=hint)


def check_key(table: str, key: str, options: Options, where: str) -> list[Any]:
    """The parameters that a key of a table sets; refuses one that no command has, or that belongs to one run.

    Args:
        table, key: What is set.
        options, where: As for `check_table`.
    """
    check_table(table, options, where)
    tables = options.values() if table == ALL else [options[table]]
    params = [keys[key] for keys in tables if key in keys]
    if not params:
        has = "no command has an" if table == ALL else f"[{table}] has no"
        known = sorted({name for keys in tables for name, param in keys.items() if may_be_in_file(param)})
        lists = f"`restore {'denoise' if table == ALL else table.replace('.', ' ')} --help` lists the options"
        raise UsageError(f"{where}: {has} option {key!r}", hint=did_you_mean(key, known) or lists)
    if not any(map(may_be_in_file, params)):
        why = f"{where}: {key} of [{table}] belongs to one run and cannot be set for all"
        raise UsageError(why, hint=f"type {max(params[0].opts, key=len)} where you need it")
    return params


def as_given(value: Any, param: Any) -> bool | str | list[str] | None:
    """A value of the file or the environment as the command line would have it; None if it is of the wrong kind."""
    if param.is_flag:
        text = str(value).lower()
        return value if isinstance(value, bool) else True if text in _YES else False if text in _NO else None
    if param.multiple:
        values = value if isinstance(value, list) else [value]
        return [str(one) for one in values] if all(_is_plain(one) for one in values) else None
    return str(value) if _is_plain(value) else None


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def settings_of(table: str, options: Options, *, may_be_missing: bool = False) -> dict[str, Setting]:
    """What the environment and the file set for a command, by key.

    Args:
        table: Name of the command's table.
        options: Those of every command.
        may_be_missing: As for `read`.

    Raises:
        UsageError: The file cannot be read, names what no command has, or a value is of the wrong kind.
    """
    file = path()
    tables = read(file, may_be_missing=may_be_missing)
    for name, values in tables.items():
        check_table(name, options, str(file))
        for key in values:
            if not (name == ALL and may_be_in_file(options[table].get(key))):  # saves building all commands
                check_key(name, key, options, str(file))
    found = {}
    for key, param in options[table].items():
        is_lasting = may_be_in_file(param)
        for name in (ALL, table):  # the later wins
            value = tables.get(name, {}).get(key)
            # `memory` is a size for most commands and a flag for `bench`.
            if value is not None and is_lasting and (name == table or isinstance(value, bool) == param.is_flag):
                source = f"{key} of [{name}] in {file}"
                found[key] = Setting(_checked(value, param, source), source, name, is_in_file=True)
        for name in (ALL, table):
            source = variable(name, key)
            text = os.environ.get(source)
            if text and (name == table or (is_lasting and (not param.is_flag or text.lower() in _YES + _NO))):
                found[key] = Setting(_checked(text.split() if param.multiple else text, param, source), source, name)
    return found


def _checked(value: Any, param: Any, source: str) -> bool | str | list[str]:
    given = as_given(value, param)
    if given is None or given == "":
        what = "true or false" if param.is_flag else "a list of values" if param.multiple else "one value"
        raise UsageError(f"{source} is {what}, not {value!r}", hint="correct it or remove it")
    return given


# ------------------------------------------------------------------------------------------------ while a command runs

_KEPT = "restore.settings"  # in the context of a command


def apply(ctx: Any, typed: set[str]) -> None:
    """Make the settings of a command its defaults.

    Args:
        ctx: The context of the command.
        typed: Keys of the options on the command line. A setting that contradicts one of them does not count.

    Raises:
        UsageError: As `settings_of`.
    """
    table = ".".join(ctx.command_path.split()[1:])
    options = Options(ctx.find_root().command)
    if table not in options:
        return
    dropped = {key for pair in _CONTRADICT if pair & typed for key in pair - typed}
    found = {key: one for key, one in settings_of(table, options).items() if key not in dropped | typed}
    ctx.meta[_KEPT] = found
    ctx.default_map = {options[table][key].name: one.value for key, one in found.items()}


def blamed(error: RestoreError, ctx: Any) -> RestoreError:
    """The same error; if it is about a value that was not typed, its message says where the value comes from."""
    found: dict[str, Setting] = {} if ctx is None else ctx.meta.get(_KEPT, {})
    sources = [f"--{key} is set by {one.source}" for key, one in found.items() if _is_about(error.message, key, one)]
    if sources and not any(source in error.message for source in sources):
        error.message = "\n  ".join([error.message, *sources])
        error.args = (error.message,)
    return error


def _is_about(message: str, key: str, setting: Setting) -> bool:
    """Whether a message names an option, or quotes a value that is a word."""
    texts = setting.value if isinstance(setting.value, list) else [str(setting.value)]
    is_word = any(len(text) > 2 and not text[0].isdigit() and text in message for text in texts)
    return bool(re.search(rf"--{re.escape(key)}(?![\w-])", message)) or (
        is_word and not isinstance(setting.value, bool)
    )

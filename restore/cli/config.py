"""`restore config`: show and change the file of settings that commands start from."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from restore.cli import complete, help, settings
from restore.cli.columns import table
from restore.cli.usage_errors import in_our_words
from restore.errors import RestoreError, UsageError
from restore.files import locked, whole_file


class _Shows(help.Group):
    """A group that runs without a command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse; without arguments, what is set is shown."""
        return TyperGroup.parse_args(self, ctx, args)


_EXAMPLES = ("restore config", "restore config set denoise.strength 0.8")
_LOOK = {**help.group(*_EXAMPLES, page="batches.md"), "cls": _Shows}
app = typer.Typer(
    help="Show and change the settings that commands start from.\n\n"
    "The command line wins over the environment, the environment over the file.",
    invoke_without_command=True,
    **_LOOK,
)

Key = Annotated[
    str,
    typer.Argument(
        metavar="COMMAND.OPTION",
        autocompletion=complete.settings,
        help="Such as denoise.strength, or all.threads for all commands.",
    ),
]


@app.callback()
def show(ctx: typer.Context) -> None:
    """Show the path of the file, and what it and the environment set."""
    if ctx.invoked_subcommand is not None:
        return
    options = settings.Options(ctx.find_root().command)
    file = settings.path()
    print(f"{file}{'' if file.exists() else ' (does not exist)'}")
    rows: dict[str, tuple[str, str]] = {}
    faults = []
    for name, keys in options.items():
        for key, one in settings.settings_of(name, options, may_be_missing=True).items():
            owner = settings.ALL if one.table == settings.ALL else name
            rows[f"{owner}.{key}"] = json.dumps(one.value), "the file" if one.is_in_file else one.source
            if fault := _fault(ctx, name, keys[key], one):
                faults.append(fault)
    if rows:
        print("\n" + table(("SETTING", "VALUE", "SET BY"), [(key, *facts) for key, facts in rows.items()]))
    known = {settings.variable(name, key) for name, keys in options.items() for key in (*keys, "")}
    known |= {settings.variable(settings.ALL, key) for keys in options.values() for key in keys}
    unknown = sorted(name for name in os.environ if name.startswith("RESTORE_") and name not in known | _OTHERS)
    if unknown:
        print(f"\nno command reads {', '.join(unknown)}")
    if faults:
        raise UsageError(
            "\n  ".join(dict.fromkeys(faults)), hint="`restore config set` and `restore config unset` change the file"
        )


_OTHERS = {"RESTORE_CONFIG", "RESTORE_WEIGHTS", "RESTORE_CACHE"}  # variables that are no options


@app.command("path", **help.command("restore config path", "restore config", page="batches.md"))
def print_path() -> None:
    """Print the path of the file."""
    print(settings.path())


@app.command(
    "set",
    **help.command("restore config set denoise.strength 0.8", "restore config set all.threads 4", page="batches.md"),
)
def set_value(
    ctx: typer.Context,
    key: Key,
    value: Annotated[list[str], typer.Argument(metavar="VALUE", help="The value; true or false for a flag.")],
) -> None:
    """Set an option for all later runs."""
    options = settings.Options(ctx.find_root().command)
    name, option = _split(key)
    params = settings.check_key(name, option, options, key)
    flags = [param for param in params if param.is_flag]
    param = flags[0] if flags and value[0].lower() in ("true", "false") else next(iter({*params} - {*flags}), params[0])
    if len(value) > 1 and not param.multiple:
        raise UsageError(f"{key} takes one value, not {len(value)}", hint=f"restore config set {key} VALUE")
    given = settings.as_given(value if param.multiple else value[0], param)
    if given is None:
        raise UsageError(f"{key} is true or false, not {value[0]!r}", hint=f"restore config set {key} true")
    owner = name if name != settings.ALL else next(n for n, keys in options.items() if keys.get(option) is param)
    if fault := _fault(ctx, owner, param, settings.Setting(given, key, name)):
        raise UsageError(fault)
    stored = given if isinstance(given, bool | list) else _number(given, param)
    _change(lambda text: with_value(text, name, option, stored))


@app.command(
    "unset",
    **help.command("restore config unset denoise.strength", "restore config unset all.threads", page="batches.md"),
)
def unset(key: Key) -> None:
    """Remove an option from the file."""
    name, option = _split(key)
    if option not in settings.read(settings.path(), may_be_missing=True).get(name, {}):
        raise UsageError(f"{settings.path()} does not set {key}", hint="`restore config` shows what is set")
    _change(lambda text: with_value(text, name, option, None))


def _split(key: str) -> tuple[str, str]:
    name, dot, option = key.rpartition(".")
    if not dot or not name or not option:
        raise UsageError(f"{key!r} is not COMMAND.OPTION", hint="such as denoise.strength, or all.threads")
    return name, option.lstrip("-")


def _number(text: str, param: Any) -> int | float | str:
    """A number where the option takes one; a text otherwise."""
    annotation = param.type_descriptor.annotation
    return annotation(text) if annotation in (int, float) else text


def _fault(ctx: Any, name: str, param: Any, setting: settings.Setting) -> str | None:
    """What is wrong with a value, in words; None if the command takes it."""
    command = ctx.find_root().command
    for part in name.split("."):
        command = command.commands[part]
    with typer.Context(command, info_name=f"restore {name}") as own:
        try:
            param.process_value(own, setting.value)
            if check := _checks().get(settings.key_of(param)):
                check(str(setting.value))
        except typer.TyperException as error:
            error.ctx, error.param = own, param  # type: ignore[attr-defined]
            return f"{setting.source}: {in_our_words(error).message}"
        except RestoreError as error:
            return f"{setting.source}: {error.message}"
    return None


def _checks() -> dict[str, Callable[[str], object]]:
    """Checks of texts that need more than a type, by key."""
    from restore.cli import options
    from restore.images.background import parse_background
    from restore.inference.precision import check_precision

    return {
        "background": parse_background,
        "device": options.check_device,
        "max-pixels": options.parse_max_pixels,
        "memory": lambda text: None if text in ("True", "False") else options.parse_memory(text),
        "precision": check_precision,
        "tile": lambda text: None if text == "none" else options.parse_tile(text, 0),
    }


# ------------------------------------------------------------------------------------------------------------- the file


def _change(change: Callable[[str], str]) -> None:
    """Rewrite the file, one process after the other."""
    file = settings.path()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with locked(file.with_name(f".{file.name}.lock")):
            text = file.read_text(encoding="utf-8") if file.exists() else ""
            changed = change(text)
            with whole_file(file) as temporary:
                temporary.write_text(changed, encoding="utf-8")
    except TimeoutError as error:
        raise RestoreError(f"{error.strerror} {error.filename}", hint="try again when it has ended") from None
    except OSError as error:
        raise RestoreError(f"cannot write {file}: {error.strerror}", hint="check its folder's permissions") from error
    except ValueError as error:  # not TOML, or not UTF-8
        raise UsageError(f"cannot read {file}: {error}", hint="correct the file, or move it away") from None


def with_value(text: str, name: str, key: str, value: bool | int | float | str | list[str] | None) -> str:
    """A config file with one value changed; its comments and order stay.

    Args:
        text: The file.
        name, key: The table and the key.
        value: The new value; None removes the key.

    Raises:
        UsageError: The file is written in a way that only an editor can change.
        ValueError: It is not TOML.

    >>> print(with_value("[denoise]  # mine\\nstrength = 1  # much\\n", "denoise", "strength", 0.8))
    [denoise]  # mine
    strength = 0.8
    <BLANKLINE>
    """
    wanted = tomllib.loads(text)
    table = wanted
    for part in name.split("."):
        table = table.setdefault(part, {})
    table.pop(key, None)
    if value is not None:
        table[key] = value
    lines = text.splitlines()
    head = re.compile(rf"\s*\[\s*{re.escape(name)}\s*\]\s*(#.*)?")
    begin = next((number + 1 for number, line in enumerate(lines) if head.fullmatch(line)), None)
    if begin is None:
        lines += [*([""] if lines else []), f"[{name}]"]
        begin = len(lines)
    end = next((n for n in range(begin, len(lines)) if re.match(r"\s*\[", lines[n])), len(lines))
    own = [n for n in range(begin, end) if re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", lines[n])]
    new = [] if value is None else [f"{key} = {json.dumps(value, ensure_ascii=False)}"]
    place = own[0] if own else begin + sum(1 for line in lines[begin:end] if line.strip())
    lines[place : place + len(own[:1])] = new
    changed = "\n".join(lines) + "\n"
    try:
        if tomllib.loads(changed) == wanted:
            return changed
    except ValueError:
        pass
    raise UsageError(f"cannot change {name}.{key} in this file", hint=f"edit {settings.path()} in a text editor")

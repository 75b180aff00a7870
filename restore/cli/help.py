"""How `--help` looks: options in panels, plain text without rich (which slows the start), examples and a link."""

from __future__ import annotations

import gc
import sys
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from restore.cli import paths_of_options, settings
from restore.cli.usage_errors import unknown_command
from restore.errors import RestoreError, UsageError

DOCS_URL = "https://github.com/restore-photos/restore/blob/main/docs"

INPUT_OUTPUT = "Input and output"
QUALITY = "Quality"
SPEED = "Speed and memory"
BATCH = "Batch"
WEIGHTS = "Weights"

_NAME_WIDTH = 24  # characters; a longer name gets its own line


def command(*examples: str, page: str) -> dict[str, Any]:
    """Settings of `app.command` for a command with this help.

    Args:
        examples: Command lines for the end of the help.
        page: File in docs/ that says more, such as `training.md`.
    """
    return {"cls": Command, "epilog": _epilog(examples, page)}


def group(*examples: str, page: str) -> dict[str, Any]:
    """Settings of `typer.Typer` for a command with subcommands; arguments as for `command`."""
    return {"cls": Group, "epilog": _epilog(examples, page), "rich_markup_mode": None}


def _epilog(examples: tuple[str, ...], page: str) -> str:
    return "\n".join(("Examples:", *(f"  {example}" for example in examples), "", f"Docs: {DOCS_URL}/{page}"))


class Command(TyperCommand):
    """A command that shows each option in the panel that its `rich_help_panel` names."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse; every error of usage then knows its command, which Typer leaves out of some."""
        try:
            given, _, order = self.make_parser(ctx).parse_args(args=list(args))
            _refuse_repeated(order)
            for param in () if ctx.resilient_parsing else self.params:
                paths_of_options.refuse_empty(param, given.get(str(param.name)))
            if not ctx.resilient_parsing and "help" not in given:
                settings.apply(ctx, {settings.key_of(param) for param in order})
            rest = super().parse_args(ctx, args)
            for param in () if ctx.resilient_parsing else self.params:
                ctx.params[param.name] = paths_of_options.read(param, ctx.params.get(param.name))
            return rest
        except typer.TyperException as error:
            error.ctx = ctx  # type: ignore[attr-defined]
            raise
        except UsageError as error:
            raise settings.blamed(error, ctx) from error.__cause__

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an error about a value that was not typed says where the value comes from."""
        if not gc.isenabled():  # since the start; what was made until now stays to the end
            gc.freeze()
            gc.enable()
        try:
            return super().invoke(ctx)
        except RestoreError as error:
            settings.blamed(error, ctx)
            raise

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Arguments and required options before `[OPTIONS]`."""
        params: list[Any] = list(self.params)
        arguments = [_metavar(p) if p.required else f"[{_metavar(p)}]" for p in params if _is_argument(p)]
        required = [_names(p) for p in params if p.required and not _is_argument(p)]
        return [*arguments, *required, "[OPTIONS]"]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write one section a panel."""
        panels: dict[str, list[tuple[str, str]]] = {}
        shown = [p for p in self.get_params(ctx) if not p.hidden]  # type: ignore[attr-defined]
        others = "Other" if any(getattr(p, "rich_help_panel", None) for p in shown) else "Options"
        for param in shown:
            default = "Arguments" if _is_argument(param) else others
            panels.setdefault(getattr(param, "rich_help_panel", None) or default, []).append(_row(param, ctx))
        panels[others] = panels.pop(others)  # last
        _write_panels(panels, formatter)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write examples and link unwrapped: people copy them."""
        _write_epilog(self.epilog, formatter)


class Group(TyperGroup):
    """A command that has commands, also in panels. Without one it shows its help."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Without arguments, show the help and exit with 2, as for wrong usage."""
        if not args and not ctx.resilient_parsing:
            print(ctx.get_help(), file=sys.stderr)
            raise typer.Exit(2)
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """A command, and its options."""
        return ["COMMAND", "[OPTIONS]"]

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command; suggest one where there is none of this name."""
        word = args[0]
        if word not in self.commands and not word.startswith("-") and not ctx.resilient_parsing:
            raise unknown_command(ctx.command_path, word, self.commands)
        return super().resolve_command(ctx, args)

    def summaries(self, ctx: Any) -> list[tuple[str, str, str]]:
        """Panel, name and short help of each command."""
        commands: Any = self.commands
        return [
            (one.rich_help_panel or "Commands", name, one.get_short_help_str(limit=200))
            for name, one in commands.items()
        ]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the commands, then the options."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for panel, name, summary in self.summaries(ctx):
            panels.setdefault(panel, []).append((name, summary))
        panels["Options"] = [_row(param, ctx) for param in self.get_params(ctx)]
        _write_panels(panels, formatter)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write examples and link unwrapped."""
        _write_epilog(self.epilog, formatter)


def _refuse_repeated(given: list[Any]) -> None:
    """Refuse an option that takes one value and has two: the first would be lost in silence.

    Args:
        given: The parameters in the order of the command line.
    """
    for param in given:
        takes_one = not (_is_argument(param) or param.is_flag or param.multiple)
        if takes_one and sum(other is param for other in given) > 1:
            raise UsageError(f"{param.opts[-1]} is given more than once", hint="give it once")


def _write_panels(panels: dict[str, list[tuple[str, str]]], formatter: Any) -> None:
    """Sections whose second columns all begin at the same place."""
    longest = max(len(name) for rows in panels.values() for name, _ in rows)
    width = min(longest, _NAME_WIDTH)
    for title, rows in panels.items():
        with formatter.section(title):
            formatter.write_dl([(name.ljust(width), text) for name, text in rows], col_max=width)


def _write_epilog(epilog: str | None, formatter: Any) -> None:
    if epilog:
        formatter.write(f"\n{epilog}\n")


def _row(param: Any, ctx: Any) -> tuple[str, str]:
    """Name and help of an argument or option; the help ends with its range, its default or `[required]`."""
    facts = []
    if limits(param):
        facts.append(limits(param))
    default = param.get_default(ctx, call=False)
    if isinstance(param.show_default, str):
        facts.append(f"default: {param.show_default}")
    elif param.show_default and default not in (None, False, "") and not _is_argument(param):
        facts.append(f"default: {default:g}" if isinstance(default, float) else f"default: {default}")
    if param.required:
        facts.append("required")
    return _names(param), " ".join(filter(None, [param.help, f"[{'; '.join(facts)}]" if facts else ""]))


def limits(param: Any) -> str:
    """The range of a number as people write it; empty if there is none."""
    low, high = getattr(param, "min", None), getattr(param, "max", None)  # Typer documents neither
    if low is None and high is None:
        return ""
    if high is None:
        return f"{low:g} or more"
    return f"{low:g} to {high:g}" if low is not None else f"{high:g} or less"


def _is_argument(param: Any) -> bool:
    return bool(param.param_type_name == "argument")


def _names(param: Any) -> str:
    if _is_argument(param):
        return _metavar(param)
    return ", ".join(sorted(param.opts, key=len)) + ("" if param.is_flag else f" {_metavar(param)}")


def _metavar(param: Any) -> str:
    name = (param.metavar or param.name.upper()).strip("[]")
    return f"{name}..." if param.nargs == -1 and not name.endswith("...") else name

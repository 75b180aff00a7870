"""The command `restore`, and the boundary where errors become words and exit codes."""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer

import restore
from restore.cli import bench, data, evaluate, info, restore_cmds, train, weights
from restore.cli.console import Interrupted, close_stdout, describe, say, speak_as
from restore.errors import RestoreError

# Without rich's markup `restore --help` takes half the time.
app = typer.Typer(
    name="restore",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
restore_cmds.add_commands(app)
app.command("train")(train.train)
app.command("eval")(evaluate.evaluate)
app.add_typer(data.app, name="data")
app.command("bench")(bench.bench)
app.add_typer(weights.app, name="weights")
app.command("info")(info.info)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"restore {restore.__version__}")
        raise typer.Exit


@app.callback()
def about(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Restore photographs. Paths of results go to stdout, everything else to stderr.

    Exit codes: 0 all is done, 1 something failed, 2 wrong usage, 130 interrupted (143 by SIGTERM).
    """


def main() -> None:
    """Run the command line and exit."""
    speak_as("")  # where an earlier call was one of several processes
    if isinstance(sys.stdout, io.TextIOWrapper):  # a file name need not be text; print it as it is
        sys.stdout.reconfigure(errors="surrogateescape")
    try:
        app()
    except RestoreError as error:
        say(describe(error))
        sys.exit(error.exit_code)
    except SystemExit as stop:
        if stop.code == 130 and not isinstance(stop, Interrupted):  # what Typer makes of Ctrl-C
            say("interrupted; outputs that were named are whole")
        raise
    finally:
        close_stdout()

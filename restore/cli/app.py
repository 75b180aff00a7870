"""The command `restore`: its commands, and where errors become messages and exit codes."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from typing import Annotated

import typer

import restore
from restore.cli import help, settings, usage_errors
from restore.cli.command_table import Root
from restore.cli.streams import close_stdout, describe, guard_streams, open_closed_streams, say, speak_as
from restore.errors import RestoreError

app = typer.Typer(
    name="restore",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    **{
        **help.group(
            "restore denoise photo.jpg -o clean.png",
            "restore dejpeg photos -r -o restored --skip-existing",
            page="photographs.md",
        ),
        "cls": Root,
    },
)


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
    """Denoises, removes JPEG artifacts, rain and blur, upscales 2-4x, and demosaics Bayer images.

    Paths of results go to stdout, everything else to stderr. Exit codes: 0 success, 1 failure, 2 wrong usage,
    130 interrupted (143 by SIGTERM).
    """
    from restore.checkpoints import catalogue

    if fault := catalogue.own_folder_fault():
        say(f"note:  cannot read {catalogue.own_folder()}: {fault}; only bundled weights can be used by name")


def _leave_deleted_folder() -> None:
    """Go to a folder where nobody can write if the working folder is deleted: MKL ends a process that has none."""
    try:
        os.getcwd()
    except OSError:
        for folder in ("/proc/self", "/"):
            with suppress(OSError):
                os.chdir(folder)
                break
        say("note:  the working folder does not exist any more; only absolute paths work")


def main() -> None:
    """Run the command line and exit."""
    open_closed_streams()
    speak_as("")  # an earlier call may have been one of several processes
    guard_streams()
    _leave_deleted_folder()
    code = 0
    try:
        code = _run()
    finally:
        lost = close_stdout()
        if lost is not None and not isinstance(lost, BrokenPipeError):
            say(describe(RestoreError(f"cannot write to stdout: {lost.strerror}", hint="send it elsewhere")))
            code = code or 1
    sys.exit(code)


# Faults of a disk or a name, wherever they appear. Missing and existing files have their own errors.
_NOT_OURS = {errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENOSPC, errno.EROFS, errno.EIO}


# What the dynamic linker says of a library, and Python of a thread.
_NO_ROOM = ("failed to map segment", "cannot allocate memory", "can't start new thread")


def _short(name: str) -> str:
    return name if len(name) <= 100 else f"{name[:50]}...{name[-30:]}"


def _run() -> int:
    """Run the command, tell its error, and return the exit code."""
    try:
        code = app(prog_name="restore", standalone_mode=False)  # otherwise Typer prints its own errors
    except RestoreError as error:
        say(describe(error))
        return error.exit_code
    except typer.TyperException as error:
        say(describe(settings.blamed(usage_errors.in_our_words(error), getattr(error, "ctx", None))))
        return error.exit_code
    except KeyboardInterrupt:
        code = 130
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "torch":
            raise  # a bug
        hint = "pip install torch; without it, restore pictures with exported weights (docs/onnx.md)"
        say(describe(RestoreError("this needs torch, which is not installed", hint=hint)))
        return 1
    except (MemoryError, ImportError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not any(words in str(error) for words in _NO_ROOM):
            raise  # a bug
        say(describe(RestoreError("there is not enough memory", hint="close other programs")))
        return 1
    except OSError as error:
        if error.errno not in _NOT_OURS or error.filename is None:
            raise  # a bug
        say(describe(RestoreError(f"cannot use {_short(str(error.filename))}: {error.strerror}")))
        return 1
    if code == 130:  # what Typer makes of Ctrl-C
        say("interrupted; every output whose path was printed is complete")
    return code or 0

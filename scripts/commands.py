"""Runs a script as a command."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import typer

from restore.cli.streams import describe
from restore.errors import RestoreError


def run(main: Callable[..., Any]) -> None:
    """Run `main` with the arguments of the command line; a `RestoreError` is shown without a traceback."""
    try:
        typer.run(main)
    except RestoreError as error:
        sys.exit(describe(error))

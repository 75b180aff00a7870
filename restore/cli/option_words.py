"""Words of options with a form of their own: times such as `90m`, and fields of a recipe such as `steps=100`."""

from __future__ import annotations

import re

from restore.errors import UsageError

_SECONDS = {"s": 1, "m": 60, "h": 3600}


def parse_time(text: str, option: str = "--max-time") -> float:
    """Seconds of an option such as `--max-time`.

    >>> parse_time("1.5h")
    5400.0

    Raises:
        UsageError: It is not a positive number with a unit.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text, re.ASCII)
    if not match or float(match[1]) == 0:
        raise UsageError(f"{option} is a time such as 30s, 90m or 2h, not {text!r}")
    return float(match[1]) * _SECONDS[match[2]]


def parse_change(text: str) -> tuple[str, str]:
    """Key and value of `--set`.

    >>> parse_change("steps = 100")
    ('steps', '100')

    Raises:
        UsageError: There is no `=`, or nothing on one side of it.
    """
    key, _, value = (part.strip() for part in text.partition("="))
    if not key or not value:
        raise UsageError(f"--set takes KEY=VALUE, not {text!r}", hint="for example --set steps=1000")
    return key, value

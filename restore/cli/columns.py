"""Columns of text that fit the terminal."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence

from restore.cli.streams import one_line

_NARROWEST = 12  # characters of a column that is worth wrapping


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, width: int | None = None) -> str:
    """Columns as wide as they need to be; the last one is wrapped to fit `width`, by default that of the terminal.

    >>> print(table(("name", "size"), [("a", "5.0 MB"), ("longer", "80 kB")]))
    name    size
    a       5.0 MB
    longer  80 kB
    """
    lines = [[one_line(cell, sys.stdout) for cell in row] for row in (head, *rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    indent = sum(widths[:-1]) + 2 * (len(widths) - 1)
    left = (width or _terminal_width()) - indent
    text = []
    for line in lines:
        *cells, last = line
        begun = "".join(cell.ljust(width) + "  " for cell, width in zip(cells, widths, strict=False))
        # An address or a name stays in one piece, to copy.
        whole_words = textwrap.TextWrapper(left, break_long_words=False, break_on_hyphens=False)
        parts = whole_words.wrap(last) if left >= _NARROWEST < len(last) else [last]
        text += [begun + part if i == 0 else " " * indent + part for i, part in enumerate(parts)]
    return "\n".join(line.rstrip() for line in text)


def facts(pairs: Iterable[tuple[str, str]], *, indent: str = "", width: int | None = None) -> str:
    """Labels and what belongs to them, wrapped to fit `width`, by default that of the terminal.

    >>> print(facts([("task", "denoise"), ("summary", "one two three")], width=20))
    task:     denoise
    summary:  one two
              three
    """
    pairs = [(one_line(label, sys.stdout), one_line(fact, sys.stdout)) for label, fact in pairs]
    longest = max((len(label) for label, _ in pairs), default=0) + 1
    return "\n".join(
        textwrap.fill(
            fact,
            width or _terminal_width(),
            initial_indent=indent + (f"{label}:" if label else "").ljust(longest) + "  ",
            subsequent_indent=indent + " " * (longest + 2),
            break_long_words=False,
            break_on_hyphens=False,
        )
        for label, fact in pairs
    )


def _terminal_width() -> int:
    return shutil.get_terminal_size().columns

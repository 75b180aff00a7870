"""The HTML of a report. Names and notes come from strangers: every text is escaped, and only our own script runs."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import IO, Any

import restore

_MARK = '<meta name="generator" content="restore report'
_ASSETS = resources.files("restore.viewer") / "assets"


def is_report(path: Path) -> bool:
    """Whether a file begins as a report does."""
    try:
        with path.open("rb") as file:
            return _MARK.encode() in file.read(2000)
    except OSError:
        return False


@cache
def asset(name: str) -> str:
    """The text of a file in assets/."""
    return (_ASSETS / name).read_text(encoding="utf-8")


def escaped(value: object) -> str:
    """HTML of a text, in ASCII, with escapes for what cannot be printed.

    >>> escaped("<b>\\u202egpj.exe\\x00 \\u00fc")
    '&lt;b&gt;\\\\u202egpj.exe\\\\x00 &#252;'
    """
    return html.escape(printable(str(value))).encode("ascii", "xmlcharrefreplace").decode("ascii")


def printable(text: str) -> str:
    """Text without control characters, marks that reverse its direction, and halves of characters."""
    keep = "\u200c\u200d"  # Persian and emoji need these joiners
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode("ascii") for c in text)


def data(value: Any) -> str:
    """JSON for a script element, which no text in it can end.

    >>> data({"name": "</script><!--"})
    '{"name": "\\\\u003c/script>\\\\u003c!--"}'
    """
    return json.dumps(value).replace("<", "\\u003c")


def write(
    file: IO[str],
    title: str,
    records: Sequence[Mapping[str, Any]],
    *,
    beside: bool,
    copy: Callable[[dict[str, Any], IO[str]], None],
) -> None:
    """Write the page.

    Args:
        file: Takes text in UTF-8.
        title: Heading of the page.
        records: One per picture, as `HtmlReport` makes them.
        beside: The pictures are files beside the page.
        copy: Writes the bytes of a picture in base64.
    """
    script, style = asset("viewer.js") + asset("report.js"), asset("viewer.css") + asset("report.css")
    parts = asset("page.html").split("<!-- data -->")
    filled = (
        parts[0]
        .replace("{policy}", _policy(script, style, beside=beside))
        .replace("{version}", escaped(restore.__version__))
        .replace("{style}", style)
        .replace("{title}", escaped(title))
        .replace("{list}", "\n".join(map(_item, records)))
    )
    file.write(filled)
    for record in records:
        for side in ("before", "after"):
            if side in record and not beside:
                mime = record[side]["mime"]
                file.write(f'<script type="text/plain" id="{side}-{record["number"]}">data:{mime};base64,')
                copy(record[side], file)
                file.write("</script>\n")
    file.write(f'<script type="application/json" id="records">{data([_public(record) for record in records])}</script>')
    file.write(parts[1].replace("{script}", script))


def _public(record: Mapping[str, Any]) -> dict[str, Any]:
    """What the script needs of a record."""
    kept = {key: record[key] for key in ("number", "places", "scale", "sizes") if key in record}
    for side in ("before", "after"):
        if side in record:
            kept[side] = {key: value for key, value in record[side].items() if key in ("width", "height", "file")}
            kept["divisor"] = record[side]["divisor"]
    return kept | {"name": printable(str(record["facts"].get("name", "")))}


def _policy(script: str, style: str, *, beside: bool) -> str:
    """The content security policy: our script, our style, the pictures, and nothing else."""
    pictures = "data: file: 'self'" if beside else "data:"
    return (
        f"default-src 'none'; img-src {pictures}; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _item(record: Mapping[str, Any]) -> str:
    """The entry of a picture in the list."""
    facts = dict(record["facts"])
    name, status, notes = facts.pop("name", ""), facts.pop("status", "restored"), facts.pop("notes", ())
    rows = "".join(
        f"<dt>{escaped(label)}</dt><dd>{escaped(value)}</dd>" for label, value in facts.items() if value is not None
    )
    rows += "".join(f"<dt>note</dt><dd>{escaped(note)}</dd>" for note in notes)
    heading = f"<bdi>{escaped(name)}</bdi>" + (f" <em>{escaped(status)}</em>" if status != "restored" else "")
    if "after" in record:
        heading = f'<button type="button" class="open" data-number="{record["number"]}">{heading}</button>'
    else:
        heading = f'<span class="open">{heading}</span>'
    return f'<li id="entry-{record["number"]}">{heading}<dl>{rows}</dl></li>'

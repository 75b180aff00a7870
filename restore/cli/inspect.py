"""`restore inspect`: what is wrong with pictures, in words or JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from restore.cli import options
from restore.cli.help import INPUT_OUTPUT
from restore.errors import RestoreError, UsageError

Inputs = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUT",
        rich_help_panel=INPUT_OUTPUT,
        help="Pictures, folders, patterns ('*.jpg'), or - for stdin. ~ is your home folder.",
    ),
]
Page = Annotated[
    int,
    typer.Option(
        min=1, metavar="N", rich_help_panel=INPUT_OUTPUT, help="Inspect this page of a TIFF, or frame of an animation."
    ),
]


def inspect(
    inputs: Inputs,
    recursive: options.Recursive = False,
    page: Page = 1,
    max_pixels: options.MaxPixels = "500M",
    weights: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Weights of `restore train inspect`.", show_default="the bundled ones"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list.")] = False,
) -> None:
    """Find noise, JPEG artifacts, blur and rain, and the task for each.

    Measures crops of each picture: noise in 8-bit grey levels, the JPEG quality of the file and of its pixels, and
    earlier enlargement. Changes no file.
    """
    most = options.parse_max_pixels(max_pixels)
    from restore.batch.finding import Finder
    from restore.batch.remote import is_url
    from restore.cli.columns import table
    from restore.cli.streams import describe, one_line, say
    from restore.errors import PictureError
    from restore.images import read_picture
    from restore.inspection.inspect import inspect as inspect_picture
    from restore.inspection.verdict import WEIGHTS

    finder = Finder(None, recursive)
    sources: dict[str, Path | BinaryIO] = {}
    for given in inputs:
        if is_url(given):
            raise UsageError(f"cannot inspect {given}: it is a URL", hint="download it first")
        names = [] if given == "-" else [path for path, _ in finder.find(given)]
        sources |= {"-": sys.stdin.buffer} if given == "-" else {str(path): path for path in names}
    for note in (*finder.notes, finder.left_out_note()):
        if note:
            say(one_line(f"note:  {note}", sys.stderr))
    found, failed = [], 0
    for name, source in sources.items():
        try:
            picture = read_picture(source, page=page, max_pixels=most)
            found.append((name, inspect_picture(picture, weights or WEIGHTS)))
        except PictureError as error:
            failed += 1
            say(describe(error))
    if as_json:
        print(json.dumps([{"file": name, **findings.as_dict()} for name, findings in found], indent=2))
    elif found:
        head = ("file", "size", "noise", "jpeg", "task", "findings")
        print(
            table(
                head,
                [
                    (
                        name,
                        f"{f.width}x{f.height}",
                        f"{f.noise:.1f}",
                        "-" if f.jpeg_quality_seen is None else str(f.jpeg_quality_seen),
                        " ".join(f.tasks) or "none",
                        "; ".join(f.words()) or "nothing wrong",
                    )
                    for name, f in found
                ],
            )
        )
    if failed:
        raise RestoreError(f"cannot inspect {failed} of {len(found) + failed} pictures")

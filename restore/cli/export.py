"""`restore export`: weights as an ONNX file, for programs without torch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from restore import checkpoints
from restore.cli import complete, options
from restore.cli.streams import say
from restore.errors import RestoreError, UsageError
from restore.files import whole_file
from restore.tasks import TASKS

Source = Annotated[
    str,
    typer.Argument(
        metavar="WEIGHTS",
        autocompletion=complete.weights,
        help="A name from `restore weights list`, a .safetensors file, or hf://owner/repo[@revision][/file].",
    ),
]
Output = Annotated[
    Path, typer.Option("-o", "--output", metavar="FILE", help="The file to write: .onnx, or .dtmodel for darktable.")
]
Tile = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=4096,
        metavar="N",
        help="Export for tiles of N pixels only: faster to export.",
        show_default="all sizes; for KiT, CS-KiT and darktable 512 or less",
    ),
]


def export(
    weights: Source,
    output: Output,
    tile: Tile = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Export weights to ONNX, or for darktable.

    The file says all that a program needs to run it by tiles. The result is compared with torch before it is written.
    """
    if output.suffix.lower() not in (".onnx", ".dtmodel"):
        raise UsageError(f"cannot export to {output}", hint="end the name in .onnx, or in .dtmodel for darktable")
    options.check_folder_of(output)
    if os.path.lexists(output) and not overwrite:
        raise RestoreError(f"{output} already exists", hint="use another -o, or --overwrite")
    network, info = checkpoints.load(weights)
    from restore.export import darktable, onnx_file

    is_package = output.suffix.lower() == darktable.SUFFIX
    if is_package:
        tile = darktable.tile_for(network, TASKS[info.task].takes_mosaic, tile)
    exported = onnx_file.export(network, info, tile=tile, say=say)
    content = exported.content
    if is_package:
        content = darktable.package(content, exported.facts, info.entry.summary if info.entry else "")
    try:
        with whole_file(output, replace=overwrite) as temporary:
            temporary.write_bytes(content)
    except FileExistsError:
        raise RestoreError(f"{output} already exists", hint="use another -o, or --overwrite") from None
    except OSError as error:
        raise RestoreError(f"cannot write {output}: {error.strerror or error}") from error
    print(output)

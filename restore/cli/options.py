"""Options that several commands share, and the values that need more than a type."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from restore.cli import complete
from restore.cli.help import BATCH, INPUT_OUTPUT, QUALITY, SPEED, WEIGHTS
from restore.errors import UsageError
from restore.tasks import Task

Inputs = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUT",
        rich_help_panel=INPUT_OUTPUT,
        help="Pictures, folders, patterns ('*.jpg'), URLs (s3://bucket/in), or - for stdin. ~ is your home folder.",
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        "-o",
        "--output",
        metavar="OUT",
        rich_help_panel=INPUT_OUTPUT,
        help="One picture: a file, a folder, or - for stdout. Several: a folder. End the name of a new folder with a "
        "slash.",
        show_default="with --suffix, beside the source",
    ),
]
Suffix = Annotated[
    str,
    typer.Option(
        metavar="SUFFIX", rich_help_panel=INPUT_OUTPUT, help="Add to output names: _clean turns a.jpg into a_clean.jpg."
    ),
]
Format = Annotated[
    str | None,
    typer.Option(
        metavar="FORMAT",
        rich_help_panel=INPUT_OUTPUT,
        help="Format of all outputs: png, jpg, tif ...",
        show_default="as the source",
    ),
]
Quality = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=100,
        metavar="N",
        rich_help_panel=INPUT_OUTPUT,
        help="Quality of lossy formats.",
        show_default="95; for a JPEG its own, at least 90",
    ),
]
Background = Annotated[
    str | None,
    typer.Option(
        metavar="COLOUR",
        rich_help_panel=INPUT_OUTPUT,
        help="Put transparency over white, black or '#rrggbb' where the output's format has none (JPEG).",
        show_default="such a picture fails",
    ),
]
Page = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        rich_help_panel=INPUT_OUTPUT,
        help="Restore only this page of a TIFF, or this frame of an animation.",
        show_default="all",
    ),
]
MaxPixels = Annotated[
    str,
    typer.Option(
        metavar="N|NM",
        rich_help_panel=INPUT_OUTPUT,
        help="Refuse pictures of more pixels, such as 800M (megapixels), before they take memory.",
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        metavar="WEIGHTS",
        rich_help_panel=WEIGHTS,
        autocompletion=complete.weights,
        help="A name from `restore weights list`, a .safetensors or .onnx file, or hf://owner/repo[@revision][/file].",
        show_default="the task's own",
    ),
]
Strength = Annotated[
    float,
    typer.Option(
        min=0.0,
        max=1.0,
        metavar="N",
        rich_help_panel=QUALITY,
        help="Blend with the input: 0 keeps it as it is, 1 is the full effect.",
    ),
]
Crop = Annotated[
    str | None,
    typer.Option(
        metavar="X,Y,W,H",
        rich_help_panel=INPUT_OUTPUT,
        help="Restore and write only this part: left, top, width and height in pixels, or center:512, center:800x600. "
        "It equals the same part of the whole result.",
        show_default="the whole",
    ),
]
Strengths = Annotated[
    str | None,
    typer.Option(
        metavar="N,N",
        rich_help_panel=QUALITY,
        help="Write a contact sheet instead: the original and each of these strengths, such as 0.4,0.7,1, side by "
        "side. Shows --crop, or else center:512.",
        show_default=False,
    ),
]
SelfEnsemble = Annotated[
    bool,
    typer.Option(
        "--self-ensemble",
        rich_help_panel=QUALITY,
        help="Average over 8 flips and rotations (4 for derain): slightly better, 8x (4x) slower.",
    ),
]
Tile = Annotated[
    str,
    typer.Option(
        metavar="auto|N",
        rich_help_panel=SPEED,
        help="Largest side of a tile in pixels. Smaller tiles need less memory.",
    ),
]
Overlap = Annotated[
    int, typer.Option(min=1, metavar="N", rich_help_panel=SPEED, help="Pixels that neighbouring tiles share.")
]
Device = Annotated[
    str,
    typer.Option(
        metavar="DEVICE",
        rich_help_panel=SPEED,
        autocompletion=complete.devices,
        help="Where the network runs: auto, cpu, cuda, cuda:N or mps.",
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        metavar="TYPE",
        rich_help_panel=SPEED,
        autocompletion=complete.precisions,
        help="auto, float32, bfloat16 or float16. auto takes bfloat16 for 8-bit pictures if the processor supports it "
        "and the weights lose less than 0.02 dB. A tile with NaN or infinity is computed again in float32.",
    ),
]
Compile = Annotated[
    bool,
    typer.Option(
        "--compile",
        rich_help_panel=SPEED,
        help="Compile the network first (torch.compile). Takes minutes. For GPUs: on CPUs it gains nothing.",
    ),
]
Backend = Annotated[
    Literal["auto", "torch", "onnx"],
    typer.Option(
        metavar="NAME",
        rich_help_panel=SPEED,
        help="What computes the network: torch, or ONNX Runtime with weights of `restore export`. auto is onnx for an "
        ".onnx file and where torch is not installed.",
    ),
]
Memory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        rich_help_panel=SPEED,
        help="Keep the process within this memory, such as 512M or 2G.",
        show_default="the free memory",
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", rich_help_panel=SPEED, help="CPU threads.", show_default="all cores"),
]
Recursive = Annotated[
    bool,
    typer.Option("-r", "--recursive", rich_help_panel=BATCH, help="Include subfolders and keep their structure."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", rich_help_panel=BATCH, help="Replace existing outputs.")]
SkipExisting = Annotated[
    bool,
    typer.Option(
        "--skip-existing",
        rich_help_panel=BATCH,
        help="Skip files that already exist, to resume an interrupted run.",
    ),
]
Watch = Annotated[
    bool,
    typer.Option(
        "--watch",
        rich_help_panel=BATCH,
        help="Restore the pictures of a folder, then wait for new ones until Ctrl-C. Skips existing files.",
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        rich_help_panel=BATCH,
        help="Print what would be written where and estimate the time, then stop.",
    ),
]
Shard = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="K/N",
        rich_help_panel=BATCH,
        help="Do only this share of the pictures: 1/16 is the first of 16, 16/16 the last.",
        show_default="as torchrun, mpirun, srun, a SLURM array or a Kubernetes job says; else all",
    ),
]
OnError = Annotated[
    Literal["continue", "stop"],
    typer.Option("--on-error", metavar="continue|stop", rich_help_panel=BATCH, help="What to do if a picture fails."),
]
Json = Annotated[
    str | None,
    typer.Option(
        "--json",
        metavar="FILE",
        rich_help_panel=BATCH,
        help="Write the result of each picture here. With - it goes to stdout, instead of the paths.",
    ),
]
JsonLines = Annotated[
    str | None,
    typer.Option(
        "--json-lines",
        metavar="FILE",
        rich_help_panel=BATCH,
        help="Add a line of JSON for each picture to this file as soon as it is done. With - it goes to stdout, "
        "instead of the paths.",
    ),
]
Report = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="FILE",
        rich_help_panel=BATCH,
        help="Write a page here, such as out.html, that compares each picture before and after. It needs no network.",
    ),
]
Compare = Annotated[
    Path | None,
    typer.Option(
        "--compare",
        metavar="FILE",
        rich_help_panel=BATCH,
        help="Write a picture here: before and after, whole and where most changed. Several pictures: sheet-2.png ...",
    ),
]
Print0 = Annotated[
    bool,
    typer.Option(
        "--print0", rich_help_panel=BATCH, help="End each printed path with NUL instead of a line break, for xargs -0."
    ),
]
OnDamage = Annotated[
    Literal["note", "fail"],
    typer.Option(
        metavar="note|fail",
        rich_help_panel=BATCH,
        help="What to do with a damaged file: restore what can be read and note it, or fail.",
    ),
]
KeepTimes = Annotated[
    bool,
    typer.Option("--keep-times", rich_help_panel=BATCH, help="Give each output the file times of its source."),
]
Sidecars = Annotated[
    Literal["copy", "none"],
    typer.Option(
        "--sidecars", metavar="copy|none", rich_help_panel=BATCH,
        help="Copy XMP sidecars (photo.xmp, photo.jpg.xmp) under the output's name.",
    ),
]  # fmt: skip
KeepTime = Annotated[bool, typer.Option("--keep-time", hidden=True, help="The same as --keep-times.")]
Engine = Annotated[
    Literal["here", "ray"],
    typer.Option(
        metavar="here|ray",
        rich_help_panel=BATCH,
        help="Where to restore: in this process, or by actors of a Ray cluster (RAY_ADDRESS, or this machine).",
    ),
]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Show weights, device, tiles and times.")]
Pattern = Annotated[
    Literal["RGGB", "GRBG", "GBRG", "BGGR"],
    typer.Option(
        case_sensitive=False,
        metavar="PATTERN",
        rich_help_panel=INPUT_OUTPUT,
        help="Colours of the mosaic's top left 2x2 pixels, row by row: RGGB, GRBG, GBRG or BGGR.",
    ),
]


def level_of(task: Task) -> Any:
    """The type of the option for the strength of the degradation."""
    assert task.level is not None
    level = task.level
    return Annotated[
        float | None,
        typer.Option(
            f"--{level.name}",
            min=level.low,
            max=level.high,
            metavar="N",
            rich_help_panel=WEIGHTS,
            help=level.help,
            show_default=False,
        ),
    ]


def parse_tile(text: str, overlap: int) -> int | Literal["auto"]:
    """The value of `--tile`.

    >>> parse_tile("256", overlap=32)
    256

    Raises:
        UsageError: It is neither `auto` nor a number of pixels above `overlap`.
    """
    if text == "auto":
        return "auto"
    if not text.isascii() or not text.isdigit():
        raise UsageError(f"--tile is auto or a number of pixels, not {text!r}")
    if int(text) <= overlap:
        raise UsageError(
            f"tiles of {int(text)} pixels cannot overlap by {overlap}",
            hint="use a larger --tile or a smaller --overlap",
        )
    return int(text)


def parse_memory(text: str) -> int:
    """The value of `--memory` in bytes.

    >>> parse_memory("1.5G"), parse_memory("512m")
    (1610612736, 536870912)

    Raises:
        UsageError: It is not a size.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)", text.upper(), re.ASCII)
    size = int(float(match[1]) * 1024 ** " KMGT".index(match[2] or " ")) if match else 0
    if size == 0:
        raise UsageError(f"--memory is a size such as 512M or 2G, not {text!r}")
    return size


def parse_strengths(text: str) -> tuple[float, ...]:
    """The value of `--strengths`.

    >>> parse_strengths("0.4,0.7, 1")
    (0.4, 0.7, 1.0)

    Raises:
        UsageError: It is not 1 to 9 numbers from 0 to 1.
    """
    words = [word.strip() for word in text.split(",")]
    if not (len(words) <= 9 and all(re.fullmatch(r"0|1|1\.0+|0?\.\d{1,9}", word, re.ASCII) for word in words)):
        raise UsageError(
            f"--strengths is 1 to 9 numbers from 0 to 1, not {text!r}", hint="such as --strengths 0.4,0.7,1"
        )
    return tuple(map(float, words))


def parse_max_pixels(text: str) -> int:
    """The value of `--max-pixels`.

    >>> parse_max_pixels("800M"), parse_max_pixels("1.5m"), parse_max_pixels("65536")
    (800000000, 1500000, 65536)

    Raises:
        UsageError: It is not a number of pixels, or 0.
    """
    match = re.fullmatch(r"(\d{1,12})|(\d{1,6}(?:\.\d{1,6})?)M", text.upper(), re.ASCII)
    count = 0 if match is None else int(match[1]) if match[1] else round(float(match[2]) * 1_000_000)
    if count == 0:
        raise UsageError(f"--max-pixels is a number of pixels such as 800M or 65536, not {text!r}")
    return count


def check_folder_of(*files: Path | None) -> None:
    """Refuse files that could not be written at the end of a run.

    Args:
        files: Where to write; None for nowhere.

    Raises:
        UsageError: The folder of a file does not exist.
    """
    for file in files:
        if file is not None and not file.absolute().parent.is_dir():
            raise UsageError(f"cannot write {file}: its folder does not exist", hint="make the folder first")
        if file is not None:
            with suppress(FileNotFoundError):
                file.stat()  # raises if the name is too long


def check_device(name: str) -> None:
    """Refuse a name that no device has, without torch.

    Raises:
        UsageError: No device has this name.
    """
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d{1,2})?", name, re.ASCII):
        raise UsageError(f"unknown device {name!r}", hint="choose auto, cpu, cuda, cuda:N or mps")

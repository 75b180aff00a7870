"""Options that several commands share, and the values that need more than a type."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import typer

from restore.errors import UsageError
from restore.tasks import Task

Inputs = Annotated[
    list[str],
    typer.Argument(metavar="INPUT", help="Pictures, folders of pictures, patterns ('*.jpg'), or - for stdin."),
]
Output = Annotated[
    str | None,
    typer.Option(
        "-o",
        "--output",
        metavar="OUT",
        help="For one picture a file, - for stdout, or a folder that exists or ends in a slash; for more a folder. "
        "The files of a folder keep their paths in it. [default: beside the source, if there is a --suffix]",
        show_default=False,
    ),
]
Recursive = Annotated[bool, typer.Option("-r", "--recursive", help="Take all that is below a folder.")]
Suffix = Annotated[
    str, typer.Option(metavar="TEXT", help="Add to the names of outputs: with _clean a.jpg becomes a_clean.jpg.")
]
Format = Annotated[
    str | None,
    typer.Option(
        metavar="png|jpg|...", help="Format of all outputs. [default: that of the source]", show_default=False
    ),
]
Quality = Annotated[
    int | None,
    typer.Option(
        min=1, max=100, metavar="N", help="Quality of formats with loss. [default: the source's, at least 95]"
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        metavar="WEIGHTS",
        help="A name from `restore weights list`, a .safetensors file, or hf://owner/repo[@revision][/file]. "
        "[default: the task's own]",
        show_default=False,
    ),
]
Strength = Annotated[
    float, typer.Option(min=0.0, max=1.0, help="Mix with the input: 0 leaves it as it is, 1 is the full effect.")
]
SelfEnsemble = Annotated[
    bool,
    typer.Option(
        "--self-ensemble",
        help="Take the mean of the results for the picture turned and mirrored in all eight ways (four in derain): a "
        "little better, and as many times slower.",
    ),
]
Tile = Annotated[
    str, typer.Option(metavar="auto|N", help="Largest side of a tile in pixels. Smaller tiles take less memory.")
]
Overlap = Annotated[int, typer.Option(min=1, metavar="N", help="Pixels that neighbouring tiles share at least.")]
Device = Annotated[str, typer.Option(metavar="auto|cpu|cuda[:N]|mps", help="Where the network runs.")]
Precision = Annotated[
    str,
    typer.Option(
        metavar="auto|float32|bfloat16|float16",
        help="What the network computes in. auto is bfloat16 for 8-bit pictures where the processor has it and the "
        "weights lose less than 0.02 dB, else float32. A tile with NaN or infinity is done again in float32.",
    ),
]
Compile = Annotated[
    bool,
    typer.Option(
        "--compile",
        help="Compile the network first (torch.compile): takes minutes; for GPUs, on CPUs it gains nothing.",
    ),
]
Memory = Annotated[
    str | None,
    typer.Option(metavar="2G", help="Memory that a tile may take, in bytes or K, M, G. [default: what is free]"),
]
Threads = Annotated[int | None, typer.Option(min=1, metavar="N", help="CPU threads. [default: all cores]")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace outputs that are there already.")]
SkipExisting = Annotated[
    bool, typer.Option("--skip-existing", help="Leave out what is there already; so a run that was ended goes on.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be written where, and do nothing.")]
OnError = Annotated[
    Literal["continue", "stop"], typer.Option("--on-error", help="What to do after a picture that failed.")
]
Json = Annotated[
    str | None,
    typer.Option("--json", metavar="FILE", help="Write what became of each picture here; - is stdout, without paths."),
]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Say what is used and how long it takes.")]


Pattern = Annotated[
    Literal["RGGB", "GRBG", "GBRG", "BGGR"],
    typer.Option(case_sensitive=False, help="Colours of the mosaic's first two rows, two pixels each."),
]


def level_of(task: Task) -> Any:
    """The type of the option that says how strong the degradation is."""
    assert task.level is not None
    level = task.level
    return Annotated[
        float | None,
        typer.Option(
            f"--{level.name}",
            min=level.low,
            max=level.high,
            metavar="N",
            help=f"{level.help[0].upper()}{level.help[1:]}, {level.low:g} to {level.high:g}: picks weights made "
            "for it. Blind weights take any.",
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
            hint="give a larger --tile or a smaller --overlap",
        )
    return int(text)


def parse_memory(text: str) -> int:
    """The value of `--memory` in bytes.

    >>> parse_memory("1.5G"), parse_memory("512m")
    (1610612736, 536870912)

    Raises:
        UsageError: It is no size.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)", text.upper(), re.ASCII)
    size = int(float(match[1]) * 1024 ** " KMGT".index(match[2] or " ")) if match else 0
    if size == 0:
        raise UsageError(f"--memory is a number of bytes, such as 512M or 2G, not {text!r}")
    return size


def check_device(name: str) -> None:
    """Refuse what cannot be a device, before torch is there to ask.

    Raises:
        UsageError: No device is called so.
    """
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d{1,2})?", name, re.ASCII):
        raise UsageError(f"there is no device called {name!r}", hint="choose auto, cpu, cuda, cuda:N or mps")

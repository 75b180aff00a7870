"""`restore bench`: speed and memory of networks on this machine."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from restore.cli import complete, options
from restore.cli.help import SPEED
from restore.cli.streams import rich_console, say
from restore.errors import UsageError
from restore.files import whole_file
from restore.inference.precision import PRECISIONS, check_precision

if TYPE_CHECKING:
    from rich.table import Table

_MEASURED = "What to measure"


Subjects = Annotated[
    list[str],
    typer.Argument(
        metavar="NETWORK",
        rich_help_panel=_MEASURED,
        autocompletion=complete.networks_and_weights,
        help="Networks (drsformer), sizes of networks (drsformer:s), or weights by name or file.",
    ),
]
Sizes = Annotated[
    list[str] | None,
    typer.Option(
        "--size",
        metavar="HxW",
        rich_help_panel=_MEASURED,
        help="Height and width of the picture; repeatable.",
        show_default="256x256",
    ),
]
LiteralForms = Annotated[
    bool,
    typer.Option(
        "--literal",
        rich_help_panel=_MEASURED,
        help="Also measure the paper's equations as written, with kept memory and with plain malloc.",
    ),
]
Memory = Annotated[
    bool,
    typer.Option(
        "--memory",
        rich_help_panel=_MEASURED,
        help="Measure only memory for growing tiles: the data behind --tile auto. Takes no --size.",
    ),
]
Repeats = Annotated[
    int, typer.Option(min=1, metavar="N", rich_help_panel=_MEASURED, help="Timed runs; the median counts.")
]
Precision = Annotated[
    str,
    typer.Option(
        metavar="TYPE", rich_help_panel=SPEED, help=f"Compute in {', '.join(PRECISIONS[1:-1])} or {PRECISIONS[-1]}."
    ),
]
JsonFile = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write all numbers to this file.")]


def bench(
    subjects: Subjects,
    sizes: Sizes = None,
    literal: LiteralForms = False,
    memory: Memory = False,
    repeats: Repeats = 3,
    threads: options.Threads = None,
    precision: Precision = "float32",
    device: options.Device = "auto",
    json_file: JsonFile = None,
) -> None:
    """Measure speed, memory and multiplications of networks. Each runs in its own process.

    A network that you name without weights gets random ones: speed and memory are the same.
    """
    options.check_device(device)
    check_precision(precision, PRECISIONS[1:])
    if memory and (sizes or literal or precision != "float32"):
        raise UsageError("--memory chooses its own sizes, in float32", hint="leave out --size, --literal, --precision")
    measured = [_parse_size(text) for text in sizes or ["256x256"]]
    options.check_folder_of(json_file)
    import torch
    from rich.table import Table

    from restore.inference.devices import processor_name

    threads = threads or torch.get_num_threads()
    count = f"{threads} thread{'s' * (threads != 1)}"
    machine = f"{processor_name()}, {count}, PyTorch {torch.__version__}, device {device}, {precision}"
    table = Table(title=machine, title_justify="left", box=None)
    if memory:
        rows = _bench_memory(subjects, table, device, threads)
    else:
        rows = _bench_speed(subjects, measured, table, device, threads, literal, precision, repeats)
    rich_console().print(table)
    if json_file is not None:
        document = {"machine": machine, "memory" if memory else "runs": rows}
        with whole_file(json_file) as temporary:
            temporary.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _bench_memory(subjects: list[str], table: Table, device: str, threads: int) -> list[dict[str, Any]]:
    """Fill the table, and return its rows as `memory.need_of` reads them."""
    from restore.benchmark import build, measure_need
    from restore.networks import key_of

    for head in ("network", "tile", "peak GB", "fixed MB", "kB/pixel"):
        _add_column(table, head)
    rows = []
    for name in subjects:
        say(f"{name} ...")
        need, costs = measure_need(name, device=device, threads=threads)
        network = build(name)
        rows.append(
            {
                "network": key_of(network),
                "config": network.config,
                "attends": network.attends,
                "fixed_bytes": round(need.fixed_bytes),
                "bytes_per_pixel": round(need.bytes_per_pixel, 2),
            }
        )
        for side, cost in costs.items():
            fit = (f"{need.fixed_bytes / 1e6:.0f}", f"{need.bytes_per_pixel / 1e3:.2f}") if side == max(costs) else ()
            table.add_row(name, str(side), f"{(cost.peak_bytes or 0) / 1e9:.2f}", *fit)
    return rows


def _bench_speed(
    subjects: list[str],
    sizes: list[tuple[int, int]],
    table: Table,
    device: str,
    threads: int,
    literal: bool,
    precision: str,
    repeats: int,
) -> list[dict[str, Any]]:
    """Fill the table, and return all numbers."""
    from restore.benchmark import Subject, build, measure

    # All numbers would not fit 80 columns; --json has them.
    numbers = ("form", "s", "GMACs", "peak GB", "faster") if literal else ("s", "s/MP", "GMACs", "GFLOP/s", "peak GB")
    for head in ("network", "size", *numbers):
        _add_column(table, head)
    rows: list[dict[str, Any]] = []
    for name in subjects:
        two_forms = build(name).has_plain_forms
        for height, width in sizes:
            forms = [("literal, malloc", True, False), ("literal", True, True)] if literal and two_forms else []
            costs = {}
            for form, plain, keep in [*forms, ("fast", False, True)]:
                subject = Subject(
                    name, height, width, plain=plain, keep=keep, device=device, precision=precision, threads=threads,
                    repeats=repeats,
                )  # fmt: skip
                say(f"{name} {height}x{width} {form} ...")
                costs[form] = cost = measure(subject)
                rows.append({**dataclasses.asdict(subject), "form": form, **dataclasses.asdict(cost)})
            slowest = max(cost.seconds for cost in costs.values())
            for form, cost in costs.items():
                shown = {
                    "form": form,
                    "s": f"{cost.seconds:.3f}",
                    "s/MP": f"{cost.seconds_per_megapixel:.2f}",
                    "GMACs": f"{cost.gmacs:.1f}",
                    "GFLOP/s": f"{cost.gflops:.0f}",
                    "peak GB": "-" if cost.peak_bytes is None else f"{cost.peak_bytes / 1e9:.2f}",
                    "faster": f"{slowest / cost.seconds:.1f}x",
                }
                table.add_row(name, f"{height}x{width}", *(shown[head] for head in numbers))
    return rows


def _add_column(table: Table, head: str) -> None:
    """Add a column that keeps its width, except the first, which folds."""
    is_text = head in ("network", "size", "form")
    table.add_column(head, justify="left" if is_text else "right", no_wrap=head != "network", overflow="fold")


def _parse_size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text, re.ASCII)
    if not match or "0" in match.groups():
        raise UsageError(f"--size is height x width in pixels, such as 256x256, not {text!r}")
    return int(match[1]), int(match[2])

"""The commands of `restore`: their panels and summaries, and the import of each when it is asked for.

A start builds the one command that runs. To build all of them takes longer than the rest of the start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import typer

from restore.cli import help
from restore.tasks import TASKS, Task

_RESTORE, _TRAIN, _MACHINE = "Restore", "Train and measure", "Weights and machine"


class Row(NamedTuple):
    """A command of the table.

    Attributes:
        panel: The section of the help.
        summary: Its short help.
        add: Imports it and gives it to a Typer app.
    """

    panel: str
    summary: str
    add: Callable[[typer.Typer], None]


def _task(task: Task, app: typer.Typer) -> None:
    from restore.cli import task_commands

    task_commands.add_command(app, task)


def _web(app: typer.Typer) -> None:
    from restore.cli import web

    app.command("web", **help.command("restore web", "restore web --no-open", page="web.md"))(web.web)


def _auto(app: typer.Typer) -> None:
    from restore.cli import auto

    app.command(
        "auto",
        short_help=_AUTO,
        help="Inspects each picture, and restores what it finds: rain, noise, JPEG artifacts, blur. Good pictures are "
        "copied unchanged. Says for each picture what is done and why. Never upscales without --scale.",
        **help.command(
            "restore auto photo.jpg -o restored.jpg",
            "restore auto photos -r -o restored --dry-run",
            page="photographs.md",
        ),
    )(auto.command())


def _run(app: typer.Typer) -> None:
    from restore.cli import run

    app.command(
        "run",
        short_help=_RUN,
        help="Does several steps on each picture: read once, written once, not rounded in between. Options of a step "
        "follow it after colons: strength=N, weights=WEIGHTS, self-ensemble, and the task's own, such as sigma=N, "
        "jpeg-quality=N or scale=N.",
        **help.command(
            "restore run derain,denoise:strength=0.7,upscale:2 photo.jpg -o restored.png",
            "restore run --recipe old-scans scans -r -o restored",
            page="photographs.md",
        ),
    )(run.command())


def _inspect(app: typer.Typer) -> None:
    from restore.cli import inspect

    app.command(
        "inspect",
        **help.command("restore inspect photo.jpg", "restore inspect photos -r --json", page="photographs.md"),
    )(inspect.inspect)


def _train(app: typer.Typer) -> None:
    from restore.cli import train

    app.command(
        "train",
        **help.command(
            "restore train --data photos --out runs/mine --max-time 1h",
            "restore train --resume --data photos --out runs/mine",
            page="training.md",
        ),
    )(train.train)


def _eval(app: typer.Typer) -> None:
    from restore.cli import evaluate

    app.command(
        "eval",
        **help.command(
            "restore eval --dataset CBSD68 --root CBSD68 --sigma 25",
            "restore eval --clean clean --degraded noisy --task denoise",
            page="evaluation.md",
        ),
    )(evaluate.evaluate)


def _bench(app: typer.Typer) -> None:
    from restore.cli import bench

    app.command(
        "bench",
        **help.command(
            "restore bench cs-kit:s --size 512x512", "restore bench drsformer --memory", page="performance.md"
        ),
    )(bench.bench)


def _data(app: typer.Typer) -> None:
    from restore.cli import data

    app.add_typer(data.app, name="data")


def _info(app: typer.Typer) -> None:
    from restore.cli import info

    app.command("info", **help.command("restore info", "restore info --json", page="performance.md"))(info.info)


def _weights(app: typer.Typer) -> None:
    from restore.cli import weights

    app.add_typer(weights.app, name="weights")


def _export(app: typer.Typer) -> None:
    from restore.cli import export

    app.command(
        "export",
        **help.command(
            "restore export cs-kit-s-denoise -o denoise.onnx",
            "restore export cs-kit-s-denoise -o denoise.dtmodel",
            page="onnx.md",
        ),
    )(export.export)


def _config(app: typer.Typer) -> None:
    from restore.cli import config

    app.add_typer(config.app, name="config")


_AUTO = "Restore what is wrong with each picture; copy good pictures."
_RUN = "Do several steps in one go, such as denoise,upscale:2."
ROWS = {task.name: Row(_RESTORE, task.summary, partial(_task, task)) for task in TASKS.values()} | {
    "web": Row(_RESTORE, "Restore pictures on a page in your browser.", _web),
    "auto": Row(_RESTORE, _AUTO, _auto),
    "run": Row(_RESTORE, _RUN, _run),
    "inspect": Row(_RESTORE, "Find noise, JPEG artifacts, blur and rain, and the task for each.", _inspect),
    "train": Row(_TRAIN, "Train a network by a recipe, on clean photos or on pairs of pictures.", _train),
    "eval": Row(_TRAIN, "Score weights on pictures: PSNR and SSIM before and after restoration.", _eval),
    "bench": Row(_TRAIN, "Measure speed, memory and multiplications of networks.", _bench),
    "data": Row(_TRAIN, "List, show and check datasets.", _data),
    "info": Row(_MACHINE, "Show versions, devices, memory, folders and weights.", _info),
    "weights": Row(_MACHINE, "List, show, verify, import and share weights.", _weights),
    "export": Row(_MACHINE, "Export weights to ONNX, or for darktable.", _export),
    "config": Row(_MACHINE, "Show and change the settings that commands start from.", _config),
}
"""Name of a command -> its row, in the order of the help."""


class Commands(Mapping[str, Any]):
    """The commands by name; each is built when it is first asked for."""

    def __init__(self) -> None:
        self._built: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._built:
            app = typer.Typer(rich_markup_mode=None)
            ROWS[name].add(app)
            self._built[name] = typer.main.get_group(app).commands[name]
        return self._built[name]

    def __contains__(self, name: object) -> bool:
        return name in ROWS

    def __iter__(self) -> Iterator[str]:
        return iter(ROWS)

    def __len__(self) -> int:
        return len(ROWS)


class Root(help.Group):
    """The command `restore`."""

    def __init__(self, **facts: Any) -> None:
        super().__init__(**facts)
        self.commands: Any = Commands()

    def list_commands(self, ctx: Any) -> list[str]:
        """The names, without the commands."""
        return list(self.commands)

    def summaries(self, ctx: Any) -> list[tuple[str, str, str]]:
        """Panel, name and summary of each command, from the table."""
        return [(row.panel, name, row.summary) for name, row in ROWS.items()]

"""`restore train`: a recipe, a folder of photographs, and a run that can be interrupted and gone on with."""

from __future__ import annotations

import re
import shlex
import sys
import time
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated

import typer

from restore import checkpoints
from restore.catalogue import did_you_mean
from restore.cli import options
from restore.cli.console import Interrupted, say
from restore.errors import UsageError
from restore.tasks import TASKS

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

    from restore.recipes import Recipe
    from restore.training import Progress

_SECONDS = {"s": 1, "m": 60, "h": 3600}


def train(
    recipe: Annotated[
        str | None,
        typer.Argument(
            metavar="RECIPE",
            help="A shipped recipe or a .toml file. [default: the task's own; with --resume that of the run]",
            show_default=False,
        ),
    ] = None,
    *,
    data: Annotated[Path, typer.Option(metavar="DIR", help="Folder of clean photographs.")],
    out: Annotated[Path, typer.Option(metavar="RUN", help="Folder of the run: new, or with --resume an earlier one.")],
    task: Annotated[
        str | None, typer.Option(metavar="TASK", help="What to learn. [default: denoise]", show_default=False)
    ] = None,
    network: Annotated[str | None, typer.Option(metavar="NAME", help="Another network than the recipe's.")] = None,
    config: Annotated[str | None, typer.Option(metavar="NAME", help="Another size of the network.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a field of the recipe; repeatable.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in RUN.")] = False,
    start_from: Annotated[
        str | None,
        typer.Option("--from", metavar="WEIGHTS", help="Begin from these weights: a name, a file or hf://..."),
    ] = None,
    max_time: Annotated[
        str | None, typer.Option(metavar="TIME", help="Stop after 30s, 90m or 2h, in a state to --resume from.")
    ] = None,
    device: options.Device = "auto",
    threads: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Processor threads. [default: one a core]", show_default=False),
    ] = None,
) -> None:
    """Train a network on a folder of clean photographs, by a recipe.

    RUN/last.safetensors is what `--weights` takes, also while the run goes on. Ctrl-C stops at any time, and nothing
    is lost.
    """
    # Everything that can be refused is refused before torch is imported, which takes seconds.
    max_seconds = None if max_time is None else parse_time(max_time)
    options.check_device(device)
    from restore.data import list_pictures
    from restore.recipes import check_run_folder, load_recipe

    if resume and start_from is not None:
        raise UsageError("--resume goes on with the weights of the run, so --from cannot be used", hint="leave out one")
    check_run_folder(out, resume=resume)
    changes = {key: value for key, value in (("network", network), ("config", config)) if value is not None}
    changes |= dict(parse_change(text) for text in set_ or ())
    source = recipe or (str(out / "recipe.json") if resume else recipe_of(task or "denoise"))
    count = len(list_pictures(data))
    weights = None if start_from is None else str(checkpoints.resolve(start_from).path)
    plan = load_recipe(source, changes)
    if task is not None and task != plan.task:
        raise UsageError(f"{source} is a recipe for {plan.task}, not for {task}", hint="leave out --task")

    from restore.devices import keep_memory, pick_device

    keep_memory()
    import torch

    from restore import training

    if threads is not None:
        torch.set_num_threads(threads)
    where = pick_device(device)
    say(
        f"{plan.network} {plan.config} by {source}: {plan.steps} steps of {plan.batch} crops of "
        f"{plan.crop}x{plan.crop} pixels from {count} photos, on {where}"
    )
    go_on = "go on with: " + shlex.join(["restore", "train", "--resume", "--data", str(data), "--out", str(out)])
    with Display(plan) as display:
        try:
            checkpoint = training.train(
                plan,
                data,
                out,
                resume=resume,
                start_from=weights,
                max_seconds=max_seconds,
                device=where,
                threads=threads or torch.get_num_threads(),
                on_progress=display.show,
            )
        except KeyboardInterrupt:
            if not (out / "state.pt").is_file():
                raise
            display.say(f"interrupted; the state is saved, {go_on}")
            raise Interrupted from None
    if display.step is not None and display.step < plan.steps:
        say(f"--max-time is over, {go_on}")
    print(checkpoint)


def parse_time(text: str) -> float:
    """Seconds of `--max-time`.

    >>> parse_time("1.5h")
    5400.0

    Raises:
        UsageError: It is not a number above 0 with a unit.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text, re.ASCII)
    if not match or float(match[1]) == 0:
        raise UsageError(f"--max-time is a time such as 30s, 90m or 2h, not {text!r}")
    return float(match[1]) * _SECONDS[match[2]]


def parse_change(text: str) -> tuple[str, str]:
    """Key and value of `--set`.

    >>> parse_change("steps = 100")
    ('steps', '100')

    Raises:
        UsageError: There is no `=`, or nothing on one of its sides.
    """
    key, _, value = (part.strip() for part in text.partition("="))
    if not key or not value:
        raise UsageError(f"--set takes key=value, not {text!r}", hint="for example --set steps=1000")
    return key, value


def recipe_of(task: str) -> str:
    """The recipe that a task uses where none is named.

    Raises:
        UsageError: There is no such task, or it has no recipe.
    """
    if task not in TASKS:
        raise UsageError(
            f"there is no task called {task!r}",
            hint=did_you_mean(task, TASKS) or f"choose one of {', '.join(TASKS)}",
        )
    recipe = TASKS[task].recipe
    if recipe is None:
        raise UsageError(f"{task} has no recipe of its own", hint="name one: restore train RECIPE --task " + task)
    return recipe


class Display:
    """Where a run stands: a line that is rewritten while stderr is a terminal, else one every half minute.

    Validations are always shown.

    Attributes:
        step: The last step that was reported.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.step: int | None = None
        self._total = recipe.steps
        self._shown = -30.0
        self._bar: RichProgress | None = None

    def __enter__(self) -> Display:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=10),
                console=Console(stderr=True),
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._bar.start()
            self._task = self._bar.add_task("loading the photos", total=None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, progress: Progress) -> None:
        """Take what `training.train` reports."""
        self.step = progress.step
        line = describe_progress(progress)
        now = time.monotonic()
        if self._bar is not None:
            self._bar.update(self._task, description=line, total=self._total, completed=progress.step)
        elif now - self._shown >= 30 or progress.step == progress.steps:
            say(line)
            self._shown = now
        if progress.validation is not None:
            before, after = progress.validation
            self.say(f"step {progress.step}: held-out photos {before:.2f} dB -> {after:.2f} dB")

    def say(self, text: str) -> None:
        """Write a line to stderr, above the one that is rewritten."""
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            say(text)


def describe_progress(progress: Progress) -> str:
    """One line: step, loss, PSNR of the latest batch, speed and the time that is left."""
    left = timedelta(seconds=round(progress.seconds_left))
    return (
        f"step {progress.step}/{progress.steps}  loss {progress.loss:.4f}  {progress.psnr:.2f} dB  "
        f"{progress.images_per_second:.1f} images/s  {left} left"
    )

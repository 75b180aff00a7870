"""`restore train`: a recipe, a folder of photographs, and a run that can be interrupted and gone on with."""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated

import typer

from restore import checkpoints
from restore.batch.processes import Rank, rank_from
from restore.cli import options
from restore.cli.console import Interrupted, Signals, say
from restore.errors import UsageError

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

    from restore.training.progress import Progress
    from restore.training.recipe import Recipe

_SECONDS = {"s": 1, "m": 60, "h": 3600}


def train(
    recipe: Annotated[
        str | None,
        typer.Argument(
            metavar="RECIPE",
            help="A shipped recipe or a .toml file. [default: that of the task and network; with --resume of the run]",
            show_default=False,
        ),
    ] = None,
    *,
    out: Annotated[Path, typer.Option(metavar="RUN", help="Folder of the run: new, or with --resume an earlier one.")],
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of clean photographs, degraded on the way.")
    ] = None,
    clean: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of the clean pictures of pairs, for --data or as well."),
    ] = None,
    degraded: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the degraded pictures of the same names.")
    ] = None,
    task: Annotated[
        str | None, typer.Option(metavar="TASK", help="What to learn. [default: denoise]", show_default=False)
    ] = None,
    network: Annotated[
        str | None, typer.Option(metavar="NAME", help="Choose the recipe by its network, or change it.")
    ] = None,
    config: Annotated[str | None, typer.Option(metavar="NAME", help="The same for the size of the network.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a field of the recipe; repeatable.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in RUN.")] = False,
    start_from: Annotated[
        str | None,
        typer.Option("--from", metavar="WEIGHTS", help="Begin from these weights: a name, a file or hf://..."),
    ] = None,
    transfer_from: Annotated[
        str | None,
        typer.Option(
            "--transfer",
            metavar="WEIGHTS",
            help="Begin from what fits of these weights, which are of another network, size or scale.",
        ),
    ] = None,
    max_time: Annotated[
        str | None, typer.Option(metavar="TIME", help="Stop after 30s, 90m or 2h, in a state to --resume from.")
    ] = None,
    save_every: Annotated[str, typer.Option(metavar="TIME", help="Save the state so often.")] = "2m",
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Log for TensorBoard, too, in RUN.")] = False,
    device: options.Device = "auto",
    threads: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Processor threads. [default: one a core]", show_default=False),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=0, metavar="N", help="Make crops in N processes, for a GPU; 0 makes them in threads.")
    ] = 0,
) -> None:
    """Train a network by a recipe, on clean photographs or on pairs.

    RUN/last.safetensors is what `--weights` takes, also while the run goes on. Ctrl-C stops at any time, and nothing
    is lost. Several GPUs: `torchrun --nproc-per-node N -m restore train ...` shares every batch among them.
    """
    # Everything that can be refused is refused before torch is imported, which takes seconds.
    max_seconds = None if max_time is None else parse_time(max_time, "--max-time")
    save_seconds = parse_time(save_every, "--save-every")
    options.check_device(device)
    rank = rank_from(os.environ)
    if tensorboard and find_spec("tensorboard") is None:
        raise UsageError(
            "TensorBoard is not installed", hint="pip install 'restore-photos[train]', or leave out --tensorboard"
        )
    from restore.datasets.pairs import list_pictures
    from restore.training.recipe import PAIRS, check_run_folder, load_recipe, recipe_for
    from restore.training.schedules import crops_of

    begun = [o for o, weights in (("--from", start_from), ("--transfer", transfer_from)) if weights is not None]
    if resume and begun:
        raise UsageError(
            f"--resume goes on with the weights of the run, so {begun[0]} cannot be used", hint="leave out one"
        )
    if len(begun) > 1:
        raise UsageError("--from and --transfer both say what to begin from", hint="leave out one")
    if (data is None and clean is None) or (clean is None) != (degraded is None):
        raise UsageError("name what to train on", hint="--data DIR, or --clean DIR --degraded DIR, or all three")
    if rank.index == 0:  # whose work the others may find begun
        check_run_folder(out, resume=resume)
    changes = {key: value for key, value in (("network", network), ("config", config)) if value is not None}
    if data is None:
        changes["degradation"] = PAIRS
    changes |= dict(parse_change(text) for text in set_ or ())
    source = recipe or (
        str(out / "recipe.json") if resume
        else recipe_for(task or "denoise", network, config, has_pairs=data is None)
    )  # fmt: skip
    pairs = None if clean is None or degraded is None else (clean, degraded)
    counts = [f"{len(list_pictures(folder))} {what}" for folder, what in ((data, "photos"), (clean, "pairs")) if folder]
    start_from, transfer_from = (
        None if weights is None else str(checkpoints.resolve(weights).path) for weights in (start_from, transfer_from)
    )
    plan = load_recipe(source, changes)
    if task is not None and task != plan.task:
        raise UsageError(f"{source} is a recipe for {plan.task}, not for {task}", hint="leave out --task")
    if (plan.degradation == PAIRS) != (data is None):
        trained_on = f" ({plan.dataset})" if plan.dataset else ""
        raise UsageError(
            f"without --data nothing is degraded by {plan.degradation}" if data is None
            else f"{source} is a recipe for pairs of pictures{trained_on}",
            hint="give --clean DIR --degraded DIR, or let --data DIR be degraded by --set degradation=NAME",
        )  # fmt: skip

    from restore.inference.devices import keep_memory, pick_device

    keep_memory()
    import torch

    from restore.training import loop

    if threads is not None:
        torch.set_num_threads(threads)
    where = pick_device(rank.device(device))
    is_first = rank.index == 0
    if is_first:
        first = crops_of(plan, 0)
        say(
            f"{plan.network} {plan.config} by {source}: {plan.steps} steps of {len(first.numbers)} crops of "
            f"{first.side}x{first.side} pixels{' at first' if plan.stages else ''} from {' and '.join(counts)}, "
            f"on {where}" + ("" if rank.is_alone else f", {rank.count} processes")
        )
    given = {"--data": data, "--clean": clean, "--degraded": degraded}
    folders = [word for option, folder in given.items() if folder for word in (option, str(folder))]
    go_on = "go on with: " + shlex.join(["restore", "train", "--resume", *folders, "--out", str(out)])
    with Display(plan) if is_first else nullcontext() as display:
        try:
            with _stopping(rank) as should_stop:
                checkpoint = loop.train(
                    plan,
                    data,
                    out,
                    pairs=pairs,
                    resume=resume,
                    start_from=start_from,
                    transfer_from=transfer_from,
                    max_seconds=max_seconds,
                    save_seconds=save_seconds,
                    device=where,
                    threads=threads or torch.get_num_threads(),
                    workers=workers,
                    rank=rank,
                    board=tensorboard,
                    should_stop=should_stop,
                    on_progress=display.show if display else None,
                )
        except KeyboardInterrupt as stop:
            if display and (out / "state.pt").is_file():
                display.say(f"interrupted; the state is saved, {go_on}")
            elif display:
                raise
            raise Interrupted(signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT) from None
    if display:
        if display.step is not None and display.step < plan.steps:
            say(f"{'--max-time is over' if max_time else 'another process was stopped'}, {go_on}")
        print(checkpoint)


class Terminated(KeyboardInterrupt):
    """SIGTERM, as cluster schedulers send it before they kill."""


@contextmanager
def _stopping(rank: Rank) -> Iterator[Callable[[], bool]]:
    """Ctrl-C and SIGTERM while it is entered: a process that is alone is interrupted at once.

    Several must stop after the same step, so each only notes it, and training asks.
    """

    def terminate(number: int, frame: object) -> None:
        raise Terminated

    if not rank.is_alone:
        with Signals(lambda: None, lambda _: None, echo_seconds=2.0) as signals:
            yield lambda: signals.received is not None
        if signals.received is not None:
            raise Terminated if signals.received == signal.SIGTERM else KeyboardInterrupt
        return
    before = signal.getsignal(signal.SIGTERM)
    if before is not signal.SIG_DFL:
        yield lambda: False
        return
    signal.signal(signal.SIGTERM, terminate)
    try:
        yield lambda: False
    finally:
        signal.signal(signal.SIGTERM, before)


def parse_time(text: str, option: str = "--max-time") -> float:
    """Seconds of an option such as `--max-time`.

    >>> parse_time("1.5h")
    5400.0

    Raises:
        UsageError: It is not a number above 0 with a unit.
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
        UsageError: There is no `=`, or nothing on one of its sides.
    """
    key, _, value = (part.strip() for part in text.partition("="))
    if not key or not value:
        raise UsageError(f"--set takes key=value, not {text!r}", hint="for example --set steps=1000")
    return key, value


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
        """Take what `loop.train` reports."""
        self.step = progress.step
        line = describe_progress(progress)
        now = time.monotonic()
        if self._bar is not None:
            self._bar.update(self._task, description=line, total=self._total, completed=progress.step)
        elif (progress.step and now - self._shown >= 30) or progress.step == progress.steps:
            say(line)
            self._shown = now
        if progress.note is not None:
            self.say(f"step {progress.step}: {progress.note}")
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

"""`restore train`: train a network by a recipe, and resume interrupted runs."""

from __future__ import annotations

import math
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from restore.batch.processes import Rank, rank_from
from restore.cli import complete, options, train_inspect
from restore.cli.help import SPEED
from restore.cli.option_words import parse_change, parse_time
from restore.cli.signals import Interrupted, Signals
from restore.cli.streams import one_line, say
from restore.cli.training_display import Display, print_status
from restore.errors import UsageError

if TYPE_CHECKING:
    from restore.training.options import Options
    from restore.training.plan import TrainingPlan

_LOGGERS = {"tensorboard": ("TensorBoard", "train"), "wandb": ("Weights & Biases", "wandb")}  # by package: name, extra
_DATA, _RECIPE, _RUN = "Data", "Recipe", "Run"

RecipeName = Annotated[
    str | None,
    typer.Argument(
        metavar="RECIPE",
        autocompletion=complete.recipes,
        help="A shipped recipe or a .toml file.",
        show_default="the recipe of the task and network; with --resume, of the run",
    ),
]
Data = Annotated[
    Path | None,
    typer.Option(metavar="DIR", rich_help_panel=_DATA, help="Folder of clean photos, degraded during training."),
]
Clean = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        rich_help_panel=_DATA,
        help="Folder of the clean pictures of pairs, with or without --data.",
    ),
]
Degraded = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        rich_help_panel=_DATA,
        help="Folder of the degraded pictures, with the same names or names by one pattern.",
    ),
]
DatasetName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        rich_help_panel=_DATA,
        autocompletion=complete.datasets,
        help="Instead of folders: a dataset as it is downloaded. `restore data list` lists the names.",
    ),
]
Root = Annotated[Path | None, typer.Option(metavar="DIR", rich_help_panel=_DATA, help="Folder of that dataset.")]
Split = Annotated[
    str | None,
    typer.Option(metavar="NAME", rich_help_panel=_DATA, help="Part of the dataset.", show_default="train"),
]
Recursive = Annotated[
    bool, typer.Option("--recursive", "-r", rich_help_panel=_DATA, help="Include the subfolders of the folders.")
]
TaskName = Annotated[
    str | None,
    typer.Option(
        metavar="TASK",
        rich_help_panel=_RECIPE,
        autocompletion=complete.tasks,
        help="What to learn.",
        show_default="denoise",
    ),
]
NetworkName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        rich_help_panel=_RECIPE,
        autocompletion=complete.networks,
        help="Choose the recipe by its network, or change it.",
    ),
]
Config = Annotated[
    str | None,
    typer.Option(metavar="NAME", rich_help_panel=_RECIPE, help="Choose the recipe by its network size, or change it."),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", rich_help_panel=_RECIPE, help="Change a field of the recipe. Repeatable."
    ),
]
StartFrom = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="WEIGHTS",
        autocompletion=complete.weights,
        rich_help_panel=_RECIPE,
        help="Start from these weights: a name, a .safetensors file, or hf://owner/repo.",
    ),
]
TransferFrom = Annotated[
    str | None,
    typer.Option(
        "--transfer",
        metavar="WEIGHTS",
        autocompletion=complete.weights,
        rich_help_panel=_RECIPE,
        help="Start from weights of another network, size or scale, as far as they fit.",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        metavar="RUN",
        rich_help_panel=_RUN,
        help="Folder of the run: new, or existing with --resume. Needed, except with --status.",
    ),
]
StatusOf = Annotated[
    Path | None,
    typer.Option(
        "--status",
        metavar="RUN",
        rich_help_panel=_RUN,
        help="Only say where the run in RUN stands, also while it runs.",
    ),
]
Json = Annotated[bool, typer.Option("--json", rich_help_panel=_RUN, help="With --status: as JSON.")]
Resume = Annotated[bool, typer.Option("--resume", rich_help_panel=_RUN, help="Continue the run in RUN.")]
NewData = Annotated[
    bool,
    typer.Option(
        "--new-data",
        rich_help_panel=_RUN,
        help="With --resume: continue on other pictures. What was held out is never trained on.",
    ),
]
MaxTime = Annotated[
    str | None,
    typer.Option(metavar="TIME", rich_help_panel=_RUN, help="Stop after 30s, 90m or 2h, in a state to --resume from."),
]
SaveEvery = Annotated[str, typer.Option(metavar="TIME", rich_help_panel=_RUN, help="Save the state every TIME.")]
Tensorboard = Annotated[
    bool, typer.Option("--tensorboard", rich_help_panel=_RUN, help="Also log for TensorBoard, into RUN/tensorboard.")
]
Wandb = Annotated[
    bool, typer.Option("--wandb", rich_help_panel=_RUN, help="Also log for Weights & Biases, which gets the recipe.")
]
Workers = Annotated[
    int,
    typer.Option(
        min=0, metavar="N", rich_help_panel=SPEED, help="Make crops in N processes, for a GPU. 0 uses threads."
    ),
]


def train(
    recipe: RecipeName = None,
    *,
    out: Out = None,
    data: Data = None,
    clean: Clean = None,
    degraded: Degraded = None,
    dataset: DatasetName = None,
    root: Root = None,
    split: Split = None,
    recursive: Recursive = False,
    task: TaskName = None,
    network: NetworkName = None,
    config: Config = None,
    set_: Set = None,
    start_from: StartFrom = None,
    transfer_from: TransferFrom = None,
    resume: Resume = False,
    new_data: NewData = False,
    max_time: MaxTime = None,
    save_every: SaveEvery = "2m",
    tensorboard: Tensorboard = False,
    wandb: Wandb = False,
    status: StatusOf = None,
    json: Json = False,
    device: options.Device = "auto",
    threads: options.Threads = None,
    workers: Workers = 0,
) -> None:
    """Train a network by a recipe, on clean photos or on pairs of pictures.

    RUN/last.safetensors works with --weights, also while the run continues. Ctrl-C stops at any time without loss.
    `restore train inspect` trains the network behind `restore inspect`, into RUN/inspect.npz.
    """
    if status is not None:
        return print_status(status, as_json=json)
    out = _folder(out, as_json=json)
    # Everything that can be refused is refused before torch is imported, which takes seconds.
    max_seconds = math.inf if max_time is None else parse_time(max_time, "--max-time")
    save_seconds = parse_time(save_every, "--save-every")
    options.check_device(device)
    rank = rank_from(os.environ)
    _check_loggers(tensorboard=tensorboard, wandb=wandb)
    if new_data and not resume:
        raise UsageError("--new-data is for a run that is resumed", hint="add --resume, or leave out --new-data")
    from restore.training.plan import plan_training
    from restore.training.sources import check_sources

    if recipe == train_inspect.NAME and not Path(recipe).exists():
        return train_inspect.train_inspect(
            data, out, clean=clean, degraded=degraded, threads=threads, workers=workers,
            seconds=train_inspect.SECONDS if max_time is None else max_seconds,
            others=any((dataset, task, network, config, set_, start_from, transfer_from, resume, tensorboard)),
        )  # fmt: skip
    check_sources(data, (clean, degraded), dataset, root, split)
    plan = plan_training(
        recipe, out, data=data, pairs=(clean, degraded), task=task, network=network, config=config,
        changes=dict(parse_change(text) for text in set_ or ()), resume=resume, start_from=start_from,
        transfer_from=transfer_from, is_first=rank.index == 0, recursive=recursive,
        dataset=None if dataset is None or root is None else (dataset, root, split),
    )  # fmt: skip

    from restore.inference.devices import keep_memory, pick_device

    keep_memory()
    import torch

    from restore.training.options import Options

    if threads is not None:
        torch.set_num_threads(threads)
    how = Options(
        device=pick_device(rank.device(device)), threads=threads or torch.get_num_threads(), workers=workers, rank=rank,
        tensorboard=tensorboard, wandb=wandb, max_seconds=max_seconds, save_seconds=save_seconds,
    )  # fmt: skip
    checkpoint = run_plan(plan, out, how, resume=resume, new_data=new_data)
    if rank.index == 0:
        print(one_line(str(checkpoint), sys.stdout))


def _folder(out: Path | None, *, as_json: bool) -> Path:
    """The folder to train into; refuses the options of --status."""
    if as_json:
        raise UsageError("--json is for --status RUN", hint="add --status RUN, or leave out --json")
    if out is None:
        raise UsageError("the folder of the run is missing", hint="add --out RUN, or --status RUN for one that exists")
    return out


def _check_loggers(**asked: bool) -> None:
    """Refuse a logger that is not installed."""
    for package in (package for package, is_asked in asked.items() if is_asked and find_spec(package) is None):
        name, extra = _LOGGERS[package]
        hint = f"pip install 'restore-photos[{extra}]', or leave out --{package}"
        raise UsageError(f"{name} is not installed", hint=hint)


def run_plan(plan: TrainingPlan, out: Path, how: Options, *, resume: bool, new_data: bool = False) -> Path:
    """Train, show the progress, and say how to continue if the run stops early."""
    from restore.training import loop

    command = "continue with: " + shlex.join(command_to_resume(sys.argv[1:], os.environ))
    is_first = how.rank.index == 0
    if is_first:
        say(describe_plan(plan, how))
    with Display() if is_first else nullcontext() as display:
        try:
            with _stopping(how.rank) as should_stop:
                checkpoint = loop.train(
                    plan.recipe, plan.data, out, pairs=plan.pairs, resume=resume, start_from=plan.start_from,
                    transfer_from=plan.transfer_from, options=how, should_stop=should_stop,
                    on_progress=display.show if display else lambda _: None, sources=plan.sources,
                    new_data=new_data, recipe_name=None if resume else plan.name,
                    on_note=display.note if display else lambda _: None,
                    on_decoded=display.decoded if display else lambda *_: None,
                )  # fmt: skip
        except KeyboardInterrupt as stop:
            if display and (out / "state.pt").is_file():
                display.say(f"interrupted; the state is saved, {command}")
            elif display:
                raise
            raise Interrupted(signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT) from None
    if display and (_steps_done(checkpoint) if display.step is None else display.step) < plan.recipe.steps:
        say(f"{'another process was stopped' if math.isinf(how.max_seconds) else '--max-time is over'}, {command}")
    return checkpoint


def _steps_done(checkpoint: Path) -> int:
    """The step of a checkpoint: a run may stop before its first report, or may have been done before."""
    from safetensors import safe_open

    with safe_open(checkpoint, framework="np") as file:
        return int(file.metadata()["step"])


def command_to_resume(arguments: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """The command that continues a run: the given one with `--resume`, and without the weights it started from.

    Args:
        arguments: Of the given command, from `train` on.
        environment: Says whether torchrun started it, and how many processes on this machine.

    >>> command_to_resume(["train", "mine.toml", "--from=a", "--out", "run", "--threads", "1"], {})
    ['restore', 'train', '--resume', 'mine.toml', '--out', 'run', '--threads', '1']
    """
    kept: list[str] = []
    words = iter(arguments[1:])
    for word in words:
        if word in ("--from", "--transfer"):
            next(words, None)
        elif word not in ("--resume", "--new-data") and not word.startswith(("--from=", "--transfer=")):
            kept.append(word)
    count = environment.get("LOCAL_WORLD_SIZE", "1")
    together = ["torchrun", "--nproc-per-node", count, "-m"] if count != "1" else []
    return [*together, "restore", *arguments[:1], "--resume", *kept]


def describe_plan(plan: TrainingPlan, how: Options) -> str:
    """One line: network, recipe, steps, crops, data and device."""
    from restore.training.schedules import crops_of

    first, recipe = crops_of(plan.recipe, 0), plan.recipe
    return (
        f"{recipe.network} {recipe.config} by {plan.source}: {recipe.steps} steps of {len(first.numbers)} crops of "
        f"{first.side}x{first.side} pixels{' at first' if recipe.stages else ''} from {plan.sources.counts}, "
        f"on {how.device}" + ("" if how.rank.is_alone else f", {how.rank.count} processes")
    )


class Terminated(KeyboardInterrupt):
    """SIGTERM, which cluster schedulers send before they kill."""


@contextmanager
def _stopping(rank: Rank) -> Iterator[Callable[[], bool]]:
    """What training asks before each step, while Ctrl-C and SIGTERM stop it.

    A process that is alone is interrupted at once. Several must stop after the same step, so each notes the signal.
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

"""Train by a plan: continue the first run that is open, then the next.

    python scripts/train_next.py --hours 2.5      # two such processes train two runs
    python scripts/train_next.py --list
    python scripts/train_next.py --device cuda --minutes 9 --calls 3 --workers 14   # the first of three calls

A plan is a TOML file of [[run]] tables with the fields of `scripts.training_plan.Planned`. Every run has a folder below
--states, which `restore train --resume` accepts as well. A finished run leaves last.safetensors and best.safetensors in
its folder, and a line in plan.log beside it. Each process uses one thread, at the lowest priority.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # torch reads this when it is imported

import dataclasses
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from restore.cli.streams import say
from restore.cli.training_display import describe_progress, news
from restore.errors import RestoreError, UsageError
from scripts import commands
from scripts.picture_parts import PARTS, pairs_to_train_on, unpacked
from scripts.run_parts import TRAVELLING, joined, packed
from scripts.step_times import fitted, for_gpu
from scripts.training_plan import PLAN, Planned, alone, is_finished, progress_of, read_plan, table, validations

if TYPE_CHECKING:
    import torch

    from restore.training.progress import Progress
    from restore.training.recipe import Recipe

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared/data/train"
TELL_SECONDS = 600
CALLED = 0.85  # share of the time of --calls for steps; the rest is for starting, compiling and validating


@dataclass(frozen=True)
class Setting:
    """Where the runs of a plan train, and on what.

    Attributes:
        states: Folder of the runs' folders.
        data: Folder of clean photos.
        pairs: Folders of clean and of degraded pictures; None if there are none.
        device: Where to train.
        hours: Hours of every run, instead of those of the plan.
        workers: Processes that make crops; 0 uses a thread.
        compiled: Whether to compile the networks.
    """

    states: Path
    data: Path
    pairs: tuple[Path, Path] | None
    device: torch.device
    hours: float | None = None
    workers: int = 0
    compiled: bool = False

    def train(self, run: Planned, seconds: float) -> bool:
        """Continue a run for at most `seconds`; False if it is not finished then."""
        from restore.training import loop
        from restore.training.options import Options
        from restore.training.recipe import load_recipe

        end = time.monotonic() + seconds
        folder = run.folder(self.states)
        on_gpu = self.device.type == "cuda"
        resume = (folder / "state.pt").is_file()
        begin: dict[str, Any] = {"start_from": run.from_, "transfer_from": run.transfer}
        pairs = self.pairs if run.uses_pairs else None
        options = Options(device=self.device, workers=self.workers, channels_last=on_gpu, compiled=self.compiled)

        def probe(recipe: Recipe, folder: Path, should_stop: Callable[[], bool]) -> None:
            loop.train(recipe, self.data, folder, pairs=pairs, options=options, should_stop=should_stop, **begin)

        if resume:
            recipe = load_recipe(str(folder / "recipe.json"))
        else:
            asked = for_gpu(run.asked(), run.gpu) if on_gpu else run.asked()
            # On a CPU, hours are the processor time of this process, not of others on the core.
            clock = time.perf_counter if on_gpu or self.workers else time.process_time
            recipe = fitted(asked, self.hours or run.hours, probe, clock, self.device)
        say(f"{run.name}: {recipe.steps} steps, {'resumed' if resume else 'new'}, in {folder}")
        loop.train(
            recipe, self.data, folder, pairs=pairs, resume=resume,
            options=dataclasses.replace(options, max_seconds=end - time.monotonic()),
            on_progress=Teller(run.name), **({} if resume else begin),
        )  # fmt: skip
        return is_finished(folder)

    def note_end(self, run: Planned) -> None:
        """Add a line about a finished run to plan.log."""
        folder = run.folder(self.states)
        seen = validations(folder)
        psnrs = ", ".join(
            f"{what} {psnr:.2f} dB"
            for what, psnr in (
                ("input", seen[0][0]), ("first", seen[0][1]), ("last", seen[-1][1]), ("best", max(x[1] for x in seen)),
            )
        ) if seen else "not validated"  # fmt: skip
        hours = seconds_of(folder) / 3600
        now = datetime.now(UTC).isoformat(timespec="minutes")
        self.states.mkdir(parents=True, exist_ok=True)  # the run may have a folder elsewhere
        with (self.states / "plan.log").open("a", encoding="utf-8") as log:
            log.write(f"{now} {run.name}: {progress_of(folder)[1]} steps, {hours:.2f} h, {psnrs}\n")


def seconds_of(folder: Path) -> float:
    """Training time of a run in seconds."""
    import torch

    from restore.training.run_folder import Run

    return float(Run(folder).load_state(torch.device("cpu"))["seconds"])


class Teller:
    """Reports a run on stderr: each validation, each note, and a line every ten minutes."""

    def __init__(self, name: str) -> None:
        self.name, self.told = name, -float(TELL_SECONDS)

    def __call__(self, progress: Progress) -> None:
        for text in news(progress):
            say(f"{self.name}: {text}")
        if progress.step and time.monotonic() - self.told >= TELL_SECONDS:
            say(f"{self.name}: {describe_progress(progress)}")
            self.told = time.monotonic()


def work(plan: list[Planned], setting: Setting, seconds: float) -> None:
    """Train run after run until the time is over or all runs are finished."""
    end = time.monotonic() + seconds
    for run in plan:
        folder = run.folder(setting.states)
        if run.device not in (None, setting.device.type) or is_finished(folder):
            continue
        if run.uses_pairs and setting.pairs is None:
            say(f"{run.name}: skipped, because there are no pairs; use --clean and --degraded")
            continue
        with alone(folder) as is_alone:
            if not is_alone or is_finished(folder):
                continue
            if (left := end - time.monotonic()) <= 0:
                return
            try:
                if not setting.train(run, left):
                    return
            except RestoreError as error:  # the next run may work
                say(f"{run.name}: {error.message}" + (f" ({error.hint})" if error.hint else ""))
                continue
            setting.note_end(run)


def main(
    hours: Annotated[float, typer.Option(metavar="N", help="Stop after N hours. The next call continues.")] = 1,
    minutes: Annotated[float | None, typer.Option(metavar="N", help="Stop after N minutes instead, for a GPU.")] = None,
    calls: Annotated[
        int | None,
        typer.Option(metavar="N", help="Spread each run over N calls of --minutes, whatever the hours of the plan."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Clean photos.", show_default="../shared/data/train/photos, or the parts in runs/photos"
        ),
    ] = None,
    clean: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Clean pictures of pairs, for rain.",
            show_default="pairs without a score of ../shared/data/train/rain_pairs or runs/photos",
        ),
    ] = None,
    degraded: Annotated[Path | None, typer.Option(metavar="DIR", help="Rainy pictures of pairs.")] = None,
    states: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of the runs' folders.", show_default="runs/plan")
    ] = ROOT / "runs/plan",
    plan: Annotated[
        Path, typer.Option(metavar="FILE", help="The plan.", show_default="scripts/training_plan.toml")
    ] = PLAN,
    device: Annotated[str, typer.Option(metavar="DEVICE", help="auto, cpu or cuda.")] = "cpu",
    workers: Annotated[
        int, typer.Option(metavar="N", help="Make crops in N processes, for a GPU. 0 uses a thread.")
    ] = 0,
    compile_: Annotated[
        bool | None,
        typer.Option("--compile/--no-compile", help="Compile networks.", show_default="on a GPU"),
    ] = None,
    nice: Annotated[int, typer.Option(metavar="N", help="Niceness, 0 to 19.")] = 19,
    list_: Annotated[bool, typer.Option("--list", help="Print the plan.")] = False,
) -> None:
    """Continue the first open run of a plan, then the next, until the time is over."""
    if (clean is None) != (degraded is None):
        raise UsageError("--clean and --degraded go together")
    runs = read_plan(plan)
    if list_:
        print(table(runs, states))
        return
    import torch

    from restore.inference.devices import keep_memory, pick_device

    keep_memory()
    os.nice(nice)
    torch.set_num_threads(1)
    where = pick_device(device)
    on_gpu = where.type == "cuda"
    pairs = (clean, degraded) if clean and degraded else pairs_to_train_on(DATA / "rain_pairs", states / "rain_pairs")
    if data is None:
        data = DATA / "photos" if (DATA / "photos").is_dir() else unpacked(PARTS)
    seconds = hours * 3600 if minutes is None else minutes * 60
    compiled = on_gpu if compile_ is None else compile_
    setting = Setting(
        states, data, pairs, where, workers=workers, compiled=compiled,
        hours=None if calls is None else CALLED * calls * seconds / 3600,
    )  # fmt: skip
    # On a GPU, runs that are only for a GPU come first.
    runs = sorted(runs, key=lambda run: run.device != where.type) if on_gpu else runs
    for run in runs:
        for name in TRAVELLING:
            joined(run.folder(states) / name)
    try:
        work(runs, setting, seconds)
    except KeyboardInterrupt:
        say("interrupted; the same command continues")
        raise typer.Exit(130) from None
    finally:
        if on_gpu:
            for run in runs:
                packed(run.folder(states))


def interrupt(number: int, frame: object) -> None:
    """Stop at SIGTERM as at Ctrl-C."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, interrupt)
    commands.run(main)

"""Train by a plan: go on with the first run that is not finished and that no other process is at, then with the next.

    python scripts/train_next.py --hours 2.5      # two such processes train two runs
    python scripts/train_next.py --list
    python scripts/train_next.py --device cuda --minutes 9 --calls 3 --workers 14   # the first of three calls

A plan is a TOML file of [[run]], each with the fields of `Planned`. Every run has a folder below --states, which
`restore train` could go on with as well. A run ends with its averaged weights in last.safetensors and best.safetensors
of that folder, and with a line in plan.log beside it. One thread a process, which makes room for all other work.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is loaded

import dataclasses
import fcntl
import json
import signal
import statistics
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from restore.cli.console import say
from restore.errors import RestoreError, UsageError, did_you_mean
from scripts import commands
from scripts.carrying import PARTS, TRAVELLING, joined, packed, pairs_to_train_on, unpacked

if TYPE_CHECKING:
    import torch

    from restore.training.progress import Progress
    from restore.training.recipe import Recipe

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared/data/train"
PLAN = ROOT / "scripts/training_plan.toml"
WARM_UP, TIMED = 3, 10  # steps of each phase that are not timed, and that are
TELL_SECONDS = 600
LOCK_SECONDS = 1.0  # for which a process looks at a run, at most
CALLED = 0.85  # of the time of --calls is for steps; the rest starts, compiles and validates


@dataclass(frozen=True)
class Planned:
    """A run of the plan.

    Attributes:
        name: Of the run, and of its folder if there is no `state`.
        recipe: A shipped one, or a `.toml` file.
        hours: Of one core, or of the GPU; the recipe's steps, stages and holds are stretched to them.
        from_: `from` in the file: weights to begin from.
        transfer: The same, of another network or size.
        set: Fields of the recipe to change.
        uses_pairs: Whether the pairs of pictures are trained on as well.
        state: Folder of the run.
        device: Left out on another one.
        gpu: By how much fields of the recipe grow on a GPU, such as `{batch = 8, learning_rate = 1.5}`; batches grow
            four times where it does not say.
    """

    name: str
    recipe: str
    hours: float
    from_: str | None = None
    transfer: str | None = None
    set: dict[str, Any] = field(default_factory=dict)
    uses_pairs: bool = False
    state: str | None = None
    device: str | None = None
    gpu: dict[str, float] = field(default_factory=dict)

    def folder(self, states: Path) -> Path:
        return Path(self.state) if self.state else states / self.name

    def asked(self) -> Recipe:
        """The recipe, with the steps that it has by itself."""
        from restore.training.recipe import load_recipe

        changes = {k: v if isinstance(v, str) else json.dumps(v) for k, v in self.set.items()}
        return load_recipe(self.recipe, changes)


def read_plan(path: Path) -> list[Planned]:
    """The runs of a plan, in order of value.

    Raises:
        UsageError: It cannot be read, a field is unknown or missing, or two runs share a folder.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8")).get("run", [])
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read the plan {path}: {error}") from error
    fields = {f.name.rstrip("_"): f for f in dataclasses.fields(Planned)}
    plan = []
    for table in tables:
        name = table.get("name", "without a name")
        for key in table.keys() - fields.keys():
            raise UsageError(f"a run of the plan has no field {key!r}", hint=did_you_mean(key, fields))
        if missing := [key for key in ("name", "recipe", "hours") if key not in table]:
            raise UsageError(f"the run {name} of {path} lacks {', '.join(missing)}")
        plan.append(Planned(**{fields[key].name: value for key, value in table.items()}))
    folders = [run.folder(Path()) for run in plan]
    for folder in folders:
        if folders.count(folder) > 1:
            raise UsageError(f"two runs of {path} have the folder {folder}", hint="give each a name of its own")
    return plan


@contextmanager
def alone(folder: Path, *, looks_only: bool = False) -> Iterator[bool]:
    """Whether no other process is at the run; while it is entered, this one is. The lock ends with the process.

    One that `looks_only` is not in the way of another that does, and one that trains waits a second for it.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + (0 if looks_only else LOCK_SECONDS)
    with folder.with_name(f".{folder.name}.lock").open("a") as file:
        while True:
            try:
                fcntl.flock(file, (fcntl.LOCK_SH if looks_only else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= end:
                    is_alone = False
                    break
                time.sleep(0.05)
            else:
                is_alone = True
                break
        yield is_alone


def progress_of(folder: Path) -> tuple[int, int]:
    """Steps that are done, and steps in all; 0 of 0 where the run has not begun."""
    path = folder / "last.safetensors"
    if not path.is_file():
        path = path.with_name(f"{path.name}.1")  # the first of its parts (scripts/carrying.py), which holds the header
    with suppress(OSError, ValueError, KeyError, OverflowError):
        steps = json.loads((folder / "recipe.json").read_text(encoding="utf-8"))["steps"]
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        return int(header["__metadata__"]["step"]), steps
    return 0, 0


def is_finished(folder: Path) -> bool:
    step, steps = progress_of(folder)
    return 0 < steps <= step


def parts(recipe: Recipe) -> list[tuple[float, Recipe]]:
    """Parts of a run whose steps cost the same: their share of the steps, and a recipe of such steps alone."""
    from restore.training.schedules import phases

    return [
        (
            phase.steps / recipe.steps,
            dataclasses.replace(
                recipe, steps=10**6, stages=(), batch=phase.batch, crop=phase.crop,
                local_steps=0 if phase.attends else 10**6,
            ),
        )
        for phase in phases(recipe)
    ]  # fmt: skip


def seconds_a_step(train: Callable[..., object], recipe: Recipe, clock: Callable[[], float]) -> float:
    """Median time of a step, by `train(recipe, folder, should_stop)`, after a few to warm up."""
    times: list[float] = []

    def should_stop() -> bool:
        times.append(clock())
        return len(times) > WARM_UP + TIMED

    with tempfile.TemporaryDirectory() as folder:
        train(dataclasses.replace(recipe, held_out=1, validate=()), Path(folder) / "run", should_stop)
    return statistics.median(b - a for a, b in zip(times[WARM_UP:], times[WARM_UP + 1 :], strict=False))


def fitted(
    recipe: Recipe,
    hours: float,
    train: Callable[..., object],
    clock: Callable[[], float],
    device: torch.device | None = None,
) -> Recipe:
    """The recipe with the steps that take so many hours here, with up to ten validations, a tenth of the hours long."""
    from restore.training.schedules import stretched

    mean = sum(share * seconds_a_step(train, part, clock) for share, part in parts(recipe))
    once = seconds_to_validate(recipe, clock, device)
    times = max(1, min(10, int(hours * 360 / max(once, 1e-9)) - 1))  # and once before the first step
    steps = max(1, round((hours * 3600 - (times + 1) * once) / mean))
    return dataclasses.replace(stretched(recipe, steps), validate_every=-(-steps // times))


def seconds_to_validate(recipe: Recipe, clock: Callable[[], float], device: torch.device | None = None) -> float:
    """What a validation takes, about: the time of one picture, after another to warm up, for all of them."""
    import torch

    from restore.inference.restorer import Restorer
    from restore.networks import NETWORKS

    network_class = NETWORKS[recipe.network]
    network = network_class(**network_class.CONFIGS[recipe.config] | recipe.options)
    network.use_attention(recipe.local_steps < recipe.steps)
    restorer = Restorer(network, device=device or torch.device("cpu"))
    side = (recipe.validate_crop or 512) // network.scale
    times = []
    for _ in range(3):
        times.append(clock())
        restorer.restore_tensor(torch.zeros(1, 3, side, side)).cpu()
    return (times[2] - times[1]) * recipe.held_out * max(1, len(recipe.validate))


def for_gpu(recipe: Recipe, factors: dict[str, float]) -> Recipe:
    """The recipe with batches four times as large, or as the plan says, in bfloat16."""
    factors = {"batch": 4.0} | factors
    changed: dict[str, Any] = {
        key: type(getattr(recipe, key))(getattr(recipe, key) * factor) for key, factor in factors.items()
    }
    grown = [factors.get(key, 1) for key in ("batch", "crop")]
    stages = tuple((until, int(batch * grown[0]), int(crop * grown[1])) for until, batch, crop in recipe.stages)
    return dataclasses.replace(recipe, **changed, stages=stages, precision="bfloat16")


def validations(folder: Path) -> list[tuple[float, float]]:
    """(input PSNR, PSNR) of each validation of a run."""
    from restore.training.run_folder import json_lines

    return [tuple(entry["validation"]) for entry in json_lines(folder / "log.jsonl") if entry.get("validation")]


@dataclass(frozen=True)
class Setting:
    """Where and with what the plan is trained.

    Attributes:
        hours: Of every run, instead of the plan's.
        workers: Processes that make crops; 0 makes them in a thread.
        compiled: Whether networks are compiled.
    """

    states: Path
    data: Path
    pairs: tuple[Path, Path] | None
    device: torch.device
    hours: float | None = None
    workers: int = 0
    compiled: bool = False

    def train(self, run: Planned, seconds: float) -> bool:
        """Go on with a run for so long at most; False if its time was over before it was done."""
        from restore.training import loop
        from restore.training.recipe import load_recipe

        end = time.monotonic() + seconds
        folder = run.folder(self.states)
        on_gpu = self.device.type == "cuda"
        resume = (folder / "state.pt").is_file()
        begin: dict[str, Any] = {"start_from": run.from_, "transfer_from": run.transfer}
        common: dict[str, Any] = {
            "pairs": self.pairs if run.uses_pairs else None, "device": self.device, "workers": self.workers,
            "channels_last": on_gpu, "compiled": self.compiled,
        }  # fmt: skip

        def probe(recipe: Recipe, folder: Path, should_stop: Callable[[], bool]) -> None:
            loop.train(recipe, self.data, folder, should_stop=should_stop, **begin, **common)

        if resume:
            recipe = load_recipe(str(folder / "recipe.json"))
        else:
            asked = for_gpu(run.asked(), run.gpu) if on_gpu else run.asked()
            # Of a core the time that the process had of it, whatever else the core does.
            clock = time.perf_counter if on_gpu or self.workers else time.process_time
            recipe = fitted(asked, self.hours or run.hours, probe, clock, self.device)
        say(f"{run.name}: {recipe.steps} steps, {'from where it was' if resume else 'new'}, in {folder}")
        loop.train(
            recipe, self.data, folder, resume=resume, max_seconds=end - time.monotonic(),
            on_progress=Teller(run.name), **({} if resume else begin), **common,
        )  # fmt: skip
        return is_finished(folder)

    def note_end(self, run: Planned) -> None:
        """Add a line on a finished run to plan.log."""
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
        self.states.mkdir(parents=True, exist_ok=True)  # a run may have a folder elsewhere
        with (self.states / "plan.log").open("a", encoding="utf-8") as log:
            log.write(f"{now} {run.name}: {progress_of(folder)[1]} steps, {hours:.2f} h, {psnrs}\n")


def seconds_of(folder: Path) -> float:
    """How long a run has trained."""
    import torch

    from restore.training.run_folder import Run

    return float(Run(folder).load_state(torch.device("cpu"))["seconds"])


class Teller:
    """Says on stderr how a run gets on: each validation, each note, and a line every ten minutes."""

    def __init__(self, name: str) -> None:
        self.name, self.told = name, -float(TELL_SECONDS)

    def __call__(self, progress: Progress) -> None:
        from restore.cli.train import describe_progress

        if progress.note is not None:
            say(f"{self.name}: step {progress.step}: {progress.note}")
        if progress.validation is not None:
            before, after = progress.validation
            say(f"{self.name}: step {progress.step}: held-out photos {before:.2f} dB -> {after:.2f} dB")
        if progress.step and time.monotonic() - self.told >= TELL_SECONDS:
            say(f"{self.name}: {describe_progress(progress)}")
            self.told = time.monotonic()


def work(plan: list[Planned], setting: Setting, seconds: float) -> None:
    """Train run after run until the time is over, or nothing is left to do."""
    end = time.monotonic() + seconds
    for run in plan:
        folder = run.folder(setting.states)
        if run.device not in (None, setting.device.type) or is_finished(folder):
            continue
        if run.uses_pairs and setting.pairs is None:
            say(f"{run.name}: left out, for there are no pairs; name them by --clean and --degraded")
            continue
        with alone(folder) as is_alone:
            if not is_alone or is_finished(folder):
                continue
            if (left := end - time.monotonic()) <= 0:
                return
            try:
                if not setting.train(run, left):
                    return
            except RestoreError as error:  # of this run; the next may do
                say(f"{run.name}: {error.message}" + (f" ({error.hint})" if error.hint else ""))
                continue
            setting.note_end(run)


def table(plan: list[Planned], states: Path) -> str:
    """The plan for people."""
    rows = [("run", "task", "hours", "state", "last validation")]
    for run in plan:
        folder = run.folder(states)
        step, steps = progress_of(folder)
        state = f"{100 * step // steps} % done" if steps else "open"
        if is_finished(folder):
            state = "finished"
        elif folder.parent.is_dir():
            with alone(folder, looks_only=True) as is_alone:
                state += "" if is_alone else ", running"
        seen = validations(folder)
        psnr = f"{seen[-1][0]:.2f} -> {seen[-1][1]:.2f} dB" if seen else "-"
        where = f" ({run.device} only)" if run.device else ""
        rows.append((run.name, run.asked().task, f"{run.hours:g}", state + where, psnr))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def main(
    hours: Annotated[float, typer.Option(help="Stop after this many hours; the next call resumes.")] = 1,
    minutes: Annotated[float | None, typer.Option(help="The same in minutes, for a GPU.")] = None,
    calls: Annotated[
        int | None,
        typer.Option(help="Spread each run over this many calls of --minutes; ignores the plan's hours."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Clean photographs.", show_default=f"{DATA / 'photos'}, or the parts in {PARTS}"
        ),
    ] = None,
    clean: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Clean pictures of pairs, for rain.",
            show_default=f"pairs of {DATA / 'rain_pairs'} or {PARTS} that no score is made with",
        ),
    ] = None,
    degraded: Annotated[Path | None, typer.Option(metavar="DIR", help="Their rainy pictures.")] = None,
    states: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the runs' folders.")] = ROOT / "runs/plan",
    plan: Annotated[Path, typer.Option(metavar="FILE", help="The runs, as TOML.")] = PLAN,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "cpu",
    workers: Annotated[int, typer.Option(help="Processes that make crops, for a GPU; 0 makes them in a thread.")] = 0,
    compile_: Annotated[
        bool | None,
        typer.Option("--compile/--no-compile", help="Compile networks.", show_default="on a GPU"),
    ] = None,
    nice: Annotated[int, typer.Option(help="Niceness, 0 to 19.")] = 19,
    list_: Annotated[bool, typer.Option("--list", help="Print the plan.")] = False,
) -> None:
    """Go on with the first run of the plan that is open, then with the next, until the hours are over."""
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
    # What only a GPU can do comes first on one.
    runs = sorted(runs, key=lambda run: run.device != where.type) if on_gpu else runs
    for run in runs:
        for name in TRAVELLING:
            joined(run.folder(states) / name)
    try:
        work(runs, setting, seconds)
    except KeyboardInterrupt:
        say("interrupted; the same command goes on")
        raise typer.Exit(130) from None
    finally:
        if on_gpu:
            for run in runs:
                packed(run.folder(states))


def interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, interrupt)
    commands.run(main)

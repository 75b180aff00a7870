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
import itertools
import json
import signal
import statistics
import sys
import tarfile
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

from restore.catalogue import did_you_mean
from restore.cli.console import say
from restore.errors import RestoreError, UsageError
from restore.files import whole_file

if TYPE_CHECKING:
    import torch

    from restore.recipes import Recipe
    from restore.training import Progress

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared/data/train"
WARM_UP, TIMED = 3, 10  # steps of each phase that are not timed, and that are
TELL_SECONDS = 600
PARTS = ROOT / "runs/photos"
PART = 15 * 2**20  # bytes; a lent machine gives back files of 16 MiB at most
TRAVELLING = ("state.pt", "last.safetensors", "best.safetensors")
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
        from restore.recipes import load_recipe

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
def alone(folder: Path) -> Iterator[bool]:
    """Whether no other process is at the run; while it is entered, this one is. The system ends it with the process."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f".{folder.name}.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def progress_of(folder: Path) -> tuple[int, int]:
    """Steps that are done, and steps in all; 0 of 0 where the run has not begun."""
    from safetensors import SafetensorError, safe_open

    with suppress(OSError, ValueError, SafetensorError):
        steps = json.loads((folder / "recipe.json").read_text(encoding="utf-8"))["steps"]
        with safe_open(folder / "last.safetensors", "np") as file:
            return int(file.metadata()["step"]), steps
    return 0, 0


def is_finished(folder: Path) -> bool:
    step, steps = progress_of(folder)
    return 0 < steps <= step


def parts(recipe: Recipe) -> list[tuple[float, Recipe]]:
    """Parts of a run whose steps cost the same: their share of the steps, and a recipe of such steps alone."""
    from restore.schedules import phases

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
    from restore.schedules import stretched

    mean = sum(share * seconds_a_step(train, part, clock) for share, part in parts(recipe))
    once = seconds_to_validate(recipe, clock, device)
    times = max(1, min(10, int(hours * 360 / max(once, 1e-9)) - 1))  # and once before the first step
    steps = max(1, round((hours * 3600 - (times + 1) * once) / mean))
    return dataclasses.replace(stretched(recipe, steps), validate_every=-(-steps // times))


def seconds_to_validate(recipe: Recipe, clock: Callable[[], float], device: torch.device | None = None) -> float:
    """What a validation takes, about: the time of one picture, after another to warm up, for all of them."""
    import torch

    from restore.networks import NETWORKS
    from restore.restorer import Restorer

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
    from restore.runs import _lines

    return [tuple(entry["validation"]) for entry in _lines(folder / "log.jsonl") if entry.get("validation")]


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
        from restore import training
        from restore.recipes import load_recipe

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
            training.train(recipe, self.data, folder, should_stop=should_stop, **begin, **common)

        if resume:
            recipe = load_recipe(str(folder / "recipe.json"))
        else:
            asked = for_gpu(run.asked(), run.gpu) if on_gpu else run.asked()
            # Of a core the time that the process had of it, whatever else the core does.
            clock = time.perf_counter if on_gpu or self.workers else time.process_time
            recipe = fitted(asked, self.hours or run.hours, probe, clock, self.device)
        say(f"{run.name}: {recipe.steps} steps, {'from where it was' if resume else 'new'}, in {folder}")
        training.train(
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
        with (self.states / "plan.log").open("a", encoding="utf-8") as log:
            log.write(f"{now} {run.name}: {progress_of(folder)[1]} steps, {hours:.2f} h, {psnrs}\n")


def seconds_of(folder: Path) -> float:
    """How long a run has trained."""
    import torch

    from restore.runs import Run

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


def packed(folder: Path) -> None:
    """Make the files of a run small enough to be given back by a lent machine.

    A state above `PART` is halved: what goes on from it is near, not equal, to what would have been.
    """
    if (state := folder / "state.pt").is_file() and state.stat().st_size > PART:
        halve(state)
    for name in TRAVELLING:
        split(folder / name)


def halve(path: Path) -> None:
    """A state in half precision: weights in float16, what the optimiser remembers in bfloat16, which has its range."""
    import torch

    def halved(value: Any, kind: torch.dtype) -> Any:
        if isinstance(value, dict):
            return {key: halved(part, kind) for key, part in value.items()}
        is_many = isinstance(value, torch.Tensor) and value.is_floating_point() and value.numel() > 1
        return value.to(kind) if is_many else value

    state = torch.load(path, map_location="cpu", weights_only=True)
    for key, kind in (("network", torch.float16), ("average", torch.float16), ("optimizer", torch.bfloat16)):
        state[key] = halved(state[key], kind)
    with whole_file(path) as temporary:
        torch.save(state, temporary)


def split(path: Path, size: int | None = None) -> None:
    """A file that is larger than `size` bytes, by default `PART`, becomes parts of so many, `state.pt.1` and so on."""
    size = size or PART
    if not path.is_file() or path.stat().st_size <= size:
        return
    with path.open("rb") as file:
        for number in itertools.count(1):
            if not (read := file.read(size)):
                break
            path.with_name(f"{path.name}.{number}").write_bytes(read)
    path.unlink()


def joined(path: Path) -> None:
    """The file again that `split` made parts of, if there are any."""
    found = sorted(path.parent.glob(f"{path.name}.[0-9]*"), key=lambda part: int(part.suffix[1:]))
    if found:
        with whole_file(path) as temporary:
            temporary.write_bytes(b"".join(part.read_bytes() for part in found))
        for part in found:
            part.unlink()


def unpacked(folder: Path) -> Path:
    """The photos of all parts that scripts/pack_photos.py made and that lie in `folder`, in one folder.

    Raises:
        UsageError: There are none.
    """
    if not (found := sorted(folder.glob("part-*.tar"))):
        raise UsageError(f"there are no photos, neither by --data nor in {folder}", hint="scripts/pack_photos.py")
    photos = folder / "photos"
    for part in found:
        with tarfile.open(part) as tar:
            tar.extractall(photos, filter="data")
    return photos


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
            with alone(folder) as is_alone:
                state += "" if is_alone else ", running"
        seen = validations(folder)
        psnr = f"{seen[-1][0]:.2f} -> {seen[-1][1]:.2f} dB" if seen else "-"
        where = f" ({run.device} only)" if run.device else ""
        rows.append((run.name, run.asked().task, f"{run.hours:g}", state + where, psnr))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def main(
    hours: Annotated[float, typer.Option(help="Stop after so long, in a state that the next call goes on from.")] = 1,
    minutes: Annotated[float | None, typer.Option(help="The same in minutes, for a GPU.")] = None,
    calls: Annotated[
        int | None, typer.Option(help="The run is to take so many calls of --minutes, instead of the plan's hours.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help=f"Clean photographs. [default: {DATA / 'photos'}, or the parts in {PARTS}]"),
    ] = None,
    clean: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Clean pictures of pairs, for rain. [default: those beside the checkout that no score is made with]",
            show_default=False,
        ),
    ] = None,
    degraded: Annotated[Path | None, typer.Option(metavar="DIR", help="Their rainy pictures.")] = None,
    states: Annotated[Path, typer.Option(metavar="DIR", help="Where the runs' folders are.")] = ROOT / "runs/plan",
    plan: Annotated[Path, typer.Option(metavar="FILE")] = ROOT / "scripts/training_plan.toml",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "cpu",
    workers: Annotated[int, typer.Option(help="Processes that make crops, for a GPU; 0 makes them in a thread.")] = 0,
    compile_: Annotated[
        bool | None,
        typer.Option("--compile/--no-compile", help="Compile networks. [default: on a GPU]", show_default=False),
    ] = None,
    nice: Annotated[int, typer.Option(help="How far to step back behind other work, 0 to 19.")] = 19,
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

    from restore.devices import keep_memory, pick_device

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


def is_scored(name: str, heavy: list[str]) -> bool:
    """Whether a pair of rain is one that weights are scored on, or shows the scene of one: never to be trained on.

    Those of light rain (`rain200l`) and, of `heavy`, the sorted names of all others, every third from the third on.
    """
    return name.startswith("rain200l") or name in heavy[2::3] or Path(name).stem in ("rain100h_1", "rain200h_2")


def pairs_to_train_on(source: Path, folder: Path) -> tuple[Path, Path] | None:
    """Links in `folder` to the pairs of `source`, `clean` and `rainy`, that no score is made with."""
    if not source.is_dir():
        return None
    heavy = sorted(path.name for path in (source / "clean").iterdir() if not path.name.startswith("rain200l"))
    for kind in ("clean", "rainy"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for path in (source / kind).iterdir():
            if not is_scored(path.name, heavy):
                with suppress(FileExistsError):
                    (folder / kind / path.name).symlink_to(path.resolve())
    return folder / "clean", folder / "rainy"


def interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, interrupt)
    try:
        typer.run(main)
    except RestoreError as error:
        sys.exit(f"error: {error.message}" + (f"\nhint:  {error.hint}" if error.hint else ""))

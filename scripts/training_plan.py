"""A plan of training runs: its TOML file, and how far its runs are.

Importing this costs little: torch is imported where it is needed.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import math
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from restore.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from restore.training.recipe import Recipe

PLAN = Path(__file__).with_suffix(".toml")
LOCK_SECONDS = 1.0  # that a process waits for another to look at a run


@dataclass(frozen=True)
class Planned:
    """A run of the plan.

    Attributes:
        name: Name of the run, and of its folder if there is no `state`.
        recipe: A shipped recipe or a `.toml` file.
        hours: Hours of one core, or of the GPU. Steps, stages and holds of the recipe are stretched to them.
        from_: `from` in the file: weights to start from.
        transfer: Weights of another network or size to start from, as far as they fit.
        set: Fields of the recipe to change.
        uses_pairs: Whether to train on pairs of pictures as well.
        state: Folder of the run.
        device: The only device that the run is for; None for any.
        gpu: Factors for fields of the recipe on a GPU, such as `{batch = 8, learning_rate = 1.5}`. Batches grow four
            times by default.
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
        """Folder of the run; `states` holds those of all runs."""
        return Path(self.state) if self.state else states / self.name

    def asked(self) -> Recipe:
        """The recipe with its changes, before its steps are fitted to the hours."""
        from restore.training.recipe import load_recipe

        changes = {k: v if isinstance(v, str) else json.dumps(v) for k, v in self.set.items()}
        return load_recipe(self.recipe, changes)


def read_plan(path: Path) -> list[Planned]:
    """The runs of a plan, in order of value.

    Raises:
        UsageError: The file is not readable, a field is unknown or missing, or two runs share a folder.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8")).get("run", [])
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read the plan {path}: {error}") from error
    fields = {f.name.rstrip("_"): f for f in dataclasses.fields(Planned)}
    plan = []
    for table in tables:
        name = table.get("name", "(no name)")
        for key in table.keys() - fields.keys():
            raise UsageError(f"a run of the plan has no field {key!r}", hint=did_you_mean(key, fields))
        if missing := [key for key in ("name", "recipe", "hours") if key not in table]:
            raise UsageError(f"the run {name} of {path} lacks {', '.join(missing)}")
        plan.append(Planned(**{fields[key].name: value for key, value in table.items()}))
    folders = [run.folder(Path()) for run in plan]
    for folder in folders:
        if folders.count(folder) > 1:
            raise UsageError(f"two runs of {path} have the folder {folder}", hint="give each its own name")
    return plan


@contextmanager
def alone(folder: Path, *, looks_only: bool = False) -> Iterator[bool]:
    """Lock a run; gives whether no other process has locked it. The lock ends with the process.

    Args:
        folder: Folder of the run.
        looks_only: Only look, for a moment. Processes that look do not disturb each other, and one that trains waits
            `LOCK_SECONDS` for them.
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
    """Steps done and steps in total; (0, 0) if the run has not started."""
    path = folder / "last.safetensors"
    if not path.is_file():
        path = path.with_name(f"{path.name}.1")  # the first part (scripts/run_parts.py) holds the header
    with suppress(OSError, ValueError, KeyError, OverflowError):
        steps = json.loads((folder / "recipe.json").read_text(encoding="utf-8"))["steps"]
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        return int(header["__metadata__"]["step"]), steps
    return 0, 0


def is_finished(folder: Path) -> bool:
    """Whether all steps of a run are done."""
    step, steps = progress_of(folder)
    return 0 < steps <= step


def validations(folder: Path) -> list[tuple[float, float]]:
    """(input PSNR, PSNR) of each validation of a run."""
    from restore.training.json_lines import json_lines

    scored = [entry["validation"] for entry in json_lines(folder / "log.jsonl") if entry.get("validation")]
    return [(math.inf if before is None else before, after) for before, after in scored]  # JSON has no infinity


def table(plan: list[Planned], states: Path) -> str:
    """The runs of a plan as a table: task, hours, state, last validation."""
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

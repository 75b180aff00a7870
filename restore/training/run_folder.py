"""The folder of a training run: what is written into it, and read again when the run goes on.

```
recipe.json            the recipe, resolved
sessions.jsonl         when and where it was worked on: versions, commit, device, processes
log.jsonl              progress about every second, and validations
state.pt               everything that a resumed run needs
last.safetensors       the averaged weights, ready for --weights
best.safetensors       those of the best validation
validation.png         held-out photos: degraded, restored, clean
README.md              the model card
```
"""

from __future__ import annotations

import dataclasses
import json
import platform
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

import restore
from restore import checkpoints
from restore.checkpoints.cards import model_card
from restore.datasets.pairs import Pair
from restore.errors import DataError
from restore.evaluation.scoring import restoring
from restore.files import remove_leftovers, whole_file
from restore.images import Picture, read_picture, write_picture
from restore.inference.devices import processor_name
from restore.inference.restorer import Restorer
from restore.networks import Network
from restore.training.held_out import middle
from restore.training.recipe import Recipe

if TYPE_CHECKING:
    from restore.training.progress import Progress

_STRIP = 192  # pixels of a side of the pictures in validation.png


class Run:
    """The folder of a run.

    Args:
        folder: The folder.
        is_writer: Whether this process writes into it; to another, what is to be written is nothing.
    """

    def __init__(self, folder: Path, *, is_writer: bool = True) -> None:
        self.folder, self.is_writer = folder, is_writer
        self.last, self.best, self.state = (folder / n for n in ("last.safetensors", "best.safetensors", "state.pt"))

    def begin(
        self, recipe: Recipe, step: int, *, data: str, start: str | None, device: torch.device, processes: int
    ) -> None:
        """Write what the run is, before its first step, and cut from the log what came after `step`.

        Raises:
            DataError: The folder cannot be written into.
        """
        if not self.is_writer:
            return
        session = {
            "begun": datetime.now(UTC).isoformat(timespec="seconds"), "step": step, "data": data,
            "start": start, "restore": restore.__version__, "commit": _commit(), "python": platform.python_version(),
            "torch": torch.__version__, "numpy": np.__version__, "system": platform.platform(),
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name(),
            "processes": processes, "threads": torch.get_num_threads(),
        }  # fmt: skip
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            remove_leftovers(self.folder)
            self._write("recipe.json", json.dumps(dataclasses.asdict(recipe), indent=2) + "\n")
            sessions = json_lines(self.folder / "sessions.jsonl")
            self._write("sessions.jsonl", "".join(json.dumps(s) + "\n" for s in (*sessions, session)))
            kept = [entry for entry in json_lines(self.folder / "log.jsonl") if entry["step"] <= step]
            self._write("log.jsonl", "".join(json.dumps(entry) + "\n" for entry in kept))
        except OSError as failure:
            raise DataError(f"cannot write into {self.folder}: {failure.strerror or failure}") from failure

    def save(self, average: Network, state: dict[str, Any]) -> None:
        """Write weights, state and card; whatever ends the process, each file is whole."""
        if not self.is_writer:
            return
        with whole_file(self.state) as temporary:
            torch.save(state, temporary)
        self._save_weights(self.last, average, state)
        self.write_card(state["seconds"])

    def save_best(self, average: Network, state: dict[str, Any]) -> None:
        """Write the weights of the best validation so far."""
        if not self.is_writer:
            return
        self._save_weights(self.best, average, state)

    def load_state(self, device: torch.device) -> dict[str, Any]:
        """What `save` was given; no code is run.

        Raises:
            DataError: The file is damaged.
        """
        try:
            state: dict[str, Any] = torch.load(self.state, map_location=device, weights_only=True)
        except Exception as failure:  # torch.load raises nearly anything
            raise DataError(
                f"cannot resume from {self.state}: {str(failure).partition(chr(10))[0]}",
                hint=f"begin a new run from its weights: --from {self.last}",
            ) from failure
        return state

    @contextmanager
    def log(self, *, board: bool = False) -> Iterator[Callable[[Progress], None]]:
        """What to call with each progress to log it; with `board` for TensorBoard, too."""
        if not self.is_writer:
            yield lambda _: None
            return
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as file, ExitStack() as stack:
            show = stack.enter_context(_board(self.folder)) if board else None

            def write(progress: Progress) -> None:
                entry = dataclasses.asdict(progress)
                if progress.step == 0:  # before any training: only the validation is known
                    entry = {key: entry[key] for key in ("step", "steps", "validation", "kinds")}
                file.write(json.dumps(entry) + "\n")
                file.flush()
                if show:
                    show(progress)

            yield write

    def write_card(self, seconds: float) -> None:
        """Write README.md anew from the other files."""
        sessions, log = json_lines(self.folder / "sessions.jsonl"), json_lines(self.folder / "log.jsonl")
        recipe = json.loads((self.folder / "recipe.json").read_text(encoding="utf-8"))
        self._write("README.md", model_card(self.folder.absolute().name, recipe, sessions, log, seconds))

    def write_strip(self, restorer: Restorer, pairs: Iterable[Pair]) -> None:
        """Write the middles of up to four held-out photos, a row each: degraded, restored, clean."""
        if not self.is_writer:
            return
        rows = [strip_row(restorer, pair) for pair in islice(pairs, 4)]
        width = max(row.shape[1] for row in rows)
        rows = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows]
        write_picture(Picture(np.concatenate(rows)), self.folder / "validation.png")

    def _save_weights(self, path: Path, average: Network, state: dict[str, Any]) -> None:
        recipe = json.loads(state["recipe"])
        metadata = {"task": recipe["task"], "step": str(state["step"]), "recipe": state["recipe"]}
        checkpoints.save(path, average, recipe["network"], metadata)

    def _write(self, name: str, text: str) -> None:
        with whole_file(self.folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def strip_row(restorer: Restorer, pair: Pair) -> NDArray[np.uint8]:
    """The middle of a pair, degraded, restored and clean beside each other: `(h, 3 * w, 3)` bytes."""
    pair = middle(pair, _STRIP)
    scale = pair.clean.shape[0] // pair.degraded.shape[0]
    shown = np.concatenate([pair.degraded.repeat(scale, 0).repeat(scale, 1), restoring(restorer)(pair), pair.clean], 1)
    row: NDArray[np.uint8] = np.round(np.clip(shown, 0, 1) * 255).astype(np.uint8)
    return row


@contextmanager
def _board(folder: Path) -> Iterator[Callable[[Progress], None]]:
    from torch.utils.tensorboard import SummaryWriter  # an extra

    with SummaryWriter(folder / "tensorboard") as writer:

        def show(progress: Progress) -> None:
            values = {} if progress.step == 0 else {
                "loss": progress.loss, "psnr": progress.psnr, "learning_rate": progress.learning_rate,
                "images_per_second": progress.images_per_second, "data_share": progress.data_share,
            }  # fmt: skip
            if progress.validation:
                values |= {"validation/input_psnr": progress.validation[0], "validation/psnr": progress.validation[1]}
                strip = read_picture(folder / "validation.png").pixels
                writer.add_image("validation", strip, progress.step, dataformats="HWC")
            for name, value in values.items():
                writer.add_scalar(name, value, progress.step)

        yield show


def json_lines(path: Path) -> list[dict[str, Any]]:
    """The JSON lines of a file, up to one that is not whole, as a process that was killed may leave it."""
    found: list[dict[str, Any]] = []
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                break
    return found


def _commit() -> str | None:
    """The commit of the checkout that this code is in, `+` if it was changed since; None elsewhere."""
    root = Path(restore.__file__).parents[1]
    if not (root / ".git").exists():
        return None
    try:
        head, changes = (
            subprocess.run(["git", "-C", str(root), *args], capture_output=True, text=True, timeout=30, check=True)
            for args in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return head.stdout.strip() + ("+" if changes.stdout.strip() else "")

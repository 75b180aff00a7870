"""The folder of a run: its files, how they are written, and how they are read to resume.

```
recipe.json            every field of the recipe
sessions.jsonl         a line for each session: versions, commit, device, processes
log.jsonl              progress about every second, and validations
state.pt               everything that a resumed run needs
last.safetensors       the averaged weights, for --weights
best.safetensors       the averaged weights at the best validation
validation.png         held-out pictures: degraded, restored, clean
curves.png             loss and PSNR of the held-out pictures over the steps
README.md              the model card
```
"""

from __future__ import annotations

import dataclasses
import errno
import json
import math
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

import restore
from restore import checkpoints
from restore.checkpoints.cards import model_card, training_facts
from restore.datasets.pairs import Pair
from restore.errors import DataError
from restore.files import remove_leftovers, whole_file
from restore.images import Picture, write_picture
from restore.inference.devices import processor_name
from restore.inference.restorer import Restorer
from restore.networks import Network
from restore.training.curves import curves_of
from restore.training.json_lines import json_lines
from restore.training.progress import Progress, Validation
from restore.training.recipe import Recipe
from restore.training.status import mark_running, refuse_running, unmark
from restore.training.tensorboard_log import tensorboard_log
from restore.training.validation_strip import strip_of
from restore.training.wandb_log import wandb_log


class Run:
    """The folder of a run.

    Args:
        folder: The folder.
        is_writer: Whether this process writes into it. In other processes the writing methods do nothing.
    """

    def __init__(self, folder: Path, *, is_writer: bool = True) -> None:
        self.folder, self.is_writer = folder, is_writer
        self.last, self.best, self.state = (folder / n for n in ("last.safetensors", "best.safetensors", "state.pt"))
        self._strip = folder / "validation.png"
        self._scored: dict[str, Any] | None = None  # step and validation of the latest validation

    def begin(
        self, recipe: Recipe, step: int, *, data: str, start: str | None, device: torch.device, processes: int,
        new_data: bool = False, recipe_name: str | None = None,
    ) -> None:  # fmt: skip
        """Write what the run is before its first step, and cut the log back to `step`.

        Args:
            recipe: With its precision chosen.
            step: Where the session starts.
            data: What it trains on, in words.
            start: Which weights the run started from, in words; None for none.
            device: Where it trains.
            processes: How many processes train together.
            new_data: Whether a resumed run gets other pictures than before.
            recipe_name: What the card calls the recipe; None keeps that of earlier sessions.

        Raises:
            DataError: The folder is not writable.
        """
        if not self.is_writer:
            return
        session = {
            "begun": datetime.now(UTC).isoformat(timespec="seconds"), "step": step, "data": data,
            "start": start, "restore": restore.__version__, "commit": _commit(), "python": platform.python_version(),
            "torch": torch.__version__, "numpy": np.__version__, "system": platform.platform(),
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name(),
            "processes": processes, "threads": torch.get_num_threads(), "new_data": new_data, "recipe": recipe_name,
        }  # fmt: skip
        refuse_running(self.folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            mark_running(self.folder)
            remove_leftovers(self.folder)
            self._write("recipe.json", json.dumps(dataclasses.asdict(recipe), indent=2) + "\n")
            sessions = json_lines(self.folder / "sessions.jsonl")
            self._write("sessions.jsonl", "".join(json.dumps(s) + "\n" for s in (*sessions, session)))
            kept = [entry for entry in json_lines(self.folder / "log.jsonl") if entry["step"] <= step]
            self._scored = None if new_data else next((entry for entry in kept[::-1] if entry["validation"]), None)
            self._write("log.jsonl", "".join(json.dumps(entry) + "\n" for entry in kept))
        except OSError as failure:
            raise DataError(f"cannot write to {self.folder}: {failure.strerror or failure}") from failure

    def note_score(self, step: int, validation: Validation) -> None:
        """Remember the validation after a step for the metadata of the weights that are saved from now on."""
        self._scored = {"step": step, "validation": validation.psnrs, "kinds": validation.kinds}

    def save(self, average: Network, state: dict[str, Any]) -> None:
        """Write weights, state and card. Each file is complete or unchanged, even if the process is killed."""
        if not self.is_writer:
            return
        with self._disk(), whole_file(self.state) as temporary:
            _save_state(state, temporary)
        with self._disk():
            self._save_weights(self.last, average, state)
            self.write_card(state["seconds"])

    def save_best(self, average: Network, state: dict[str, Any]) -> None:
        """Write the weights of the best validation so far."""
        if not self.is_writer:
            return
        self._save_weights(self.best, average, state)

    def load_state(self, device: torch.device) -> dict[str, Any]:
        """The state that `save` wrote; loading runs no code from the file.

        Raises:
            DataError: The file is damaged.
        """
        try:
            state: dict[str, Any] = torch.load(self.state, map_location=device, weights_only=True)
        except Exception as failure:  # torch.load raises nearly anything
            raise DataError(
                f"cannot resume from {self.state}: {str(failure).partition(chr(10))[0]}",
                hint=f"start a new run from its weights: --from {self.last}",
            ) from failure
        return state

    @contextmanager
    def log(self, *, tensorboard: bool = False, wandb: bool = False) -> Iterator[Callable[[Progress], None]]:
        """What to call with each progress to log it, for TensorBoard and Weights & Biases as well if asked for."""
        if not self.is_writer:
            yield lambda _: None
            return
        # Unbuffered: after an error of a full disk, closing the file must not write again.
        with (self.folder / "log.jsonl").open("ab", buffering=0) as file, ExitStack() as stack:
            stack.callback(unmark, self.folder)
            shows = []
            if tensorboard:
                shows.append(stack.enter_context(tensorboard_log(self.folder / "tensorboard", self._strip)))
            if wandb:
                begun = json_lines(self.folder / "sessions.jsonl")[0]["begun"]
                shows.append(stack.enter_context(wandb_log(self.folder, self._strip, self._recipe(), begun)))

            def write(progress: Progress) -> None:
                entry = dataclasses.asdict(progress)
                if progress.step == 0:  # only the validation is known
                    entry = {key: entry[key] for key in ("step", "steps", "validation", "kinds", "infinite")}
                with self._disk():
                    file.write((json.dumps(_finite(entry), allow_nan=False) + "\n").encode())
                for show in shows:
                    show(progress)

            yield write

    def write_card(self, seconds: float) -> None:
        """Write README.md and curves.png from the other files."""
        sessions, log = json_lines(self.folder / "sessions.jsonl"), json_lines(self.folder / "log.jsonl")
        name = self.folder.absolute().name
        self._write("README.md", model_card(name, self._recipe(), sessions, log, seconds))
        if (curves := curves_of(log, name)) is not None:
            write_picture(Picture(curves), self.folder / "curves.png")

    def _recipe(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "recipe.json").read_text(encoding="utf-8"))
        return found

    def write_strip(self, restorer: Restorer, pairs: Iterable[Pair]) -> None:
        """Write validation.png: the middles of up to four held-out pictures."""
        if self.is_writer:
            write_picture(Picture(strip_of(restorer, pairs)), self._strip)

    def _save_weights(self, path: Path, average: Network, state: dict[str, Any]) -> None:
        recipe = json.loads(state["recipe"])
        metadata = {"task": recipe["task"], "step": str(state["step"]), "recipe": state["recipe"]}
        if sessions := json_lines(self.folder / "sessions.jsonl"):
            about = training_facts(recipe, sessions, step=state["step"], seconds=state["seconds"], scored=self._scored)
            metadata["training"] = json.dumps(about, allow_nan=False)
        checkpoints.save(path, average, recipe["network"], metadata)

    @contextmanager
    def _disk(self) -> Iterator[None]:
        """A block that writes into the folder; its errors of the disk become one sentence.

        Raises:
            DataError: The disk is full, or cannot be written.
        """
        try:
            yield
        except OSError as failure:
            hint = "free some space or repair the disk, then continue with --resume"
            raise DataError(f"cannot write to {self.folder}: {failure.strerror or failure}", hint=hint) from failure

    def _write(self, name: str, text: str) -> None:
        with whole_file(self.folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def _save_state(state: dict[str, Any], path: Path) -> None:
    """Write a state.

    Raises:
        OSError: The disk is full, or cannot be written; PyTorch alone raises a RuntimeError without the reason.
    """
    try:
        torch.save(state, path)
    except RuntimeError as failure:
        full = shutil.disk_usage(path.parent).free < 1 << 20
        number = errno.ENOSPC if full else errno.EIO
        raise OSError(number, os.strerror(number), str(path)) from failure


def _finite(value: Any) -> Any:
    """A value for JSON, which has neither infinity nor NaN: null stands for both."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list | tuple) else value


def _commit() -> str | None:
    """The commit of the checkout of this code, with `+` if tracked files differ; None outside a checkout."""
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

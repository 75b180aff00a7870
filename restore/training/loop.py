"""The training loop: a recipe in, a checkpoint out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import torch

from restore.networks import Network
from restore.training.acceleration import chosen_precision, trainable
from restore.training.batches import Batches
from restore.training.gradients import SkippedBatches, add_gradients
from restore.training.losses import Loss, loss_of
from restore.training.options import Options
from restore.training.plan import check_run_folder
from restore.training.progress import Progress
from restore.training.recipe import Recipe
from restore.training.reporting import Reporter
from restore.training.run_folder import Run
from restore.training.saving import Saver
from restore.training.sources import Sources, find_sources
from restore.training.starting_weights import new_network, take_weights
from restore.training.state import State, resumed_recipe, saved_fingerprint
from restore.training.step_memory import with_room
from restore.training.team import Team, join
from restore.training.thread_watch import ThreadWatch
from restore.training.training_data import TrainingData, load_training_data
from restore.training.validation import Validator

_DEFAULTS = Options()
_MOMENT = 5  # seconds of measuring without a word


def train(
    recipe: Recipe, data: Path | None, run: Path, *, pairs: tuple[Path, Path] | None = None, resume: bool = False,
    start_from: str | None = None, transfer_from: str | None = None, options: Options = _DEFAULTS,
    should_stop: Callable[[], bool] = lambda: False, on_progress: Callable[[Progress], None] = lambda _: None,
    sources: Sources | None = None, new_data: bool = False, recipe_name: str | None = None,
    on_note: Callable[[str], None] = lambda _: None, on_decoded: Callable[[int, int], None] = lambda *_: None,
) -> Path:  # fmt: skip
    """Train by a recipe; return the checkpoint. On a CPU a resumed run ends with the weights of an uninterrupted one.

    Args:
        recipe: What to do.
        data: Folder of clean photos, degraded as the recipe says; None to train on pairs alone.
        run: Folder of the run (`restore.training.run_folder`): new or empty, or with `resume` that of an earlier run.
        pairs: Folders of clean and of degraded pictures, paired by name.
        resume: Continue from `run/state.pt`.
        start_from: Weights of the same network and config to start from (anything that `checkpoints.resolve` accepts).
        transfer_from: Weights of another network, size or scale; tensors that fit are copied.
        options: Machine, memory layout and times.
        should_stop: Called before each step; True stops in a state that can be resumed.
        on_progress: Called in the first process about once a second, after validations and after skipped batches.
        sources: The pictures, instead of those of `data` and `pairs`.
        new_data: Whether a resumed run may get other pictures than before. Its best score then starts anew.
        recipe_name: What the card calls the recipe.
        on_note, on_decoded: Called with notes on the pictures, and with the number of decoded ones and their total.

    Raises:
        DeviceError: Not even one crop fits into the memory.
        DataError: Pictures are too few or do not fit, `run` is not empty or not writable, or gradients are not finite.
        UsageError: There is no run to resume, or it has another recipe or other pictures. `start_from` does not fit, or
            the network does not accept crops of this size or cannot leave its attention out.
    """
    begun, device, rank = time.monotonic(), options.device, options.rank
    torch.manual_seed(recipe.seed)
    network = new_network(recipe, processes=rank.count)
    about_start = None if resume else take_weights(network, recipe, start_from, transfer_from)
    folder = Run(run, is_writer=rank.index == 0)
    if folder.is_writer:
        check_run_folder(run, resume=resume)
    saved = folder.load_state(device) if resume else None
    sources = sources or find_sources(data, pairs)
    loaded = _loaded(recipe, network, sources, saved, new_data=new_data, on_note=on_note, on_decoded=on_decoded)
    network.to(device).to(memory_format=options.layout)  # type: ignore[call-overload]
    recipe = recipe if saved is None else resumed_recipe(recipe, saved)
    loss_function = loss_of(recipe.loss, recipe.edge_weight)
    with join(rank, device) as team:
        recipe, batches, notes = _prepared(recipe, network, loaded, loss_function, team, on_note)
        state = State(recipe, network, saved, fingerprint=loaded.split.fingerprint, is_new=loaded.split.is_new)
        trained = trainable(state, batches, options, notes)
        state.start_clock()
        folder.begin(
            recipe, state.step, data=loaded.about, start=about_start, device=device, processes=team.count,
            new_data=loaded.split.is_new, recipe_name=recipe_name,
        )  # fmt: skip
        if not resume:  # a process that is killed from here on can be resumed
            folder.save(state.average, state.as_dict())
        watch = ThreadWatch(torch.get_num_threads() if device.type == "cpu" else 1)
        skipped = SkippedBatches(recipe, loaded.crops)
        validator = Validator(state, loaded.held_out, folder, team)
        with (
            folder.log(tensorboard=options.tensorboard, wandb=options.wandb) as log,
            batches.feed(state.step, options) as feed,
            Saver(folder, state, every=options.save_seconds) as saver,
        ):
            report = Reporter(state, feed, notes, [log, on_progress] if folder.is_writer else [])
            report.start(validator.validate_start() if about_start else None)
            for batch in feed:
                if team.any(time.monotonic() - begun > options.max_seconds or should_stop()):
                    break
                if state.needs_attention:
                    state.use_attention(True)
                    trained = trainable(state, batches, options, notes)
                rate, whole = state.begin_step(), state.batch_size
                loss, error = add_gradients(trained, batch, recipe, loss_function, state.scaler, team, whole)
                is_finite = state.finish_step()
                notes += skipped.note(state.step - 1, is_finite=is_finite)
                validation = validator.validate_if_due()
                notes += watch.note()
                report.step(rate, loss, error, validation)
                saver.save_if_due()
    return folder.last


def _prepared(
    recipe: Recipe, network: Network, loaded: TrainingData, loss_function: Loss, team: Team,
    on_note: Callable[[str], None],
) -> tuple[Recipe, Batches, list[str]]:  # fmt: skip
    """The recipe with what the machine decides (parts of a batch, precision), the batches, and notes on both."""
    told = threading.Timer(_MOMENT, on_note, ["measuring the memory that a step takes"])
    told.start()
    try:
        recipe, notes = with_room(recipe, network, loss_function, team)
    finally:
        told.cancel()
    batches = Batches(loaded.crops, network.channels, recipe, team)
    recipe, more = chosen_precision(recipe, network, batches, loss_function, team)
    return recipe, batches, [*notes, *more]


def _loaded(
    recipe: Recipe, network: Network, sources: Sources, saved: dict[str, Any] | None, *, new_data: bool,
    on_note: Callable[[str], None], on_decoded: Callable[[int, int], None],
) -> TrainingData:  # fmt: skip
    """The pictures of a run; tells notes on them."""
    cv2.setNumThreads(1)
    before = saved_fingerprint(saved)
    if saved is not None and before is None:
        on_note("the state of this run does not say which pictures it was trained on; it continues on these")
    loaded = load_training_data(
        recipe, network.scale, sources, channels=network.channels, before=before, new_data=new_data, progress=on_decoded
    )
    for note in (*sources.notes, *loaded.notes):
        on_note(note)
    return loaded

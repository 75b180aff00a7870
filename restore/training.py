"""Training: a recipe in, a checkpoint out, in one visible loop that can be interrupted anywhere and resumed exactly."""

from __future__ import annotations

import dataclasses
import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore import checkpoints
from restore.data import PhotoCrops, degraded, list_pictures
from restore.errors import DataError, UsageError
from restore.evaluation import evaluate
from restore.files import whole_file
from restore.networks import NETWORKS, Network
from restore.recipes import DEGRADATIONS, check_run_folder
from restore.recipes import Recipe as Recipe
from restore.recipes import load_recipe as load_recipe
from restore.restorer import Restorer


@dataclass(frozen=True)
class Progress:
    """Where a run stands, about every second; `psnr` (dB) is that of the latest training batch.

    `validation` holds (input PSNR, PSNR) of the held-out photos where the step was followed by a validation.
    """

    step: int
    steps: int
    loss: float
    psnr: float
    images_per_second: float
    seconds_left: float
    learning_rate: float
    validation: tuple[float, float] | None = None


def charbonnier(difference: Tensor, epsilon: float = 1e-3) -> Tensor:
    """Mean of sqrt(d^2 + epsilon^2) over all elements (the terms of eq. 12, taken per pixel as MPRNet does)."""
    return (difference.square() + epsilon**2).sqrt().mean()


def loss_function(restored: Tensor, clean: Tensor, edge_weight: float) -> Tensor:
    """CS-KiT eq. 12 of `(B, C, H, W)`: Charbonnier loss plus `edge_weight` times that of the 4-neighbour Laplacian."""
    difference = restored - clean
    # The Laplacian is linear, so that of the difference is the difference of the Laplacians.
    centre = difference[..., 1:-1, 1:-1]
    neighbours = (
        difference[..., :-2, 1:-1] + difference[..., 2:, 1:-1] + difference[..., 1:-1, :-2] + difference[..., 1:-1, 2:]
    )
    return charbonnier(difference) + edge_weight * charbonnier(neighbours - 4 * centre)


def learning_rate(recipe: Recipe, step: int) -> float:
    """The rate of step 0 .. steps - 1: linear warm-up, then a half cosine down to `final_learning_rate`."""
    if step < recipe.warm_up:
        return recipe.learning_rate * (step + 1) / recipe.warm_up
    share = (step - recipe.warm_up) / max(1, recipe.steps - recipe.warm_up)
    low, high = recipe.final_learning_rate, recipe.learning_rate
    return low + (high - low) * 0.5 * (1 + math.cos(math.pi * share))


def train(
    recipe: Recipe,
    photos: Path,
    run: Path,
    *,
    resume: bool = False,
    start_from: str | None = None,
    max_seconds: float | None = None,
    device: torch.device | None = None,
    threads: int = 1,
    on_progress: Callable[[Progress], None] | None = None,
) -> Path:
    """Train by `recipe` on a folder of clean photographs.

    Writes into `run`: `recipe.json` (resolved), `log.jsonl`, `last.safetensors` (averaged weights, ready for
    `--weights`) and `state.pt` (everything a resumed run needs to reach the very weights of an uninterrupted one, on a
    CPU).

    Args:
        recipe: What to do.
        photos: The folder.
        run: A new or empty folder; with `resume` the folder of an earlier run.
        resume: Go on from `run/state.pt`.
        start_from: Weights to begin from (anything `checkpoints.resolve` takes) instead of random ones; a resumed run
            goes on with its own.
        max_seconds: Stop, in a state that can be resumed, after this time.
        device: Where to train.
        threads: Threads that make crops.
        on_progress: Called about once a second and after each validation.

    Returns:
        The checkpoint.

    Raises:
        DataError: `photos` has too few usable photographs, or `run` is not empty.
        UsageError: `resume` where nothing can be resumed, or with another recipe; `start_from` is of another network;
            the network does not take crops of this size, or cannot leave its attention out in `local_steps`.
    """
    device = device or torch.device("cpu")
    state_path = run / "state.pt"
    check_run_folder(run, resume=resume)
    paths = list_pictures(photos)
    if len(paths) <= recipe.held_out:
        raise DataError(f"{photos} holds {len(paths)} pictures, of which {recipe.held_out} would be held out")
    torch.manual_seed(recipe.seed)
    network_class = NETWORKS[recipe.network]
    network = network_class(**network_class.CONFIGS[recipe.config])
    if recipe.crop % network.size_multiple or recipe.crop < network.min_size:
        raise UsageError(
            f"{recipe.network} does not take crops of {recipe.crop} pixels",
            hint=f"use a multiple of {network.size_multiple}, at least {network.min_size}",
        )
    if start_from is not None and not resume:
        weights, info = checkpoints.load(start_from)
        if info.network != recipe.network or weights.config != network.config:
            raise UsageError(f"{start_from} does not hold a {recipe.network} of config {recipe.config}")
        network.load_state_dict(weights.state_dict())
    draw = DEGRADATIONS[recipe.degradation](None)
    cv2.setNumThreads(1)
    crops = PhotoCrops(paths[: len(paths) - recipe.held_out], draw, crop=recipe.crop, seed=recipe.seed)
    held_out = list(degraded(paths[len(paths) - recipe.held_out :], draw, seed=recipe.seed))

    network.to(device)
    average = network_class(**network.config).to(device)
    average.load_state_dict(network.state_dict())
    betas = 0.9, recipe.beta2
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=recipe.learning_rate, betas=betas, weight_decay=recipe.weight_decay, fused=True
    )
    step = 0
    if resume:
        state = torch.load(state_path, map_location=device, weights_only=True)
        recipe = _check_same(recipe, Recipe(**json.loads(state["recipe"])))
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"].cpu())
        step = state["step"]
    elif recipe.precision == "auto":
        precision = _faster_precision(network, crops, recipe, device)
        recipe = dataclasses.replace(recipe, precision=precision)
    if step < recipe.local_steps:
        network.use_attention(False)
        average.use_attention(False)
    try:
        run.mkdir(parents=True, exist_ok=True)
        (run / "recipe.json").write_text(json.dumps(dataclasses.asdict(recipe), indent=2) + "\n", encoding="utf-8")
    except OSError as failure:
        raise DataError(f"cannot write into {run}: {failure.strerror or failure}") from failure

    random = torch.get_rng_state()

    def save() -> Path:
        metadata = {"task": recipe.task, "step": str(step), "recipe": json.dumps(dataclasses.asdict(recipe))}
        checkpoints.save(run / "last.safetensors", average, recipe.network, metadata)
        state = {
            "recipe": json.dumps(dataclasses.asdict(recipe)), "step": step, "network": network.state_dict(),
            "average": average.state_dict(), "optimizer": optimizer.state_dict(), "random": random,
        }  # fmt: skip
        with whole_file(state_path) as temporary:
            torch.save(state, temporary)
        return run / "last.safetensors"

    started = reported = saved = time.monotonic()
    first_step = step
    network.train()
    with (run / "log.jsonl").open("a", encoding="utf-8") as log, ThreadPoolExecutor(threads) as pool:
        try:
            for references, inputs in _batches(crops, recipe, step, pool):
                if max_seconds is not None and time.monotonic() - started > max_seconds:
                    break
                if 0 < step == recipe.local_steps:
                    network.use_attention(True)
                    average.use_attention(True)
                rate = learning_rate(recipe, step)
                for group in optimizer.param_groups:
                    group["lr"] = rate
                references, inputs = references.to(device, non_blocking=True), inputs.to(device, non_blocking=True)
                with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
                    restored = network(inputs)
                loss = loss_function(restored.float(), references, recipe.edge_weight)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(network.parameters(), recipe.clip_norm)
                with _uninterrupted():  # so that a step is either whole in the state or not in it
                    optimizer.step()
                    step += 1
                    _update_average(average, network, min(recipe.ema, (1 + step) / (10 + step)))
                    random = torch.get_rng_state()
                validation = None
                if held_out and (step % recipe.validate_every == 0 or step == recipe.steps):
                    scores = evaluate(Restorer(average, device=device), held_out, with_ssim=False)
                    validation = scores.mean("input_psnr"), scores.mean("psnr")
                now = time.monotonic()
                if validation or step == recipe.steps or now - reported >= 1:
                    error = F.mse_loss(restored.detach().float().clamp(0, 1), references.clamp(0, 1))
                    per_step = (now - started) / (step - first_step)
                    progress = Progress(
                        step, recipe.steps, loss.item(), float(-10 * torch.log10(error)), recipe.batch / per_step,
                        per_step * (recipe.steps - step), rate, validation,
                    )  # fmt: skip
                    log.write(json.dumps(dataclasses.asdict(progress)) + "\n")
                    log.flush()
                    if on_progress:
                        on_progress(progress)
                    reported = now
                if now - saved > 120:
                    save()
                    saved = time.monotonic()
        finally:
            with _uninterrupted():
                checkpoint = save()
    return checkpoint


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back until the block is done."""
    in_main = threading.current_thread() is threading.main_thread()  # no other thread meets it
    if not in_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    held: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: held.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if held:
        raise KeyboardInterrupt


def _batches(crops: PhotoCrops, recipe: Recipe, step: int, pool: ThreadPoolExecutor) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of the steps from `step` on, made ahead in the pool's threads."""

    def ask(at: int) -> Iterator[tuple[Any, Any]]:
        return pool.map(crops.__getitem__, range(at * recipe.batch, (at + 1) * recipe.batch))

    ahead = [ask(at) for at in range(step, min(step + 2, recipe.steps))]
    for at in range(step, recipe.steps):
        references, inputs = zip(*ahead.pop(0), strict=True)
        if at + 2 < recipe.steps:
            ahead.append(ask(at + 2))
        yield torch.from_numpy(np.stack(references)), torch.from_numpy(np.stack(inputs))


@torch.no_grad()
def _update_average(average: Network, network: Network, decay: float) -> None:
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - decay)


def _check_same(asked: Recipe, begun: Recipe) -> Recipe:
    """The recipe that a run was begun with, if the one asked for is the same."""
    asked = dataclasses.replace(asked, precision=begun.precision if asked.precision == "auto" else asked.precision)
    for field in dataclasses.fields(Recipe):
        old, new = getattr(begun, field.name), getattr(asked, field.name)
        if old != new:
            raise UsageError(
                f"the run was begun with {field.name} = {old!r}, not {new!r}",
                hint="resume with the same recipe, or start a new run with --from",
            )
    return begun


def _faster_precision(network: Network, crops: PhotoCrops, recipe: Recipe, device: torch.device) -> str:
    """Which precision runs a forward and backward pass faster here: after one to warm up."""
    x = torch.from_numpy(crops[0][1])[None].to(device)
    best = {}
    for precision in ("float32", "bfloat16"):
        for _ in range(2):
            started = time.perf_counter()
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
                loss = network(x).float().square().mean()
            loss.backward()
            float(loss.detach())  # waits for the device
            network.zero_grad()
            best[precision] = time.perf_counter() - started
    return min(best, key=best.__getitem__)

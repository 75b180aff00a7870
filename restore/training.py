"""Training: a recipe in, a checkpoint out, in one visible loop that can be interrupted anywhere and resumed exactly."""

from __future__ import annotations

import dataclasses
import json
import math
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore import checkpoints
from restore.catalogue import did_you_mean
from restore.data import Draw, PhotoCrops, degraded, list_pictures
from restore.degradations import blind_noise
from restore.errors import DataError, UsageError
from restore.evaluation import evaluate
from restore.networks import NETWORKS, Network
from restore.restorer import Restorer

DEGRADATIONS: dict[str, Draw] = {"blind-noise": blind_noise}
RECIPES = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the result of a training run; one TOML file each.

    Attributes:
        task: Key of `TASKS`, written into the checkpoint.
        network, config: Key of `NETWORKS`, and of its `CONFIGS`.
        degradation: Key of `DEGRADATIONS`.
        steps: Optimiser steps in all; the learning rate follows them.
        batch, crop: Crops a step, and their side in pixels.
        learning_rate, final_learning_rate, warm_up: Linear from 0 over `warm_up` steps, then a half cosine (CS-KiT Section IV-E).
        weight_decay: AdamW's.
        clip_norm: Largest norm of the gradient.
        ema: Decay a step of the averaged weights, which are what is saved and scored.
        edge_weight: lambda of eq. 12. The paper does not give it; 0.05 is MPRNet's.
        seed: Fixes the initial weights and every crop.
        held_out: The last so many photos are kept for validation.
        validate_every: Steps between validations.
        precision: "float32", "bfloat16" (autocast), or "auto": whichever runs a step faster on the device.
    """

    task: str
    network: str
    config: str
    degradation: str
    steps: int
    batch: int
    crop: int
    learning_rate: float
    final_learning_rate: float
    warm_up: int
    weight_decay: float
    clip_norm: float
    ema: float
    edge_weight: float
    seed: int
    held_out: int
    validate_every: int
    precision: str = "auto"


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


def load_recipe(source: str, overrides: Mapping[str, str] | None = None) -> Recipe:
    """A recipe by the name of a shipped one or from a TOML file, with fields replaced by `overrides` (as text).

    Raises:
        UsageError: No such recipe; an unknown or missing field; a value of the wrong type.
    """
    path = Path(source) if source.endswith(".toml") else RECIPES / f"{source}.toml"
    names = sorted(p.stem for p in RECIPES.glob("*.toml"))
    if not path.is_file():
        raise UsageError(
            f"there is no recipe {source!r}", hint=did_you_mean(source, names) or f"choose one of {', '.join(names)}"
        )
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from error
    values |= dict(overrides or {})
    fields = {f.name: f for f in dataclasses.fields(Recipe)}
    for key in values:
        if key not in fields:
            raise UsageError(f"{source} has an unknown field {key!r}", hint=did_you_mean(key, fields))
    if missing := [n for n, f in fields.items() if n not in values and f.default is dataclasses.MISSING]:
        raise UsageError(f"{source} lacks {', '.join(missing)}", hint="every field of the recipe must be given")
    kinds = {"int": int, "float": float, "str": str}
    for key, value in values.items():
        kind = kinds[str(fields[key].type)]
        try:
            values[key] = kind(value)
        except (TypeError, ValueError):
            raise UsageError(f"{key} of {source} must be {kind.__name__}, not {value!r}") from None
    recipe = Recipe(**values)
    for key, table in (("network", NETWORKS), ("degradation", DEGRADATIONS)):
        if getattr(recipe, key) not in table:
            raise UsageError(
                f"{source} names an unknown {key}, {getattr(recipe, key)!r}", hint=f"choose one of {', '.join(table)}"
            )
    configs = NETWORKS[recipe.network].CONFIGS
    if recipe.config not in configs:
        raise UsageError(f"{recipe.network} has no config {recipe.config!r}", hint=f"choose one of {', '.join(configs)}")
    if recipe.precision not in ("auto", "float32", "bfloat16"):
        raise UsageError(f"precision is float32, bfloat16 or auto, not {recipe.precision!r}")
    return recipe


def charbonnier(difference: Tensor, epsilon: float = 1e-3) -> Tensor:
    """Mean of sqrt(d^2 + epsilon^2) over all elements (the terms of eq. 12, taken per pixel as MPRNet does)."""
    return (difference.square() + epsilon**2).sqrt().mean()


def loss_function(restored: Tensor, clean: Tensor, edge_weight: float) -> Tensor:
    """Charbonnier loss plus `edge_weight` times the same of the 4-neighbour Laplacian (CS-KiT eq. 12), `(B, C, H, W)`."""
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

    Writes into `run`: `recipe.json` (resolved), `log.jsonl`, `last.safetensors` (averaged weights, ready for `--weights`) and
    `state.pt` (everything a resumed run needs to reach the very weights of an uninterrupted one, on a CPU).

    Args:
        recipe: What to do.
        photos: The folder.
        run: A new or empty folder; with `resume` the folder of an earlier run.
        resume: Go on from `run/state.pt`.
        start_from: Weights to begin from (anything `checkpoints.resolve` takes) instead of random ones.
        max_seconds: Stop, in a state that can be resumed, after this time.
        device: Where to train.
        threads: Threads that make crops.
        on_progress: Called about once a second and after each validation.

    Returns:
        The checkpoint.

    Raises:
        DataError: `photos` has too few usable photographs, or `run` is not empty.
        UsageError: `resume` where nothing can be resumed, or with another recipe.
    """
    device = device or torch.device("cpu")
    state_path = run / "state.pt"
    if resume and not state_path.is_file():
        raise UsageError(f"{run} holds no state.pt to resume from", hint="leave out --resume to start a new run")
    if not resume and run.is_dir() and any(run.iterdir()):
        raise DataError(f"{run} is not empty", hint="add --resume to go on with that run, or choose another folder")
    paths = list_pictures(photos)
    if len(paths) <= recipe.held_out:
        raise DataError(f"{photos} holds {len(paths)} pictures, of which {recipe.held_out} would be held out")
    draw = DEGRADATIONS[recipe.degradation]
    cv2.setNumThreads(1)
    crops = PhotoCrops(paths[: len(paths) - recipe.held_out], draw, crop=recipe.crop, seed=recipe.seed)
    held_out = list(degraded(paths[len(paths) - recipe.held_out :], draw, seed=recipe.seed))

    torch.manual_seed(recipe.seed)
    network_class = NETWORKS[recipe.network]
    if start_from is None:
        network: Network = network_class(**network_class.CONFIGS[recipe.config])
    else:
        network, _ = checkpoints.load(start_from)
        if not isinstance(network, network_class):
            raise UsageError(f"{start_from} does not hold a {recipe.network}")
    network.to(device)
    average = network_class(**network.config).to(device)
    average.load_state_dict(network.state_dict())
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    step = 0
    run.mkdir(parents=True, exist_ok=True)
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
    (run / "recipe.json").write_text(json.dumps(dataclasses.asdict(recipe), indent=2) + "\n", encoding="utf-8")

    def save() -> Path:
        metadata = {"task": recipe.task, "step": str(step), "recipe": json.dumps(dataclasses.asdict(recipe))}
        checkpoints.save(run / "last.safetensors", average, recipe.network, metadata)
        state = {
            "recipe": json.dumps(dataclasses.asdict(recipe)), "step": step, "network": network.state_dict(),
            "average": average.state_dict(), "optimizer": optimizer.state_dict(), "random": torch.get_rng_state(),
        }  # fmt: skip
        temporary = state_path.with_suffix(".tmp")
        torch.save(state, temporary)
        temporary.replace(state_path)
        return run / "last.safetensors"

    started = reported = saved = time.monotonic()
    first_step = step
    network.train()
    with (run / "log.jsonl").open("a", encoding="utf-8") as log, ThreadPoolExecutor(threads) as pool:
        try:
            for references, inputs in _batches(crops, recipe, step, pool):
                if max_seconds is not None and time.monotonic() - started > max_seconds:
                    break
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
                optimizer.step()
                step += 1
                _update_average(average, network, min(recipe.ema, (1 + step) / (10 + step)))
                validation = None
                if step % recipe.validate_every == 0 or step == recipe.steps:
                    scores = evaluate(Restorer(average, device=device), held_out, with_ssim=False)
                    validation = scores.mean("input_psnr"), scores.mean("psnr")
                now = time.monotonic()
                if validation or now - reported >= 1:
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
            # Also when interrupted: a step is either whole in the state or not in it.
            checkpoint = save()
    return checkpoint


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
            loss.backward()  # type: ignore[no-untyped-call]
            float(loss.detach()), network.zero_grad()  # float() waits for the device.
            best[precision] = time.perf_counter() - started
    return min(best, key=best.__getitem__)

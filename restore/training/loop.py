"""Training: a recipe in, a checkpoint out, in one visible loop that can be interrupted anywhere and resumed exactly."""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from statistics import fmean
from typing import Any

import cv2
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore import checkpoints
from restore.batch.processes import Rank
from restore.errors import DataError, UsageError, did_you_mean
from restore.evaluation.scoring import PictureScore, evaluate
from restore.inference.restorer import Restorer
from restore.networks import NETWORKS, Network
from restore.training.batches import Batches, parts_of, sources
from restore.training.held_out import HeldOut, load
from restore.training.losses import Loss, loss_of
from restore.training.optimizers import optimizer_of
from restore.training.progress import Progress, Validation
from restore.training.recipe import Recipe as Recipe
from restore.training.recipe import check_run_folder
from restore.training.recipe import load_recipe as load_recipe
from restore.training.run_folder import Run
from restore.training.schedules import crops_of, learning_rate, phases, share_of
from restore.training.team import Team, join
from restore.training.thread_watch import ThreadWatch

LARGEST_PSNR = 60.0  # dB, that a picture counts in a mean
_ALONE = Rank()


def train(
    recipe: Recipe,
    data: Path | None,
    run: Path,
    *,
    pairs: tuple[Path, Path] | None = None,
    resume: bool = False,
    start_from: str | None = None,
    transfer_from: str | None = None,
    max_seconds: float | None = None,
    save_seconds: float = 120,
    device: torch.device | None = None,
    threads: int = 1,
    workers: int = 0,
    channels_last: bool = False,
    compiled: bool = False,
    rank: Rank = _ALONE,
    board: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[Progress], None] | None = None,
) -> Path:
    """Train by `recipe`, on a folder of clean photographs, on two of pairs, or on both.

    `restore.training.run_folder` says what is written into `run`. A run that is resumed reaches the very weights of
    an uninterrupted one, on a CPU.

    Args:
        recipe: What to do.
        data: Clean photographs, degraded on the way; None for a recipe whose degradation is `pairs`.
        run: A new or empty folder; with `resume` the folder of an earlier run.
        pairs: Folders of clean pictures and of degraded ones with the same names.
        resume: Go on from `run/state.pt`.
        start_from: Weights to begin from (anything `checkpoints.resolve` takes) instead of random ones; a resumed run
            goes on with its own.
        transfer_from: The same, of another network, size or scale: what fits of it is taken (`transfer`).
        max_seconds: Stop, in a state that can be resumed, after this time; loading and compiling count.
        save_seconds: Time from one save to the next.
        device: Where to train.
        threads: Threads that make crops.
        workers: Processes that make them instead, the very same; Python runs one thread at a time, so a GPU needs them.
        channels_last: Lay weights and pictures out so, which a GPU's convolutions are faster with.
        compiled: Compile the network, which takes minutes; where that fails it trains as it is, and a note says so.
        rank: Which process this is, of all that train together; the first one writes and reports.
        board: Write what TensorBoard shows into `run/tensorboard`.
        should_stop: Asked before each step; True stops as `max_seconds` does.
        on_progress: Called about once a second, after each validation and where a batch was skipped.

    Returns:
        The checkpoint.

    Raises:
        DataError: The pictures are too few or do not fit together, `run` is not empty or cannot be written, or the
            gradient is not finite, again and again.
        UsageError: `resume` where nothing can be resumed, or with another recipe; `start_from` is of another network;
            the network does not take crops of this size, or cannot leave its attention out in `local_steps`.
    """
    begun = time.monotonic()
    device = device or torch.device("cpu")
    torch.manual_seed(recipe.seed)
    network = _network(recipe, rank)
    about_start = None if resume else _begin_from(network, recipe, start_from, transfer_from)
    folder = Run(run, is_writer=rank.index == 0)
    if folder.is_writer:
        check_run_folder(run, resume=resume)
    cv2.setNumThreads(1)
    crops, held_out, about_data = load(recipe, network.scale, data, pairs)

    layout = torch.channels_last if channels_last else torch.preserve_format
    network.to(device).to(memory_format=layout)  # type: ignore[call-overload]
    average = type(network)(**network.config).to(device)
    average.load_state_dict(network.state_dict())
    optimizer = optimizer_of(
        recipe.optimizer, network.parameters(), lr=recipe.learning_rate, betas=(recipe.beta1, recipe.beta2),
        weight_decay=recipe.weight_decay,
    )  # fmt: skip
    loss_function = loss_of(recipe.loss, recipe.edge_weight)
    step, seconds_before, best = 0, 0.0, -math.inf
    if resume:
        state = folder.load_state(device)
        recipe = _check_same(recipe, Recipe(**json.loads(state["recipe"])))
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"].cpu())
        step, seconds_before, best = state["step"], state.get("seconds", 0.0), state.get("best", best)
    with join(rank, device) as team:
        batches = Batches(crops, network.channels, recipe, team)
        notes: list[str] = []  # told with the next progress
        if recipe.precision == "auto":
            chosen = _faster_precision(network, batches, loss_function, device) if team.is_first else ("", "")
            precision, why = team.told(chosen)
            recipe = dataclasses.replace(recipe, precision=precision)
            notes.append(why)
        _use_attention(step >= recipe.local_steps, network, average)
        # Losses of float16 are scaled up against underflow. It begins so low that finding the scale is no long row of
        # skipped batches.
        scaler = torch.amp.GradScaler(device.type, init_scale=1024, enabled=recipe.precision == "float16")
        if resume and scaler.is_enabled():
            scaler.load_state_dict(state["scaler"])

        def shared() -> nn.Module:
            module = team.share(network, has_unused=not network.attends)
            if not compiled:
                return module
            x = batches.of_step(min(step, recipe.steps - 1))[1]
            return _compiled(module, x.to(device, memory_format=layout), recipe, notes)

        trained = shared()
        random = torch.get_rng_state()
        started = reported = saved = time.monotonic()

        def snapshot() -> dict[str, Any]:
            return {
                "recipe": json.dumps(dataclasses.asdict(recipe)), "step": step, "network": network.state_dict(),
                "average": average.state_dict(), "optimizer": optimizer.state_dict(), "random": random,
                "scaler": scaler.state_dict(), "best": best, "seconds": seconds_before + time.monotonic() - started,
            }  # fmt: skip

        folder.begin(recipe, step, data=about_data, start=about_start, device=device, processes=team.count)
        if not resume:  # so that what is killed from here on can be resumed
            folder.save(average, snapshot())
        first_step, waited, skipped = step, 0.0, 0
        watch = ThreadWatch(torch.get_num_threads() if device.type == "cpu" else 1)
        network.train()
        feeding = batches.feed(step, threads=threads, workers=workers, pinned=device.type == "cuda")
        with folder.log(board=board) as log, feeding as feed:

            def tell(progress: Progress) -> None:
                log(progress)
                if on_progress and folder.is_writer:
                    on_progress(progress)

            def validated() -> Validation:
                nonlocal best
                restorer = Restorer(average, device=device)
                validation = _validate(restorer, held_out, team)
                folder.write_strip(restorer, held_out)
                if validation.psnrs[1] > best:
                    best = validation.psnrs[1]
                    folder.save_best(average, snapshot())
                return validation

            try:
                if step == 0 and about_start and held_out:
                    tell(Progress.before(recipe, validated()))
                while step < recipe.steps:
                    asked = time.perf_counter()
                    batch = next(feed)
                    waited += time.perf_counter() - asked
                    is_late = max_seconds is not None and time.monotonic() - begun > max_seconds
                    if team.any(is_late or should_stop()):
                        break
                    if 0 < step == recipe.local_steps and not network.attends:
                        _use_attention(True, network, average)
                        trained = shared()
                    rate = learning_rate(recipe, step)
                    for group in optimizer.param_groups:
                        group["lr"] = rate
                    numbers = crops_of(recipe, step).numbers
                    batch = tuple(x.to(device, non_blocking=True, memory_format=layout) for x in batch)
                    optimizer.zero_grad(set_to_none=True)
                    loss, error = _backward(trained, batch, recipe, loss_function, scaler, team, len(numbers))
                    scaler.unscale_(optimizer)
                    norm = nn.utils.clip_grad_norm_(network.parameters(), recipe.clip_norm or math.inf)
                    is_finite = bool(norm.isfinite())  # for all processes, whose gradients are the same by now
                    with _uninterrupted():  # so that a step is either whole in the state or not in it
                        if is_finite:
                            scaler.step(optimizer)
                        scaler.update()
                        step += 1
                        if is_finite:
                            _update_average(average, network, min(recipe.ema, (1 + step) / (10 + step)))
                        random = torch.get_rng_state()
                    skipped = 0 if is_finite else skipped + 1
                    if not is_finite:
                        fault = f"the gradient is not finite; {sources(crops, numbers)}"
                        _check_skipped(step, skipped, recipe.skip_limit, fault)
                        notes.append(f"{fault}; the batch is skipped")
                    is_due = held_out and (step % recipe.validate_every == 0 or step == recipe.steps)
                    validation = validated() if is_due else None
                    notes += watch.note()
                    now = time.monotonic()
                    if validation or notes or step == recipe.steps or now - reported >= 1:
                        per_step = (now - started) / (step - first_step)
                        tell(Progress(
                            step, recipe.steps, loss.item(), float(-10 * torch.log10(error())),
                            len(numbers) / per_step, per_step * (recipe.steps - step), rate,
                            validation.psnrs if validation else None,
                            waited / max(now - started, 1e-9), "; ".join(notes) or None,
                            validation.kinds if validation else None,
                        ))  # fmt: skip
                        reported = now
                        notes.clear()
                    if now - saved > save_seconds:
                        folder.save(average, snapshot())
                        saved = time.monotonic()
            finally:
                with _uninterrupted():
                    folder.save(average, snapshot())
    return folder.last


def transfer(network: Network, weights: Network) -> int:
    """Take over the parameters of another network that have the same name and shape, and leave the others.

    A network that enlarges 4 times learns sooner from one that enlarges twice (EDSR, Lim et al., CVPRW 2017,
    Section 3.2), and KiT and CS-KiT without their attention are one.

    Returns:
        How many parameters were taken.

    Raises:
        UsageError: Less than half of them would be: the networks have nothing in common.
    """
    own, given = (dict(x.named_parameters()) for x in (network, weights))
    fitting = [key for key in own.keys() & given.keys() if own[key].shape == given[key].shape]
    taken, count = (sum(own[key].numel() for key in keys) for keys in (fitting, own))
    if 2 * taken < count:
        raise UsageError(f"only {taken:,} of {count:,} parameters fit", hint="leave out --transfer to begin anew")
    with torch.no_grad():
        for key in fitting:
            own[key].copy_(given[key])
    return taken


def _network(recipe: Recipe, rank: Rank) -> Network:
    """The network of a recipe, as it begins.

    Raises:
        UsageError: It has no such options, does not take the crops, or batches are too small to be shared.
    """
    network_class = NETWORKS[recipe.network]
    kinds = (kind for kind in network_class.__mro__ if issubclass(kind, Network))
    known = {name for kind in kinds for name in inspect.signature(kind).parameters}
    for option in recipe.options.keys() - known:
        raise UsageError(f"a {recipe.network} has no option {option!r}", hint=did_you_mean(option, known))
    network = network_class(**network_class.CONFIGS[recipe.config] | recipe.options)
    _check_fits(recipe, network, rank)
    if recipe.start == "identity":
        network.start_as_identity()
    return network


def _begin_from(network: Network, recipe: Recipe, start_from: str | None, transfer_from: str | None) -> str | None:
    """Take over weights, and say in words which.

    Raises:
        UsageError: Those of `start_from` are of another network, or too few of the others fit.
    """
    about = None
    if start_from is not None:
        weights, info = checkpoints.load(start_from)
        if info.network != recipe.network or weights.config != network.config:
            raise UsageError(
                f"{start_from} does not hold a {recipe.network} of config {recipe.config}",
                hint="--transfer takes what fits of other weights",
            )
        network.load_state_dict(weights.state_dict())
        about = f"`{Path(start_from).name}`"
    if transfer_from is not None:
        taken = transfer(network, checkpoints.load(transfer_from)[0])
        count = sum(parameter.numel() for parameter in network.parameters())
        about = f"`{Path(transfer_from).name}`, {taken:,} of {count:,} parameters"
    return about


def _check_fits(recipe: Recipe, network: Network, rank: Rank) -> None:
    """Refuse crops that the network does not take, and batches that are too small to share."""
    if (batch := min([recipe.batch, *(batch for _, batch, _ in recipe.stages)])) < rank.count:
        raise UsageError(
            f"a batch of {batch} cannot be shared by {rank.count} processes", hint=f"--set batch={rank.count} or more"
        )
    for side in {recipe.crop, *(side for _, _, side in recipe.stages)}:
        if side % network.size_multiple or side < network.min_size:
            raise UsageError(
                f"{recipe.network} does not take crops of {side} pixels",
                hint=f"use a multiple of {network.size_multiple}, at least {network.min_size}",
            )


def _use_attention(use: bool, *networks: Network) -> None:
    for network in networks:
        network.use_attention(use)


def _backward(
    trained: nn.Module,
    batch: tuple[Tensor, ...],
    recipe: Recipe,
    loss_function: Loss,
    scaler: Any,
    team: Team,
    whole: int,
) -> tuple[Tensor, Callable[[], Tensor]]:
    """Add up the gradients of this process's share of a batch of `whole` crops, part by part.

    Returns:
        The mean loss, and what computes the mean square error of the last part.
    """
    references, inputs = batch
    is_mixed = recipe.precision != "float32"
    loss = torch.zeros((), device=inputs.device)
    for part in (parts := parts_of(len(inputs), recipe.accumulate)):
        with nullcontext() if part is parts[-1] else team.adding(trained):
            with torch.autocast(inputs.device.type, getattr(torch, recipe.precision), enabled=is_mixed):
                restored = trained(inputs[part])
            part_loss = loss_function(restored.float(), references[part])
            # The mean over the batch; that over the processes is taken with the gradients.
            scaler.scale(part_loss * (len(restored) * team.count / whole)).backward()
        loss += part_loss.detach() * (len(restored) / len(inputs))
    return loss, lambda: F.mse_loss(restored.detach().float().clamp(0, 1), references[part].clamp(0, 1))


def _check_skipped(step: int, skipped: int, limit: int, fault: str) -> None:
    """Refuse to go on where nothing but skipped batches comes.

    Raises:
        DataError: More than `limit` steps in a row were skipped.
    """
    if skipped > limit:
        raise DataError(
            f"step {step}: {fault}" + f"; the last {skipped} steps were all so" * (skipped > 1),
            hint="look at these pictures; lower learning_rate or clip_norm, or set precision=float32",
        )


def mean_psnrs(scores: Sequence[PictureScore]) -> tuple[float | None, float]:
    """Mean PSNR in dB of the degraded pictures and of the restored ones.

    Some kinds of degradation leave pictures as they are, and the network is to do so, too. An input that equals its
    reference has no finite PSNR and is left out; where all are so there is no mean. A restored picture counts
    `LARGEST_PSNR` at most, so that an exact result does not decide alone.
    """
    inputs = [score.input_psnr for score in scores if math.isfinite(score.input_psnr)]
    return fmean(inputs) if inputs else None, fmean(min(score.psnr, LARGEST_PSNR) for score in scores)


def _validate(restorer: Restorer, held_out: HeldOut, team: Team) -> Validation:
    """PSNR of the held-out pictures, degraded and restored; each process scores its share."""
    own = share_of(range(len(held_out)), team.index, team.count)
    pairs = (held_out[i] for i in own)
    scores = team.gathered(list(evaluate(restorer, pairs, with_ssim=False).pictures) if own else [])
    kinds: dict[str, list[PictureScore]] = {}
    for kind, score in zip(held_out.kinds, scores, strict=True):
        kinds.setdefault(kind, []).append(score)
    means = {kind: mean_psnrs(of) for kind, of in kinds.items()}
    inputs = [before for before, _ in means.values() if before is not None]
    psnrs = fmean(inputs) if inputs else math.inf, fmean(after for _, after in means.values())
    return Validation(psnrs, None if "" in means else means)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C and SIGTERM back until the block is done."""
    held: list[int] = []
    before = {}
    if threading.current_thread() is threading.main_thread():  # no other thread meets them
        for number in (signal.SIGINT, signal.SIGTERM):
            if callable(signal.getsignal(number)):
                before[number] = signal.signal(number, lambda received, _: held.append(received))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for received in held:
        signal.raise_signal(received)


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


def _faster_precision(network: Network, batches: Batches, loss_function: Loss, device: torch.device) -> tuple[str, str]:
    """Which precision runs the run's steps faster here, and why in words.

    Whole batches are timed, forward and backward, the fastest of up to five: that of the first step, and that of the
    last if its crops are others, or the attention is in use by then.
    """
    recipe, random = batches.recipe, torch.get_rng_state()
    timed = [(0, first := phases(recipe)[0])]
    if (last := phases(recipe)[-1]) != first:
        timed.append((recipe.steps - 1, last))
    seconds = dict.fromkeys(("float32", "bfloat16"), 0.0)
    alone, unscaled = Team(Rank(), device), torch.amp.GradScaler(device.type, enabled=False)
    for step, phase in timed:
        network.use_attention(phase.attends)
        batch = tuple(x.to(device) for x in batches.of_step(step))
        for precision in seconds:
            asked = dataclasses.replace(recipe, precision=precision)

            def run(asked: Recipe = asked, batch: tuple[Tensor, ...] = batch) -> None:
                loss, _ = _backward(network, batch, asked, loss_function, unscaled, alone, len(batch[0]))
                float(loss)  # waits for the device
                network.zero_grad()

            seconds[precision] += _fastest(run) * phase.steps / sum(phase.steps for _, phase in timed)
    torch.set_rng_state(random)
    chosen, other = sorted(seconds, key=seconds.__getitem__)
    return chosen, f"precision {chosen}: {seconds[chosen]:.3g} s a step; {other} takes {seconds[other]:.3g} s"


def _fastest(run: Callable[[], None], *, times: int = 5, enough: float = 20) -> float:
    """Seconds of the fastest of so many calls, or of fewer once they have taken `enough` seconds; after a warm-up."""
    run()
    taken: list[float] = []
    while len(taken) < times and sum(taken) < enough:
        started = time.perf_counter()
        run()
        taken.append(time.perf_counter() - started)
    return min(taken)


def _compiled(network: nn.Module, x: Tensor, recipe: Recipe, notes: list[str]) -> nn.Module:
    """The network compiled, if it can be trained so on pictures like `x`; else the network, and a note of why not."""
    compiled: nn.Module = torch.compile(network, mode="max-autotune-no-cudagraphs")  # type: ignore[assignment]
    random = torch.get_rng_state()
    try:
        with torch.autocast(x.device.type, getattr(torch, recipe.precision), enabled=recipe.precision != "float32"):
            loss = compiled(x).float().mean()
        loss.backward()
    except Exception as failure:  # the compiler raises nearly anything
        notes.append(f"the network is not compiled: {str(failure).partition(chr(10))[0]}")
        return network
    finally:
        network.zero_grad()
        torch.set_rng_state(random)
    return compiled

"""Train several networks on one GPU at once, each for its share of a fixed time: for a GPU that is there for minutes.

    python scripts/train_side_by_side.py scripts/side_by_side.toml PHOTOS runs/gpu --seconds 550
    python scripts/train_side_by_side.py PLAN PHOTOS runs/gpu --clean CLEAN --degraded RAINY   # pairs, for rain

`restore train` follows a number of steps, and takes its crops from threads. Here the learning rate follows the clock;
Gaussian noise, mosaics and reduced pictures are made on the GPU, and what recipes make otherwise comes from processes
into a pool on the GPU that batches are drawn from. When the loss leaps, the weights go back to those of some hundred
steps before, and the rate is halved. Nothing can be resumed; the averaged weights are saved as
`OUT/RECIPE/last.safetensors` every 45 seconds and at the end.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import os
import queue
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol

import cv2
import numpy as np
import torch
import torch.multiprocessing
import typer
from torch import Tensor, nn

from restore import checkpoints, training
from restore.batches import load
from restore.data import check_photos, list_pictures
from restore.degradations import imresize
from restore.losses import loss_of, rmse
from restore.networks import Network
from restore.optimizers import optimizer_of
from restore.recipes import Recipe, load_recipe
from restore.tasks import TASKS

PHOTO = 512  # side of the photos that are held on the GPU, in pixels
POOLED = 256  # side of the crops of the pool
POOL, SLOTS, FEWEST = 4096, 64, 64  # pairs in the pool, on their way to it, and needed before the first step
CHECK_EVERY, SAVE_SECONDS = 200, 45

Data = tuple[Path, tuple[Path, Path] | None]  # photos, and pairs of pictures, which are for rain


@dataclass(frozen=True)
class Job:
    """What is trained.

    Attributes:
        recipe: Of degradation, loss and optimiser.
        weights: To begin from.
        lane: Process that runs it; those of a lane follow each other.
        share: Of the lane's time.
        batch, crop, learning_rate, precision, seed: Instead of the recipe's.
        optimizer: Instead of the recipe's, if given.
        workers: Processes that make pairs; 0 makes them on the GPU.
        rmse_from: From this share of the job's time on the loss is the mean of the crops' root mean square errors.
    """

    recipe: str
    weights: str
    lane: int
    batch: int
    crop: int
    learning_rate: float
    seed: int
    share: float = 1.0
    precision: str = "float16"
    optimizer: str = ""
    workers: int = 0
    rmse_from: float = 2.0

    def resolved(self) -> Recipe:
        """The recipe with this job's own values."""
        own = {key: getattr(self, key) for key in ("batch", "crop", "learning_rate", "precision", "seed")}
        recipe = dataclasses.replace(load_recipe(self.recipe), **own, stages=(), ema=0.999, final_learning_rate=0)
        return dataclasses.replace(recipe, optimizer=self.optimizer or recipe.optimizer)


class Source(Protocol):
    """Where batches come from."""

    def batch(self, size: int) -> tuple[Tensor, Tensor]:
        """References and degraded pictures, `(size, 3, H, H)`; the first are larger by the network's scale."""

    def close(self) -> None:
        """End what runs beside."""


def turned(x: Tensor, *, is_upright: bool = False) -> Tensor:
    """Turn and mirror each of `(B, C, H, H)` at random, where it is upright in the four ways that lay nothing on its
    side.
    """
    transposed, mirrored, flipped = torch.rand(3, len(x), 1, 1, 1, device=x.device) < 0.5
    if not is_upright:
        x = torch.where(transposed, x.mT, x)
    x = torch.where(mirrored, x.flip(2), x)
    return torch.where(flipped, x.flip(3), x)


def cut(pictures: Tensor, which: Tensor, side: int) -> Tensor:
    """A square at a random place of each of `pictures[which]`: `(N, H, H, C)` to `(B, C, side, side)`."""
    top, left = torch.randint(pictures.shape[1] - side + 1, (2, len(which)), device=pictures.device)
    span = torch.arange(side, device=pictures.device)
    rows, columns = (top[:, None] + span)[:, :, None], (left[:, None] + span)[:, None, :]
    return pictures[which[:, None, None], rows, columns].permute(0, 3, 1, 2)


class OnGPU:
    """Photos on the GPU, degraded there; half of the time the more detailed of two places is taken.

    Args:
        photos: `(N, H, H, 3)` bytes.
        recipe: Its degradation is `gaussian-noise`, `vivid-mosaic` or `bicubic`.
    """

    def __init__(self, photos: Tensor, recipe: Recipe) -> None:
        self.photos, self.recipe, self.device = photos, recipe, photos.device
        if recipe.degradation == "bicubic":
            self.scale = round(recipe.level_low or 1)
            side = recipe.crop + 4  # the kernel reaches two pixels of the smaller picture
            columns = np.eye(side * self.scale)[:, None]  # what reducing them one by one gives is its matrix
            self.matrix = torch.from_numpy(imresize(columns, 1 / self.scale)[:, 0]).float().to(self.device)

    def batch(self, size: int) -> tuple[Tensor, Tensor]:
        crop, kind = self.recipe.crop, self.recipe.degradation
        if kind == "bicubic":
            x = self.photographed(size, (crop + 4) * self.scale)
            inner = slice(2 * self.scale, -2 * self.scale)
            return x[..., inner, inner] / 255, self.reduced(x)[..., 2:-2, 2:-2] / 255
        x = self.photographed(size, crop) / 255
        if kind == "gaussian-noise":
            assert self.recipe.levels is not None
            return x, x + torch.randn_like(x) * self.uniform(size, *self.recipe.levels) / 255
        assert kind == "vivid-mosaic", f"{kind} is made by processes"
        grey, gain = x.mean(1, keepdim=True), self.uniform(size, 0, math.log(4)).exp()
        vivid = ((grey + gain * (x - grey)).clamp(0, 1) * 255).round() / 255
        order = torch.rand(size, 3, device=self.device).argsort(1)
        vivid = vivid.gather(1, order[:, :, None, None].expand_as(vivid))
        x = torch.where(self.uniform(size, 0, 1) < 1 / 3, x, vivid)
        seen = torch.zeros_like(x)
        for place, colour in enumerate((0, 1, 1, 2)):  # RGGB
            cell = np.s_[:, colour, place // 2 :: 2, place % 2 :: 2]
            seen[cell] = x[cell]
        return x, seen

    def photographed(self, size: int, side: int) -> Tensor:
        """`(size, 3, side, side)` of the photos, 0 to 255."""
        which = torch.randint(len(self.photos), (size,), device=self.device)
        first, second = (cut(self.photos, which, side).float() for _ in range(2))
        better = (detail(second) > detail(first)) & (torch.rand(size, device=self.device) < 0.5)
        return turned(torch.where(better[:, None, None, None], second, first))

    def reduced(self, x: Tensor) -> Tensor:
        """As `degradations.imresize` of bytes, rows first."""
        x = (self.matrix @ x + 0.5).floor().clamp(0, 255)
        return (x @ self.matrix.T + 0.5).floor().clamp(0, 255)

    def uniform(self, size: int, low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(size, 1, 1, 1, device=self.device)

    def close(self) -> None:
        pass


def detail(x: Tensor) -> Tensor:
    """How much neighbours differ, `(B,)`, as `restore.data` looks at it."""
    green = x[:, 1, ::2, ::2]
    return green.diff(dim=1).abs().mean((1, 2)) + green.diff(dim=2).abs().mean((1, 2))


class ByProcesses:
    """Pairs that processes make by any recipe, in a pool on the GPU; a new one takes the place of the oldest."""

    def __init__(self, data: Data, recipe: Recipe, workers: int, device: torch.device) -> None:
        self.crop, self.device, self.pool, self.made = recipe.crop, device, torch.empty(0), 0
        self.is_upright = TASKS[recipe.task].is_upright
        processes = torch.multiprocessing.get_context("spawn")
        self.ring = torch.empty(SLOTS, POOLED, POOLED, 6, dtype=torch.float16).share_memory_()
        self.free, self.ready = processes.Queue(), processes.Queue()
        for slot in range(SLOTS):
            self.free.put(slot)
        self.workers = [
            processes.Process(
                target=_make, args=(data, recipe, number, workers, self.ring, self.free, self.ready), daemon=True
            )
            for number in range(workers)
        ]
        for worker in self.workers:
            worker.start()

    def batch(self, size: int) -> tuple[Tensor, Tensor]:
        if not len(self.pool):
            self.pool = torch.empty(POOL, POOLED, POOLED, 6, dtype=torch.float16, device=self.device)
        self.take(8)
        while self.made < FEWEST:
            time.sleep(0.02)
            self.take(SLOTS)
        which = torch.randint(min(self.made, POOL), (size,), device=self.device)
        pairs = turned(cut(self.pool, which, self.crop), is_upright=self.is_upright).float()
        return pairs[:, :3], pairs[:, 3:]

    def take(self, most: int) -> None:
        """Move up to so many new pairs into the pool."""
        for _ in range(most):
            try:
                slot = self.ready.get_nowait()
            except queue.Empty:
                return
            self.pool[self.made % POOL].copy_(self.ring[slot])
            self.free.put(slot)
            self.made += 1

    def close(self) -> None:
        for worker in self.workers:
            worker.kill()


def _make(data: Data, recipe: Recipe, number: int, step: int, ring: Tensor, free: Any, ready: Any) -> None:
    """Fill free slots with the pairs `number`, `number + step`, ... of the recipe."""
    cv2.setNumThreads(1)
    folder, pairs = data
    whole = dataclasses.replace(recipe, crop=POOLED, held_out=0)
    crops, _, _ = load(whole, 1, folder, pairs if recipe.task == "derain" else None)
    while True:
        slot = free.get()
        ring[slot] = torch.from_numpy(np.concatenate(crops[number])).permute(1, 2, 0)
        ready.put(slot)
        number += step


def train(job: Job, source: Source, end: float, run: Path, device: torch.device) -> None:
    """Train until `end` (of `time.time`)."""
    recipe = job.resolved()
    torch.manual_seed(job.seed)
    network, _ = checkpoints.load(job.weights)
    network.to(device, memory_format=torch.channels_last).train()
    average = copy.deepcopy(network)
    optimizer = optimizer_of(
        recipe.optimizer, network.parameters(), lr=recipe.learning_rate, betas=(recipe.beta1, recipe.beta2),
        weight_decay=recipe.weight_decay,
    )  # fmt: skip
    precision = getattr(torch, recipe.precision)
    scaler = torch.amp.GradScaler(device.type, init_scale=4096, growth_interval=500, enabled=precision is torch.float16)
    loss_function = loss_of(recipe.loss, recipe.edge_weight)
    begin, saved, step, slower = time.time(), time.time(), 0, 1.0
    total, summed, best = torch.zeros((), device=device), 0, math.inf
    parts = network, average, optimizer
    states = [copy.deepcopy(part.state_dict()) for part in parts]
    uses_rmse = False
    run.mkdir(parents=True, exist_ok=True)
    with (run / "log.jsonl").open("w", buffering=1, encoding="utf-8") as log:
        while (now := time.time()) < end:
            share = (now - begin) / (end - begin)
            if share >= job.rmse_from and not uses_rmse:
                uses_rmse, best, summed = True, math.inf, 0
                total.zero_()
            rate = slower * recipe.learning_rate * min(1, share / 0.03) * 0.5 * (1 + math.cos(math.pi * share))
            for group in optimizer.param_groups:
                group["lr"] = rate
            references, inputs = source.batch(recipe.batch)
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(device.type, precision, enabled=precision is not torch.float32):
                restored = network(inputs)
            loss = rmse(restored.float(), references) if uses_rmse else loss_function(restored.float(), references)
            scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(network.parameters(), recipe.clip_norm)
            scaler.step(optimizer)
            scaler.update()
            step, summed = step + 1, summed + 1
            total += loss.detach()
            training._update_average(average, network, min(recipe.ema, (1 + step) / (10 + step)))
            if step % CHECK_EVERY == 0:
                mean, summed = total.item() / summed, 0
                total.zero_()
                log.write(
                    json.dumps({"step": step, "seconds": now - begin, "loss": mean, "learning_rate": rate}) + "\n"
                )
                if mean < 1.6 * best:
                    best = min(best, mean)
                    states = [copy.deepcopy(part.state_dict()) for part in parts]
                else:
                    slower /= 2
                    for part, state in zip(parts, states, strict=True):
                        part.load_state_dict(copy.deepcopy(state))
            if now - saved > SAVE_SECONDS:
                save(run, average, recipe, step)
                saved = now
        save(run, average, recipe, step)
    torch.save({"seconds": time.time() - begin}, run / "state.pt")  # what scripts/bundle_weights.py asks for


def save(run: Path, average: Network, recipe: Recipe, step: int) -> None:
    shown = json.dumps(dataclasses.asdict(dataclasses.replace(recipe, steps=step)))
    metadata = {"task": recipe.task, "step": str(step), "recipe": shown}
    checkpoints.save(run / "last.safetensors", average, recipe.network, metadata)


def run_lane(jobs: list[Job], data: Data, out: Path, start: float, seconds: float) -> None:
    """Train the jobs of a lane one after the other; those that fail leave their time to nobody."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    made = {
        job: ByProcesses(data, job.resolved(), job.workers, device) for job in jobs if job.workers
    }  # all from the start: what they make in advance is there when their job begins
    on_gpu = None if len(made) == len(jobs) else squares(data[0]).to(device)
    end = start
    for job in jobs:
        end += seconds * job.share / sum(other.share for other in jobs)
        source: Source = made[job] if on_gpu is None or job.workers else OnGPU(on_gpu, job.resolved())
        try:
            train(job, source, end, out / job.recipe, device)
        except Exception as failure:
            print(f"{job.recipe}: {failure!r}", flush=True)
        source.close()


def squares(folder: Path) -> Tensor:
    """The photos of a folder that are 512x512 pixels: `(N, 512, 512, 3)` bytes."""
    photos = check_photos(list_pictures(folder))
    return torch.from_numpy(np.stack([p.pixels for p in photos if p.shape == (PHOTO, PHOTO, 3)]))


def main(
    plan: Annotated[Path, typer.Argument(help="TOML file of [[job]], each with the fields of Job.")],
    photos: Annotated[Path, typer.Argument(help="Folder of clean photographs.")],
    out: Annotated[Path, typer.Argument(help="A folder is written into it for each job.")],
    seconds: Annotated[float, typer.Option(help="For all, with what the start takes.")] = 550,
    clean: Annotated[Path | None, typer.Option(help="Folder of clean pictures of pairs, for rain.")] = None,
    degraded: Annotated[Path | None, typer.Option(help="Folder of their rainy pictures, of the same names.")] = None,
    lane: Annotated[int | None, typer.Option(hidden=True)] = None,
    start: Annotated[float, typer.Option(hidden=True)] = 0,
) -> None:
    if (clean is None) != (degraded is None):
        raise typer.BadParameter("--clean and --degraded go together")
    jobs = [Job(**fields) for fields in tomllib.loads(plan.read_text(encoding="utf-8"))["job"]]
    if lane is not None:
        pairs = (clean, degraded) if clean and degraded else None
        run_lane([job for job in jobs if job.lane == lane], (photos, pairs), out, start, seconds)
        return
    start = time.time()
    check_photos(list_pictures(photos))  # decodes them for all
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    lanes = [
        subprocess.Popen([sys.executable, *sys.argv, f"--seconds={seconds}", f"--lane={lane}", f"--start={start}"],
                         env=environment)
        for lane in sorted({job.lane for job in jobs})
    ]  # fmt: skip
    for process in lanes:
        process.wait()


if __name__ == "__main__":
    typer.run(main)

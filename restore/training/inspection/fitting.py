"""Fits the network behind `restore inspect` on photographs that are degraded as they are drawn."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from restore.datasets.crops import check_photos, rain_layers
from restore.datasets.listing import list_pictures
from restore.datasets.pairs import pair_up
from restore.datasets.photo_cache import Photo
from restore.errors import DataError
from restore.files import whole_file
from restore.inspection.verdict import CLAIMS
from restore.training.inspection.network import InspectionNetwork, to_file
from restore.training.inspection.samples import Sample, samples

NAME = "inspect.npz"
BATCH, RATE, DECAY, LONGEST_MEAN = 32, 2e-3, 1e-3, 0.998
_HELD_EVERY = 12  # photos


@dataclass(frozen=True)
class Report:
    """How far a fit is.

    Attributes:
        step: Batches so far.
        share: Of the time, 0 to 1.
        loss: Mean over the last batches.
    """

    step: int
    share: float
    loss: float


@dataclass(frozen=True)
class Fit:
    """What came out.

    Attributes:
        path: The weights.
        right: For each claim the mean of the shares of true and of false ones that are told on held-out photos.
    """

    path: Path
    right: dict[str, float]


def fit(
    photos: Path, out: Path, *, pairs: tuple[Path, Path] | None, seconds: float, seed: int = 0, workers: int = 0,
    validated: int = 640, on_report: Callable[[Report], None] = lambda _: None,
) -> Fit:  # fmt: skip
    """Train for a time; AdamW with a cosine of the rate, and a running mean of the weights.

    Args:
        photos: Folder of clean photos; every twelfth is held out.
        out: Folder for `inspect.npz`.
        pairs: Folders of clean and of rainy pictures, whose rain is pasted into photos.
        seconds: How long.
        seed: Of the draws; with the same number of steps it gives the same weights.
        workers: Processes that draw; 0 draws in this one.
        validated: Crops of held-out photos that `Fit.right` is measured on.
        on_report: Called after every 100 batches.

    Raises:
        DataError: There are fewer than 24 photos, or one cannot be read.
    """
    paths = list_pictures(photos)
    if len(paths) < 2 * _HELD_EVERY:
        raise DataError(f"{photos} has {len(paths)} photos", hint=f"give at least {2 * _HELD_EVERY}")
    decoded = check_photos(paths)
    held = decoded[::_HELD_EVERY]
    used = [photo for k, photo in enumerate(decoded) if k % _HELD_EVERY]
    layers = rain_layers(pair_up(*pairs)) if pairs else []
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    network, mean = InspectionNetwork(), InspectionNetwork()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=DECAY)
    start, total = time.monotonic(), 0.0
    for step, (crops, targets) in enumerate(_batches(used, layers, seed, workers), 1):
        share = min(1.0, (time.monotonic() - start) / seconds)
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1, step / 100) * (1 + math.cos(math.pi * share)) / 2
        loss = loss_of(network(crops.contiguous(memory_format=torch.channels_last)), targets)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        _average(mean, network, min(LONGEST_MEAN, step / (step + 10)))
        total += loss.item()
        if step % 100 == 0:
            on_report(Report(step, share, total / 100))
            total = 0.0
            _save(mean, out)
        if share == 1:
            break
    return Fit(_save(mean, out), validate(mean, held, layers, seed, validated))


def loss_of(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy of the claims and smooth L1 of the levels, over what is known."""
    known = ~torch.isnan(targets)
    wanted = torch.nan_to_num(targets)
    n = len(CLAIMS)
    claims = nn.functional.binary_cross_entropy_with_logits(
        outputs[:, :n], (wanted[:, :n] > 0).float(), reduction="none"
    )
    levels = nn.functional.smooth_l1_loss(outputs[:, n:], wanted[:, n:], reduction="none", beta=0.1)
    return ((claims * known[:, :n]).sum() * 4 / n + (levels * known[:, n:]).sum()) / len(outputs)


def validate(
    network: InspectionNetwork, held: Sequence[Photo], layers: Sequence[NDArray[np.uint8]], seed: int, count: int
) -> dict[str, float]:
    """`Fit.right` on crops of held-out photos."""
    network.eval()
    batches = itertools.islice(_batches(held, layers, seed + 1, 0), count // BATCH)
    with torch.inference_mode():
        rows = [(network(crops)[:, : len(CLAIMS)], targets[:, : len(CLAIMS)]) for crops, targets in batches]
    says, wanted = (torch.cat(part) for part in zip(*rows, strict=True))
    right = {}
    for k, name in enumerate(CLAIMS):
        shares = [((says[:, k] > 0) == is_true)[wanted[:, k] == (1 if is_true else -1)] for is_true in (True, False)]
        right[name] = float(np.mean([part.float().mean() for part in shares if len(part)]))
    return right


class _Stream(torch.utils.data.IterableDataset[Sample]):
    """`samples`, for the processes of a loader."""

    def __init__(self, photos: Sequence[Photo], layers: Sequence[NDArray[np.uint8]], seed: int) -> None:
        self.photos, self.layers, self.seed = photos, layers, seed

    def __iter__(self) -> Iterator[Sample]:
        worker = torch.utils.data.get_worker_info()
        return samples(self.photos, self.layers, np.random.default_rng([self.seed, worker.id if worker else 0]))


def _batches(
    photos: Sequence[Photo], layers: Sequence[NDArray[np.uint8]], seed: int, workers: int
) -> Iterator[tuple[Tensor, Tensor]]:
    for crops, targets in torch.utils.data.DataLoader(_Stream(photos, layers, seed), BATCH, num_workers=workers):
        yield crops.permute(0, 3, 1, 2), targets


def _average(mean: InspectionNetwork, network: InspectionNetwork, keep: float) -> None:
    for old, new in zip(mean.state_dict().values(), network.state_dict().values(), strict=True):
        if old.is_floating_point():
            old.lerp_(new, 1 - keep)
        else:
            old.copy_(new)


def _save(network: InspectionNetwork, out: Path) -> Path:
    with whole_file(out / NAME) as temporary:
        temporary.write_bytes(to_file(network))
    return out / NAME

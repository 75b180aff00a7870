"""Perceptual distances of two pictures, LPIPS and DISTS, by torchmetrics (`pip install 'restore-photos[perceptual]'`).

Both compare features of a network that was trained on ImageNet: AlexNet (LPIPS) or VGG-16 (DISTS). torchmetrics holds
the small trained parts; torchvision downloads the network from download.pytorch.org once, into the folder of torch.hub.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from restore.degradations import Image
from restore.errors import DataError, RestoreError, UsageError, check_choice
from restore.evaluation.metrics import DISTANCES

if TYPE_CHECKING:
    from restore.evaluation.scoring import Distance

_NETWORKS = {"lpips": "AlexNet (244 MB)", "dists": "VGG-16 (553 MB)"}
_SMALLEST = 31  # side in pixels that AlexNet takes


def distances(names: Sequence[str], device: str | torch.device = "cpu") -> dict[str, Distance]:
    """The functions that measure distances, by name.

    Args:
        names: Keys of `DISTANCES`.
        device: Where the networks run.

    Raises:
        UsageError: A name is unknown, or the packages are not installed.
        RestoreError: A network cannot be downloaded or read.
    """
    found: dict[str, Distance] = {}
    for name in names:
        check_choice("metric", name, DISTANCES)
        network = _built(name).to(device)
        found[name] = _measuring(name, network, torch.device(device))
    return found


def _built(name: str) -> torch.nn.Module:
    try:
        build = _builder(name)
    except (ImportError, RuntimeError, OSError) as error:  # a torchvision for another torch may not load
        raise UsageError(
            f"{DISTANCES[name]} needs torchmetrics and torchvision: {error}".splitlines()[0],
            hint="pip install 'restore-photos[perceptual]'",
        ) from None
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    try:
        network: torch.nn.Module = build()
        return network.eval().requires_grad_(False)
    except ModuleNotFoundError:
        raise UsageError(
            f"{DISTANCES[name]} needs torchvision", hint="pip install 'restore-photos[perceptual]'"
        ) from None
    except (OSError, HTTPException, RuntimeError) as error:  # no network (URLError), a full disk, another hash
        raise RestoreError(
            f"cannot load the network of {DISTANCES[name]}, {_NETWORKS[name]}: {error}".splitlines()[0],
            hint=f"torchvision downloads it once; without a network, copy {folder} from a machine that has it",
        ) from error


def _builder(name: str) -> Callable[[], Any]:
    """What builds the network that takes two batches in [0, 1] and returns their distance.

    Raises:
        ImportError: torchmetrics is missing, or torchvision does not fit the installed torch.
    """
    if name == "dists":
        # The metric of torchmetrics loads the network for every picture.
        from torchmetrics.functional.image.dists import DISTSNetwork

        return DISTSNetwork
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    return lambda: LearnedPerceptualImagePatchSimilarity("alex", normalize=True)


def _measuring(name: str, network: torch.nn.Module, device: torch.device) -> Distance:
    def measure(restored: Image, clean: Image) -> float:
        if min(clean.shape[:2]) < _SMALLEST:
            size = f"{clean.shape[1]}x{clean.shape[0]}"
            raise DataError(f"perceptual metrics need sides of at least {_SMALLEST} pixels, not {size}")
        with torch.inference_mode():
            distance = float(network(*(_batch(picture).to(device) for picture in (restored, clean))))
        if name == "lpips":
            cast(Any, network).reset()  # a metric of torchmetrics keeps every value
        return distance

    return measure


def _batch(picture: Image) -> torch.Tensor:
    """The 8-bit picture, 1 is white; (1, 3, H, W)."""
    levels = np.round(np.clip(picture, 0, 1) * 255).astype(np.float32) / np.float32(255)
    return torch.from_numpy(np.ascontiguousarray(levels.transpose(2, 0, 1)[None]))

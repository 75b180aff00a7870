"""The one function that scores: for `restore eval`, for validation during training, and for the model cards."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean
from types import MappingProxyType
from typing import Literal

import numpy as np
import torch

from restore.datasets.pairs import Pair
from restore.degradations import Image, imresize
from restore.errors import DataError
from restore.evaluation.protocols import PROTOCOLS
from restore.images import Picture
from restore.inference.exposure import Exposure
from restore.inference.restorer import Restorer

Answer = Callable[[Pair], Image]  # pair -> restored picture: (scale * H, scale * W, 3), any range
Distance = Callable[[Image, Image], float]  # restored or degraded picture, clean one; (H, W, 3), 1 is white


@dataclass(frozen=True)
class PictureScore:
    """The scores of one picture, before (`input_`) and after restoration; NaN for what was not asked for.

    Attributes:
        name: What the tables call it.
        psnr, ssim: By the protocol; PSNR in dB.
        lpips, dists: Perceptual distances; 0 for equal pictures.
        seconds: What restoring it took.
        megapixels: Size of the degraded picture.
    """

    name: str
    input_psnr: float
    input_ssim: float
    psnr: float
    ssim: float
    input_lpips: float = math.nan
    lpips: float = math.nan
    input_dists: float = math.nan
    dists: float = math.nan
    seconds: float = math.nan
    megapixels: float = math.nan


@dataclass(frozen=True)
class Scores:
    """Scores of the pictures of a set, by one protocol (key of `PROTOCOLS`)."""

    protocol: str
    pictures: tuple[PictureScore, ...]

    def mean(self, field: str) -> float:
        """The mean of one field of `PictureScore`, over the pictures where it is finite; infinity where none is.

        A picture that equals the clean one has an infinite PSNR, which would hide the others.
        """
        values = [getattr(p, field) for p in self.pictures]
        return fmean([value for value in values if value != math.inf] or values)

    def infinite(self, field: str) -> int:
        """How many pictures have an infinite value of this field: those that equal the clean picture."""
        return sum(getattr(p, field) == math.inf for p in self.pictures)

    @property
    def seconds_per_megapixel(self) -> float | None:
        """Seconds to restore 10^6 pixels of the degraded pictures, over those that were timed; None if none was."""
        timed = [p for p in self.pictures if math.isfinite(p.seconds)]
        return sum(p.seconds for p in timed) / sum(p.megapixels for p in timed) if timed else None


_AS_THEY_ARE = Exposure(white=1.0, limit=math.inf, passes_excess=False)  # noise is beyond black and white


def restoring(
    restorer: Restorer,
    *,
    tile: int | Literal["auto"] | None = None,
    overlap: int = 32,
    self_ensemble: bool = False,
) -> Answer:
    """A model as `evaluate` calls it.

    The precision `auto` means that of 8-bit files, which is what the commands restore.

    Args:
        restorer: The model. It gets a picture of three equal channels as a grey one, as from a grey file.
        tile: None restores whole pictures, as the papers do; else as in `Restorer.restore_picture`.
        overlap: Pixels that neighbouring tiles share.
        self_ensemble: As in `Restorer.restore_tensor`.
    """
    precision = restorer.precision_for(np.uint8)

    def answer(pair: Pair) -> Image:
        degraded = np.ascontiguousarray(pair.degraded, np.float32)
        if not np.ptp(degraded, axis=-1).any():
            degraded = degraded[..., :1]
        if tile is None:
            batch = torch.from_numpy(degraded.transpose(2, 0, 1)[None].copy())
            whole = restorer.restore_tensor(batch, self_ensemble=self_ensemble, precision=precision)
            restored = whole[0].permute(1, 2, 0).cpu().numpy()
        else:
            restored = restorer.restore_picture(
                Picture(degraded), tile=tile, overlap=overlap, self_ensemble=self_ensemble, precision=precision,
                exposure=_AS_THEY_ARE,
            ).picture.pixels  # fmt: skip
        return np.broadcast_to(restored, (*restored.shape[:2], 3))

    return answer


def evaluate(
    restorer: Restorer | Answer | None,
    pairs: Iterable[Pair],
    *,
    protocol: str = "rgb",
    with_ssim: bool = True,
    on_picture: Callable[[PictureScore], None] | None = None,
) -> Scores:
    """Restore every degraded picture and compare it with the clean one.

    For the score of the input, a degraded picture that is smaller than the clean one is enlarged by `imresize`.

    Args:
        restorer: A model (it restores whole pictures), or any function from a pair to a restored picture, such as
            `restoring` makes. None scores the degraded pictures only.
        pairs: The pictures.
        protocol: Key of `PROTOCOLS`.
        with_ssim: Compute SSIM; it is NaN otherwise.
        on_picture: Called with each score as soon as it is known.

    Raises:
        DataError: There is no picture, one is too small for the protocol, or a restored one has the wrong size.
    """
    answer = restoring(restorer) if isinstance(restorer, Restorer) else restorer
    scores = []
    for pair in pairs:
        restored = None if answer is None else answer(pair)
        score = score_of(pair, restored, protocol=protocol, with_ssim=with_ssim)
        scores.append(score)
        if on_picture:
            on_picture(score)
    if not scores:
        raise DataError("there is no picture to score")
    return Scores(protocol, tuple(scores))


def score_of(
    pair: Pair,
    restored: Image | None,
    *,
    protocol: str = "rgb",
    with_ssim: bool = True,
    distances: Mapping[str, Distance] = MappingProxyType({}),
) -> PictureScore:
    """Compare the degraded and the restored picture with the clean one.

    Args:
        pair, protocol, with_ssim: As for `evaluate`.
        restored: Its shape is that of the clean picture. None: the degraded one, enlarged, stands for it.
        distances: Other metrics by name (fields of `PictureScore`); they compare 8-bit RGB, whatever the protocol.

    Raises:
        DataError: The picture is too small for a metric, or the restored one has the wrong size.
    """
    compared = PROTOCOLS[protocol]
    height, width = pair.clean.shape[:2]
    scale = height // pair.degraded.shape[0]
    smallest = compared.smallest_side(scale, with_ssim=with_ssim)
    if min(height, width) < smallest:
        what = "window of SSIM" if compared.block == 0 else f"blocks of {protocol!r}"
        raise DataError(f"{pair.name!r} is smaller than the {what}", hint=f"each side needs {smallest} pixels")
    if restored is not None and restored.shape[:2] != (height, width):
        raise DataError(
            f"{pair.name!r} is {width}x{height} clean and {restored.shape[1]}x{restored.shape[0]} restored",
            hint="use --scale for upscaling weights, and only for those",
        )
    enlarged = _enlarged(pair.degraded, scale)
    before = compared.compare(enlarged, pair.clean, scale=scale, with_ssim=with_ssim)
    after = before
    if restored is not None:
        after = compared.compare(restored, pair.clean, scale=scale, with_ssim=with_ssim)
    more = {}
    for name, distance in distances.items():
        more[f"input_{name}"] = more[name] = distance(enlarged, pair.clean)
        if restored is not None:
            more[name] = distance(restored, pair.clean)
    return PictureScore(pair.name, *before, *after, **more)


def _enlarged(picture: Image, scale: int) -> Image:
    if scale == 1:
        return picture
    levels = np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    enlarged: Image = imresize(levels, scale).astype(np.float32) / np.float32(255)
    return enlarged

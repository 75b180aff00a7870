"""The one function that scores: for `restore eval`, for validation during training, and for the model cards."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import fmean
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


@dataclass(frozen=True)
class PictureScore:
    """PSNR in dB and SSIM of one picture, before (`input_`) and after restoration."""

    name: str
    input_psnr: float
    input_ssim: float
    psnr: float
    ssim: float


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
    compared = PROTOCOLS[protocol]
    answer = restoring(restorer) if isinstance(restorer, Restorer) else restorer
    scores = []
    for pair in pairs:
        height, width = pair.clean.shape[:2]
        scale = height // pair.degraded.shape[0]
        smallest = compared.smallest_side(scale, with_ssim=with_ssim)
        if min(height, width) < smallest:
            what = "window of SSIM" if compared.block == 0 else f"blocks of {protocol!r}"
            raise DataError(f"{pair.name!r} is smaller than the {what}", hint=f"each side needs {smallest} pixels")
        before = compared.compare(_enlarged(pair.degraded, scale), pair.clean, scale=scale, with_ssim=with_ssim)
        after = before
        if answer is not None:
            restored = answer(pair)
            if restored.shape[:2] != (height, width):
                raise DataError(
                    f"{pair.name!r} is {width}x{height} clean and {restored.shape[1]}x{restored.shape[0]} restored",
                    hint="use --scale for upscaling weights, and only for those",
                )
            after = compared.compare(restored, pair.clean, scale=scale, with_ssim=with_ssim)
        score = PictureScore(pair.name, *before, *after)
        scores.append(score)
        if on_picture:
            on_picture(score)
    if not scores:
        raise DataError("there is no picture to score")
    return Scores(protocol, tuple(scores))


def _enlarged(picture: Image, scale: int) -> Image:
    if scale == 1:
        return picture
    levels = np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    enlarged: Image = imresize(levels, scale).astype(np.float32) / np.float32(255)
    return enlarged

"""The one function that scores a model: for `restore eval`, validation during training, and the model cards."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np
import torch

from restore.data import Pair
from restore.errors import DataError
from restore.metrics import PROTOCOLS, SSIM_WINDOW, psnr, ssim

if TYPE_CHECKING:
    from restore.restorer import Restorer


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
    """Scores of every picture of a set, and their means; `protocol` is a key of `PROTOCOLS`."""

    protocol: str
    pictures: tuple[PictureScore, ...]

    def mean(self, field: str) -> float:
        """The mean of one field of `PictureScore` over the pictures."""
        return fmean(getattr(p, field) for p in self.pictures)


def evaluate(
    restorer: Restorer | None,
    pairs: Iterable[Pair],
    *,
    protocol: str = "rgb",
    with_ssim: bool = True,
    on_picture: Callable[[PictureScore], None] | None = None,
) -> Scores:
    """Restore every degraded picture whole, clip and round it to 8 bits, and compare it with the clean one.

    Args:
        restorer: None scores the degraded pictures as they are.
        pairs: The pictures.
        protocol: Key of `PROTOCOLS`.
        with_ssim: SSIM is NaN where it is left out.
        on_picture: Called with each score as it is known.

    Raises:
        DataError: There is not one picture, or one that is too small for SSIM.
    """
    prepare = PROTOCOLS[protocol].prepare
    scores = []
    for pair in pairs:
        if with_ssim and min(pair.clean.shape[:2]) < SSIM_WINDOW:
            raise DataError(
                f"{pair.name!r} is smaller than the window of SSIM", hint=f"sides of {SSIM_WINDOW} pixels are needed"
            )
        restored = pair.degraded
        if restorer is not None:
            batch = torch.from_numpy(pair.degraded.transpose(2, 0, 1)[None].copy())
            restored = restorer.restore_tensor(batch)[0].permute(1, 2, 0).cpu().numpy()
        clean, before, after = (
            prepare(np.round(np.clip(x, 0, 1) * 255)) for x in (pair.clean, pair.degraded, restored)
        )
        score = PictureScore(
            pair.name,
            psnr(before, clean),
            ssim(before, clean) if with_ssim else float("nan"),
            psnr(after, clean),
            ssim(after, clean) if with_ssim else float("nan"),
        )
        scores.append(score)
        if on_picture:
            on_picture(score)
    if not scores:
        raise DataError("there is no picture to score")
    return Scores(protocol, tuple(scores))

"""Protocols: how a restored picture is compared with the clean one. docs/evaluation.md explains them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from restore.evaluation.metrics import SSIM_WINDOW, psnr, ssim, ssim_volume
from restore.images.luma import luma, luma_unrounded


@dataclass(frozen=True)
class Protocol:
    """How a restored picture is compared with the clean one.

    Attributes:
        name: Key of `PROTOCOLS`.
        summary: One line.
        source: The script or paper that uses it.
        colours: Turns RGB in 8-bit units into the channels that are compared.
        similarity: The SSIM that is used.
        is_rounded: Round the restored picture to 8 bits first, as in a file.
        crops_scale: Leave out as many pixels along each border as the scale says.
        block: Side in pixels of the blocks that are scored one by one and averaged; 0 for the whole picture.
    """

    name: str
    summary: str
    source: str
    colours: Callable[[NDArray[np.generic]], NDArray[np.generic]] = lambda picture: picture
    similarity: Callable[[NDArray[np.generic], NDArray[np.generic]], float] = ssim
    is_rounded: bool = True
    crops_scale: bool = False
    block: int = 0

    def compare(
        self, restored: NDArray[np.generic], clean: NDArray[np.generic], *, scale: int = 1, with_ssim: bool = True
    ) -> tuple[float, float]:
        """PSNR in dB and SSIM of two pictures in [0, 1].

        Args:
            restored: `(H, W, 3)`; it is clipped.
            clean: The same shape; it is rounded to 8 bits.
            scale: How many times larger the restored picture is than the degraded one.
            with_ssim: Compute SSIM; it is NaN otherwise.

        Raises:
            ValueError: A side is shorter than `smallest_side`.
        """
        border = scale if self.crops_scale and scale > 1 else 0
        levels = np.clip(np.asarray(restored, np.float64), 0, 1) * 255
        x = self.colours(np.round(levels) if self.is_rounded else levels)
        y = self.colours(np.round(np.clip(clean, 0, 1) * 255))
        rows, columns = (slice(border, side - border) for side in x.shape[:2])
        pairs = list(_blocks(x[rows, columns], y[rows, columns], self.block))
        return (
            fmean(psnr(*pair) for pair in pairs),
            fmean(self.similarity(*pair) for pair in pairs) if with_ssim else float("nan"),
        )

    def smallest_side(self, scale: int = 1, *, with_ssim: bool = True) -> int:
        """The shortest side in pixels that can be scored."""
        window = self.block or (SSIM_WINDOW if with_ssim else 1)
        return window + (2 * scale if self.crops_scale and scale > 1 else 0)


def _blocks(
    x: NDArray[np.generic], y: NDArray[np.generic], side: int
) -> Iterator[tuple[NDArray[np.generic], NDArray[np.generic]]]:
    """Both pictures, or their complete blocks of this side."""
    if not side:
        yield x, y
        return
    for top in range(0, x.shape[0] - side + 1, side):
        for left in range(0, x.shape[1] - side + 1, side):
            rows, columns = slice(top, top + side), slice(left, left + side)
            yield x[rows, columns], y[rows, columns]


PROTOCOLS: dict[str, Protocol] = {
    p.name: p
    for p in (
        Protocol(
            "rgb",
            "8-bit RGB; PSNR over all channels together, SSIM per channel and averaged",
            "PANet sections 4.3 and 4.4, CS-KiT section IV-E",
        ),
        Protocol(
            "rgb-float",
            "as rgb, but the restored picture is not rounded",
            "scripts that compare before they write a file",
            is_rounded=False,
        ),
        Protocol(
            "rgb-matlab",
            "8-bit RGB, SSIM by MATLAB's own ssim of a colour picture",
            "evaluate_gopro_hide.m of MPRNet and Restormer",
            similarity=ssim_volume,
        ),
        Protocol(
            "sidd",
            "RGB in blocks of 256x256, not rounded, SSIM by MATLAB's own ssim; the mean over the blocks",
            "evaluate_SIDD.m of MPRNet",
            similarity=ssim_volume,
            is_rounded=False,
            block=256,
        ),
        Protocol(
            "y",
            "luma of MATLAB's rgb2ycbcr of 8-bit RGB, rounded to 8 bits",
            "evaluate_PSNR_SSIM.m of MPRNet and Restormer; DRSformer for Rain200L, Rain200H and SPA-Data",
            luma,
        ),
        Protocol(
            "luma",
            "grey pictures as they are: the luma that was compressed",
            "PANet section 4.5, as in RNAN and DnCNN",
            lambda picture: picture[..., :1],
        ),
        Protocol(
            "y-float",
            "luma of MATLAB's rgb2ycbcr of 8-bit RGB, not rounded",
            "statistic.m of RCDNet; DRSformer for DID-Data and DDN-Data",
            luma_unrounded,
        ),
        Protocol(
            "y-border",
            "as y, without a border of as many pixels as the scale",
            "PANet section 4.7, as in EDSR and RCAN",
            luma,
            crops_scale=True,
        ),
    )
}

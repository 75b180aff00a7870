"""PSNR and SSIM as the papers' scripts compute them; `PROTOCOLS` names the ways to apply them, docs/evaluation.md why.

Pictures are `(H, W, C)` arrays, RGB, in 8-bit units (0 to 255). Checked against independent implementations (tests).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import fmean

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.images.luma import luma, luma_unrounded

Array = NDArray[np.float64]
SSIM_WINDOW = 11  # side in pixels


def psnr(restored: NDArray[np.generic], clean: NDArray[np.generic]) -> float:
    """Peak signal-to-noise ratio in dB over all pixels and channels together; infinity for equal pictures.

    >>> round(psnr(np.full((2, 2, 3), 10), np.full((2, 2, 3), 15)), 3)
    34.151
    """
    error = np.mean(np.square(np.asarray(restored, np.float64) - np.asarray(clean, np.float64)))
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


def ssim(restored: NDArray[np.generic], clean: NDArray[np.generic]) -> float:
    """Structural similarity (Wang et al., IEEE TIP 2004): each channel on its own, then averaged.

    Gaussian window 11x11 of sigma 1.5, K = (0.01, 0.03), L = 255, only where the window fits, as in the authors'
    `ssim_index.m`.

    Raises:
        ValueError: A side is under `SSIM_WINDOW`.
    """
    x, y = _pair(restored, clean)
    window, margin = cv2.getGaussianKernel(SSIM_WINDOW, 1.5), SSIM_WINDOW // 2

    def mean(values: Array) -> Array:
        filtered = cv2.sepFilter2D(values, -1, window, window).astype(np.float64, copy=False)
        return np.atleast_3d(filtered)[margin:-margin, margin:-margin]

    return _similarity(x, y, mean)


def ssim_volume(restored: NDArray[np.generic], clean: NDArray[np.generic]) -> float:
    """What MATLAB's own `ssim` says of an RGB array: it takes the channels for the third axis of a volume.

    Its Gaussian window of sigma 1.5 is 11x11x11, edges are repeated, and the whole area counts. The rest is as in
    `ssim`. Scores of colour pictures come out higher; the tables for GoPro, HIDE and SIDD hold these.

    Raises:
        ValueError: A side is under `SSIM_WINDOW`.
    """
    x, y = _pair(restored, clean)
    window = cv2.getGaussianKernel(SSIM_WINDOW, 1.5)
    channels = x.shape[2]
    mix = np.zeros((channels, channels))  # of the channels, the first and last of which are repeated
    for channel in range(channels):
        for tap, weight in enumerate(window[:, 0], -(SSIM_WINDOW // 2)):
            mix[min(max(channel + tap, 0), channels - 1), channel] += weight

    def mean(values: Array) -> Array:
        flat = cv2.sepFilter2D(values, -1, window, window, borderType=cv2.BORDER_REPLICATE)
        mixed: Array = np.atleast_3d(flat) @ mix
        return mixed

    return _similarity(x, y, mean)


def _pair(restored: NDArray[np.generic], clean: NDArray[np.generic]) -> tuple[Array, Array]:
    x, y = (np.atleast_3d(np.asarray(p, np.float64)) for p in (restored, clean))
    if min(x.shape[:2]) < SSIM_WINDOW:
        raise ValueError(f"SSIM needs sides of at least {SSIM_WINDOW} pixels, not {x.shape[0]}x{x.shape[1]}")
    return x, y


def _similarity(x: Array, y: Array, mean: Callable[[Array], Array]) -> float:
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    return float(np.mean((2 * mx * my + c1) * (2 * cov + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))))


@dataclass(frozen=True)
class Protocol:
    """How a restored picture is compared with the clean one.

    Attributes:
        name: Key of `PROTOCOLS`.
        summary: One line.
        source: The script or paper that compares so.
        colours: What is made of RGB, in 8-bit units, before the comparison.
        similarity: The SSIM.
        is_rounded: The restored picture is rounded to 8 bits first, as a file holds it.
        crops_scale: As many pixels as the enlargement are left out along every border.
        block: Side of the blocks that are scored one by one and averaged; 0 for the whole picture.
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
        """PSNR in dB and SSIM (NaN where it is left out) of pictures in [0, 1].

        Args:
            restored: `(H, W, 3)`; it is clipped.
            clean: The same; always taken as an 8-bit file holds it.
            scale: Of the enlargement.
            with_ssim: Whether SSIM is wanted.

        Raises:
            ValueError: What is compared is smaller than `smallest_side` asks for.
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
    """Both pictures, or their whole blocks."""
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
            "8-bit RGB; PSNR over all channels together, SSIM a channel and averaged",
            "PANet sections 4.3 and 4.4, CS-KiT section IV-E",
        ),
        Protocol(
            "rgb-float",
            "the same, the restored picture clipped but not rounded",
            "scripts that compare before they write a file",
            is_rounded=False,
        ),
        Protocol(
            "rgb-matlab",
            "8-bit RGB, SSIM as MATLAB's own ssim computes it of colour",
            "evaluate_gopro_hide.m of MPRNet and Restormer",
            similarity=ssim_volume,
        ),
        Protocol(
            "sidd",
            "RGB in blocks of 256x256, clipped but not rounded, SSIM as MATLAB's own; the mean over the blocks",
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
            "grey pictures as they are: the plane of luma that was compressed",
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
            "as y, without a border as wide as the enlargement",
            "PANet section 4.7, as in EDSR and RCAN",
            luma,
            crops_scale=True,
        ),
    )
}

"""JPEG compression of colour, grey, and luma as the papers score it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from restore.degradations.base import Degradation, Draw, Image, check_level, takes_picture
from restore.images.luma import luma

_CHROMA = {True: cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420, False: cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444}


@takes_picture
def jpeg(clean: Image, quality: int, *, chroma_subsampling: bool = True) -> Image:
    """Encode and decode as JPEG of `quality` 1 to 100, 4:2:0 or 4:4:4.

    The encoder is libjpeg-turbo through OpenCV. It gives the pixels of Pillow's `save(quality=...)` in a quarter of
    the time.

    Raises:
        UsageError: The picture or the quality is not one.
    """
    return _coded(as_bytes(clean), quality, chroma_subsampling).astype(np.float32) / np.float32(255)


@takes_picture
def jpeg_luma(clean: Image, quality: int) -> tuple[Image, Image]:
    """Luma, and luma as a grey JPEG of `quality` 1 to 100: `(reference, degraded)`.

    The protocol of the papers on compression artifacts (PANet Section 4.5; RNAN, Zhang et al., ICLR 2019, Section 4.4;
    DnCNN, Zhang et al., IEEE TIP 2017, Section IV-A). A colour picture becomes the Y of MATLAB's `rgb2ycbcr` (16 to
    235); a grey one (three equal channels) stays. MATLAB's encoder has the same tables as libjpeg.

    Returns:
        Grey pictures as three equal channels, `(H, W, 3)`.

    Raises:
        UsageError: The picture or the quality is not one.
    """
    levels = as_bytes(clean)
    is_grey = bool(np.ptp(levels, axis=-1).max() == 0)
    y = np.ascontiguousarray(levels[..., :1]) if is_grey else luma(levels).astype(np.uint8)
    pair = (np.repeat(x.astype(np.float32) / np.float32(255), 3, axis=-1) for x in (y, _coded(y, quality)))
    return next(pair), next(pair)


def colour_jpegs(level: tuple[float, float]) -> Draw:
    """JPEG with a random whole quality in `level`: 75 % with 4:2:0, 25 % with 4:4:4.

    Programs and the web use 4:2:0; many programs offer 4:4:4 for high quality.
    """

    def draw(generator: Generator) -> Degradation:
        quality, subsampling = _quality(generator, level), generator.random() < 0.75
        return Degradation(lambda x, _: (x, jpeg(x, quality, chroma_subsampling=subsampling)), grid=16)

    return draw


@takes_picture
def jpeg_grey(clean: Image, quality: int) -> tuple[Image, Image]:
    """The picture in grey (ITU-R BT.601 luma, 0 to 255), and the same as a grey JPEG: `(reference, degraded)`.

    Programs save black-and-white pictures like this. `jpeg_luma`, from 16 to 235, is the papers' protocol.

    Returns:
        Grey pictures as three equal channels, `(H, W, 3)`.

    Raises:
        UsageError: The picture or the quality is not one.
    """
    grey: NDArray[np.uint8] = cv2.cvtColor(as_bytes(clean), cv2.COLOR_RGB2GRAY)[..., None].astype(np.uint8, copy=False)
    pair = (np.repeat(x.astype(np.float32) / np.float32(255), 3, axis=-1) for x in (grey, _coded(grey, quality)))
    return next(pair), next(pair)


def grey_jpegs(level: tuple[float, float]) -> Draw:
    """`jpeg_grey` with a random whole quality in `level`."""

    def draw(generator: Generator) -> Degradation:
        quality = _quality(generator, level)
        return Degradation(lambda x, _: jpeg_grey(x, quality), grid=8)

    return draw


def luma_jpegs(level: tuple[float, float]) -> Draw:
    """`jpeg_luma` with a random whole quality in `level`."""

    def draw(generator: Generator) -> Degradation:
        quality = _quality(generator, level)
        return Degradation(lambda x, _: jpeg_luma(x, quality), grid=8)

    return draw


def _quality(generator: Generator, level: tuple[float, float]) -> int:
    return int(generator.integers(round(level[0]), round(level[1]) + 1))


def as_bytes(x: Image) -> NDArray[np.uint8]:
    """A picture in [0, 1] as 8-bit levels, rounded and clipped."""
    return np.round(np.clip(x, 0, 1) * 255).astype(np.uint8)


def _coded(pixels: NDArray[np.uint8], quality: int, chroma_subsampling: bool = True) -> NDArray[np.uint8]:
    """`(H, W, 1 | 3)`, encoded as JPEG and decoded."""
    check_level("quality", quality, 1, 100, is_whole=True)
    is_grey = pixels.shape[2] == 1
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    if not is_grey:
        options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, _CHROMA[chroma_subsampling]]
    encoded = cv2.imencode(".jpg", pixels if is_grey else pixels[..., ::-1], options)[1]
    decoded = cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE if is_grey else cv2.IMREAD_COLOR_RGB)
    assert decoded is not None  # OpenCV has just encoded it
    return decoded.reshape(pixels.shape).astype(np.uint8, copy=False)

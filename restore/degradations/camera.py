"""Noise of simulated cameras: it is added to raw samples, which are then developed into a file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from restore.degradations.base import Degradation, Image, log_uniform
from restore.degradations.shaping import (
    LUMA,
    blotchy,
    blurred,
    enlarged,
    file_format,
    flattened,
    saved,
    sharpened,
)
from restore.images.bayer import mosaic

# sRGB primaries to CIE XYZ (IEC 61966-2-1), and XYZ to the colours of four real cameras (Brooks et al., "Unprocessing
# Images for Learned Raw Denoising", CVPR 2019, Section 3.2: matrices of the DND cameras).
_RGB_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_XYZ_TO_CAMERA = np.array(
    [
        [[1.0234, -0.2969, -0.2266], [-0.5625, 1.6328, -0.0469], [-0.0703, 0.2188, 0.6406]],
        [[0.4913, -0.0541, -0.0202], [-0.6130, 1.3513, 0.2906], [-0.1564, 0.2151, 0.7183]],
        [[0.8380, -0.2630, -0.0639], [-0.2887, 1.0725, 0.2496], [-0.0627, 0.1427, 0.5438]],
        [[0.6596, -0.2079, -0.0562], [-0.4782, 1.3016, 0.1933], [-0.0970, 0.1581, 0.5181]],
    ]
)
ISO_RANGE = (100.0, 12800.0)
# Shot noise variance per unit of signal and ISO, from a full-frame sensor to a phone. At ISO 100 to 12800 the upper end
# is the range 1e-4 to 1.2e-2 that Brooks et al. fit (Section 3.1).
_SHOT_PER_ISO = (2.0e-7, 1.0e-6)
_PHONE_SHOT_PER_ISO = (2.0e-7, 6.0e-7)
# Sigma of luma noise: up to the first the reference has the whole shift of the mean, from the second on none.
_MILD = (6.0, 12.0)
_BINS = 32  # of brightness


@dataclass(frozen=True)
class Camera:
    """One camera, its scene and its processing; `Camera.draw` makes a random one.

    Attributes:
        matrix: `(3, 3)`, RGB with sRGB primaries to camera RGB; rows sum to one.
        gains: Red, green and blue gains of white balance and exposure (>= 0.5).
        gamma: Exponent of the encoding curve.
        contrast: Share of the smoothstep curve in the tone curve that follows, 0 to 1.
        zoom: Enlargement of the scene, at least 1: a camera resolves less than its pixels.
        flatness: Contrast in grey levels below which surfaces of the scene are smoothed (0: none). Most of a
            full-resolution photograph is smoother than a downscaled picture, whose grain would pass for detail.
        shot, read: The variance of the raw noise is `shot * signal + read`, signal in [0, 1].
        has_mosaic: Whether the noise is added to a Bayer mosaic and demosaiced with it.
        balances_first: Whether the variance is that of the signal after the white balance, not before it.
        edge_aware: Demosaic along edges instead of bilinearly.
        softness: Standard deviation in pixels of the lens and anti-aliasing blur before the sensor.
        chroma_noise: Share of the colour noise that the camera leaves; phones often leave none.
        blotches, blotch_size: Extra coarse luma noise in standard deviations of the luma noise, and the blur in pixels
            that makes it.
        colour_blotches, colour_blotch_size: The same in colour: cameras smooth fine colour noise and leave the coarse.
            (In PolyU, detail of 4 to 16 pixels has as much colour noise as detail of 1 to 4 pixels.)
        luma_blur, chroma_blur: In-camera noise reduction, standard deviations in pixels (0: none).
        keeps_edges: Whether that smooths only the noise, or the picture too.
        sharpening, radius: Amount and standard deviation in pixels of the unsharp masking after it.
        resize: Output size over sensor size, at most 1.
        quality: JPEG quality; None: not compressed.
        chroma_subsampling: 4:2:0 instead of 4:4:4.
    """

    matrix: NDArray[np.float64]
    gains: NDArray[np.float64]
    gamma: float
    contrast: float
    zoom: float
    flatness: float
    shot: float
    read: float
    has_mosaic: bool
    balances_first: bool
    edge_aware: bool
    softness: float
    chroma_noise: float
    blotches: float
    blotch_size: float
    colour_blotches: float
    colour_blotch_size: float
    luma_blur: float
    chroma_blur: float
    keeps_edges: bool
    sharpening: float
    radius: float
    resize: float
    quality: int | None
    chroma_subsampling: bool

    @classmethod
    def draw(cls, generator: Generator, iso: float | None = None) -> Camera:
        """A random camera at `iso`, 100 to 12800; None: log-uniform.

        Colour, gains and the read-noise law follow Brooks et al. (Sections 3.1 to 3.4). The processing follows CBDNet
        (Guo et al., CVPR 2019, Section 3.1: demosaicing, response curve, JPEG). Added are noise reduction, sharpening
        and resizing, which make the noise of real files smooth and correlated.
        """
        draw = generator.uniform
        chance = generator.random
        if iso is None:
            iso = log_uniform(generator, *ISO_RANGE)
        mix = generator.dirichlet(np.ones(len(_XYZ_TO_CAMERA)))
        matrix = np.tensordot(mix, _XYZ_TO_CAMERA, 1) @ _RGB_TO_XYZ
        gains = np.array([draw(1.9, 2.4), 1.0, draw(1.5, 1.9)]) / max(0.5, generator.normal(0.8, 0.1))
        shot = iso * log_uniform(generator, *_SHOT_PER_ISO)
        processed = chance() < 0.9
        quality, chroma_subsampling = file_format(generator)
        return cls(
            matrix=matrix / matrix.sum(axis=1, keepdims=True),
            gains=gains,
            gamma=draw(2.0, 2.4),
            contrast=draw(0.5, 1.0) if chance() < 0.9 else 0.0,
            zoom=draw(1.0, 4.0) if chance() < 0.85 else 1.0,
            flatness=draw(4.0, 16.0) if chance() < 0.6 else 0.0,
            shot=shot,
            read=float(np.exp(2.18 * np.log(shot) + 1.2 + generator.normal(0, 0.26))),
            has_mosaic=True,
            balances_first=False,
            edge_aware=chance() < 0.5,
            softness=draw(0.4, 2.0) if chance() < 0.85 else 0.0,
            chroma_noise=draw(*((0.0, 0.3) if chance() < 0.2 else (0.3, 0.6))) if processed else 1.0,
            blotches=draw(0.05, 0.4) if processed and chance() < 0.85 else 0.0,
            blotch_size=draw(1.5, 5.0),
            colour_blotches=draw(0.15, 0.8) if processed and chance() < 0.85 else 0.0,
            colour_blotch_size=log_uniform(generator, 2.0, 8.0),
            luma_blur=draw(0.4, 0.9) if processed and chance() < 0.9 else 0.0,
            chroma_blur=draw(1.5, 6.0) if processed else 0.0,
            keeps_edges=chance() < 0.5,
            sharpening=log_uniform(generator, 0.2, 3.0) if chance() < 0.75 else 0.0,
            radius=draw(0.6, 1.8),
            resize=draw(0.5, 1.0) if chance() < 0.3 else 1.0,
            quality=quality,
            chroma_subsampling=chroma_subsampling,
        )

    def expose(self, clean: Image) -> Image:
        """Raw colours in [0, 1] of the picture's enlarged corner.

        It undoes tone curve, encoding, matrix and white balance (Brooks et al., Section 3).
        """
        x = blurred(flattened(enlarged(clean, self.zoom), self.flatness), self.softness)
        x = np.clip(x, 0, 1)  # rounding in the blur can leave [0, 1]
        if self.contrast:
            steps = np.linspace(0, 1, 1025, dtype=np.float32)
            x = np.interp(x, self._toned(steps), steps).astype(np.float32)
        x = np.power(np.maximum(x, 1e-8), self.gamma)
        x = cv2.transform(x, self.matrix)
        # Highlights are dimmed less, to keep clipped highlights white (their eq. 13).
        bright = np.clip((x.mean(axis=-1, keepdims=True) - 0.9) / 0.1, 0, 1) ** 2
        dimmed = np.maximum(bright + (1 - bright) / self.gains, 1 / self.gains)
        linear: Image = np.clip(x * dimmed, 0, 1).astype(np.float32)
        return linear

    def _toned(self, x: NDArray[Any]) -> NDArray[Any]:
        curved: NDArray[Any] = x + np.float32(self.contrast) * (x * x * (3 - 2 * x) - x)
        return curved

    def raw_noise(self, raw: NDArray[np.float32], generator: Generator) -> NDArray[np.float32]:
        """Raw samples `(H, W)` or `(H, W, 3)` with shot and read noise: Gaussian, of variance shot * signal + read."""
        gains = np.ones(3) if not self.balances_first else self.gains
        gain = np.broadcast_to(gains.astype(np.float32), (*raw.shape[:2], 3))
        gain = _mosaicked(gain) if self.has_mosaic else gain
        noise = generator.standard_normal(raw.shape, dtype=np.float32)
        noisy: NDArray[np.float32] = raw + noise * np.sqrt(self.shot * raw * gain + self.read, dtype=np.float32) / gain
        return np.clip(noisy, 0, 1)

    def develop(self, raw: NDArray[np.float32]) -> Image:
        """Demosaic, colour and encode: `(H, W)`, or without a mosaic `(H, W, 3)`, to `(H, W, 3)`."""
        x: NDArray[Any] = raw
        if self.has_mosaic:
            method = cv2.COLOR_BayerBG2RGB_EA if self.edge_aware else cv2.COLOR_BayerBG2RGB
            x = cv2.demosaicing(np.round(raw * 65535).astype(np.uint16), method) / np.float32(65535)
        x = cv2.transform(np.minimum(x * self.gains, 1).astype(np.float32), np.linalg.inv(self.matrix))
        x = np.power(np.clip(x, 1e-8, 1), 1 / self.gamma)
        developed: Image = self._toned(x) if self.contrast else x
        return developed

    def reduce_noise(self, x: NDArray[Any]) -> Image:
        """Smooth luma by `luma_blur` and chroma by `chroma_blur`: a linear map."""
        x = cv2.cvtColor(x, cv2.COLOR_RGB2YCrCb)
        x[..., 0] = blurred(x[..., 0], self.luma_blur)
        x[..., 1:] = blurred(x[..., 1:], self.chroma_blur)
        return np.asarray(cv2.cvtColor(x, cv2.COLOR_YCrCb2RGB), np.float32)

    def finish(self, x: NDArray[Any]) -> Image:
        """Sharpen and resize."""
        x = sharpened(x, self.sharpening, self.radius)
        if self.resize < 1:
            x = cv2.resize(x, None, fx=self.resize, fy=self.resize, interpolation=cv2.INTER_AREA)
        finished: Image = np.clip(x, 0, 1)
        return finished

    def photograph(self, clean: Image, generator: Generator) -> tuple[Image, Image]:
        """The camera's file without noise and JPEG, and with them: `(reference, degraded)`, `resize` times the size.

        The reference passes the same optics, mosaic and processing. So a network learns to remove noise and
        compression, and keeps the camera's rendering.

        Clipping and the tone curve shift the mean of noise. For mild noise the reference has that shift (`_MILD`), as
        the mean of many shots does, the clean picture of sets such as PolyU. For strong noise it does not, as the
        developed mean of raw files does not, the clean picture of sets such as SIDD.
        """
        linear = self.expose(clean)
        raw = _mosaicked(linear) if self.has_mosaic else linear  # RGGB; flips in training give the other patterns
        reference = self.develop(raw)
        noise: NDArray[Any] = self.develop(self.raw_noise(raw, generator)) - reference
        luma = (noise @ LUMA)[..., None]
        colour, strength = noise - luma, luma.std()
        noise = (
            luma
            + np.float32(self.chroma_noise) * colour
            + blotchy(luma, np.float32(self.blotches) * strength, self.blotch_size)
            + blotchy(colour, np.float32(self.colour_blotches) * strength, self.colour_blotch_size)
        )
        if self.luma_blur or self.chroma_blur:
            noise = self.reduce_noise(noise)
            if not self.keeps_edges:
                reference = self.reduce_noise(reference)
        degraded = self.finish(reference + noise)
        mildest, strongest = _MILD
        share = float(np.clip((strongest - 255 * (noise @ LUMA).std()) / (strongest - mildest), 0, 1))
        if share:
            reference = np.asarray(reference + np.float32(share) * _mean_shift(noise, reference), np.float32)
        return self.finish(reference), saved(degraded, self.quality, self.chroma_subsampling)


def _mosaicked(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """RGGB samples `(H, W)` of `(H, W, 3)`."""
    samples: NDArray[np.float32] = mosaic(x).sum(axis=-1)
    return samples


def _mean_shift(noise: NDArray[Any], level: NDArray[Any]) -> NDArray[Any]:
    """Mean of the noise at each pixel's brightness `level` in [0, 1], `(H, W, 3)`, for each channel."""
    centres = (np.arange(_BINS) + 0.5) / _BINS
    which = np.clip(level * _BINS, 0, _BINS - 1).astype(np.intp)
    shift = np.empty_like(noise)
    for channel in range(3):
        bins = which[..., channel].ravel()
        total, count = np.bincount(bins, noise[..., channel].ravel(), _BINS), np.bincount(bins, minlength=_BINS)
        # A mean over few pixels is unreliable: below about a hundred it counts less.
        shift[..., channel] = np.interp(level[..., channel], centres, total / (count + 100))
    return shift


def camera_noise(generator: Generator) -> Degradation:
    """A random camera at ISO 500 to 12800, see `Camera.photograph`. Below ISO 500 there is little noise to learn."""
    camera = Camera.draw(generator, log_uniform(generator, 500, ISO_RANGE[1]))
    return Degradation(camera.photograph, camera.resize, grid=16)


def phone_noise(generator: Generator) -> Degradation:
    """A phone's raw file of a dark scene, ISO 3200 to 51200, developed without noise reduction: PSNR down to 14 dB.

    Demosaicing makes speckles of 1 to 2 pixels; without a mosaic the noise is white. The noise is clipped at black and
    white. Colours are 0.4 to 1.5 times as saturated. The reference is the developed mean of the raw samples, as in
    SIDD (Abdelhamed et al., "A High-Quality Denoising Dataset for Smartphone Cameras", CVPR 2018, Section 4).
    """
    draw, chance = generator.uniform, generator.random
    camera = Camera.draw(generator)
    iso = log_uniform(generator, 3200, 51200)
    shot = iso * log_uniform(generator, *_PHONE_SHOT_PER_ISO)
    vivid = draw(0.4, 1.5)
    saturation = vivid * np.eye(3) + (1 - vivid) * np.tile(LUMA, (3, 1))  # of light: rows sum to 1
    quality, chroma_subsampling = file_format(generator) if chance() < 0.4 else (None, False)
    camera = replace(
        camera,
        matrix=camera.matrix @ np.linalg.inv(saturation),
        shot=shot,
        read=float(np.exp(2.18 * np.log(shot) + 1.2 + generator.normal(0, 0.26))),
        zoom=draw(1.0, 4.0) if chance() < 0.6 else 1.0,
        softness=draw(0.4, 1.5) if chance() < 0.6 else 0.0,
        has_mosaic=chance() < 0.7,
        balances_first=chance() < 0.3,
        chroma_noise=1.0,
        blotches=0.0,
        colour_blotches=0.0,
        luma_blur=0.0,
        chroma_blur=0.0,
        sharpening=draw(0.2, 1.0) if chance() < 0.2 else 0.0,
        resize=draw(0.5, 1.0) if chance() < 0.2 else 1.0,
        quality=quality,
        chroma_subsampling=chroma_subsampling,
    )
    return Degradation(camera.photograph, camera.resize, grid=16)

"""Noise: Gaussian, of cameras, and as files hold it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from restore.degradations.base import Degradation, Draw, Image, log_uniform, to_8_bits
from restore.degradations.compression import jpeg

# sRGB primaries to CIE XYZ (IEC 61966-2-1), and XYZ to the colours of four real cameras as Brooks et al. use them
# ("Unprocessing Images for Learned Raw Denoising", CVPR 2019, Section 3.2: matrices of the DND cameras).
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
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
ISO_RANGE = (100.0, 12800.0)
# Shot noise variance per unit of signal and ISO: a large (full-frame) sensor, and a phone's. The upper end at ISO 100
# to 12800 is the range 1e-4 to 1.2e-2 that Brooks et al. fit (Section 3.1).
_SHOT_PER_ISO = (2.0e-7, 1.0e-6)


def gaussian_noise(clean: Image, sigma: float, generator: Generator, *, as_file: bool = False) -> Image:
    """Add white Gaussian noise of standard deviation `sigma` (0 to 255), independent in every pixel and channel.

    Args:
        as_file: Clip to [0, 1] and round to 8 bits as a picture file must; otherwise the float picture is left as it
            is, which is the papers' protocol (and lets values leave [0, 1]).
    """
    noisy: Image = clean + generator.standard_normal(clean.shape, dtype=np.float32) * np.float32(sigma / 255)
    return to_8_bits(noisy) if as_file else noisy


def _blurred(x: NDArray[Any], deviation: float) -> NDArray[Any]:
    """Gaussian blur of a standard deviation in pixels; 0 leaves `x` as it is."""
    return cv2.GaussianBlur(x, (0, 0), deviation) if deviation else x


def _blotches(noise: NDArray[Any], strength: np.floating[Any], deviation: float) -> NDArray[Any]:
    """`noise` blurred, of standard deviation `strength` over all; 0 where there is none, or a strength of 0."""
    if not strength:
        return np.zeros_like(noise)
    coarse: NDArray[Any] = _blurred(noise, deviation).reshape(noise.shape)
    return np.asarray(strength * (coarse / max(coarse.std(), np.float32(1e-8))))


def _sharpened(x: NDArray[Any], amount: float, radius: float) -> NDArray[Any]:
    """Unsharp masking by a blur of standard deviation `radius` pixels; an amount of 0 leaves `x` as it is."""
    return x + np.float32(amount) * (x - _blurred(x, radius)) if amount else x


_DCT = np.array([[np.cos(np.pi * (2 * i + 1) * f / 16) for i in range(8)] for f in range(8)], np.float32) / 2
_DCT[0] /= np.sqrt(np.float32(2))


def _shrunk(x: NDArray[Any], threshold: float, grids: NDArray[np.integer]) -> NDArray[Any]:
    """What noise reduction in a block transform leaves of noise `(H, W)`: strokes. In blocks of 8x8 the coefficients of
    the DCT under `threshold` standard deviations become zero; the mean over `grids`, shifts (y, x) of the blocks.
    """
    height, width = x.shape
    padded = np.pad(x, ((0, -height % 8), (0, -width % 8)), mode="wrap")
    total, least = np.zeros_like(padded), threshold * x.std()
    for shift in map(tuple, grids):
        blocks = np.roll(padded, shift, (0, 1)).reshape(padded.shape[0] // 8, 8, -1, 8).swapaxes(1, 2)
        coefficients = _DCT @ blocks @ _DCT.T
        coefficients[np.abs(coefficients) < least] = 0
        left = (_DCT.T @ coefficients @ _DCT).swapaxes(1, 2).reshape(padded.shape)
        total += np.roll(left, tuple(-s for s in shift), (0, 1))
    return total[:height, :width] / len(grids) if total.any() else x  # of a few pixels nothing may be left


def _enlarged(x: NDArray[Any], zoom: float) -> NDArray[Any]:
    """The corner of `x` that fills the whole when enlarged `zoom` times; 1 leaves `x` as it is."""
    height, width = x.shape[:2]
    corner = x[: int(np.ceil(height / zoom)), : int(np.ceil(width / zoom))]
    return cv2.resize(corner, (width, height), interpolation=cv2.INTER_CUBIC) if zoom > 1 else x


def _flattened(x: NDArray[Any], flatness: float) -> NDArray[Any]:
    """Surfaces of less contrast than `flatness` grey levels smoothed, edges kept; 0 leaves `x` as it is."""
    return cv2.bilateralFilter(x, 9, flatness / 255, 4.0) if flatness else x


def _file_format(generator: Generator) -> tuple[int | None, bool]:
    """JPEG quality (None: not compressed) of the file that a photograph is kept in, and whether it is 4:2:0.

    Often 75 and 4:2:0: what libjpeg and most programs write when not told otherwise.
    """
    kind = generator.random()
    if kind < 0.2:
        return None, False
    if kind < 0.5:
        return 75, True
    return int(generator.integers(60, 101)), generator.random() < 0.6


def _saved(x: Image, quality: int | None, chroma_subsampling: bool) -> Image:
    """The picture as a file of `_file_format` holds it."""
    return to_8_bits(x) if quality is None else jpeg(x, quality, chroma_subsampling=chroma_subsampling)


@dataclass(frozen=True)
class Camera:
    """One camera, scene light and in-camera processing; `Camera.draw` makes a random one.

    Attributes:
        matrix: `(3, 3)` sRGB-primaries RGB to camera RGB, rows summing to one.
        gains: Red, green and blue gains of the white balance and exposure (>= 0.5).
        gamma: Exponent of the encoding curve.
        tone_curve: Whether the smoothstep contrast curve follows.
        zoom: Enlargement, at least 1, of what is photographed: a camera resolves less than its pixels.
        flatness: Contrast in grey levels below which the scene's surfaces are smoothed away (0: none). Most of a
            full-resolution photograph is smoother than any reduced picture, whose own grain would pass for detail.
        shot, read: Variance of the raw noise is `shot * signal + read`, signal in [0, 1].
        edge_aware: Demosaic along edges instead of bilinearly.
        softness: Standard deviation in pixels of the lens and anti-aliasing blur before the sensor.
        chroma_noise: Share of the colour noise that the camera leaves; phones often leave none.
        blotches, blotch_size: Additional coarse noise, in standard deviations of the noise's brightness, and the
            blur in pixels that makes it.
        colour_blotches, colour_blotch_size: The same of colour: cameras smooth away fine colour noise and leave the
            coarse. (In the pictures of PolyU, detail of 4 to 16 pixels has as much colour noise as that of 1 to 4.)
        luma_blur, chroma_blur: In-camera noise reduction, standard deviations in pixels (0: none).
        keeps_edges: Whether that smooths the noise alone, or the picture too.
        sharpening, radius: Amount and standard deviation in pixels of the unsharp masking after it.
        resize: Output size over sensor size, at most 1.
        quality: JPEG quality, or None for an uncompressed picture.
        chroma_subsampling: 4:2:0 instead of 4:4:4.
    """

    matrix: NDArray[np.float64]
    gains: NDArray[np.float64]
    gamma: float
    tone_curve: bool
    zoom: float
    flatness: float
    shot: float
    read: float
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
        """A random camera, at `iso` (100 to 12800) or at a random one, log-uniform.

        Colour, gains and the read-noise law follow Brooks et al. (Sections 3.1 to 3.4); processing after the sensor
        follows CBDNet (Guo et al., CVPR 2019, Section 3.1: demosaic, response curve, JPEG), with noise reduction,
        sharpening and resizing added because they are what makes the noise of real files smooth and correlated.
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
        quality, chroma_subsampling = _file_format(generator)
        return cls(
            matrix=matrix / matrix.sum(axis=1, keepdims=True),
            gains=gains,
            gamma=draw(2.0, 2.4),
            tone_curve=chance() < 0.5,
            zoom=draw(1.0, 4.0) if chance() < 0.85 else 1.0,
            flatness=draw(4.0, 16.0) if chance() < 0.6 else 0.0,
            shot=shot,
            read=float(np.exp(2.18 * np.log(shot) + 1.2 + generator.normal(0, 0.26))),
            edge_aware=chance() < 0.5,
            softness=draw(0.4, 2.0) if chance() < 0.85 else 0.0,
            chroma_noise=draw(*((0.0, 0.3) if chance() < 0.35 else (0.3, 1.0))) if processed else 1.0,
            blotches=draw(0.05, 0.4) if processed and chance() < 0.85 else 0.0,
            blotch_size=draw(1.5, 5.0),
            colour_blotches=draw(0.1, 0.7) if processed and chance() < 0.85 else 0.0,
            colour_blotch_size=log_uniform(generator, 2.0, 12.0),
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
        """Raw colours in [0, 1] of the picture's corner that fills the frame.

        Tone curve, encoding, matrix and white balance are undone (Brooks et al., Section 3).
        """
        x = _blurred(_flattened(_enlarged(clean, self.zoom), self.flatness), self.softness)
        x = np.clip(x, 0, 1)  # After the blur: its rounding leaves [0, 1], where the inverse of the tone curve is NaN.
        if self.tone_curve:
            x = 0.5 - np.sin(np.arcsin(1 - 2 * x) / 3)
        x = np.power(np.maximum(x, 1e-8), self.gamma)
        x = cv2.transform(x, self.matrix)
        # Highlights are dimmed less, so that a clipped highlight stays white (their eq. 13).
        bright = np.clip((x.mean(axis=-1, keepdims=True) - 0.9) / 0.1, 0, 1) ** 2
        dimmed = np.maximum(bright + (1 - bright) / self.gains, 1 / self.gains)
        linear: Image = np.clip(x * dimmed, 0, 1).astype(np.float32)
        return linear

    def mosaic_noise(self, raw: NDArray[np.float32], generator: Generator) -> NDArray[np.float32]:
        """Shot and read noise on raw samples, a Gaussian of variance shot * signal + read."""
        noise = generator.standard_normal(raw.shape, dtype=np.float32)
        noisy: NDArray[np.float32] = raw + noise * np.sqrt(self.shot * raw + self.read, dtype=np.float32)
        return np.clip(noisy, 0, 1)

    def develop(self, raw: NDArray[np.float32]) -> Image:
        """Demosaic, colour and encode one raw mosaic `(H, W)`."""
        method = cv2.COLOR_BayerBG2RGB_EA if self.edge_aware else cv2.COLOR_BayerBG2RGB
        x: NDArray[Any] = cv2.demosaicing(np.round(raw * 65535).astype(np.uint16), method) / np.float32(65535)
        x = cv2.transform(np.minimum(x * self.gains, 1).astype(np.float32), np.linalg.inv(self.matrix))
        x = np.power(np.clip(x, 1e-8, 1), 1 / self.gamma)
        if self.tone_curve:
            x = x * x * (3 - 2 * x)
        developed: Image = x
        return developed

    def reduce_noise(self, x: NDArray[Any]) -> Image:
        """Smooth luma by `luma_blur` and chroma by `chroma_blur`: a linear map."""
        x = cv2.cvtColor(x, cv2.COLOR_RGB2YCrCb)
        x[..., 0] = _blurred(x[..., 0], self.luma_blur)
        x[..., 1:] = _blurred(x[..., 1:], self.chroma_blur)
        return np.asarray(cv2.cvtColor(x, cv2.COLOR_YCrCb2RGB), np.float32)

    def finish(self, x: NDArray[Any]) -> Image:
        """Sharpen and resize."""
        x = _sharpened(x, self.sharpening, self.radius)
        if self.resize < 1:
            x = cv2.resize(x, None, fx=self.resize, fy=self.resize, interpolation=cv2.INTER_AREA)
        finished: Image = np.clip(x, 0, 1)
        return finished

    def photograph(self, clean: Image, generator: Generator) -> tuple[Image, Image]:
        """What this camera saves without noise and JPEG, and what it does save: `(reference, degraded)`, same size.

        The reference goes through the same optics, mosaic and processing, so a network that learns the pair removes
        noise and compression and leaves the camera's rendering alone. The sides shrink by `resize`.
        """
        linear = self.expose(clean)
        raw = np.empty(linear.shape[:2], np.float32)  # RGGB; other phases come with the flips of training.
        raw[0::2, 0::2] = linear[0::2, 0::2, 0]
        raw[0::2, 1::2] = linear[0::2, 1::2, 1]
        raw[1::2, 0::2] = linear[1::2, 0::2, 1]
        raw[1::2, 1::2] = linear[1::2, 1::2, 2]
        reference = self.develop(raw)
        noise: NDArray[Any] = self.develop(self.mosaic_noise(raw, generator)) - reference
        luma = (noise @ _LUMA)[..., None]
        colour, strength = noise - luma, luma.std()
        noise = (
            luma
            + np.float32(self.chroma_noise) * colour
            + _blotches(luma, np.float32(self.blotches) * strength, self.blotch_size)
            + _blotches(colour, np.float32(self.colour_blotches) * strength, self.colour_blotch_size)
        )
        if self.luma_blur or self.chroma_blur:
            noise = self.reduce_noise(noise)
            if not self.keeps_edges:
                reference = self.reduce_noise(reference)
        reference, degraded = self.finish(reference), self.finish(reference + noise)
        return reference, _saved(degraded, self.quality, self.chroma_subsampling)


def camera_noise(generator: Generator, iso: float | None = None) -> Degradation:
    """A random camera at `iso` (100 to 12800; None: random), see `Camera.photograph`."""
    camera = Camera.draw(generator, iso)
    return Degradation(camera.photograph, camera.resize)


def grain(generator: Generator) -> Degradation:
    """Noise as files hold it, whatever made it: of random spectrum, colour and dependence on brightness, 1 to 12 grey
    levels strong, on pictures that are soft and surfaces that are smooth most of the time (see `Camera.zoom` and
    `flatness`), most of it through JPEG.

    What a simulated camera does not happen to produce (noise without colour, for one) is otherwise kept as detail. In
    half of it brightness varies in a band of frequencies, and half is what noise reduction left: phones threshold noise
    in a transform, smooth away what is coarse and sharpen the rest. (In the sky of docs/samples/tower-at-night.jpg
    pixels correlate by 0.25 with their neighbour, by -0.2 with the next. A network that left 9 % of Gaussian noise of
    that spectrum left 81 % of the sky's own, and 30 to 99 % of noise that was thresholded.)
    """
    draw, chance = generator.uniform, generator.random
    sigma, slope = log_uniform(generator, 1.0, 12.0), draw(-0.8, 0.8)
    if chance() < 0.5:
        luma_blur, band = draw(0.4, 1.2), draw(0.5, 2.0)
    else:
        luma_blur, band = draw(0.3, 2.0) if chance() < 0.65 else 0.0, 0.0
    threshold, grids = (
        draw(1.0, 2.5) if chance() < 0.5 else 0.0,
        generator.integers(0, 8, (generator.integers(1, 5), 2)),
    )
    colour = draw(0.0, 1.5) if chance() < 0.6 else 0.0
    chroma_blur = draw(0.3, 4.0) if chance() < 0.7 else 0.0
    blotches, blotch_size = draw(0.1, 1.3) if chance() < 0.75 else 0.0, log_uniform(generator, 2.0, 12.0)
    sharpening, radius = draw(0.0, 3.0) if chance() < 0.5 else 0.0, draw(0.6, 1.8)
    zoom = draw(1.0, 4.0) if chance() < 0.7 else 1.0
    flatness = draw(4.0, 16.0) if chance() < 0.8 else 0.0
    quality, chroma_subsampling = _file_format(generator)

    def apply(clean: Image, g: Generator) -> tuple[Image, Image]:
        clean = np.clip(_flattened(_enlarged(clean, zoom), flatness), 0, 1).astype(np.float32)
        white = g.standard_normal(clean.shape, dtype=np.float32)
        luma: NDArray[Any] = white @ _LUMA
        chroma = white - luma[..., None]
        blotched = _blotches(chroma, np.float32(blotches), blotch_size)
        chroma = _blurred(chroma, chroma_blur)
        luma = _blurred(luma, luma_blur)
        if threshold:
            luma = _shrunk(luma, threshold, grids)
        if band:
            luma -= _blurred(luma, band)
        noise = luma[..., None] / luma.std() + np.float32(colour) * chroma / chroma.std() + blotched
        noise = _sharpened(noise, sharpening, radius)
        strength = (1 + slope * (2 * clean.mean(axis=-1, keepdims=True) - 1)) * (sigma / 255) / noise.std()
        return clean, _saved(clean + noise * strength.astype(np.float32), quality, chroma_subsampling)

    return Degradation(apply)


def gaussian(generator: Generator) -> Degradation:
    """Gaussian noise of sigma 0 to 55.

    Two fifths are left unclipped (the papers' protocol), three are as a file holds them. Pictures are changed first: a
    third is reduced, to half its size at most, and is then as sharp as the small pictures that the papers score on;
    most of those that are clipped get more contrast, up to twice, so that shadows and highlights saturate: there
    clipped noise has a mean to be undone.
    """
    draw, chance = generator.uniform, generator.random
    sigma, as_file = 55 * chance(), chance() < 0.6
    resize = draw(0.5, 1.0) if chance() < 0.35 else 1.0
    contrast, pivot = draw(1.0, 2.0) if as_file and chance() < 0.6 else 1.0, draw(0.2, 0.8)

    def apply(clean: NDArray[Any], g: Generator) -> tuple[Image, Image]:
        if contrast > 1:
            clean = np.clip((clean - np.float32(pivot)) * np.float32(contrast) + np.float32(pivot), 0, 1)
        if resize < 1:
            clean = cv2.resize(clean, None, fx=resize, fy=resize, interpolation=cv2.INTER_AREA)
        return clean, gaussian_noise(clean, sigma, g, as_file=as_file)

    return Degradation(apply, resize)


def white_noise(level: tuple[float, float]) -> Draw:
    """`gaussian_noise` of a sigma that is uniform in `level`, neither clipped nor rounded: the papers' protocol."""

    def draw(generator: Generator) -> Degradation:
        sigma = generator.uniform(*level)
        return Degradation(lambda clean, g: (clean, gaussian_noise(clean, sigma, g)))

    return draw


def blind_noise(generator: Generator) -> Degradation:
    """What `cs-kit-s-denoise` trains on: Gaussian noise, camera noise, grain, JPEG, or nothing.

    The cameras are at ISO 500 and more: below, there is little to learn.
    """
    kind = generator.random()
    if kind < 0.45:
        return gaussian(generator)
    if kind < 0.77:
        return grain(generator)
    if kind < 0.96:
        return camera_noise(generator, iso=log_uniform(generator, 500, ISO_RANGE[1]))
    quality, chroma_subsampling = _file_format(generator)
    if quality is None or kind < 0.98:
        return Degradation(lambda clean, g: (clean, clean))
    return Degradation(lambda clean, g: (clean, jpeg(clean, quality, chroma_subsampling=chroma_subsampling)))

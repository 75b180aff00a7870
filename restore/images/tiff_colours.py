"""TIFF samples to pixels, transparency and further channels."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from restore.images import metadata
from restore.images.picture import Picture, Refusal, bands, limit, widen


def colours_of(page: Any, values: np.ndarray, extra: int, picture: Picture) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels and alpha of the decoded samples (H, W, S)."""
    bits, colours = page.bitspersample, values.shape[2] - extra
    if page.photometric != 3:
        values = _full_range(values, bits, picture)
    # Extra samples without a stated meaning are transparency, as Photoshop writes them.
    meanings = page.extrasamples or (2,)
    alpha = None
    if extra:
        place = next((k for k, meaning in enumerate(meanings[:extra]) if meaning in (1, 2)), None)
        alpha = None if place is None else values[..., colours + place]
        if extra > (alpha is not None):
            picture.note("channels that are neither colour nor transparency are dropped")
    pixels = values[..., :colours]
    if page.photometric == 3:
        palette = (np.asarray(page.colormap).reshape(3, -1) >> 8).T.astype(np.uint8)
        pixels = palette[pixels[..., 0]]
        alpha = None if alpha is None else _full_range(alpha[..., None], bits, picture)[..., 0]
    elif page.photometric == 0:
        np.subtract(np.array(limit(pixels.dtype), pixels.dtype), pixels, out=pixels)
    elif page.photometric == 5:
        if pixels.dtype != np.uint8:
            picture.note("16-bit CMYK is read at 8 bits")
            pixels = (pixels >> 8).astype(np.uint8)
            alpha = None if alpha is None else (alpha >> 8).astype(np.uint8)
        pixels = _cmyk_to_rgb(pixels, page.iccprofile, picture)
    if alpha is not None and 1 in meanings:
        _divide_by_alpha(pixels, alpha)
    return pixels, alpha


def _cmyk_to_rgb(inks: np.ndarray, profile: bytes | None, picture: Picture) -> np.ndarray:
    """uint8 (H, W, 4) to (H, W, 3)."""
    transform = metadata.cmyk_transform(profile, picture)
    height, width = inks.shape[:2]
    pixels = np.empty((height, width, 3), np.uint8)
    for rows in bands(height, 4 * width):
        values = np.ascontiguousarray(inks[rows])
        band = Image.frombuffer("CMYK", (width, len(values)), values.tobytes(), "raw", "CMYK", 0, 1)
        pixels[rows] = np.asarray(transform.apply(band) if transform else band.convert("RGB"))
    return pixels


def _full_range(values: np.ndarray, bits: int, picture: Picture) -> np.ndarray:
    """uint8 or uint16 over their whole range, or float32; writable and in native byte order."""
    if values.dtype.kind == "f":
        if values.dtype.itemsize == 8:
            picture.note("64-bit floating-point numbers are read as 32-bit ones")
        with np.errstate(over="ignore"):
            values = values.astype(np.float32, copy=False)
        for rows in bands(len(values), values[0].nbytes):
            if not np.isfinite(values[rows]).all():
                raise Refusal("its pixels hold NaN or infinity", "replace them with numbers first")
        return values
    if bits < 8:
        return (values * np.uint8(255 // (2**bits - 1))).astype(np.uint8) if 8 % bits == 0 else _few_bits(values, bits)
    values = values.astype("=u2" if bits > 8 else "u1", copy=False)
    if bits not in (8, 16):
        widen(values, bits)
    return values


def _few_bits(values: np.ndarray, bits: int) -> np.ndarray:
    table = np.rint(np.arange(2**bits) * 255 / (2**bits - 1)).astype(np.uint8)
    found: np.ndarray = table[values]
    return found


def _divide_by_alpha(pixels: np.ndarray, alpha: np.ndarray) -> None:
    """Divides premultiplied `pixels` (H, W, C) by alpha, in place."""
    white = limit(pixels.dtype)
    for rows in bands(len(pixels), 8 * pixels[0].size):
        opacity = alpha[rows, :, None].astype(np.float64)
        straight = np.divide(pixels[rows] * white, opacity, where=opacity > 0, out=pixels[rows].astype(np.float64))
        pixels[rows] = straight if pixels.dtype.kind == "f" else np.rint(np.minimum(straight, white))

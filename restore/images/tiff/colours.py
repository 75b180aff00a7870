"""TIFF samples to pixels, transparency and further channels."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image, ImageCms

from restore.images import metadata
from restore.images.picture import Picture, Refusal, bands, limit, widen

_ASSOCIATED, _UNASSOCIATED = 1, 2  # values of ExtraSamples: premultiplied transparency, and other transparency
_LAB = (8, 9, 10)
_MOST_FILLED = 0.01  # share of the pixels that may hold NaN or infinity
_MOST_ABOVE_ALPHA = 0.01  # share of the pixels whose colour may exceed the alpha that multiplies it


def colours_of(page: Any, values: np.ndarray, extra: int, picture: Picture) -> None:
    """Sets pixels, alpha and further channels of `picture` from the decoded samples (H, W, S), `extra` not colours."""
    bits, colours = page.bitspersample, values.shape[2] - extra
    if page.photometric not in (3, *_LAB):
        values = _full_range(values, bits, picture)
    pixels, others = values[..., :colours], values[..., colours:]
    if page.photometric == 3:
        palette = (np.asarray(page.colormap).reshape(3, -1) >> 8).T.astype(np.uint8)
        pixels = palette[pixels[..., 0]]
        others = _full_range(others, bits, picture) if extra else others
    elif page.photometric == 0:
        np.subtract(np.array(limit(pixels.dtype), pixels.dtype), pixels, out=pixels)
    elif page.photometric == 5:
        if pixels.dtype != np.uint8:
            picture.note("16-bit CMYK is read at 8 bits")
            pixels = (pixels >> 8).astype(np.uint8)
        pixels = _cmyk_to_rgb(pixels, page.iccprofile, picture)
    elif page.photometric in _LAB:
        pixels = _lab_to_rgb(pixels, page, picture)
    if others.dtype == np.uint16 and pixels.dtype == np.uint8:
        others = (others >> 8).astype(np.uint8)
    picture.pixels = pixels
    _take_others(others, _meanings(page, extra), picture)


def _meanings(page: Any, extra: int) -> list[int]:
    """The meaning of each channel beside the colours, as in the tag ExtraSamples.

    Without the tag, one channel of 8 bits is transparency, as in libtiff and Pillow. A deeper one is not, since
    scanners store infrared so. Photoshop leaves the tag out for transparency of any depth.
    """
    meanings = [int(meaning) for meaning in page.extrasamples or ()]
    if not meanings and extra == 1:
        software = page.tags.valueof(305)
        is_photoshop = isinstance(software, str) and "photoshop" in software.lower()
        meanings = [_UNASSOCIATED if page.bitspersample <= 8 or is_photoshop else 0]
    return (meanings + extra * [0])[:extra]


def _take_others(others: np.ndarray, meanings: list[int], picture: Picture) -> None:
    """Sets alpha and further channels from the samples (H, W, K) that are not colours."""
    place = next((k for k, meaning in enumerate(meanings) if meaning in (_ASSOCIATED, _UNASSOCIATED)), None)
    if place is not None and meanings[place] == _ASSOCIATED:
        if _is_premultiplied(picture.pixels, others[..., place]):
            _divide_by_alpha(picture.pixels, others[..., place])
        else:
            picture.note("a channel is marked as premultiplied transparency, which it is not; it is kept as it is")
            place = None
    if place is not None:
        picture.alpha = others[..., place]
    if rest := [k for k in range(len(meanings)) if k != place]:
        picture.extra = np.ascontiguousarray(others[..., rest])
        picture.extra_kinds = tuple(meanings[k] for k in rest)


def _is_premultiplied(pixels: np.ndarray, alpha: np.ndarray) -> bool:
    """Whether hardly a pixel (H, W, C) is brighter than its alpha (H, W). Integers only; floats may exceed white."""
    if pixels.dtype.kind == "f":
        return True
    slack = limit(pixels.dtype) // 100  # of encoders that lose a little
    above = sum(
        int(np.count_nonzero(pixels[rows].max(axis=2) > alpha[rows] + np.uint32(slack)))
        for rows in bands(len(pixels), 8 * pixels[0].size)
    )
    return above <= _MOST_ABOVE_ALPHA * alpha.size


def _lab_to_rgb(values: np.ndarray, page: Any, picture: Picture) -> np.ndarray:
    """8- or 16-bit CIELAB (H, W, 3) to sRGB of the same depth.

    Encodings: TIFF 6.0, section 23 (8), Adobe's TIFF Technical Note 4 (ICC, 9), ITU-T T.42 in RFC 3949 (10).
    """
    import imagecodecs

    bits = page.bitspersample
    white = 2**bits - 1
    if page.photometric == 8:  # a* and b* are signed
        scale, zero = (100 / white, 2.0 ** (8 - bits), 2.0 ** (8 - bits)), (0.0, 0.0, 0.0)
    elif page.photometric == 9:
        scale, zero = (100 / (255 << bits - 8), 2.0 ** (8 - bits), 2.0 ** (8 - bits)), (0.0, 128.0, 128.0)
    else:
        scale, zero = (100 / white, 170 / white, 200 / white), (0.0, 85.0 * 256 / 255, 75.0 * 256 / 255)
    shift = np.array((0, 32896, 32896))  # 128 in 16 bits
    profiles = [ImageCms.ImageCmsProfile(ImageCms.createProfile(name)).tobytes() for name in ("LAB", "sRGB")]
    pixels = np.empty(values.shape, f"u{bits // 8}")
    for rows in bands(len(values), 8 * values[0].size):
        band = values[rows].astype(pixels.dtype).astype(np.float64)
        if page.photometric == 8:
            band[..., 1:] = values[rows, :, 1:].astype(pixels.dtype).view(f"i{bits // 8}")
        lab = band * scale - zero
        coded = np.rint(np.clip(lab * (655.35, 257, 257) + shift, 0, 65535)).astype(np.uint16)
        pixels[rows] = imagecodecs.cms_transform(
            coded, *profiles, colorspace="lab", outcolorspace="rgb", outdtype=pixels.dtype, intent=1
        )
    picture.icc_profile = metadata.srgb_profile()
    picture.note("CIELAB became sRGB; colours that sRGB does not have are clipped")
    return pixels


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
        return _filled(values, picture)
    if bits < 8:
        return (values * np.uint8(255 // (2**bits - 1))).astype(np.uint8) if 8 % bits == 0 else _few_bits(values, bits)
    values = values.astype("=u2" if bits > 8 else "u1", copy=False)
    if bits not in (8, 16):
        widen(values, bits)
    return values


def _filled(values: np.ndarray, picture: Picture) -> np.ndarray:
    """Float `values` (H, W, S) whose NaN and infinite samples are the mean of their finite neighbours.

    Raises:
        Refusal: There are too many, or nothing else.
    """
    parts = []
    for rows in bands(len(values), values[0].nbytes):
        if not np.isfinite(values[rows]).all():
            parts.append(np.argwhere(~np.isfinite(values[rows])) + np.array((rows.start, 0, 0)))
    if not parts:
        return values
    height, width = values.shape[:2]
    bad = np.concatenate(parts)
    count = len(np.unique(bad[:, 0] * width + bad[:, 1]))
    if count > max(1, _MOST_FILLED * height * width) or count == height * width:
        raise Refusal(f"its pixels hold NaN or infinity ({count:,} of them)", "replace them with numbers first")
    values = values if values.flags.writeable else values.copy()
    steps = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x]
    while len(bad):  # a ring of pixels at a time
        total, found = np.zeros(len(bad)), np.zeros(len(bad), int)
        for y, x in steps:
            down, across = bad[:, 0] + y, bad[:, 1] + x
            near = values[down.clip(0, height - 1), across.clip(0, width - 1), bad[:, 2]]
            usable = np.isfinite(near) & (down >= 0) & (down < height) & (across >= 0) & (across < width)
            total += np.where(usable, near, 0)
            found += usable
        ready = found > 0
        values[tuple(bad[ready].T)] = total[ready] / found[ready]
        bad = bad[~ready]
    pixels = "1 pixel that held" if count == 1 else f"{count:,} pixels that held"
    picture.note(f"{pixels} NaN or infinity: filled from the neighbours")
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

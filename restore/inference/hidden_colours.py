"""Colours under full transparency: not shown, often black or arbitrary, and yet seen by a network."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[Any]

_REACH = 256  # pixels up to which a band of rows looks above and below itself for the nearest visible pixel
_BAND_PIXELS = 1 << 22


def fill_hidden(pixels: Pixels, alpha: Pixels, *, is_mosaic: bool = False) -> Pixels:
    """A copy of `pixels` whose hidden pixels (alpha 0) have the colour of the nearest visible pixel.

    Otherwise a network mixes the hidden colours into the visible edge. Hidden pixels far from all visible ones may get
    another colour.

    Args:
        pixels: `(H, W, C)`.
        alpha: `(H, W)`.
        is_mosaic: Whether `pixels` is a Bayer mosaic: then colours come from pixels of the same place in their cell.

    Returns:
        `pixels` itself if all pixels are visible, or none.
    """
    if alpha.min() > 0 or alpha.max() <= 0:
        return pixels
    filled = pixels.copy()
    step = 2 if is_mosaic else 1
    for cell in np.ndindex(step, step):
        phase = np.s_[cell[0] :: step, cell[1] :: step]
        _fill(filled[phase], pixels[phase], alpha[phase])
    return filled


def put_back_hidden(restored: Pixels, restored_alpha: Pixels, pixels: Pixels) -> None:
    """Give the pixels of a result that are still hidden their old colours, in place.

    Args:
        restored: `(scale * H, scale * W, C)`.
        restored_alpha: `(scale * H, scale * W)`.
        pixels: `(H, W, C)`, the picture with its hidden colours.
    """
    scale = len(restored) // len(pixels)
    for rows in _bands(pixels):
        place = slice(scale * rows.start, scale * rows.stop)
        hidden = restored_alpha[place] <= 0
        if hidden.any():
            old = pixels[rows] if scale == 1 else pixels[rows].repeat(scale, 0).repeat(scale, 1)
            np.copyto(restored[place], old, where=hidden[..., None])


def _fill(filled: Pixels, pixels: Pixels, alpha: Pixels) -> None:
    # Here, because only pictures with transparency need OpenCV in this package.
    import cv2

    for rows in _bands(pixels):
        if not (alpha[rows] <= 0).any():
            continue
        window = slice(max(0, rows.start - _REACH), rows.stop + _REACH)
        near = pixels[window].reshape(-1, pixels.shape[2])
        hidden = alpha[window] <= 0
        if hidden.all():
            continue
        # Each label names one visible pixel, and marks the hidden pixels nearest to it.
        _, labels = cv2.distanceTransformWithLabels(
            hidden.view(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
        )
        visible = np.flatnonzero(~hidden)
        pixel_of = np.empty(len(visible) + 1, np.int32)
        pixel_of[labels.ravel()[visible]] = visible
        inner = slice(rows.start - window.start, rows.stop - window.start)
        nearest = np.take(near, pixel_of[labels[inner]], axis=0)
        np.copyto(filled[rows], nearest, where=hidden[inner][..., None])


def _bands(pixels: Pixels) -> list[slice]:
    """Slices of rows of about `_BAND_PIXELS` pixels, at least `_REACH` rows each."""
    height, width = pixels.shape[:2]
    step = max(_REACH, _BAND_PIXELS // width)
    return [slice(top, min(top + step, height)) for top in range(0, height, step)]

"""Frames of an animation (PNG, GIF): parts that are laid over each other, and the whole pictures that they show."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from restore.images.picture import Picture, limit

KEEP, CLEAR, UNDO = range(3)
"""What becomes of a frame's place before the next: it stays, turns transparent, or shows what was there before."""


@dataclass
class Frame:
    """A part of an animation.

    Attributes:
        left, top, width, height: Its place, in pixels of the animation.
        duration: Milliseconds.
        after: `KEEP`, `CLEAR` or `UNDO`.
        is_blended: It is laid over what is there; otherwise it replaces that.
        data: Where its pixels are in the file, and what else their decoder needs.
    """

    left: int
    top: int
    width: int
    height: int
    duration: float = 0.0
    after: int = KEEP
    is_blended: bool = True
    data: list[Any] = field(default_factory=list)

    @property
    def place(self) -> tuple[slice, slice]:
        """Its rows and columns."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    def covers(self, width: int, height: int) -> bool:
        """Whether it is as large as an animation of this size."""
        return (self.left, self.top, self.width, self.height) == (0, 0, width, height)


def shows_gaps(frames: Sequence[Frame], width: int, height: int) -> bool:
    """Whether pixels of opaque frames can be transparent: no frame is there yet, or one is cleared."""
    first, *later = frames[:-1] or frames
    return not first.covers(width, height) or any(f.after == CLEAR for f in later) or first.after != KEEP


def composed(
    frames: Sequence[Frame],
    size: tuple[int, int],
    decode: Callable[[Frame], tuple[np.ndarray, np.ndarray | None]],
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pixels (H, W, C) and alpha (H, W) of each frame as it is shown: copies of one canvas that starts transparent.

    Args:
        frames: In their order.
        size: Width and height of the animation.
        decode: Pixels (h, w, C) of a frame, of its height and width, and its alpha, None where it is opaque; C and the
            type are always the same.

    Raises:
        OSError: A frame lies outside the animation.
    """
    width, height = size
    canvas: tuple[np.ndarray, np.ndarray] | None = None
    for number, frame in enumerate(frames):
        is_inside = frame.left + frame.width <= width and frame.top + frame.height <= height
        if not is_inside or not frame.width or not frame.height:
            raise OSError(f"frame {number + 1} lies outside the picture")
        pixels, alpha = decode(frame)
        if canvas is None:
            shape = (height, width)
            canvas = np.zeros((*shape, pixels.shape[2]), pixels.dtype), np.zeros(shape, pixels.dtype)
        colours, opacity = (whole[frame.place] for whole in canvas)
        before = (colours.copy(), opacity.copy()) if frame.after == UNDO and number else None
        if frame.is_blended and alpha is not None:
            _lay_over(colours, opacity, pixels, alpha)
        else:
            colours[:] = pixels
            opacity[:] = limit(pixels.dtype) if alpha is None else alpha
        del pixels, alpha
        yield canvas[0].copy(), canvas[1].copy()
        if before is not None:
            colours[:], opacity[:] = before
        elif frame.after != KEEP:  # nothing was there before the first frame
            colours[:], opacity[:] = 0, 0


def _lay_over(below: np.ndarray, opacity: np.ndarray, pixels: np.ndarray, alpha: np.ndarray) -> None:
    """Lays a frame over `below` and its `opacity`, in place (Porter and Duff's "over"; colours not premultiplied)."""
    white = limit(alpha.dtype)
    replaced, kept = alpha == white, alpha == 0
    mixed = ~(replaced | kept)
    # Most frames have no other pixels.
    below[replaced], opacity[replaced] = pixels[replaced], alpha[replaced]
    nothing = kept & (opacity == 0)
    below[nothing] = pixels[nothing]  # a colour under full transparency stays where nothing shows
    if mixed.any():
        over = alpha[mixed].astype(np.float64) / white
        under = opacity[mixed] / white * (1 - over)
        total = over + under
        colours = pixels[mixed] * over[:, None] + below[mixed] * under[:, None]
        below[mixed] = np.rint(colours / total[:, None])
        opacity[mixed] = np.rint(total * white)


def stop_at_page(frames: Iterator[int], picture: Picture) -> int:
    """Runs a reader of frames, which fills `picture` with one after the other, up to the frame `picture.page`.

    Returns:
        The orientation still to apply.
    """
    wanted = picture.page
    return next(orientation for orientation in frames if picture.page == wanted)

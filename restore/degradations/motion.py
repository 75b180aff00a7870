"""Motion during the exposure, frame by frame: shift, rotation and approach of a picture or an object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from restore.degradations.base import Image
from restore.degradations.blur import trajectory

_SIDE = 256  # pixels; `Motion.reach` is the margin of training crops up to this side


@dataclass(frozen=True)
class Motion:
    """The position of the picture in each frame, relative to the reference.

    Attributes:
        shifts: `(frames, 2)` pixels (y, x).
        turns: `(frames,)` radians, clockwise on the screen.
        zooms: `(frames,)` factors.
        centre: Centre of turns and zooms, `(y, x)` as parts of the picture's sides.
    """

    shifts: NDArray[np.float64]
    turns: NDArray[np.float64]
    zooms: NDArray[np.float64]
    centre: tuple[float, float] = (0.5, 0.5)

    @property
    def reach(self) -> int:
        """The longest way of a point in a picture of up to 256x256 pixels, in whole pixels, rounded up."""
        down, right = (max(at, 1 - at) for at in self.centre)
        radius = _SIDE * np.hypot(down, right)
        swing = np.abs(self.turns).max() + np.abs(self.zooms - 1).max()
        return int(np.ceil(np.abs(self.shifts).max() + radius * swing)) + 1

    def frame(self, picture: NDArray[np.float32], index: int) -> NDArray[Any]:
        """`(H, W, C)` in frame `index`; beyond the border it is mirrored, including the border pixel."""
        height, width = picture.shape[:2]
        middle = np.array([(width - 1) * self.centre[1], (height - 1) * self.centre[0]])
        angle, zoom = self.turns[index], self.zooms[index]
        # Maps positions of the frame to positions of the picture.
        back = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) / zoom
        way = np.column_stack([back, middle - back @ (middle + self.shifts[index][::-1])])
        return cv2.warpAffine(
            picture, way, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT
        )


def moving(
    length: float,
    generator: Generator,
    *,
    restlessness: float,
    jerks: float = 0.0,
    turn: float = 0.0,
    approach: float = 0.0,
    frames: int = 0,
    is_by_middle: bool = False,
) -> Motion:
    """A random motion along a `trajectory`.

    Args:
        length: Length of the path, in pixels.
        restlessness, jerks: How much the trajectory bends, and its mean number of sudden turns.
        turn: Rotation from the first frame to the last, in radians.
        approach: Growth of the picture from the first frame to the last, as a part of its size.
        frames: Number of frames, odd; 0: 7 to 17, for 0.8 to 2.5 pixels a frame if possible.
        is_by_middle: Whether the reference is the middle frame instead of the mean position. Datasets of
            high-speed cameras do this (Nah et al., "Deep Multi-scale Convolutional Neural Network for Dynamic
            Scene Deblurring", CVPR 2017, Section 2).
    """
    path = trajectory(length, restlessness, jerks, generator)
    step = generator.uniform(0.8, 2.5)
    frames = frames or int(np.clip(round(length / step / 2) * 2 + 1, 7, 17))
    times = np.linspace(0, len(path) - 1, frames)
    shifts = np.column_stack([np.interp(times, np.arange(len(path)), path[:, axis]) for axis in (0, 1)])
    # The rotation wavers, like a hand.
    course = np.linspace(-0.5, 0.5, frames) + generator.normal(0, 0.15) * np.cos(np.linspace(0, np.pi * 2, frames))
    turns, zooms = turn * course, np.exp(approach * np.linspace(-0.5, 0.5, frames))
    centre = (float(generator.random()), float(generator.random()))
    if is_by_middle:
        shifts, turns = shifts - shifts[frames // 2], turns - turns[frames // 2]
    else:
        shifts, turns = shifts - shifts.mean(axis=0), turns - turns.mean()
    return Motion(shifts, turns, zooms, centre)


def mean_frame(light: Image, motion: Motion) -> Image:
    """The mean of the frames, with the shape of `light`, `(H, W, C)`."""
    total = np.zeros_like(light)
    for index in range(len(motion.shifts)):
        cv2.add(total, motion.frame(light, index).reshape(light.shape), dst=total)
    return np.asarray(total / np.float32(len(motion.shifts)), np.float32)


def mean_frame_of_two(
    front: Image, mask: NDArray[np.float32], motion: Motion, back: Image, still: Motion | None
) -> Image:
    """The mean of the frames of an object that moves before a background.

    Args:
        front: Linear light of the object, `(H, W, 3)`; used where `mask` is above 0.
        mask: `(H, W)` in [0, 1]; 1 where the object is.
        motion: Motion of the object.
        back: Linear light of the background, `(H, W, 3)`.
        still: Motion of the background, with as many frames; None: it does not move.
    """
    layer = np.ascontiguousarray(np.concatenate([front * mask[..., None], mask[..., None]], axis=-1))
    total, covered = np.zeros_like(back), np.zeros_like(mask)
    for index in range(len(motion.shifts)):
        frame = motion.frame(layer, index)
        cv2.add(total, frame[..., :3], dst=total)
        if still is None:
            cv2.add(covered, frame[..., 3], dst=covered)
        else:
            cv2.add(total, still.frame(back, index) * (1 - frame[..., 3:]), dst=total)
    if still is None:
        total += back * (len(motion.shifts) - covered)[..., None]
    return np.asarray(total / np.float32(len(motion.shifts)), np.float32)

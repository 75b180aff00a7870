"""A region of a picture: `--crop`, resolved for one picture, and cut out of it."""

from __future__ import annotations

import dataclasses
import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from restore.errors import PictureError, UsageError

if TYPE_CHECKING:
    from restore.images import Picture

_FORMS = "--crop 100,50,512,512 is left, top, width and height; --crop center:512 or center:800x600 is the middle"


@dataclass(frozen=True)
class Region:
    """A rectangle in the pixels of an upright picture.

    Attributes:
        left: First column, from 0; None for a region in the middle of the picture.
        top: First row, from 0; None for a region in the middle of the picture.
        width: Columns, at least 1.
        height: Rows, at least 1.

    Raises:
        UsageError: A number is out of its range.
    """

    left: int | None
    top: int | None
    width: int
    height: int

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise UsageError(f"a region of {self.width} x {self.height} pixels is empty", hint=_FORMS)
        if (self.left or 0) < 0 or (self.top or 0) < 0:
            raise UsageError(f"a region cannot start at {self.left},{self.top}: both count from 0", hint=_FORMS)

    def __str__(self) -> str:
        if self.left is None or self.top is None:
            return f"center:{self.width}x{self.height}"
        return f"{self.left},{self.top},{self.width},{self.height}"

    def within(self, width: int, height: int) -> Place:
        """The region in a picture of `width` x `height` pixels. One in the middle is cut to the picture.

        >>> Region(None, None, 512, 100).within(400, 300)
        Place(left=0, top=100, width=400, height=100)

        Raises:
            PictureError: The region reaches beyond the picture.
        """
        wide = self.width if self.left is not None else min(self.width, width)
        tall = self.height if self.top is not None else min(self.height, height)
        left = self.left if self.left is not None else (width - wide) // 2
        top = self.top if self.top is not None else (height - tall) // 2
        if left + wide > width or top + tall > height:
            raise PictureError(
                f"the region {left},{top},{wide},{tall} is not inside the picture of {width} x {height} pixels",
                hint=f"left + width can be up to {width}, top + height up to {height}; or use --crop center:512",
            )
        return Place(left, top, wide, tall)


@dataclass(frozen=True)
class Place:
    """A region of one picture, known to lie inside it.

    Attributes:
        left, top: First column and row, from 0.
        width, height: Columns and rows, at least 1.
    """

    left: int
    top: int
    width: int
    height: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns, to index an array `(H, W, ...)`."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    @property
    def numbers(self) -> tuple[int, int, int, int]:
        """Left, top, width and height."""
        return self.left, self.top, self.width, self.height

    def cut(self, picture: Picture) -> Picture:
        """A copy of this part of `picture`, with its metadata. What names places in the whole is dropped and noted.

        The whole of a picture shares its pixels with it.
        """
        if picture.pixels.shape[:2] == (self.height, self.width):
            return dataclasses.replace(picture, notes=list(picture.notes))
        from restore.images.metadata.photoshop import TIFF_PART, without_places  # here: it takes NumPy and Pillow

        resources = (b"8BIM", TIFF_PART)  # of JPEG and TIFF
        alpha, extra = picture.alpha, picture.extra
        part = dataclasses.replace(
            picture,
            pixels=picture.pixels[self.slices].copy(),
            alpha=None if alpha is None else alpha[self.slices].copy(),
            extra=None if extra is None else extra[self.slices].copy(),
            parts=[(name, without_places(data) if name in resources else data) for name, data in picture.parts],
            notes=list(picture.notes),
        )
        if part.parts != picture.parts:
            part.note("paths, guides and slices of Photoshop do not fit the region; they are dropped")
        return part

    def scaled(self, scale: int) -> Place:
        """The same place in the pixels of a result `scale` times as large."""
        return Place(self.left * scale, self.top * scale, self.width * scale, self.height * scale)


def place_in(picture: Picture, region: Region | str | Sequence[int] | None) -> Place:
    """The place of a region in a picture; None is the whole picture.

    Raises:
        UsageError: It is not a region.
        PictureError: The region reaches beyond the picture.
    """
    height, width = picture.pixels.shape[:2]
    return Place(0, 0, width, height) if region is None else as_region(region).within(width, height)


def as_region(value: Region | str | Sequence[int]) -> Region:
    """A region from itself, from a text for `parse_region`, or from left, top, width and height.

    >>> as_region((100, 50, 512, 384)) == as_region("100,50,512,384")
    True

    Raises:
        UsageError: It is not a region.
    """
    if isinstance(value, Region):
        return value
    if isinstance(value, str):
        return parse_region(value)
    try:
        left, top, width, height = map(operator.index, value)
    except (TypeError, ValueError):
        raise UsageError(f"a region is left, top, width and height, not {value!r}", hint=_FORMS) from None
    return Region(left, top, width, height)


def parse_region(text: str) -> Region:
    """The value of `--crop`.

    >>> parse_region("100,50,512,384")
    Region(left=100, top=50, width=512, height=384)
    >>> parse_region("center:800x600") == parse_region("centre:800x600") == Region(None, None, 800, 600)
    True

    Raises:
        UsageError: It is not a region.
    """
    plain = text.strip().lower()
    if match := re.fullmatch(r"cent(?:er|re):(\d{1,7})(?:x(\d{1,7}))?", plain, re.ASCII):
        return Region(None, None, int(match[1]), int(match[2] or match[1]))
    if match := re.fullmatch(r"(\d{1,7}), ?(\d{1,7}), ?(\d{1,7}), ?(\d{1,7})", plain, re.ASCII):
        left, top, width, height = map(int, match.groups())
        return Region(left, top, width, height)
    raise UsageError(f"--crop is X,Y,W,H or center:N, not {text!r}", hint=_FORMS)

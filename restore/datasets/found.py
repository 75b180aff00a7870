"""The pictures of a set that are on disk, and the pairs that they make."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from restore.datasets.pairs import Pair, read_rgb, scale_of, sizes_of
from restore.datasets.registry import Blocks, Layout
from restore.degradations import Draw, Image
from restore.errors import DataError

Source = Path | Callable[[], Image]  # a picture file, or a function that reads the picture


@dataclass(frozen=True)
class Item:
    """One picture of a set; None for a side that the set does not have."""

    name: str
    clean: Source | None
    degraded: Source | None


@dataclass(frozen=True)
class Found:
    """What is on disk of a split.

    Attributes:
        layout: How the files are stored.
        folder: Where its paths begin.
        items: The pictures, sorted by name.
        faults: Files that could not be paired, one sentence each.
        notes: What was passed over, one sentence for each folder.
    """

    layout: Layout | Blocks
    folder: Path
    items: tuple[Item, ...]
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def has_clean(self) -> bool:
        """Whether there are clean pictures."""
        return bool(self.items) and self.items[0].clean is not None

    @property
    def has_degraded(self) -> bool:
        """Whether there are degraded pictures."""
        return bool(self.items) and self.items[0].degraded is not None

    def pairs(self, draw: Draw | None = None, *, scaled: bool = False) -> Iterator[Pair]:
        """The pairs, decoded one by one; as `pair`."""
        for number in range(len(self.items)):
            yield self.pair(number, draw, scaled=scaled)

    def pair(self, number: int, draw: Draw | None = None, *, scaled: bool = False) -> Pair:
        """One pair, decoded.

        Args:
            number: Of `items`, from 0.
            draw: Degrades the clean picture; it draws from `numpy.random.default_rng(number)`. None: the files as they
                are. Where one side does not exist, the other stands for both.
            scaled: Whether the clean picture may be larger than the degraded one by a whole factor.

        Raises:
            DataError: The two pictures differ in size.
            PictureError: One cannot be read.
        """
        item = self.items[number]
        if draw is not None:
            assert item.clean is not None
            generator = np.random.default_rng(number)
            return Pair(item.name, *draw(generator).apply(_read(item.clean), generator))
        sides = [_read(source) for source in (item.clean, item.degraded) if source is not None]
        scale = scale_of(sides[0].shape, sides[-1].shape)
        if scale != 1 and not (scaled and scale):
            hint = "pairs must have the same size" + (", or differ by a whole factor" if scaled else "")
            raise DataError(f"{item.name!r} is {sizes_of(*sides)}", hint=hint)
        return Pair(item.name, sides[0], sides[-1])


def _read(source: Source) -> Image:
    return read_rgb(source) if isinstance(source, Path) else source()

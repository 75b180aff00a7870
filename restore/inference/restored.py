"""A restored picture, and how it was made; without torch, for pictures that need no network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from restore.images import Picture
    from restore.inference.blending import Seam


@dataclass(frozen=True)
class Restored:
    """A restored picture, and how it was made.

    Attributes:
        picture: The picture.
        tile: Height and width of the tiles, in pixels of the input; of the smallest where memory ran out.
        tiles: Number of tiles; 1 for a picture restored whole, 0 where the network did not run.
        seam: How much neighbouring tiles disagreed where they overlap; None where no tiles met.
        precision: What the network computed in; None where it did not run.
        retiled: Side of the first tiles for which memory ran out, in pixels; None where it never did.
        steps: A record of each step for the report, where several steps made the picture.
        findings: What an inspection found; None without one.
        is_good: The picture needs nothing and is the one that was read.
    """

    picture: Picture
    tile: tuple[int, int]
    tiles: int
    seam: Seam | None
    precision: str | None = None
    retiled: int | None = None
    steps: tuple[dict[str, Any], ...] = ()
    findings: dict[str, Any] | None = None
    is_good: bool = False

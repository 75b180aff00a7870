"""Pairs of clean and degraded pictures: from two folders, or from clean pictures that are degraded here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator

from restore.datasets.listing import list_pictures
from restore.degradations import DEGRADATIONS, Degradation, Draw, Image, jpeg, to_8_bits
from restore.errors import DataError, first_few
from restore.images import read_picture


@dataclass(frozen=True)
class Pair:
    """One picture to score.

    Attributes:
        name: What the tables call it.
        clean, degraded: `(H, W, 3)` float32 RGB, 1 is white. Noise may take `degraded` out of [0, 1].
        kind: How it was degraded, where several kinds are scored together.
    """

    name: str
    clean: Image
    degraded: Image
    kind: str = ""


def read_rgb(path: Path) -> Image:
    """A picture file as `(H, W, 3)` float32, 1 is white; a grey picture gets three equal channels."""
    pixels = read_picture(path).pixels
    rgb = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
    white = 1 if pixels.dtype.kind == "f" else np.iinfo(pixels.dtype).max
    return rgb.astype(np.float32) / np.float32(white)


def pair_up(clean: Path, degraded: Path) -> list[tuple[Path, Path]]:
    """The paths of two folders as `(clean, degraded)`, matched by name without the ending; sorted by name.

    Raises:
        DataError: A picture has no partner, or more than one.
    """
    cleans, others = _by_name(clean), _by_name(degraded)
    if lonely := sorted(cleans.keys() ^ others.keys()):
        how_many = "1 picture has" if len(lonely) == 1 else f"{len(lonely)} pictures have"
        raise DataError(
            f"{how_many} no partner in {clean} and {degraded}: {first_few(lonely)}",
            hint="both folders need the same file names",
        )
    return [(path, others[stem]) for stem, path in cleans.items()]


def paired(clean: Path, degraded: Path) -> Iterator[Pair]:
    """The pairs of two folders, matched by name without the ending.

    Raises:
        DataError: A picture has no partner, or more than one, or another size than its partner.
    """
    for path, other in pair_up(clean, degraded):
        pair = Pair(path.stem, read_rgb(path), read_rgb(other))
        if pair.clean.shape != pair.degraded.shape:
            raise DataError(
                f"{path.stem!r} is {sizes_of(pair.clean, pair.degraded)}", hint="pairs must have the same size"
            )
        yield pair


def scale_of(clean: tuple[int, ...], degraded: tuple[int, ...]) -> int | None:
    """By what whole factor a clean picture is larger than its degraded one; None if there is none.

    >>> scale_of((96, 120, 3), (48, 60, 3)), scale_of((96, 120, 3), (96, 120, 3)), scale_of((96, 120, 3), (48, 61, 3))
    (2, 1, None)
    """
    factor = clean[0] // degraded[0]
    return factor if factor and clean[:2] == (factor * degraded[0], factor * degraded[1]) else None


def sizes_of(clean: Image, degraded: Image) -> str:
    """The sizes of both, for messages."""
    return f"{clean.shape[1]}x{clean.shape[0]} clean and {degraded.shape[1]}x{degraded.shape[0]} degraded"


def _by_name(folder: Path) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for path in list_pictures(folder):
        if (first := named.setdefault(path.stem, path)) != path:
            raise DataError(
                f"{first} and {path.name} have the same name", hint="pictures are paired by name without the ending"
            )
    return named


def degraded(paths: Sequence[Path], draw: Draw, *, seed: int = 0) -> Iterator[Pair]:
    """Degrade clean pictures as they are read; picture i draws from `numpy.random.default_rng(seed + i)`."""
    for i, path in enumerate(paths):
        generator = np.random.default_rng(seed + i)
        reference, spoiled = draw(generator).apply(read_rgb(path), generator)
        yield Pair(path.stem, reference, spoiled)


def with_gaussian_noise(sigma: float, *, as_file: bool) -> Draw:
    """Gaussian noise of one strength, drawn in double precision as for the stored benchmark scores.

    Args:
        sigma: Standard deviation in 8-bit grey levels.
        as_file: Clip the noisy picture and round it to 8 bits.
    """

    def apply(clean: Image, generator: Generator) -> tuple[Image, Image]:
        noisy = clean + generator.standard_normal(clean.shape) * (sigma / 255)
        return clean, to_8_bits(noisy) if as_file else noisy.astype(np.float32)

    return lambda _: Degradation(apply)


def degrading(name: str, level: float | None = None, *, as_file: bool = False) -> Draw:
    """The degradation that clean pictures get before they are scored.

    It departs from `DEGRADATIONS` in two points: "jpeg" is always 4:2:0, and noise is drawn in double precision.

    Args:
        name: Key of `DEGRADATIONS`.
        level: Sigma, JPEG quality or scale; None for a degradation without a level.
        as_file: Clip noise and round it to 8 bits.

    Raises:
        UsageError: The level is missing or out of range.
    """
    draw = DEGRADATIONS[name](None if level is None else (level, level))
    if level is not None and name == "gaussian-noise":
        return with_gaussian_noise(level, as_file=as_file)
    if level is not None and name == "jpeg":
        quality = round(level)
        return lambda _: Degradation(lambda x, _: (x, jpeg(x, quality)))
    return draw

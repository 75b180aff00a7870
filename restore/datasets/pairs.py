"""Pairs of pictures to score: two folders, or one of clean pictures that are degraded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator

from restore.degradations import Degradation, Image, to_8_bits
from restore.degradations import Draw as Draw
from restore.errors import DataError, first_few
from restore.images import FORMATS, read_picture


@dataclass(frozen=True)
class Pair:
    """One picture to score: `clean` and `degraded` are `(H, W, 3)` float32 RGB; `degraded` may leave [0, 1].

    `kind` says how it was degraded, where pictures of several kinds are scored together.
    """

    name: str
    clean: Image
    degraded: Image
    kind: str = ""


def list_pictures(folder: Path) -> list[Path]:
    """The picture files of a folder, sorted by name.

    Raises:
        DataError: The folder is missing or holds no picture.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder", hint="name the folder that holds the pictures")
    found = sorted(p for p in folder.iterdir() if p.suffix.lower() in FORMATS)
    if not found:
        raise DataError(f"no pictures in {folder}", hint=f"expected files ending in {', '.join(FORMATS)}")
    return found


def read_rgb(path: Path) -> Image:
    """A picture file as `(H, W, 3)` float32 in [0, 1]; grey is repeated over the channels."""
    pixels = read_picture(path).pixels
    rgb = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
    white = 1 if pixels.dtype.kind == "f" else np.iinfo(pixels.dtype).max
    return rgb.astype(np.float32) / np.float32(white)


def pair_up(clean: Path, degraded: Path) -> list[tuple[Path, Path]]:
    """The pictures of two folders, matched by file name (the ending may differ): `(clean, degraded)`, sorted by name.

    Raises:
        DataError: A picture has no partner or two.
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
    """Pictures of two folders, matched by file name (the ending may differ).

    Raises:
        DataError: A picture has no partner or two, or the sizes differ.
    """
    for path, other in pair_up(clean, degraded):
        pair = Pair(path.stem, read_rgb(path), read_rgb(other))
        if pair.clean.shape != pair.degraded.shape:
            raise DataError(
                f"{path.stem!r} is {pair.clean.shape[1]}x{pair.clean.shape[0]} clean and "
                f"{pair.degraded.shape[1]}x{pair.degraded.shape[0]} degraded",
                hint="pairs must have the same size",
            )
        yield pair


def _by_name(folder: Path) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for path in list_pictures(folder):
        if (first := named.setdefault(path.stem, path)) != path:
            raise DataError(
                f"{first} and {path.name} have the same name", hint="pictures are paired by name, whatever its ending"
            )
    return named


def degraded(paths: Sequence[Path], draw: Draw, *, seed: int = 0) -> Iterator[Pair]:
    """Clean pictures degraded on the fly; picture i draws from `numpy.random.default_rng(seed + i)`."""
    for i, path in enumerate(paths):
        generator = np.random.default_rng(seed + i)
        reference, spoiled = draw(generator).apply(read_rgb(path), generator)
        yield Pair(path.stem, reference, spoiled)


def with_gaussian_noise(sigma: float, *, as_file: bool) -> Draw:
    """Gaussian noise of one `sigma` (grey levels), drawn in double precision as the stored benchmark scores were."""

    def apply(clean: Image, generator: Generator) -> tuple[Image, Image]:
        noisy = clean + generator.standard_normal(clean.shape) * (sigma / 255)
        return clean, to_8_bits(noisy) if as_file else noisy.astype(np.float32)

    return lambda _: Degradation(apply)

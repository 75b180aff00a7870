"""Pictures to score and to train on: paired folders, clean folders with a degradation, and named benchmark sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from restore.degradations import Degradation, Image, to_8_bits
from restore.degradations import Draw as Draw
from restore.errors import DataError
from restore.images import FORMATS, read_picture


@dataclass(frozen=True)
class Pair:
    """One picture to score: `clean` and `degraded` are `(H, W, 3)` float32 RGB; `degraded` may leave [0, 1]."""

    name: str
    clean: Image
    degraded: Image


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


def paired(clean: Path, degraded: Path) -> Iterator[Pair]:
    """Pictures of two folders, matched by file name (the ending may differ).

    Raises:
        DataError: A picture has no partner or two, or the sizes differ.
    """
    cleans, others = _by_name(clean), _by_name(degraded)
    if lonely := sorted(cleans.keys() ^ others.keys()):
        raise DataError(
            f"{len(lonely)} pictures have no partner in {clean} and {degraded}, first {lonely[0]!r}",
            hint="both folders need the same file names",
        )
    for stem, path in cleans.items():
        pair = Pair(stem, read_rgb(path), read_rgb(others[stem]))
        if pair.clean.shape != pair.degraded.shape:
            raise DataError(
                f"{stem!r} is {pair.clean.shape[1]}x{pair.clean.shape[0]} clean and "
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


class PhotoCrops:
    """Random training crops of clean photographs, which are decoded once and held as bytes.

    Crop `index` is the same on every run: degradation, photo, place, noise, flip and turn are drawn from
    `numpy.random.default_rng((seed, index))`. Half of the time the more detailed of two places is taken.

    Args:
        paths: The photographs; those that are not 8-bit RGB or smaller than a crop are left out.
        draw: Decides on the degradation.
        crop: Side of the crops in pixels.
        seed: Fixes everything.

    Raises:
        DataError: No photograph is left.
    """

    def __init__(self, paths: Sequence[Path], draw: Draw, *, crop: int, seed: int) -> None:
        decoded = ((path, read_picture(path).pixels) for path in paths)
        usable = [(n, p) for n, p in decoded if p.dtype == np.uint8 and p.shape[2] == 3 and min(p.shape[:2]) >= crop]
        self.paths, self.photos = [n for n, _ in usable], [p for _, p in usable]
        if not self.photos:
            raise DataError(
                f"no 8-bit RGB photo of at least {crop}x{crop} pixels to train on", hint="use a smaller crop"
            )
        self.draw, self.crop, self.seed = draw, crop, seed
        areas = np.cumsum([p.shape[0] * p.shape[1] for p in self.photos])
        self.shares = areas / areas[-1]

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Crop `index` (any number from 0 on): `(reference, degraded)`, float32.

        `degraded` is `(3, crop, crop)`; so is `reference`, or it is larger by the degradation's `reduction`.
        """
        generator = np.random.default_rng((self.seed, index))
        degradation = self.draw(generator)
        around = 2 * degradation.margin + degradation.grid - 1
        side = (self.crop + around) * degradation.reduction
        source = self._place(generator, int(np.ceil(side / degradation.scale / 2)) * 2)
        if degradation.is_oriented:
            source = _turning(generator)(source)
        pair = degradation.apply(source.astype(np.float32) / np.float32(255), generator)
        top = left = degradation.margin
        if degradation.grid > 1:
            top, left = (degradation.margin + int(shift) for shift in generator.integers(degradation.grid, size=2))
        reference, degraded = (
            _crop(x, top * factor, left * factor, self.crop * factor)
            for x, factor in zip(pair, (degradation.reduction, 1), strict=True)
        )
        if not degradation.is_oriented:
            turned = _turning(generator)
            reference, degraded = turned(reference), turned(degraded)
        return _planes(reference), _planes(degraded)

    def source(self, index: int) -> str:
        """Name of the picture that crop `index` is of."""
        generator = np.random.default_rng((self.seed, index))
        self.draw(generator)
        return self.paths[self._pick(generator)].name

    def _pick(self, generator: Generator) -> int:
        return int(np.searchsorted(self.shares, generator.random(), side="right"))

    def _place(self, generator: Generator, side: int) -> NDArray[np.uint8]:
        photo = self.photos[self._pick(generator)]
        if min(photo.shape[:2]) < side:
            missing = [(0, max(0, side - length)) for length in photo.shape[:2]]
            photo = np.pad(photo, [*missing, (0, 0)], mode="symmetric")
        places = []
        for _ in range(generator.integers(1, 3)):
            top, left = (generator.integers(length - side + 1) for length in photo.shape[:2])
            places.append(photo[top : top + side, left : left + side])
        return max(places, key=_detail)


def _detail(pixels: NDArray[np.uint8]) -> float:
    green = pixels[::2, ::2, 1].astype(np.int16)
    return float(np.abs(np.diff(green, axis=0)).mean() + np.abs(np.diff(green, axis=1)).mean())


def _crop(x: Image, top: int, left: int, side: int) -> Image:
    return x[top : top + side, left : left + side]


def _turning(generator: Generator) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """One of the eight turns and mirrorings of a square."""
    turn, mirror = int(generator.integers(4)), generator.integers(2)

    def turned(x: NDArray[Any]) -> NDArray[Any]:
        x = np.rot90(x, turn)
        return x[:, ::-1] if mirror else x

    return turned


def _planes(x: Image) -> Image:
    """`(H, W, C)` as networks take it, `(C, H, W)`."""
    return np.ascontiguousarray(x.transpose(2, 0, 1))

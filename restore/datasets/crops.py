"""Training crops: of photographs that are degraded, of pairs, or of both. Every picture is checked first."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from itertools import compress
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from restore.datasets.faulty import FaultyPictures
from restore.datasets.photo_cache import Photo, decode
from restore.degradations import Draw, Image
from restore.degradations.rain import layer_of
from restore.errors import DataError, first_few

Progress = Callable[[int, int], None]
Scalar = TypeVar("Scalar", bound=np.generic)


def check_photos(paths: Sequence[Path], progress: Progress | None = None) -> list[Photo]:
    """Decode the photos to train on (`restore.datasets.photo_cache`), and name every one that cannot be used.

    Args:
        paths: The photos.
        progress: Called with the number of photos that are done and the total.

    Raises:
        DataError: Some cannot be read.
    """
    photos, faults = decode(paths, progress)
    _refuse(faults, "photos", len(paths))
    return [photo for photo in photos if photo is not None]


def check_pairs(
    pairs: Sequence[tuple[Path, Path]], *, scale: int = 1, progress: Progress | None = None
) -> list[tuple[Photo, Photo]]:
    """Decode the pairs to train on, and name every picture that cannot be used.

    Args:
        pairs: `(clean, degraded)`; a clean picture may be in several pairs.
        scale: How many times larger the clean picture is than the degraded one.
        progress: As for `check_photos`.

    Raises:
        DataError: Some cannot be read, or the sizes of a pair do not fit.
    """
    paths = list(dict.fromkeys(path for pair in pairs for path in pair))
    decoded, faults = decode(paths, progress)
    photos = dict(zip(paths, decoded, strict=True))
    whole = []
    for clean_path, degraded_path in pairs:
        clean, degraded = photos[clean_path], photos[degraded_path]
        if clean is None or degraded is None:
            continue
        whole.append((clean, degraded))
        if clean.shape[:2] != tuple(scale * side for side in degraded.shape[:2]):
            faults.append(
                f"{clean_path} is {clean.shape[1]}x{clean.shape[0]} clean and "
                f"{degraded.shape[1]}x{degraded.shape[0]} degraded"
            )
    _refuse(faults, "pictures of pairs", len(paths))
    return whole


def rain_layers(pairs: Sequence[tuple[Path, Path]]) -> list[NDArray[np.uint8]]:
    """The rain of `(clean, rainy)` pairs, for `degradations.rain.pasted_rain`, `(H, W)` each.

    Raises:
        DataError: As for `check_pairs`; or no pair shows its rain, because the pictures are mostly white.
    """
    found = (layer_of(clean.pixels, rainy.pixels) for clean, rainy in check_pairs(pairs))
    layers = [layer for layer in found if layer is not None]
    if not layers:
        raise DataError("the pairs hold no rain to take", hint="use rainy pictures that are not mostly white")
    return layers


def _refuse(faults: list[str], what: str, count: int) -> None:
    if faults:
        raise FaultyPictures(
            f"{len(faults)} of {count} {what} cannot be trained on: {first_few(faults)}",
            hint="repair them or move them out of the folder: training needs readable pictures that fit",
            faults=faults,
        )


class Crops(Protocol):
    """Training crops by number, the same on every run."""

    crop: int

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Crop `index` (any number from 0 on): `(reference, degraded)`, float32.

        `degraded` is `(3, crop, crop)`, and so is `reference`; for upscaling it is larger by the scale.
        """

    def source(self, index: int) -> str:
        """Name of the picture that crop `index` is of."""


class PhotoCrops:
    """Random training crops of clean photographs, which are decoded once (`restore.datasets.photo_cache`).

    Crop `index` is the same on every run: degradation, photo, place, noise, flip and rotation are drawn from
    `numpy.random.default_rng((seed, index))`. For half of the crops, the more detailed of two places is taken.

    Args:
        paths: The photographs; those smaller than a crop are left out (`left_out`).
        draw: Draws the degradation of each crop.
        crop: Side of the degraded crops in pixels.
        seed: Seed of all draws.
        labels: A better network's results for the degraded photographs, in the same order. The degradation must be the
            same every time and leave its reference as it is.
        label_share: Share of the crops whose reference comes from the label.
        progress: As for `check_photos`.

    Raises:
        DataError: No photograph is large enough, some cannot be read, or a label differs in size from its photograph.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        draw: Draw,
        *,
        crop: int,
        seed: int,
        labels: Sequence[Path] | None = None,
        label_share: float = 1.0,
        progress: Progress | None = None,
    ) -> None:
        photos = check_photos(paths, progress)
        large = [min(photo.shape[:2]) >= crop for photo in photos]
        self.photos, self.left_out = list(compress(photos, large)), large.count(False)
        self.labels = None if labels is None else list(compress(_check_labels(photos, labels), large))
        self.label_share = label_share
        if not self.photos:
            raise DataError(f"no photo of at least {crop}x{crop} pixels to train on", hint="use a smaller crop")
        self.draw, self.crop, self.seed = draw, crop, seed
        self.shares = _shares(self.photos)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Crop `index` (any number from 0 on): `(reference, degraded)`, float32.

        `degraded` is `(3, crop, crop)`; so is `reference`, or it is larger by the degradation's `reduction`.
        """
        generator = np.random.default_rng((self.seed, index))
        degradation = self.draw(generator)
        around = 2 * degradation.margin + degradation.grid - 1
        side = (self.crop + around) * degradation.reduction
        squares = self._place(index, generator, int(np.ceil(side / degradation.scale / 2)) * 2)
        if degradation.is_oriented:
            turned = _turning(generator)
            squares = [turned(square) for square in squares]
        source, *label = (square.astype(np.float32) / np.float32(255) for square in squares)
        pair = degradation.apply(source, generator)
        if label:
            pair = label[0], pair[1]
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
        return self.photos[_pick(self.shares, generator)].path.name

    def _place(self, index: int, generator: Generator, side: int) -> list[NDArray[np.uint8]]:
        """A square of a photo, and the same square of its label if this crop uses the label."""
        which = _pick(self.shares, generator)
        photo = _at_least(side, self.photos[which].pixels)
        places = _places(photo.shape, side, generator)
        best, square = _busiest([_crop(photo, *place, side) for place in places])
        if self.labels is None or np.random.default_rng((self.seed, index, 2)).random() >= self.label_share:
            return [square]
        return [square, _crop(_at_least(side, self.labels[which].pixels), *places[best], side)]


class PairCrops:
    """Random training crops of pairs of pictures, from the same place of both.

    Crop `index` is the same on every run: pair, place, flip and rotation are drawn from
    `numpy.random.default_rng((seed, index))`. For half of the crops, the more detailed of two places is taken.

    Args:
        pairs: `(clean, degraded)`; those smaller than a crop are left out (`left_out`).
        crop: Side of the degraded crops in pixels.
        seed: Seed of all draws.
        scale: How many times larger the clean pictures are than the degraded ones.
        is_upright: Use only the four flips and rotations that keep vertical lines vertical, not all eight.
        progress: As for `check_photos`.

    Raises:
        DataError: No pair is large enough, or some are not readable pictures with sizes that fit.
    """

    def __init__(
        self, pairs: Sequence[tuple[Path, Path]], *, crop: int, seed: int, scale: int = 1, is_upright: bool = False,
        progress: Progress | None = None,
    ) -> None:  # fmt: skip
        checked = check_pairs(pairs, scale=scale, progress=progress)
        self.pairs = [pair for pair in checked if min(pair[1].shape[:2]) >= crop]
        self.left_out = len(checked) - len(self.pairs)
        if not self.pairs:
            raise DataError(f"no pair of at least {crop}x{crop} pixels to train on", hint="use a smaller crop")
        self.crop, self.seed, self.scale, self.is_upright = crop, seed, scale, is_upright
        self.shares = _shares([degraded for _, degraded in self.pairs])

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Crop `index` (any number from 0 on): `(clean, degraded)`, float32 in [0, 1].

        `degraded` is `(3, crop, crop)`, `clean` is `scale` times as large.
        """
        generator = np.random.default_rng((self.seed, index))
        clean, degraded = (photo.pixels for photo in self.pairs[_pick(self.shares, generator)])
        places = _places(degraded.shape, self.crop, generator)
        sides = [(top * self.scale, left * self.scale, self.crop * self.scale) for top, left in places]
        best, reference = _busiest([_crop(clean, *side) for side in sides])
        turned = _turning(generator, is_upright=self.is_upright)
        pair = (
            turned(x).astype(np.float32) / np.float32(255)
            for x in (reference, _crop(degraded, *places[best], self.crop))
        )
        return _planes(next(pair)), _planes(next(pair))

    def source(self, index: int) -> str:
        """Name of the picture that crop `index` is of."""
        return self.pairs[_pick(self.shares, np.random.default_rng((self.seed, index)))][1].path.name


class MixedCrops:
    """Crops of photographs or of pairs, as `numpy.random.default_rng((seed, index, 1))` draws.

    Args:
        photos, pairs: The crops to mix.
        share: Share of the crops that come from pairs.
        seed: Seed of the draws.
    """

    def __init__(self, photos: Crops, pairs: Crops, *, share: float, seed: int) -> None:
        self.photos, self.pairs, self.share, self.seed = photos, pairs, share, seed

    @property
    def crop(self) -> int:
        """Side of the degraded crops in pixels."""
        return self.photos.crop

    @crop.setter
    def crop(self, side: int) -> None:
        self.photos, self.pairs = copy.copy(self.photos), copy.copy(self.pairs)
        self.photos.crop = self.pairs.crop = side

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Crop `index` of the photographs or of the pairs."""
        return self._part(index)[index]

    def source(self, index: int) -> str:
        """Name of the picture that crop `index` is of."""
        return self._part(index).source(index)

    def _part(self, index: int) -> Crops:
        is_pair = np.random.default_rng((self.seed, index, 1)).random() < self.share
        return self.pairs if is_pair else self.photos


def _check_labels(photos: Sequence[Photo], labels: Sequence[Path]) -> list[Photo]:
    found = check_photos(labels)
    for photo, label in zip(photos, found, strict=True):
        if photo.shape != label.shape:
            raise DataError(
                f"{label.path} is {label.shape[1]}x{label.shape[0]}, and its photo {photo.shape[1]}x{photo.shape[0]}",
                hint="make the labels of these photos with scripts/make_labels.py",
            )
    return found


def _at_least(side: int, photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The photo; one smaller than a square of this side is mirrored at the right and bottom."""
    if min(photo.shape[:2]) >= side:
        return photo
    missing = [(0, max(0, side - length)) for length in photo.shape[:2]]
    return np.pad(photo, [*missing, (0, 0)], mode="symmetric")


def _shares(photos: Sequence[Photo]) -> NDArray[np.float64]:
    """Cumulative probabilities of the photos, in proportion to their areas."""
    areas = np.cumsum([photo.shape[0] * photo.shape[1] for photo in photos])
    return np.asarray(areas / areas[-1])


def _pick(shares: NDArray[np.float64], generator: Generator) -> int:
    return int(np.searchsorted(shares, generator.random(), side="right"))


def _places(shape: tuple[int, ...], side: int, generator: Generator) -> list[tuple[int, int]]:
    """Top and left of one or two random squares, with equal probability."""
    count = generator.integers(1, 3)
    return [
        (int(generator.integers(shape[0] - side + 1)), int(generator.integers(shape[1] - side + 1)))
        for _ in range(count)
    ]


def _busiest(crops: list[NDArray[np.uint8]]) -> tuple[int, NDArray[np.uint8]]:
    """Index of the crop with the most detail, and the crop."""
    return max(enumerate(crops), key=lambda numbered: _detail(numbered[1])) if len(crops) > 1 else (0, crops[0])


def _detail(pixels: NDArray[np.uint8]) -> float:
    green = pixels[::2, ::2, 1].astype(np.int16)
    return float(np.abs(np.diff(green, axis=0)).mean() + np.abs(np.diff(green, axis=1)).mean())


def _crop(x: NDArray[Scalar], top: int, left: int, side: int) -> NDArray[Scalar]:
    return x[top : top + side, left : left + side]


def _turning(generator: Generator, *, is_upright: bool = False) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """One of the eight flips and rotations of a square, or of the four that keep vertical lines vertical."""
    turn, mirror = int(generator.integers(4)), generator.integers(2)
    if is_upright:
        turn = turn // 2 * 2

    def turned(x: NDArray[Any]) -> NDArray[Any]:
        x = np.rot90(x, turn)
        return x[:, ::-1] if mirror else x

    return turned


def _planes(x: Image) -> Image:
    """`(H, W, C)` as `(C, H, W)`, the order of networks."""
    return np.ascontiguousarray(x.transpose(2, 0, 1))

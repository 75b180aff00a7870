"""Held-out pictures: pairs in memory that are validated and never trained on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restore.datasets.pairs import Pair, degraded
from restore.degradations import Draw, Image


class HeldOut:
    """Pairs in memory. Pictures of 8 bits are kept as bytes, a quarter of the size, without loss.

    Args:
        channels: Of the network. For one channel, pictures get three equal ones: the first one of the given picture.
    """

    def __init__(self, channels: int = 3) -> None:
        self._channels = channels
        self._pairs: list[tuple[str, NDArray[Any], NDArray[Any], str]] = []

    def add(self, pairs: Iterable[Pair]) -> None:
        """Keep further pairs."""
        self._pairs += ((p.name, self._kept(p.clean), self._kept(p.degraded), p.kind) for p in pairs)

    def _kept(self, picture: Image) -> NDArray[Any]:
        return _small(picture if self._channels == 3 else np.repeat(picture[..., :1], 3, axis=-1))

    @property
    def kinds(self) -> list[str]:
        """The kind of degradation of each pair."""
        return [kind for *_, kind in self._pairs]

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> Pair:
        name, clean, degraded, kind = self._pairs[index]
        return Pair(name, _float(clean), _float(degraded), kind)

    def __iter__(self) -> Iterator[Pair]:
        return (self[i] for i in range(len(self)))


def _small(picture: Image) -> NDArray[Any]:
    levels = np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    return levels if np.array_equal(_float(levels), picture) else picture


def _float(picture: NDArray[Any]) -> Image:
    if picture.dtype != np.uint8:
        return picture
    return picture.astype(np.float32) / np.float32(255)


def degraded_middles(paths: Sequence[Path], draws: Mapping[str, Draw], *, seed: int, side: int) -> Iterator[Pair]:
    """Photos under every kind of degradation, cut to their middle.

    Args:
        paths: The photos.
        draws: Degradations by the name of their kind.
        seed: Fixes the degradations.
        side: Pixels of the middle; 0 keeps whole photos.
    """
    for kind, draw in draws.items():
        for pair in degraded(paths, draw, seed=seed):
            pair = dataclasses.replace(pair, kind=kind)
            yield middle(pair, side) if side else pair


def middle(pair: Pair, side: int) -> Pair:
    """The middle of a pair: about `side` pixels of the clean picture, or all of a smaller one.

    The degraded picture may be smaller than the clean one by a whole factor.
    """
    scale = pair.clean.shape[0] // pair.degraded.shape[0]
    cuts = []
    for length in pair.degraded.shape[:2]:
        wanted = min(length, max(1, side // scale))
        start = (length - wanted) // 2
        start -= start % 16  # keeps the phase of Bayer mosaics and JPEG blocks
        cuts.append((start, start + wanted))
    (top, bottom), (left, right) = cuts
    clean, degraded = (
        np.ascontiguousarray(x[factor * top : factor * bottom, factor * left : factor * right])  # frees the rest
        for x, factor in ((pair.clean, scale), (pair.degraded, 1))
    )
    return dataclasses.replace(pair, clean=clean, degraded=degraded)

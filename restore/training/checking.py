"""Checking the pictures of a run by the trainer's own rule, before it starts: the same code, without a step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from restore.datasets.crops import check_pairs, check_photos
from restore.datasets.faulty import FaultyPictures
from restore.errors import DataError
from restore.training.recipe import Recipe
from restore.training.sources import Sources
from restore.training.starting_weights import new_network
from restore.training.training_data import load_training_data


@dataclass(frozen=True)
class Checked:
    """What a run would make of its pictures.

    Attributes:
        faults: Why it would not start, a sentence on each picture; none if it would.
        notes: What it would say.
        about: What it would train on and hold out, in words; empty if there are faults.
    """

    faults: tuple[str, ...]
    notes: tuple[str, ...] = ()
    about: str = ""


def check_training(recipe: Recipe, sources: Sources, progress: Callable[[int, int], None] | None = None) -> Checked:
    """Decode, pair and split the pictures as `restore.training.loop.train` does.

    Args:
        recipe: Says how large crops are, how many pictures are held out, and by what factor its network upscales.
        sources: The pictures.
        progress: Called with the number of pictures that are decoded and the total, for each kind of pictures.

    Raises:
        UsageError: The network does not accept the crops.
    """
    network = new_network(recipe)
    if faults := list(_faults(sources, network.scale, progress)):
        return Checked(tuple(faults), sources.notes)
    try:
        loaded = load_training_data(recipe, network.scale, sources, channels=network.channels)
    except DataError as error:
        return Checked((f"{error.message}; {error.hint}" if error.hint else error.message,), sources.notes)
    return Checked((), (*sources.notes, *loaded.notes), loaded.about)


def _faults(sources: Sources, scale: int, progress: Callable[[int, int], None] | None) -> Iterator[str]:
    """Every picture that cannot be read or does not fit its partner."""
    try:
        if sources.pairs:
            check_pairs(sources.pairs, scale=scale, progress=progress)
    except FaultyPictures as error:
        yield from error.faults
    try:
        if sources.photos:
            check_photos(sources.photos, progress)
    except FaultyPictures as error:
        yield from error.faults

"""Checking a set: open every picture and name every fault."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from restore.datasets.found import Found, Source
from restore.datasets.pairs import scale_of
from restore.datasets.registry import Dataset
from restore.errors import RestoreError, first_few
from restore.images import read_picture


def faults(found: Found, dataset: Dataset | None = None, split: str | None = None) -> Iterator[str | None]:
    """Open every file and name the faults: first those of the whole set, then one answer for each picture.

    Args:
        found: What is on disk.
        dataset: The set that it should be; None for folders of the user's own.
        split: Split of `dataset`; None for the one that is scored.

    Yields:
        A fault in words; None for a picture that is readable and fits its partner.
    """
    yield from found.faults
    expected = found.layout.pictures
    colour = "rgb" if dataset is None else dataset.colour
    if dataset is not None:
        expected = expected or dataset.splits[split or dataset.scored_split].pictures
    if expected is not None and len(found.items) != expected:
        yield f"{len(found.items)} pictures instead of {expected}"
    checked: dict[Source, tuple[str | None, tuple[int, ...]]] = {}  # the last clean picture may have many partners
    scale: int | None = None  # that of the first pair: own pairs may be for upscaling
    greys: list[str] = []
    colours = 0
    for item in found.items:
        sides = []
        for source in (item.clean, item.degraded):
            if source is None:
                continue
            if source not in checked:
                if source is item.clean:
                    checked.clear()
                checked[source] = _opened(source)
            sides.append(checked[source])
        fault = next((reason for reason, _ in sides if reason is not None), None)
        if fault is None:
            (height, width, _), (height2, width2, _) = sides[0][1], sides[-1][1]
            factor = scale_of(*(shape for _, shape in (sides[0], sides[-1])))
            scale = scale or (factor if dataset is None or dataset.task == "upscale" else 1)
            if factor is None or factor != (scale or 1):
                fault = f"{item.name}: {width}x{height} clean and {width2}x{height2} degraded"
            grey = any(shape[2] == 1 for _, shape in sides)
            colours += not grey
            greys += [item.name] * grey
        if item.degraded is not None:
            checked.pop(item.degraded, None)
        yield fault
    if colour == "rgb" and greys and dataset is not None:
        yield f"{len(greys)} grey among colour: {first_few(greys)}"
    if colour == "grey" and colours:
        yield f"{colours} in colour, and all should be grey"


def _opened(source: Source) -> tuple[str | None, tuple[int, ...]]:
    """Why a picture cannot be read (None if it can), and the shape of its pixels."""
    try:
        if not isinstance(source, Path):
            return None, source().shape
        picture = read_picture(source)
    except RestoreError as error:
        return error.message, ()
    return f"{source} is damaged: {picture.damage}" if picture.damage else None, picture.pixels.shape

"""The pictures of a dataset: which belongs to which, whether all are whole, and how clean ones are degraded."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restore.datasets.pairs import Pair, read_rgb, with_gaussian_noise
from restore.datasets.registry import DATASETS, Blocks, Dataset, Layout
from restore.degradations import DEGRADATIONS, Degradation, Draw, Image, jpeg
from restore.errors import DataError, RestoreError, first_few
from restore.images import FORMATS, read_picture

Source = Path | Callable[[], Image]  # a picture's file, or what reads it


@dataclass(frozen=True)
class Item:
    """One picture of a set; a side that the set does not have is None."""

    name: str
    clean: Source | None
    degraded: Source | None


@dataclass(frozen=True)
class Found:
    """What is on disk of a split: `items` in the order of their names, and what could not be paired (`faults`)."""

    layout: Layout | Blocks
    folder: Path
    items: tuple[Item, ...]
    faults: tuple[str, ...] = ()

    @property
    def has_clean(self) -> bool:
        """Whether the clean pictures are there."""
        return bool(self.items) and self.items[0].clean is not None

    @property
    def has_degraded(self) -> bool:
        """Whether degraded pictures are there."""
        return bool(self.items) and self.items[0].degraded is not None

    def pairs(self, draw: Draw | None = None) -> Iterator[Pair]:
        """The pairs, decoded one by one.

        Args:
            draw: What degrades clean pictures, number i by `numpy.random.default_rng(i)`. None: the pair on disk; where
                one side is missing, the other stands for both.

        Raises:
            DataError: The sizes of two differ.
        """
        for index, item in enumerate(self.items):
            if draw is not None:
                assert item.clean is not None
                generator = np.random.default_rng(index)
                yield Pair(item.name, *draw(generator).apply(_read(item.clean), generator))
                continue
            sides = [_read(source) for source in (item.clean, item.degraded) if source is not None]
            if sides[0].shape != sides[-1].shape:
                raise DataError(f"{item.name!r} is {_sizes(*sides)}", hint="pairs must have the same size")
            yield Pair(item.name, sides[0], sides[-1])


def _read(source: Source) -> Image:
    return read_rgb(source) if isinstance(source, Path) else source()


def _sizes(clean: NDArray[Any], degraded: NDArray[Any]) -> str:
    sizes = ((f"{p.shape[1]}x{p.shape[0]} {word}") for p, word in ((clean, "clean"), (degraded, "degraded")))
    return " and ".join(sizes)


class Absent(DataError):
    """Nothing of a split is there in a layout that is known."""


def find(name: str, root: Path, split: str | None = None) -> Found:
    """The pictures of a named set.

    Args:
        name: Key of `DATASETS`.
        root: Folder of the set, or one that holds it in a way that a layout names.
        split: Key of its `splits`; `scored_split` where it is None.

    Raises:
        Absent: Nothing in the folder lies as expected.
        DataError: There is no such folder or split, or a MATLAB file cannot be read.
    """
    dataset = DATASETS[name]
    split = split or dataset.scored_split
    if split not in dataset.splits:
        raise DataError(f"{name} has no split called {split!r}", hint=f"choose one of {', '.join(dataset.splits)}")
    if not root.is_dir():
        raise DataError(f"{root} is not a folder", hint="name the folder that holds the set")
    layouts = dataset.splits[split].layouts
    half: Found | None = None
    for layout in layouts:
        for place in layout.within:
            found = _blocks(layout, root / place) if isinstance(layout, Blocks) else _pictures(layout, root / place)
            if found is not None and found.items:
                return found
            half = half or found
    if half is not None:
        return half
    raise Absent(
        f"{root} holds no {split} pictures of {name} in a known layout",
        hint=f"expected {'; or '.join(map(str, layouts))}",
    )


def find_folders(clean: Path, degraded: Path | None = None) -> Found:
    """The pictures of folders of one's own, paired by name whatever the ending.

    Raises:
        DataError: One of them is no folder, or there is no picture.
    """
    for folder in (clean, degraded):
        if folder is not None and not folder.is_dir():
            raise DataError(f"{folder} is not a folder", hint="name the folder that holds the pictures")
    sides = [_matched("*", clean), None if degraded is None else _matched("*", degraded)]
    found = _paired(Layout("own", "*", None if degraded is None else "*"), clean, sides[0], sides[1])
    if found is None:
        raise DataError(f"no pictures in {clean}", hint=f"expected files ending in {', '.join(FORMATS)}")
    return found


Files = dict[tuple[str, ...], list[Path]]


def _pictures(layout: Layout, folder: Path) -> Found | None:
    sides = [None if pattern is None else _matched(pattern, folder) for pattern in (layout.clean, layout.degraded)]
    return _paired(layout, folder, *sides)


def _matched(pattern: str, folder: Path) -> Files:
    """The pictures whose path below `folder` fits, by what the stars of the pattern stand for."""
    parents, _, _ = pattern.rpartition("/")
    folders = sorted(folder.glob(parents)) if parents else [folder]
    fits = re.compile(re.escape(pattern).replace(r"\*", "([^/]*)"), re.IGNORECASE)
    files: Files = {}
    for parent in folders:
        for path in sorted(parent.iterdir()) if parent.is_dir() else ():
            if path.suffix.lower() in FORMATS and path.is_file():
                match = fits.fullmatch(path.relative_to(folder).with_suffix("").as_posix())
                if match:
                    files.setdefault(match.groups(), []).append(path)
    return files


def _paired(layout: Layout, folder: Path, clean: Files | None, degraded: Files | None) -> Found | None:
    """None where there is not one picture."""
    if not clean and not degraded:
        return None
    faults = [
        f"{first.name} and {second.name} in {first.parent} have the same name"
        for files in (clean, degraded)
        for first, second, *_ in (paths for paths in (files or {}).values() if len(paths) > 1)
    ]
    if clean is None or degraded is None:
        items = [
            Item("/".join(key), paths[0] if degraded is None else None, paths[0] if clean is None else None)
            for key, paths in sorted((clean or degraded or {}).items())
        ]
        return Found(layout, folder, tuple(items), tuple(faults))
    assert layout.clean is not None
    stars = layout.clean.count("*")
    items = [
        Item("/".join(key), clean[key[:stars]][0], paths[0])
        for key, paths in sorted(degraded.items())
        if key[:stars] in clean
    ]
    used = {key[:stars] for key in degraded}
    faults += [
        f"{paths[0]} has no clean partner" for key, paths in sorted(degraded.items()) if key[:stars] not in clean
    ]
    faults += [f"{paths[0]} has no degraded partner" for key, paths in sorted(clean.items()) if key not in used]
    return Found(layout, folder, tuple(items), tuple(faults))


def _blocks(blocks: Blocks, folder: Path) -> Found | None:
    if blocks.boxes is not None:
        return _boxes(blocks, folder)
    if not (folder / blocks.degraded[0]).is_file():
        return None
    noisy = _block_array(folder / blocks.degraded[0], blocks.degraded[1])
    clean = None
    if blocks.clean is not None:
        clean = _block_array(folder / blocks.clean[0], blocks.clean[1])
        if clean.shape != noisy.shape:
            raise DataError(f"{folder / blocks.clean[0]} has blocks {clean.shape}, the noisy file {noisy.shape}")
    items = tuple(
        Item(
            f"{i + 1:04d}_{k + 1:02d}",
            None if clean is None else functools.partial(_unit, clean, i, k),
            functools.partial(_unit, noisy, i, k),
        )
        for i in range(noisy.shape[0])
        for k in range(noisy.shape[1])
    )
    return Found(blocks, folder, items)


def _unit(blocks: NDArray[np.uint8], i: int, k: int) -> Image:
    picture: Image = blocks[i, k].astype(np.float32) / np.float32(255)
    return picture


def _block_array(path: Path, variable: str) -> NDArray[np.uint8]:
    """`(images, blocks, height, width, 3)` of a MATLAB file up to version 7."""
    try:
        import scipy.io
    except ImportError:
        raise _no_reader(path) from None
    try:
        array = scipy.io.loadmat(path, variable_names=[variable]).get(variable)
    except Exception as error:  # whatever a damaged file makes of the reader
        raise DataError(f"cannot read {path}: {error}", hint="download it again") from error
    if array is None or array.dtype != np.uint8 or array.ndim != 5 or array.shape[-1] != 3:
        raise DataError(f"{path} holds no blocks of 8-bit RGB called {variable}", hint="download it again")
    blocks: NDArray[np.uint8] = array
    return blocks


def _no_reader(path: Path) -> DataError:
    return DataError(f"cannot read {path}: no reader of MATLAB files is installed", hint="pip install 'restore-photos[mat]'")


def _boxes(blocks: Blocks, folder: Path) -> Found | None:
    """The boxes of DND: places in `info.mat`, pictures in MATLAB files of version 7.3, which are HDF5."""
    assert blocks.boxes is not None
    info, pictures = folder / blocks.boxes[0], sorted(folder.glob(blocks.degraded[0]))
    if not info.is_file() or not pictures:
        return None
    try:
        import h5py
    except ImportError:
        raise _no_reader(info) from None

    @functools.lru_cache(maxsize=1)
    def picture(path: Path) -> Image:
        try:
            with h5py.File(path, "r") as file:  # MATLAB's arrays lie the other way round
                noisy: Image = np.ascontiguousarray(np.asarray(file[blocks.degraded[1]], np.float32).T)
                return noisy
        except (OSError, KeyError) as error:
            raise DataError(f"cannot read {path}: {error}", hint="download it again") from error

    def crop(path: Path, top: int, left: int, bottom: int, right: int) -> Image:
        return picture(path)[top - 1 : bottom, left - 1 : right]

    items = []
    try:
        with h5py.File(info, "r") as file:
            group = file[blocks.boxes[1]]
            for index, path in enumerate(pictures):
                boxes = np.asarray(group[group["boundingboxes"][0][index]]).T.astype(int)  # top, left, bottom, right
                items += [
                    Item(f"{path.stem}_{k:02d}", None, functools.partial(crop, path, *map(int, box)))
                    for k, box in enumerate(boxes, 1)
                ]
    except (OSError, KeyError, IndexError, ValueError) as error:
        raise DataError(f"cannot read {info}: {error}", hint="download it again") from error
    return Found(blocks, folder, tuple(items))


def degrading(name: str, level: float | None = None, *, as_file: bool = False) -> Draw:
    """The degradation that a set of clean pictures is scored with, the same on every run.

    Args:
        name: Key of `DEGRADATIONS`; "jpeg" is 4:2:0, and noise is drawn in double precision, as stored scores were.
        level: Its strength, where it has one.
        as_file: Clip noise and round it to 8 bits.

    Raises:
        UsageError: The level is missing, or out of its range.
    """
    draw = DEGRADATIONS[name](None if level is None else (level, level))
    if level is not None and name == "gaussian-noise":
        return with_gaussian_noise(level, as_file=as_file)
    if level is not None and name == "jpeg":
        quality = round(level)
        return lambda _: Degradation(lambda x, _: (x, jpeg(x, quality)))
    return draw


def faults(found: Found, dataset: Dataset | None = None, split: str | None = None) -> Iterator[str | None]:
    """What is wrong, in words, while every file is opened: first the whole, then an answer for each picture.

    Args:
        found: What is on disk.
        dataset: The set that it should be; None for folders of one's own.
        split: Its split, with `dataset`.

    Yields:
        A fault; None for a picture that is whole and fits its partner.
    """
    yield from found.faults
    expected = found.layout.pictures
    colour = "rgb" if dataset is None else dataset.colour
    if dataset is not None:
        expected = expected or dataset.splits[split or dataset.scored_split].pictures
    if expected is not None and len(found.items) != expected:
        yield f"{len(found.items)} pictures instead of {expected}"
    checked: dict[Source, tuple[str | None, tuple[int, ...]]] = {}  # the last clean one, which may have many partners
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
            if (height, width) != (height2, width2):
                fault = f"{item.name}: {width}x{height} clean and {width2}x{height2} degraded"
            grey = any(shape[2] == 1 for _, shape in sides)
            colours += not grey
            greys += [item.name] * grey
        if item.degraded is not None:
            checked.pop(item.degraded, None)
        yield fault
    if colour == "rgb" and greys and (colours or dataset is not None):
        yield f"{len(greys)} grey among colour: {first_few(greys)}"
    if colour == "grey" and colours:
        yield f"{colours} pictures in colour, where all are grey"


def _opened(source: Source) -> tuple[str | None, tuple[int, ...]]:
    """Why a picture cannot be read, or None, and the shape of its pixels."""
    try:
        return None, (read_picture(source).pixels if isinstance(source, Path) else source()).shape
    except RestoreError as error:
        return error.message, ()

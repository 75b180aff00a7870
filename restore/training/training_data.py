"""The pictures of a run: crops to train on, and pictures held out for validation."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from restore.datasets.crops import Crops, MixedCrops, PairCrops, PhotoCrops, check_pairs, check_photos, rain_layers
from restore.datasets.listing import list_pictures
from restore.datasets.pairs import Pair, read_rgb
from restore.datasets.photo_cache import Photo
from restore.degradations import DEGRADATIONS, Draw
from restore.degradations.mixtures import WITH_STREAKS
from restore.degradations.rain import pasted_rain
from restore.errors import DataError, UsageError, first_few
from restore.tasks import TASKS
from restore.training.fingerprint import Contents, File, Fingerprint, contents_of, fingerprint_of
from restore.training.held_out import HeldOut, degraded_middles, middle
from restore.training.recipe import PAIRS, Recipe, degradation_of
from restore.training.sources import Sources


@dataclass(frozen=True)
class Split:
    """The files of a run, and what is held out of them.

    Attributes:
        photos, pairs: To train on.
        held_photos, held_pairs: Never trained on.
        fingerprint: Of all of them.
        is_new: Whether a resumed run gets other files than before.
    """

    photos: Sequence[File]
    held_photos: Sequence[File]
    pairs: Sequence[File]
    held_pairs: Sequence[File]
    fingerprint: Fingerprint
    is_new: bool = False


@dataclass(frozen=True)
class TrainingData:
    """The pictures of a run, in memory or in the cache of decoded photos.

    Attributes:
        crops: To train on.
        held_out: To validate on.
        about: Both in words.
        notes: What the user should know about the pictures.
        split: The files.
    """

    crops: Crops
    held_out: HeldOut
    about: str
    notes: tuple[str, ...]
    split: Split


def load_training_data(
    recipe: Recipe,
    scale: int,
    sources: Sources,
    *,
    channels: int = 3,
    before: Fingerprint | None = None,
    new_data: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> TrainingData:
    """The crops to train on and the held-out pairs.

    If a recipe for rain gets photos and pairs, half of the photos get the rain of the pairs.

    Args:
        recipe: Says how photos are degraded and how many pictures are held out.
        scale: By what factor the network upscales.
        sources: The pictures.
        channels: Of the network. One channel gets the first one of the degraded pictures, in training and validation.
        before: The files of the run that is resumed; None for a new run.
        new_data: Whether a resumed run may get other files than before.
        progress: Called with the number of pictures that are decoded and the total, for each kind of pictures.

    Raises:
        DataError: There are too few pictures, or they do not fit together.
        UsageError: The files are not those of the run that is resumed.
    """
    split = split_of(recipe, sources, before, new_data=new_data)
    held_out = HeldOut(channels)
    crops: list[Crops] = []
    words: list[str] = []
    notes: list[str] = []
    draw = None if recipe.degradation == PAIRS else DEGRADATIONS[recipe.degradation](recipe.levels)
    if sources.pairs:
        used = [(clean, degraded) for clean, degraded in split.pairs]
        kept = [(clean, degraded) for clean, degraded in split.held_pairs]
        is_upright = TASKS[recipe.task].is_upright
        of_pairs = PairCrops(
            used, crop=recipe.largest_crop, seed=recipe.seed, scale=scale, is_upright=is_upright, progress=progress
        )
        crops.append(of_pairs)
        words.append(f"{len(of_pairs.pairs)} {sources.about_pairs}")
        notes += _notes([photo for pair in of_pairs.pairs for photo in pair], "pictures of pairs")
        notes += _left_out(of_pairs.left_out, len(used), "pairs", recipe.largest_crop)
        check_pairs(kept, scale=scale)
        held_out.add(_whole_or_middle(recipe, kept))
        if recipe.degradation in WITH_STREAKS:
            draw = WITH_STREAKS[recipe.degradation](pasted_rain(rain_layers(used)))
    count = len(held_out)  # pictures, before each photo is degraded in several ways
    if sources.photos:
        assert draw is not None
        photos, last = [photo for (photo,) in split.photos], [photo for (photo,) in split.held_photos]
        of_photos = _photo_crops(recipe, photos, draw, progress)
        crops.insert(0, of_photos)
        words.append(f"{len(of_photos.photos)} {sources.about_photos}")
        notes += _notes(of_photos.photos, "photos")
        notes += _left_out(of_photos.left_out, len(photos), "photos", recipe.largest_crop)
        check_photos(last)
        draws = {kind: degradation_of(kind) for kind in recipe.validate} or {"": draw}
        held_out.add(degraded_middles(last, draws, seed=recipe.seed, side=recipe.validate_crop))
        count += len(last)
    whole = crops[0] if len(crops) == 1 else MixedCrops(*crops, share=recipe.pairs_share, seed=recipe.seed)
    return TrainingData(whole, held_out, f"{' and '.join(words)}, {count} more held out.", tuple(notes), split)


def _left_out(count: int, total: int, what: str, crop: int) -> list[str]:
    return [f"{count} of {total} {what} are smaller than a crop of {crop} pixels and left out"] if count else []


def _notes(photos: Sequence[Photo], what: str) -> list[str]:
    """Sentences on photos that are not 8-bit RGB."""
    greys, deep = sum(photo.is_grey for photo in photos), sum(photo.is_reduced for photo in photos)
    notes = [f"{greys} of {len(photos)} {what} are grey and get equal channels"] if greys else []
    return notes + ([f"{deep} of {len(photos)} {what} have more than 8 bits and are rounded to 8"] if deep else [])


def split_of(recipe: Recipe, sources: Sources, before: Fingerprint | None, *, new_data: bool = False) -> Split:
    """What is trained on and what is held out: the last files, or in a resumed run what it held out before.

    Args:
        recipe: Says how many files to hold out.
        sources: The files.
        before: Of the run that is resumed; None for a new run, and for a run without a fingerprint.
        new_data: Whether a resumed run may get other files than before.

    Raises:
        DataError: No file would be left to train on, or one cannot be read.
        UsageError: The files are not those of the run that is resumed.
    """
    photos: list[File] = [(photo,) for photo in sources.photos]
    pairs: list[File] = list(sources.pairs)
    contents = contents_of(path for file in (*photos, *pairs) for path in file)
    last = _split_files(recipe, sources, photos, pairs, contents, None)
    if before is None or last.fingerprint.is_same(before):
        return last
    kept = _split_files(recipe, sources, photos, pairs, contents, before)
    if kept.fingerprint.is_same(before):
        return kept
    if not new_data:
        raise UsageError(
            f"the run was trained on other files: {before.about}; these are {kept.fingerprint.about}",
            hint="name the same files, or add --new-data to continue on these",
        )
    return dataclasses.replace(kept, is_new=True)


def _split_files(
    recipe: Recipe,
    sources: Sources,
    photos: list[File],
    pairs: list[File],
    contents: Contents,
    before: Fingerprint | None,
) -> Split:
    """The split of both kinds of files; `before` says what must not be trained on."""
    never = frozenset(before.held_out) if before else frozenset()
    key = "held_out" if recipe.held_out_pairs is None else "held_out_pairs"
    parts = [
        _parted(files, recipe, key, about, contents, never) if files else ([], [])
        for files, key, about in ((photos, "held_out", sources.about_photos), (pairs, key, sources.about_pairs))
    ]
    (used_photos, held_photos), (used_pairs, held_pairs) = parts
    words = [
        f"{len(used)} {about}"
        for used, about in ((used_pairs, sources.about_pairs), (used_photos, sources.about_photos))
        if used
    ]
    about = f"{' and '.join(words)}, {len(held_photos) + len(held_pairs)} more held out"
    found = fingerprint_of([*used_photos, *used_pairs], [*held_photos, *held_pairs], about, contents, before)
    return Split(used_photos, held_photos, used_pairs, held_pairs, found)


def _parted(
    files: list[File], recipe: Recipe, key: str, what: str, contents: Contents, never: frozenset[str]
) -> tuple[list[File], list[File]]:
    """Files to train on, and files to hold out: those of `never`, then the last ones.

    All pairs of one clean picture are on the same side, so that no held-out picture is trained on.

    Args:
        files: In order.
        recipe: Says how many to hold out.
        key: The field of the recipe that says so.
        what: What the files are.
        contents: Of the files.
        never: Contents of clean files that must be held out.

    Raises:
        DataError: No file would be left to train on.
    """
    keep = getattr(recipe, key)
    kept = {file[0] for file in files if contents[file[0]] in never}
    others = [file for file in files if file[0] not in kept]
    cut = len(others) - max(0, keep - (len(files) - len(others)))
    last = {file[0] for file in others[max(0, cut) :]}
    used = [file for file in others if file[0] not in last]
    if cut <= 0 or not used:
        few = len(files) // 8 or min(1, len(files) - 1)
        raise DataError(
            f"too few: {len(files)} {what}, of which the recipe holds out {keep}", hint=f"use --set {key}={few}"
        )
    return used, [file for file in files if file[0] in kept | last]


def _whole_or_middle(recipe: Recipe, pairs: Sequence[tuple[Path, Path]]) -> Iterator[Pair]:
    """Held-out pairs, cut to what is scored of them."""
    for clean, degraded in pairs:
        pair = Pair(clean.stem, read_rgb(clean), read_rgb(degraded), PAIRS if recipe.validate else "")
        yield middle(pair, recipe.validate_crop) if recipe.validate_crop else pair


def _photo_crops(
    recipe: Recipe, photos: Sequence[Path], draw: Draw, progress: Callable[[int, int], None] | None
) -> PhotoCrops:
    labels = labels_of(photos, Path(recipe.labels)) if recipe.labels else None
    return PhotoCrops(
        photos, draw, crop=recipe.largest_crop, seed=recipe.seed, labels=labels, label_share=recipe.teacher_share,
        progress=progress,
    )  # fmt: skip


def labels_of(paths: Sequence[Path], folder: Path) -> list[Path]:
    """The labels of photos: the pictures of a folder with the same names, with any suffix.

    Raises:
        DataError: A photo has no label.
    """
    named = {path.stem: path for path in list_pictures(folder)}
    if missing := [path.stem for path in paths if path.stem not in named]:
        raise DataError(
            f"{len(missing)} photos have no label in {folder}: {first_few(missing)}",
            hint="make labels with scripts/make_labels.py",
        )
    return [named[path.stem] for path in paths]

"""What a job does to a picture: inspect it, restore a crop to look at, or restore it as the command does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from restore.batch.pipeline import Outcome, Pipeline
from restore.batch.planning import Job
from restore.errors import RestoreError, UsageError
from restore.images import FORMATS, Picture, default_suffix, read_picture
from restore.inspection.advice import advise
from restore.inspection.inspect import inspect
from restore.viewer.places import changed_places
from restore.viewer.shown import Shown, divisor_for, shown
from restore.web.sessions import Work

if TYPE_CHECKING:
    from restore.inference.restored import Restored
    from restore.web.networks import Networks

LONGEST_THUMB = 1600
"""Pixels; the longest side of the picture on which a crop is chosen."""
LARGEST_CROP = 2048
"""Pixels; the longest side of a crop."""


class Cancelled(BaseException):
    """The user cancelled. Not an Exception, so that handlers of the network's errors let it pass."""


Progress = Callable[[int, int], None]
"""Takes the tiles that are done, and all."""
Reserve = Callable[[int], None]
"""Counts bytes of the storage as used before they are written; raises a RestoreError if there is no room."""


def inspect_upload(work: Work, reserve: Reserve) -> dict[str, Any]:
    """What the picture is, and what is wrong with it, JSON-safe. Also writes a small copy to choose a crop on."""
    picture = read_picture(work.upload.path)
    height, width = picture.pixels.shape[:2]
    small = shown(picture, divisor=-(-max(height, width) // LONGEST_THUMB))
    work.views["thumb"] = _write_view(work, "thumb", small, reserve)
    findings = inspect(picture)
    return findings.as_dict() | {
        "words": findings.words(),
        "advised": advise(findings).as_dicts(),
        "pages": picture.pages,
        "damage": picture.damage,
    }


def restore_crop(work: Work, networks: Networks, progress: Progress, reserve: Reserve) -> None:
    """Restore a part of the picture, and write the views `before` and `after`."""
    assert work.region is not None
    picture = read_picture(work.upload.path)
    left, top, width, height = work.region
    if left + width > picture.pixels.shape[1] or top + height > picture.pixels.shape[0]:
        raise UsageError("the crop is not within the picture", hint="choose another place")
    before, restored = networks.restore_region(picture, work.steps, work.region, progress)
    _write_views(work, before, restored.picture, reserve)


def restore_whole(work: Work, networks: Networks, progress: Progress, reserve: Reserve) -> None:
    """Restore the file with the command's own pipeline: the result has the same bytes.

    Raises:
        RestoreError: It fails.
        Cancelled: The user cancelled.
    """
    target = work.upload.folder / f"{work.id}{result_suffix(work.upload.name, work.format)}"
    outcomes: list[Outcome] = []

    def restore(picture: Picture, after_tile: Callable[[int, int], None]) -> Restored:
        restored = networks.restore(picture, work.steps, after_tile)
        reserve(restored.picture.pixels.nbytes + 4 * restored.picture.pixels[..., 0].size)  # no file takes more
        if "after" not in work.views:
            _write_views(work, picture, restored.picture, reserve)
        return restored

    pipeline = Pipeline(restore, outcomes.append, progress=progress, stop=work.stop)
    pipeline.run([Job(work.upload.path, target)])
    if not outcomes:
        raise Cancelled
    done = outcomes[0]
    work.notes = tuple(in_words_of_user(note, work, target) for note in done.notes)
    if done.status != "restored":
        raise RestoreError(in_words_of_user(done.reason or "", work, target), hint=done.hint)
    name = Path(work.upload.name)
    work.result = target, f"{name.stem}_restored{target.suffix}"


def result_suffix(name: str, format: str | None) -> str:
    """The extension of a result, as the command chooses it.

    >>> result_suffix("a.JPG", None), result_suffix("a.jpeg", "jpg"), result_suffix("a.nef", "png")
    ('.JPG', '.jpeg', '.png')
    """
    extension = default_suffix(Path(name))
    if format is not None and FORMATS.get(extension.lower()) != FORMATS[f".{format}"]:
        extension = f".{format}"
    return extension


def in_words_of_user(text: str, work: Work, target: Path | None = None) -> str:
    """A message with the user's name of the file instead of ours."""
    text = text.replace(str(work.upload.path), work.upload.name)
    return text if target is None else text.replace(str(target), "the result")


def _write_views(work: Work, before: Picture, after: Picture, reserve: Reserve) -> None:
    """Write both pictures for the page, and tell their sizes and where they differ most."""
    height, width = after.pixels.shape[:2]
    divisor = divisor_for(width, height)
    places = [
        {key: value if key == "difference" else round(value / divisor) for key, value in asdict(place).items()}
        for place in changed_places(before, after)
    ]
    scale = width / before.pixels.shape[1]
    work.about |= {"width": width, "height": height, "scale": scale, "divisor": divisor, "places": places}
    for name, picture, least in (("before", before, divisor if scale == 1 else 1), ("after", after, divisor)):
        work.views[name] = _write_view(work, name, shown(picture, divisor=least), reserve)


def _write_view(work: Work, name: str, picture: Shown, reserve: Reserve) -> Path:
    reserve(len(picture.data))
    path = work.upload.folder / f"{work.id}-{name}.{picture.mime.removeprefix('image/')}"
    path.write_bytes(picture.data)
    return path

"""How long a run will take: the size of its pictures, by their headers, times the measured speed of each task."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from statistics import fmean

from PIL import Image

from restore.batch.planning import Job
from restore.tasks import Task

_SAMPLE = 200
"""Most pictures whose headers are read: 10,000 pictures take no longer."""

START_SECONDS = 1.9
MEASURED_ON = "two cores of an AMD EPYC"
SECONDS_PER_MEGAPIXEL: dict[tuple[str, float | None], float] = {
    ("denoise", None): 0.88,
    ("dejpeg", None): 0.90,
    ("deblur", None): 0.87,
    ("derain", None): 0.88,
    ("demosaic", None): 1.04,
    ("upscale", 2): 1.83,
}
"""(task, scale) -> seconds for a megapixel of input with the default weights, from the table in docs/performance.md."""


def estimate(jobs: Sequence[Job], task: Task, level: float | None, *, has_default: bool, ensemble: bool) -> str | None:
    """The estimated time of a run in words, without torch; None if no header tells a size.

    Args:
        jobs: The pictures to restore.
        task: The task.
        level: The scale for upscaling; other levels do not change the speed.
        has_default: The run uses the default weights on a device that may be the CPU; else only the size is told.
        ensemble: The run averages over flips and rotations.
    """
    paths = [job.source for job in jobs if isinstance(job.source, Path)]
    step = max(1, len(paths) // _SAMPLE)
    sizes = [size for path in paths[::step] if (size := _megapixels(path)) is not None]
    if not sizes:
        return None
    total = fmean(sizes) * len(jobs)
    about = "" if len(sizes) == len(jobs) else "about "
    pictures = f"{len(jobs):,} picture{'s' * (len(jobs) != 1)} with {about}{_rounded(total)} megapixels"
    speed = SECONDS_PER_MEGAPIXEL.get((task.name, level if task.name == "upscale" else None))
    if speed is None or not has_default:
        return f"{pictures}; no speed is known for these options"
    speed *= (4 if task.name == "derain" else 8) if ensemble else 1
    return f"{pictures}; about {duration(START_SECONDS + total * speed)} on {MEASURED_ON}, {speed:.2g} s a megapixel"


def _megapixels(path: Path) -> float | None:
    with suppress(Exception), warnings.catch_warnings():  # damaged files raise errors of any type
        warnings.simplefilter("ignore")
        with Image.open(path) as picture:
            return picture.width * picture.height / 1e6
    return None


def _rounded(megapixels: float) -> str:
    return f"{megapixels:,.0f}" if megapixels >= 10 else f"{megapixels:.2g}"


def duration(seconds: float) -> str:
    """A time in words, as exact as an estimate can be.

    >>> duration(7.7), duration(200), duration(9000)
    ('8 s', '3 min', '2 h 30 min')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60:,} h {minutes % 60} min"

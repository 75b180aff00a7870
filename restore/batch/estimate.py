"""How long a run will take: the size of its pictures, by their headers, times the measured speed of each task."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import suppress
from statistics import fmean

from PIL import Image

from restore.batch.planning import Job
from restore.batch.steps import Step

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


def estimate(jobs: Sequence[Job], steps: Sequence[Step], *, is_on_cpu: bool) -> str | None:
    """The estimated time of a run in words, without torch; None if no header tells a size.

    Args:
        jobs: The pictures to restore.
        steps: What is done to each.
        is_on_cpu: The run uses a device that may be the CPU; else only the size is told.
    """
    paths = [job.source_path for job in jobs[:: max(1, len(jobs) // _SAMPLE)] if job.source_path is not None]
    sizes = [size for path in paths if (size := _megapixels(path)) is not None]
    if not sizes:
        return None
    total, speed = fmean(sizes) * len(jobs), speed_of(steps) if is_on_cpu else None
    told = in_words(len(jobs), total, None if speed is None else total * speed, is_exact=len(sizes) == len(jobs))
    return told if speed is None else f"{told}, {speed:.2g} s a megapixel"


def speed_of(steps: Sequence[Step]) -> float | None:
    """Seconds for a megapixel of the picture in all steps; None where the speed of a step is not known."""
    total, area = 0.0, 1.0
    for step in steps:
        speed = SECONDS_PER_MEGAPIXEL.get((step.task, step.level if step.task == "upscale" else None))
        if speed is None or step.weights is not None:
            return None
        total += area * speed * ((4 if step.task == "derain" else 8) if step.self_ensemble else 1)
        area *= (step.level or 1) ** 2 if step.task == "upscale" else 1
    return total


def in_words(pictures: int, megapixels: float, seconds: float | None, *, is_exact: bool = True) -> str:
    """A number of pictures, their size in total, and the time that their steps take, with the start."""
    about = "" if is_exact else "about "
    told = f"{pictures:,} picture{'s' * (pictures != 1)} with {about}{_rounded(megapixels)} megapixels"
    if seconds is None:
        return f"{told}; no speed is known for these options"
    return f"{told}; about {duration(START_SECONDS + seconds)} on {MEASURED_ON}"


def _megapixels(path: str) -> float | None:
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

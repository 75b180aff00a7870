"""Which steps mend what an inspection found, in the right order, each with its reason in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from restore.inspection.findings import Findings

# The orders of the steps with and without noise, measured by `scripts/measure_auto.py --orders`. Upscaling is last.
NOISY_ORDER = ("derain", "denoise", "dejpeg", "deblur")
PLAIN_ORDER = ("dejpeg", "derain", "deblur")

# A JPEG of at most this quality is cleaned before it is enlarged, even if nothing is to be seen: at 90 that gains
# 0.3 dB, at 96 nothing (docs/evaluation.md, "Ways to enlarge").
ENLARGED_QUALITY = 95


@dataclass(frozen=True)
class AdvisedStep:
    """A step of an advice.

    Attributes:
        task: Key of `TASKS`.
        why: The reason in words.
        level: As for `restore.batch.steps.Step`.
        strength: 0 to 1.
    """

    task: str
    why: str
    level: float | None = None
    strength: float = 1.0


@dataclass(frozen=True)
class Advice:
    """What to do with a picture.

    Attributes:
        steps: In the order in which they run; empty for a good picture.
    """

    steps: tuple[AdvisedStep, ...]

    def words(self) -> str:
        """One line: the steps with their reasons.

        >>> Advice((AdvisedStep("denoise", "noise of 12 grey levels"), AdvisedStep("upscale", "asked for", 2))).words()
        'denoise (noise of 12 grey levels), upscale 2x (asked for)'
        >>> Advice(()).words()
        'nothing to do'
        """
        return ", ".join(in_words(step.task, step.level, step.why) for step in self.steps) or "nothing to do"

    def as_dicts(self) -> list[dict[str, Any]]:
        """The steps for JSON."""
        return [{"task": step.task, "level": step.level, "why": step.why} for step in self.steps]


def in_words(task: str, level: float | None, why: str | None) -> str:
    """A step with its reason."""
    name = f"{task} {level:g}x" if task == "upscale" and level is not None else task
    return f"{name} ({why})" if why else name


def advise(findings: Findings, *, scale: int | None = None) -> Advice:
    """The steps that mend a picture, in the order of `NOISY_ORDER` or `PLAIN_ORDER`.

    Args:
        findings: What is wrong with it.
        scale: Upscale so many times; None: not at all. A JPEG of at most `ENLARGED_QUALITY` is cleaned first.
    """
    tasks = set(findings.tasks)
    if scale is not None and (_quality(findings) or 100) <= ENLARGED_QUALITY and not tasks & {"denoise", "dejpeg"}:
        tasks.add("dejpeg")
    order = NOISY_ORDER if "denoise" in tasks else PLAIN_ORDER
    steps = [AdvisedStep(task, _reason(task, findings)) for task in order if task in tasks]
    if scale is not None:
        steps.append(AdvisedStep("upscale", "asked for", float(scale)))
    return Advice(tuple(steps))


def _reason(task: str, findings: Findings) -> str:
    if task == "denoise":
        grain = "coarse noise" if findings.noise_is_coarse else "noise"
        return f"{grain} of {max(findings.noise, findings.noise_chroma):.0f} grey levels"
    if task == "dejpeg":
        quality = _quality(findings)
        return "JPEG artifacts" if quality is None else f"JPEG quality {quality}"
    if task == "deblur":
        kind = "motion blur" if findings.blur == "motion" else "blur"
        return f"{kind} of about {findings.blur_pixels:.0f} pixels"
    return "rain"


def _quality(findings: Findings) -> int | None:
    return findings.jpeg_quality_seen or findings.jpeg_quality

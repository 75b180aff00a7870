"""Which steps mend what an inspection found, in the right order, each with its reason in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from restore.inspection.findings import Findings

LEAST_NOISE = 2.0  # 8-bit grey levels; below, a denoiser costs more detail than it removes noise
LEAST_CHROMA_NOISE = 4.0
COARSEST_QUALITY = 88  # JPEG quality; above, artifacts are invisible
LEAST_RAIN = 0.5
LEAST_BLUR = 1.0  # pixels


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
    """The steps that mend a picture: rain first, then noise, JPEG artifacts, blur, and the size last.

    Args:
        findings: What is wrong with it.
        scale: Upscale so many times; None: not at all.
    """
    steps = []
    if findings.rain >= LEAST_RAIN:
        steps.append(AdvisedStep("derain", "rain"))
    is_noisy = findings.noise >= LEAST_NOISE or findings.noise_chroma >= LEAST_CHROMA_NOISE
    if is_noisy:
        kind = "coarse noise" if findings.noise_is_coarse else "noise"
        steps.append(AdvisedStep("denoise", f"{kind} of {max(findings.noise, findings.noise_chroma):.0f} grey levels"))
    quality = findings.jpeg_quality_seen
    if quality is not None and quality <= COARSEST_QUALITY:
        steps.append(AdvisedStep("dejpeg", f"JPEG quality {quality:.0f}"))
    if findings.blur != "none" and findings.blur_pixels >= LEAST_BLUR:
        kind = "motion blur" if findings.blur == "motion" else "blur"
        steps.append(AdvisedStep("deblur", f"{kind} of {findings.blur_pixels:.0f} pixels"))
    if scale is not None:
        steps.append(AdvisedStep("upscale", "asked for", float(scale)))
    return Advice(tuple(steps))

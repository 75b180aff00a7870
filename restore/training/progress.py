"""What a run reports while it trains."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """Where a run stands. At step 0 only the validation is known, and the other values are 0.

    Attributes:
        step, steps: Steps done, and steps in total.
        loss: Mean loss of the latest batch, of all processes.
        psnr: PSNR of the latest batch in dB, of all processes.
        images_per_second: Crops per second of this session, of all processes.
        seconds_left: Estimate for the remaining steps.
        learning_rate: Of the latest step.
        validation: (input PSNR, PSNR) of the held-out pictures in dB, if a validation followed the step.
        data_share: Share of the time spent waiting for crops, 0..1.
        note: What a user should know about this step, if anything.
        kinds: Like `validation`, for each kind of degradation that the recipe names in `validate`.
        seconds: Training time of all sessions.
        infinite: How many held-out inputs equal their clean picture and are left out of the mean, if a validation
            followed the step.
    """

    step: int
    steps: int
    loss: float
    psnr: float
    images_per_second: float
    seconds_left: float
    learning_rate: float
    validation: tuple[float, float] | None = None
    data_share: float = 0.0
    note: str | None = None
    kinds: dict[str, tuple[float | None, float]] | None = None
    seconds: float = 0.0
    infinite: int = 0


@dataclass(frozen=True)
class Validation:
    """(input PSNR, PSNR) of the held-out pictures in dB.

    Attributes:
        psnrs: Means over the means of the kinds. The input PSNR leaves out kinds whose inputs equal the clean pictures.
        kinds: The means of each kind that the recipe names; None if it names none.
        infinite: How many inputs equal their clean picture, and are left out of the means.
    """

    psnrs: tuple[float, float]
    kinds: dict[str, tuple[float | None, float]] | None
    infinite: int = 0

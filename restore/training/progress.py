"""What a training run reports while it goes on."""

from __future__ import annotations

from dataclasses import dataclass

from restore.training.recipe import Recipe


@dataclass(frozen=True)
class Progress:
    """Where a run stands, about every second; `psnr` (dB) is that of the latest training batch.

    Attributes:
        validation: (input PSNR, PSNR) of the held-out photos where the step was followed by a validation.
        data_share: How much of the time was spent waiting for crops.
        note: What a user should know about this step, if anything.
        kinds: The same as `validation` under each kind that the recipe names in `validate`.
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

    @classmethod
    def before(cls, recipe: Recipe, validation: Validation) -> Progress:
        """The validation of the weights that a run begins from: step 0, of which nothing else is known, so 0."""
        return cls(0, recipe.steps, 0.0, 0.0, 0.0, 0.0, 0.0, validation.psnrs, kinds=validation.kinds)


@dataclass(frozen=True)
class Validation:
    """(input PSNR, PSNR) of the held-out pictures in dB.

    Attributes:
        psnrs: The mean over the kinds' means (`mean_psnrs`); of the inputs over those that have one.
        kinds: Those of each kind that the recipe names; None where it names none.
    """

    psnrs: tuple[float, float]
    kinds: dict[str, tuple[float | None, float]] | None

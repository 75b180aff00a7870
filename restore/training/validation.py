"""Validation of a run: PSNR of the held-out pictures, and the best weights so far."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

from restore.evaluation.scoring import PictureScore, evaluate
from restore.inference.restorer import Restorer
from restore.training.held_out import HeldOut
from restore.training.progress import Validation
from restore.training.run_folder import Run
from restore.training.schedules import share_of
from restore.training.state import State
from restore.training.team import Team

LARGEST_PSNR = 60.0  # dB that a picture counts at most in a mean


class Validator:
    """Validates the averaged weights of a run and keeps the best.

    Args:
        state: Of the run.
        held_out: The pictures to score.
        folder: Gets the best weights and a strip of pictures.
        team: The processes that share the pictures.
    """

    def __init__(self, state: State, held_out: HeldOut, folder: Run, team: Team) -> None:
        self._state, self._held_out, self._folder, self._team = state, held_out, folder, team

    def validate(self) -> Validation:
        """Score the averaged weights, and save them if no earlier ones are better."""
        state = self._state
        restorer = Restorer(state.average, device=state.device)
        validation = score_held_out(restorer, self._held_out, self._team)
        self._folder.write_strip(restorer, self._held_out)
        self._folder.note_score(state.step, validation)
        if validation.psnrs[1] > state.best:
            state.best = validation.psnrs[1]
            self._folder.save_best(state.average, state.as_dict())
        return validation

    def validate_if_due(self) -> Validation | None:
        """Validate after every `validate_every` steps and after the last one; None after others."""
        step, recipe = self._state.step, self._state.recipe
        is_due = self._held_out and (step % recipe.validate_every == 0 or step == recipe.steps)
        return self.validate() if is_due else None

    def validate_start(self) -> Validation | None:
        """Validate weights that were given, before the first step; None where there is nothing to score."""
        return self.validate() if self._state.step == 0 and self._held_out else None


def score_held_out(restorer: Restorer, held_out: HeldOut, team: Team) -> Validation:
    """PSNR of the held-out pictures, degraded and restored; each process scores its share."""
    own = share_of(range(len(held_out)), team.index, team.count)
    pairs = (held_out[i] for i in own)
    scores = team.gathered(list(evaluate(restorer, pairs, with_ssim=False).pictures) if own else [])
    kinds: dict[str, list[PictureScore]] = {}
    for kind, score in zip(held_out.kinds, scores, strict=True):
        kinds.setdefault(kind, []).append(score)
    means = {kind: mean_psnrs(of) for kind, of in kinds.items()}
    inputs = [before for before, _ in means.values() if before is not None]
    psnrs = fmean(inputs) if inputs else math.inf, fmean(after for _, after in means.values())
    infinite = sum(not math.isfinite(score.input_psnr) for score in scores)
    return Validation(psnrs, None if "" in means else means, infinite)


def mean_psnrs(scores: Sequence[PictureScore]) -> tuple[float | None, float]:
    """Mean PSNR in dB of the degraded pictures and of the restored ones.

    Some kinds of degradation leave pictures unchanged, and the network should, too. An input that equals the clean
    picture has no finite PSNR. The mean leaves it out, and is None if all inputs are so. A restored picture counts
    `LARGEST_PSNR` at most, so that one exact result does not decide the mean.
    """
    inputs = [score.input_psnr for score in scores if math.isfinite(score.input_psnr)]
    return fmean(inputs) if inputs else None, fmean(min(score.psnr, LARGEST_PSNR) for score in scores)

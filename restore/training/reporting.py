"""The reports of a run: about one a second, to its log and to whoever listens."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from restore.training.batches import Feed
from restore.training.progress import Progress, Validation
from restore.training.schedules import crops_of
from restore.training.state import State

_EVERY = 1.0  # seconds between reports of steps without news


class Reporter:
    """Turns steps into `Progress`.

    Args:
        state: Of the run.
        feed: Measures the waiting for crops.
        notes: Sentences for the next report.
        listeners: Called with each report.
    """

    def __init__(self, state: State, feed: Feed, notes: list[str], listeners: list[Callable[[Progress], None]]) -> None:
        self._state, self._feed, self.notes, self._listeners = state, feed, notes, listeners
        self._first_step, self._started = state.step, time.monotonic()
        self._reported = self._started

    def start(self, validation: Validation | None) -> None:
        """Report the validation of the weights that the run starts from, if there is one."""
        if validation:
            steps = self._state.recipe.steps
            self._tell(Progress(
                0, steps, 0.0, 0.0, 0.0, 0.0, 0.0, validation.psnrs, kinds=validation.kinds,
                infinite=validation.infinite,
            ))  # fmt: skip

    def step(self, rate: float, loss: Tensor, error: Tensor, validation: Validation | None) -> None:
        """Report the step that is done, if there is news or the last report is a second ago.

        Args:
            rate: Learning rate.
            loss: Mean loss of the whole batch.
            error: Mean square error.
            validation: The validation after the step.
        """
        step, steps, now = self._state.step, self._state.recipe.steps, time.monotonic()
        if not (validation or self.notes or step == steps or now - self._reported >= _EVERY):
            return
        passed = now - self._started
        per_step = passed / (step - self._first_step)
        batch = len(crops_of(self._state.recipe, step - 1).numbers)
        self._tell(
            Progress(
                step,
                steps,
                loss=loss.item(),
                psnr=float(-10 * torch.log10(error)),
                images_per_second=batch / per_step,
                seconds_left=per_step * (steps - step),
                learning_rate=rate,
                validation=validation.psnrs if validation else None,
                data_share=self._feed.waited / max(passed, 1e-9),
                note="; ".join(self.notes) or None,
                kinds=validation.kinds if validation else None,
                seconds=self._state.seconds,
                infinite=validation.infinite if validation else 0,
            )
        )
        self._reported = now
        self.notes.clear()

    def _tell(self, progress: Progress) -> None:
        for listener in self._listeners:
            listener(progress)

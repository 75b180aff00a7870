"""The state of a run: everything that a step changes, and everything that a resumed run needs."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from typing import Any

import torch
from torch import nn

from restore.errors import UsageError
from restore.networks import Network
from restore.training.fingerprint import Fingerprint
from restore.training.interrupts import uninterrupted
from restore.training.optimizers import optimizer_of
from restore.training.recipe import Recipe
from restore.training.schedules import crops_of, learning_rate

# float16 losses are scaled up against underflow. A low start finds the scale without a long row of skipped batches.
_FIRST_SCALE = 1024


class State:
    """Network, averaged weights, optimizer and counters of a run.

    Args:
        recipe: With its precision chosen.
        network: On its device; trained in place.
        saved: What `as_dict` gave, of an earlier session; None for a new run.
        fingerprint: Of the files of the run; None keeps that of `saved`.
        is_new: Whether these are other files than those of `saved`, so that earlier scores do not count.

    Attributes:
        average: The network with averaged weights, which are saved and scored.
        step: Optimizer steps done.
        best: PSNR of the best validation, in dB.
    """

    def __init__(
        self,
        recipe: Recipe,
        network: Network,
        saved: dict[str, Any] | None = None,
        *,
        fingerprint: Fingerprint | None = None,
        is_new: bool = False,
    ) -> None:
        self.fingerprint = fingerprint or saved_fingerprint(saved)
        self.recipe, self.network = recipe, network
        self.device = next(network.parameters()).device
        self.average = type(network)(**network.config).to(self.device)
        self.average.load_state_dict(network.state_dict())
        self.optimizer = optimizer_of(
            recipe.optimizer, network.parameters(), lr=recipe.learning_rate, betas=(recipe.beta1, recipe.beta2),
            weight_decay=recipe.weight_decay,
        )  # fmt: skip
        is_scaled = recipe.precision == "float16"
        self.scaler = torch.amp.GradScaler(self.device.type, init_scale=_FIRST_SCALE, enabled=is_scaled)
        self.step, self.best, self._seconds_before = 0, -math.inf, 0.0
        if saved is not None:
            self._restore(saved)
        if is_new:
            self.best = -math.inf
        self.use_attention(self.step >= recipe.local_steps)
        network.train()
        self.start_clock()

    def start_clock(self) -> None:
        """Start to count the seconds of this session, and note where the random numbers are."""
        self._random, self._started = torch.get_rng_state(), time.monotonic()

    @property
    def seconds(self) -> float:
        """Training time of all sessions."""
        return self._seconds_before + time.monotonic() - self._started

    @property
    def batch_size(self) -> int:
        """Crops of the next step, of all processes."""
        return len(crops_of(self.recipe, self.step).numbers)

    @property
    def needs_attention(self) -> bool:
        """Whether the steps without attention are over and the attention is still left out."""
        return self.step >= self.recipe.local_steps and not self.network.attends

    def use_attention(self, use: bool) -> None:
        """Use the attention of both networks, or leave it out."""
        for network in (self.network, self.average):
            network.use_attention(use)

    def begin_step(self) -> float:
        """Clear the gradients and set the learning rate of the step, which is returned."""
        rate = learning_rate(self.recipe, self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        return rate

    def finish_step(self) -> bool:
        """Update weights and average by the gradients, or nothing if a gradient is not finite.

        Returns:
            Whether all gradients are finite. Processes that train together agree, for they share their gradients.
        """
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip_norm or math.inf)
        is_finite = bool(norm.isfinite())
        with uninterrupted():  # the state holds a step as a whole or not at all
            if is_finite:
                self.scaler.step(self.optimizer)
            self.scaler.update()
            self.step += 1
            if is_finite:
                update_average(self.average, self.network, min(self.recipe.ema, (1 + self.step) / (10 + self.step)))
            self._random = torch.get_rng_state()
        return is_finite

    def as_dict(self) -> dict[str, Any]:
        """What `torch.save` writes into state.pt."""
        return {
            "recipe": json.dumps(dataclasses.asdict(self.recipe)), "step": self.step,
            "network": self.network.state_dict(), "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(), "random": self._random, "scaler": self.scaler.state_dict(),
            "best": self.best, "seconds": self.seconds,
            "data": None if self.fingerprint is None else self.fingerprint.to_json(),
        }  # fmt: skip

    def _restore(self, saved: dict[str, Any]) -> None:
        self.network.load_state_dict(saved["network"])
        self.average.load_state_dict(saved["average"])
        self.optimizer.load_state_dict(saved["optimizer"])
        if self.scaler.is_enabled():
            self.scaler.load_state_dict(saved["scaler"])
        torch.set_rng_state(saved["random"].cpu())
        self.step = saved["step"]
        # States of the first versions have neither.
        self.best, self._seconds_before = saved.get("best", self.best), saved.get("seconds", 0.0)


@torch.no_grad()
def update_average(average: Network, network: Network, decay: float) -> None:
    """Move averaged weights towards those of a network: `decay * average + (1 - decay) * network`."""
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - decay)


def saved_fingerprint(saved: dict[str, Any] | None) -> Fingerprint | None:
    """The files of a saved state; None for a new run, and for states of older versions, which do not name them."""
    text = saved.get("data") if saved else None
    return None if text is None else Fingerprint.from_json(text)


def resumed_recipe(asked: Recipe, saved: dict[str, Any]) -> Recipe:
    """The recipe of a saved state, if the one asked for is the same.

    Raises:
        UsageError: A field differs.
    """
    begun = Recipe(**json.loads(saved["recipe"]))
    asked = dataclasses.replace(
        asked,
        precision=begun.precision if asked.precision == "auto" else asked.precision,
        accumulate=max(begun.accumulate, asked.accumulate),  # the machine may ask for more parts
    )
    begun = dataclasses.replace(begun, accumulate=asked.accumulate)
    for field in dataclasses.fields(Recipe):
        old, new = getattr(begun, field.name), getattr(asked, field.name)
        if old != new:
            raise UsageError(
                f"the run was started with {field.name} = {old!r}, not {new!r}",
                hint="resume with the same recipe, or start a new run with --from",
            )
    return begun

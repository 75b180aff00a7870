"""How a run is carried out: machine, memory layout and times. None of it belongs to the recipe."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch

from restore.batch.processes import Rank


@dataclass(frozen=True)
class Options:
    """How and where `restore.training.loop.train` works.

    Attributes:
        device: Where to train.
        threads: Threads that make crops.
        workers: Processes that make crops instead of threads; the crops stay the same. A GPU needs them, because Python
            runs one thread at a time.
        channels_last: Store weights and batches in channels-last layout, which speeds up convolutions on a GPU.
        compiled: Compile the network, which takes minutes. If that fails, it trains uncompiled and a note says so.
        rank: Which of the processes that train together this is. The first one writes and reports.
        tensorboard: Also log for TensorBoard, into `RUN/tensorboard`.
        wandb: Also log for Weights & Biases.
        max_seconds: Stop after this time, in a state that can be resumed. Loading and compiling count.
        save_seconds: Seconds between saves of the state.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    threads: int = 1
    workers: int = 0
    channels_last: bool = False
    compiled: bool = False
    rank: Rank = field(default_factory=Rank)
    tensorboard: bool = False
    wandb: bool = False
    max_seconds: float = math.inf
    save_seconds: float = 120

    @property
    def layout(self) -> torch.memory_format:
        """Memory layout of weights and batches."""
        return torch.channels_last if self.channels_last else torch.preserve_format

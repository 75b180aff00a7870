"""Loads weights, whoever made them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from restore.checkpoints.loading import CheckpointInfo, ResolvedWeights, is_own, load_own, resolve

if TYPE_CHECKING:
    from restore.networks import Network


def load(source: str | os.PathLike[str] | ResolvedWeights, task: str | None = None) -> tuple[Network, CheckpointInfo]:
    """The network of a checkpoint of this project, of our networks' authors, or of spandrel's networks.

    Args:
        source: What `resolve` takes or returns.
        task: What a file that names no task is used for: a key of `TASKS`; None: not known.

    Raises:
        WeightsError: As `resolve`, `load_own` and `foreign_files.load`.
    """
    weights = source if isinstance(source, ResolvedWeights) else resolve(source)
    if weights.entry is not None or is_own(weights.path):
        return load_own(weights)
    from restore.checkpoints import foreign_files  # here: torch takes seconds, and may not be installed

    return foreign_files.load(weights, task)

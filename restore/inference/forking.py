"""Forked processes: why they must not use several threads."""

from __future__ import annotations

import os
from functools import cache


@cache
def make_forks_safe() -> None:
    """Let PyTorch use one thread in processes that are forked from now on.

    A fork does not copy the threads of OpenMP. A forked process that uses them waits for ever. Other start methods,
    such as "spawn", are not affected.
    """
    import torch

    if hasattr(os, "register_at_fork"):  # Windows cannot fork
        os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))

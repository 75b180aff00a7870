"""What a network computes in: the names, and what `auto` means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from restore.errors import UsageError

if TYPE_CHECKING:
    from restore.checkpoints.catalogue import WeightsEntry

PRECISIONS = ("auto", "float32", "bfloat16", "float16")

MOST_LOST = 0.02
"""dB that `auto` may lose to bfloat16, by the weights' `bfloat16_loss`."""


def check_precision(name: str, choices: tuple[str, ...] = PRECISIONS) -> None:
    """Refuse what is none of the choices.

    Raises:
        UsageError: It is none.
    """
    if name not in choices:
        raise UsageError(f"there is no precision called {name!r}", hint=f"choose {', '.join(choices)}")


def takes_bfloat16(entry: WeightsEntry | None) -> bool:
    """Whether the weights are known to lose less than `MOST_LOST` by bfloat16."""
    return entry is not None and entry.bfloat16_loss is not None and entry.bfloat16_loss < MOST_LOST

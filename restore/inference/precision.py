"""The precisions that a network computes in, and the rule for `auto`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from restore.errors import UsageError, check_choice

if TYPE_CHECKING:
    from restore.checkpoints.catalogue import WeightsEntry
    from restore.inference.engine import Contract

PRECISIONS = ("auto", "float32", "bfloat16", "float16")

MOST_LOST = 0.02
"""Limit in dB: `auto` takes bfloat16 only for weights with a smaller `bfloat16_loss`."""


def check_precision(name: str, choices: tuple[str, ...] = PRECISIONS) -> None:
    """Check the name of a precision.

    Raises:
        UsageError: The name is not among the choices.
    """
    check_choice("precision", name, choices)


def check_precision_of(network: Contract, name: str) -> None:
    """Check the name of a precision, and that the network computes in it.

    Raises:
        UsageError: It is unknown, or the network does not compute in it.
    """
    check_precision(name)
    if name not in ("auto", *network.precisions):
        hint = f"choose one of {', '.join(network.precisions)} with --precision"
        raise UsageError(f"the network of these weights does not compute in {name}", hint=hint)


def takes_bfloat16(entry: WeightsEntry | None) -> bool:
    """Whether the measured loss of the weights in bfloat16 is below `MOST_LOST`."""
    return entry is not None and entry.bfloat16_loss is not None and entry.bfloat16_loss < MOST_LOST

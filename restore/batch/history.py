"""What a run does to its pictures, in words, for `Picture.history`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import restore

if TYPE_CHECKING:
    from restore.batch.task_restorer import RestorerChoice
    from restore.checkpoints import ResolvedWeights

_DEFAULTS = {"strength": 1.0, "self_ensemble": False, "tile": "auto", "overlap": 32}


def step(choice: RestorerChoice, weights: ResolvedWeights, how: dict[str, Any], pattern: str | None) -> str:
    """The tool, the task, the weights by catalogue name and SHA-256, and the options that are not the default.

    It names no path and no time: files hold nothing private, and the same command writes the same bytes.

    Args:
        choice: What makes the restorer.
        weights: The weights that it uses.
        how: Arguments of `Restorer.restore_picture`.
        pattern: Bayer pattern of a mosaic; None for other pictures.
    """
    exported = ".onnx" * (weights.path.suffix == ".onnx")
    name = f"{weights.entry.name}{exported} " if weights.entry else ""
    facts = [choice.task.name, f"weights {name}sha256 {weights.sha256}"]
    if choice.level is not None and choice.task.level is not None:
        facts.append(f"{choice.task.level.name} {choice.level:g}")
    if pattern is not None:
        facts.append(f"pattern {pattern}")
    facts += [f"{option.replace('_', '-')} {how[option]}" for option in _DEFAULTS if how[option] != _DEFAULTS[option]]
    if how.get("region") is not None:
        facts.append(f"crop {how['region']}")
    if choice.precision != "auto":
        facts.append(f"precision {choice.precision}")
    return f"restore {restore.__version__}: {', '.join(facts)}".replace("self-ensemble True", "self-ensemble")

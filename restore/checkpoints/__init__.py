"""Weights: the catalogue, loading and saving, the Hugging Face Hub, the authors' files, and model cards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from restore.checkpoints.any_file import load
    from restore.checkpoints.loading import FORMAT, CheckpointInfo, ResolvedWeights, facts, load_own, resolve, save

__all__ = ["FORMAT", "CheckpointInfo", "ResolvedWeights", "facts", "load", "load_own", "resolve", "save"]

if not TYPE_CHECKING:  # a type checker must refuse names that do not exist

    def __getattr__(name: str) -> Any:
        """Import what loads weights when it is first used: each start of `restore` needs the catalogue alone."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        module = "any_file" if name == "load" else "loading"
        return getattr(import_module(f"restore.checkpoints.{module}"), name)

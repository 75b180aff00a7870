"""Weights: the catalogue, loading and saving, the Hugging Face Hub, the authors' files, and model cards."""

from restore.checkpoints.loading import FORMAT, CheckpointInfo, ResolvedWeights, facts, load, resolve, save

__all__ = ["FORMAT", "CheckpointInfo", "ResolvedWeights", "facts", "load", "resolve", "save"]

"""Weights for a backend: found, and made a network that a `Restorer` takes. Torch is imported where it computes."""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING

from restore import checkpoints
from restore.checkpoints import CheckpointInfo, ResolvedWeights, catalogue
from restore.checkpoints.loading import check_scale, sha256_of
from restore.errors import RestoreError, UsageError, WeightsError, check_choice
from restore.inference.engine import BACKENDS
from restore.inference.onnx_engine import OnnxNetwork

if TYPE_CHECKING:
    from restore.networks import Network

SUFFIX = ".onnx"


def has_torch() -> bool:
    """Whether torch is installed; it is not imported."""
    return importlib.util.find_spec("torch") is not None


def find(source: str | os.PathLike[str], backend: str = "auto") -> ResolvedWeights:
    """Find and verify weights for a backend.

    Args:
        source: What `checkpoints.resolve` takes, or an export, which ends in `.onnx`.
        backend: `torch`; `onnx`, which takes the export `NAME.onnx` in the user's own weights folder for a name of the
            catalogue; or `auto`: `onnx` for an export and where torch is not installed, else `torch`.

    Raises:
        UsageError: The backend is unknown, or does not take these weights.
        WeightsError: As `checkpoints.resolve`; or there is no export.
        RestoreError: The backend is not installed.
    """
    check_choice("backend", backend, BACKENDS)
    source = os.fspath(source)
    if source.endswith(SUFFIX):
        if backend == "torch":
            raise UsageError(f"{source} is for ONNX Runtime, not for torch", hint="leave out --backend")
        return checkpoints.resolve(source)
    if backend == "onnx" or (backend == "auto" and not has_torch()):
        return _exported(source)
    if not has_torch():
        raise RestoreError("--backend torch needs torch, which is not installed", hint="pip install torch")
    return checkpoints.resolve(source)


def _exported(source: str) -> ResolvedWeights:
    """The export of weights that are not named as one."""
    why = "" if has_torch() else "torch is not installed, and "
    if entry := catalogue.load_catalogue().get(source):
        path = catalogue.own_folder() / f"{source}{SUFFIX}"
        if path.is_file():
            return ResolvedWeights(path, sha256_of(path), entry)
        raise WeightsError(
            f"{why}there is no {path}",
            hint=f"`restore export {source} -o {source}{SUFFIX}` writes it where torch is; copy it there, or use "
            f"--weights {source}{SUFFIX}",
        )
    checkpoints.resolve(source, download=False)  # which knows what is wrong with a name
    raise WeightsError(
        f"{why}{source} is not an export for ONNX Runtime",
        hint=f"`restore export {source} -o FILE{SUFFIX}` writes one where torch is; then use --weights FILE{SUFFIX}",
    )


def load(
    weights: ResolvedWeights, task: str | None = None, *, threads: int | None = None
) -> tuple[Network | OnnxNetwork, CheckpointInfo]:
    """The network of weights that `find` found.

    Args:
        weights: The file.
        task: As for `checkpoints.load`.
        threads: CPU threads; None: as the backend chooses.

    Raises:
        WeightsError: The file is damaged, or it is not the export of the weights that it is named after.
        RestoreError: ONNX Runtime is not installed.
    """
    if weights.path.suffix != SUFFIX:
        if threads is not None:
            import torch

            torch.set_num_threads(threads)
        return checkpoints.load(weights, task)
    network = OnnxNetwork.read(weights.path, threads)
    facts = network.facts
    if weights.entry and facts.sha256 != weights.entry.sha256:
        name = weights.entry.name
        raise WeightsError(f"{weights.path} is not an export of {name}", hint=f"`restore export {name} -o FILE.onnx`")
    check_scale(network, facts.task, str(weights.path))
    return network, CheckpointInfo(weights, facts.network, facts.task, {})

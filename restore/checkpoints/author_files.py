"""Importing checkpoint files of the networks' authors, checked tensor by tensor.

The tensors keep their values. Only 1x1 convolutions change their shape where our networks use linear layers.
`author_names` maps the names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from restore.checkpoints import catalogue, loading
from restore.checkpoints.author_names import config_of, is_idle, mean_faults, names_of
from restore.checkpoints.catalogue import WeightsEntry
from restore.checkpoints.file_kinds import reason_of, refuse_other_kinds
from restore.errors import WeightsError, first_few
from restore.networks import NETWORKS, Network


def import_published(path: Path, *, network: str, task: str, name: str | None = None) -> WeightsEntry:
    """Add a checkpoint of a network's authors to the user's own catalogue.

    Args:
        path: A file that `torch.save` wrote. Only tensors are read from it; no code runs.
        network: Key of `NETWORKS`.
        task: Key of `TASKS`: what the weights were trained for.
        name: Name of the weights; None: network, task and the file's name.

    Returns:
        The new record.

    Raises:
        WeightsError: The file is damaged or holds more than tensors; a tensor is missing, unknown or misshaped; the
            network does not fit the task; or the name is taken.
    """
    name = name or re.sub(r"[^a-z0-9]+", "-", f"{network}-{task}-{path.stem}".lower()).strip("-")
    catalogue.check_new_name(name)
    folder = catalogue.own_folder()
    source_sha256 = loading.sha256_of(path)
    refuse_other_kinds(path, is_published=True)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # errors of a damaged or hostile pickle have no common type
        hint = "download it again; files that run code when opened are refused"
        raise WeightsError(f"cannot read tensors from {path}: {reason_of(error)}", hint=hint) from None
    try:
        built = convert(network, read_state_dict(content))
    except WeightsError as error:
        raise WeightsError(f"{path} does not fit {network}: {error.message}", hint=error.hint) from error
    loading.check_scale(built, task, str(path))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WeightsError(f"cannot create {folder}: {error.strerror or error}") from error
    file = folder / f"{name}.safetensors"
    loading.save(file, built, network, {"task": task, "imported_from": path.name, "imported_sha256": source_sha256})
    info = loading.CheckpointInfo(loading.ResolvedWeights(file, loading.sha256_of(file)), network, task, {})
    about = {
        "file": file.name,
        "licence": "its authors'",
        "trained_on": "see its authors",
        "summary": f"imported from {path.name}, SHA-256 {source_sha256[:12]}",
    }
    return catalogue.add_own(name, loading.facts(built, info) | about)


def read_state_dict(content: Any) -> dict[str, Tensor]:
    """The tensors of a loaded file, bare or under the usual key of a training framework.

    Args:
        content: What `torch.load` returned.

    Raises:
        WeightsError: It holds no state dict.
    """
    for key in ("params_ema", "params", "state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not content or not all(isinstance(t, Tensor) for t in content.values()):
        raise WeightsError("the file holds no state dict (a tensor for each name)")
    return {str(name).removeprefix("module."): tensor for name, tensor in content.items()}


def convert(network: str, state: Mapping[str, Tensor]) -> Network:
    """Build a network from the shapes of a published state dict, and fill it.

    Args:
        network: Key of `NETWORKS`.
        state: Published names, and tensors.

    Raises:
        WeightsError: A tensor is missing, unknown or of another shape; the message names it.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    try:
        built = NETWORKS[network](**config_of(network, shapes))
    except KeyError as error:
        raise WeightsError(f"{error.args[0]} is missing", hint=f"is it a file of {network}?") from None
    except (ValueError, IndexError, ZeroDivisionError) as error:
        raise WeightsError(f"the shapes fit no {network}: {error}") from error
    own, faults, used = built.state_dict(), [], set()
    for key, tensor in own.items():
        names = names_of(network, key, built)
        used.update(names)
        faults += [f"{name} is missing" for name in names if name not in state]
        given = [state[name] for name in names if name in state]
        shape = tuple(tensor.shape)
        for name, value in zip((n for n in names if n in state), given, strict=True):
            if tuple(value.shape) not in (shape, (*shape, 1, 1)):
                faults.append(f"{name} is {tuple(value.shape)}, not {shape}")
            elif not torch.equal(value, given[0]):
                faults.append(f"{name} differs from {names[0]}, which it should equal")
        if given and given[0].numel() == tensor.numel():
            own[key] = given[0].reshape(shape).to(tensor.dtype)
    faults += [f"{name} is unknown" for name in state if name not in used and not is_idle(name, network)]
    faults += mean_faults(state) if network == "pa-edsr" else []
    if faults:
        raise WeightsError(first_few(faults), hint=f"is it a file of {network}?")
    built.load_state_dict(own)
    return built

"""Importing checkpoint files of the networks' authors, checked tensor by tensor.

The tensors keep their values. Only 1x1 convolutions change their shape where our networks use linear layers.
`author_names` maps the names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from restore.checkpoints import catalogue, loading
from restore.checkpoints.author_names import config_of, is_idle, mean_faults, names_of
from restore.checkpoints.catalogue import WeightsEntry
from restore.checkpoints.checked_build import TensorHead, check_config, check_finite, without_values
from restore.checkpoints.file_kinds import reason_of, refuse_other_kinds
from restore.errors import WeightsError, first_few
from restore.networks import NETWORKS, Network

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_COUNTERS = ("total_ops", "total_params", "n_averaged")  # of the profiler thop, and of torch's AveragedModel
_DEEPEST = 8  # mappings within mappings
_MANY = 10_000  # more tensors than any network of a paper has


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
        built, taken = read_network(network, content)
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
        "summary": f"imported from {path.name}, SHA-256 {source_sha256[:12]}" + (f", its {taken}" if taken else ""),
    }
    return catalogue.add_own(name, loading.facts(built, info) | about)


def read_network(network: str, content: Any) -> tuple[Network, str]:
    """The network of a loaded file: the first state dict in it that fits, averaged weights first.

    A prefix that all names share is left out, as often as needed. So are the counters of profilers.

    Args:
        network: Key of `NETWORKS`.
        content: What `torch.load` returned: a state dict, or what a training framework puts around it.

    Returns:
        The network, and the keys under which its weights were, such as `params_ema`; empty if there are none.

    Raises:
        WeightsError: The file holds no state dict, or none fits.
    """
    found = _averaged_first(content)
    if not found:
        raise WeightsError("the file holds no state dict (a tensor for each name)")
    largest = max(found, key=lambda item: len(item[1]))
    first: WeightsError | None = None
    for where, state in found:
        for names in _without_prefixes(state):
            try:
                return convert(network, names), where
            except WeightsError as error:
                if state is largest[1]:
                    first = error  # in the end, that of the shortest names
    assert first is not None
    *_, given = _without_prefixes(largest[1])
    raise WeightsError(f"{first.message}; {_beside(network, given)}", hint=first.hint)


def find_network(content: Any) -> tuple[str, Network] | None:
    """The network that a loaded file of its authors fits, with its key in `NETWORKS`; None if it fits none."""
    for network in ("drsformer", "panet", "pa-edsr"):
        for _, state in _averaged_first(content):
            for names in _without_prefixes(state):
                with suppress(WeightsError):
                    return network, convert(network, names)
    return None


def _averaged_first(content: Any) -> list[tuple[str, dict[str, Tensor]]]:
    """The state dicts in a loaded file, each with its keys."""
    found = _state_dicts(content, "")
    return sorted(found, key=lambda item: "ema" not in re.split(r"[^a-z]+", item[0].lower()))


def _state_dicts(content: Any, where: str, depth: int = 0) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Every mapping from names to tensors in a loaded file, with its keys."""
    if not isinstance(content, Mapping) or depth > _DEEPEST:
        return
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if tensors := {name: value for name, value in tensors.items() if name.rpartition(".")[2] not in _COUNTERS}:
        yield where, tensors
    for key, value in content.items():
        shown = re.sub(r"[^\w.-]", "?", str(key), flags=re.ASCII)[:40]
        yield from _state_dicts(value, f"{where}.{shown}" if where else shown, depth + 1)


def _without_prefixes(state: dict[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """The state dict as it is, then without the first, the second .. prefix that all names share."""
    yield state
    while len({name.partition(".")[0] for name in state}) == 1 and all("." in name for name in state):
        state = {name.partition(".")[2]: tensor for name, tensor in state.items()}
        yield state


def _beside(network: str, state: Mapping[str, Tensor]) -> str:
    """Three names of a file beside three that the network wants."""
    built = without_values(NETWORKS[network], {}, _MANY)
    wanted = {name: None for key in built.state_dict() for name in names_of(network, key, built)}
    given = sorted(state, key=lambda name: name in wanted)  # the unknown ones first
    missing = sorted(wanted, key=lambda name: name in state)
    return f"its keys are like {', '.join(given[:3])}, and wanted are like {', '.join(missing[:3])}"


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
        config = config_of(network, shapes)
        check_config(NETWORKS[network], config, {name: TensorHead(shape, "F32") for name, shape in shapes.items()})
        planned = without_values(NETWORKS[network], config, len(shapes))
    except KeyError as error:
        raise WeightsError(f"{error.args[0]} is missing", hint=f"is it a file of {network}?") from None
    except WeightsError as error:
        raise WeightsError(f"the shapes fit no {network}: {error.message}") from error
    except (ValueError, IndexError, ZeroDivisionError, TypeError) as error:
        raise WeightsError(f"the shapes fit no {network}") from error
    own, faults, used = planned.state_dict(), [], set()
    for key, tensor in own.items():
        names = names_of(network, key, planned)
        used.update(names)
        faults += [f"{name} is missing" for name in names if name not in state]
        given = [state[name] for name in names if name in state]
        odd = [
            f"{name} is not a plain tensor of floats" for name in names if name in state and not _is_plain(state[name])
        ]
        if odd:
            faults += odd
            continue
        shape = tuple(tensor.shape)
        for name, value in zip((n for n in names if n in state), given, strict=True):
            if tuple(value.shape) not in (shape, (*shape, 1, 1)):
                faults.append(f"{name} is {tuple(value.shape)}, not {shape}")
            elif value is not given[0] and not torch.equal(value, given[0]):  # nan does not equal itself
                faults.append(f"{name} differs from {names[0]}, which it should equal")
        if given and given[0].numel() == tensor.numel():
            own[key] = given[0].reshape(shape).to(tensor.dtype)
    faults += [f"{name} is unknown" for name in state if name not in used and not is_idle(name, network)]
    faults += mean_faults(state) if network == "pa-edsr" else []
    if faults:
        raise WeightsError(first_few(faults), hint=f"is it a file of {network}?")
    check_finite({name: state[name] for name in used})
    built = NETWORKS[network](**config)
    built.load_state_dict(own)
    return built


def _is_plain(tensor: Tensor) -> bool:
    return tensor.dtype in _FLOATS and tensor.layout is torch.strided and not tensor.is_meta

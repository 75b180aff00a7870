"""Weights: find (bundled, in the Hub's cache, on the Hub), verify, load strictly, and save.

A checkpoint is a safetensors file. Its metadata are text: `format` (`restore/1`), `network` (key of `NETWORKS`),
`config` (the network's keyword arguments as JSON), `task` (key of `TASKS`), `attention` (`left out` if the network was
trained without it), and anything else.
Other files (`.pth`, and safetensors without these metadata) are of our networks' authors or of spandrel's networks:
`foreign_files` reads only their tensors. A pickle on the Hub is refused, because opening one can run code.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from restore.checkpoints import catalogue, hub
from restore.checkpoints.catalogue import WeightsEntry
from restore.checkpoints.file_kinds import AGAIN, is_of_torch, refuse_other_kinds
from restore.checkpoints.hub import PICKLES, Address
from restore.errors import WeightsError, did_you_mean
from restore.files import whole_file
from restore.tasks import TASKS

if TYPE_CHECKING:
    from restore.checkpoints.checked_build import TensorHead
    from restore.networks import Network

FORMAT = "restore/1"


class HasScale(Protocol):
    """A network, as far as its scale goes."""

    @property
    def scale(self) -> int:
        """Output size over input size."""


@dataclass(frozen=True)
class ResolvedWeights:
    """A weights file on this machine, verified if the catalogue lists it.

    Attributes:
        path: The file.
        sha256: Its hash, in hexadecimal digits.
        entry: Its record, if it was found by its name in the catalogue.
    """

    path: Path
    sha256: str
    entry: WeightsEntry | None = None


@dataclass(frozen=True)
class CheckpointInfo:
    """What a loaded checkpoint says about itself.

    Attributes:
        weights: The file that it was read from.
        network: Key of `NETWORKS`, or the name of a network of others (`foreign_files`).
        task: Key of `TASKS`; empty for a network of others that does not enlarge, if the caller named no task.
        metadata: All metadata of the file.
    """

    weights: ResolvedWeights
    network: str
    task: str
    metadata: dict[str, str]

    @property
    def entry(self) -> WeightsEntry | None:
        """Its record in the catalogue; None if it has none."""
        return self.weights.entry


def resolve(source: str | os.PathLike[str], *, download: bool = True) -> ResolvedWeights:
    """Find and verify weights, without importing torch.

    Args:
        source: A name of the catalogue, a file, or `hf://owner/repo[@revision][/file]`.
        download: Whether missing files may be downloaded.

    Raises:
        WeightsError: The weights cannot be found or downloaded, are a pickle on the Hub, or differ from the catalogue's
            record.
    """
    source = os.fspath(source)
    if source.startswith("hf://"):
        address = Address.parse(source)
        refuse_pickle(address.file or "")
        path = hub.fetch(address, download=download)
        sha256, stated = sha256_of(path), hub.stated_sha256(path)
        if stated not in (None, sha256):
            message = f"{path} is damaged: its SHA-256 is {sha256}, and the Hub says {stated}"
            raise WeightsError(message, hint=f"delete {path.resolve()} and try again")
        return ResolvedWeights(path, sha256)
    if source not in catalogue.load_catalogue() and looks_like_a_file(source):
        path = Path(source)
        if not os.path.isfile(source):
            raise WeightsError(f"cannot find the weights file {source}", hint="`restore weights list` shows all names")
        return ResolvedWeights(path, sha256_of(path))
    entry = catalogue.find(source)
    path = entry.path
    bundled = entry.folder == catalogue.weights_folder()
    hint = "pip install --force-reinstall restore-photos" if bundled else "import it again: `restore weights import`"
    if not path.is_file():
        if entry.hub_repo is None or entry.hub_file is None:
            raise WeightsError(f"the file of {entry.name} is missing: {path}", hint=hint)
        path = hub.fetch(Address(entry.hub_repo, entry.hub_revision, entry.hub_file), download=download)
        hint = f"delete {path.resolve()} and try again"  # names in the cache are links to this file
    return ResolvedWeights(path, _verify(path, entry, hint), entry)


def is_own(path: Path) -> bool:
    """Whether a file says that it is a checkpoint of this project.

    Raises:
        WeightsError: It cannot be read, or is neither safetensors nor of `torch.save`.
    """
    if is_of_torch(path):
        return False
    with _opened(path) as file:
        stated: str = (file.metadata() or {}).get("format", "")
    return stated.startswith(FORMAT.partition("/")[0] + "/")


def load_own(source: str | os.PathLike[str] | ResolvedWeights) -> tuple[Network, CheckpointInfo]:
    """Build the network that a checkpoint of this project describes, and fill it.

    Args:
        source: What `resolve` takes or returns.

    Returns:
        The network in float32 on the CPU, and what the checkpoint says about itself.

    Raises:
        WeightsError: As `resolve`; or the file is damaged, or a tensor is missing, unknown, misshaped, not of floats or
            not finite; its config is out of its limits; or its network does not fit its task.
    """
    weights = source if isinstance(source, ResolvedWeights) else resolve(source)
    from restore.checkpoints import checked_build
    from restore.networks import NETWORKS

    with _opened(weights.path) as file:
        metadata, header = _head(file)
        name, task = _checked(metadata, weights)
        if name not in NETWORKS:
            hint = did_you_mean(name[:99], NETWORKS) or "try a newer version of restore"
            raise WeightsError(f"{weights.path} is for an unknown network, {name[:99]!r}", hint=hint)
        try:
            network = checked_build.build(NETWORKS[name], checked_build.parse_config(metadata["config"]), header)
            tensors = {key: file.get_tensor(key) for key in header}
            checked_build.check_finite(tensors)
        except WeightsError as error:
            hint = error.hint or "they are damaged or for another network; `restore weights list` shows others"
            raise WeightsError(f"cannot use {weights.path} for {name}: {error.message}", hint=hint) from error
    check_scale(network, task, str(weights.path))
    network.load_state_dict(tensors)
    if metadata.get("attention") == "left out":
        network.use_attention(False)
    if TASKS[task].takes_mosaic:  # every tile starts with a red pixel, as the picture does
        network.size_multiple = math.lcm(network.size_multiple, 2)
    return network, CheckpointInfo(weights, name, task, metadata)


def check_scale(network: HasScale, task: str, shown: str) -> None:
    """Refuse a network whose scale does not fit the task: above 1 to upscale, else 1.

    Args:
        network: The network.
        task: Key of `TASKS`.
        shown: The file, for the message.

    Raises:
        WeightsError: They do not fit.
    """
    if (network.scale > 1) != (task == "upscale"):
        does = f"enlarges {network.scale} times" if network.scale > 1 else "does not enlarge"
        raise WeightsError(f"{shown} cannot be used to {task}: its network {does}", hint="name the task it is made for")


def save(path: Path, network: Network, name: str, metadata: dict[str, str]) -> None:
    """Write a checkpoint, whole or not at all.

    Args:
        path: A `.safetensors` file; an existing one is replaced.
        network: Its `state_dict` and `config` are saved.
        name: Its key in `NETWORKS`.
        metadata: At least `task`; other keys are free.

    Raises:
        WeightsError: The file cannot be written.
    """
    if path.suffix != ".safetensors":
        raise ValueError(f"the name of a checkpoint must end in .safetensors: {path}")
    own = {"format": FORMAT, "network": name, "config": json.dumps(network.config, sort_keys=True)}
    if metadata.get("task") not in TASKS or own.keys() & metadata.keys():
        raise ValueError(f"metadata need a known task and may not have {', '.join(own)}: {metadata}")
    if not network.attends:
        own["attention"] = "left out"
    from safetensors.torch import save as to_bytes

    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in network.state_dict().items()}
    try:
        with whole_file(path) as temporary:
            temporary.write_bytes(to_bytes(tensors, metadata | own))
    except OSError as error:
        raise WeightsError(f"cannot write {path}: {error.strerror or error}") from error


def facts(network: Network, info: CheckpointInfo) -> dict[str, Any]:
    """What a checkpoint itself says, as keys of the catalogue's tables.

    Args:
        network: The loaded network.
        info: What the checkpoint says about itself.
    """
    kind = type(network)
    configs = (key for key, options in kind.CONFIGS.items() if kind(**options).config == network.config)
    return {
        "network": info.network,
        "config": next(configs, "own"),
        "task": info.task,
        "sha256": info.weights.sha256,
        "size_bytes": info.weights.path.stat().st_size,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
    }


def looks_like_a_file(source: str) -> bool:
    """Whether a text is the path of a weights file, or an address on the Hub, and not a name."""
    named_so = source.endswith((".safetensors", ".onnx", *PICKLES))
    return named_so or os.path.dirname(source) != "" or os.path.isfile(source)


def refuse_pickle(source: str) -> None:
    """Raise a WeightsError if the file name is that of a pickle."""
    if source.endswith(PICKLES):
        raise WeightsError(
            f"{source} is a Python pickle, which can run code when opened",
            hint="use a .safetensors file; or download it yourself, and name the file: only its tensors are read then",
        )


def sha256_of(path: Path) -> str:
    """The hash of a file in hexadecimal digits.

    Raises:
        WeightsError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror or error}") from error


def _verify(path: Path, entry: WeightsEntry, hint: str) -> str:
    """The hash of a file, which must equal the one in the catalogue."""
    size, sha256 = path.stat().st_size, sha256_of(path)
    if size != entry.size_bytes:
        message = f"{path} is damaged: it has {size} bytes, and {entry.name} has {entry.size_bytes}"
        raise WeightsError(message, hint=hint)
    if sha256 != entry.sha256:
        message = f"{path} is damaged or not {entry.name}: its SHA-256 is {sha256}, not {entry.sha256}"
        raise WeightsError(message, hint=hint)
    return sha256


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A safetensors file, open for reading."""
    from safetensors import SafetensorError, safe_open

    refuse_other_kinds(path, is_published=False)
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(
            f"{path} is damaged or not a safetensors file: its header does not fit its data",
            hint=AGAIN,
        ) from error


def _head(file: Any) -> tuple[dict[str, str], dict[str, TensorHead]]:
    """Metadata of an open file, and what its header says of each tensor. No tensor is read."""
    from restore.checkpoints.checked_build import TensorHead

    slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118
    return file.metadata() or {}, {k: TensorHead(tuple(s.get_shape()), s.get_dtype()) for k, s in slices.items()}


def _checked(metadata: dict[str, str], weights: ResolvedWeights) -> tuple[str, str]:
    """Network and task from a checkpoint's metadata."""
    path, entry = weights.path, weights.entry
    if metadata.get("format") != FORMAT:
        raise WeightsError(
            f"{path} is not a checkpoint of restore: its metadata lack format {FORMAT!r}",
            hint="`restore weights list` shows usable weights",
        )
    missing = [key for key in ("network", "config", "task") if key not in metadata]
    if missing:
        raise WeightsError(f"{path} lacks {', '.join(missing)} in its metadata", hint=AGAIN)
    name, task = metadata["network"], metadata["task"]
    if task not in TASKS:
        hint = did_you_mean(task[:99], TASKS) or "try a newer version of restore"
        raise WeightsError(f"{path} is for an unknown task, {task[:99]!r}", hint=hint)
    if entry and (name, task) != (entry.network, entry.task):
        raise WeightsError(
            f"{path} is {name} for {task}; the catalogue says {entry.network} for {entry.task}", hint=AGAIN
        )
    return name, task

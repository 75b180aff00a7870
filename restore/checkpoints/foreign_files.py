"""Checkpoints of networks that are not this project's, by spandrel: `pip install 'restore-photos[spandrel]'`.

spandrel (MIT) knows 40 architectures, such as ESRGAN, SwinIR and HAT, by the names and shapes of their tensors. Only
tensors are read from a file: `torch.load(weights_only=True)` or safetensors. TorchScript is refused, because it is a
program.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from restore.checkpoints import author_files, loading
from restore.checkpoints.checked_build import check_finite
from restore.checkpoints.file_kinds import is_of_torch, reason_of, refuse_other_kinds
from restore.errors import WeightsError, first_few
from restore.networks import Network
from restore.tasks import TASKS

INSTALL = "pip install 'restore-photos[spandrel]'"
_CHANNELS = {(1, 1): 1, (3, 3): 3, (4, 4): 3, (4, 3): 3}  # of the pictures, by input and output of the network
_REFUSED = {
    "Inpainting": ("fills holes, and needs a mask of them", "restore has no task that takes masks"),
    "FaceSR": ("restores single faces, cut out and aligned", "restore does not look for faces"),
}


class ForeignNetwork(Network):
    """A network of spandrel, under this project's contract.

    The result is clamped to [0, 1]. How far a pixel sees is not known, so tiles overlap and fade. Where a network takes
    squares only, spandrel pads. A network for RGB and alpha gets an opaque one, and its RGB is the result.

    Args:
        descriptor: A `spandrel.ImageModelDescriptor`.
    """

    CONFIGS: ClassVar[dict[str, dict[str, Any]]] = {}

    def __init__(self, descriptor: Any) -> None:
        super().__init__()
        self.config = {}
        self.model = descriptor.model
        self.descriptor = descriptor
        self.channels = _CHANNELS[descriptor.input_channels, descriptor.output_channels]
        self.scale = int(descriptor.scale)
        self.size_multiple = descriptor.size_requirements.multiple_of
        self.min_size = max(1, descriptor.size_requirements.minimum)
        halves = {"bfloat16": descriptor.supports_bfloat16, "float16": descriptor.supports_half}
        self.precisions = ("float32", *(name for name, has in halves.items() if has))

    @property
    def architecture(self) -> str:
        """The name of its architecture, as spandrel writes it."""
        return str(self.descriptor.architecture.name)

    def forward(self, degraded: Tensor) -> Tensor:
        if self.descriptor.input_channels == 4:
            degraded = torch.cat([degraded, torch.ones_like(degraded[:, :1])], 1)
        with _fixed_noise() if self.architecture == "AuraSR" else nullcontext():
            restored = [self.descriptor(one[None]) for one in degraded]  # spandrel's calls take one picture
        return torch.cat(restored)[:, : self.channels]

    def facts(self) -> list[tuple[str, str]]:
        """What a user may want to know about the network, by heading."""
        about, sizes = self.descriptor, self.descriptor.size_requirements
        needs = [f"at least {sizes.minimum} pixels"] if sizes.minimum > 1 else []
        needs += [f"multiples of {sizes.multiple_of}"] if sizes.multiple_of > 1 else []
        needs += ["squares"] if sizes.square else []
        count = sum(parameter.numel() for parameter in self.model.parameters())
        return [
            ("network", ", ".join([f"{self.architecture}, by spandrel", *about.tags, f"{count:,} parameters"])),
            ("purpose", {"SR": "upscaling", "Restoration": "restoration"}.get(about.purpose, about.purpose)),
            ("scale", f"{self.scale}x"),
            ("channels", f"{about.input_channels} in, {about.output_channels} out"),
            ("sizes", (", ".join(needs) + "; pictures are padded") if needs else "any"),
            ("tiles", {"SUPPORTED": "good", "DISCOURAGED": "seams are likely"}.get(about.tiling.name, "its own")),
            ("precision", ", ".join(self.precisions)),
        ]


@contextmanager
def _fixed_noise() -> Iterator[None]:
    """For networks that start from noise: the same picture gives the same result."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def load(weights: loading.ResolvedWeights, task: str | None) -> tuple[Network, loading.CheckpointInfo]:
    """The network of a file that is no checkpoint of this project: of our networks' authors, or of spandrel.

    Args:
        weights: The file.
        task: What it is used for: a key of `TASKS`; None: `upscale` if the network enlarges, else not known.

    Raises:
        WeightsError: It is damaged, or holds more than tensors; its network is not known, is of a kind that restores
            no pictures, or does not fit the task; or spandrel is missing.
    """
    path = weights.path
    content = _content(path)
    name, network = author_files.find_network(content) or _by_spandrel(content, path)
    task = task or ("upscale" if network.scale > 1 else "")
    if task:
        loading.check_scale(network, task, str(path))
        if TASKS[task].takes_mosaic:
            network.size_multiple = math.lcm(network.size_multiple, 2)
    return network, loading.CheckpointInfo(weights, name, task, {})


def _content(path: Path) -> Mapping[str, Any]:
    """What a file holds; no code in it runs."""
    refuse_other_kinds(path, is_published=is_of_torch(path))
    try:
        if is_of_torch(path):
            with path.open("rb") as file, warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of unusual pickles; what cannot be read is an error
                content = torch.load(file, map_location="cpu", weights_only=True)
        else:
            from safetensors.torch import load_file

            content = load_file(path)
    except Exception as error:  # errors of a damaged or hostile file have no common type
        hint = "download it again; files that run code when opened are refused"
        raise WeightsError(f"cannot read tensors from {path}: {reason_of(error)}", hint=hint) from None
    if not isinstance(content, Mapping) or not all(isinstance(key, str) for key in content):
        raise WeightsError(f"{path} holds no state dict (a tensor for each name)", hint="is it the right file?")
    return content


def _by_spandrel(content: Mapping[str, Any], path: Path) -> tuple[str, Network]:
    """The network that spandrel finds in the tensors, and the name of its architecture."""
    spandrel = _spandrel(path)
    state = spandrel.canonicalize_state_dict(dict(content))
    state = {key: value for key, value in state.items() if isinstance(value, Tensor)}
    try:
        check_finite({key: value for key, value in state.items() if value.is_floating_point()})
    except WeightsError as error:
        raise WeightsError(f"cannot use {path}: {error.message}", hint=error.hint) from None
    registry = spandrel.MAIN_REGISTRY
    found = next((one.architecture for one in registry.architectures("detection") if _fits(one, state)), None)
    if found is None:
        raise WeightsError(
            f"{path} is not a checkpoint of restore, and of none of spandrel's {len(registry)} architectures; "
            f"its keys are like {', '.join(list(state)[:3]) or 'none'}",
            hint="`restore weights list` shows usable weights; `restore weights import` takes those of some authors",
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # for programmers
            descriptor = found.load(state)
    except Exception as error:  # each architecture has its own
        raise WeightsError(
            f"{path} looks like {found.name}, but does not fit it: {_first_faults(error)}",
            hint="download it again, or ask its authors for a file that spandrel reads",
        ) from error
    takes, makes = descriptor.input_channels, descriptor.output_channels
    if descriptor.purpose in _REFUSED:
        does, hint = _REFUSED[descriptor.purpose]
        raise WeightsError(f"cannot use {path}: its network, {found.name}, {does}", hint=hint)
    if (takes, makes) not in _CHANNELS:
        raise WeightsError(
            f"cannot use {path}: its network, {found.name}, makes {makes} channels of {takes}",
            hint="use weights for RGB or for grey",
        )
    return found.name, ForeignNetwork(descriptor)


def _fits(support: Any, state: Mapping[str, Tensor]) -> bool:
    try:
        return bool(support.detect(state))
    except Exception:  # of names that mean something else
        return False


def _first_faults(error: Exception) -> str:
    """The faults in an error of PyTorch or of an architecture, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    shown = first_few([line[:200] for line in lines[1:] or lines])
    return shown.rstrip(".") or type(error).__name__


def _spandrel(path: Path) -> Any:
    """The package, imported."""
    what = f"{path} is not a checkpoint of restore, and spandrel, which reads those of others,"
    try:
        import spandrel
    except ModuleNotFoundError as error:
        if error.name == "spandrel":
            raise WeightsError(f"{what} is not installed", hint=INSTALL) from None
        raise WeightsError(f"{what} lacks {error.name}", hint=f"pip install {error.name}") from None
    except Exception as error:  # torchvision raises a RuntimeError where it does not fit PyTorch
        raise WeightsError(
            f"{what} cannot be imported: {_first_faults(error)}",
            hint="install the torchvision that fits your torch (see pytorch.org)",
        ) from error
    return spandrel

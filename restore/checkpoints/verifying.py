"""Whether weights can be used: whole, of the catalogue's hash, loadable, and of finite results."""

from __future__ import annotations

from dataclasses import dataclass

from restore.checkpoints import any_file, catalogue, loading
from restore.errors import WeightsError

_SIDE = 64  # pixels of the picture, or the next size that the network takes


@dataclass(frozen=True)
class Verified:
    """Weights that can be used.

    Attributes:
        sha256: Of the file.
        names: What the catalogue calls weights of this hash; empty if it lists none.
        network: Key of `NETWORKS`, or the name of a network of others.
        task: Key of `TASKS`; empty if not known.
        parameters: How many numbers were learned.
    """

    sha256: str
    names: tuple[str, ...]
    network: str
    task: str
    parameters: int


def verify(source: str) -> Verified:
    """Find weights, compare their hash, load them, and restore a small picture.

    Args:
        source: What `loading.resolve` takes. Nothing is downloaded.

    Raises:
        WeightsError: They are missing, damaged, of another hash than the catalogue or the Hub says, do not load, or
            give numbers that are not finite.
    """
    import torch

    weights = loading.resolve(source, download=False)
    network, info = any_file.load(weights)
    side = max(_SIDE, network.min_size)
    side += -side % network.size_multiple
    picture = torch.rand(1, network.channels, side, side, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        restored = network.eval()(picture)
    if not restored.isfinite().all():
        hint = "they are damaged or were trained badly; use others"
        raise WeightsError(f"{source} gives numbers that are not finite for a small picture", hint=hint)
    names = tuple(entry.name for entry in catalogue.load_catalogue().values() if entry.sha256 == weights.sha256)
    return Verified(
        weights.sha256, names, info.network, info.task, sum(parameter.numel() for parameter in network.parameters())
    )

"""Random weights under the names of the published files.

The name of a tensor seeds its generator (recipe: `../shared/golden/README.md`). The golden outputs are those of the
published code with these weights.
"""

from __future__ import annotations

import re
import zlib
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from restore.checkpoints.author_names import names_of
from restore.networks import NETWORKS, Network


def value(name: str, shape: tuple[int, ...]) -> Tensor:
    """The recipe's tensor for a name."""
    mean, std = 0.0, 1 / np.sqrt(np.prod(shape[1:]))
    if name.endswith(".temperature"):
        mean, std = 3.0, 0.5
    elif re.search(r"\.attn[1-4]$", name):
        mean, std = 0.25, 0.1
    elif re.search(r"norm.*\.body\.weight$", name):
        mean, std = 1.0, 0.1
    elif re.search(r"norm.*\.body\.bias$", name):
        std = 0.1
    elif name.endswith(".bias"):
        std = 0.05
    elif len(shape) == 1:
        mean, std = 0.25, 0.1
    elif re.match(r"body\..*\.body\.", name):  # residual blocks of PANet and PA-EDSR
        std *= 0.5
    z = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    return torch.from_numpy((mean + std * z).astype(np.float32))


def published_state(key: str, network: Network) -> dict[str, Tensor]:
    """The state dict of the published code for such a network."""
    with_1x1 = {
        f"{name}.weight"
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) and ".gate." not in f"{name}."
    }
    state: dict[str, Tensor] = {}
    for own, tensor in network.state_dict().items():
        names = names_of(key, own, network)
        shape = (*tensor.shape, 1, 1) if own in with_1x1 else tuple(tensor.shape)
        state |= dict.fromkeys(names, value(min(names), shape))
    return state


def build(key: str, config: dict[str, Any]) -> tuple[Network, dict[str, Tensor]]:
    """A network, and the published state dict for it."""
    network = NETWORKS[key](**config)
    return network, published_state(key, network)

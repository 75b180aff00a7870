"""The network of a recipe and the weights it starts from: random, identity, or those of other weights."""

from __future__ import annotations

import inspect
from pathlib import Path

import torch

from restore import checkpoints
from restore.errors import UsageError, did_you_mean
from restore.networks import NETWORKS, Network
from restore.training.recipe import Recipe


def new_network(recipe: Recipe, *, processes: int = 1) -> Network:
    """The untrained network of a recipe.

    Args:
        recipe: Names the network, its config and options, and how it starts.
        processes: How many processes share each batch.

    Raises:
        UsageError: The network has no such option or does not accept the crops, or batches are too small to share.
    """
    network_class = NETWORKS[recipe.network]
    kinds = (kind for kind in network_class.__mro__ if issubclass(kind, Network))
    known = {name for kind in kinds for name in inspect.signature(kind).parameters}
    for option in recipe.options.keys() - known:
        raise UsageError(f"{recipe.network} has no option {option!r}", hint=did_you_mean(option, known))
    network = network_class(**network_class.CONFIGS[recipe.config] | recipe.options)
    _check_fits(recipe, network, processes)
    if recipe.start == "identity":
        network.start_as_identity()
    return network


def take_weights(network: Network, recipe: Recipe, start_from: str | None, transfer_from: str | None) -> str | None:
    """Copy given weights into a network.

    Args:
        network: Changed in place.
        recipe: Of the network.
        start_from: Weights of the same network and config; anything that `checkpoints.resolve` accepts.
        transfer_from: Weights of another network, size or scale; tensors that fit are copied (`transfer`).

    Returns:
        Which weights they are, in words; None for none.

    Raises:
        UsageError: `start_from` is of another network or config, or too few tensors of `transfer_from` fit.
    """
    about = None
    if start_from is not None:
        weights, info = checkpoints.load(start_from)
        if info.network != recipe.network or weights.config != network.config:
            raise UsageError(
                f"{start_from} does not hold a {recipe.network} of config {recipe.config}",
                hint="use --transfer to copy the tensors that fit",
            )
        network.load_state_dict(weights.state_dict())
        about = f"`{Path(start_from).name}`"
    if transfer_from is not None:
        taken = transfer(network, checkpoints.load(transfer_from)[0])
        count = sum(parameter.numel() for parameter in network.parameters())
        about = f"`{Path(transfer_from).name}`, {taken:,} of {count:,} parameters"
    return about


def transfer(network: Network, weights: Network) -> int:
    """Copy the parameters of another network that have the same name and shape; keep the others.

    A network that upscales 4x learns sooner from one that upscales 2x (EDSR, Lim et al., CVPRW 2017, Section 3.2). KiT
    and CS-KiT are the same network without their attention.

    Returns:
        How many parameters were copied.

    Raises:
        UsageError: Less than half of the parameters fit: the networks have nothing in common.
    """
    own, given = (dict(x.named_parameters()) for x in (network, weights))
    fitting = [key for key in own.keys() & given.keys() if own[key].shape == given[key].shape]
    taken, count = (sum(own[key].numel() for key in keys) for keys in (fitting, own))
    if 2 * taken < count:
        raise UsageError(
            f"only {taken:,} of {count:,} parameters fit", hint="leave out --transfer to start from random weights"
        )
    with torch.no_grad():
        for key in fitting:
            own[key].copy_(given[key])
    return taken


def _check_fits(recipe: Recipe, network: Network, processes: int) -> None:
    """Refuse crops that the network does not accept, and batches that are too small to share."""
    if (batch := min([recipe.batch, *(batch for _, batch, _ in recipe.stages)])) < processes:
        raise UsageError(
            f"{processes} processes cannot share a batch of {batch}", hint=f"use --set batch={processes} or more"
        )
    for side in {recipe.crop, *(side for _, _, side in recipe.stages)}:
        if side % network.size_multiple or side < network.min_size:
            raise UsageError(
                f"{recipe.network} does not accept crops of {side} pixels",
                hint=f"use a multiple of {network.size_multiple}, at least {network.min_size}",
            )

"""The published networks by name; `base.Network` is their contract."""

from __future__ import annotations

from restore.networks.base import Network
from restore.networks.cskit import CSKiT
from restore.networks.drsformer import DRSformer
from restore.networks.kit import KiT
from restore.networks.panet import PAEDSR, PANet

NETWORKS: dict[str, type[Network]] = {
    "cs-kit": CSKiT,
    "kit": KiT,
    "drsformer": DRSformer,
    "panet": PANet,
    "pa-edsr": PAEDSR,
}


def key_of(network: Network) -> str | None:
    """The key of a network's class in `NETWORKS`; None if it has none."""
    return next((key for key, kind in NETWORKS.items() if type(network) is kind), None)


__all__ = ["NETWORKS", "Network", "key_of"]

"""The published networks by name; each states its contract in `base.Network`."""

from __future__ import annotations

from restore.networks.base import Network
from restore.networks.cskit import CSKiT
from restore.networks.kit import KiT

NETWORKS: dict[str, type[Network]] = {
    "cs-kit": CSKiT,
    "kit": KiT,
}

__all__ = ["NETWORKS", "Network"]

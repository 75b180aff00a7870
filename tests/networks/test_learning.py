"""A fresh network learns. With a bad start it stays at a residual of zero for thousands of steps."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from restore.errors import UsageError
from restore.networks import NETWORKS, Network
from restore.networks.panet import PAEDSR, PANet


@pytest.mark.parametrize(
    ("name", "refine"),
    [
        ("cs-kit", 2),
        pytest.param("kit", 0, marks=pytest.mark.slow),
        pytest.param("kit", 2, marks=pytest.mark.slow),
        pytest.param("cs-kit", 0, marks=pytest.mark.slow),
    ],
)
def test_a_fresh_network_beats_its_input_after_sixty_steps(name: str, refine: int) -> None:
    torch.manual_seed(0)
    network = NETWORKS[name](dim=16, h=1, shuffle=2, refine=refine, refine_width=16)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    generator = torch.Generator().manual_seed(1)
    ratios = []
    for _ in range(60):
        clean = F.interpolate(torch.rand(2, 3, 8, 8, generator=generator), size=64, mode="bicubic").clamp(0, 1)
        noisy = clean + 0.1 * torch.randn(clean.shape, generator=generator)
        loss = F.l1_loss(network(noisy), clean)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        ratios.append(loss.item() / F.l1_loss(noisy, clean).item())
    assert sum(ratios[-5:]) / 5 < 0.9


@pytest.mark.parametrize(
    "network",
    [PANet(blocks=2), PANet(blocks=2, channels=1), PANet(dim=16, blocks=2, shuffle=2)],
    ids=["rgb", "grey", "shuffled"],
)
def test_a_panet_can_start_as_the_identity(network: PANet) -> None:
    network.start_as_identity()
    picture = torch.rand(1, network.channels, 12, 14)
    torch.testing.assert_close(network(picture), picture)
    network.use_attention(False)
    torch.testing.assert_close(network(picture), picture)
    assert_all_learn(network, picture)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_pa_edsr_can_start_by_repeating_pixels(scale: int) -> None:
    network = PAEDSR(scale=scale, dim=16, blocks=2, reduction=2)
    network.start_as_identity()
    picture = torch.rand(1, 3, 12, 14)
    torch.testing.assert_close(network(picture), F.interpolate(picture, scale_factor=scale, mode="nearest"))
    assert_all_learn(network, picture)


def assert_all_learn(network: Network, picture: torch.Tensor) -> None:
    """Every parameter has a gradient two steps after a start at the identity."""
    network.use_attention(True)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        output = network(picture)
        F.l1_loss(output, torch.rand(output.shape)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert not [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]


@pytest.mark.parametrize("name", ["kit", "cs-kit"])
def test_a_kit_can_start_as_the_identity(name: str) -> None:
    network = NETWORKS[name](dim=8, blocks=1, h=1, shuffle=2)
    network.start_as_identity()
    picture = torch.rand(1, 3, network.min_size, network.min_size)
    torch.testing.assert_close(network(picture), picture, rtol=0, atol=0)
    assert_all_learn(network, picture)


def test_a_network_that_cannot_start_as_the_identity_says_so() -> None:
    with pytest.raises(UsageError, match="DRSformer cannot start as the identity"):
        NETWORKS["drsformer"](**NETWORKS["drsformer"].CONFIGS["s"]).start_as_identity()

"""A fresh network learns: with a careless start it answers with a residual of zero for thousands of steps."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from restore.networks import NETWORKS


@pytest.mark.parametrize("refine", [0, 2])
@pytest.mark.parametrize("name", ["kit", "cs-kit"])
def test_a_fresh_network_beats_its_input_after_sixty_steps(name: str, refine: int) -> None:
    torch.manual_seed(0)
    network = NETWORKS[name](dim=16, h=1, shuffle=2, refine=refine, refine_width=16)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    generator = torch.Generator().manual_seed(1)
    ratios = []
    for _ in range(60):
        clean = F.interpolate(torch.rand(4, 3, 8, 8, generator=generator), size=64, mode="bicubic").clamp(0, 1)
        noisy = clean + 0.1 * torch.randn(clean.shape, generator=generator)
        loss = F.l1_loss(network(noisy), clean)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        ratios.append(loss.item() / F.l1_loss(noisy, clean).item())
    assert sum(ratios[-5:]) / 5 < 0.9

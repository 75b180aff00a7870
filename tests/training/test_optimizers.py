from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from restore.training.optimizers import Muon, optimizer_of, orthogonal

OPTIONS: dict[str, Any] = {"lr": 0.01, "betas": (0.9, 0.99), "weight_decay": 0.0}


@pytest.fixture
def layers() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 32, 3), nn.Conv2d(32, 32, 3), nn.Conv2d(32, 32, 3, groups=32), nn.Conv2d(32, 48, 1)
    )


def train(layers: nn.Sequential, optimizer: torch.optim.Optimizer, steps: int, *, seed: int = 1) -> None:
    torch.manual_seed(seed)
    for _ in range(steps):
        optimizer.zero_grad()
        layers(torch.rand(1, 3, 8, 8)).square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize("shape", [(2, 16, 16), (3, 16, 144), (1, 80, 20)])
def test_a_matrix_keeps_its_directions_and_loses_their_strengths(shape: tuple[int, int, int]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    left, strengths, right = torch.linalg.svd(matrices, full_matrices=False)
    found = left.mT @ orthogonal(matrices) @ right.mT
    assert strengths.amax() / strengths.amin() > 1.7
    within = torch.diagonal(found, dim1=1, dim2=2)
    assert within.amin() > 0.65 and within.amax() < 1.25
    torch.testing.assert_close(found, torch.diag_embed(within), atol=1e-9, rtol=0)


def test_matrices_move_by_one_length_and_the_rest_as_adamw_does(layers: nn.Sequential) -> None:
    torch.manual_seed(1)
    optimizer = Muon(layers.parameters(), **OPTIONS)
    before, others = ([x.detach().clone().requires_grad_() for x in layers.parameters()] for _ in range(2))
    for parameter, other in zip(layers.parameters(), others, strict=True):
        parameter.grad = other.grad = torch.randn_like(parameter)
    optimizer.step()
    torch.optim.AdamW(others, **OPTIONS).step()
    for i, (parameter, start, other) in enumerate(zip(layers.parameters(), before, others, strict=True)):
        if i in (2, 6):  # the weights of the second and the last layer
            assert (parameter - start).square().mean().sqrt().item() == pytest.approx(0.006, rel=0.2)
        else:
            torch.testing.assert_close(parameter, other)


def test_weights_shrink_by_their_decay_and_what_has_no_gradient_stays(layers: nn.Sequential) -> None:
    weights = [layer.get_parameter("weight") for layer in layers]
    start, still = (weights[i].detach().clone() for i in (1, 3))
    optimizer = Muon(weights, **OPTIONS | {"lr": 0.1, "weight_decay": 0.1})
    weights[1].grad = torch.zeros_like(start)
    optimizer.step()
    torch.testing.assert_close(weights[1].detach(), start * 0.99)
    assert torch.equal(weights[3], still)


def test_a_loaded_state_goes_on_as_if_never_saved(layers: nn.Sequential, tmp_path: Path) -> None:
    optimizer = optimizer_of("muon", layers.parameters(), **OPTIONS)
    train(layers, optimizer, 3)
    weights = {key: x.clone() for key, x in layers.state_dict().items()}
    torch.save(optimizer.state_dict(), tmp_path / "state")
    train(layers, optimizer, 2, seed=2)
    after = {key: x.clone() for key, x in layers.state_dict().items()}
    layers.load_state_dict(weights)
    again = optimizer_of("muon", layers.parameters(), **OPTIONS)
    again.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    train(layers, again, 2, seed=2)
    assert all(torch.equal(x, after[key]) for key, x in layers.state_dict().items())

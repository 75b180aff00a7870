from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from restore.training.losses import charbonnier_and_edges, loss_of, rmse
from restore.training.recipe import CHOICES


def test_charbonnier_with_edges_is_equation_12_as_it_is_written() -> None:
    clean, restored = torch.rand(2, 2, 3, 9, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]], dtype=torch.float64).expand(3, 1, 3, 3)

    def laplacian(x: Tensor) -> Tensor:
        return F.conv2d(x, kernel, groups=3)

    def charbonnier(x: Tensor, y: Tensor) -> Tensor:
        return torch.sqrt((x - y) ** 2 + 1e-3**2).mean()

    expected = charbonnier(restored, clean) + 0.05 * charbonnier(laplacian(restored), laplacian(clean))
    torch.testing.assert_close(charbonnier_and_edges(restored, clean, 0.05), expected)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("l1", 0.2),  # off by 0.1 in one half and by 0.3 in the other
        ("l2", 0.05),  # (0.1^2 + 0.3^2) / 2
        ("charbonnier", ((0.1**2 + 1e-6) ** 0.5 + (0.3**2 + 1e-6) ** 0.5) / 2),
    ],
)
def test_losses_are_means_over_all_elements(name: str, expected: float) -> None:
    restored = torch.full((2, 3, 4, 4), 0.5, dtype=torch.float64)
    clean = restored.clone()
    clean[0] -= 0.1
    clean[1] += 0.3
    assert loss_of(name, 0)(restored, clean).item() == pytest.approx(expected)


def test_rmse_mean_adds_the_error_of_each_channels_mean_whatever_its_sign() -> None:
    clean = torch.zeros(1, 3, 4, 4)
    restored = clean.clone()
    restored[:, 0], restored[:, 1] = 0.2, -0.1
    expected = rmse(restored, clean).item() + (0.2 + 0.1 + 0) / 3
    assert loss_of("rmse-mean", 0)(restored, clean).item() == pytest.approx(expected, rel=1e-6)
    restored[..., ::2] *= -1  # detail without a mean
    assert loss_of("rmse-mean", 0)(restored, clean).item() == pytest.approx(rmse(restored, clean).item(), abs=1e-7)


def test_rmse_is_the_root_for_each_picture_and_the_mean_of_them() -> None:
    clean = torch.zeros(2, 3, 4, 4, dtype=torch.float64)
    restored = clean.clone()
    restored[0, :, :2] = 0.2  # half of the first is off
    restored[1] = 0.5
    assert loss_of("rmse", 0)(restored, clean).item() == pytest.approx((0.2 / 2**0.5 + 0.5) / 2, rel=1e-6)


def test_every_loss_of_a_recipe_is_there_and_smallest_where_there_is_no_difference() -> None:
    clean = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    for name in CHOICES["loss"]:
        loss = loss_of(name, 0.05)
        assert loss(clean, clean) < loss(clean + 0.01, clean) < loss(clean + 0.1, clean)

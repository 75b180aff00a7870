"""The mean over flips and rotations."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from fake_networks import Enlarge, HalfSizeConvolutions, Identity, noise
from torch import Tensor

from restore.images.bayer import mosaic
from restore.inference.restorer import Restorer
from restore.inference.self_ensemble import mean_over_orientations
from restore.tasks import TASKS

ALL_WAYS = [(turns, mirrored) for turns in range(4) for mirrored in (False, True)]


def turned(x: Tensor, turns: int, mirrored: bool) -> Tensor:
    x = x.rot90(turns, (2, 3))
    return x.flip(3) if mirrored else x


def turned_back(x: Tensor, turns: int, mirrored: bool) -> Tensor:
    return (x.flip(3) if mirrored else x).rot90(-turns, (2, 3))


@pytest.mark.parametrize(
    ("task", "ways"),
    [(None, ALL_WAYS), ("upscale", ALL_WAYS), ("derain", [way for way in ALL_WAYS if way[0] % 2 == 0])],
)
def test_a_self_ensemble_is_the_mean_over_the_ways_to_lay_a_picture(
    task: str | None, ways: list[tuple[int, bool]]
) -> None:
    restorer = Restorer(HalfSizeConvolutions(), device="cpu", task=task)
    x = torch.rand(2, 3, 21, 34)
    apart = [turned_back(restorer.restore_tensor(turned(x, *way)), *way) for way in ways]
    together = restorer.restore_tensor(x, self_ensemble=True)
    torch.testing.assert_close(together, torch.stack(apart).mean(0), atol=1e-6, rtol=0)
    assert (together - apart[0]).abs().max() > 0.01  # the ways differ


@pytest.mark.parametrize("size", [(20, 30), (21, 30), (20, 31), (21, 31), (2, 3), (1, 1)])
def test_a_self_ensemble_keeps_the_pattern_of_a_mosaic(size: tuple[int, int]) -> None:
    class Mosaics(Identity):
        def forward(self, degraded: Tensor) -> Tensor:
            (pixels,) = degraded.permute(0, 2, 3, 1).numpy()
            np.testing.assert_array_equal(pixels, mosaic(pixels))
            return super().forward(degraded)

    network = Mosaics()
    x = torch.from_numpy(mosaic(np.random.default_rng(0).uniform(0.1, 1, (*size, 3)).astype(np.float32)))
    x = x.permute(2, 0, 1)[None]
    restored = Restorer(network, device="cpu", task="demosaic").restore_tensor(x, self_ensemble=True)
    torch.testing.assert_close(restored, x)
    assert len(network.seen) == 8


def test_a_self_ensemble_enlarges_in_tiles_and_returns_what_was_given() -> None:
    pixels, restorer = noise(70, 90, 3), Restorer(Enlarge(), device="cpu")
    np.testing.assert_array_equal(restorer(pixels, tile=64, self_ensemble=True), restorer(pixels))


@pytest.mark.parametrize("task", ["denoise", "derain", "demosaic"])
def test_arrays_are_turned_as_tensors_are(task: str) -> None:
    x = torch.rand(1, 3, 20, 31)
    slope = torch.arange(64.0)  # no turn leaves it as it is

    def restored(x: Tensor) -> Tensor:
        return x * slope[: x.shape[3]] + slope[: x.shape[2], None]

    def of_arrays(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return restored(torch.from_numpy(x.copy())).numpy()

    expected = mean_over_orientations(restored, x, 1, TASKS[task])
    np.testing.assert_allclose(mean_over_orientations(of_arrays, x.numpy(), 1, TASKS[task]), expected, rtol=1e-6)

"""Padding to the sizes of a network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fake_networks import Enlarge, Identity, noise, restore

from restore.inference.padding import pad
from restore.inference.restorer import Restorer


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (2, 3), (3, 5000), (5000, 3), (33, 31)])
@pytest.mark.parametrize("network", [Identity(size_multiple=32), Identity(size_multiple=8, min_size=60), Enlarge()])
def test_thin_pictures_are_padded_and_come_back_whole(network: Identity, size: tuple[int, int]) -> None:
    pixels = noise(*size, 3)
    scale = network.scale
    expected = pixels.repeat(scale, 0).repeat(scale, 1)
    for tile in ("auto", 128):
        np.testing.assert_array_equal(restore(network, pixels, tile=tile), expected)


@pytest.mark.parametrize("size", [(1, 1), (3, 20), (20, 3), (17, 30), (40, 50)])
def test_padding_reflects_and_then_replicates(size: tuple[int, int]) -> None:
    network, x = Identity(size_multiple=32), torch.rand(2, 3, *size)
    Restorer(network, device="cpu").restore_tensor(x)
    (got,) = network.seen
    height, width = size
    extra = [-height % 32, -width % 32]
    mirror = [min(extra[0], height - 1), min(extra[1], width - 1)]
    rest = [extra[0] - mirror[0], extra[1] - mirror[1]]
    expected = np.pad(x.numpy(), [(0, 0), (0, 0), (0, mirror[0]), (0, mirror[1])], mode="reflect")
    expected = np.pad(expected, [(0, 0), (0, 0), (0, rest[0]), (0, rest[1])], mode="edge")
    np.testing.assert_array_equal(got.numpy(), expected)


@pytest.mark.parametrize("size", [(1, 1), (3, 20), (20, 3), (17, 30), (32, 32)])
def test_arrays_are_padded_as_tensors_are(size: tuple[int, int]) -> None:
    x = torch.rand(2, 3, *size)
    np.testing.assert_array_equal(pad(x.numpy(), 32, 64), pad(x, 32, 64).numpy())

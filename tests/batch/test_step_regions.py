"""A region restored by several steps: it equals the same part of the whole result."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from restore.batch.step_chain import StepLoader
from restore.batch.step_regions import regions_of_steps
from restore.batch.steps import parse_steps
from restore.images import Picture
from restore.inference.region import Place


def noise(height: int, width: int) -> Picture:
    return Picture(np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8))


@pytest.fixture(scope="module")
def loader() -> StepLoader:
    return StepLoader(device="cpu", precision="float32")


def restored(loader: StepLoader, steps: str, region: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The region restored alone, and that part of the whole."""
    chain, picture = loader.chain(parse_steps(steps)), noise(110, 203)
    whole = chain.restore_picture(picture, tile=176).picture
    alone = chain.restore_picture(picture, tile=176, region=region).picture
    return alone.pixels, Place(*region).scaled(chain.scale).cut(whole).pixels


@pytest.mark.parametrize("region", [(101, 63, 37, 21), (0, 0, 203, 110)])
def test_a_region_of_one_step_has_the_bytes_of_the_whole(loader: StepLoader, region: tuple[int, int, int, int]) -> None:
    alone, part = restored(loader, "dejpeg:weights=panet-s-dejpeg", region)
    np.testing.assert_array_equal(alone, part)


@pytest.mark.parametrize(
    "steps",
    [
        "denoise:weights=panet-s-denoise-gaussian,dejpeg:weights=panet-s-dejpeg:strength=0.5",
        "dejpeg:weights=panet-s-dejpeg,upscale:2",
    ],
)
@pytest.mark.parametrize("region", [(101, 63, 37, 21), (0, 0, 20, 20), (160, 93, 43, 17)])
def test_a_region_of_networks_with_halos_is_that_of_the_whole_but_for_rounding(
    loader: StepLoader, steps: str, region: tuple[int, int, int, int]
) -> None:
    """The later steps have other tiles, so a sum of floats may fall on the other side of a half."""
    alone, part = restored(loader, steps, region)
    differences = np.abs(alone.astype(int) - part)
    assert differences.max() <= 1
    assert np.count_nonzero(differences) <= 1e-3 * differences.size


def test_a_step_restores_what_the_next_one_sees() -> None:
    """Twice the size, then a halo of 5 on a grid of 4: 2 * 20 - 5 = 35 begins at 32, 2 * 30 + 5 = 65 ends at 68."""
    first: Any = SimpleNamespace(scale=2, halo=3, size_multiple=1, tile_grid=None)
    second: Any = SimpleNamespace(scale=1, halo=5, size_multiple=8, tile_grid=4)
    regions = regions_of_steps([first, second], Place(20, 20, 10, 10), 100, 100)
    assert regions == [(16, 16, 18, 18), (8, 8, 20, 20)]


def test_a_step_never_sees_beyond_the_picture() -> None:
    net: Any = SimpleNamespace(scale=1, halo=None, size_multiple=64, tile_grid=16)
    regions = regions_of_steps([net, net], Place(3, 90, 10, 10), 100, 101)
    assert regions == [(0, 0, 101, 100), (3, 90, 10, 10)]
    regions = regions_of_steps([net, net], Place(200, 200, 10, 10), 1000, 1000)
    assert regions == [(64, 64, 288, 288), (136, 136, 10, 10)]  # 128 pixels, and up to the grid of 16

"""A region restored by several steps: it equals the same part of the whole result."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_networks import HalfSizeConvolutions, Identity, LessItsMean, ThreeConvolutions, noise

from restore.batch.step_chain import Chain, LoadedStep, StepLoader
from restore.batch.steps import Step, parse_steps
from restore.batch.task_restorer import RestorerChoice
from restore.checkpoints import ResolvedWeights
from restore.errors import DeviceError, PictureError
from restore.images import Picture
from restore.inference.pieces import pieces
from restore.inference.region import Place, as_region
from restore.inference.restorer import Restorer
from restore.inference.tile_size import TileSizes
from restore.networks import Network
from restore.tasks import TASKS


class EnlargeConvolutions(ThreeConvolutions):
    """Twice the size; sees three pixels around each pixel."""

    scale = 2

    def forward(self, degraded: Any) -> Any:
        return super().forward(degraded).repeat_interleave(2, 2).repeat_interleave(2, 3)


class GridConvolutions(HalfSizeConvolutions):
    """Tiles start at even pixels, and their sides are multiples of 8."""

    size_multiple, tile_grid = 8, 2


class SeesAllConvolutions(ThreeConvolutions):
    """Does not know how far it sees."""

    halo = None  # type: ignore[assignment]


def chain_of(*networks: Network, strength: float = 1.0, mosaic: bool = False) -> Chain:
    steps = []
    for index, network in enumerate(networks):
        task = "upscale" if network.scale > 1 else "demosaic" if mosaic and not index else "denoise"
        step = Step(
            task, strength=1.0 if network.scale > 1 else strength, pattern="GBRG" if task == "demosaic" else None
        )
        restorer = Restorer(network, device="cpu", task=task)
        steps.append(LoadedStep(step, RestorerChoice(TASKS[task]), restorer, ResolvedWeights(Path(), "0" * 64)))
    return Chain(steps)


def both(chain: Chain, picture: Picture, region: Any, **how: Any) -> tuple[Picture, Picture]:
    """The region restored alone, and that part of the whole."""
    height, width = picture.pixels.shape[:2]
    whole = chain.restore_picture(picture, **how).picture
    alone = chain.restore_picture(picture, region=region, **how).picture
    return alone, as_region(region).within(width, height).scaled(chain.scale).cut(whole)


def regions(width: int, height: int) -> list[tuple[int, int, int, int]]:
    """At corners and sides, in the middle, of one pixel, thin, at even and odd places, and the whole."""
    lefts = [(0, 37), (width // 2 - 1, 40), (61, 1)]
    tops = [(57, 1), (height - 31, 31)]
    some = [(left, top, wide, tall) for (left, wide), (top, tall) in itertools.product(lefts, tops)]
    return [*some, (0, 0, width, height)]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize(
    "kinds",
    [
        (ThreeConvolutions, HalfSizeConvolutions),
        (ThreeConvolutions, GridConvolutions, ThreeConvolutions),
        (SeesAllConvolutions, ThreeConvolutions),
        (HalfSizeConvolutions, EnlargeConvolutions),
        (EnlargeConvolutions, GridConvolutions),
    ],
)
def test_a_region_has_the_bytes_of_the_whole_where_later_networks_have_halos(
    kinds: tuple[type[Network], ...], dtype: type
) -> None:
    pixels: Any = noise(90, 150, 3).astype(dtype)
    picture = Picture(pixels / np.float32(255) if dtype == np.float32 else pixels)
    chain = chain_of(*(kind() for kind in kinds))
    height, width = picture.pixels.shape[:2]
    whole = chain.restore_picture(picture, tile=64, overlap=8)
    for region in regions(width, height):
        alone = chain.restore_picture(picture, tile=64, overlap=8, region=region)
        part = Place(*region).scaled(chain.scale).cut(whole.picture)
        np.testing.assert_array_equal(alone.picture.pixels, part.pixels)
        assert alone.tiles <= whole.tiles and alone.picture.pixels.dtype == dtype


@pytest.mark.parametrize("tile", [48, 64, 100])
def test_a_later_network_that_sees_all_differs_only_near_tiles_that_have_no_neighbour(tile: int) -> None:
    """Its tiles are those of the whole; only what fades into them from neighbours that do not run is missing."""
    chain = chain_of(ThreeConvolutions(), SeesAllConvolutions(), SeesAllConvolutions())
    alone, part = both(chain, Picture(noise(200, 200, 3)), (120, 110, 20, 20), tile=tile, overlap=16)
    np.testing.assert_array_equal(alone.pixels, part.pixels)  # it sees 3 pixels in truth, which are exact
    chain = chain_of(ThreeConvolutions(), LessItsMean())
    alone, part = both(chain, Picture(noise(200, 200, 3)), (120, 110, 20, 20), tile=tile, overlap=16)
    assert np.abs(alone.pixels.astype(int) - part.pixels).max() <= 1  # the mean of a whole tile


def test_only_the_tiles_that_the_region_needs_run() -> None:
    chain, tiles = chain_of(ThreeConvolutions(), ThreeConvolutions()), TileSizes(ThreeConvolutions(), 14).cut(300, 64)
    middle = tiles.starts[2] + tiles.side // 2
    for left, count in ((middle, 2), (tiles.starts[2] + 3, 4)):  # where two tiles have weight
        alone = chain.restore_picture(Picture(noise(300, 300, 3)), tile=64, overlap=14, region=(left, middle, 1, 1))
        assert alone.tiles == count


def test_a_region_is_not_judged_by_itself() -> None:
    """A dark and grey corner of a bright picture in colour keeps the exposure and the channels of the whole."""
    pixels = noise(96, 96, 3)
    pixels[:40, :40] = pixels[:40, :40, :1] // 16
    chain = chain_of(Identity(halo=0), LessItsMean(halo=0), ThreeConvolutions())
    alone, part = both(chain, Picture(pixels), (0, 0, 32, 32), tile=64, overlap=8)
    np.testing.assert_array_equal(alone.pixels, part.pixels)
    assert np.ptp(alone.pixels.astype(int), axis=2).max() > 0


def test_black_and_white_stays_so() -> None:
    chain = chain_of(ThreeConvolutions(), ThreeConvolutions())
    alone, part = both(chain, Picture(noise(96, 96, 1).repeat(3, 2)), (30, 31, 32, 33), tile=64, overlap=8)
    np.testing.assert_array_equal(alone.pixels, part.pixels)
    assert (alone.pixels == alone.pixels[..., :1]).all()


def test_faint_colour_is_not_dropped_between_steps() -> None:
    """The first step makes the colour so faint that its result alone would pass for black and white."""

    class Fainter(Identity):
        halo = 0

        def forward(self, degraded: Any) -> Any:
            grey = degraded.mean(1, keepdim=True)
            return grey + 0.01 * (super().forward(degraded) - grey)

    class Stronger(Identity):
        halo = 0

        def forward(self, degraded: Any) -> Any:
            grey = degraded.mean(1, keepdim=True)
            return grey + 100 * (super().forward(degraded) - grey)

    picture = Picture(noise(40, 40, 3) // 4 + 96)
    restored = chain_of(Fainter(), Stronger()).restore_picture(picture).picture.pixels
    assert np.abs(restored.astype(int) - picture.pixels).max() <= 1


@pytest.mark.parametrize("kind", [ThreeConvolutions, EnlargeConvolutions])
def test_transparency_hidden_colours_and_further_channels_are_cut_too(kind: type[Network]) -> None:
    alpha = noise(96, 96)
    alpha[20:60, 10:50] = 0
    picture = Picture(noise(96, 96, 3), alpha, extra=noise(96, 96, 1), extra_kinds=(0,))
    alone, part = both(chain_of(ThreeConvolutions(), kind()), picture, (7, 5, 41, 33), tile=64, overlap=8)
    for name in ("pixels", "alpha", "extra"):
        np.testing.assert_array_equal(getattr(alone, name), getattr(part, name))


@pytest.mark.parametrize("region", [(0, 0, 20, 20), (31, 47, 33, 20), (30, 46, 71, 44)])
def test_a_region_of_a_mosaic_may_start_anywhere(region: tuple[int, int, int, int]) -> None:
    chain = chain_of(HalfSizeConvolutions(), ThreeConvolutions(), mosaic=True)
    alone, part = both(chain, Picture(noise(90, 101, 1)), region, tile=64, overlap=8)
    np.testing.assert_array_equal(alone.pixels, part.pixels)


@pytest.mark.parametrize("strength", [0.0, 0.4])
def test_a_strength_of_all_steps_scales_each(strength: float) -> None:
    chain = chain_of(ThreeConvolutions(), HalfSizeConvolutions(), strength=0.5).scaled(strength)
    assert [one.step.strength for one in chain.steps] == [0.5 * strength] * 2
    picture = Picture(noise(110, 203, 3))
    alone, part = both(chain, picture, (70, 50, 30, 20), tile=64, overlap=8)
    np.testing.assert_array_equal(alone.pixels, part.pixels)
    assert (strength == 0) == np.array_equal(alone.pixels, picture.pixels[50:70, 70:100])


def test_automatic_tiles_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("restore.inference.tile_size.AUTO_TILES", {"cpu": (96, 64)})
    chain = chain_of(ThreeConvolutions(), EnlargeConvolutions(), ThreeConvolutions())
    alone, part = both(chain, Picture(noise(150, 203, 3)), "center:40x30")
    np.testing.assert_array_equal(alone.pixels, part.pixels)


def test_memory_that_runs_out_in_a_part_is_an_error_that_names_a_tile() -> None:
    network = ThreeConvolutions()
    forward = network.forward

    def limited(x: Any) -> Any:
        if x.shape[2] * x.shape[3] > 50 * 50:
            raise MemoryError
        return forward(x)

    network.forward = limited  # type: ignore[method-assign,assignment]
    chain, picture = chain_of(ThreeConvolutions(), network), Picture(noise(150, 203, 3))
    with pytest.raises(DeviceError, match="memory ran out for tiles of 82 pixels") as raised:
        chain.restore_picture(picture, tile=96, overlap=14, region=(70, 50, 30, 20))
    assert "--tile 41" in str(raised.value.hint)
    chain.restore_picture(picture, tile=41, overlap=14, region=(70, 50, 30, 20))


def test_a_region_beyond_the_picture_is_an_error() -> None:
    with pytest.raises(PictureError, match="not inside the picture of 60 x 31 pixels"):
        chain_of(Identity(), Identity()).restore_picture(Picture(noise(31, 60, 3)), region=(0, 0, 61, 10))


def test_progress_counts_the_tiles_of_the_region() -> None:
    seen: list[tuple[int, int]] = []
    chain_of(ThreeConvolutions(), EnlargeConvolutions()).restore_picture(
        Picture(noise(150, 203, 3)),
        tile=64,
        overlap=14,
        region=(70, 50, 30, 20),
        progress=lambda done, total: seen.append((done, total)),
    )
    done = [part / total for part, total in seen]
    assert done == sorted(done) and done[-1] == 1.0 and done.count(1.0) == 1


def test_the_halo_of_a_later_step_counts_in_pixels_of_the_first() -> None:
    """Of the enlarged picture the second step sees 40 - 3 to 60 + 3: 18 to 32 of the picture."""
    first, second = (TileSizes(network, 14) for network in (EnlargeConvolutions(), ThreeConvolutions()))
    left, right = pieces(Place(20, 20, 10, 10), [(first, 32), (second, 32)], 400, 400)
    assert right.wanted == Place(40, 40, 20, 20)
    assert right.given == left.wanted.scaled(2)
    for axis in (left.rows, left.columns):
        weights = np.zeros(400)
        for index, start in enumerate(axis.starts):
            weights[start : start + axis.side] += axis.weights(index)
        np.testing.assert_allclose(weights[18:32], 1, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "steps",
    [
        "denoise:weights=panet-s-denoise-gaussian,dejpeg:weights=panet-s-dejpeg:strength=0.5",
        "dejpeg:weights=panet-s-dejpeg,upscale:2",
        "denoise,upscale:2",
    ],
)
def test_with_bundled_weights_a_region_has_the_bytes_of_the_whole(steps: str) -> None:
    chain = StepLoader(device="cpu", precision="float32").chain(parse_steps(steps))
    for region in ((101, 63, 37, 21), (0, 0, 20, 20), (330, 293, 70, 7)):
        alone, part = both(chain, Picture(noise(300, 400, 3)), region, tile=192)
        np.testing.assert_array_equal(alone.pixels, part.pixels)

"""A region restored alone: it equals the same part of the whole result."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_networks import Enlarge, HalfSizeConvolutions, Identity, LessItsMean, ThreeConvolutions, noise
from PIL import Image

from restore import checkpoints
from restore.batch.task_restorer import restore_mosaic
from restore.errors import PictureError, UsageError
from restore.images import Picture, read_picture, write_picture
from restore.images.metadata.photoshop import TIFF_PART
from restore.inference.region import Region, as_region, parse_region
from restore.inference.restored import Restored
from restore.inference.restorer import Restorer
from restore.inference.tile_size import TileSizes

OF_A_NETWORK = {"cs-kit-s-denoise", "drsformer-s-derain", "kit-s-denoise", "pa-edsr-s-x2", "panet-s-dejpeg"}
WEIGHTS = [
    pytest.param(path.stem, marks=() if path.stem in OF_A_NETWORK else pytest.mark.slow)
    for path in sorted((Path(__file__).parents[2] / "weights").glob("*.safetensors"))
]


class GridConvolutions(HalfSizeConvolutions):
    """Tiles start at even pixels, and their sides are multiples of 8."""

    size_multiple, tile_grid = 8, 2


class SeesAllConvolutions(ThreeConvolutions):
    """Does not know how far it sees, so its tiles fade from edge to edge."""

    halo = None  # type: ignore[assignment]


def part_of(whole: Picture, region: Region, scale: int = 1) -> np.ndarray:
    height, width = (side // scale for side in whole.pixels.shape[:2])
    return whole.pixels[region.within(width, height).scaled(scale).slices]


def regions(width: int, height: int) -> list[tuple[int, int, int, int]]:
    """At all corners and sides, in the middle, of one pixel, thin, at even and odd places, and the whole."""
    lefts = [(0, 37), (width // 2 - 1, 40), (61, 1), (width - 38, 38), (0, width)]
    tops = [(0, 30), (height // 2, 45), (57, 1), (height - 31, 31), (0, height)]
    return [(left, top, wide, tall) for (left, wide), (top, tall) in itertools.product(lefts, tops)]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize(
    "kind", [ThreeConvolutions, HalfSizeConvolutions, GridConvolutions, SeesAllConvolutions, LessItsMean, Enlarge]
)
def test_a_region_equals_the_same_part_of_the_whole(kind: type[Identity], dtype: type) -> None:
    pixels: Any = noise(150, 203, 3)
    pixels = pixels.astype(dtype) * 257 if dtype == np.uint16 else pixels.astype(dtype)
    picture = Picture(pixels / np.float32(255) if dtype == np.float32 else pixels)
    restorer = Restorer(kind(), device="cpu")
    for tile, overlap in ((64, 8), (100, 20)):
        whole = restorer.restore_picture(picture, tile=tile, overlap=overlap)
        for region in regions(203, 150):
            alone = restorer.restore_picture(picture, tile=tile, overlap=overlap, region=region)
            assert np.array_equal(alone.picture.pixels, part_of(whole.picture, Region(*region), restorer.network.scale))
            assert alone.tiles <= whole.tiles and alone.tile == whole.tile


def test_only_the_tiles_that_add_to_the_region_run() -> None:
    # Two tiles share this column, but the second has no weight inside its halo of 3 pixels.
    network = ThreeConvolutions()
    restorer = Restorer(network, device="cpu")
    left = TileSizes(network, 14).cut(400, 64).starts[2]
    for column, tiles in ((left + 2, 1), (left + 3, 2)):
        network.seen.clear()
        alone = restorer.restore_picture(Picture(noise(60, 400, 3)), tile=64, overlap=14, region=(column, 0, 1, 60))
        assert alone.tiles == len(network.seen) == tiles


def test_progress_counts_the_tiles_of_the_region() -> None:
    calls: list[tuple[int, int]] = []
    restored = Restorer(ThreeConvolutions(), device="cpu").restore_picture(
        Picture(noise(150, 203, 3)),
        tile=64,
        overlap=8,
        region=(60, 60, 60, 60),
        progress=lambda done, total: calls.append((done, total)),
    )
    assert calls == [(done, restored.tiles) for done in range(1, restored.tiles + 1)]
    assert restored.seam is not None


@pytest.mark.parametrize("kind", [ThreeConvolutions, SeesAllConvolutions])
def test_a_region_whose_memory_runs_out_equals_the_part_of_a_whole_whose_memory_ran_out(kind: type[Identity]) -> None:
    def run(**how: Any) -> Restored:
        network = kind()
        forward = network.forward

        def limited(x: Any) -> Any:
            if x.shape[2] * x.shape[3] > 50 * 50:
                raise MemoryError
            return forward(x)

        network.forward = limited  # type: ignore[method-assign,assignment]
        return Restorer(network, device="cpu").restore_picture(picture, tile=96, overlap=14, **how)

    picture = Picture(noise(150, 203, 3))
    whole = run()
    assert whole.retiled
    for region in regions(203, 150):
        alone = run(region=region)
        assert alone.retiled
        assert np.array_equal(alone.picture.pixels, part_of(whole.picture, Region(*region)))
        assert alone.seam is None or alone.seam.max < 255 / 2


def test_brightness_follows_the_whole_picture() -> None:
    # A dark corner of a bright picture is not brightened for the network.
    pixels = np.full((96, 96, 3), 240, np.uint8)
    pixels[:40, :40] = noise(40, 40, 3) // 16
    restorer, region = Restorer(LessItsMean(), device="cpu"), Region(0, 0, 32, 32)
    whole = restorer.restore_picture(Picture(pixels), tile=64, overlap=8).picture
    alone = restorer.restore_picture(Picture(pixels), tile=64, overlap=8, region=region).picture
    assert np.array_equal(alone.pixels, part_of(whole, region))


def test_a_grey_region_of_a_colour_picture_runs_in_colour() -> None:
    pixels = noise(96, 96, 3)
    pixels[:40, :40] = pixels[:40, :40, :1]
    restorer, region = Restorer(ThreeConvolutions(), device="cpu"), Region(0, 0, 32, 32)
    whole = restorer.restore_picture(Picture(pixels), tile=64, overlap=8).picture
    alone = restorer.restore_picture(Picture(pixels), tile=64, overlap=8, region=region).picture
    assert np.array_equal(alone.pixels, part_of(whole, region))
    assert np.ptp(alone.pixels.astype(int), axis=2).max() > 0


@pytest.mark.parametrize("kind", [ThreeConvolutions, Enlarge])
def test_transparency_hidden_colours_and_further_channels_are_cut_too(kind: type[Identity]) -> None:
    alpha = noise(96, 96)
    alpha[20:60, 10:50] = 0
    picture = Picture(noise(96, 96, 3), alpha, extra=noise(96, 96, 1), extra_kinds=(0,))
    restorer, region = Restorer(kind(), device="cpu"), Region(7, 5, 41, 33)
    scale = restorer.network.scale
    whole = restorer.restore_picture(picture, tile=64, overlap=8).picture
    alone = restorer.restore_picture(picture, tile=64, overlap=8, region=region).picture
    place = region.within(96, 96).scaled(scale).slices
    for name in ("pixels", "alpha", "extra"):
        assert np.array_equal(getattr(alone, name), getattr(whole, name)[place])


@pytest.mark.parametrize("pattern", ["RGGB", "GRBG", "GBRG", "BGGR"])
def test_a_region_of_a_mosaic_may_start_anywhere(pattern: str) -> None:
    restorer = Restorer(HalfSizeConvolutions(), device="cpu", task="demosaic")
    picture = Picture(noise(90, 101, 1), alpha=noise(90, 101))
    whole = restore_mosaic(restorer, picture, pattern, tile=64, overlap=8).picture
    for region in (Region(0, 0, 20, 20), Region(31, 47, 33, 20), Region(30, 46, 71, 44)):
        alone = restore_mosaic(restorer, picture, pattern, tile=64, overlap=8, region=region).picture
        place = region.within(101, 90).slices
        assert np.array_equal(alone.pixels, whole.pixels[place])
        assert whole.alpha is not None and alone.alpha is not None
        assert np.array_equal(alone.alpha, whole.alpha[place])


@pytest.mark.parametrize("name", WEIGHTS)
def test_with_bundled_weights_a_region_equals_the_same_part_of_the_whole(name: str) -> None:
    network, info = checkpoints.load(name)
    restorer = Restorer(network, device="cpu", entry=info.entry, task=info.task, precision="float32")
    side = max(64, TileSizes(network, 16).smallest())
    height, width = 7 * side // 4, 7 * side // 4 + 5
    picture = Picture(noise(height, width, 3))
    whole = restorer.restore_picture(picture, tile=side, overlap=16)
    assert whole.tiles >= 4
    for region in (Region(0, 0, 33, 20), Region(width - 33, height - 21, 33, 21), Region(width // 2, 0, 7, height)):
        alone = restorer.restore_picture(picture, tile=side, overlap=16, region=region)
        assert np.array_equal(alone.picture.pixels, part_of(whole.picture, region, network.scale))


def test_the_middle_is_cut_to_the_picture() -> None:
    restorer = Restorer(Identity(), device="cpu")
    pixels = noise(31, 60, 3)
    assert np.array_equal(restorer(pixels, region="center:20x11"), pixels[10:21, 20:40])
    assert np.array_equal(restorer(pixels, region="center:512"), pixels)


@pytest.mark.parametrize("region", [(0, 0, 61, 10), (0, 0, 10, 32), (60, 0, 1, 1), (59, 30, 2, 1), "10,10,51,1"])
def test_a_region_beyond_the_picture_is_an_error_that_names_its_size(region: Any) -> None:
    restorer = Restorer(Identity(), device="cpu")
    with pytest.raises(PictureError, match="not inside the picture of 60 x 31 pixels") as error:
        restorer(noise(31, 60, 3), region=region)
    assert "up to 60" in str(error.value.hint)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1,2,3",
        "1,2,3,4,5",
        "-1,0,5,5",
        "0,0,0,5",
        "0,0,5,0",
        "center:0",
        "center:",
        "center:5x",
        "center:5x0",
        "1.5,0,5,5",
        "middle:5",
        "0,0,99999999,5",
        "\u0663,0,5,5",
        "1,2,3,4\n5",
    ],
)
def test_what_is_no_region_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_region(text)


@pytest.mark.parametrize("value", [(1, 2, 3), (1, 2, 3, 4.5), 7, (0, 0, 0, 1), (-1, 0, 1, 1), None])
def test_what_is_no_region_is_refused_from_python_too(value: Any) -> None:
    with pytest.raises(UsageError):
        as_region(value)


def test_strength_0_returns_the_region_of_the_input() -> None:
    pixels = noise(31, 60, 3)
    restored = Restorer(Identity(), device="cpu").restore_picture(Picture(pixels), strength=0, region=(5, 6, 7, 8))
    assert np.array_equal(restored.picture.pixels, pixels[6:14, 5:12])
    assert restored.tiles == 0 and restored.tile == (8, 7)


def test_the_exif_states_the_size_of_the_region(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0100], exif[0x010F] = 60, "Maker"
    exif.get_ifd(0x8769).update({0xA002: 60, 0xA003: 31})
    Image.fromarray(noise(31, 60, 3)).save(tmp_path / "a.jpg", exif=exif, dpi=(240, 240))
    picture = read_picture(tmp_path / "a.jpg")
    restored = Restorer(Identity(), device="cpu").restore_picture(picture, region=(5, 6, 20, 10)).picture
    write_picture(restored, tmp_path / "b.jpg")
    with Image.open(tmp_path / "b.jpg") as written:
        tags = written.getexif()
        assert written.size == (20, 10) and written.info["dpi"] == (240, 240) and tags[0x010F] == "Maker"
        assert tags.get_ifd(0x8769)[0xA002] == 20 and tags.get_ifd(0x8769)[0xA003] == 10


@pytest.mark.parametrize("name", [b"8BIM", TIFF_PART])
def test_photoshop_guides_do_not_stay_with_a_region(name: bytes) -> None:
    guides = b"8BIM\x04\x08\0\0\0\0\0\4abcd"
    other = b"8BIM\x04\x21\0\0\0\0\0\4abcd"
    picture = Picture(noise(31, 60, 3), parts=[(name, guides + other)])
    restorer = Restorer(Identity(), device="cpu")
    cut = restorer.restore_picture(picture, region=(0, 0, 20, 10)).picture
    assert cut.parts == [(name, other)] and "Photoshop" in " ".join(cut.notes)
    whole = restorer.restore_picture(picture, region=(0, 0, 60, 31)).picture
    assert whole.parts == picture.parts and not whole.notes

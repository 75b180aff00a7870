from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.random import Generator
from picture_files import save_noise

from restore.datasets.crops import MixedCrops, PairCrops, PhotoCrops, check_pairs, rain_layers
from restore.datasets.listing import list_pictures
from restore.datasets.pairs import pair_up
from restore.degradations import DEGRADATIONS, Degradation, Image, blind_noise
from restore.errors import DataError
from restore.images import Picture, write_picture
from restore.images.bayer import mosaic


def untouched(_: Generator) -> Degradation:
    return Degradation(lambda clean, generator: (clean, clean))


def halved(_: Generator) -> Degradation:
    def apply(clean: Image, generator: Generator) -> tuple[Image, Image]:
        return clean[::2, ::2], clean[::2, ::2] + 1

    return Degradation(apply, scale=0.5)


def test_a_crop_is_the_same_whenever_it_is_asked_for(tmp_path: Path) -> None:
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for seed, path in enumerate(paths):
        save_noise(path, size=(70, 90), seed=seed)
    crops = PhotoCrops(paths, blind_noise, crop=32, seed=3)
    forward = [crops[i] for i in range(12)]
    backward = [PhotoCrops(paths, blind_noise, crop=32, seed=3)[i] for i in reversed(range(12))]
    for (reference, spoiled), (reference2, spoiled2) in zip(forward, reversed(backward), strict=True):
        np.testing.assert_array_equal(reference, reference2)
        np.testing.assert_array_equal(spoiled, spoiled2)
        assert reference.shape == spoiled.shape == (3, 32, 32)
        assert reference.dtype == spoiled.dtype == np.float32
    assert not np.array_equal(forward[0][0], forward[1][0])
    assert not np.array_equal(forward[0][0], PhotoCrops(paths, blind_noise, crop=32, seed=4)[0][0])


def test_crops_come_from_everywhere_in_eight_orientations(tmp_path: Path) -> None:
    # Red counts the rows and green the columns, so that a crop tells where it is from and how it lies.
    rows, columns = np.mgrid[0:40, 0:40].astype(np.uint8)
    write_picture(Picture(np.stack([rows, columns, 0 * rows], axis=-1)), tmp_path / "a.png")
    crops = PhotoCrops([tmp_path / "a.png"], untouched, crop=8, seed=0)
    corners, orientations = set(), set()
    for i in range(400):
        red, green, _ = np.round(crops[i][0] * 255).astype(int)
        corners.add((red.min(), green.min()))
        steps = (plane[step] - plane[0, 0] for plane in (red, green) for step in ((1, 0), (0, 1)))
        orientations.add(tuple(int(step) for step in steps))
    assert len(orientations) == 8
    assert {top for top, _ in corners} == {left for _, left in corners} == set(range(33))


def test_of_two_places_the_more_detailed_is_preferred(tmp_path: Path) -> None:
    pixels = np.zeros((64, 128, 3), np.uint8)
    pixels[:, 64:] = np.random.default_rng(0).integers(0, 256, (64, 64, 3))
    write_picture(Picture(pixels), tmp_path / "a.png")
    crops = PhotoCrops([tmp_path / "a.png"], untouched, crop=16, seed=0)
    share = np.mean([crops[i][0].any() for i in range(400)])
    # 64 of 113 places touch the busy half (p = 0.56; 49 do not). One draw: p; the better of two: 1 - (1 - p)^2 = 0.81.
    assert abs(share - (0.566 + 0.812) / 2) < 4 * np.sqrt(0.25 / 400)
    assert share > 0.6


def test_a_smaller_scale_takes_a_larger_place_and_gives_the_same_crop(tmp_path: Path) -> None:
    save_noise(tmp_path / "a.png", size=(64, 64))
    reference, spoiled = PhotoCrops([tmp_path / "a.png"], halved, crop=24, seed=0)[0]
    assert reference.shape == spoiled.shape == (3, 24, 24)
    np.testing.assert_array_equal(spoiled, reference + 1)


def test_a_photo_too_small_for_a_larger_place_is_mirrored(tmp_path: Path) -> None:
    save_noise(tmp_path / "a.png", size=(25, 30))
    reference, _ = PhotoCrops([tmp_path / "a.png"], halved, crop=24, seed=0)[0]
    assert reference.shape == (3, 24, 24)


def test_photos_smaller_than_a_crop_are_left_out(tmp_path: Path) -> None:
    save_noise(tmp_path / "a.png", size=(16, 99))
    pixels = save_noise(tmp_path / "d.png", size=(40, 40))
    crops = PhotoCrops(list_pictures(tmp_path), untouched, crop=24, seed=0)
    (photo,) = crops.photos
    assert crops.left_out == 1
    np.testing.assert_array_equal(photo.pixels, pixels)
    with pytest.raises(DataError, match="no photo of at least 24x24"):
        PhotoCrops([tmp_path / "a.png"], untouched, crop=24, seed=0)


def test_every_photo_that_cannot_be_trained_on_is_named_before_the_first_crop(tmp_path: Path) -> None:
    for name in ("good.png", "whole.jpg"):
        save_noise(tmp_path / name, size=(40, 40))
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:-200])
    (tmp_path / "empty.png").touch()
    with pytest.raises(DataError) as refused:
        PhotoCrops(list_pictures(tmp_path), untouched, crop=24, seed=0)
    assert refused.value.message.startswith("2 of 4 photos cannot be trained on: ")
    for fault in ("cut.jpg", "empty.png"):
        assert fault in refused.value.message
    assert "good" not in refused.value.message and "whole" not in refused.value.message


def test_crops_to_upscale_show_the_same_place_at_two_sizes(tmp_path: Path) -> None:
    # A ramp stays a ramp when it is reduced, so the small crop tells where the large one should be.
    rows, columns = np.mgrid[0:64, 0:64].astype(np.uint8)
    write_picture(Picture(np.stack([3 * rows, 3 * columns, 0 * rows], axis=-1)), tmp_path / "a.png")
    crops = PhotoCrops([tmp_path / "a.png"], DEGRADATIONS["bicubic"]((2, 2)), crop=8, seed=0)
    for index in range(30):
        reference, degraded = crops[index]
        assert reference.shape == (3, 16, 16) and degraded.shape == (3, 8, 8)
        means = reference.reshape(3, 8, 2, 8, 2).mean(axis=(2, 4))
        np.testing.assert_allclose(degraded, means, atol=0.6 / 255)


def test_crops_of_a_jpeg_begin_anywhere_in_its_blocks(tmp_path: Path) -> None:
    save_noise(tmp_path / "a.png", size=(64, 64))
    crops = PhotoCrops([tmp_path / "a.png"], DEGRADATIONS["jpeg-luma"]((1, 1)), crop=32, seed=0)
    phases = set()
    for index in range(60):
        steps = np.abs(np.diff(crops[index][1][0], axis=1)).mean(axis=0)  # quality 1 leaves blocks nearly flat
        phases.add(int(np.argmax([steps[phase::8].mean() for phase in range(8)])))
    assert phases == set(range(8))


def test_a_crop_of_a_blurred_photo_does_not_show_where_the_crop_ends(tmp_path: Path) -> None:
    pixels = save_noise(tmp_path / "a.png", size=(96, 96))
    kernel = np.ones((9, 9), np.float32) / 81

    def apply(clean: Image, _: Generator) -> tuple[Image, Image]:
        return clean, np.asarray(cv2.filter2D(clean, -1, kernel), np.float32)

    crops = PhotoCrops([tmp_path / "a.png"], lambda _: Degradation(apply, margin=4, is_oriented=True), crop=24, seed=0)
    whole = cv2.filter2D(pixels.astype(np.float32) / 255, -1, kernel)[4:-4, 4:-4]
    turned = [np.rot90(side, k).transpose(2, 0, 1) for side in (whole, whole[:, ::-1]) for k in range(4)]
    for index in range(5):
        corner = crops[index][1]
        windows = [np.lib.stride_tricks.sliding_window_view(x, (24, 24), axis=(1, 2)) for x in turned]
        nearest = min(np.abs(w[0] - corner[0]).max(axis=(2, 3)).min() for w in windows)
        assert nearest < 1e-5


def test_a_mosaic_is_rggb_in_every_crop(tmp_path: Path) -> None:
    save_noise(tmp_path / "a.png", size=(33, 47))
    crops = PhotoCrops([tmp_path / "a.png"], DEGRADATIONS["mosaic"](None), crop=16, seed=0)
    for index in range(16):
        reference, degraded = crops[index]
        np.testing.assert_array_equal(degraded.transpose(1, 2, 0), mosaic(reference.transpose(1, 2, 0), "RGGB"))


def test_crops_of_pairs_are_from_the_same_place_and_lie_alike(tmp_path: Path) -> None:
    for name, seed in (("a.png", 0), ("b.png", 1)):
        pixels = save_noise(tmp_path / "clean" / name, size=(40, 50), seed=seed)
        (tmp_path / "degraded").mkdir(exist_ok=True)
        write_picture(Picture(255 - pixels), tmp_path / "degraded" / name)
    pairs = pair_up(tmp_path / "clean", tmp_path / "degraded")
    crops = PairCrops(pairs, crop=16, seed=3)
    seen, sources = set(), set()
    for index in range(40):
        clean, degraded = crops[index]
        assert clean.shape == degraded.shape == (3, 16, 16) and clean.dtype == degraded.dtype == np.float32
        np.testing.assert_allclose(degraded, 1 - clean, atol=1e-6)
        np.testing.assert_array_equal(clean, PairCrops(pairs, crop=16, seed=3)[index][0] if index < 3 else clean)
        seen.add(clean.tobytes())
        sources.add(crops.source(index))
    assert len(seen) == 40 and sources == {"a.png", "b.png"}
    assert not np.array_equal(PairCrops(pairs, crop=16, seed=4)[0][0], crops[0][0])


def test_upright_crops_are_not_laid_on_their_side(tmp_path: Path) -> None:
    for folder in ("clean", "degraded"):
        rows = np.arange(40, dtype=np.uint8)[:, None, None].repeat(40, axis=1).repeat(3, axis=2)
        (tmp_path / folder).mkdir()
        write_picture(Picture(rows), tmp_path / folder / "a.png")
    pairs = pair_up(tmp_path / "clean", tmp_path / "degraded")

    def lie_down(crops: PairCrops) -> set[bool]:
        return {bool(np.ptp(crops[index][1], axis=-1).any()) for index in range(40)}

    assert lie_down(PairCrops(pairs, crop=16, seed=0)) == {True, False}
    assert lie_down(PairCrops(pairs, crop=16, seed=0, is_upright=True)) == {False}


def test_pairs_may_be_of_two_sizes_to_learn_upscaling(tmp_path: Path) -> None:
    small = save_noise(tmp_path / "degraded/a.png", size=(20, 24))
    (tmp_path / "clean").mkdir()
    write_picture(Picture(small.repeat(3, 0).repeat(3, 1)), tmp_path / "clean/a.png")
    pairs = pair_up(tmp_path / "clean", tmp_path / "degraded")
    for index in range(8):
        clean, degraded = PairCrops(pairs, crop=8, seed=0, scale=3)[index]
        np.testing.assert_array_equal(clean, degraded.repeat(3, 1).repeat(3, 2))
    with pytest.raises(DataError, match=r"a\.png is 72x60 clean and 24x20 degraded"):
        PairCrops(pairs, crop=8, seed=0)


def test_every_pair_that_cannot_be_trained_on_is_named(tmp_path: Path) -> None:
    for folder in ("clean", "degraded"):
        for name in ("a.png", "b.png", "c.png"):
            save_noise(tmp_path / folder / name, size=(30, 30))
    save_noise(tmp_path / "degraded/b.png", size=(20, 30))
    (tmp_path / "clean/c.png").write_bytes((tmp_path / "clean/a.png").read_bytes()[:300])
    with pytest.raises(DataError) as refused:
        check_pairs(pair_up(tmp_path / "clean", tmp_path / "degraded"))
    assert refused.value.message.startswith("2 of 6 pictures of pairs cannot be trained on: ")
    assert "clean/c.png" in refused.value.message and "b.png is 30x30 clean and 30x20 degraded" in refused.value.message


def test_pairs_smaller_than_a_crop_are_left_out(tmp_path: Path) -> None:
    for folder in ("clean", "degraded"):
        save_noise(tmp_path / folder / "small.png", size=(10, 40))
    pairs = pair_up(tmp_path / "clean", tmp_path / "degraded")
    with pytest.raises(DataError, match="no pair of at least 16x16"):
        PairCrops(pairs, crop=16, seed=0)


def test_layers_of_rain_are_taken_from_pairs_that_tell_it(tmp_path: Path) -> None:
    rain = np.random.default_rng(1).integers(0, 60, (20, 24, 1), dtype=np.uint8)
    for name, level in (("dark.png", 100), ("white.png", 255)):
        clean = np.full((20, 24, 3), level, np.uint8)
        for folder, pixels in (("clean", clean), ("rainy", np.minimum(clean.astype(int) + rain, 255).astype(np.uint8))):
            (tmp_path / folder).mkdir(exist_ok=True)
            write_picture(Picture(pixels), tmp_path / folder / name)
    pairs = pair_up(tmp_path / "clean", tmp_path / "rainy")
    (layer,) = rain_layers(pairs)
    np.testing.assert_array_equal(layer, rain[..., 0])
    with pytest.raises(DataError, match="no rain to take"):
        rain_layers(pairs[1:])


def test_mixed_crops_are_those_of_one_or_the_other_at_the_share_asked_for(tmp_path: Path) -> None:
    for name in ("photos/a.png", "clean/b.png", "degraded/b.png"):
        save_noise(tmp_path / name)
    photos = PhotoCrops([tmp_path / "photos" / "a.png"], untouched, crop=8, seed=1)
    pairs = PairCrops(pair_up(tmp_path / "clean", tmp_path / "degraded"), crop=8, seed=1)
    mixed = MixedCrops(photos, pairs, share=0.3, seed=1)
    names = [mixed.source(number) for number in range(1000)]
    assert 250 < names.count("b.png") < 350
    for number in (names.index("a.png"), names.index("b.png")):
        part = photos if names[number] == "a.png" else pairs
        for got, wanted in zip(mixed[number], part[number], strict=True):
            np.testing.assert_array_equal(got, wanted)
    mixed.crop = 16
    assert mixed.crop == 16 and {mixed[number][0].shape for number in range(20)} == {(3, 16, 16)}
    assert photos.crop == pairs.crop == 8

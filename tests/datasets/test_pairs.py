from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from picture_files import save_noise

from restore.datasets.listing import list_pictures
from restore.datasets.pairs import degraded, degrading, paired, read_rgb, with_gaussian_noise
from restore.errors import DataError, UsageError
from restore.images import Picture, write_picture


def test_pictures_of_a_folder_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "c.tif", "notes.txt"):
        (tmp_path / name).touch()
    assert [p.name for p in list_pictures(tmp_path)] == ["a.JPG", "b.png", "c.tif"]


def test_a_missing_and_an_empty_folder_are_errors_that_name_them(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gone is not a folder"):
        list_pictures(tmp_path / "gone")
    (tmp_path / "a.txt").touch()
    with pytest.raises(DataError, match="no pictures in"):
        list_pictures(tmp_path)


def test_grey_and_16_bit_files_are_read_as_rgb_in_0_to_1(tmp_path: Path) -> None:
    grey = save_noise(tmp_path / "grey.png", channels=1)
    np.testing.assert_array_equal(read_rgb(tmp_path / "grey.png"), np.repeat(grey / np.float32(255), 3, axis=2))
    write_picture(Picture(np.full((4, 4, 3), 13107, np.uint16)), tmp_path / "deep.png")
    np.testing.assert_allclose(read_rgb(tmp_path / "deep.png"), 0.2)  # 13107 / 65535


def test_pairs_match_by_name_whatever_the_ending(tmp_path: Path) -> None:
    clean, other = save_noise(tmp_path / "clean/a.png"), save_noise(tmp_path / "noisy/a.bmp", seed=1)
    (pair,) = paired(tmp_path / "clean", tmp_path / "noisy")
    assert pair.name == "a"
    np.testing.assert_array_equal(pair.clean, clean / np.float32(255))
    np.testing.assert_array_equal(pair.degraded, other / np.float32(255))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("clean/a.png", "clean/b.png", "noisy/a.png"), "1 picture has no partner .*: b"),
        (("clean/a.png", "noisy/a.png", "noisy/c.png"), "1 picture has no partner .*: c"),
        (("clean/a.png", "clean/a.bmp", "noisy/a.png"), "have the same name"),
    ],
)
def test_a_picture_without_its_partner_is_named(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    for name in names:
        save_noise(tmp_path / name)
    with pytest.raises(DataError, match=message):
        next(paired(tmp_path / "clean", tmp_path / "noisy"))


def test_a_pair_of_two_sizes_is_named(tmp_path: Path) -> None:
    save_noise(tmp_path / "clean/a.png", size=(20, 24))
    save_noise(tmp_path / "noisy/a.png", size=(24, 20))
    with pytest.raises(DataError, match="'a' is 24x20 clean and 20x24 degraded"):
        next(paired(tmp_path / "clean", tmp_path / "noisy"))


def test_each_picture_of_a_set_has_its_own_noise_that_never_changes(tmp_path: Path) -> None:
    paths = []
    for name in ("a.png", "b.png"):
        pixels = save_noise(tmp_path / name)
        paths.append(tmp_path / name)
    draw = with_gaussian_noise(25, as_file=False)
    first, second = degraded(paths, draw)
    np.testing.assert_array_equal(first.clean, second.clean)
    for i, pair in enumerate((first, second)):
        expected = pixels / 255 + np.random.default_rng(i).standard_normal(pixels.shape) * 25 / 255
        np.testing.assert_allclose(pair.degraded, expected, atol=1e-6)
    np.testing.assert_array_equal(list(degraded(paths, draw))[1].degraded, second.degraded)


def test_sigma_0_leaves_pictures_exactly_as_they_are(tmp_path: Path) -> None:
    save_noise(tmp_path / "a.png")
    (pair,) = degraded([tmp_path / "a.png"], with_gaussian_noise(0, as_file=False))
    np.testing.assert_array_equal(pair.degraded, pair.clean)


def test_jpeg_is_of_one_quality_and_subsampling_on_every_draw() -> None:
    clean = np.random.default_rng(0).random((32, 32, 3)).astype(np.float32)
    results = []
    for seed in range(6):
        generator = np.random.default_rng(seed)
        results.append(degrading("jpeg", 30)(generator).apply(clean, generator)[1])
    assert all(np.array_equal(results[0], result) for result in results)


def test_a_level_out_of_range_is_refused() -> None:
    with pytest.raises(UsageError):
        degrading("jpeg", 0)

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from picture_files import save_noise

from restore.datasets import photo_cache
from restore.datasets.photo_cache import Photo, decode
from restore.errors import DataError
from restore.images import Picture, write_picture


def photo_of(path: Path) -> Photo:
    (photo,), faults = decode([path])
    assert photo is not None and not faults
    return photo


def test_a_photo_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = save_noise(tmp_path / "a.png")
    first = photo_of(tmp_path / "a.png")
    assert first.shape == (20, 24, 3)
    np.testing.assert_array_equal(first.pixels, pixels)
    monkeypatch.setattr(photo_cache, "read_picture", lambda path: pytest.fail("it is decoded again"))
    assert photo_of(tmp_path / "a.png") == first
    np.testing.assert_array_equal(first.pixels, pixels)


def test_a_photo_that_has_changed_is_decoded_again(tmp_path: Path) -> None:
    save_noise(tmp_path / "a.png")
    before = photo_of(tmp_path / "a.png")
    pixels = save_noise(tmp_path / "a.png", seed=1)
    os.utime(tmp_path / "a.png", (1, 1))
    after = photo_of(tmp_path / "a.png")
    assert after.file != before.file
    np.testing.assert_array_equal(after.pixels, pixels)


def test_pixels_cannot_be_changed(tmp_path: Path) -> None:
    save_noise(tmp_path / "a.png")
    with pytest.raises(ValueError, match="read-only"):
        photo_of(tmp_path / "a.png").pixels[0, 0] = 0


@pytest.mark.parametrize("length", [0, 50, 1000])
def test_a_copy_that_was_cut_short_is_made_anew(tmp_path: Path, length: int) -> None:
    pixels = save_noise(tmp_path / "a.png")
    photo = photo_of(tmp_path / "a.png")
    photo.file.write_bytes(photo.file.read_bytes()[:length])
    with pytest.raises(DataError, match=r"cannot read the decoded copy of .*a\.png"):
        _ = photo.pixels
    np.testing.assert_array_equal(photo_of(tmp_path / "a.png").pixels, pixels)


def test_faults_are_told_apart_and_do_not_stop_the_others(tmp_path: Path) -> None:
    save_noise(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    (tmp_path / "c.tif").touch()
    done: list[tuple[int, int]] = []
    paths = [tmp_path / name for name in ("a.png", "b.png", "c.tif", "gone.png")]
    photos, faults = decode(paths, lambda *numbers: done.append(numbers))
    assert [photo is not None for photo in photos] == [True, False, False, False]
    assert [str(path) in fault for path, fault in zip(paths[1:], faults, strict=True)] == [True] * 3
    assert done == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_grey_photo_has_three_equal_channels_and_takes_the_room_of_one(tmp_path: Path) -> None:
    pixels = save_noise(tmp_path / "a.png", channels=1)
    for _ in range(2):  # decoded, and from the cache
        photo = photo_of(tmp_path / "a.png")
        assert (photo.shape, photo.is_grey, photo.is_reduced) == ((20, 24, 3), True, False)
        np.testing.assert_array_equal(photo.pixels, np.repeat(pixels, 3, axis=2))
    assert photo.file.stat().st_size < 20 * 24 + 200


@pytest.mark.parametrize(("name", "white", "kind"), [("a.png", 65535, np.uint16), ("a.tif", 1, np.float32)])
def test_deeper_pixels_are_rounded_to_eight_bits_and_the_photo_says_so(
    tmp_path: Path, name: str, white: int, kind: type[np.generic]
) -> None:
    values = (np.random.default_rng(0).random((20, 24, 3)) * white).astype(kind)
    write_picture(Picture(values), tmp_path / name)
    for _ in range(2):
        photo = photo_of(tmp_path / name)
        assert (photo.shape, photo.is_grey, photo.is_reduced) == ((20, 24, 3), False, True)
        np.testing.assert_array_equal(photo.pixels, np.round(values / (white / 255)))


def test_two_processes_may_decode_the_same_folder_at_once(tmp_path: Path, cache_folder: Path) -> None:
    paths = [tmp_path / "photos" / f"{i}.png" for i in range(12)]
    pixels = [save_noise(path, seed=seed) for seed, path in enumerate(paths)]
    code = "import sys; from pathlib import Path; from restore.datasets.photo_cache import decode; "
    code += "print(len(decode([Path(p) for p in sys.argv[1:]])[1]))"
    command = [sys.executable, "-c", code, *map(str, paths)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate(timeout=60)[0] for process in both] == ["0\n", "0\n"]
    for path, expected in zip(paths, pixels, strict=True):
        np.testing.assert_array_equal(photo_of(path).pixels, expected)
    assert len(list(cache_folder.iterdir())) == 12


def test_what_was_not_used_for_a_month_and_what_a_killed_run_left_is_removed(
    tmp_path: Path, cache_folder: Path
) -> None:
    for name in ("a.png", "b.png"):
        save_noise(tmp_path / name)
    old, used = photo_of(tmp_path / "a.png"), photo_of(tmp_path / "b.png")
    month = time.time() - 32 * 24 * 3600
    leftover = cache_folder / ".restore-00000000-0-00000000.tmp"
    leftover.touch()
    for file in (old.file, leftover):
        os.utime(file, (month, month))
    almost = time.time() - 29 * 24 * 3600
    os.utime(used.file, (almost, almost))
    photo_of(tmp_path / "b.png")
    assert [file.name for file in cache_folder.iterdir()] == [used.file.name]
    assert time.time() - used.file.stat().st_mtime < 3600  # counts from now


def test_a_cache_that_cannot_be_written_is_an_error_that_names_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_noise(tmp_path / "a.png")
    (tmp_path / "file").touch()
    monkeypatch.setenv("RESTORE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(DataError, match="cannot write decoded photos to") as refused:
        decode([tmp_path / "a.png"])
    assert refused.value.hint is not None and "RESTORE_CACHE" in refused.value.hint

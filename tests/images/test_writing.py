"""Files that are written: their quality, errors, and what an interruption leaves."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import pytest
from made_files import SHAPE, assert_same, full_picture, noise, smooth
from PIL import Image, JpegImagePlugin

from restore.errors import PictureError
from restore.images import Picture, check_output, pillow, png, read_picture, write_picture
from restore.images.tiff import writing as tiff_writing


@pytest.mark.parametrize("quality", [10, 50, 80, 95, 97, 100])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_jpeg_is_written_at_least_as_well_as_it_came(tmp_path: Path, quality: int, subsampling: int) -> None:
    Image.fromarray(smooth(3)).save(tmp_path / "a.jpg", quality=quality, subsampling=subsampling)
    picture = read_picture(tmp_path / "a.jpg")
    assert (picture.jpeg_quality, picture.jpeg_subsampling) == (quality, subsampling)
    assert not picture.source_is_lossless
    write_picture(picture, tmp_path / "b.jpg")
    again = read_picture(tmp_path / "b.jpg")
    assert (again.jpeg_quality, again.jpeg_subsampling) == (max(quality, 90), subsampling)
    write_picture(picture, tmp_path / "c.jpg", quality=42)
    assert read_picture(tmp_path / "c.jpg").jpeg_quality == 42


def test_quality_of_foreign_tables_is_not_underrated(tmp_path: Path) -> None:
    tables = [[3] * 64, [99] * 63 + [2]]
    Image.fromarray(smooth(3)).save(tmp_path / "a.jpg", qtables=tables)
    quality = read_picture(tmp_path / "a.jpg").jpeg_quality
    assert quality is not None
    Image.fromarray(smooth(3)).save(tmp_path / "b.jpg", quality=quality)
    with Image.open(tmp_path / "b.jpg") as image:
        assert isinstance(image, JpegImagePlugin.JpegImageFile)
        assert max(image.quantization[0]) <= 3
        assert image.quantization[1][-1] <= 2


def test_picture_that_was_no_jpeg_becomes_a_fine_one(tmp_path: Path) -> None:
    for channels in (1, 3):
        write_picture(Picture(smooth(channels)), tmp_path / "a.jpg")
        found = read_picture(tmp_path / "a.jpg")
        assert (found.jpeg_quality, found.jpeg_subsampling) == (95, 0)
        assert found.pixels.shape == smooth(channels).shape
        assert np.abs(found.pixels.astype(int) - smooth(channels)).mean() < 2


def test_transparency_is_never_silently_lost(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="transparency") as caught:
        write_picture(Picture(smooth(3), smooth(1)[..., 0]), tmp_path / "a.jpg")
    assert ".png" in str(caught.value.hint)
    assert not list(tmp_path.iterdir())


def test_impossible_outputs_are_clear_errors(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    for name, match in (
        ("a.gif", r"the extension \.gif is unknown"),
        ("a", "no extension"),
        ("folder.png", "is a folder"),
        ("none/a.png", "does not exist"),
        ("file/a.png", "does not exist"),
    ):
        for attempt in (
            lambda path: check_output(path),
            lambda path: write_picture(Picture(noise(*SHAPE, 3)), path),
        ):
            with pytest.raises(PictureError, match=match) as caught:
                attempt(tmp_path / name)
            assert caught.value.hint
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.png"]


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that refuses even the superuser")
def test_a_folder_that_takes_no_files_is_a_clear_error() -> None:
    with pytest.raises(PictureError, match="cannot write") as caught:
        write_picture(Picture(noise(*SHAPE, 3)), Path("/proc/self/a.png"))
    assert "permissions" in str(caught.value.hint)


def test_sizes_beyond_a_format_are_refused_before_work() -> None:
    wide = Picture(np.zeros((1, 70_000, 1), np.uint8))
    for name in ("a.jpg", "a.webp"):
        with pytest.raises(PictureError, match="pixels a side"):
            check_output(Path(name), wide)
    assert check_output(Path("a.png"), wide) == "PNG"
    for name in ("a.avif", "a.heic"):
        with pytest.raises(PictureError, match="pixels a side"):
            check_output(Path(name), Picture(wide.pixels[:, :32_769]))
    with pytest.raises(PictureError, match="thinner than 32 pixels"):
        check_output(Path("a.heic"), Picture(wide.pixels[:, :4_217]))
    huge = Picture(np.broadcast_to(np.uint8(0), (20_000, 20_000, 3)))
    with pytest.raises(PictureError, match="268,435,456 pixels"):
        check_output(Path("a.avif"), huge)
    huge = Picture(np.broadcast_to(np.uint8(0), (40_000, 40_000, 3)))
    with pytest.raises(PictureError, match="4 GB"):
        check_output(Path("a.bmp"), huge)


def test_wrong_arrays_are_the_callers_mistake(tmp_path: Path) -> None:
    for picture in (
        Picture(noise(*SHAPE)),
        Picture(noise(*SHAPE, 2)),
        Picture(np.zeros((*SHAPE, 3))),
        Picture(noise(0, 5, 3)),
        Picture(noise(*SHAPE, 3), noise(5, 5)),
        Picture(noise(*SHAPE, 3), noise(*SHAPE, dtype=np.uint16)),
    ):
        with pytest.raises(ValueError, match="must be"):
            write_picture(picture, tmp_path / "a.png")
    with pytest.raises(ValueError, match="quality"):
        write_picture(Picture(noise(*SHAPE, 3)), tmp_path / "a.jpg", quality=0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, RuntimeError])
@pytest.mark.parametrize("extension", ["png", "tif", "jpg"])
def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, extension: str, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"a.{extension}"
    path.write_bytes(b"old")
    seen: list[str] = []

    def fail(picture: Picture, rows: slice) -> np.ndarray:
        seen.extend(p.name for p in tmp_path.iterdir() if p != path)
        raise error("stop")

    monkeypatch.setattr({"png": png, "tif": tiff_writing, "jpg": pillow}[extension], "interleaved", fail)
    with pytest.raises(PictureError if error is OSError else error, match="stop"):
        write_picture(Picture(smooth(3)), path)
    assert len(seen) == 1
    assert seen[0].startswith(".restore-")
    assert seen[0].endswith(".tmp")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_file_has_the_mode_of_any_other_and_an_old_one_keeps_its_own(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    path = tmp_path / "a.png"
    write_picture(Picture(smooth(3)), path)
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)
    path.chmod(0o640)
    write_picture(Picture(smooth(1)), path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert read_picture(path).pixels.shape[2] == 1


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.symlink(tmp_path / "folder" / "real.png", tmp_path / "a.png")
    write_picture(Picture(smooth(3)), tmp_path / "a.png")
    assert (tmp_path / "a.png").is_symlink()
    assert_same(read_picture(tmp_path / "folder" / "real.png"), smooth(3), None)


def test_names_in_any_language_and_of_any_length_work(tmp_path: Path) -> None:
    for name in ("фото 写真 é", "x" * 250, "a\udcff"):
        path = tmp_path / f"{name}.png"
        for dtype in (np.uint8, np.uint16):
            pixels = noise(*SHAPE, 3, dtype=dtype)
            write_picture(Picture(pixels), path)
            assert_same(read_picture(path), pixels, None)


def test_the_same_picture_gives_the_same_bytes(tmp_path: Path) -> None:
    for extension in ("png", "tif", "jpg", "webp", "bmp"):
        for name in "ab":
            write_picture(full_picture(), tmp_path / f"{name}.{extension}")
        assert (tmp_path / f"a.{extension}").read_bytes() == (tmp_path / f"b.{extension}").read_bytes()

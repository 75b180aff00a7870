"""Pictures that are written and read again, also through pipes."""

from __future__ import annotations

import io
import os
from pathlib import Path
from threading import Thread
from typing import Any

import cv2
import numpy as np
import pytest
from made_files import SHAPE, assert_same, full_picture, noise, parsed, smooth
from PIL import Image

from restore.errors import PictureError
from restore.images import FORMATS, Picture, read_picture, write_picture
from restore.images import picture as shared
from restore.images.tiff import writing as tiff_writing

KINDS = [(dtype, channels, alpha) for dtype in (np.uint8, np.uint16) for channels in (1, 3) for alpha in (False, True)]


@pytest.mark.parametrize("extension", [".png", ".tif", ".TIFF"])
@pytest.mark.parametrize(("dtype", "channels", "has_alpha"), KINDS)
def test_png_and_tiff_hold_every_kind_bit_for_bit(
    tmp_path: Path, extension: str, dtype: Any, channels: int, has_alpha: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "_BAND_BYTES", 400)  # several bands, the last one thinner
    pixels = noise(*SHAPE, channels, dtype=dtype)
    alpha = noise(*SHAPE, dtype=dtype, seed=1) if has_alpha else None
    path = tmp_path / f"a{extension}"
    write_picture(Picture(pixels, alpha), path)
    assert_same(read_picture(path), pixels, alpha)


@pytest.mark.parametrize(("dtype", "channels", "has_alpha"), KINDS)
@pytest.mark.parametrize("extension", [".png", ".tif"])
def test_other_readers_see_the_same_pixels(
    tmp_path: Path, extension: str, dtype: Any, channels: int, has_alpha: bool
) -> None:
    pixels = noise(*SHAPE, channels, dtype=dtype)
    alpha = noise(*SHAPE, dtype=dtype, seed=1) if has_alpha else None
    path = tmp_path / f"a{extension}"
    write_picture(Picture(pixels, alpha), path)
    everything = pixels if alpha is None else np.concatenate([pixels, alpha[..., None]], axis=2)
    if dtype == np.uint8:
        with Image.open(path) as image:
            np.testing.assert_array_equal(np.asarray(image).reshape(everything.shape), everything)
    elif channels == 1 and has_alpha:
        if extension == ".png":  # no third reader here knows 16-bit grey + alpha TIFF
            seen = np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))
            np.testing.assert_array_equal(seen[..., [0, 3]], everything)
    else:
        seen = np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED)).reshape(everything.shape)
        np.testing.assert_array_equal(seen[..., [[0], [2, 1, 0]][channels == 3] + [3] * has_alpha], everything)


@pytest.mark.parametrize("shape", [(1, 1), (3, 2000), (2000, 3)])
@pytest.mark.parametrize("extension", [".png", ".tif", ".bmp", ".webp"])
def test_thin_pictures_survive(tmp_path: Path, shape: tuple[int, int], extension: str) -> None:
    pixels = noise(*shape, 3)
    write_picture(Picture(pixels), tmp_path / f"a{extension}")
    assert_same(read_picture(tmp_path / f"a{extension}"), pixels, None)


@pytest.mark.parametrize("channels", [1, 3])
def test_bmp_holds_8_bits_bit_for_bit(tmp_path: Path, channels: int) -> None:
    pixels = noise(*SHAPE, channels)
    write_picture(Picture(pixels), tmp_path / "a.bmp")
    assert_same(read_picture(tmp_path / "a.bmp"), pixels, None)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("has_alpha", [False, True])
def test_webp_is_lossless_when_the_source_was(tmp_path: Path, channels: int, has_alpha: bool) -> None:
    pixels = noise(*SHAPE, channels)
    alpha = noise(*SHAPE, seed=1) // 128 * 255 if has_alpha else None  # colours under full transparency stay, too
    write_picture(Picture(pixels, alpha), tmp_path / "a.webp")
    first = read_picture(tmp_path / "a.webp")
    assert_same(first, np.broadcast_to(pixels, (*SHAPE, 3)), alpha)
    assert first.source_is_lossless
    write_picture(first, tmp_path / "b.webp")
    assert_same(read_picture(tmp_path / "b.webp"), first.pixels, alpha)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((9, 4500, 3), np.uint8), ((2400, 70, 3), np.uint16), ((9, 4100, 3), np.uint16), ((2310, 2310, 1), np.uint8)],
)
def test_jpeg_2000_of_several_tiles_is_read_exactly_here_and_by_others(
    tmp_path: Path, shape: tuple[int, int, int], dtype: Any
) -> None:
    white = np.iinfo(dtype).max
    pixels = np.resize(smooth(shape[2]).astype(dtype) * (white // 255), shape)
    write_picture(Picture(pixels), tmp_path / "a.jp2")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.jp2").pixels, pixels)
    seen = cv2.imread(str(tmp_path / "a.jp2"), cv2.IMREAD_UNCHANGED)
    assert seen is not None
    np.testing.assert_array_equal(seen.reshape(shape)[..., ::-1], pixels)
    write_picture(Picture(pixels), tmp_path / "a.j2k", quality=100)  # 50 dB are aimed at: an error of 0.3 percent
    error = read_picture(tmp_path / "a.j2k").pixels / white - pixels / white
    assert np.sqrt((error**2).mean()) < 0.006


def test_webp_is_lossy_when_the_source_was_or_a_quality_is_named(tmp_path: Path) -> None:
    pixels, alpha = smooth(3), smooth(1)[..., 0]
    for name, picture, quality in (
        ("a", Picture(pixels, alpha, source_is_lossless=False), None),
        ("b", Picture(pixels, alpha), 90),
    ):
        write_picture(picture, tmp_path / f"{name}.webp", quality=quality)
        found = read_picture(tmp_path / f"{name}.webp")
        assert not found.source_is_lossless
        np.testing.assert_array_equal(found.alpha, alpha)
        assert not np.array_equal(found.pixels, pixels)
        assert np.abs(found.pixels.astype(int) - pixels).mean() < 4


def test_plain_lossy_and_lossless_webp_are_told_apart(tmp_path: Path) -> None:
    for lossless in (False, True):
        Image.fromarray(smooth(3)).save(tmp_path / "a.webp", lossless=lossless)
        assert read_picture(tmp_path / "a.webp").source_is_lossless == lossless
        frames = [Image.fromarray(smooth(3) + k) for k in (0, 90)]
        frames[0].save(tmp_path / "b.webp", save_all=True, append_images=frames[1:], lossless=lossless)
        moving = read_picture(tmp_path / "b.webp")
        assert moving.source_is_lossless == lossless
        assert moving.notes == ["only the first of 2 pictures in the file is used"]


@pytest.mark.parametrize("name", ["JPEG", "WEBP", "BMP"])
def test_16_bits_round_to_the_nearest_of_8_with_a_note(tmp_path: Path, name: str) -> None:
    pixels = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    picture = Picture(np.repeat(pixels, 3, axis=2))
    path = tmp_path / f"a.{name.lower()}"
    write_picture(picture, path)
    assert picture.notes == [f"{shared.NAMES.get(name, name)} holds 8 bits; the deeper picture is rounded to them"]
    found = read_picture(path).pixels.astype(float)
    exact = np.rint(picture.pixels / 257)
    assert np.abs(found - exact).max() <= (3 if name == "JPEG" else 0)


@pytest.mark.parametrize(
    ("name", "shape"), [("avif", (1, 32_768, 1)), ("heic", (31, 4_216, 1)), ("heic", (32, 4_224, 1))]
)
def test_the_longest_thin_pictures_are_read_again(tmp_path: Path, name: str, shape: tuple[int, int, int]) -> None:
    write_picture(Picture(np.full(shape, 90, np.uint8)), tmp_path / f"a.{name}")
    found = read_picture(tmp_path / f"a.{name}").pixels
    assert found.shape == shape
    assert np.abs(found.astype(int) - 90).max() <= 2


class Pipe(io.RawIOBase):
    """A stream that cannot seek."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self.data.read(size)

    def write(self, data: Any) -> int:
        return self.data.write(data)


@pytest.mark.parametrize("name", sorted(set(FORMATS.values())))
def test_pictures_go_through_pipes(tmp_path: Path, name: str) -> None:
    write_picture(Picture(smooth(3)), tmp_path / "a", format=name)
    out = Pipe()
    write_picture(read_picture(Pipe((tmp_path / "a").read_bytes())), out, format=name)  # type: ignore[arg-type]
    first, again = read_picture(tmp_path / "a"), read_picture(io.BytesIO(out.data.getvalue()))
    assert again.source_format == first.source_format == name
    assert np.abs(again.pixels.astype(int) - first.pixels).max() <= 8


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("name", ["PNG", "TIFF", "JP2", "HEIC"])
def test_a_named_pipe_is_read_like_a_stream(tmp_path: Path, name: str) -> None:
    write_picture(Picture(smooth(3)), tmp_path / "a", format=name)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = Thread(target=pipe.write_bytes, args=((tmp_path / "a").read_bytes(),))
    writer.start()
    found = read_picture(pipe)
    writer.join()
    np.testing.assert_array_equal(found.pixels, read_picture(tmp_path / "a").pixels)


def test_a_stream_needs_a_format_and_gets_nothing_of_a_picture_that_does_not_fit() -> None:
    out = io.BytesIO()
    with pytest.raises(ValueError, match="needs a format"):
        write_picture(Picture(smooth(3)), out)
    with pytest.raises(ValueError, match="must be one of"):
        write_picture(Picture(smooth(3)), out, format="GIF")
    with pytest.raises(PictureError, match="cannot write to the stream: JPEG cannot hold"):
        write_picture(Picture(smooth(3), smooth(1)[..., 0]), out, format="JPEG")
    assert not out.getvalue()
    with pytest.raises(PictureError, match="cannot read standard input: the file is empty"):
        read_picture(io.BytesIO())


def test_float_tiff_keeps_what_lies_beyond_white(tmp_path: Path) -> None:
    pixels = np.linspace(-0.5, 7, 60 * 40 * 3, dtype=np.float32).reshape(60, 40, 3)
    write_picture(Picture(pixels), tmp_path / "a.tif")
    found = read_picture(tmp_path / "a.tif")
    assert_same(found, pixels, None)
    write_picture(found, tmp_path / "a.png")
    assert "clamped" in found.notes[0]
    np.testing.assert_array_equal(
        read_picture(tmp_path / "a.png").pixels, np.rint(pixels.clip(0, 1) * 65535).astype(np.uint16)
    )


def test_a_tiff_beyond_4_gb_is_a_big_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff_writing, "_LARGEST", 100)
    picture = full_picture()
    write_picture(picture, tmp_path / "a.tif")
    assert (tmp_path / "a.tif").read_bytes()[:4] == b"II+\0"
    found = read_picture(tmp_path / "a.tif")
    assert_same(found, picture.pixels, None)
    assert parsed(found.exif) == parsed(picture.exif)
    with Image.open(tmp_path / "a.tif") as image:
        np.testing.assert_array_equal(np.asarray(image), picture.pixels)

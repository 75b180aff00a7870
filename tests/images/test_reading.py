"""Files of every kind as pictures, and files that are refused."""

from __future__ import annotations

import io
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_files import SHAPE, assert_same, chunk, cmyk_profile, noise, png_file, tiff_file
from PIL import Image, ImageCms

from restore.errors import PictureError
from restore.images import Picture, check_output, read_picture, write_picture
from restore.images import picture as shared


def test_palette_becomes_rgb_and_its_transparency_alpha(tmp_path: Path) -> None:
    palette, index = noise(256, 3, seed=2), noise(*SHAPE)
    image = Image.fromarray(index).convert("P")
    image.putpalette(palette.tobytes())
    index = np.asarray(image)
    image.save(tmp_path / "a.png")
    assert_same(read_picture(tmp_path / "a.png"), palette[index], None)
    opacity = noise(256, seed=3)
    image.save(tmp_path / "b.png", transparency=opacity.tobytes())
    picture = read_picture(tmp_path / "b.png")
    assert_same(picture, palette[index], opacity[index])
    write_picture(picture, tmp_path / "c.png")
    with Image.open(tmp_path / "c.png") as written:
        assert written.mode == "RGBA"
    image.save(tmp_path / "d.png", transparency=int(index[0, 0]))
    assert_same(
        read_picture(tmp_path / "d.png"), palette[index], np.where(index == index[0, 0], 0, 255).astype(np.uint8)
    )
    image.save(tmp_path / "e.bmp")
    assert_same(read_picture(tmp_path / "e.bmp"), palette[index], None)


def test_one_bit_becomes_grey(tmp_path: Path) -> None:
    bits = noise(*SHAPE) > 127
    for extension in ("png", "tif", "bmp"):
        Image.fromarray(bits).save(tmp_path / f"a.{extension}")
        assert_same(read_picture(tmp_path / f"a.{extension}"), (bits * 255).astype(np.uint8)[..., None], None)


@pytest.mark.parametrize(("depth", "key"), [(1, 1), (2, 2), (4, 9), (8, 77)])
def test_transparent_grey_of_a_png_becomes_alpha_at_any_depth(tmp_path: Path, depth: int, key: int) -> None:
    levels = noise(8, 16) >> (8 - depth)
    levels[0, 0] = key
    packed = np.zeros((8, 16 * depth // 8), np.uint8)
    for x in range(16):
        packed[:, x * depth // 8] |= levels[:, x] << (8 - depth - x * depth % 8)
    (tmp_path / "a.png").write_bytes(png_file(packed, 0, depth, before=chunk(b"tRNS", struct.pack(">H", key))))
    scaled = (levels.astype(int) * 255 // (2**depth - 1)).astype(np.uint8)
    assert_same(read_picture(tmp_path / "a.png"), scaled[..., None], np.where(levels == key, 0, 255).astype(np.uint8))


def test_transparent_colour_of_a_png_becomes_alpha(tmp_path: Path) -> None:
    pixels = noise(*SHAPE, 3)
    Image.fromarray(pixels).save(tmp_path / "a.png", transparency=tuple(int(v) for v in pixels[2, 3]))
    alpha = np.full(SHAPE, 255, np.uint8)
    alpha[2, 3] = 0
    assert_same(read_picture(tmp_path / "a.png"), pixels, alpha)


@pytest.mark.parametrize("channels", [1, 3])
def test_transparent_16_bit_colour_of_a_png_becomes_alpha(tmp_path: Path, channels: int) -> None:
    pixels = noise(*SHAPE, channels, dtype=np.uint16)
    key = chunk(b"tRNS", pixels[2, 3].astype(">u2").tobytes())
    (tmp_path / "a.png").write_bytes(png_file(pixels, {1: 0, 3: 2}[channels], before=key))
    alpha = np.where((pixels == pixels[2, 3]).all(-1), 0, 65535).astype(np.uint16)
    assert_same(read_picture(tmp_path / "a.png"), pixels, alpha)


@pytest.mark.parametrize(("channels", "colour"), [(1, 0), (2, 4), (3, 2), (4, 6)])
def test_16_bit_png_of_others_is_read_exactly(tmp_path: Path, channels: int, colour: int) -> None:
    values = noise(*SHAPE, channels, dtype=np.uint16)
    (tmp_path / "a.png").write_bytes(png_file(values, colour))
    colours = 1 if channels < 3 else 3
    assert_same(read_picture(tmp_path / "a.png"), values[..., :colours], None if channels % 2 else values[..., -1])


@pytest.mark.parametrize(("channels", "colour"), [(2, 4), (3, 2), (4, 6)])
def test_16_bit_png_with_a_background_colour_is_read_as_without(tmp_path: Path, channels: int, colour: int) -> None:
    values = noise(*SHAPE, channels, dtype=np.uint16)
    background = chunk(b"bKGD", bytes(2 * (1 if channels == 2 else 3)))  # GIMP writes it
    (tmp_path / "a.png").write_bytes(png_file(values, colour, before=background))
    colours = 1 if channels == 2 else 3
    assert_same(read_picture(tmp_path / "a.png"), values[..., :colours], None if channels == 3 else values[..., -1])


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("order", [b"II", b"MM"])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiff_of_others_is_read_exactly(
    tmp_path: Path, channels: int, order: bytes, compressed: bool, dtype: Any
) -> None:
    values = noise(*SHAPE, channels, dtype=dtype)
    extra = None if channels % 2 else 2
    (tmp_path / "a.tif").write_bytes(tiff_file(values, order=order, compressed=compressed, extra=extra))
    colours = 1 if channels < 3 else 3
    assert_same(read_picture(tmp_path / "a.tif"), values[..., :colours], None if channels % 2 else values[..., -1])


@pytest.mark.parametrize("channels", [2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_planar_tiff_is_read_exactly(tmp_path: Path, dtype: Any, channels: int) -> None:
    values = noise(*SHAPE, channels, dtype=dtype)
    (tmp_path / "a.tif").write_bytes(tiff_file(values, planar=True, extra=None if channels == 3 else 2))
    expected = values[..., : 1 if channels == 2 else 3], None if channels == 3 else values[..., -1]
    assert_same(read_picture(tmp_path / "a.tif"), *expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_tiff_with_white_at_zero_is_not_a_negative(tmp_path: Path, dtype: Any) -> None:
    values = noise(*SHAPE, 1, dtype=dtype)
    (tmp_path / "a.tif").write_bytes(tiff_file(values, photometric=0))
    assert_same(read_picture(tmp_path / "a.tif"), np.iinfo(dtype).max - values, None)


@pytest.mark.parametrize("channels", [2, 4])
def test_premultiplied_16_bit_tiff_is_divided_by_alpha(tmp_path: Path, channels: int) -> None:
    straight = noise(*SHAPE, channels, dtype=np.uint16)
    alpha = straight[..., -1:].astype(np.int64)
    values = straight.copy()
    values[..., :-1] = (straight[..., :-1] * alpha + 32767) // 65535
    (tmp_path / "a.tif").write_bytes(tiff_file(values, extra=1))
    found = read_picture(tmp_path / "a.tif")
    np.testing.assert_array_equal(found.alpha, straight[..., -1])
    off = np.abs(found.pixels.astype(np.int64) - straight[..., :-1])
    assert (off <= 65535 / (2 * alpha) + 1)[straight[..., -1] > 0].all()


def test_cmyk_without_profile_becomes_rgb_with_a_note(tmp_path: Path) -> None:
    image = Image.new("CMYK", SHAPE[::-1], (0, 255, 255, 0))
    for extension in ("tif", "jpg"):
        image.save(tmp_path / f"a.{extension}")
        picture = read_picture(tmp_path / f"a.{extension}")
        assert np.abs(picture.pixels.astype(int) - (255, 0, 0)).max() <= 2
        assert picture.icc_profile is None
        assert picture.notes == ["CMYK without a usable profile became RGB; colours are approximate"]


def test_cmyk_goes_through_its_own_profile_and_is_srgb_from_then_on(tmp_path: Path) -> None:
    image = Image.new("CMYK", (40, 20), (0, 0, 0, 0))
    image.paste((255, 0, 0, 0), (0, 0, 20, 20))  # cyan, mid-grey by the profile
    image.save(tmp_path / "a.tif", icc_profile=cmyk_profile())
    first, second = read_picture(tmp_path / "a.tif"), read_picture(tmp_path / "a.tif")
    assert first.notes == ["CMYK became sRGB through its own profile"]
    assert (first.pixels[:, 20:] > 250).all()
    assert np.ptp(first.pixels[0, 0].astype(int)) <= 4
    assert 90 < first.pixels[0, 0, 0] < 150
    assert first.icc_profile is not None
    assert first.icc_profile == second.icc_profile
    assert ImageCms.ImageCmsProfile(io.BytesIO(first.icc_profile)).profile.xcolor_space == "RGB "
    image.save(tmp_path / "b.tif", icc_profile=b"no profile")
    assert "the CMYK profile is unusable" in read_picture(tmp_path / "b.tif").notes


def test_only_the_first_page_is_read_and_the_user_is_told(tmp_path: Path) -> None:
    pages = [Image.fromarray(noise(*SHAPE, 3, seed=k)) for k in range(3)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    picture = read_picture(tmp_path / "a.tif")
    assert_same(picture, noise(*SHAPE, 3, seed=0), None)
    assert picture.notes == ["only the first of 3 pictures in the file is used"]


def test_the_content_decides_what_a_file_is(tmp_path: Path) -> None:
    pixels = noise(*SHAPE, 3)
    Image.fromarray(pixels).save(tmp_path / "a.jpg", "PNG")
    assert_same(read_picture(tmp_path / "a.jpg"), pixels, None)


def refused(path: Path, match: str, **options: int) -> PictureError:
    with pytest.raises(PictureError, match=match) as caught:
        read_picture(path, **options)
    assert caught.value.hint
    assert str(path) in caught.value.message
    return caught.value


def test_unreadable_inputs_are_clear_errors(tmp_path: Path) -> None:
    refused(tmp_path / "none.png", "no such file")
    refused(tmp_path, "is a folder")
    (tmp_path / "empty.png").write_bytes(b"")
    refused(tmp_path / "empty.png", "is empty")
    (tmp_path / "noise.png").write_bytes(b"\1\2\3\4 no picture \xff\xfe")
    error = refused(tmp_path / "noise.png", "not a picture")
    assert "PNG, JPEG, WebP, GIF, TIFF, BMP, JPEG 2000, JPEG XL, AVIF, HEIC or camera RAW" in str(error.hint)


def encoded(name: str) -> bytes:
    pixels = noise(60, 70, 3)
    if name == "png16":
        return png_file(noise(60, 70, 3, dtype=np.uint16), 2)
    if name == "tiff16":
        return tiff_file(noise(60, 70, 3, dtype=np.uint16))
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, name)
    return file.getvalue()


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "png16", "tiff16"])
def test_truncated_files_are_refused_wherever_they_end(tmp_path: Path, name: str) -> None:
    data, path = encoded(name), tmp_path / "a"
    for part in (0.01, 0.1, 0.5, 0.95):
        path.write_bytes(data[: max(17, int(len(data) * part))])
        if name == "TIFF" and part == 0.95:  # without compression, the rows before the cut are whole
            assert read_picture(path).damage
        else:
            refused(path, "damaged or incomplete")


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "png16", "tiff16"])
def test_mutated_files_never_crash(tmp_path: Path, name: str) -> None:
    rng, path = np.random.default_rng(5), tmp_path / "a"
    for _ in range(40):
        data = bytearray(encoded(name))
        for position in rng.integers(2, rng.choice([60, len(data)]), 4):
            data[position] = rng.integers(256)
        path.write_bytes(data)
        try:
            picture = read_picture(path, max_pixels=100_000)
        except PictureError as error:
            assert error.hint
        else:
            assert picture.pixels.dtype in (np.uint8, np.uint16)
            assert picture.pixels.ndim == 3


def test_a_decompression_bomb_is_refused_from_its_header(tmp_path: Path) -> None:
    head = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(10_000)))
    (tmp_path / "bomb.png").write_bytes(data)
    refused(tmp_path / "bomb.png", "100000 x 100000 pixels are more than the limit of 500,000,000")


def test_the_limit_is_the_callers(tmp_path: Path) -> None:
    write_picture(Picture(noise(10, 10, 3)), tmp_path / "a.png")
    refused(tmp_path / "a.png", "limit", max_pixels=99)
    assert read_picture(tmp_path / "a.png", max_pixels=100).pixels.shape == (10, 10, 3)


def test_a_large_photo_passes_although_pillow_alone_would_refuse_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    pixels = noise(30, 40, 1)
    for extension in ("png", "tif", "bmp", "jpg"):
        Image.fromarray(pixels[..., 0]).save(tmp_path / f"a.{extension}")
    monkeypatch.setattr(shared, "_BAND_BYTES", 200)
    for extension in ("png", "tif", "bmp", "jpg"):
        assert read_picture(tmp_path / f"a.{extension}").pixels.shape == (30, 40, 1)


def test_pixels_that_cannot_be_kept_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros(SHAPE, np.int32)).save(tmp_path / "a.tif")
    refused(tmp_path / "a.tif", "its pixels are")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_floats_of_which_many_are_no_numbers_are_refused(tmp_path: Path, value: float) -> None:
    pixels = np.zeros(SHAPE, np.float32)
    pixels[3] = value
    Image.fromarray(pixels).save(tmp_path / "a.tif")
    refused(tmp_path / "a.tif", "NaN or infinity")


@pytest.mark.parametrize(("module", "name", "what"), [("pillow_heif", "heif", "HEIC"), ("rawpy", "raw", "camera RAW")])
def test_a_missing_extra_is_named(
    tmp_path: Path, module: str, name: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    path = tmp_path / {"heif": "holiday.heic", "raw": "holiday.raf"}[name]
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" if name == "heif" else b"FUJIFILMCCD-RAW ")
    error = refused(path, f"no decoder for {what} is installed")
    assert error.hint == f"pip install 'restore-photos[{name}]'"
    if name == "heif":
        with pytest.raises(PictureError, match="no encoder for HEIC is installed"):
            check_output(tmp_path / "a.heic")


def test_a_png_with_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    data = bytearray(png_file(noise(*SHAPE, 1, dtype=np.uint16), 0))
    data[60] ^= 1
    (tmp_path / "a.png").write_bytes(data)
    refused(tmp_path / "a.png", "wrong checksum")

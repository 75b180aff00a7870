"""Pictures survive reading and writing: every depth, mode, format, kind of metadata and refusal."""

from __future__ import annotations

import io
import os
import stat
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import cv2
import numpy as np
import pytest
from odd_files import profile_of
from PIL import Image, ImageCms, JpegImagePlugin, TiffImagePlugin

from restore.errors import PictureError
from restore.images import FORMATS, Picture, check_output, png, read_picture, tiff, write_picture, writing
from restore.images import picture as shared

SHAPE = (13, 17)
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><a tiff:Orientation=\"6\" note='\xc3\xa9'/></x:xmpmeta>"


def noise(*shape: int, dtype: Any = np.uint8, seed: int = 0) -> np.ndarray:
    """Samples over the whole range of `dtype`."""
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def smooth(channels: int) -> np.ndarray:
    """(64, 96, channels) uint8 that lossy formats change little."""
    y, x = np.mgrid[0:64, 0:96]
    return np.stack([(x * 2 + y * (k + 1)) % 256 // 2 + 40 for k in range(channels)], axis=-1).astype(np.uint8)


def cmyk_profile() -> bytes:
    """A tiny CMYK profile with odd inks: every mixture is mid-grey, paper is white."""

    def tag(kind: bytes, data: bytes) -> bytes:
        data = kind + b"\0\0\0\0" + data
        return data + b"\0" * (-len(data) % 4)

    ramp = bytes(range(256))
    corners = bytearray()
    for corner in range(16):
        corners += bytes((255 if corner == 0 else 128, 128, 128))  # CIELAB
    identity = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    table = bytes((4, 3, 2, 0)) + identity + ramp * 4 + bytes(corners) + ramp * 3
    text = b"\0\0\0\x05test\0" + b"\0" * 78
    parts = {
        b"desc": tag(b"desc", text),
        b"cprt": tag(b"text", b"none\0"),
        b"wtpt": tag(b"XYZ ", struct.pack(">3i", 63190, 65536, 54061)),
        b"A2B0": tag(b"mft1", table),
        b"A2B1": tag(b"mft1", table),
    }
    offset, index, body = 132 + 12 * len(parts), b"", b""
    for name, data in parts.items():
        index += name + struct.pack(">II", offset + len(body), len(data))
        body += data
    head = struct.pack(">I4sI4s4s4s", 0, b"test", 0x02400000, b"prtr", b"CMYK", b"Lab ")
    head += struct.pack(">6H4s", 2020, 1, 1, 0, 0, 0, b"acsp").ljust(44, b"\0")
    head = head[:68] + struct.pack(">3i", 63190, 65536, 54061)
    profile = head.ljust(128, b"\0") + struct.pack(">I", len(parts)) + index + body
    return struct.pack(">I", len(profile)) + profile[4:]


def exif_block(orientation: int = 1, order: str = ">") -> bytes:
    exif = Image.Exif()
    exif.endian = order
    exif[271], exif[306], exif[274] = "Maker", "2024:05:06 07:08:09", orientation
    exif[0x8769] = {0x829A: (1, 250), 0x927C: b"maker note \x00\x01\xff"}
    exif[0x8825] = {1: "N", 2: (48.0, 8.0, 14.0)}
    return exif.tobytes().removeprefix(b"Exif\0\0")


def parsed(exif: bytes | None) -> tuple[Any, ...]:
    assert exif is not None
    tags = Image.Exif()
    tags.load(exif)
    return tags.get(271), tags.get(306), tags.get(274, 1), tags.get_ifd(0x8769), tags.get_ifd(0x8825)


def png_file(array: np.ndarray, colour: int, depth: int = 16, *, before: bytes = b"", after: bytes = b"") -> bytes:
    """A handmade PNG: `before` and `after` are chunks around the pixels; `array` is (H, bytes of a row)."""
    height = len(array)
    width = array.shape[1] if depth == 16 else array.shape[1] * 8 // depth
    rows = b"".join(b"\0" + row.astype(">u2" if depth == 16 else "u1").tobytes() for row in array)
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    signature = b"\x89PNG\r\n\x1a\n"
    data = chunk(b"IDAT", zlib.compress(rows))
    return signature + chunk(b"IHDR", head) + before + data + after + chunk(b"IEND", b"")


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def tiff_file(
    array: np.ndarray,
    *,
    order: bytes = b"II",
    compressed: bool = True,
    photometric: int | None = None,
    extra: int | None = None,
    orientation: int | None = None,
    planar: bool = False,
) -> bytes:
    """A handmade TIFF of (H, W, C) samples."""
    height, width, channels = array.shape
    raw = array.astype(("<" if order == b"II" else ">") + f"u{array.itemsize}")
    planes = [np.ascontiguousarray(raw[..., k]).tobytes() for k in range(channels)] if planar else [raw.tobytes()]
    data = [zlib.compress(plane) if compressed else plane for plane in planes]
    tags: Any = TiffImagePlugin.ImageFileDirectory_v2(prefix=order)
    tags[256], tags[257], tags[258], tags[259] = width, height, (8 * array.itemsize,) * channels, 8 if compressed else 1
    tags[262] = photometric if photometric is not None else 1 if channels < 3 else 2
    tags[277], tags[278], tags[284] = channels, height, 2 if planar else 1
    tags[279] = tuple(len(plane) for plane in data)
    tags[273] = tuple(sum(len(plane) for plane in data[:k]) for k in range(len(data)))
    tags.tagtype[273] = 4
    if extra is not None:
        tags[338] = extra
    if orientation is not None:
        tags[274] = orientation
    file = io.BytesIO()
    tags.save(file)
    return file.getvalue() + b"".join(data)


def assert_same(found: Picture, pixels: np.ndarray, alpha: np.ndarray | None) -> None:
    assert found.pixels.dtype == pixels.dtype
    np.testing.assert_array_equal(found.pixels, pixels)
    assert (found.alpha is None) == (alpha is None)
    if alpha is not None:
        assert found.alpha is not None
        assert found.alpha.dtype == pixels.dtype
        np.testing.assert_array_equal(found.alpha, alpha)


# -------------------------------------------------------------------------------------------------------- round trips

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


# ------------------------------------------------------------------------------------------------------- kinds of file


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


# ----------------------------------------------------------------------------------------------------------- metadata


def full_picture(dtype: Any = np.uint8) -> Picture:
    pixels = smooth(3).astype(dtype) * (257 if dtype == np.uint16 else 1)
    return Picture(pixels, None, profile_of("RGB"), exif_block(), XMP, (300.0, 150.0))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("extension", ["png", "jpg", "webp", "tif"])
def test_profile_exif_xmp_and_dpi_survive(tmp_path: Path, extension: str, dtype: Any) -> None:
    path = tmp_path / f"a.{extension}"
    picture = full_picture(dtype)
    write_picture(picture, path)
    for _ in range(2):  # a copy, and a copy of the copy
        found = read_picture(path)
        assert found.icc_profile == picture.icc_profile
        assert parsed(found.exif) == parsed(picture.exif)
        if extension != "tif":
            assert found.exif == picture.exif
        assert found.xmp == XMP.replace(b'Orientation="6"', b'Orientation="1"')
        if extension == "webp":
            assert found.dpi is None
        else:
            assert found.dpi == pytest.approx(picture.dpi, abs=0.013)  # PNG counts whole pixels a metre
        write_picture(found, path)
    with Image.open(path) as image:
        image.load()
        assert image.info["icc_profile"] == picture.icc_profile
        assert image.getexif()[271] == "Maker"
        assert image.info["xmp"] == found.xmp


def test_bmp_keeps_dpi_and_says_what_it_drops(tmp_path: Path) -> None:
    picture = full_picture()
    write_picture(picture, tmp_path / "a.bmp")
    assert read_picture(tmp_path / "a.bmp").dpi == pytest.approx((300, 150), abs=0.02)
    assert picture.notes == ["BMP has no place for colour profile, EXIF and XMP; dropped"]


@pytest.mark.parametrize("extension", ["png", "jpg", "webp", "tif", "bmp"])
def test_no_metadata_is_made_up(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"a.{extension}"
    write_picture(Picture(smooth(3)), path)
    found = read_picture(path)
    assert (found.icc_profile, found.exif, found.xmp, found.dpi) == (None, None, None, None)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_metadata_after_the_pixels_of_a_png_is_found(tmp_path: Path, dtype: Any) -> None:
    values = noise(*SHAPE, 3, dtype=dtype)
    after = chunk(b"eXIf", exif_block(3)) + chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP)
    depth = values.itemsize * 8
    data = png_file(values, 2, after=after) if depth == 16 else png_file(values.reshape(13, -1), 2, 24, after=after)
    if depth == 8:  # three bytes per pixel: the width above counts 24 bits, the header 8 bits per sample
        head = struct.pack(">IIBBBBB", SHAPE[1], SHAPE[0], 8, 2, 0, 0, 0)
        data = data[:8] + chunk(b"IHDR", head) + data[33:]
    (tmp_path / "a.png").write_bytes(data)
    found = read_picture(tmp_path / "a.png")
    assert_same(found, values[::-1, ::-1], None)
    assert found.exif == exif_block(1)
    assert found.xmp is not None


# EXIF 2.3: how viewers turn the rows and columns of the file
TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
    8: lambda a: np.rot90(a),
}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_exactly_once(tmp_path: Path, orientation: int, order: str) -> None:
    exif = b"Exif\0\0" + exif_block(orientation, order)
    turn = TURNS[orientation]
    values = noise(*SHAPE, 4)
    formats: dict[str, dict[str, Any]] = {"png": {}, "webp": {"lossless": True, "exact": True}}
    for extension, options in formats.items():
        path = tmp_path / f"a.{extension}"
        Image.fromarray(values).save(path, exif=exif, **options)
        for _ in range(2):
            found = read_picture(path)
            assert_same(found, turn(values[..., :3]), turn(values[..., 3]))
            assert found.pixels.flags.c_contiguous
            assert found.exif == exif_block(1, order)  # only the orientation differs
            write_picture(found, path)
    Image.fromarray(smooth(3)).save(tmp_path / "a.jpg", exif=exif, quality=100, subsampling=0)
    found = read_picture(tmp_path / "a.jpg")
    assert np.abs(found.pixels.astype(int) - turn(smooth(3))).max() <= 4
    assert found.exif == exif_block(1, order)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(("dtype", "channels"), [(np.uint8, 3), (np.uint16, 1), (np.uint16, 2), (np.uint16, 3)])
def test_orientation_of_a_tiff_is_applied_exactly_once(
    tmp_path: Path, orientation: int, dtype: Any, channels: int, compressed: bool
) -> None:
    values, path = noise(*SHAPE, channels, dtype=dtype), tmp_path / "a.tif"
    extra = 2 if channels == 2 else None
    path.write_bytes(tiff_file(values, orientation=orientation, compressed=compressed, extra=extra))
    expected = TURNS[orientation](values)
    for _ in range(2):
        found = read_picture(path)
        assert_same(found, expected[..., : 3 if channels == 3 else 1], expected[..., 1] if channels == 2 else None)
        write_picture(found, path)
    tags = Image.Exif()
    with path.open("rb") as file:
        tags.load_from_fp(file)
        assert tags[274] == 1


@pytest.mark.parametrize("orientation", range(2, 9))
def test_16_bit_png_is_turned_upright_too(tmp_path: Path, orientation: int) -> None:
    values = noise(*SHAPE, 3, dtype=np.uint16)
    (tmp_path / "a.png").write_bytes(png_file(values, 2, before=chunk(b"eXIf", exif_block(orientation))))
    found = read_picture(tmp_path / "a.png")
    assert_same(found, TURNS[orientation](values), None)
    assert found.exif == exif_block(1)


def test_damaged_exif_is_dropped_with_a_note_and_the_picture_kept(tmp_path: Path) -> None:
    Image.fromarray(noise(*SHAPE, 3)).save(tmp_path / "a.png", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    picture = read_picture(tmp_path / "a.png")
    assert_same(picture, noise(*SHAPE, 3), None)
    assert picture.exif is None
    assert picture.notes == ["damaged EXIF is dropped"]


def test_metadata_too_long_for_jpeg_is_dropped_with_a_note(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[270] = "x" * 70_000
    picture = Picture(
        smooth(3), exif=exif.tobytes()[6:], xmp=b"x" * 70_000, icc_profile=profile_of("RGB") + noise(200_000).tobytes()
    )
    write_picture(picture, tmp_path / "a.jpg")
    assert len(picture.notes) == 2
    assert read_picture(tmp_path / "a.jpg").icc_profile == picture.icc_profile


# --------------------------------------------------------------------------------------------------------------- jpeg


@pytest.mark.parametrize("quality", [10, 50, 80, 95, 97, 100])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_jpeg_is_written_at_least_as_well_as_it_came(tmp_path: Path, quality: int, subsampling: int) -> None:
    Image.fromarray(smooth(3)).save(tmp_path / "a.jpg", quality=quality, subsampling=subsampling)
    picture = read_picture(tmp_path / "a.jpg")
    assert (picture.jpeg_quality, picture.jpeg_subsampling) == (quality, subsampling)
    assert not picture.source_is_lossless
    write_picture(picture, tmp_path / "b.jpg")
    again = read_picture(tmp_path / "b.jpg")
    assert (again.jpeg_quality, again.jpeg_subsampling) == (max(quality, 95), subsampling)
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


# ---------------------------------------------------------------------------------------------------------- bad input


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
    (tmp_path / "text.png").write_text("This is no picture.\n")
    error = refused(tmp_path / "text.png", "not a picture")
    assert "PNG, JPEG, WebP, TIFF, BMP, JPEG 2000, AVIF, HEIC and camera RAW" in str(error.hint)


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


# ---------------------------------------------------------------------------------------------------------- bad output


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


@pytest.mark.parametrize(
    ("name", "shape"), [("avif", (1, 32_768, 1)), ("heic", (31, 4_216, 1)), ("heic", (32, 4_224, 1))]
)
def test_the_longest_thin_pictures_are_read_again(tmp_path: Path, name: str, shape: tuple[int, int, int]) -> None:
    write_picture(Picture(np.full(shape, 90, np.uint8)), tmp_path / f"a.{name}")
    found = read_picture(tmp_path / f"a.{name}").pixels
    assert found.shape == shape
    assert np.abs(found.astype(int) - 90).max() <= 2


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

    monkeypatch.setattr({"png": png, "tif": tiff, "jpg": writing}[extension], "interleaved", fail)
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


# ----------------------------------------------------------------------------------------- streams, floats, and extras


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
    assert found.peak == 7
    assert Picture(pixels / 70).peak == 1
    write_picture(found, tmp_path / "a.png")
    assert "clamped" in found.notes[0]
    np.testing.assert_array_equal(
        read_picture(tmp_path / "a.png").pixels, np.rint(pixels.clip(0, 1) * 65535).astype(np.uint16)
    )


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_floats_that_are_no_numbers_are_refused(tmp_path: Path, value: float) -> None:
    pixels = np.zeros(SHAPE, np.float32)
    pixels[3, 4] = value
    Image.fromarray(pixels).save(tmp_path / "a.tif")
    refused(tmp_path / "a.tif", "NaN or infinity")


def test_a_tiff_beyond_4_gb_is_a_big_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff, "_LARGEST", 100)
    picture = full_picture()
    write_picture(picture, tmp_path / "a.tif")
    assert (tmp_path / "a.tif").read_bytes()[:4] == b"II+\0"
    found = read_picture(tmp_path / "a.tif")
    assert_same(found, picture.pixels, None)
    assert parsed(found.exif) == parsed(picture.exif)
    with Image.open(tmp_path / "a.tif") as image:
        np.testing.assert_array_equal(np.asarray(image), picture.pixels)


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


def test_a_profile_of_other_colours_than_the_pixels_is_dropped_with_a_note(tmp_path: Path) -> None:
    Image.fromarray(smooth(1)[..., 0]).save(tmp_path / "a.jpg", icc_profile=profile_of("RGB"))
    picture = read_picture(tmp_path / "a.jpg")
    assert picture.icc_profile is None
    assert picture.notes == ["the colour profile does not fit the pixels (RGB); it is dropped"]


def test_orientation_in_xmp_alone_is_applied_once(tmp_path: Path) -> None:
    Image.fromarray(noise(*SHAPE, 3)).save(tmp_path / "a.webp", xmp=XMP, lossless=True)
    for _ in range(2):
        found = read_picture(tmp_path / "a.webp")
        assert_same(found, TURNS[6](noise(*SHAPE, 3)), None)
        write_picture(found, tmp_path / "a.webp")


def test_a_png_with_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    data = bytearray(png_file(noise(*SHAPE, 1, dtype=np.uint16), 0))
    data[60] ^= 1
    (tmp_path / "a.png").write_bytes(data)
    refused(tmp_path / "a.png", "wrong checksum")

"""Profiles, EXIF, XMP, resolution and orientation."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_files import (
    SHAPE,
    XMP,
    assert_same,
    chunk,
    exif_block,
    full_picture,
    noise,
    parsed,
    png_file,
    smooth,
    tiff_file,
)
from odd_files import profile_of
from PIL import Image

from restore.images import Picture, read_picture, write_picture


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


@pytest.mark.parametrize(("suffix", "is_noted"), [("png", False), ("tif", True), ("jpg", True)])
def test_the_hdr_mark_of_a_png_is_kept_or_a_note_says_that_it_is_dropped(
    tmp_path: Path, suffix: str, is_noted: bool
) -> None:
    mark = bytes([9, 16, 0, 1])  # BT.2100, perceptual quantizer
    picture = Picture(noise(*SHAPE, 3), colour={b"cICP": mark})
    write_picture(picture, tmp_path / f"a.{suffix}")
    assert any("HDR" in note and "dropped" in note for note in picture.notes) == is_noted
    assert (read_picture(tmp_path / f"a.{suffix}").colour.get(b"cICP") == mark) != is_noted


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


@pytest.mark.parametrize("length", [100, 400])
def test_a_profile_that_is_cut_short_is_dropped_with_a_note(tmp_path: Path, length: int) -> None:
    Image.fromarray(smooth(3)).save(tmp_path / "a.png", icc_profile=profile_of("RGB")[:length])
    picture = read_picture(tmp_path / "a.png")
    assert picture.icc_profile is None
    assert picture.notes == ["the colour profile is damaged; it is dropped"]


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


def test_what_a_note_quotes_of_a_file_is_printable(tmp_path: Path) -> None:
    profile = bytearray(profile_of("RGB"))
    profile[16:20] = b"\x1b[1m"
    Image.fromarray(smooth(3)).save(tmp_path / "a.png", icc_profile=bytes(profile))
    (note,) = read_picture(tmp_path / "a.png").notes
    assert note == r"the colour profile does not fit the pixels (\x1b[1m); it is dropped"

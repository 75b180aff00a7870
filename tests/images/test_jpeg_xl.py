"""JPEG XL: colours, boxes, frames and limits. The golden files were written by libjxl's cjxl 0.7."""

from __future__ import annotations

import base64
import io
import struct
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from made_files import exif_block, noise, smooth
from odd_files import XMP, Odd, jpeg_xl, profile_of
from PIL import Image, ImageCms

from restore.errors import PictureError
from restore.images import Picture, jpeg_xl_header, read_picture, write_picture

_COLOURS = ((200, 120, 60), (60, 150, 90))  # upper and lower half of the golden files, in their profile
_SHARED = (
    "{|Z4s2yYDo66OKWoS}gu&b*H8>#G)fh#D4J#1>kD%&CvC^JLJ)h2gZ35bkVYcQ%R9wG}cNjV`UhV+#Y2b+mOxfLENWX2xxXjL8Bp;D2Fh#ak9b"
    "T_-MbS;<2oK+)P%Ryxg8muJ>5S&!U6F6;OPIQj~kE1P<XN{0nlJ6i^5DqC90nnUfivH&_wV+|GHRB!+Ncb@WTyc1}@kpBDczM=m6Z@(hg%Y_0z&"
    "K>j%>HYQJfB)S<P%zw>L6OaYN`KH;E{vLcm~WYxZ_kdR%C>yj0qVL0MrDITuTWS?5Tglm"
)
LOSSLESS = base64.b85decode(_SHARED + "IS2v)0C)gP7>gCc3F2*}>lX+C;PGOdT9KW-000000{{R300")
LOSSY = base64.b85decode(
    _SHARED.replace("2yYDo", "3U3Vq")
    + "IRF!g0AK<C|EdB2P@yu)xWUW0o-aRiSWMfv&d^rd7M3K6jAN5@0*55AB5YiM00s=e05Efh>Wd5ztt7DsQn%qE2v9yLP#%O@fMo!f%Xh%N00#kJ"
    "Z^~f+bO2}"
)


def p3_profile() -> bytes:
    return bytes(
        imagecodecs.cms_profile(
            "rgb",
            whitepoint=(0.3127, 0.3290, 1.0),
            primaries=[0.68, 0.32, 1.0, 0.265, 0.69, 1.0, 0.15, 0.06, 1.0],
            gamma=2.2,
        )
    )


def read(data: bytes, **options: Any) -> Picture:
    return read_picture(io.BytesIO(data), **options)


def written(picture: Picture, quality: int | None = None) -> bytes:
    file = io.BytesIO()
    write_picture(picture, file, format="JXL", quality=quality)
    return file.getvalue()


def in_srgb(pixels: np.ndarray, profile: bytes) -> np.ndarray:
    """Pixels as littlecms converts them."""
    transform = ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), "RGB", "RGB"
    )
    return np.asarray(transform.apply(Image.fromarray(pixels)))


def test_lossless_file_with_a_profile_keeps_both() -> None:
    picture = read(LOSSLESS)
    np.testing.assert_array_equal(picture.pixels[[0, -1], 0], _COLOURS)
    assert picture.source_is_lossless
    assert picture.icc_profile is not None and picture.icc_profile[36:40] == b"acsp"
    assert len(picture.icc_profile) == len(p3_profile())
    shown = in_srgb(np.array([_COLOURS], np.uint8), picture.icc_profile)
    np.testing.assert_array_equal(shown, in_srgb(np.array([_COLOURS], np.uint8), p3_profile()))
    assert not picture.notes


def test_lossy_file_with_a_profile_becomes_srgb() -> None:
    picture = read(LOSSY)
    shown = in_srgb(np.array([_COLOURS], np.uint8), p3_profile())[0].astype(int)
    assert np.abs(picture.pixels[[0, -1], 0] - shown).max() <= 5
    assert picture.icc_profile is None
    assert not picture.source_is_lossless
    assert picture.notes == ["its colours became sRGB, because JPEG XL's lossy colours do not depend on the profile"]


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("has_alpha", [False, True])
def test_pixels_profile_and_boxes_survive_exactly(kind: Any, channels: int, has_alpha: bool) -> None:
    white = 1 if kind == np.float32 else np.iinfo(kind).max
    pixels = (noise(13, 17, channels + 1) / 255 * white).astype(kind)
    picture = Picture(
        pixels[..., :-1],
        pixels[..., -1] if has_alpha else None,
        profile_of("RGB" if channels == 3 else "GRAY"),
        exif_block(),
        XMP,
    )
    again = read(written(picture))
    np.testing.assert_array_equal(again.pixels, picture.pixels)
    assert again.pixels.dtype == kind
    assert (again.alpha is None) == (picture.alpha is None)
    if again.alpha is not None and picture.alpha is not None:
        np.testing.assert_array_equal(again.alpha, picture.alpha)
    assert (again.icc_profile, again.exif, again.xmp) == (picture.icc_profile, picture.exif, picture.xmp)
    assert not picture.notes and not again.notes


def test_deep_pictures_without_a_profile_are_not_stated_to_be_linear() -> None:
    for pixels in (noise(8, 8, 3, dtype=np.uint16), (noise(8, 8, 1) / 255).astype(np.float32)):
        data = written(Picture(pixels))
        header = jpeg_xl_header.read(data[data.index(b"jxlc") + 4 :])
        assert (header.transfer, header.primaries) == (13, 1)  # sRGB
        assert not read(data).colour


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_lossy_pictures_keep_their_values_in_every_depth(kind: Any) -> None:
    pixels = smooth(3)
    white = 1 if kind == np.float32 else np.iinfo(kind).max
    again = read(written(Picture((pixels / 255 * white).astype(kind)), quality=95))
    assert np.abs(again.pixels / white - pixels / 255).mean() < 0.01
    assert not again.source_is_lossless


def test_lossy_picture_with_a_profile_is_converted_and_noted() -> None:
    pixels = np.full((64, 64, 3), (150, 120, 100), np.uint8)
    picture = Picture(pixels, icc_profile=p3_profile())
    again = read(written(picture, quality=95))
    assert np.abs(again.pixels.astype(int) - in_srgb(pixels, p3_profile())).max() <= 2
    assert picture.notes == ["its colours became sRGB, because lossy JPEG XL has no profile"]


def test_hdr_is_stated_in_the_stream_and_read_again() -> None:
    for transfer in (16, 18):  # PQ, HLG
        picture = Picture(smooth(3), colour={b"cICP": bytes((9, transfer, 0, 1))})
        again = read(written(picture))
        assert again.colour == picture.colour
        np.testing.assert_array_equal(again.pixels, picture.pixels)


def test_orientation_of_the_stream_counts_and_that_of_exif_does_not() -> None:
    plain, turned = jpeg_xl(Odd()), jpeg_xl(Odd(extras=frozenset({"turned"})))
    assert plain and turned
    picture = read(turned)
    np.testing.assert_array_equal(picture.pixels, np.rot90(read(plain).pixels, -1))
    tags = Image.Exif()
    tags.load(picture.exif or b"")
    assert tags[274] == 1


def test_frames_are_read_by_number() -> None:
    frames = np.stack([np.full((8, 9, 3), 40 * k, np.uint8) for k in range(4)])
    data = bytes(imagecodecs.jpegxl_encode(frames, lossless=True))
    for page in (1, 4):
        picture = read(data, page=page)
        assert (picture.pages, picture.pixels[0, 0, 0]) == (4, 40 * (page - 1))
    with pytest.raises(PictureError, match="no page 5"):
        read(data, page=5)
    assert read(data).notes == ["only the first of 4 pictures in the file is used"]


def test_stream_in_parts_is_joined_by_their_numbers() -> None:
    pixels = noise(20, 20, 3)
    stream = bytes(imagecodecs.jpegxl_encode(pixels, lossless=True, usecontainer=False))
    parts = ((0x80000001, stream[40:]), (0, stream[:40]))
    boxes = [struct.pack(">I4sI", 12 + len(part), b"jxlp", number) + part for number, part in parts]
    head = jpeg_xl_header.SIGNATURE + b"\0\0\0\x14ftypjxl \0\0\0\0jxl "
    np.testing.assert_array_equal(read(head + b"".join(boxes)).pixels, pixels)


@pytest.mark.parametrize("bits", [4, 10, 12])
def test_shallow_and_odd_depths_are_scaled_to_white(bits: int) -> None:
    white = 2**bits - 1
    values = np.array([[0, white // 3, white]], np.uint16 if bits > 8 else np.uint8).repeat(8, axis=0)
    picture = read(bytes(imagecodecs.jpegxl_encode(values, lossless=True, bitspersample=bits)))
    full = np.iinfo(picture.pixels.dtype).max
    np.testing.assert_allclose(picture.pixels[0, :, 0] / full, values[0] / white, atol=0.5 / full)


def test_small_file_of_a_huge_picture_is_refused_before_it_is_decoded() -> None:
    stream = bytearray(imagecodecs.jpegxl_encode(noise(16, 16), lossless=True, usecontainer=False))
    bits = 0 | 3 << 1 | (2**30 - 1) << 3 | 0 << 33 | 3 << 36 | (2**30 - 1) << 38  # height, no ratio, width
    huge = b"\xff\x0a" + bits.to_bytes(9, "little") + stream[4:]
    with pytest.raises(PictureError, match="1073741824 x 1073741824 pixels are more than the limit"):
        read(huge)


def test_cut_stream_and_bomb_of_metadata_are_harmless() -> None:
    data = written(Picture(noise(64, 64, 3)))
    for length in (13, 40, len(data) // 2, len(data) - 1):
        with pytest.raises(PictureError) as caught:
            read(data[:length])
        assert caught.value.hint
    bomb = bytes(imagecodecs.brotli_encode(bytes(20 << 20), level=1))
    place = data.index(b"jxlc") - 4
    box = struct.pack(">I4s4s", 12 + len(bomb), b"brob", b"xml ") + bomb
    assert read(data[:place] + box + data[place:]).xmp is None


def test_unreadable_profile_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    from restore.images import jpeg_xl as module

    monkeypatch.setattr(module, "_library", lambda: None)  # as on Windows
    assert read(LOSSLESS).notes == ["its colour profile cannot be read here; it is dropped"]


def test_file_is_written_under_its_extension(tmp_path: Path) -> None:
    write_picture(Picture(smooth(3)), tmp_path / "a.jxl")
    assert read_picture(tmp_path / "a.jxl").source_format == "JXL"

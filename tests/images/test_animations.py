"""Frames of animated PNG, WebP and GIF: read as whole pictures, and written so that Pillow shows the same."""

from __future__ import annotations

import io
import struct
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from animation_files import (
    DELAYS,
    HEIGHT,
    WIDTH,
    animation,
    apng,
    assert_looks_the_same,
    frames,
    png_frame,
    rgba,
    shown,
)
from odd_files import chunk, exif_block, profile_of
from PIL import Image

from restore.errors import PictureError
from restore.images import Picture, read_pages, read_picture, write_pages

SUFFIXES = {"PNG": ".png", "WEBP": ".webp", "GIF": ".gif"}
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"


def pages_of(data: bytes) -> list[Picture]:
    return list(read_pages(io.BytesIO(data)))


def written(pages: list[Picture], name: str) -> bytes:
    file = io.BytesIO()
    write_pages(iter(pages), file, format=name)
    return file.getvalue()


# Reading


@pytest.mark.parametrize("name", SUFFIXES)
@pytest.mark.parametrize("alpha", [True, False])
@pytest.mark.parametrize("after", [0, 1, 2])
def test_frames_are_as_pillow_shows_them(name: str, alpha: bool, after: int) -> None:
    options = {"PNG": {"disposal": after, "blend": 1}, "GIF": {"disposal": min(after + 1, 2)}, "WEBP": {}}[name]
    data = animation(name, frames(alpha=alpha), loop=0, **options)
    found, expected = pages_of(data), shown(data)
    if (name, after) == ("PNG", 2):  # which Pillow writes well, and reads as if nothing were undone
        opaque = np.full((HEIGHT, WIDTH, 1), 255, np.uint8)
        expected = [frame if alpha else np.dstack([frame, opaque]) for frame in frames(alpha=alpha)]
    assert [(page.page, page.pages) for page in found] == [(number, 4) for number in (1, 2, 3, 4)]
    for page, picture in zip(found, expected, strict=True):
        assert_looks_the_same(rgba(page), picture)
    assert [page.duration for page in found] == pytest.approx(DELAYS)


@pytest.mark.parametrize("name", SUFFIXES)
def test_a_single_frame_is_the_one_of_that_number(name: str) -> None:
    data = animation(name, frames(), disposal=1) if name == "PNG" else animation(name, frames())
    for number, page in enumerate(pages_of(data), 1):
        one = read_picture(io.BytesIO(data), page=number)
        np.testing.assert_array_equal(rgba(one), rgba(page))
        assert (one.page, one.pages, one.duration, one.notes) == (number, 4, page.duration, [])


@pytest.mark.parametrize("name", SUFFIXES)
def test_the_first_frame_is_read_where_no_page_is_named(name: str) -> None:
    data = animation(name, frames())
    first = read_picture(io.BytesIO(data))
    assert_looks_the_same(rgba(first), shown(data)[0])
    assert first.notes == ["only the first of 4 pictures in the file is used"]


@pytest.mark.parametrize("name", SUFFIXES)
@pytest.mark.parametrize("page", [0, 5, 2**40])
def test_a_frame_that_is_not_there_is_an_error(name: str, page: int) -> None:
    with pytest.raises(PictureError, match=f"it has 4 pictures, and no page {page}") as caught:
        read_picture(io.BytesIO(animation(name, frames())), page=page)
    assert caught.value.hint == "--page is a number from 1 to 4"


@pytest.mark.parametrize(("name", "loop", "plays"), [
    ("PNG", 0, 0), ("PNG", 3, 3), ("WEBP", 0, 0), ("WEBP", 3, 3), ("GIF", 0, 0),
    ("GIF", 3, 4),  # three repeats after the first time
    ("GIF", None, 1),
])  # fmt: skip
def test_the_number_of_plays_is_kept(name: str, loop: int | None, plays: int) -> None:
    options = {} if loop is None else {"loop": loop}
    found = pages_of(animation(name, frames(), **options))
    assert {page.loops for page in found} == {plays}
    for target in ("PNG", "WEBP"):
        with Image.open(io.BytesIO(written(found, target))) as image:
            assert image.info["loop"] == plays


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_every_depth_and_kind_of_colour_of_an_animated_png_survives(depth: type, channels: int) -> None:
    rng = np.random.default_rng(channels)
    white = np.iinfo(depth).max
    parts = [rng.integers(0, white, (HEIGHT, WIDTH, channels), dtype=depth, endpoint=True) for _ in range(3)]
    found = pages_of(apng([(part, 0, 0, 0, 0) for part in parts]))
    again = pages_of(written(found, "PNG"))
    for one, two, part in zip(found, again, parts, strict=True):
        for picture in (one, two):
            colours = part[..., :-1] if channels in (2, 4) else part
            np.testing.assert_array_equal(picture.pixels, colours)
            if channels in (2, 4):
                np.testing.assert_array_equal(picture.alpha, part[..., -1])
            else:
                assert picture.alpha is None


def test_a_part_is_laid_over_what_is_there_by_its_opacity() -> None:
    below = np.full((HEIGHT, WIDTH, 4), (200, 0, 0, 128), np.uint8)
    over = np.full((4, 6, 4), (0, 100, 0, 64), np.uint8)
    _, second = pages_of(apng([(below, 0, 0, 0, 0), (over, 3, 2, 0, 1)]))
    # Porter and Duff: opacity a + b (1 - a), colours weighted by a and b (1 - a).
    a, b = 64 / 255, 128 / 255 * (1 - 64 / 255)
    assert rgba(second)[2, 3] == pytest.approx([200 * b / (a + b), 100 * a / (a + b), 0, 255 * (a + b)], abs=0.51)
    assert tuple(rgba(second)[1, 3]) == (200, 0, 0, 128)
    _, replaced = pages_of(apng([(below, 0, 0, 0, 0), (over, 3, 2, 0, 0)]))
    assert tuple(rgba(replaced)[2, 3]) == (0, 100, 0, 64)


def test_the_place_of_a_frame_is_kept_cleared_or_undone() -> None:
    base = np.full((HEIGHT, WIDTH, 3), 50, np.uint8)
    part = np.full((4, 6, 3), 250, np.uint8)
    dot = np.full((1, 1, 3), 1, np.uint8)
    for after, expected in ((0, [250, 250, 250, 255]), (1, [0, 0, 0, 0]), (2, [50, 50, 50, 255])):
        last = pages_of(apng([(base, 0, 0, 0, 0), (part, 2, 3, after, 0), (dot, 0, 0, 0, 0)]))[2]
        assert list(rgba(last)[4, 5]) == expected
        assert list(rgba(last)[0, 0]) == [1, 1, 1, 255]


def test_undoing_the_first_frame_clears_it() -> None:
    base = np.full((HEIGHT, WIDTH, 3), 50, np.uint8)
    dot = np.full((1, 1, 3), 1, np.uint8)
    first, second = pages_of(apng([(base, 0, 0, 2, 0), (dot, 0, 0, 0, 0)]))
    assert first.alpha is not None and first.alpha.min() == 255
    assert list(rgba(second)[5, 5]) == [0, 0, 0, 0]


def test_a_still_picture_that_is_no_frame_is_left_out_and_noted() -> None:
    parts = [np.full((HEIGHT, WIDTH, 3), level, np.uint8) for level in (10, 20)]
    data = apng([(part, 0, 0, 0, 0) for part in parts], still=np.full((HEIGHT, WIDTH, 3), 99, np.uint8))
    found = pages_of(data)
    assert [int(page.pixels[0, 0, 0]) for page in found] == [10, 20]
    assert found[0].notes == ["its still picture for viewers without animation is not one of the frames; it is dropped"]
    assert [int(picture[0, 0, 0]) for picture in shown(written(found, "PNG"))] == [10, 20]


def test_a_grey_gif_stays_grey() -> None:
    greys = [np.repeat(frame[..., :1], 3, axis=2) for frame in frames(alpha=False)]
    found = pages_of(animation("GIF", greys))
    assert {page.pixels.shape[2] for page in found} == {1}
    for page, grey in zip(found, greys, strict=True):
        np.testing.assert_array_equal(page.pixels, grey[..., :1])


def gif(*parts: bytes, size: tuple[int, int] = (WIDTH, HEIGHT)) -> bytes:
    """A GIF by hand, with the colours red and blue."""
    head = b"GIF89a" + struct.pack("<HHBBB", *size, 0x80, 0, 0) + bytes((255, 0, 0, 0, 0, 255))
    return head + b"".join(parts) + b";"


def gif_part(size: tuple[int, int], place: tuple[int, int] = (0, 0), *, blue: bool = False) -> bytes:
    """A frame of one colour; a code of 3 bits per pixel, with a clear code after every second one."""
    codes = []
    for number in range(size[0] * size[1]):
        codes += [4] if number % 2 == 0 else []  # clear, so that the codes stay 3 bits long
        codes.append(int(blue))
    codes.append(5)
    bits = sum(code << (3 * number) for number, code in enumerate(codes))
    data = bits.to_bytes((3 * len(codes) + 7) // 8, "little")
    blocks = b"".join(bytes((len(data[k : k + 255]),)) + data[k : k + 255] for k in range(0, len(data), 255))
    return b"," + struct.pack("<HHHHB", *place, *size, 0) + b"\2" + blocks + b"\0"


def test_what_no_frame_of_a_gif_covers_is_transparent() -> None:
    (picture,) = pages_of(gif(gif_part((4, 3), (2, 1))))
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[1:4, 2:6] = 255
    np.testing.assert_array_equal(picture.alpha, expected)
    assert tuple(picture.pixels[1, 2]) == (255, 0, 0)


def test_a_first_frame_larger_than_the_screen_of_its_gif_is_whole() -> None:
    (picture,) = pages_of(gif(gif_part((20, 15), blue=True), size=(0, 0)))
    assert picture.pixels.shape == (15, 20, 3) and picture.alpha is None
    assert (picture.pixels == (0, 0, 255)).all()


def test_comments_xmp_and_profile_of_a_gif_are_kept_and_other_parts_noted() -> None:
    tail = b"\1" + bytes(range(255, -1, -1)) + b"\0"
    profile = profile_of("RGB")
    blocks = b"".join(bytes((len(profile[k : k + 255]),)) + profile[k : k + 255] for k in range(0, len(profile), 255))
    data = gif(
        b"!\xfe\x05hello\0",
        b"!\xff\x0bXMP DataXMP" + XMP + tail,
        b"!\xff\x0bICCRGBG1012" + blocks + b"\0",
        b"!\xff\x0bMYPROGRAM1.\x03abc\0",
        gif_part((WIDTH, HEIGHT)),
    ) + b"more"  # fmt: skip
    (picture,) = pages_of(data)
    assert (picture.comment, picture.xmp, picture.icc_profile) == (b"hello", XMP, profile)
    assert picture.notes == ["parts of the GIF are dropped: the extension MYPROGRAM1., 4 bytes after its end"]


# Writing


@pytest.mark.parametrize("name", SUFFIXES)
@pytest.mark.parametrize("target", ["PNG", "WEBP"])
@pytest.mark.parametrize("alpha", [True, False])
def test_an_animation_becomes_one_that_pillow_shows_the_same(name: str, target: str, alpha: bool) -> None:
    data = animation(name, frames(alpha=alpha), loop=2)
    copy = written(pages_of(data), target)
    for found, expected in zip(shown(copy), shown(data), strict=True):
        assert_looks_the_same(found, expected)
    with Image.open(io.BytesIO(copy)) as image:
        assert image.format == target
        for number, delay in enumerate(DELAYS):
            image.seek(number)
            image.load()
            assert image.info["duration"] == pytest.approx(delay)


def test_the_frames_of_an_animation_become_the_pages_of_a_tiff_and_the_delays_are_noted(tmp_path: Path) -> None:
    found = pages_of(animation("GIF", frames()))
    write_pages(iter(found), tmp_path / "a.tif")
    for page, again in zip(found, read_pages(tmp_path / "a.tif"), strict=True):
        np.testing.assert_array_equal(rgba(page), rgba(again))
    assert found[0].notes == ["TIFF has no place for the delays of an animation; dropped"]


@pytest.mark.parametrize("name", ["PNG", "WEBP"])
def test_profile_exif_and_xmp_of_an_animation_are_kept(name: str) -> None:
    pages = pages_of(animation("PNG", frames()))
    pages[0].icc_profile, pages[0].exif, pages[0].xmp = profile_of("RGB"), exif_block(), XMP
    again = pages_of(written(pages, name))
    assert len(again) == 4
    assert again[0].icc_profile == profile_of("RGB")
    assert again[0].exif is not None and b"maker note" in again[0].exif
    assert again[0].xmp is not None


def test_each_frame_of_a_webp_is_lossless_if_its_source_was() -> None:
    pages = pages_of(animation("PNG", frames()))
    pages[1].source_is_lossless = False
    data = written(pages, "WEBP")
    assert (data.count(b"VP8L"), data.count(b"VP8 ")) == (3, 1)
    assert [page.source_is_lossless for page in pages_of(data)] == [True, False, True, True]


def test_an_odd_delay_is_kept_by_png() -> None:
    parts = [(part, 0, 0, 0, 0) for part in frames()]
    found = pages_of(apng(parts, delay=(1001, 30_000)))
    assert found[0].duration == pytest.approx(1001 / 30)
    data = written(found, "PNG")
    assert data[data.index(b"fcTL") + 24 :][:4] == struct.pack(">HH", 1001, 30_000)


def test_frames_of_several_sizes_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    for suffix in (".png", ".webp"):
        pages = pages_of(animation("PNG", frames()))
        pages[2].pixels = pages[2].pixels[:5]
        pages[2].alpha = None
        with pytest.raises(PictureError, match="one size"):
            write_pages(iter(pages), tmp_path / f"a{suffix}")
    assert not list(tmp_path.iterdir())


# Hostile files


def refused(data: bytes, match: str) -> None:
    with pytest.raises(PictureError, match=match) as caught:
        list(read_pages(io.BytesIO(data)))
    assert caught.value.hint


@pytest.mark.filterwarnings("ignore:Invalid APNG")
def test_the_frames_that_are_there_count_not_the_number_that_is_stated() -> None:
    parts = [(part, 0, 0, 0, 0) for part in frames()]
    for stated in (1, 2**31, 2**32 - 1):
        assert len(pages_of(apng(parts, stated=stated))) == 4
    assert len(pages_of(apng(parts[:1], stated=2**31))) == 1


def test_frames_outside_of_the_picture_are_refused() -> None:
    whole = frames()[0]
    refused(apng([(whole, 0, 0, 0, 0), (whole, 1, 0, 0, 0)]), "frame 2 lies outside the picture")
    refused(gif(gif_part((WIDTH, HEIGHT)), gif_part((4, 4), (WIDTH - 2, 0))), "frame 2 lies outside the picture")


def test_frames_out_of_order_are_refused() -> None:
    data = apng([(part, 0, 0, 0, 0) for part in frames()])
    at = data.rindex(b"fcTL") + 4
    refused(with_checksums(data[:at] + struct.pack(">I", 9) + data[at + 4 :]), "not in order")


def test_a_huge_canvas_in_a_small_file_is_refused_before_it_takes_memory() -> None:
    webp = bytearray(animation("WEBP", frames()))
    webp[24:30] = (16_382).to_bytes(3, "little") * 2  # the sides in VP8X, less 1
    part = np.zeros((1, 1, 3), np.uint8)
    tracemalloc.start()
    for data in (
        bytes(webp),
        apng([(part, 0, 0, 0, 0)] * 2, size=(20_000, 20_000)),
        gif(gif_part((4, 4)), size=(65_535, 65_535)),
    ):
        refused(data, "cannot hold a photo|more than the limit")
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


def test_very_many_tiny_frames_are_read_one_by_one() -> None:
    dot = np.zeros((1, 1, 3), np.uint8)
    data = apng([(dot, 0, 0, 0, 0)] * 5_000, size=(1, 1))
    begun = time.perf_counter()
    pages = read_pages(io.BytesIO(data))
    assert next(pages).pages == 5_000
    pages.close()  # type: ignore[attr-defined]
    assert time.perf_counter() - begun < 5


def test_an_animation_with_a_damaged_frame_is_refused_at_that_frame() -> None:
    data = gif(gif_part((WIDTH, HEIGHT)), gif_part((WIDTH, HEIGHT)))
    cut = data[: len(data) - 20]
    refused(cut, "damaged or incomplete")
    good = frames()
    packed = png_frame(good[1])
    whole = apng([(good[0], 0, 0, 0, 0), (good[1], 0, 0, 0, 0)])
    bad = packed[:20] + bytes(len(packed) - 20)
    pages = read_pages(io.BytesIO(with_checksums(whole.replace(packed, bad))))
    assert next(pages).page == 1
    with pytest.raises(PictureError, match="damaged"):
        next(pages)


def with_checksums(data: bytes) -> bytes:
    """A PNG whose chunks have the right checksums."""
    at, parts = 8, [data[:8]]
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        parts.append(chunk(data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return b"".join(parts)

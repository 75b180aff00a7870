"""TIFF: pages, further channels, CIELAB, floats that are no numbers. tifffile makes files and reads copies."""

from __future__ import annotations

import io
import struct
import tracemalloc
from typing import Any

import numpy as np
import pytest
import tifffile
from made_files import noise

from restore.errors import PictureError
from restore.images import Picture, read_picture, write_picture
from restore.images.reading import read_pages
from restore.images.tiff import writing as tiff_writing


def tiff(*pages: tuple[np.ndarray, dict[str, Any]], **options: Any) -> bytes:
    """A TIFF of pages with tifffile's options."""
    file = io.BytesIO()
    with tifffile.TiffWriter(file, **options) as writer:
        for values, kinds in pages:
            writer.write(values, metadata=None, **({"photometric": "rgb"} | kinds))
    return file.getvalue()


def copy(picture: Picture) -> tifffile.TiffFile:
    file = io.BytesIO()
    write_picture(picture, file, format="TIFF")
    return tifffile.TiffFile(io.BytesIO(file.getvalue()))


def read(data: bytes, page: int | None = None) -> Picture:
    return read_picture(io.BytesIO(data), page=page)


GREY = {"photometric": "minisblack"}
MIXED: list[tuple[np.ndarray, dict[str, Any]]] = [
    (noise(40, 50, 3), {}),
    (noise(30, 20, 3, dtype=np.uint16), {"tile": (16, 16), "compression": "lzw"}),
    (noise(16, 16), GREY | {"compression": "deflate", "predictor": True}),
]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_every_page_is_read_whatever_its_size_depth_and_compression(order: str, big: bool) -> None:
    data = tiff(*MIXED, byteorder=order, bigtiff=big)
    for number, (values, _) in enumerate(MIXED, 1):
        picture = read(data, number)
        assert (picture.page, picture.pages) == (number, 3)
        np.testing.assert_array_equal(picture.pixels.squeeze(), values.squeeze())
    with pytest.raises(PictureError, match="no page 4"):
        read(data, 4)


def test_thumbnails_pyramids_masks_and_inner_directories_are_no_pages() -> None:
    main, small = noise(40, 50, 3), noise(10, 12, 3)
    data = tiff(
        (small, {"subfiletype": 1}),
        (main, {"subifds": 1}),
        (small, {"subfiletype": 1}),
        (noise(40, 50) > 127, {"photometric": "mask", "subfiletype": 4}),
        (noise(16, 16, 3, seed=5), {}),
    )
    picture = read(data, 1)
    np.testing.assert_array_equal(picture.pixels, main)
    assert picture.pages == 2
    notes = " ".join(picture.notes)
    assert "reduced copies and transparency masks in the file are dropped" in notes
    assert "pictures inside this one" in notes
    np.testing.assert_array_equal(read(data, 2).pixels, noise(16, 16, 3, seed=5))


def test_grey_page_that_a_scanner_marks_as_a_mask_is_a_page() -> None:
    infrared = noise(40, 50, dtype=np.uint16)
    named = GREY | {"subfiletype": 1, "extratags": [(285, 2, 9, "infrared", True)]}
    data = tiff((noise(40, 50, 3, dtype=np.uint16), {}), (infrared, named))
    data = data.replace(struct.pack("<HHII", 254, 4, 1, 1), struct.pack("<HHII", 254, 4, 1, 4))
    picture = read(data, 2)
    np.testing.assert_array_equal(picture.pixels[..., 0], infrared.squeeze())
    with copy(picture) as written:
        assert written.pages[0].tags.valueof(285) == "infrared"  # type: ignore[union-attr]


def directory(following: int, *tags: tuple[int, int, int, int]) -> bytes:
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return struct.pack("<H", len(tags)) + entries + struct.pack("<I", following)


def test_chain_that_runs_in_a_loop_ends_where_it_began() -> None:
    data = bytearray(tiff(*MIXED[:2]))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as opened:
        first, last = opened.pages[0], opened.pages[1]
    link = last.offset + 2 + 12 * len(last.tags)  # type: ignore[union-attr]
    struct.pack_into("<I", data, link, first.offset)
    assert read(bytes(data), 1).pages == 2
    struct.pack_into("<I", data, link, link)  # into the directory itself
    picture = read(bytes(data), 2)
    assert picture.pages == 2
    assert "the list of its pages breaks off; pages may be missing" in picture.notes


@pytest.mark.parametrize("count", [70_000, 200_000])
def test_endless_chains_are_refused(count: int) -> None:
    chain = b"".join(directory(8 + 18 * (k + 1), (256, 4, 1, 1)) for k in range(count))
    with pytest.raises(PictureError, match="more than 65,535 directories, or they overlap"):
        read(b"II*\0\x08\0\0\0" + chain)


def test_overlapping_directories_are_refused() -> None:
    """Directories of 1,000 tags, each 12 bytes after the one before."""
    data = bytearray(b"II*\0\x08\0\0\0" + bytes(40_000))
    for k in range(1000):
        place = 8 + 12 * k
        struct.pack_into("<H", data, place, 1000)
        struct.pack_into("<I", data, place + 2 + 12_000, place + 12)
    with pytest.raises(PictureError, match="overlap"):
        read(bytes(data))


@pytest.mark.parametrize("is_big", [False, True])
def test_pages_are_written_as_a_chain(is_big: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if is_big:
        monkeypatch.setattr(tiff_writing, "_LARGEST", 1000)
    pages = list(read_pages(io.BytesIO(tiff(*MIXED))))
    file = io.BytesIO()
    tiff_writing.write_pages(file, iter(pages))
    with tifffile.TiffFile(io.BytesIO(file.getvalue())) as written:
        assert written.is_bigtiff == is_big
        assert len(written.pages) == 3
        for number, (page, (values, _)) in enumerate(zip(written.pages, MIXED, strict=True)):
            assert page.tags.valueof(254) == 2  # type: ignore[union-attr]
            assert page.tags.valueof(297) == (number, 3)  # type: ignore[union-attr]
            np.testing.assert_array_equal(page.asarray().squeeze(), values.squeeze())


def test_only_one_page_is_in_memory_while_pages_are_written() -> None:
    def pages() -> Any:
        for seed in range(12):
            yield Picture(noise(500, 500, 3, seed=seed), pages=12)

    tracemalloc.start()
    tiff_writing.write_pages(io.BytesIO(), pages())
    grown = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    page = 500 * 500 * 3
    assert grown < 12 * page + 6 * page  # the file itself, and a page with its copies


@pytest.mark.parametrize("kinds", [[0], [2, 0], [0, 0, 0], [0, 2]])
@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("planar", [False, True])
def test_further_channels_keep_their_bits_and_meanings(kinds: list[int], colours: int, planar: bool) -> None:
    values = noise(20, 30, colours + len(kinds), dtype=np.uint16)
    stored = np.moveaxis(values, -1, 0) if planar else values
    kind = {"photometric": "rgb" if colours == 3 else "minisblack", "extrasamples": kinds}
    picture = read(tiff((stored, kind | {"planarconfig": "separate" if planar else "contig"})))
    np.testing.assert_array_equal(picture.pixels, values[..., :colours])
    order = sorted(range(len(kinds)), key=lambda k: kinds[k] != 2)  # transparency comes first
    with copy(picture) as written:
        page: Any = written.pages[0]
        np.testing.assert_array_equal(page.asarray(), values[..., [*range(colours), *(colours + k for k in order)]])
        assert [int(k) for k in page.extrasamples] == [kinds[k] for k in order]


def without_meanings(values: np.ndarray, **kinds: Any) -> bytes:
    """A TIFF whose last samples have no meaning: its tag ExtraSamples has another number."""
    data = tiff((values, {"extrasamples": [0]} | kinds))
    assert data.count(struct.pack("<HHI", 338, 3, 1)) == 1
    return data.replace(struct.pack("<HHI", 338, 3, 1), struct.pack("<HHI", 337, 3, 1))


@pytest.mark.parametrize(
    ("dtype", "software", "is_alpha"),
    [(np.uint16, None, False), (np.uint8, None, True), (np.uint16, "Adobe Photoshop 25.1", True)],
)
def test_a_fourth_deep_channel_without_a_meaning_is_no_transparency(dtype: Any, software: Any, is_alpha: bool) -> None:
    values = noise(20, 30, 4, dtype=dtype)
    picture = read(without_meanings(values, software=software or "Scan"))
    assert (picture.alpha is not None) == is_alpha
    with copy(picture) as written:
        page: Any = written.pages[0]
        np.testing.assert_array_equal(page.asarray(), values)
        assert [int(k) for k in page.extrasamples] == [2 if is_alpha else 0]


def test_infrared_that_is_marked_as_premultiplied_transparency_stays_and_colours_with_it() -> None:
    values = noise(20, 30, 4, dtype=np.uint16)
    picture = read(tiff((values, {"extrasamples": ["assocalpha"]})))
    assert picture.alpha is None
    assert any("premultiplied transparency, which it is not" in note for note in picture.notes)
    with copy(picture) as written:
        page: Any = written.pages[0]
        np.testing.assert_array_equal(page.asarray(), values)
        assert [int(k) for k in page.extrasamples] == [1]


def test_further_channels_turn_with_the_picture() -> None:
    values = noise(20, 30, 4, dtype=np.uint16)
    kinds = {"extrasamples": [0], "extratags": [(274, 3, 1, 6, True)]}
    picture = read(tiff((values, kinds)))
    assert picture.extra is not None
    np.testing.assert_array_equal(picture.extra[..., 0], np.rot90(values[..., 3], -1))


def test_other_formats_note_that_they_drop_further_channels() -> None:
    picture = read(tiff((noise(20, 30, 4, dtype=np.uint16), {"extrasamples": [0]})))
    write_picture(picture, io.BytesIO(), format="PNG")
    assert any("no place for further channels" in note for note in picture.notes)


def srgb_of(lab: np.ndarray) -> np.ndarray:
    """CIELAB (D50) to sRGB in [0, 1]: CIE 15, Bradford's adaptation to D65, IEC 61966-2-1."""
    light = (lab[..., 0] + 16) / 116
    roots = np.stack([light + lab[..., 1] / 500, light, light - lab[..., 2] / 200], axis=-1)
    xyz = np.where(roots > 6 / 29, roots**3, 108 / 841 * (roots - 4 / 29)) * (0.9642, 1, 0.8249)
    matrix = [
        [3.1338561, -1.6168667, -0.4906146],
        [-0.9787684, 1.9161415, 0.0334540],
        [0.0719453, -0.2289914, 1.4052427],
    ]
    linear = np.clip(xyz @ np.array(matrix).T, 0, 1)
    srgb: np.ndarray = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return srgb


def lab_picture() -> np.ndarray:
    light, a, b = np.meshgrid(np.linspace(5, 95, 7), np.linspace(-40, 40, 6), np.linspace(-40, 40, 5))
    return np.stack([light, a, b], axis=-1).reshape(14, 15, 3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("photometric", [8, 9, 10])
def test_cielab_becomes_srgb(photometric: int, dtype: Any) -> None:
    white = np.iinfo(dtype).max
    deep = 1 if dtype == np.uint8 else 256
    lab = lab_picture()
    if photometric == 10:  # ITU-T T.42: a* of -85 to 85, b* of -75 to 125
        coded = (lab + (0, 85 * 256 / 255, 75 * 256 / 255)) * (white / 100, white / 170, white / 200)  # noqa: RUF005
    elif photometric == 9:
        coded = (lab + np.array((0, 128, 128))) * (2.55 * deep, deep, deep)
    else:
        coded = lab * (white / 100, deep, deep)
    values = np.rint(coded).astype(np.int64).astype(dtype)  # signed numbers in two's complement
    data = tiff((values, {})).replace(
        struct.pack("<HHIHH", 262, 3, 1, 2, 0), struct.pack("<HHIHH", 262, 3, 1, photometric, 0)
    )
    picture = read(data)
    assert picture.pixels.dtype == dtype
    assert picture.icc_profile
    assert picture.notes == ["CIELAB became sRGB; colours that sRGB does not have are clipped"]
    tolerance = 0.02 if dtype == np.uint8 else 0.002  # 8 bits hold a* and b* in whole numbers
    assert np.abs(picture.pixels / white - srgb_of(lab)).max() < tolerance


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_single_pixels_that_are_no_numbers_are_filled_from_their_neighbours(bad: float) -> None:
    slope = np.add.outer(np.arange(40), np.arange(50)).astype(np.float32)
    values = slope.copy()
    values[7, 9], values[0, 0] = bad, bad
    values[20:23, 30:33] = bad
    picture = read(tiff((values, GREY)))
    found = picture.pixels[..., 0]
    assert found[7, 9] == slope[7, 9]  # the mean of all eight
    assert found[0, 0] == pytest.approx((1 + 1 + 2) / 3)
    assert np.abs(found[20:23, 30:33] - slope[20:23, 30:33]).max() < 3
    keep = np.isfinite(values)
    np.testing.assert_array_equal(found[keep], slope[keep])
    assert picture.notes == ["11 pixels that held NaN or infinity: filled from the neighbours"]


def test_a_picture_of_which_much_is_no_number_is_refused() -> None:
    values = np.ones((40, 50), np.float32)
    values[:1] = np.nan  # 2.5 %
    with pytest.raises(PictureError, match=r"hold NaN or infinity \(50 of them\)"):
        read(tiff((values, GREY)))

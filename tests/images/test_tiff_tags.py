"""TIFF: every tag is kept, made void or noted. tifffile and, where it is installed, exiftool read the copies."""

from __future__ import annotations

import io
import json
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from made_files import noise

from restore.images import Picture, read_picture, write_picture

IPTC = b"\x1c\x02\x78\x00\x05hello"
ROTATED = (274, 3, 1, 6, True)
TAGS: list[tuple[int, int, int, Any]] = [
    (269, 2, 9, "Document"),
    (285, 2, 5, "Page"),
    (286, 5, 1, (3, 2)),
    (315, 2, 7, "Artist"),
    (316, 2, 5, "Host"),
    (318, 5, 2, (3127, 10000, 329, 1000)),
    (319, 5, 6, (64, 100, 33, 100, 3, 10, 6, 10, 15, 100, 6, 100)),
    (33432, 2, 4, "Copy"),
    (33723, 7, len(IPTC), IPTC),
    (42112, 2, 16, "<GDALMetadata/>"),
    (65001, 3, 3, (1, 2, 3)),
    (65002, 12, 2, (0.5, -2.0)),
    (65003, 2, 4, "abc"),
    (65004, 1, 3, b"\0\1\2"),
]


def tiff(*tags: tuple[int, int, int, Any], values: np.ndarray | None = None, order: Any = "<", **options: Any) -> bytes:
    file = io.BytesIO()
    given: dict[str, Any] = {"photometric": "rgb", "metadata": None, "software": False} | options
    extra = [(*tag[:4], True) for tag in tags]
    with tifffile.TiffWriter(file, byteorder=order) as writer:
        writer.write(noise(20, 30, 3) if values is None else values, extratags=extra, **given)
    return file.getvalue()


def read(data: bytes) -> Picture:
    return read_picture(io.BytesIO(data))


def enlarged(picture: Picture, down: int, across: int) -> Picture:
    picture.pixels = picture.pixels.repeat(down, axis=0).repeat(across, axis=1)
    return picture


def tags_of(picture: Picture) -> dict[int, Any]:
    file = io.BytesIO()
    write_picture(picture, file, format="TIFF")
    with tifffile.TiffFile(io.BytesIO(file.getvalue())) as opened:
        return {tag.code: tag.value for tag in opened.pages[0].tags}  # type: ignore[union-attr]


@pytest.mark.parametrize("order", ["<", ">"])
def test_tags_that_describe_the_picture_keep_their_values(order: str) -> None:
    picture = read(tiff(*TAGS, order=order))
    assert picture.notes == []
    assert picture.iptc == IPTC
    found = tags_of(picture)
    for tag, kind, _, value in TAGS:
        if kind == 5:
            pairs = np.array(found[tag]).reshape(-1, 2)
            expected = np.array(value).reshape(-1, 2)
            np.testing.assert_allclose(pairs[:, 0] / pairs[:, 1], expected[:, 0] / expected[:, 1])
        else:
            assert found[tag] == value, tag


@pytest.mark.skipif(not shutil.which("exiftool"), reason="exiftool is not installed")
def test_exiftool_reads_the_same_from_the_copy(tmp_path: Path) -> None:
    data = tiff(*TAGS)
    (tmp_path / "a.tif").write_bytes(data)
    write_picture(read(data), tmp_path / "b.tif")
    command = ["exiftool", "-j", "-G1", "-IFD0:all", "-IPTC:all", "-GeoTiff:all"]
    listed = subprocess.run([*command, "a.tif", "b.tif"], cwd=tmp_path, capture_output=True, text=True, check=True)
    before, after = json.loads(listed.stdout)
    layout = {"SourceFile", *(f"IFD0:{name}" for name in ("Compression", "StripOffsets", "RowsPerStrip"))}
    layout |= {f"IFD0:{name}" for name in ("StripByteCounts", "XResolution", "YResolution")}
    assert {key: value for key, value in before.items() if key not in layout and after.get(key) != value} == {}


def test_tags_that_may_point_into_the_file_are_dropped_and_counted() -> None:
    picture = read(tiff((65010, 4, 1, 1234), (65011, 4, 2, (8, 16)), (34412, 1, 4, b"lsm!")))
    assert picture.notes == ["3 private tags are dropped (34412, 65010, 65011)"]
    assert not {65010, 65011, 34412} & tags_of(picture).keys()


def geo(raster: int) -> bytes:
    keys = (1, 1, 0, 1, 1025, 0, 1, raster)
    tiepoint = (10.0, 5.0, 0.0, 1000.0, 2000.0, 0.0)
    return tiff((33550, 12, 3, (2.0, 3.0, 0.0)), (33922, 12, 6, tiepoint), (34735, 3, 8, keys))


def on_the_map(tags: dict[int, Any], x: float, y: float) -> tuple[float, float]:
    """The place of a corner (0, 0 is the upper left one of the picture), as GeoTIFF 1.1 defines it."""
    shift = 0.5 if tags[34735][7] == 2 else 0.0
    i, j, _, east, north, _ = tags[33922]
    return east + (x - shift - i) * tags[33550][0], north - (y - shift - j) * tags[33550][1]


@pytest.mark.parametrize("raster", [1, 2])
def test_an_enlarged_map_covers_the_same_ground(raster: int) -> None:
    data = geo(raster)
    with tifffile.TiffFile(io.BytesIO(data)) as opened:
        before = {tag.code: tag.value for tag in opened.pages[0].tags}  # type: ignore[union-attr]
    same, larger = tags_of(read(data)), tags_of(enlarged(read(data), 3, 2))
    for tag in (33550, 33922, 34735):
        assert same[tag] == before[tag]
    for x, y in ((0, 0), (30, 0), (7, 20)):
        np.testing.assert_allclose(on_the_map(larger, 2 * x, 3 * y), on_the_map(before, x, y))


def test_a_turned_map_loses_its_place_and_says_so() -> None:
    picture = read(tiff((33550, 12, 3, (2.0, 3.0, 0.0)), ROTATED[:4]))
    assert picture.notes == ["not kept from the TIFF: places in the picture, which was turned"]
    assert 33550 not in tags_of(picture)


@pytest.mark.parametrize("orientation", [1, 6])
def test_pixels_that_are_not_square_stay_so(orientation: int) -> None:
    data = tiff((274, 3, 1, orientation), resolution=(3, 2), resolutionunit="none")
    picture = read(data)
    assert picture.dpi is None
    found = tags_of(picture)
    assert (found[282], found[283], int(found[296])) == (
        ((3, 1), (2, 1), 1) if orientation == 1 else ((2, 1), (3, 1), 1)
    )


def test_equal_resolution_without_a_unit_says_nothing() -> None:
    found = tags_of(read(tiff(resolution=(72, 72), resolutionunit="none")))
    assert 282 not in found
    assert int(found[296]) == 1


@pytest.mark.parametrize("description", ["ImageJ=1.54f\nimages=1\n", '<?xml version="1.0"?><OME><Image/></OME>'])
def test_a_description_of_the_layout_goes_when_the_layout_changes(description: str) -> None:
    data = tiff((270, 2, len(description) + 1, description))
    assert tags_of(read(data))[270].strip() == description.strip()
    picture = enlarged(read(data), 2, 2)
    assert 270 not in tags_of(picture)
    assert picture.notes == ["the description states the layout of the source (ImageJ, OME); it is dropped"]


def test_a_description_in_words_stays_when_the_picture_is_enlarged() -> None:
    assert tags_of(enlarged(read(tiff((270, 2, 9, "A church"))), 2, 2))[270] == "A church"


def resource(number: int, data: bytes) -> bytes:
    return b"8BIM" + struct.pack(">HHI", number, 0, len(data)) + data + b"\0" * (len(data) % 2)


def test_resources_of_photoshop_stay_but_for_their_thumbnails() -> None:
    resolution, thumbnail = resource(0x03ED, bytes(16)), resource(0x040C, b"old picture")
    blocks = resolution + thumbnail + resource(0x0404, IPTC)
    picture = read(tiff((34377, 7, len(blocks), blocks)))
    assert picture.iptc == IPTC
    assert tags_of(picture)[34377] == resolution + resource(0x0404, IPTC)


def test_resources_of_photoshop_stay_between_tiff_and_jpeg_and_others_note_them() -> None:
    path = resource(0x07D0, bytes(26))
    picture = read(tiff((34377, 7, len(path), path)))
    as_jpeg, as_tiff = io.BytesIO(), io.BytesIO()
    write_picture(picture, as_jpeg, format="JPEG")
    write_picture(read(as_jpeg.getvalue()), as_tiff, format="TIFF")
    with tifffile.TiffFile(io.BytesIO(as_tiff.getvalue())) as file:
        assert bytes(file.pages.first.tags.valueof(34377)) == path
    assert not picture.notes
    write_picture(picture, io.BytesIO(), format="PNG")
    assert picture.notes == ["PNG has no place for Photoshop resources; dropped"]


@pytest.mark.parametrize("text", ["ImageJ=1.53t\nimages=3\nslices=3\n", '{"shape": [3, 20, 30], "truncated": true}'])
def test_a_stack_that_is_stored_as_one_page_is_noted_and_loses_its_description(text: str) -> None:
    file = io.BytesIO()
    tifffile.imwrite(file, noise(20, 30), description=text, metadata=None)
    alone = read(file.getvalue())
    assert not alone.notes  # the file has no further pictures
    picture = read(file.getvalue() + bytes(2 * 20 * 30))
    assert picture.notes == ["only the first of 3 pictures that are stored as one page is read"]
    written = io.BytesIO()
    write_picture(picture, written, format="TIFF")
    with tifffile.TiffFile(io.BytesIO(written.getvalue())) as copy:
        assert 270 not in copy.pages.first.tags


def test_paths_of_photoshop_go_where_the_picture_turns() -> None:
    path, title = resource(0x07D0, bytes(26)), resource(0x0BB7, b"Path 1")
    picture = read(tiff((34377, 7, len(path + title), path + title), ROTATED[:4]))
    assert tags_of(picture)[34377] == title
    assert picture.notes == ["paths, guides and slices of Photoshop do not fit the turned picture; they are dropped"]


def test_the_picture_inside_a_thumbnail_is_the_page_and_the_metadata_are_those_of_the_file() -> None:
    file, values = io.BytesIO(), noise(40, 60, 3, dtype=np.uint16)
    with tifffile.TiffWriter(file) as writer:
        maker: list[Any] = [(271, 2, 6, "Maker", True), ROTATED]
        writer.write(noise(10, 15, 3), subfiletype=1, subifds=1, metadata=None, extratags=maker, photometric="rgb")
        writer.write(values, photometric="rgb", metadata=None)
    picture = read(file.getvalue())
    np.testing.assert_array_equal(picture.pixels, np.rot90(values, -1))
    assert picture.exif is not None
    assert b"Maker" in picture.exif
    assert picture.pages == 1
    assert picture.notes == ["reduced copies in the file are dropped"]


@pytest.mark.parametrize(("number", "is_kept"), [((2, 9), True), ((0, 1), False)])
def test_the_number_of_a_page_stays_where_it_is_alone_in_its_file(number: tuple[int, int], is_kept: bool) -> None:
    assert (297 in tags_of(read(tiff((297, 3, 2, number))))) == is_kept


def test_iptc_stored_as_numbers_of_another_byte_order_is_read() -> None:
    padded = IPTC.ljust(12, b"\0")
    data = tiff((33723, 4, 3, struct.unpack(">3I", padded)))
    assert read(data).iptc == padded


def test_layers_of_photoshop_and_curves_of_another_depth_are_noted() -> None:
    picture = read(tiff((37724, 7, 8, b"layers!!")))
    assert picture.notes == ["not kept from the TIFF: Photoshop's layers"]
    values = noise(20, 30, dtype=np.uint16) >> 4
    curve = (301, 3, 16, tuple(range(16)))
    kinds: dict[str, Any] = {"values": values, "photometric": "minisblack"}
    assert 301 in tags_of(read(tiff(curve, **kinds)))
    deep = read(tiff(curve, **kinds, bitspersample=12))
    assert deep.notes == ["not kept from the TIFF: tone curves of another depth"]
    assert 301 not in tags_of(deep)


def test_other_formats_note_which_tags_they_drop() -> None:
    picture = read(geo(1))
    write_picture(picture, io.BytesIO(), format="PNG")
    assert picture.notes == ["PNG has no place for the place on the map (GeoTIFF); dropped"]

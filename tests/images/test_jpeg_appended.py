"""What follows the first picture in a JPEG: gain maps, motion photos, further pictures."""

from __future__ import annotations

import io
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from made_files import exif_block, noise, smooth
from made_jpegs import (
    copied,
    directory,
    packet,
    plain,
    segment,
    segments_of,
    with_index,
    with_segments,
    xmp_segment,
)
from PIL import Image

from restore.errors import PictureError
from restore.images import Picture, read_picture, write_picture

HDRGM = "xmlns:hdrgm='http://ns.adobe.com/hdr-gain-map/1.0/' hdrgm:Version='1.0'"
CAMERA = "xmlns:GCamera='http://ns.google.com/photos/1.0/camera/'"
ISO = segment(0xE2, b"urn:iso:std:iso:ts:21496:-1\0\0\0\0\0")
MAP = with_segments(xmp_segment(packet(HDRGM)), data=plain(smooth(1)[::2, ::2]))
VIDEO = b"\0\0\0\x18ftypmp42\0\0\0\0isommp42" + noise(3_000).tobytes() + b"\xff\xd8\xff\xd9"
SAMSUNG = b"\0\0\x30\x0a\x10\0\0\0MotionPhoto_Data" + VIDEO + b"SEFH" + bytes(20) + b"\x18\0\0\0SEFT"


def ultra_hdr(*, has_index: bool, length: int = len(MAP), appended: bytes = b"") -> bytes:
    first = with_segments(xmp_segment(directory(("GainMap", length), more=HDRGM)), ISO)
    return (with_index(first, (0, MAP)) if has_index else first + MAP) + appended


def indexed(data: bytes) -> list[tuple[int, int, int]]:
    """Attributes, start and size of each picture, by the index (CIPA DC-007)."""
    base = data.index(b"MPF\0") + 4
    order = ">" if data[base : base + 2] == b"MM" else "<"
    place = base + struct.unpack_from(order + "I", data, base + 4)[0]
    (count,) = struct.unpack_from(order + "H", data, place)
    for k in range(count):
        tag, _, size, where = struct.unpack_from(order + "HHII", data, place + 2 + 12 * k)
        if tag == 0xB002:
            rows = [struct.unpack_from(order + "IIIHH", data, base + where + 16 * n) for n in range(size // 16)]
            return [(row[0], base + row[2] if row[2] else 0, row[1]) for row in rows]
    raise AssertionError("no entries")


def stated_lengths(data: bytes) -> list[int]:
    return [int(part.split(b"'")[0]) for part in data.split(b"Item:Length='")[1:]]


@pytest.mark.parametrize("order", [">", "<"])
def test_a_gain_map_with_an_index_is_carried_byte_for_byte(tmp_path: Path, order: str) -> None:
    first = with_segments(xmp_segment(directory(("GainMap", 7), more=HDRGM)), ISO)
    picture, data = copied(with_index(first, (0, MAP), order=order), tmp_path)
    (_, zero, size), (attributes, start, length) = indexed(data)
    assert (zero, attributes, start) == (0, 0, size)
    assert data[start : start + length] == MAP == data[start:]
    assert data[size - 2 : size] == b"\xff\xd9"
    assert stated_lengths(data) == [0, len(MAP)]  # the source says 7
    assert ISO in data[:size]
    assert b"hdrgm" in data[:size]
    assert not picture.notes
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "MPO"
        image.seek(1)
        assert image.size == (48, 32)


@pytest.mark.parametrize("padding", [0, 100])
def test_a_gain_map_without_an_index_is_carried_where_its_length_says(tmp_path: Path, padding: int) -> None:
    source = ultra_hdr(has_index=False)
    source = source[: -len(MAP)] + bytes(padding) + MAP
    picture, data = copied(source, tmp_path)
    assert data.endswith(b"\xff\xd9" + bytes(padding) + MAP)
    assert stated_lengths(data) == [0, len(MAP)]
    assert b"MPF\0" not in data
    assert not picture.notes


@pytest.mark.parametrize("has_index", [True, False])
@pytest.mark.parametrize("change", ["size", "format"])
def test_a_gain_map_that_does_not_fit_goes_with_all_that_announces_it(
    tmp_path: Path, has_index: bool, change: str
) -> None:
    (tmp_path / "a.jpg").write_bytes(ultra_hdr(has_index=has_index))
    picture = read_picture(tmp_path / "a.jpg")
    if change == "size":
        picture.pixels = picture.pixels.repeat(2, axis=0).repeat(2, axis=1)
    write_picture(picture, path := tmp_path / ("b.jpg" if change == "size" else "b.png"))
    data = path.read_bytes()
    assert [note for note in picture.notes if "gain map" in note]
    for mark in (b"hdrgm", b"GainMap", b"21496", b"MPF\0", b"Container"):
        assert mark not in data
    assert change == "format" or data.rindex(b"\xff\xd8") == 0


@pytest.mark.parametrize("orientation", [3, 6])
def test_a_gain_map_turns_with_its_picture(tmp_path: Path, orientation: int) -> None:
    turned = segment(0xE1, b"Exif\0\0" + exif_block(orientation))
    first = with_segments(turned, xmp_segment(directory(("GainMap", 7), more=HDRGM)), ISO)
    picture, data = copied(with_index(first, (0, MAP)), tmp_path)
    (_, _, size), (_, start, length) = indexed(data)
    assert (start, length, stated_lengths(data)) == (size, len(data) - size, [0, length])
    with Image.open(io.BytesIO(data[start:])) as found, Image.open(io.BytesIO(MAP)) as before:
        expected = np.rot90(np.asarray(before), 2 if orientation == 3 else -1)
        assert np.abs(np.asarray(found).astype(int) - expected).max() <= 3
        assert found.info["xmp"] == packet(HDRGM)
        tables = np.array(before.quantization[0]).reshape(8, 8)  # type: ignore[attr-defined]
        kept = np.array(found.quantization[0]).reshape(8, 8)  # type: ignore[attr-defined]
        np.testing.assert_array_equal(kept, tables if orientation == 3 else tables.T)
    assert not picture.notes


def test_xmp_that_announces_a_map_that_is_gone_is_mended(tmp_path: Path) -> None:
    source = with_segments(xmp_segment(directory(("GainMap", 999), more=HDRGM)), ISO)
    _, data = copied(source, tmp_path)
    assert b"hdrgm" not in data
    assert b"21496" not in data


@pytest.mark.parametrize("video", [VIDEO, SAMSUNG])
@pytest.mark.parametrize("kind", ["container", "micro"])
def test_the_video_of_a_motion_photo_stays_at_its_place_from_the_end(tmp_path: Path, video: bytes, kind: str) -> None:
    stated = f"{CAMERA} GCamera:MotionPhoto='1'"
    head = directory(("MotionPhoto", len(video)), more=stated)
    if kind == "micro":
        head = packet(f"{CAMERA} GCamera:MicroVideo='1' GCamera:MicroVideoOffset='{len(video)}'")
    picture, data = copied(with_segments(xmp_segment(head)) + video, tmp_path)
    assert data.endswith(b"\xff\xd9" + video)
    assert head in data
    assert not picture.notes
    picture, data = copied(with_segments(xmp_segment(head)) + video, tmp_path, "b.png")
    assert "the video of the motion photo has a place only in JPEG; it is dropped" in picture.notes
    assert b"MotionPhoto" not in data
    assert b"MicroVideo" not in data


def test_a_video_stays_where_the_gain_map_before_it_goes(tmp_path: Path) -> None:
    head = directory(
        ("GainMap", len(MAP)), ("MotionPhoto", len(VIDEO)), more=f"{HDRGM} {CAMERA} GCamera:MotionPhoto='1'"
    )
    (tmp_path / "a.jpg").write_bytes(with_segments(xmp_segment(head)) + MAP + VIDEO)
    picture = read_picture(tmp_path / "a.jpg")
    write_picture(picture, tmp_path / "b.jpg")
    assert (tmp_path / "b.jpg").read_bytes().endswith(b"\xff\xd9" + MAP + VIDEO)
    picture.pixels = picture.pixels.repeat(2, axis=0)
    write_picture(picture, tmp_path / "c.jpg")
    data = (tmp_path / "c.jpg").read_bytes()
    assert data.endswith(b"\xff\xd9" + VIDEO)
    assert stated_lengths(data) == [0, len(VIDEO)]
    assert b"GainMap" not in data
    assert b"MotionPhoto='1'" in data


def test_a_depth_map_goes_with_its_item_and_the_video_behind_it_stays(tmp_path: Path) -> None:
    depth = plain(smooth(1)[::2, ::2])
    head = directory(("Depth", len(depth)), ("MotionPhoto", len(VIDEO)), more=f"{CAMERA} GCamera:MotionPhoto='1'")
    (tmp_path / "a.jpg").write_bytes(with_segments(xmp_segment(head)) + depth + VIDEO)
    picture = read_picture(tmp_path / "a.jpg")
    write_picture(picture, tmp_path / "b.jpg")
    assert (tmp_path / "b.jpg").read_bytes().endswith(b"\xff\xd9" + depth + VIDEO)
    picture.pixels = picture.pixels.repeat(2, axis=0)
    write_picture(picture, tmp_path / "c.jpg")
    data = (tmp_path / "c.jpg").read_bytes()
    assert b"Depth" not in data
    assert stated_lengths(data) == [0, len(VIDEO)]
    assert data.endswith(b"\xff\xd9" + VIDEO)


@pytest.mark.parametrize(("has_gain", "words"), [(True, "a gain map with further maps"), (False, "a depth map")])
def test_a_depth_map_of_an_iphone_is_no_page_and_stays(tmp_path: Path, has_gain: bool, words: str) -> None:
    apple = "xmlns:apdi='http://ns.apple.com/pixeldatainfo/1.0/' apdi:AuxiliaryImageType='urn:mpeg:hevc:2015:auxid:2'"
    depth = with_segments(xmp_segment(packet(apple)), data=plain(smooth(1)[::2, ::2]))
    (tmp_path / "a.jpg").write_bytes(with_index(plain(), *[(0, MAP)] * has_gain, (0, depth)))
    picture, data = copied((tmp_path / "a.jpg").read_bytes(), tmp_path)
    assert data.endswith(depth)
    assert len(indexed(data)) == 2 + has_gain
    assert picture.pages == 1
    assert not picture.notes
    picture, data = copied((tmp_path / "a.jpg").read_bytes(), tmp_path, "b.png")
    assert picture.notes[0].startswith(words)
    assert picture.notes[0].endswith("has a place only in JPEG; it is dropped")


def test_an_announced_video_that_is_not_there_is_noted(tmp_path: Path) -> None:
    head = packet(f"{CAMERA} GCamera:MicroVideo='1' GCamera:MicroVideoOffset='5000'")
    for rest in (b"", VIDEO[:1_000]):
        picture, data = copied(with_segments(xmp_segment(head)) + rest, tmp_path)
        assert "the XMP announces a video that is not in the file; that is dropped" in picture.notes
        assert b"MicroVideo" not in data


def test_pages_are_counted_and_picked_and_previews_are_not_pages(tmp_path: Path) -> None:
    left, right = smooth(3), smooth(3)[::-1].copy()
    preview = plain(smooth(3)[::4, ::4])
    source = with_index(plain(left), (0x010001, preview), (0x020002, plain(right)))
    (tmp_path / "a.jpg").write_bytes(source)
    first = read_picture(tmp_path / "a.jpg")
    assert first.pages == 2
    assert first.notes == ["only the first of 2 pictures in the file is used"]
    second = read_picture(tmp_path / "a.jpg", page=2)
    assert np.abs(second.pixels.astype(int) - right).mean() < 3
    with pytest.raises(PictureError, match="it has 2 pictures, and no page 3"):
        read_picture(tmp_path / "a.jpg", page=3)
    write_picture(first, tmp_path / "b.jpg")
    data = (tmp_path / "b.jpg").read_bytes()
    assert data.rindex(b"\xff\xd8") == 0
    assert 0xE2 not in dict(segments_of(data))


def test_bytes_after_the_end_are_kept_or_noted(tmp_path: Path) -> None:
    picture, data = copied(plain() + b"maker's own data", tmp_path)
    assert data.endswith(b"\xff\xd9maker's own data")
    assert not picture.notes
    picture, data = copied(plain() + b"maker's own data", tmp_path, "b.png")
    assert any("16 bytes after the picture's end" in note for note in picture.notes)
    picture, data = copied(plain() + bytes(50), tmp_path)
    assert data.endswith(b"\xff\xd9")
    picture, data = copied(plain() + plain(smooth(1)), tmp_path)
    assert "a picture after the end of the first, which nothing announces, is dropped" in picture.notes
    assert data.rindex(b"\xff\xd8") == 0


def test_damaged_indexes_and_directories_are_harmless(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    whole = ultra_hdr(has_index=True, appended=VIDEO)
    start = whole.index(b"MPF\0")
    end = len(whole) - len(VIDEO) - len(MAP)
    for k in range(60):
        broken = bytearray(whole)
        for place in rng.integers(start if k % 2 else 20, start + 80 if k % 2 else end, 3):
            broken[place] = rng.integers(256)
        try:
            copied(bytes(broken), tmp_path)
        except PictureError as error:
            assert error.hint


def test_exiftool_finds_no_fault_and_the_same_map(tmp_path: Path) -> None:
    if not shutil.which("exiftool"):
        pytest.skip("needs exiftool")
    copied(ultra_hdr(has_index=True), tmp_path)
    for name in ("a.jpg", "b.jpg"):
        command = ["exiftool", "-b", "-MPImage2", str(tmp_path / name)]
        assert subprocess.run(command, capture_output=True, check=True).stdout == MAP
    command = ["exiftool", "-warning", "-error", str(tmp_path / "b.jpg")]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b""


def test_parts_of_a_jpeg_do_not_reach_pictures_of_other_sources(tmp_path: Path) -> None:
    picture = Picture(smooth(3), parts=[(b"APP5", b"chunk")], source_format="PNG")
    write_picture(picture, tmp_path / "a.jpg")
    assert 0xE5 not in dict(segments_of((tmp_path / "a.jpg").read_bytes()))

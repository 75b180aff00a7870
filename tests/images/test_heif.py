"""AVIF and HEIC: damage, frames by number, crops, and parts beside the picture."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

import numpy as np
import pillow_heif
import pytest
from made_files import noise, smooth
from PIL import Image

from restore.errors import PictureError
from restore.images import Picture, heif_boxes, read_picture

GAIN_MAP_XMP = (
    b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>"
    b"<rdf:Description xmlns:hdrgm='http://ns.adobe.com/hdr-gain-map/1.0/' xmlns:xmp='http://ns.adobe.com/xap/1.0/'"
    b" hdrgm:Version='1.0' xmp:Rating='5'/></rdf:RDF></x:xmpmeta>"
)


def read(data: bytes, page: int | None = None) -> Picture:
    return read_picture(io.BytesIO(data), page=page)


def avif(values: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(values).save(file, "AVIF", quality=95, subsampling="4:4:4", **options)
    return file.getvalue()


def heic(values: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    mode = "RGBA" if values.shape[2] == 4 else "RGB"
    size = values.shape[1], values.shape[0]
    pillow_heif.encode(mode, size, values.tobytes(), file, quality=95, chroma=444, **options)
    return file.getvalue()


MAKERS = pytest.mark.parametrize("make", [avif, heic])


@MAKERS
def test_run_of_zeros_in_the_data_is_damage(make: Callable[..., bytes]) -> None:
    data = make(noise(96, 96, 3))
    assert read(data).damage is None
    middle = len(data) // 2
    wrong = data[:middle] + bytes(300) + data[middle + 300 :]
    assert read(wrong).damage == "its data is wrong"


@MAKERS
def test_flat_pictures_have_no_damage(make: Callable[..., bytes]) -> None:
    for level in (0, 128, 255):
        data = make(np.full((120, 160, 3), level, np.uint8))
        items = heif_boxes.read(data)
        assert items.shown()[0].extents
        assert heif_boxes.damage_of(data, items) is None


def test_frames_of_an_avif_are_read_by_number() -> None:
    frames = [Image.new("RGB", (64, 48), (60 * k, 0, 0)) for k in range(4)]
    file = io.BytesIO()
    frames[0].save(file, "AVIF", quality=95, save_all=True, append_images=frames[1:], duration=100)
    for page in (1, 3, 4):
        picture = read(file.getvalue(), page)
        assert picture.pages == 4
        assert abs(float(picture.pixels[..., 0].mean()) - 60 * (page - 1)) < 4
    with pytest.raises(PictureError, match="no page 5"):
        read(file.getvalue(), 5)


def test_pictures_of_a_heic_are_read_by_number_the_primary_one_first() -> None:
    images = pillow_heif.from_pillow(Image.new("RGB", (64, 48), (10, 0, 0)))
    images.add_from_pillow(Image.new("RGB", (64, 48), (100, 0, 0)))
    images.add_from_pillow(Image.new("RGB", (64, 48), (200, 0, 0)))
    file = io.BytesIO()
    images.save(file, quality=95, chroma=444, primary_index=1)
    levels = [float(read(file.getvalue(), page).pixels[..., 0].mean()) for page in (1, 2, 3)]
    assert np.abs(np.array(levels) - (100, 10, 200)).max() < 4


def with_crop(data: bytes, crop: tuple[int, ...]) -> bytes:
    """An AVIF with one more property, clap, whose sizes of boxes and offsets fit."""
    box = struct.pack(">I4s8i", 40, b"clap", *crop)
    place = {name: data.index(name) - 4 for name in (b"meta", b"iprp", b"ipco", b"ipma", b"iloc")}
    size = {name: struct.unpack_from(">I", data, at)[0] for name, at in place.items()}
    changed = bytearray(data)
    struct.pack_into(">I", changed, place[b"meta"], size[b"meta"] + 41)
    struct.pack_into(">I", changed, place[b"iprp"], size[b"iprp"] + 41)
    struct.pack_into(">I", changed, place[b"ipco"], size[b"ipco"] + 40)
    struct.pack_into(">I", changed, place[b"ipma"], size[b"ipma"] + 1)
    count, at = 0, place[b"ipco"] + 8
    while at < place[b"ipco"] + size[b"ipco"]:
        at, count = at + struct.unpack_from(">I", data, at)[0], count + 1
    first = place[b"ipma"] + 8 + 4 + 4 + 2  # number of properties of the first item
    changed[first] += 1
    end = first + changed[first]
    at = place[b"iloc"] + 8 + 4 + 2 + 2 + 2 + 2 + 2  # offset of the first extent of the only item
    (offset,) = struct.unpack_from(">I", data, at)
    struct.pack_into(">I", changed, at, offset + 41)
    split = place[b"ipco"] + size[b"ipco"]
    return (
        bytes(changed[:split]) + box + bytes(changed[split:end]) + bytes((0x80 | (count + 1),)) + bytes(changed[end:])
    )


def test_crop_of_an_avif_is_applied() -> None:
    data = avif(smooth(3))
    whole = read(data).pixels
    # 40 x 20 pixels around a point that lies 4 right of and 2 above the centre of 96 x 64.
    picture = read(with_crop(data, (40, 1, 20, 1, 4, 1, -2, 1)))
    np.testing.assert_array_equal(picture.pixels, whole[20:40, 32:72])


def test_gain_and_depth_maps_are_named() -> None:
    items = heif_boxes.Items(
        {
            1: heif_boxes.Item(b"hvc1"),
            2: heif_boxes.Item(b"hvc1", properties=[(b"auxC", b"\0\0\0\0urn:com:apple:photo:2020:aux:hdrgainmap\0")]),
            3: heif_boxes.Item(b"hvc1", properties=[(b"auxC", b"\0\0\0\0urn:mpeg:hevc:2015:auxid:2\0")]),
            4: heif_boxes.Item(b"hvc1", properties=[(b"auxC", b"\0\0\0\0urn:mpeg:hevc:2015:auxid:1\0")]),
        },
        1,
    )
    assert items.left_out() == ["depth map", "gain map"]


def test_gain_map_of_a_file_is_noted_and_gone_from_xmp() -> None:
    data = avif(smooth(4), xmp=GAIN_MAP_XMP)
    kind = b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0"
    assert kind in data
    other = b"urn:com:apple:photo:2020:aux:hdrgainmap\0".ljust(len(kind), b"\0")
    picture = read(data.replace(kind, other))
    assert "its gain map is dropped" in picture.notes
    assert picture.xmp is not None
    assert b"hdrgm:Version" not in picture.xmp and b"xmp:Rating='5'" in picture.xmp
    assert read(data).xmp == GAIN_MAP_XMP


def test_damaged_boxes_stop_nothing() -> None:
    data = heic(smooth(3))
    for place in range(0, 400, 3):
        heif_boxes.read(data[:place] + b"\xff" * 4 + data[place + 4 :])

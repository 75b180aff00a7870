"""Damage and colours of JPEG 2000: missing tiles, cut and wrong data, colour spaces and channels."""

from __future__ import annotations

import io
import re
import struct
from typing import Any

import imagecodecs
import numpy as np
import pytest
from made_files import noise
from odd_files import Odd, jpeg2000
from PIL import Image

from restore.errors import PictureError
from restore.images import Picture, read_picture
from restore.images.jpeg2000 import damage_of


def read(data: bytes) -> Picture:
    return read_picture(io.BytesIO(data))


def tiled(**options: Any) -> tuple[bytes, list[int]]:
    """64 x 64 pixels in 16 tiles, and where each tile-part starts."""
    file = io.BytesIO()
    Image.fromarray(noise(64, 64, 3)).save(file, "JPEG2000", tile_size=(16, 16), no_jp2=True, **options)
    data = file.getvalue()
    return data, [found.start() for found in re.finditer(rb"\xff\x90\x00\x0a", data)]


def deep(values: np.ndarray) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(values, codecformat="j2k", level=0, reversible=True))


def test_missing_tiles_are_counted_and_black() -> None:
    data, starts = tiled()
    whole, found = read(data), read(data[: starts[3]] + data[starts[5] :])
    assert whole.damage is None
    assert found.damage == "2 of 16 tiles are missing and black"
    different = (whole.pixels != found.pixels).any(axis=2)
    assert different[:16, 48:].mean() > 0.9 and not found.pixels[:16, 48:].any()
    assert not different[:16, :48].any() and not different[16:, 16:].any()


@pytest.mark.parametrize("is_deep", [False, True])
def test_run_of_zeros_in_the_data_is_damage(is_deep: bool) -> None:
    data = deep(noise(200, 200, dtype=np.uint16) if is_deep else noise(200, 200))
    wrong = data[:5000] + bytes(100) + data[5100:]
    assert read(data).damage is None
    assert read(wrong).damage == damage_of(wrong) == "1 of 1 tiles is damaged"


def test_bytes_that_no_encoder_writes_are_damage() -> None:
    data, starts = tiled()
    middle = (starts[7] + starts[8]) // 2
    assert damage_of(data[:middle] + b"\xff\xf7" + data[middle + 2 :]) == "1 of 16 tiles is damaged"


def test_missing_packet_is_damage() -> None:
    import random

    data = bytes(imagecodecs.jpeg2k_encode(noise(64, 64), codecformat="j2k", level=0, reversible=True))
    place = data.index(b"\xff\x52") + 4
    start = data.index(b"\xff\x93") + 2
    body = random.Random(1).randbytes(40).replace(b"\xff", b"\0")

    def stream(numbers: tuple[int, ...]) -> bytes:
        """Packets with markers of their number; the decoder is not asked."""
        packets = b"".join(b"\xff\x91\0\4" + struct.pack(">H", number) + body for number in numbers)
        head = data[:place] + bytes((data[place] | 2,)) + data[place + 1 : start]
        at = head.index(b"\xff\x90")
        return head[: at + 6] + struct.pack(">I", start - at + len(packets)) + head[at + 10 :] + packets + b"\xff\xd9"

    assert damage_of(stream((0, 1, 2))) is None
    assert damage_of(stream((0, 2))) == "1 of 1 tiles is damaged"


def test_stream_without_its_end_marker_is_read_whole_and_told() -> None:
    for values in (noise(40, 40, 3), noise(40, 40, dtype=np.uint16)):
        data = deep(values)
        picture = read(data[:-2])
        np.testing.assert_array_equal(picture.pixels.reshape(values.shape), values)
        assert picture.damage == "the end of the file is missing"


def test_pictures_as_encoders_write_them_have_no_damage() -> None:
    flat, half = np.zeros((160, 220, 3), np.uint8), noise(160, 220, 3)
    half[:80] = 255
    for values in (flat, half, half.astype(np.uint16) << 8):
        for is_lossless in (True, False):
            options: dict[str, Any] = {"reversible": is_lossless, "level": 0 if is_lossless else 40}
            assert damage_of(bytes(imagecodecs.jpeg2k_encode(values, **options))) is None
    for options in ({"quality_layers": [40, 20, 5]}, {"irreversible": True, "progression": "RPCL"}):
        assert damage_of(tiled(**options)[0]) is None
    assert damage_of(bytes(imagecodecs.htj2k_encode(half))) is None


def test_htj2k_is_read() -> None:
    values = noise(70, 50, 3)
    np.testing.assert_array_equal(read(bytes(imagecodecs.htj2k_encode(values))).pixels, values)


def with_box(name: bytes, data: bytes, depth: str = "8", colours: str = "RGB") -> bytes:
    """A JP2 in whose header a box has other data; a new box where there is none."""
    whole = jpeg2000(Odd(colours, depth))
    assert whole is not None
    box = struct.pack(">I4s", 8 + len(data), name) + data
    head = whole.index(b"jp2h")
    (size,) = struct.unpack_from(">I", whole, head - 4)
    old = whole.find(name)
    length = struct.unpack_from(">I", whole, old - 4)[0] if old > 0 else 0
    at = old - 4 if old > 0 else head - 4 + size
    changed = whole[:at] + box + whole[at + length :]
    return changed[: head - 4] + struct.pack(">I", size + len(box) - length) + changed[head:]


def test_ycc_of_16_bits_becomes_rgb_and_cielab_is_refused() -> None:
    colr = struct.pack(">BBBI", 1, 0, 0, 18)
    picture = read(with_box(b"colr", colr, "16"))
    y, blue, red = (
        v.astype(float) for v in np.moveaxis(read(with_box(b"colr", colr[:-1] + b"\x10", "16")).pixels, -1, 0)
    )
    expected = y + 1.402 * (red - 32768), y - 0.344136 * (blue - 32768) - 0.714136 * (red - 32768)
    np.testing.assert_allclose(picture.pixels[..., 0], expected[0].clip(0, 65535), atol=1)
    np.testing.assert_allclose(picture.pixels[..., 1], expected[1].clip(0, 65535), atol=1)
    for number, words in ((14, "CIELAB"), (21, "ROMM RGB"), (99, "of kind 99")):
        with pytest.raises(PictureError, match=f"its colours are {words}"):
            read(with_box(b"colr", struct.pack(">BBBI", 1, 0, 0, number)))


@pytest.mark.parametrize("depth", ["8", "16"])
def test_fourth_channel_is_what_the_file_says(depth: str) -> None:
    def kinds(last: int) -> bytes:
        meanings = [(0, 0, 1), (1, 0, 2), (2, 0, 3), (3, last, 0)]
        return struct.pack(">H", 4) + b"".join(struct.pack(">HHH", *meaning) for meaning in meanings)

    straight = read(with_box(b"cdef", kinds(1), depth, "RGBA"))
    assert straight.alpha is not None
    divided = read(with_box(b"cdef", kinds(2), depth, "RGBA"))
    white = np.iinfo(straight.pixels.dtype).max
    is_clear = straight.alpha == 0
    opacity = np.where(is_clear, 1, straight.alpha / white)[..., None]
    np.testing.assert_allclose(divided.pixels, (straight.pixels / opacity).clip(0, white), atol=1)
    unknown = read(with_box(b"cdef", kinds(65535), depth, "RGBA"))
    assert unknown.alpha is None and unknown.extra is not None
    np.testing.assert_array_equal(unknown.extra[..., 0], straight.alpha)

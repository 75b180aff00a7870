"""Small files that state huge pictures are refused before they take memory or time; files cut while they are read."""

from __future__ import annotations

import io
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from made_files import noise
from PIL import Image

from restore.errors import PictureError
from restore.images import read_picture
from restore.images.jpeg.segments import MAX_SCANS
from restore.images.tiff import inner

HUGE = 40_000  # pixels a side: 1.6 gigapixels


def refused(data: bytes, match: str) -> None:
    with pytest.raises(PictureError, match=match) as caught:
        read_picture(io.BytesIO(data))
    assert caught.value.hint


def jp2() -> bytes:
    file = io.BytesIO()
    Image.fromarray(noise(64, 64)).save(file, "JPEG2000", no_jp2=False)
    return file.getvalue()


def test_jp2_whose_header_states_another_size_than_its_stream_is_refused() -> None:
    data = jp2()
    assert read_picture(io.BytesIO(data)).pixels.shape == (64, 64, 1)
    place = data.index(b"ihdr") + 4
    refused(
        data[:place] + struct.pack(">II", 450_000_000, 1) + data[place + 8 :],
        "header states 1 x 450000000 pixels, its stream 64 x 64",
    )


@pytest.mark.parametrize("deep", [False, True])
def test_jpeg_2000_most_of_whose_tiles_are_absent_is_refused(deep: bool) -> None:
    file = io.BytesIO()
    values = noise(64, 64, dtype=np.uint16) if deep else noise(64, 64)
    Image.fromarray(values).save(file, "JPEG2000", tile_size=(16, 16), no_jp2=True)
    data = file.getvalue()
    starts = [found.start() for found in re.finditer(rb"\xff\x90\0\x0a", data)]
    assert len(starts) == 16
    read_picture(io.BytesIO(data[: starts[8]] + b"\xff\xd9"))  # half of them
    refused(data[: starts[7]] + b"\xff\xd9", "only 7 of its 16 tiles are there")
    first = data[starts[0] : starts[1]]
    refused(data[: starts[0]] + 16 * first + b"\xff\xd9", "only 1 of its 16 tiles")


def test_jpeg_2000_of_countless_tiny_tiles_or_channels_is_refused() -> None:
    data = bytearray(stream(1024))
    struct.pack_into(">II", data, 24, 4, 4)
    refused(bytes(data), "it consists of 65,536 tiles of a few pixels")
    size = 38 + 3 * 16_000
    head = data[:4] + struct.pack(">H", size) + data[6:40] + struct.pack(">H", 16_000) + 16_000 * b"\7\1\1"
    refused(bytes(head + data[45:]), "it has 16000 channels")


def test_file_that_is_too_small_for_the_pixels_that_it_states_is_refused() -> None:
    data = jp2()
    stream = data.index(b"\xff\x4f\xff\x51")
    big = data[: stream + 8] + struct.pack(">6I", 20_000, 20_000, 0, 0, 20_000, 20_000) + data[stream + 32 :]
    refused(big, r"its [\d,]+ bytes cannot hold a photo of 20000 x 20000 pixels")


def test_flat_picture_of_12_megapixels_is_read() -> None:
    flat = np.zeros((3000, 4000), np.uint8)
    data = imagecodecs.jpeg2k_encode(flat, level=0, reversible=True)
    assert len(data) < 12_000_000 / 20_000
    assert not read_picture(io.BytesIO(data)).pixels.any()


def lerc(side: int) -> bytes:
    """A valid picture of one value: LERC 2, version 2, which has no checksum."""
    data = bytearray(imagecodecs.lerc_encode(np.full((16, 16), 7, np.uint8), version=2))
    struct.pack_into("<ii", data, 10, side, side)
    struct.pack_into("<i", data, 18, side * side)  # valid pixels
    return bytes(data)


def jpeg(side: int) -> bytes:
    data = bytearray(imagecodecs.jpeg8_encode(noise(16, 16)))
    struct.pack_into(">HH", data, data.index(b"\xff\xc0") + 5, side, side)
    return bytes(data)


def stream(side: int) -> bytes:
    data = bytearray(imagecodecs.jpeg2k_encode(noise(16, 16), codecformat="j2k"))
    struct.pack_into(">6I", data, 8, side, side, 0, 0, side, side)
    return bytes(data)


def png(side: int) -> bytes:
    data = bytearray(imagecodecs.png_encode(noise(16, 16)))
    struct.pack_into(">II", data, 16, side, side)
    return bytes(data)


def webp(side: int) -> bytes:
    data = bytearray(imagecodecs.webp_encode(noise(16, 16, 3), lossless=True))
    side = min(side, 16_383)
    bits = int.from_bytes(data[21:25], "little") >> 28 << 28 | (side - 1) << 14 | (side - 1)
    data[21:25] = bits.to_bytes(4, "little")
    return bytes(data)


def jpeg_xl(side: int) -> bytes:
    """The header of a square of one length of 18 bits."""
    bits = 0 | 2 << 1 | (side - 1) << 3 | 1 << 21  # not in eighths, 18 bits, the length, ratio 1:1
    return b"\xff\x0a" + bits.to_bytes(3, "little") + bytes(60)


HOSTILE: dict[int, Callable[[int], bytes]] = {
    7: jpeg,
    34712: stream,
    34887: lerc,
    34933: png,
    50001: webp,
    50002: jpeg_xl,
}


def tiff_of(compression: int, part: bytes, samples: int = 1, tile: int | None = None) -> bytes:
    """A TIFF of 16 x 16 pixels whose only strip or tile is `part`."""
    shape, photometric = ((16, 16, 3), "rgb") if samples == 3 else ((16, 16), "minisblack")
    file = io.BytesIO()
    options: dict[str, Any] = {"tile": (tile, tile)} if tile else {}
    tifffile.imwrite(
        file, iter([part]), shape=shape, dtype=np.uint8, photometric=photometric, compression=compression, **options
    )
    return file.getvalue()


@pytest.mark.parametrize("compression", HOSTILE)
def test_tiff_whose_strip_holds_a_picture_of_another_size_is_refused(compression: int) -> None:
    part = HOSTILE[compression](HUGE)
    samples = 3 if compression == 50001 else 1
    side = min(HUGE, 16_383) if compression == 50001 else HUGE
    assert inner.stated_size(compression, part)[:2] == (side, side)
    refused(tiff_of(compression, part, samples), f"a part of 16 x 16 pixels holds a picture of {side} x {side}")
    if compression != 50002:
        right = tiff_of(compression, HOSTILE[compression](16), samples)
        assert read_picture(io.BytesIO(right)).pixels.shape[:2] == (16, 16)


ENCODERS: dict[str, tuple[int, Callable[[np.ndarray], bytes | bytearray]]] = {
    "JPEG": (7, imagecodecs.jpeg8_encode),
    "JPEG 2000, stream": (34712, lambda a: imagecodecs.jpeg2k_encode(a, codecformat="j2k")),
    "JPEG 2000, boxes": (34712, lambda a: imagecodecs.jpeg2k_encode(a, codecformat="jp2")),
    "LERC": (34887, imagecodecs.lerc_encode),
    "LERC, version 3": (34887, lambda a: imagecodecs.lerc_encode(a[..., :1], version=3)),
    "PNG": (34933, imagecodecs.png_encode),
    "WebP, lossless": (50001, lambda a: imagecodecs.webp_encode(a, lossless=True)),
    "WebP, lossy": (50001, lambda a: imagecodecs.webp_encode(a, lossless=False, level=80)),
    "JPEG XL": (50002, imagecodecs.jpegxl_encode),
    "JPEG XL, boxes": (50002, lambda a: imagecodecs.jpegxl_encode(a, usecontainer=True)),
}


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("size", [(1, 1), (8, 8), (17, 33), (256, 256), (120, 160), (9, 700), (512, 128)])
def test_size_in_the_header_of_a_part_is_that_of_the_encoded_picture(name: str, size: tuple[int, int]) -> None:
    compression, encode = ENCODERS[name]
    part = bytes(encode(noise(*size, 3)))
    width, height, samples = inner.stated_size(compression, part)
    assert (height, width) == size
    assert samples in (0, 1 if name == "LERC, version 3" else 3)


def test_tiff_whose_strip_has_many_joined_bands_is_refused() -> None:
    refused(tiff_of(34887, 1000 * lerc(16)), "a part of 1 channels holds a picture of 1000")


def test_tiff_with_a_tile_far_larger_than_the_picture_is_refused() -> None:
    refused(tiff_of(8, b"x" * 40, tile=HUGE), "tiles have 40000 x 40000 pixels, more than the picture")


def progressive(scans: int) -> bytes:
    """A progressive JPEG whose last scan is repeated until there are `scans`."""
    file = io.BytesIO()
    Image.new("L", (64, 48), 128).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    places = [found.start() for found in re.finditer(b"\xff\xda", data)]
    return data[:-2] + (scans - len(places)) * data[places[-1] : -2] + b"\xff\xd9"


def test_jpeg_of_more_scans_than_encoders_write_is_refused() -> None:
    assert read_picture(io.BytesIO(progressive(MAX_SCANS))).pixels.shape == (48, 64, 1)
    data = progressive(MAX_SCANS + 1)
    refused(data, "it has 101 scans")
    place = data.rindex(b"\xff\xda")
    refused(data[:place] + b"\xff\1" + data[place:], "it has 101 scans")  # a marker without a length hides none


@pytest.mark.parametrize("is_whole", [False, True])
def test_second_scans_of_a_sequential_jpeg_are_bounded(is_whole: bool) -> None:
    file = io.BytesIO()
    Image.fromarray(noise(16, 16, 3)).save(file, "JPEG")
    data = file.getvalue()
    place = data.index(b"\xff\xda\0\x0c\3")
    if is_whole:  # the decoder refuses a second scan of all samples
        refused(data[:-2] + 200 * data[place:-2] + b"\xff\xd9", "damaged")
    else:  # a scan of one sample, and so more to come
        scan = b"\xff\xda\0\x08\1\1\0\0\x3f\0"
        refused(data[:place] + 200 * (scan + bytes(40)) + b"\xff\xd9", "it has 200 scans")


def test_scans_in_metadata_and_after_the_picture_do_not_count() -> None:
    data, segment = progressive(20), b"\xff\xe4\x07\xd2" + 1000 * b"\xff\xda"
    with_both = data[:2] + segment + data[2:] + 1000 * b"\xff\xda\0\4"  # thumbnails; the video of a motion photo
    np.testing.assert_array_equal(read_picture(io.BytesIO(with_both)).pixels, read_picture(io.BytesIO(data)).pixels)


def test_hostile_files_take_little_memory_and_time(tmp_path: Path) -> None:
    files = {f"{compression}.tif": tiff_of(compression, make(HUGE)) for compression, make in HOSTILE.items()}
    files["tile.tif"] = tiff_of(8, b"x" * 40, tile=HUGE)
    data = jp2()
    place = data.index(b"ihdr") + 4
    files["a.jp2"] = data[:place] + struct.pack(">II", 450_000_000, 1) + data[place + 8 :]
    files["b.j2k"] = stream(20_000)
    files["c.jpg"] = progressive(5000)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    code = """
import resource, sys
from pathlib import Path
from restore.errors import PictureError
from restore.images import read_picture
import imagecodecs, tifffile
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for name in sys.argv[1:]:
    try:
        read_picture(Path(name))
        print("read", name)
    except PictureError:
        pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    paths = [str(tmp_path / name) for name in files]
    done = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True, timeout=60, check=True)
    assert "read" not in done.stdout
    kilobytes = int(done.stdout) / (1024 if sys.platform == "darwin" else 1)  # macOS counts bytes
    assert kilobytes < 100_000


CUTTING = """
import os, sys
from pathlib import Path
import imagecodecs
import numpy as np
from restore.errors import PictureError
from restore.images import read_picture, picture, reading

def cut(path):
    os.truncate(path, 100)

for name in sys.argv[1:]:
    path = Path(name)
    data, whole = path.read_bytes(), read_picture(path).pixels
    # Cut after the first bytes were read.
    kind_of = reading.kinds.kind_of
    reading.kinds.kind_of = lambda head, suffix: (cut(path), kind_of(head, suffix))[1]
    try:
        read_picture(path)
        print("read", name)
    except PictureError as error:
        assert error.hint
    reading.kinds.kind_of = kind_of
    # Cut right before the pixels are decoded.
    path.write_bytes(data)
    decoders = {k: getattr(imagecodecs, k) for k in ("png_decode", "jpeg2k_decode", "avif_decode")}
    for k, decoder in decoders.items():
        setattr(imagecodecs, k, lambda *a, decoder=decoder, **o: (cut(path), decoder(*a, **o))[1])
    try:
        assert np.array_equal(read_picture(path).pixels, whole)
    except PictureError as error:
        assert error.hint
    for k, decoder in decoders.items():
        setattr(imagecodecs, k, decoder)
print("done")
"""


def test_file_that_is_cut_while_it_is_read_fails_alone(tmp_path: Path) -> None:
    deep, shallow = noise(200, 300, 3, dtype=np.uint16), noise(200, 300, 3)
    (tmp_path / "deep.png").write_bytes(imagecodecs.png_encode(deep))
    (tmp_path / "deep.jp2").write_bytes(imagecodecs.jpeg2k_encode(deep, codecformat="jp2", level=0))
    tifffile.imwrite(tmp_path / "deep.tif", deep, photometric="rgb")
    for extension in ("png", "jp2", "jpg", "bmp", "webp", "avif", "tif"):
        Image.fromarray(shallow).save(tmp_path / f"a.{extension}")
    paths = sorted(map(str, tmp_path.iterdir()))
    done = subprocess.run([sys.executable, "-c", CUTTING, *paths], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr[-2000:]

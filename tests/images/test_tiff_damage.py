"""TIFF: damaged and hostile strips, tiles and directories."""

from __future__ import annotations

import io
import json
import lzma
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from made_files import noise

from restore.errors import PictureError
from restore.images import read_picture

HEIGHT, STRIP = 128, 16
CODECS = [None, "deflate", "lzw", "packbits", "zstd", "lzma", "png", "webp", "jpeg", "jpeg2000"]


def stripped(values: np.ndarray, compression: Any, **options: Any) -> tuple[bytearray, list[int], list[int]]:
    """A TIFF of 8 strips, and where they lie."""
    file = io.BytesIO()
    given: dict[str, Any] = {"rowsperstrip": STRIP, "photometric": "rgb", "metadata": None} | options
    tifffile.imwrite(file, values, compression=compression, **given)
    with tifffile.TiffFile(io.BytesIO(file.getvalue())) as opened:
        page: Any = opened.pages[0]
        return bytearray(file.getvalue()), list(page.dataoffsets), list(page.databytecounts)


@pytest.mark.parametrize("compression", CODECS)
def test_strips_that_are_missing_are_said_and_the_others_restored(compression: str | None) -> None:
    values = noise(HEIGHT, 50, 3)
    data, offsets, _ = stripped(values, compression)
    whole = read_picture(io.BytesIO(bytes(data)))
    assert whole.damage is None
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as opened:
        tag: Any = opened.pages[0].tags[273]  # type: ignore[union-attr]
    kind = "<H" if tag.dtype == 3 else "<I"
    size = struct.calcsize(kind)
    for number in (1, 5, 6):
        struct.pack_into(kind, data, tag.valueoffset + size * number, len(data) + 7 & 0xFFFF)
    picture = read_picture(io.BytesIO(bytes(data)))
    assert picture.damage == "3 of 8 strips or tiles are missing or damaged: the file ends before them"
    gone = np.isin(np.arange(HEIGHT) // STRIP, (1, 5, 6))
    np.testing.assert_array_equal(picture.pixels[~gone], whole.pixels[~gone])
    assert not picture.pixels[gone].any()
    assert len(offsets) == 8


@pytest.mark.parametrize("compression", ["deflate", "lzw", "zstd", "lzma", "png", "webp", "jpeg"])
def test_a_strip_of_damaged_data_is_said(compression: str) -> None:
    data, offsets, counts = stripped(noise(HEIGHT, 50, 3), compression, predictor=compression in ("deflate", "lzw"))
    start, count = offsets[3], counts[3]
    data[start : start + count // 2] = bytes(count // 2)
    picture = read_picture(io.BytesIO(bytes(data)))
    assert str(picture.damage).startswith("1 of 8 strips or tiles are missing or damaged: ")


def test_a_picture_of_which_most_is_missing_is_refused() -> None:
    data, offsets, counts = stripped(noise(HEIGHT, 50, 3), "deflate")
    for start, count in list(zip(offsets, counts, strict=True))[:5]:
        data[start : start + count] = bytes(count)
    with pytest.raises(PictureError, match="5 of its 8 parts are missing or damaged"):
        read_picture(io.BytesIO(bytes(data)))


def test_tiles_that_are_missing_leave_the_others() -> None:
    values = noise(HEIGHT, 64, 3)
    data, offsets, counts = stripped(values, "deflate", tile=(64, 32), rowsperstrip=None)
    data[offsets[1] : offsets[1] + counts[1]] = bytes(counts[1])
    picture = read_picture(io.BytesIO(bytes(data)))
    assert str(picture.damage).startswith("1 of 4 ")
    values[:64, 32:] = 0
    np.testing.assert_array_equal(picture.pixels, values)


def test_rows_before_the_end_of_a_cut_file_are_whole() -> None:
    values = noise(HEIGHT, 50, 3)
    data, offsets, _ = stripped(values, None, rowsperstrip=HEIGHT)
    picture = read_picture(io.BytesIO(bytes(data[: offsets[0] + 150 * 80])))
    assert picture.damage == "1 of 1 strips or tiles are missing or damaged: they are cut short"
    np.testing.assert_array_equal(picture.pixels[:80], values[:80])


def one_strip(compression: int, part: bytes | bytearray, side: int = 16, *more: tuple[int, int, int, int]) -> bytes:
    """A TIFF of grey pixels whose only strip is `part`."""
    tags = [(256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 8), (259, 3, 1, compression), (262, 3, 1, 1)]
    tags += [(277, 3, 1, 1), (278, 4, 1, side), (279, 4, 1, len(part)), *more]
    start = 8 + 2 + 12 * (len(tags) + 1) + 4
    tags = sorted([*tags, (273, 4, 1, start)])
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4) + part


def test_strips_that_all_state_the_whole_file_are_refused() -> None:
    data, offsets, _ = stripped(noise(2000, 20, 3), "deflate", rowsperstrip=1)
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as opened:
        tags: Any = opened.pages[0].tags  # type: ignore[union-attr]
        places = tags[273].valueoffset, tags[279].valueoffset
        kinds = ["<2000H" if tags[tag].dtype == 3 else "<2000I" for tag in (273, 279)]
    struct.pack_into(kinds[0], data, places[0], *2000 * [offsets[0]])
    struct.pack_into(kinds[1], data, places[1], *2000 * [min(len(data) - offsets[0], 65_535)])
    with pytest.raises(PictureError, match="its parts are many times larger than the file"):
        read_picture(io.BytesIO(bytes(data)))


def bombs() -> dict[str, bytes]:
    """Files under 1 MB that would take gigabytes or minutes."""
    zeros = bytes(100_000_000)
    lzw = imagecodecs.lzw_encode(zeros)
    late = imagecodecs.lzw_encode(noise(1, 300_000).tobytes() + zeros)
    tiny = b"".join(struct.pack("<HHHIII", 1, 256, 4, 1, 1, 8 + 18 * (k + 1)) for k in range(50_000))
    repeated = struct.pack("<HHII", 273, 3, 400_000, 8) * 4000
    frames = np.zeros((100, 16, 16), np.uint8)
    large = lzma.compress(bytes(1000), filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30}])
    return {
        "lzw": one_strip(5, lzw),
        "late lzw": one_strip(5, late, 4000),
        "deflate": one_strip(8, zlib.compress(zeros)),
        "zstd": one_strip(50000, imagecodecs.zstd_encode(zeros)),
        "lzma": one_strip(34925, imagecodecs.lzma_encode(zeros)),
        "lzma of a huge dictionary": one_strip(34925, large),
        "packbits": one_strip(32773, b"\x81\0" * 400_000),
        "frames of jpeg xl": one_strip(50002, imagecodecs.jpegxl_encode(frames)),
        "tags that share the file": (b"II*\0\x08\0\0\0" + struct.pack("<H", 4000) + repeated).ljust(900_000, b"\1"),
        "many directories": b"II*\0\x08\0\0\0" + tiny,
    }


READ = """
import json, resource, sys, time
from pathlib import Path
import imagecodecs, tifffile
from restore.errors import PictureError
from restore.images import read_picture
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
took = {}
for name in sys.argv[1:]:
    start = time.perf_counter()
    try:
        read_picture(Path(name))
    except PictureError:
        pass
    took[name] = time.perf_counter() - start
print(json.dumps([took, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits of a process, in kilobytes")
def test_small_files_take_little_memory_and_time_and_print_nothing(tmp_path: Path) -> None:
    for name, data in bombs().items():
        (tmp_path / name).write_bytes(data)
        assert len(data) < 1_100_000
    names = sorted(map(str, tmp_path.iterdir()))
    done = subprocess.run([sys.executable, "-c", READ, *names], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr[-2000:]
    took, megabytes = json.loads(done.stdout)
    assert max(took.values()) < 5
    assert megabytes < 700

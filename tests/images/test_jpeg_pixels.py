"""JPEG: pixels equal to Pillow's, damage that is told, and files that are cut short."""

from __future__ import annotations

import io
import random
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_files import noise, smooth
from made_jpegs import plain, segment, with_segments
from PIL import Image

from restore.errors import PictureError
from restore.images import read_picture
from restore.images.jpeg import pixels as jpeg_pixels


def photo(width: int = 203, height: int = 157) -> np.ndarray:
    """Slopes with grain, (height, width, 3)."""
    y, x = np.mgrid[0:height, 0:width]
    slopes = np.stack([x * 200 // width, y * 180 // height, (x + y) % 180], axis=-1)
    result: np.ndarray = (slopes + noise(height, width, 3) % 24).astype(np.uint8)
    return result


KINDS: dict[str, dict[str, Any]] = {
    "4:4:4": {"subsampling": 0},
    "4:2:2": {"subsampling": 1},
    "4:2:0": {"subsampling": 2},
    "4:1:1": {"subsampling": "4:1:1"},
    "progressive": {"subsampling": 2, "progressive": True},
    "RGB": {"keep_rgb": True},
    "restart": {"restart_marker_blocks": 3},
    "fine": {"quality": 100},
}


@pytest.mark.parametrize("size", [(203, 157), (1, 1), (9, 7), (33, 17), (1, 40), (40, 1)])
@pytest.mark.parametrize("kind", KINDS)
def test_pixels_are_those_of_pillow(tmp_path: Path, kind: str, size: tuple[int, int]) -> None:
    for pixels in (photo(*size), photo(*size)[..., :1]):
        data = plain(pixels, **KINDS[kind])
        (tmp_path / "a.jpg").write_bytes(data)
        found = read_picture(tmp_path / "a.jpg")
        expected = np.asarray(Image.open(io.BytesIO(data)))
        np.testing.assert_array_equal(found.pixels, expected.reshape(found.pixels.shape))
        decoded = jpeg_pixels.decoded(data, size, pixels.shape[2])
        assert decoded is not None, "not the slower way"
        assert found.damage is None
        assert not found.notes


@pytest.mark.parametrize("factors", [b"\x22\x11\x11", b"\x12\x11\x11", b"\x21\x11\x21", b"\x11\x12\x21"])
def test_unusual_ratios_of_chroma_are_read_as_pillow_reads_them(tmp_path: Path, factors: bytes) -> None:
    data = bytearray(plain(photo(), subsampling=0))
    frame = data.index(b"\xff\xc0")
    data[frame + 11], data[frame + 14], data[frame + 17] = factors
    (tmp_path / "a.jpg").write_bytes(data)
    try:
        expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    except OSError:
        with pytest.raises(PictureError):
            read_picture(tmp_path / "a.jpg")
        return
    np.testing.assert_array_equal(read_picture(tmp_path / "a.jpg").pixels, expected)


def scan_of(data: bytes) -> int:
    """Where the entropy-coded data of the first scan begins."""
    start = data.index(b"\xff\xda")
    return start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")


def without_a_restart_marker(data: bytes) -> bytes:
    place = data.index(b"\xff\xd3", scan_of(data))
    return data[:place] + data[place + 2 :]


def zeroed(data: bytes, size: int = 400) -> bytes:
    middle = (scan_of(data) + len(data)) // 2
    return data[:middle] + bytes(size) + data[middle + size :]


DAMAGED = {
    "zeros": (zeroed(plain(photo())), "premature end of data"),
    "zeros in a progressive picture": (zeroed(plain(photo(), progressive=True)), ""),
    "missing restart marker": (without_a_restart_marker(plain(photo(), restart_marker_blocks=5)), ""),
    "extra bytes": (plain(photo())[:-2] + b"garbage\xff\xd9", "extra bytes in the data"),
    "early end": (plain(photo())[:9000] + b"\xff\xd9", "premature end of data"),
    "CMYK": (zeroed(plain(photo())), "premature end of data"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damage_is_told_in_plain_words_and_the_rest_restored(
    tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    data, words = DAMAGED[kind]
    if kind == "CMYK":
        file = io.BytesIO()
        Image.fromarray(photo()).convert("CMYK").save(file, "JPEG", quality=92)
        data = zeroed(file.getvalue())
    (tmp_path / "a.jpg").write_bytes(data)
    found = read_picture(tmp_path / "a.jpg")
    assert found.damage is not None
    assert words in found.damage
    assert found.damage.isascii()
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(found.pixels, expected)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_file_that_is_cut_within_its_data_is_refused(tmp_path: Path, part: float, progressive: bool) -> None:
    data = plain(photo(), progressive=progressive)
    (tmp_path / "a.jpg").write_bytes(data[: int(len(data) * part)])
    with pytest.raises(PictureError) as caught:
        read_picture(tmp_path / "a.jpg")
    assert caught.value.hint


def test_warnings_that_do_not_concern_the_pixels_are_no_damage(tmp_path: Path) -> None:
    data = plain(photo())
    odd_version = data[:11] + b"\x09" + data[12:]
    torn_profile = with_segments(segment(0xE2, b"ICC_PROFILE\0\1\3abc"), data=data)
    padded = data[:-2] + bytes(400) + data[-2:]
    for harmless in (padded, odd_version, torn_profile):
        (tmp_path / "a.jpg").write_bytes(harmless)
        found = read_picture(tmp_path / "a.jpg")
        assert found.damage is None
        np.testing.assert_array_equal(found.pixels, np.asarray(Image.open(io.BytesIO(data))))
        if harmless is not padded:  # a harmless warning does not hide damage that comes with it
            (tmp_path / "a.jpg").write_bytes(zeroed(harmless))
            assert read_picture(tmp_path / "a.jpg").damage is not None


def test_a_strip_of_a_tiff_is_checked_with_its_tables() -> None:
    data = plain(photo())
    cut = scan_of(data)
    frame = data.index(b"\xff\xc0")
    tables = [data[k : k + 2 + struct.unpack_from(">H", data, k + 2)[0]] for k in _tables_of(data)]
    shared = b"\xff\xd8" + b"".join(tables) + b"\xff\xd9"
    length = struct.unpack_from(">H", data, frame + 2)[0]
    strip = b"\xff\xd8" + data[frame : frame + 2 + length] + data[data.index(b"\xff\xda") :]
    assert jpeg_pixels.warning_of(strip, shared) is None
    middle = len(strip) - (len(data) - cut) // 2
    broken = strip[:middle] + bytes(400) + strip[middle + 400 :]
    assert "premature end of data" in str(jpeg_pixels.warning_of(broken, shared))


def _tables_of(data: bytes) -> list[int]:
    places, place = [], 2
    while data[place + 1] != 0xDA:
        if data[place + 1] in (0xDB, 0xC4):
            places.append(place)
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return places


def test_whatever_djpeg_warns_of_is_damage(tmp_path: Path) -> None:
    """Other versions of libjpeg read ahead differently; a single byte too many before the end is not compared."""
    if not shutil.which("djpeg"):
        pytest.skip("needs djpeg (libjpeg-turbo-progs)")
    random.seed(5)
    sources = [plain(photo(120, 90), **options) for options in KINDS.values()]
    warned = 0
    for k in range(40):
        data = bytearray(sources[k % len(sources)])
        start, size = scan_of(bytes(data)), random.choice((1, 8, 64, 512))
        place, other = (random.randrange(start, len(data) - size - 2) for _ in range(2))
        filling = (bytes(size), random.randbytes(size), data[other : other + size])[k % 3]
        data[place : place + size] = filling
        done = subprocess.run(["djpeg", "-outfile", "/dev/null"], input=bytes(data), capture_output=True)
        if done.returncode == 1 or b" 1 extraneous" in done.stderr:
            continue
        warned += bool(done.stderr)
        damage = jpeg_pixels.warning_of(bytes(data))
        assert bool(damage) == bool(done.stderr) or "extra bytes" in str(damage)
    assert warned > 10


def test_damaged_segments_never_break_the_reader(tmp_path: Path) -> None:
    random.seed(1)
    whole = plain(smooth(3), progressive=True)
    for _ in range(80):
        data = bytearray(whole)
        for _ in range(3):
            data[random.randrange(2, 700)] = random.randrange(256)
        (tmp_path / "a.jpg").write_bytes(data)
        try:
            read_picture(tmp_path / "a.jpg")
        except PictureError as error:
            assert error.hint

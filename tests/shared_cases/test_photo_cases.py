"""The photographs of ../shared/cases/photo: metadata, pages, channels and colours survive, or a note says so."""

from __future__ import annotations

import io
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from conftest import Ran, Run
from PIL import Image

SHARED = Path(__file__).parents[3] / "shared" / "cases"
pytestmark = [
    pytest.mark.skipif(not SHARED.exists(), reason="../shared is not here"),
    pytest.mark.usefixtures("tiny_catalogue"),
]
piexif = pytest.importorskip("piexif")

Restored = Callable[..., tuple[Path, Ran]]


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cases")
    subprocess.run([sys.executable, str(SHARED / "photo" / "make.py"), str(folder)], check=True)
    return folder


@pytest.fixture
def restored(run: Run, cases: Path) -> Restored:
    """Restores a case with half of the strength, and returns the path of the output and what was said."""

    def restored(name: str, *options: str) -> tuple[Path, Ran]:
        out = Path("out") / name
        out.parent.mkdir(exist_ok=True)
        ran = run("denoise", str(cases / name), "-o", str(out), "--strength", "0.5", "--overwrite", *options)
        assert ran.code == 0, ran.err
        return out, ran

    return restored


def test_thumbnail_and_sizes_in_exif_are_those_of_the_output(restored: Restored, cases: Path) -> None:
    out, _ = restored("thumbnail.jpg")
    before, after = piexif.load(str(cases / "thumbnail.jpg")), piexif.load(str(out))
    image = Image.open(out)
    assert image.size == (128, 160)  # turned upright
    exif = after["Exif"]
    assert (exif[piexif.ExifIFD.PixelXDimension], exif[piexif.ExifIFD.PixelYDimension]) == image.size
    assert after["0th"][piexif.ImageIFD.Orientation] == 1
    for kind, tag in (
        ("Exif", piexif.ExifIFD.DateTimeOriginal),
        ("Exif", piexif.ExifIFD.MakerNote),
        ("GPS", piexif.GPSIFD.GPSLatitudeRef),
    ):
        assert after[kind][tag] == before[kind][tag]
    if after["thumbnail"]:
        small = Image.open(io.BytesIO(after["thumbnail"]))
        whole = image.resize(small.size, Image.Resampling.BOX)
        assert small.height > small.width  # upright, as the picture
        assert np.abs(np.asarray(small, float) - np.asarray(whole, float)).mean() < 12


@pytest.mark.parametrize("name", ["gain-map-without-index.jpg", "gain-map-with-index.jpg"])
def test_gain_map_is_carried_whole_or_gone_with_all_that_announces_it(
    restored: Restored, cases: Path, name: str
) -> None:
    out, ran = restored(name)
    data, source = out.read_bytes(), (cases / name).read_bytes()
    map_bytes = source[source.rindex(b"\xff\xd8\xff") :]
    if data.endswith(map_bytes):
        (length,) = re.findall(rb"Item:Length=['\"](\d+)", data.removesuffix(map_bytes))
        assert int(length) == len(map_bytes)
        assert b"hdrgm:Version" in data
        if "with-index" in name:
            with Image.open(out) as image:
                second: Any = image.mpinfo[0xB002][1]  # type: ignore[attr-defined]
            assert second["Size"] == len(map_bytes)
            assert data.index(b"MPF\0") + 4 + second["DataOffset"] == len(data) - len(map_bytes)
    else:
        assert not re.search(rb"hdrgm|GainMap|MPF\0", data)
        assert "gain map" in ran.err


@pytest.mark.parametrize("name", ["grey-as-rgb.png", "grey-as-rgb.jpg"])
def test_grey_in_three_channels_stays_neutral(restored: Restored, name: str) -> None:
    out, _ = restored(name)
    values = np.asarray(Image.open(out).convert("RGB"), int)
    assert np.ptp(values, axis=2).max() <= (0 if name.endswith("png") else 2)


def test_all_pages_are_written_and_page_takes_one(restored: Restored, cases: Path) -> None:
    out, _ = restored("pages.tif")
    with tifffile.TiffFile(out) as after, tifffile.TiffFile(cases / "pages.tif") as before:
        assert [(p.shape, p.dtype) for p in after.pages] == [(p.shape, p.dtype) for p in before.pages]
    out, _ = restored("pages.tif", "--page", "2")
    with tifffile.TiffFile(out) as one:
        assert [(p.shape, str(p.dtype)) for p in one.pages] == [((90, 70, 3), "uint16")]


def test_all_frames_of_an_animation_are_written(restored: Restored, cases: Path) -> None:
    out, _ = restored("frames.webp")
    after: Any
    before: Any
    with Image.open(out) as after, Image.open(cases / "frames.webp") as before:
        assert after.n_frames == before.n_frames == 3
        for frame in range(3):
            after.seek(frame)
            after.load()
            assert after.info["duration"] == 100


def test_infrared_is_untouched(restored: Restored, cases: Path) -> None:
    out, _ = restored("infrared.tif")
    after, before = tifffile.imread(out), tifffile.imread(cases / "infrared.tif")
    assert after.shape == before.shape and after.dtype == np.uint16
    np.testing.assert_array_equal(after[..., 3], before[..., 3])
    with tifffile.TiffFile(out) as tiff:
        page: Any = tiff.pages[0]
        assert [int(kind) for kind in page.extrasamples] == [0]


def test_hdr_mark_is_kept_and_no_note_says_otherwise(restored: Restored) -> None:
    out, ran = restored("hdr-mark.png")
    data = out.read_bytes()
    place = data.index(b"cICP")
    assert struct.unpack_from(">I", data, place - 4) == (4,)
    assert data[place + 4 : place + 8] == bytes([9, 16, 0, 1])
    assert "note" not in ran.err

"""EXIF agrees with the pixels of the file that holds it: sizes, resolution, thumbnail. All else keeps its bytes."""

from __future__ import annotations

import io
import json
import random
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exif_files import block, thumbnail
from made_files import smooth
from PIL import Image
from PIL.ExifTags import IFD

from restore.images import Picture, read_picture, write_picture
from restore.images.metadata.exif import agreeing

piexif: Any = pytest.importorskip("piexif", reason="piexif reads EXIF independently")
SIDES = (96, 64)  # of `smooth`


def blue(size: tuple[int, int] = (400, 300)) -> Picture:
    width, height = size
    return Picture(np.full((height, width, 3), (0, 0, 255), np.uint8))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("side_kind", [3, 4])  # SHORT and LONG
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "jp2", "avif", "heic", "tif"])
def test_sizes_in_exif_are_those_of_the_output(tmp_path: Path, suffix: str, side_kind: int, order: str) -> None:
    if suffix == "heic":
        pytest.importorskip("pillow_heif")
    picture = Picture(smooth(3), exif=block(order=order, side_kind=side_kind, sides=(4000, 3000)))
    write_picture(picture, tmp_path / f"a.{suffix}")
    exif = read_picture(tmp_path / f"a.{suffix}").exif
    assert exif is not None
    tags = Image.Exif()
    tags.load(exif)
    inner, shared = tags.get_ifd(IFD.Exif), tags.get_ifd(IFD.Interop)
    assert (inner[0xA002], inner[0xA003]) == SIDES
    if suffix != "tif":  # which has its own tags for the next
        assert (tags[256], tags[257]) == SIDES
        assert (shared[0x1001], shared[0x1002]) == SIDES


def test_a_short_that_is_too_small_for_the_new_size_becomes_a_long() -> None:
    picture = Picture(np.zeros((1, 70_000, 1), np.uint8))
    tags = piexif.load(b"Exif\0\0" + agreeing(block(side_kind=3), picture))
    assert tags["Exif"][piexif.ExifIFD.PixelXDimension] == 70_000


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("size", [(400, 300), (300, 400), (3000, 40)])
def test_the_thumbnail_shows_the_output_upright(size: tuple[int, int], order: str) -> None:
    exif = agreeing(block(small=thumbnail((160, 120)), orientation=6, order=order), blue(size))
    tags = piexif.load(b"Exif\0\0" + exif)
    with Image.open(io.BytesIO(tags["thumbnail"])) as small:
        assert max(small.size) == 160
        assert small.width / small.height == pytest.approx(size[0] / size[1], rel=0.2)
        red, _, blue_level = small.getpixel((small.width // 2, small.height // 2))  # type: ignore[misc]
        assert red < 20
        assert blue_level > 235
        assert (tags["1st"][256], tags["1st"][257]) == small.size
    assert tags["1st"][piexif.ImageIFD.Orientation] == 1
    assert len(exif) == len(block(small=thumbnail((160, 120)), orientation=6, order=order))


def test_a_thumbnail_without_space_is_dropped_and_leaves_no_bytes() -> None:
    old = thumbnail((160, 120))[:200]
    picture = blue()
    exif = agreeing(block(small=old), picture)
    assert not piexif.load(b"Exif\0\0" + exif)["1st"]
    assert old[20:180] not in exif
    assert picture.notes == ["the thumbnail in the EXIF has no space for the restored picture; it is dropped"]


def test_exif_without_a_thumbnail_gets_none() -> None:
    picture = blue()
    assert piexif.load(b"Exif\0\0" + agreeing(block(), picture))["thumbnail"] is None
    assert picture.notes == []


@pytest.mark.parametrize("order", ["<", ">"])
def test_all_other_facts_keep_their_bytes(order: str) -> None:
    before = block(order=order, orientation=6, small=thumbnail((160, 120)), note=bytes(range(256)) * 4)
    after = agreeing(before, blue())
    old, new = (piexif.load(b"Exif\0\0" + exif) for exif in (before, after))
    sizes = {"0th": {256, 257}, "Exif": {0xA002, 0xA003}}  # piexif does not read those of Interop
    for name in ("0th", "Exif", "GPS", "Interop"):
        assert old[name].keys() == new[name].keys()
        changed = {tag for tag in old[name] if old[name][tag] != new[name][tag]}
        assert changed == sizes.get(name, set())
    assert before.index(bytes(range(256))) == after.index(bytes(range(256)))  # maker notes point into the block


@pytest.mark.parametrize("suffix", ["jpg", "tif", "png", "webp"])
def test_a_density_without_a_unit_is_none(tmp_path: Path, suffix: str) -> None:
    exif = block(unit=1, resolution=(1, 1))
    Image.fromarray(smooth(3)).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + exif)
    picture = read_picture(tmp_path / "a.jpg")
    assert picture.dpi is None
    write_picture(picture, tmp_path / f"b.{suffix}")
    with Image.open(tmp_path / f"b.{suffix}") as image:
        assert image.info.get("jfif_unit", 0) == 0
    assert read_picture(tmp_path / f"b.{suffix}").dpi is None
    assert picture.notes == []


def test_exif_without_a_density_makes_none_up(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[271] = "Maker"
    Image.fromarray(smooth(3)).save(tmp_path / "a.jpg", exif=exif)
    assert read_picture(tmp_path / "a.jpg").dpi is None


def test_a_note_tells_that_pixels_which_are_not_square_become_so(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.fromarray(smooth(3)).save(file, "JPEG")
    data = file.getvalue()
    place = data.index(b"JFIF\0") + 7
    (tmp_path / "a.jpg").write_bytes(data[:place] + struct.pack(">BHH", 0, 2, 1) + data[place + 5 :])
    picture = read_picture(tmp_path / "a.jpg")
    assert picture.dpi is None
    assert picture.notes == ["its pixels are not square (1 x 2); that is dropped"]


def test_the_density_of_a_turned_picture_turns_with_it(tmp_path: Path) -> None:
    exif = block(orientation=6, resolution=(300, 150))
    Image.fromarray(smooth(3)).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + exif)
    picture = read_picture(tmp_path / "a.jpg")
    assert picture.dpi == (150, 300)
    write_picture(picture, tmp_path / "b.jpg")
    with Image.open(tmp_path / "b.jpg") as image:
        assert image.info["dpi"] == (150, 300)
        assert (image.getexif()[282], image.getexif()[283]) == (150, 300)


def test_exif_goes_before_jfif_and_both_agree_in_the_output(tmp_path: Path) -> None:
    Image.fromarray(smooth(3)).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + block(), dpi=(72, 72))
    picture = read_picture(tmp_path / "a.jpg")
    assert picture.dpi == (300, 300)
    write_picture(picture, tmp_path / "b.jpg")
    with Image.open(tmp_path / "b.jpg") as image:
        assert image.info["jfif_density"] == (300, 300)
        assert image.getexif()[282] == 300
    write_picture(picture, tmp_path / "b.webp")
    assert picture.notes == []  # EXIF holds the resolution of a WebP


@pytest.mark.parametrize("seed", range(40))
def test_damaged_exif_neither_stops_nor_grows(seed: int) -> None:
    rng = random.Random(seed)
    whole = block(order=rng.choice("<>"), small=thumbnail((160, 120)), orientation=6)
    picture = blue((40, 30))
    for _ in range(20):
        exif = bytearray(whole[: rng.choice([len(whole), rng.randrange(len(whole))])])
        for _ in range(rng.randrange(1, 12)):
            place = rng.randrange(min(len(exif), 700) or 1)
            exif[place : place + 1] = bytes([rng.choice([0, 1, 8, 255, rng.randrange(256)])])
        assert len(agreeing(bytes(exif), picture)) == len(exif)


@pytest.mark.parametrize("following", [8, 0xFFFFFFF0, 100])
def test_a_chain_that_loops_or_leaves_the_block_ends(following: int) -> None:
    exif = bytearray(block())
    (count,) = struct.unpack_from("<H", exif, 8)
    struct.pack_into("<I", exif, 10 + 12 * count, following)
    agreed = agreeing(bytes(exif), blue())
    assert struct.unpack_from("<I", agreed, 10 + 12 * count) == (0,)
    assert piexif.load(b"Exif\0\0" + agreed)["Exif"][piexif.ExifIFD.PixelXDimension] == 400


def facts(path: Path) -> dict[str, Any]:
    """What exiftool reads, with its warnings."""
    command = ["exiftool", "-validate", "-warning", "-a", "-G1", "-j", "-MakerNotes:all", "-EXIF:all", str(path)]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)[0]
    return found


@pytest.mark.skipif(not shutil.which("exiftool"), reason="exiftool is not installed")
@pytest.mark.parametrize("order", ["<", ">"])
def test_exiftool_reads_the_same_facts_before_and_after(tmp_path: Path, order: str) -> None:
    exif = block(order=order, small=thumbnail((160, 120)))
    Image.fromarray(smooth(3)).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + exif)
    picture = read_picture(tmp_path / "a.jpg")
    write_picture(picture, tmp_path / "b.jpg")
    before, after = facts(tmp_path / "a.jpg"), facts(tmp_path / "b.jpg")
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    sizes = {f"{kind}Image{side}" for kind in ("", "Exif", "Related") for side in ("Width", "Height")}
    assert {name.rpartition(":")[2] for name in changed} <= sizes | {"SourceFile", "ThumbnailLength", "ThumbnailImage"}

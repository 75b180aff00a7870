"""Every cell of docs/formats.md: reads the files of other libraries, and compares their copies."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
from odd_files import (
    COMMENT,
    DEPTHS,
    GAMMA,
    MAKERS,
    TEXT,
    XMP,
    Odd,
    exif_block,
    opacities,
    palette,
    profile_of,
    samples,
)
from PIL import Image, ImageCms

from restore.errors import PictureError
from restore.images import Picture, holds_pages, read_pages, read_picture, write_pages, write_picture

DOCS = Path(__file__).parents[2] / "docs" / "formats.md"
NONE = "-"
LOSSY = {"JPEG", "AVIF", "HEIC"}
FIELDS = {"ICC": "icc_profile", "EXIF": "exif", "XMP": "xmp", "resolution": "dpi", "comment": "comment", "text": "text"}
CONVERTED = FIELDS | {"IPTC": "iptc"}


def tables() -> list[dict[tuple[str, str], str]]:
    """(row, column) -> cell of the tables in the document."""
    found: list[dict[tuple[str, str], str]] = []
    columns: list[str] = []
    for line in DOCS.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|"):
            columns = []
        elif not columns:
            columns = cells[1:]
            found.append({})
        elif not set(line) <= set("|-: "):
            found[-1] |= {(cells[0], column): cell for column, cell in zip(columns, cells[1:], strict=True)}
    return found


ROUND_TRIP, CONVERSION = tables()[:2]


def made(name: str, colours: str = "RGB", depth: str = "8", *extras: str) -> bytes | None:
    return MAKERS[name][0](Odd(colours, depth, frozenset(extras)))


def round_trip(name: str, data: bytes, folder: Path) -> tuple[Picture, Picture]:
    """The picture in a file, and in its copy in the default format."""
    source = folder / f"a{MAKERS[name][1]}"
    source.write_bytes(data)
    first = read_picture(source)
    target = folder / ("b.tif" if name == "RAW" else f"b{source.suffix}")
    write_picture(first, target)
    return first, read_picture(target)


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference, as a fraction of white."""
    whites = [1.0 if v.dtype.kind == "f" else float(np.iinfo(v.dtype).max) for v in (a, b)]
    return float(np.abs(a / whites[0] - b / whites[1]).max())


def expected(name: str, colours: str, depth: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels and opacity in the files of `odd_files`, in [0, 1]."""
    values = samples(colours, depth)
    if "palette" in colours:
        index = values[..., 0]
        return palette()[index] / 255, opacities()[index] / 255 if "alpha" in colours else None
    scaled = values / DEPTHS[depth]
    return (scaled[..., :-1], scaled[..., -1]) if values.shape[2] in (2, 4) else (scaled, None)


def tolerance(name: str) -> float:
    """The largest error of the compression, as a fraction of white."""
    return 0.08 if name in LOSSY else 0.0


def pixels_cell(colours: str, depth: str, name: str, folder: Path) -> str:
    """The cell for one kind of pixels."""
    data = made(name, colours, depth)
    if data is None:
        return NONE
    try:
        first, again = round_trip(name, data, folder)
    except PictureError as error:
        assert error.hint
        return "refused"
    pixels, alpha = expected(name, colours, depth)
    near = max(tolerance(name), 1 / 65535)
    found = first.pixels if first.pixels.dtype.kind == "f" else first.pixels / np.iinfo(first.pixels.dtype).max
    assert np.abs(found - pixels).max() <= near
    assert (first.alpha is None) == (again.alpha is None) == (alpha is None)
    if alpha is not None and first.alpha is not None and again.alpha is not None:
        assert difference(first.alpha, alpha) <= near
        assert difference(again.alpha, first.alpha) <= near
        clear = alpha == 0
        assert np.abs(found[clear] - pixels[clear]).max() <= near  # colours under full transparency
    lost_depth = again.pixels.dtype.itemsize < first.pixels.dtype.itemsize
    rounding = 0.51 / 255 if lost_depth else 0.51 / 4095 if name == "HEIC" else 0.0
    assert difference(*np.broadcast_arrays(again.pixels, first.pixels)) <= max(tolerance(name), rounding)
    words = []
    if again.pixels.shape[2] != (1 if colours.startswith("grey") else 3):
        words.append("→ RGB" if again.pixels.shape[2] == 3 else "→ grey")
    elif "palette" in colours:
        words.append("→ RGBA" if alpha is not None else "→ RGB")
    if bits := re.search(r"holds (\d+) bits", " ".join(first.notes)):
        words.append(f"→ {bits[1]} bits, noted")
    else:
        assert not lost_depth
    return ", ".join(words) or "kept"


def sixteen_bit_cell(name: str, folder: Path) -> str:
    if name != "RAW":
        return pixels_cell("RGB", "16", name, folder)
    data = made("RAW", "RGB", "16")
    assert data is not None
    first, again = round_trip(name, data, folder)
    np.testing.assert_array_equal(first.pixels, again.pixels)
    assert first.pixels.dtype == np.uint16
    assert "developed" in first.notes[0]
    dark, bright = (first.pixels[20:40, at].mean(axis=(0, 1)) / 65535 for at in (slice(10, 30), slice(66, 86)))
    assert np.ptp(dark) < 0.01  # a grey card is grey under the light that the file states
    light = [((v.mean() + 0.055) / 1.055) ** 2.4 for v in (dark, bright)]  # of sRGB
    assert light[1] / light[0] == pytest.approx(2, rel=0.02)
    return "developed, noted"


def one_bit_cell(name: str, folder: Path) -> str:
    data = made(name, "1 bit")
    if data is None:
        return NONE
    first, again = round_trip(name, data, folder)
    for picture in (first, again):
        np.testing.assert_array_equal(picture.pixels, np.where(samples("grey") > 127, 255, 0))
    return "→ 8-bit grey"


def twelve_bit_cell(name: str, folder: Path) -> str:
    """The cell for 10 and 12 bits, of which a format may have one."""
    cells = {pixels_cell("RGB", depth, name, folder) for depth in ("10", "12")} - {NONE}
    assert len(cells) <= 1
    cell = cells.pop() if cells else NONE
    return "→ 16 bits" if cell == "kept" else cell


def cmyk_cell(name: str, folder: Path) -> str:
    data = made(name, "CMYK")
    if data is None:
        return NONE
    first, again = round_trip(name, data, folder)
    plain = np.asarray(Image.frombytes("CMYK", (56, 40), samples("CMYK").tobytes()).convert("RGB"))
    assert difference(first.pixels, plain) <= max(tolerance(name), 1e-6)
    assert difference(again.pixels, first.pixels) <= max(tolerance(name), 1e-6)
    assert first.notes == ["CMYK without a usable profile became RGB; colours are approximate"]
    return "→ RGB, noted"


def metadata_cell(row: str, name: str, folder: Path) -> str:
    data = made(name, "RGB", "16" if name == "RAW" else "8", {"resolution": "dpi"}.get(row, row.lower()))
    if data is None:
        return NONE
    first, again = round_trip(name, data, folder)
    field = FIELDS[row]
    one, two = getattr(first, field), getattr(again, field)
    if not two:
        assert any(word in " ".join(first.notes).lower() for word in ("dropped",))
        return "dropped, noted"
    if row == "resolution":
        assert one == pytest.approx((300, 150), abs=0.02)
        assert two == pytest.approx(one, abs=0.02)
        return "kept"
    if row == "EXIF" and name in ("TIFF", "RAW"):
        for block in (one, two):
            tags = Image.Exif()
            tags.load(block)
            assert tags[271] == "Maker"
        return "descriptive tags"
    if row == "EXIF" and name == "AVIF":  # which Pillow packed anew when it made the file
        assert b"maker note \x00\x01\xff" in one
        assert two == one
        return "kept"
    known = {"ICC": profile_of("RGB"), "EXIF": exif_block(), "XMP": XMP, "comment": COMMENT, "text": [TEXT]}
    assert one == known[row]
    assert two == known[row]
    return "kept"


def gamma_cell(name: str, folder: Path) -> str:
    data = made(name, "RGB", "8", "gamma")
    if data is None:
        return NONE
    first, again = round_trip(name, data, folder)
    assert first.colour == again.colour == {b"gAMA": GAMMA}
    return "kept"


def orientation_cell(name: str, folder: Path) -> str:
    deep = "16" if name == "RAW" else "8"
    data, plain = made(name, "RGB", deep, "turned"), made(name, "RGB", deep)
    if data is None or plain is None:
        return NONE
    upright = round_trip(name, plain, folder)[0].pixels
    first, again = round_trip(name, data, folder)
    for picture in (first, again):
        assert picture.pixels.shape == np.rot90(upright, -1).shape
        assert difference(picture.pixels, np.rot90(upright, -1)) <= max(2 * tolerance(name), 0.02 * (name == "RAW"))
    copy = folder / f"b{'.tif' if name == 'RAW' else MAKERS[name][1]}"
    if name == "HEIC":
        assert np.asarray(pillow_heif.read_heif(copy)).shape == again.pixels.shape
        assert b"irot" not in copy.read_bytes()
    elif name not in ("JPEG 2000", "JPEG XL"):  # whose EXIF Pillow does not read
        with Image.open(copy) as image:
            assert image.getexif().get(274, 1) == 1
    return "applied once"


def pages_cell(name: str, folder: Path) -> str:
    data = made(name, "RGB", "8", "pages")
    if data is None:
        return NONE
    first, _ = round_trip(name, data, folder)
    assert difference(first.pixels, samples("RGB")) <= tolerance(name)
    assert first.notes == ["only the first of 2 pictures in the file is used"]
    pages = list(read_pages(io.BytesIO(data)))
    if not holds_pages(first.source_format, first):
        (only,) = pages
        assert only.notes == first.notes
        return "first, noted"
    copy = folder / f"b{MAKERS[name][1]}"
    write_pages(iter(pages), copy)
    for page, again in zip(pages, read_pages(copy), strict=True):
        assert difference(page.pixels, again.pixels) == 0
        assert page.notes == []
    return "all kept"


def compression_cell(name: str, folder: Path) -> str:
    """The cell for the compression of the copy."""
    depth = "16" if name == "RAW" else "8"
    data = made(name, "RGB", depth)
    assert data is not None
    first, again = round_trip(name, data, folder)
    is_exact = np.array_equal(first.pixels, again.pixels)
    assert is_exact == (name not in LOSSY)
    lossy = made(name, "RGB", depth, "lossy")
    if name in ("WebP", "JPEG 2000", "JPEG XL"):
        assert lossy is not None
        first, again = round_trip(name, lossy, folder)
        assert not first.source_is_lossless
        assert not np.array_equal(first.pixels, again.pixels)
        return "as the source's"
    if name == "JPEG":
        assert first.jpeg_quality == again.jpeg_quality == 97
        return "no coarser than the source's"
    return "quality 95, full chroma" if name in LOSSY else "lossless"


def truncated_cell(name: str, folder: Path) -> str:
    data = made(name, "RGB", "16" if name == "RAW" else "8")
    assert data is not None
    path = folder / f"a{MAKERS[name][1]}"
    for part in (0.02, 0.3, 0.4) if name == "TIFF" else (0.02, 0.3, 0.6, 0.9):
        path.write_bytes(data[: int(len(data) * part)])
        with pytest.raises(PictureError) as caught:
            read_picture(path)
        assert caught.value.hint
        assert str(path) in caught.value.message
    if name != "TIFF":
        return "refused"
    path.write_bytes(data[: int(len(data) * 0.7)])
    assert "cut short" in str(read_picture(path).damage)
    return "read, noted where most is there"


def depth_conversion(depth: str, name: str, folder: Path) -> str:
    pixels = samples("RGB", depth)
    picture, found = converted(Picture(pixels), name, folder)
    lost = difference(found.pixels, pixels)
    bits = re.search(r"(\d+) bits", " ".join(picture.notes[::-1]))
    if not bits:
        assert lost == 0
        return "kept"
    assert lost <= max(tolerance(name), 0.51 / (2 ** int(bits[1]) - 1))
    return f"→ {bits[1]} bits, noted"


def transparency_conversion(colours: str, name: str, folder: Path) -> str:
    values = samples(colours)
    try:
        picture, found = converted(Picture(values[..., :-1], values[..., -1]), name, folder)
    except PictureError as error:
        assert error.hint
        return "refused"
    assert found.alpha is not None
    assert difference(found.alpha, values[..., -1]) <= tolerance(name)
    assert difference(*np.broadcast_arrays(found.pixels, values[..., :-1])) <= tolerance(name)
    assert not picture.notes
    return "kept" if found.pixels.shape[2] == values.shape[2] - 1 else "→ RGB"


def metadata_conversion(row: str, name: str, folder: Path) -> str:
    field = CONVERTED[row]
    values: dict[str, Any] = {"ICC": profile_of("RGB"), "EXIF": exif_block(), "XMP": XMP, "resolution": (300.0, 150.0)}
    values |= {"comment": COMMENT, "text": [TEXT], "IPTC": b"\x1c\x02\x05\0\x05Title"}
    picture, found = converted(Picture(samples("RGB"), **{field: values[row]}), name, folder)
    kept = getattr(found, field)
    if row == "EXIF" and kept and kept != exif_block():
        tags = Image.Exif()
        tags.load(kept)
        assert b"maker note \x00\x01\xff" in kept
        assert tags[271] == "Maker"
        return "descriptive tags"
    if row == "comment" and found.text:
        assert found.text == [(b"iTXt", b"Comment\0\0\0\0\0" + COMMENT)]
        return "as text"
    if kept:
        assert kept == (pytest.approx(values[row], abs=0.02) if row == "resolution" else values[row])
        assert not picture.notes
        return "kept"
    assert "dropped" in picture.notes[0]
    return "dropped, noted"


def gamma_conversion(name: str, folder: Path) -> str:
    picture, found = converted(Picture(samples("RGB"), colour={b"gAMA": GAMMA}), name, folder)
    if found.colour:
        assert found.colour == picture.colour
        return "kept"
    if found.icc_profile:
        # Level 128 means (128 / 255) ** 1.8 of white's light; sRGB's curve encodes that light.
        to_srgb = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(found.icc_profile)), ImageCms.createProfile("sRGB"), "RGB", "RGB"
        )
        shown = to_srgb.apply(Image.new("RGB", (1, 1), (128, 128, 128))).getpixel((0, 0))
        light = (128 / 255) ** 1.8
        assert shown == pytest.approx(3 * [255 * (1.055 * light ** (1 / 2.4) - 0.055)], abs=1.5)
        return "as a profile"
    assert "colour profile; dropped" in picture.notes[0]
    return "dropped, noted"


def converted(picture: Picture, name: str, folder: Path) -> tuple[Picture, Picture]:
    """The picture after writing and the file as it is read."""
    path = folder / f"a{COLUMNS[name]}"
    write_picture(picture, path)
    return picture, read_picture(path)


COLUMNS = {name: suffix for name, (_, suffix) in MAKERS.items() if name != "RAW"} | {".j2k": ".j2k"}

CONVERSIONS: dict[str, Callable[[str, Path], str]] = {
    "16 bits": partial(depth_conversion, "16"),
    "floats": partial(depth_conversion, "float"),
    "transparency": partial(transparency_conversion, "RGBA"),
    "grey with transparency": partial(transparency_conversion, "grey + alpha"),
    **{row: partial(metadata_conversion, row) for row in CONVERTED},
    "gamma, primaries": gamma_conversion,
}

ROWS: dict[str, Callable[[str, Path], str]] = {
    "8 bits": partial(pixels_cell, "RGB", "8"),
    "10, 12 bits": twelve_bit_cell,
    "16 bits": sixteen_bit_cell,
    "floats": partial(pixels_cell, "RGB", "float"),
    "1 bit": one_bit_cell,
    "grey": partial(pixels_cell, "grey", "8"),
    "grey, 16 bits": partial(pixels_cell, "grey", "16"),
    "grey with transparency": partial(pixels_cell, "grey + alpha", "8"),
    "the same, 16 bits": partial(pixels_cell, "grey + alpha", "16"),
    "transparency": partial(pixels_cell, "RGBA", "8"),
    "transparency, 16 bits": partial(pixels_cell, "RGBA", "16"),
    "palette": partial(pixels_cell, "palette", "8"),
    "palette with transparency": partial(pixels_cell, "palette + alpha", "8"),
    "CMYK": cmyk_cell,
    **{row: partial(metadata_cell, row) for row in FIELDS},
    "gamma, primaries": gamma_cell,
    "orientation": orientation_cell,
    "several pictures": pages_cell,
    "compression": compression_cell,
    "cut short": truncated_cell,
}


@pytest.mark.parametrize(("row", "name"), ROUND_TRIP)
def test_every_cell_of_the_table_of_formats_holds(row: str, name: str, tmp_path: Path) -> None:
    assert ROWS[row](name, tmp_path) == ROUND_TRIP[row, name]


@pytest.mark.parametrize(("row", "name"), CONVERSION)
def test_every_cell_of_the_table_of_conversions_holds(row: str, name: str, tmp_path: Path) -> None:
    assert CONVERSIONS[row](name, tmp_path) == CONVERSION[row, name]


def test_the_tables_are_whole() -> None:
    assert set(ROUND_TRIP) == {(row, name) for row in ROWS for name in MAKERS}
    assert set(CONVERSION) == {(row, name) for row in CONVERSIONS for name in COLUMNS}

"""Chunks of PNG and WebP: kept, void or noted; each note is compared with the file that was written."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from odd_files import _ADAM7, HEIGHT, WIDTH, Odd, chunk, exif_block, profile_of
from odd_files import png as odd_png
from PIL import Image

from restore.errors import PictureError
from restore.images import Picture, read_picture, write_picture

SHAPE = (6, 8)
LEVELS = (struct.pack(">8HII", 13250, 34500, 7500, 3000, 34000, 16000, 15635, 16450, 10_000_000, 50), bytes(8))


def png(*chunks: bytes, colour: int = 2, depth: int = 8, rest: bytes = b"") -> bytes:
    """A PNG by hand; `chunks` stand before its pixels."""
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour] * depth // 8
    head = struct.pack(">IIBBBBB", SHAPE[1], SHAPE[0], depth, colour, 0, 0, 0)
    rows = b"".join(b"\0" + bytes(range(samples * SHAPE[1])) for _ in range(SHAPE[0]))
    if colour == 3:
        rows = bytes(SHAPE[0] * (SHAPE[1] + 1))
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(chunks)
    return data + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"") + rest


def chunks_of(data: bytes) -> list[tuple[bytes, bytes]]:
    """Name and data of each chunk, with its checksum tested."""
    found, at = [], 8
    while at < len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", data, at + 8 + length)[0] == zlib.crc32(name + body)
        found.append((name, body))
        at += 12 + length
    return found


def copied(data: bytes, name: str = "PNG") -> tuple[Picture, bytes]:
    """The picture after writing, with its notes, and the file."""
    picture = read_picture(io.BytesIO(data))
    file = io.BytesIO()
    write_picture(picture, file, format=name)
    return picture, file.getvalue()


KEPT = {
    b"cICP": bytes((9, 16, 0, 1)),
    b"mDCV": LEVELS[0],
    b"cLLI": LEVELS[1],
    b"oFFs": struct.pack(">iiB", 5, 6, 0),
    b"vpAg": b"for the page of a program",
    b"pHYs": struct.pack(">IIB", 4, 3, 0),  # pixels of 4:3, and no density
    b"bKGD": struct.pack(">HHH", 1, 2, 3),
    b"tEXt": b"Author\0somebody",
}
VOID = {
    b"tIME": struct.pack(">HBBBBB", 2020, 1, 2, 3, 4, 5),
    b"sBIT": bytes((5, 6, 5)),
    b"sPLT": b"few\0\x08" + bytes(6),
    b"iDOT": bytes(28),
}
DROPPED = {
    b"caBX": "content credentials (C2PA)",
    b"dSIG": "digital signature",
    b"gmAP": "gain map",
    b"gdAT": "gain map",
    b"sTER": "the chunk sTER",
    b"prVT": "the chunk prVT",
}


@pytest.mark.parametrize("name", KEPT)
def test_a_chunk_that_fits_the_restored_picture_is_kept_without_a_note(name: bytes) -> None:
    picture, data = copied(png(chunk(name, KEPT[name])))
    assert (name, KEPT[name]) in chunks_of(data)
    assert picture.notes == []
    assert np.asarray(Image.open(io.BytesIO(data))).shape == (*SHAPE, 3)


@pytest.mark.parametrize("name", VOID)
def test_a_chunk_about_the_coding_of_the_old_file_is_left_out_without_a_note(name: bytes) -> None:
    picture, data = copied(png(chunk(name, VOID[name])))
    assert name not in dict(chunks_of(data))
    assert picture.notes == []


def test_chunks_about_the_unrestored_picture_are_dropped_with_one_note() -> None:
    picture, data = copied(png(*(chunk(name, b"data") for name in DROPPED)))
    assert not set(DROPPED) & set(dict(chunks_of(data)))
    words = ", ".join(dict.fromkeys(DROPPED.values()))
    assert picture.notes == [f"parts that describe the unrestored picture are dropped: {words}"]


@pytest.mark.parametrize("name", ["JPEG", "WEBP", "TIFF"])
def test_kept_chunks_are_noted_where_the_format_has_no_place_for_them(name: str) -> None:
    picture, data = copied(png(chunk(b"cICP", bytes((9, 16, 0, 1))), chunk(b"cLLI", LEVELS[1])), name)
    assert b"cLLI" not in data
    assert [note for note in picture.notes if "cLLI" in note] == [
        f"{'WebP' if name == 'WEBP' else name} has no place for the chunks cLLI; dropped"
    ]


def test_the_background_of_a_palette_becomes_its_colour() -> None:
    palette = chunk(b"PLTE", bytes((1, 2, 3, 250, 160, 7)))
    _, data = copied(png(palette, chunk(b"bKGD", b"\1"), colour=3))
    assert dict(chunks_of(data))[b"bKGD"] == struct.pack(">HHH", 250, 160, 7)
    _, data = copied(png(palette, chunk(b"bKGD", b"\x09"), colour=3))
    assert b"bKGD" not in dict(chunks_of(data))


def test_a_background_that_does_not_fit_the_new_colours_is_left_out() -> None:
    picture = read_picture(io.BytesIO(png(chunk(b"bKGD", b"\0\x09"), colour=0)))
    assert picture.parts == [(b"bKGD", b"\0\x09")]
    picture.pixels = np.repeat(picture.pixels, 3, axis=2)  # as a mosaic becomes a photo
    file = io.BytesIO()
    write_picture(picture, file, format="PNG")
    assert b"bKGD" not in dict(chunks_of(file.getvalue()))


def test_the_shape_of_a_pixel_turns_with_the_picture() -> None:
    exif = Image.Exif()
    exif[274] = 6  # to be turned by a quarter
    _, data = copied(png(chunk(b"pHYs", KEPT[b"pHYs"]), chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))))
    assert dict(chunks_of(data))[b"pHYs"] == struct.pack(">IIB", 3, 4, 0)
    with Image.open(io.BytesIO(data)) as image:
        assert image.size == SHAPE


def test_bytes_after_the_picture_are_noted() -> None:
    picture, data = copied(png(rest=b"an older picture"))
    assert picture.notes == ["16 bytes after the picture are dropped"]
    assert data.endswith(chunk(b"IEND", b""))


def test_an_unknown_chunk_that_changes_the_pixels_is_refused() -> None:
    with pytest.raises(PictureError, match="its chunk 'CgBI' changes the meaning of the pixels") as caught:
        read_picture(io.BytesIO(png(chunk(b"CgBI", bytes(4)))))
    assert caught.value.hint


@pytest.mark.parametrize("colour", [0, 2, 4, 6])
@pytest.mark.parametrize("depth", [8, 16])
def test_kept_chunks_stand_where_readers_accept_them(colour: int, depth: int) -> None:
    wanted = [chunk(name, data) for name, data in KEPT.items() if name != b"bKGD"]
    _, data = copied(png(*wanted, chunk(b"bKGD", KEPT[b"bKGD"][: 6 if colour & 2 else 2]), colour=colour, depth=depth))
    names = [name for name, _ in chunks_of(data)]
    assert names[0] == b"IHDR" and names[-1] == b"IEND"
    assert max(names.index(name) for name in KEPT) < names.index(b"IDAT")
    assert set(names) == {b"IHDR", *KEPT, b"IDAT", b"IEND"}


@pytest.mark.parametrize("colour", [0, 2, 3, 6])
@pytest.mark.parametrize("depth", [1, 8])
def test_pixels_that_end_early_are_refused_and_flat_ones_are_not(colour: int, depth: int) -> None:
    if depth == 1 and colour in (2, 6):
        return  # there are no such files
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 50, 40, depth, colour, 0, 0, 0))
    start = b"\x89PNG\r\n\x1a\n" + head + (chunk(b"PLTE", bytes((9, 9, 9, 200, 1, 2))) if colour == 3 else b"")
    row = bytes(1 + (50 * depth * {0: 1, 2: 3, 3: 1, 6: 4}[colour] + 7) // 8)
    for rows, is_whole in ((40, True), (39, False), (5, False)):
        file = io.BytesIO(start + chunk(b"IDAT", zlib.compress(row * rows)) + chunk(b"IEND", b""))
        if is_whole:
            assert read_picture(file).pixels.shape[:2] == (40, 50)
        else:
            with pytest.raises(PictureError, match="its pixels end early"):
                read_picture(file)


def test_an_interlaced_flat_picture_is_whole() -> None:
    odd = odd_png(Odd("grey", "8", frozenset({"interlaced"})))
    assert odd is not None
    head = odd[:33]
    length = sum(-(-(HEIGHT - top) // down) * (1 + -(-(WIDTH - left) // across)) for top, left, down, across in _ADAM7)
    for missing in (0, 1):
        file = io.BytesIO(head + chunk(b"IDAT", zlib.compress(bytes(length - missing))) + chunk(b"IEND", b""))
        if missing:
            with pytest.raises(PictureError, match=r"ends? early"):
                read_picture(file)
        else:
            assert read_picture(file).pixels.max() == 0


# WebP


def webp(*chunks: tuple[bytes, bytes], rest: bytes = b"") -> bytes:
    """A lossless WebP with metadata and further chunks."""
    file = io.BytesIO()
    Image.new("RGB", SHAPE[::-1], (10, 20, 30)).save(file, "WEBP", lossless=True, icc_profile=profile_of("RGB"))
    body = file.getvalue()[12:] + b"".join(n + struct.pack("<I", len(d)) + d + bytes(len(d) % 2) for n, d in chunks)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body + rest


def riff(data: bytes) -> list[tuple[bytes, bytes]]:
    """Name and data of each chunk of a RIFF."""
    assert struct.unpack_from("<I", data, 4)[0] == len(data) - 8
    found, at = [], 12
    while at < len(data):
        name, length = struct.unpack_from("<4sI", data, at)
        found.append((name, data[at + 8 : at + 8 + length]))
        at += 8 + length + length % 2
    return found


def test_unknown_chunks_of_a_webp_are_kept() -> None:
    picture, data = copied(webp((b"ABCD", b"odd"), (b"wxyz", b"even")), "WEBP")
    found = riff(data)
    assert found[-2:] == [(b"ABCD", b"odd"), (b"wxyz", b"even")]
    assert dict(found)[b"ICCP"] == profile_of("RGB")
    assert picture.notes == []
    with Image.open(io.BytesIO(data)) as image:
        assert image.getpixel((0, 0)) == (10, 20, 30)
        assert image.info["icc_profile"] == profile_of("RGB")


def test_content_credentials_of_a_webp_and_bytes_after_it_are_noted() -> None:
    picture, data = copied(webp((b"C2PA", b"signed"), rest=b"more"), "WEBP")
    assert b"C2PA" not in data
    assert picture.notes == [
        "parts that describe the unrestored picture are dropped: content credentials (C2PA)",
        "4 bytes after the picture are dropped",
    ]


def test_unknown_chunks_of_a_webp_are_noted_where_they_are_dropped() -> None:
    picture, data = copied(webp((b"ABCD", b"odd")), "PNG")
    assert b"ABCD" not in data
    assert picture.notes == ["PNG has no place for the chunks ABCD; dropped"]


@pytest.mark.parametrize(("kind", "head"), [("exif", b"Exif\0\0"), ("APP1", b"Exif\0\0"), ("xmp", b"")])
def test_exif_and_xmp_in_text_are_read_byte_for_byte(kind: str, head: bytes) -> None:
    held = exif_block(1) if head else b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
    text = f"\n{kind.lower()}\n{len(head + held):8}\n{(head + held).hex()}\n".encode()
    for data in (b"zTXt", b"\0\0" + zlib.compress(text)), (b"tEXt", b"\0" + text):
        picture, written = copied(png(chunk(data[0], f"Raw profile type {kind}".encode() + data[1])))
        assert (picture.exif if head else picture.xmp) == held
        assert [name for name, _ in chunks_of(written)].count(b"eXIf" if head else b"iTXt") == 1
        assert b"Raw profile" not in written
        assert not picture.notes

"""Every segment of a JPEG is kept, made void on purpose, or noted."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from made_files import exif_block, smooth
from made_jpegs import (
    EXTENSION_HEAD,
    XMP_HEAD,
    copied,
    extension_segments,
    packet,
    plain,
    resource,
    segment,
    segments_of,
    with_segments,
    xmp_segment,
)
from PIL import Image, IptcImagePlugin

from restore.images import Picture, read_picture, write_picture

IPTC = b"\x1c\x02\x05\0\x05Title" + b"\x1c\x02\x19\0\x03key"
NOTE = "xmlns:xmpNote='http://ns.adobe.com/xmp/note/'"
DEPTH = "xmlns:GDepth='http://ns.google.com/photos/1.0/depthmap/'"


def exiftool(path: Path, *options: str) -> dict[str, Any]:
    if not shutil.which("exiftool"):
        pytest.skip("needs exiftool")
    done = subprocess.run(["exiftool", "-j", "-G1", "-a", *options, str(path)], capture_output=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)[0]
    return found


def long_xmp(size: int) -> tuple[bytes, bytes]:
    """A main packet and an extended one of about `size` bytes."""
    extended = packet(DEPTH, f"<GDepth:Data>{'QUJD' * (size // 4)}</GDepth:Data>")
    digest = hashlib.md5(extended).hexdigest().upper()
    main = packet(f"{NOTE} xmpNote:HasExtendedXMP='{digest}' xmlns:a='b' a:c='&#233;&amp;d'")
    return main, extended


def test_iptc_and_other_photoshop_resources_survive_but_for_thumbnails(tmp_path: Path) -> None:
    digest = resource(0x0425, hashlib.md5(IPTC).digest())
    held = resource(0x0404, IPTC) + digest + resource(0x040A, b"\1") + resource(0x040C, b"thumbnail!")
    picture, data = copied(with_segments(segment(0xED, b"Photoshop 3.0\0" + held)), tmp_path)
    assert picture.iptc == IPTC
    written = dict(segments_of(data))[0xED]
    assert written == b"Photoshop 3.0\0" + resource(0x0404, IPTC) + digest + resource(0x040A, b"\1")
    with Image.open(io.BytesIO(data)) as image:
        found = IptcImagePlugin.getiptcinfo(image)
        assert found is not None
        assert (found[2, 5], found[2, 25]) == (b"Title", b"key")
    assert not picture.notes


def test_paths_go_where_exif_turns_the_picture(tmp_path: Path) -> None:
    held = resource(0x07D0, bytes(26)) + resource(0x040A, b"\1")
    turned = segment(0xE1, b"Exif\0\0" + exif_block(6))
    picture, data = copied(with_segments(turned, segment(0xED, b"Photoshop 3.0\0" + held)), tmp_path)
    assert dict(segments_of(data))[0xED] == b"Photoshop 3.0\0" + resource(0x040A, b"\1")
    assert picture.notes == ["paths, guides and slices of Photoshop do not fit the turned picture; they are dropped"]


def test_other_iptc_voids_its_digest(tmp_path: Path) -> None:
    held = resource(0x0404, IPTC) + resource(0x0425, hashlib.md5(IPTC).digest()) + resource(0x040A, b"\1")
    (tmp_path / "a.jpg").write_bytes(with_segments(segment(0xED, b"Photoshop 3.0\0" + held)))
    picture = read_picture(tmp_path / "a.jpg")
    picture.iptc = b"\x1c\x02\x05\0\x03New"
    write_picture(picture, tmp_path / "b.jpg")
    written = dict(segments_of((tmp_path / "b.jpg").read_bytes()))[0xED]
    assert written == b"Photoshop 3.0\0" + resource(0x0404, picture.iptc) + resource(0x040A, b"\1")


def test_iptc_of_another_format_is_written(tmp_path: Path) -> None:
    write_picture(Picture(smooth(3), iptc=IPTC), tmp_path / "a.jpg")
    assert read_picture(tmp_path / "a.jpg").iptc == IPTC


def test_resources_of_several_segments_are_one_and_damaged_ones_are_noted(tmp_path: Path) -> None:
    long = resource(0x0404, IPTC * 6_000)
    parts = [segment(0xED, b"Photoshop 3.0\0" + long[k : k + 60_000]) for k in range(0, len(long), 60_000)]
    picture, data = copied(with_segments(*parts), tmp_path)
    assert picture.iptc == IPTC * 6_000
    (tmp_path / "c.jpg").write_bytes(data)
    assert read_picture(tmp_path / "c.jpg").iptc == IPTC * 6_000
    picture, _ = copied(with_segments(segment(0xED, b"Photoshop 3.0\0" + resource(0x0404, IPTC) + b"8BIM\0")), tmp_path)
    assert picture.iptc == IPTC
    assert "Photoshop resources are damaged" in picture.notes[0]


def test_all_comments_and_unknown_segments_survive_in_their_order(tmp_path: Path) -> None:
    own = [(0xE5, b"SAMSUNG\1\2"), (0xEC, b"Ducky\0\1"), (0xE1, b"FLIR\0\1"), (0xE2, b"maker"), (0xE5, b"SAMSUNG\3")]
    comments = [(0xFE, b"one"), (0xFE, "zwei ü".encode()), (0xFE, b"\xff\0")]
    picture, data = copied(with_segments(*[segment(*s) for s in own + comments]), tmp_path)
    found = segments_of(data)
    assert [s for s in found if s in own] == own
    assert [s for s in found if s[0] == 0xFE] == comments
    assert not picture.notes
    picture, _ = copied(with_segments(*[segment(*s) for s in own + comments]), tmp_path, "b.png")
    assert "PNG has no place for further comments, APP5, APP12, APP1, APP2 of the JPEG; dropped" in picture.notes


def test_what_does_not_hold_for_the_restored_picture_is_dropped_with_a_note(tmp_path: Path) -> None:
    manifest = b"JP\0\1\0\0\0\1" + struct.pack(">I", 40) + b"jumb" + b"\0\0\0\x20jumdc2pa" + bytes(24)
    provenance = packet("xmlns:dcterms='http://purl.org/dc/terms/' dcterms:provenance='self#jumbf=c2pa'")
    for added, note in ((segment(0xEB, manifest), "C2PA"), (segment(0xE2, b"FPXR\0\0"), "FlashPix")):
        picture, data = copied(with_segments(xmp_segment(provenance), added), tmp_path)
        assert note in picture.notes[0]
        assert b"jumd" not in data
        assert b"FPXR" not in data
        assert (b"provenance" in data) == (note != "C2PA")


def test_segments_of_the_encoder_are_written_anew(tmp_path: Path) -> None:
    source = with_segments(segment(0xE0, b"JFXX\0\x10"), data=plain(keep_rgb=True))
    _, data = copied(source, tmp_path)
    assert [s[:1] for s in segments_of(data) if s[0] == 0xE0] == [(0xE0,)]
    assert 0xEE not in dict(segments_of(data))


@pytest.mark.parametrize("size", [2_000, 150_000])
def test_extended_xmp_is_joined_and_written_as_long_as_it_is(tmp_path: Path, size: int) -> None:
    main, extended = long_xmp(size)
    source = with_segments(xmp_segment(main), *reversed(extension_segments(extended, min(size // 2, 60_000))))
    picture, data = copied(source, tmp_path)
    assert picture.xmp is not None
    assert b"HasExtendedXMP" not in picture.xmp
    assert picture.xmp.count(b"QUJD") == size // 4
    assert not picture.notes
    pieces = [
        s[len(EXTENSION_HEAD) :] for code, s in segments_of(data) if code == 0xE1 and s.startswith(EXTENSION_HEAD)
    ]
    head = next(s for code, s in segments_of(data) if code == 0xE1 and s.startswith(XMP_HEAD))
    assert bool(pieces) == (size > 65_502)
    assert (b"HasExtendedXMP" in head) == bool(pieces)
    if pieces:
        whole = b"".join(piece[40:] for piece in pieces)
        digest = hashlib.md5(whole).hexdigest().upper().encode()
        assert {piece[:32] for piece in pieces} == {digest}
        assert b"HasExtendedXMP='" + digest + b"'" in head
        assert [struct.unpack(">II", piece[32:40]) for piece in pieces] == [
            (len(whole), sum(len(p) - 40 for p in pieces[:k])) for k in range(len(pieces))
        ]
    (tmp_path / "c.jpg").write_bytes(data)
    assert read_picture(tmp_path / "c.jpg").xmp is not None
    tags = exiftool(tmp_path / "c.jpg", "-XMP:all", "-warning", "-b")
    assert tags["XMP-GDepth:DepthImage"] == "ABC" * (size // 4)
    assert "ExifTool:Warning" not in tags
    write_picture(picture, tmp_path / "b.png")
    assert b"HasExtendedXMP" not in (tmp_path / "b.png").read_bytes()
    assert read_picture(tmp_path / "b.png").xmp == picture.xmp


def test_damaged_extended_xmp_is_noted_and_its_pointer_goes(tmp_path: Path) -> None:
    main, extended = long_xmp(100_000)
    pieces = extension_segments(extended)
    for broken in (pieces[:1], [], [pieces[0], pieces[1][:-1] + b"x"], [segment(0xE1, pieces[0][4:60])]):
        picture, data = copied(with_segments(xmp_segment(main), *broken), tmp_path)
        assert "extended XMP is damaged" in picture.notes[0]
        assert b"HasExtendedXMP" not in data
        assert b"&amp;d" in data


def test_xmp_that_cannot_be_divided_is_dropped_with_a_note(tmp_path: Path) -> None:
    picture = Picture(smooth(3), xmp=b"<a>" + b"x" * 70_000 + b"</a>")
    write_picture(picture, tmp_path / "a.jpg")
    assert picture.notes == ["the XMP is too long for JPEG; it is dropped"]
    assert read_picture(tmp_path / "a.jpg").xmp is None


def test_a_long_attribute_is_moved_to_extended_xmp(tmp_path: Path) -> None:
    data = packet(f"{DEPTH} GDepth:Data='{'QUJD' * 20_000}' GDepth:Near='1.5'", "<GDepth:Far>2</GDepth:Far>")
    write_picture(Picture(smooth(3), xmp=data), tmp_path / "a.jpg")
    again = read_picture(tmp_path / "a.jpg")
    assert not again.notes
    found = exiftool(tmp_path / "a.jpg", "-XMP:all", "-warning")
    assert (found["XMP-GDepth:Near"], found["XMP-GDepth:Far"]) == (1.5, 2)
    assert "ExifTool:Warning" not in found
    assert again.xmp is not None
    assert again.xmp.count(b"QUJD") == 20_000


def test_a_profile_of_several_segments_survives_and_a_torn_one_is_noted(tmp_path: Path) -> None:
    with Image.open(io.BytesIO(plain())) as image:
        assert "icc_profile" not in image.info
    head = b"\0\0\0\0test\4\0\0\0mntrRGB XYZ ".ljust(36, b"\0") + b"acsp"
    profile = head + bytes(range(256)) * 500
    parts = [profile[k : k + 50_000] for k in range(0, len(profile), 50_000)]
    torn = [segment(0xE2, b"ICC_PROFILE\0" + bytes((k + 1, len(parts))) + part) for k, part in enumerate(parts)]
    picture, data = copied(with_segments(*torn), tmp_path)
    assert picture.icc_profile == profile
    with Image.open(io.BytesIO(data)) as image:
        assert image.info["icc_profile"] == profile
    picture, data = copied(with_segments(*torn[:-1]), tmp_path)
    assert picture.icc_profile is None
    assert "the colour profile is damaged; it is dropped" in picture.notes


def test_a_file_of_countless_tiny_segments_is_read_quickly(tmp_path: Path) -> None:
    picture, _ = copied(with_segments(*[segment(0xE7, b"")] * 15_000), tmp_path)
    assert "15,000 unknown segments; 1,000 are kept" in picture.notes[0]

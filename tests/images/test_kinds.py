"""Files that are not read are called what they are, with what to do."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restore.errors import PictureError
from restore.images import kinds, read_picture


def saved(name: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 30)).save(file, name, **options)
    return file.getvalue()


def zipped(kind: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("mimetype", kind)
    return file.getvalue()


def numpy_file() -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


FILES = {
    "a Photoshop document (PSD)": b"8BPS\0\1" + bytes(20),
    "a large Photoshop document (PSB)": b"8BPS\0\2" + bytes(20),
    "an OpenEXR picture (EXR)": b"\x76\x2f\x31\x01\2\0\0\0",
    "a Radiance picture (HDR)": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n",
    "a drawing (SVG)": b'<?xml version="1.0"?>\n<!-- drawn -->\n<svg xmlns="http://www.w3.org/2000/svg">',
    "a PDF document": b"%PDF-1.7\n",
    "a PostScript document (EPS)": saved("EPS"),
    "an Illustrator drawing (AI)": b"%!PS-Adobe-3.0\n%%Creator: Adobe Illustrator(R) 8.0\n",
    "an icon (ICO)": saved("ICO"),
    "a texture (DDS)": saved("DDS"),
    "a Targa picture (TGA)": saved("TGA"),
    "a PCX picture": saved("PCX"),
    "an SGI picture": saved("SGI"),
    "an Apple icon (ICNS)": saved("ICNS"),
    "a portable pixmap (PNM)": saved("PPM"),
    "a portable float map (PFM)": b"PF\n4 4\n-1.0\n" + bytes(192),
    "an astronomical picture (FITS)": b"SIMPLE  =                    T",
    "a medical picture (DICOM)": bytes(128) + b"DICM\2\0",
    "a GIMP picture (XCF)": b"gimp xcf v011\0",
    "a Krita document (KRA)": zipped("application/x-krita"),
    "a layered OpenRaster picture (ORA)": zipped("image/openraster"),
    "a zip archive": zipped("something"),
    "a CorelDRAW drawing (CDR)": b"RIFF\x10\0\0\0CDRDvrsn",
    "a scanned DjVu document": b"AT&TFORM\0\0\1\0DJVU",
    "a FLIF picture": b"FLIF31\0",
    "a QOI picture": b"qoif\0\0\0\x10\0\0\0\x10\3\0",
    "a JPEG XR picture (JXR)": b"II\xbc\1\x20\0\0\0",
    "a Windows metafile (WMF)": b"\xd7\xcd\xc6\x9a\0\0",
    "a Windows metafile (EMF)": b"\1\0\0\0\x6c\0\0\0" + bytes(32) + b" EMF",
    "a video (MP4 or QuickTime)": b"\0\0\0\x18ftypisom\0\0\2\0isommp41",
    "a video (Matroska or WebM)": b"\x1a\x45\xdf\xa3\x93\x42",
    "a video (AVI)": b"RIFF\x10\0\0\0AVI LIST",
    "a sound file": b"ID3\4\0\0\0\0",
    "a tar archive": bytes(257).replace(b"\0", b"a") + b"ustar\0",
    "a gzip archive": b"\x1f\x8b\x08\0",
    "a 7z archive": b"7z\xbc\xaf\x27\x1c\0\4",
    "a RAR archive": b"Rar!\x1a\7\1\0",
    "a web page (HTML)": b"\n<!DOCTYPE html><html>",
    "JSON text": b'{"error": "not found"}',
    "text": "Grüße von der See\n".encode(),
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\n",
    "a program": b"\x7fELF\2\1\1",
    "macOS's side file of another file (AppleDouble)": b"\0\5\x16\7\0\2\0\0Mac OS X",
    "a link to a web page": b"[InternetShortcut]\r\nURL=https://example.org/a.jpg\r\n",
    "a sidecar of develop settings (XMP)": b'<x:xmpmeta xmlns:x="adobe:ns:meta/">',
    "a NumPy array": numpy_file(),
    "a video (MPEG)": b"\0\0\1\xba\x44",
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("suffix", [".jpg", "", ".nef"])
def test_content_names_the_kind_whatever_the_extension(name: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(FILES[name])
    with pytest.raises(PictureError) as caught:
        read_picture(path)
    assert caught.value.message == f"cannot read {path}: it is {name}"
    assert caught.value.hint


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("a.tga", "a Targa picture (TGA)"),
        ("a.ai", "an Illustrator drawing (AI)"),
        ("photo.jpg.crdownload", "an unfinished download"),
        ("a.gpr", "camera RAW of an unsupported kind"),
        ("a.svgz", "a compressed drawing (SVGZ)"),
    ],
)
def test_extension_names_what_the_content_does_not(file: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / file
    path.write_bytes({".ai": b"%PDF-1.5\n", ".svgz": b"\x1f\x8b\x08\0"}.get(path.suffix, b"\xee\xdd\1\2\3\4"))
    with pytest.raises(PictureError, match=f"it is {name}".replace("(", r"\(").replace(")", r"\)")):
        read_picture(path)


def test_unknown_content_and_zeros_have_their_own_words() -> None:
    for data, words in ((b"\xee\xdd\1\2\3\4", "not a picture in a known format"), (bytes(5000), "only zeros")):
        with pytest.raises(PictureError, match=words) as caught:
            read_picture(io.BytesIO(data))
        assert caught.value.hint


def test_every_readable_start_is_its_format() -> None:
    for name, kind in (("PNG", "PNG"), ("JPEG", "JPEG"), ("WEBP", "WEBP"), ("TIFF", "TIFF"), ("BMP", "BMP")):
        assert kinds.kind_of(saved(name)[: kinds.HEAD], ".txt") == kind


def test_every_name_has_an_article_and_a_hint_of_one_line() -> None:
    for kind in kinds._FOREIGN:
        assert kind.hint.isprintable() and not kind.hint.endswith(".")
        assert not kind.name[0].isspace() and kind.name.isprintable()
        assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in kind.suffixes.split())


def test_no_pattern_is_slow_on_a_long_head() -> None:
    import time

    heads = [b" " * 1024, b"<" * 1024, b"<!--" * 256, b"%!PS-Adobe" + b"A" * 1014, bytes(1024), b"<?xml " + b"<s" * 509]
    start = time.process_time()
    for head in heads:
        for pattern, _ in kinds._PATTERNS:
            pattern.match(head)
    assert time.process_time() - start < 0.5

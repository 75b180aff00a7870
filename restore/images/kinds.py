"""Names what a file is: the formats that `restore` reads, and those that people mistake for one."""

from __future__ import annotations

import re
from typing import NamedTuple

from restore.images import heif, jpeg2000, jpeg_xl, raw
from restore.images.picture import RAW_SUFFIXES, Refusal

HEAD = 1024
"""Bytes at the start of a file that decide its kind."""

_READABLE = "PNG, JPEG, WebP, GIF, TIFF, BMP, JPEG 2000, JPEG XL, AVIF, HEIC or camera RAW"
_FLAT = "save it as a flat 16-bit TIFF or PNG first"
_PLAIN = "save it as TIFF or PNG first"
_DRAWING = "export it as PNG at the size that you need first"
_SCENE = "save it as a float TIFF first"
_FRAME = "save a frame of it as PNG first, such as with ffmpeg"
_UNPACK = "unpack it first"
_AGAIN = "copy or download it again"
_NAME_A_PICTURE = "name a picture file"
_DNG = "convert it to DNG or TIFF first"


class Kind(NamedTuple):
    """A kind of file that `restore` does not read.

    Attributes:
        name: With its article, such as "a Photoshop document (PSD)".
        hint: What to do.
        pattern: Matches the first `HEAD` bytes of such a file; None where nothing marks them.
        suffixes: File extensions, separated by spaces.
    """

    name: str
    hint: str
    pattern: bytes | None
    suffixes: str = ""


# The first match wins, so the special stands before the general.
_FOREIGN = (
    Kind("a large Photoshop document (PSB)", _FLAT, rb"8BPS\0\x02", ".psb"),
    Kind("a Photoshop document (PSD)", _FLAT, rb"8BPS", ".psd .pdd"),
    Kind("a GIMP picture (XCF)", _FLAT, rb"gimp xcf", ".xcf"),
    Kind("a Krita document (KRA)", _FLAT, rb"PK\x03\x04.{26}mimetypeapplication/x-krita", ".kra"),
    Kind("a layered OpenRaster picture (ORA)", _FLAT, rb"PK\x03\x04.{26}mimetypeimage/openraster", ".ora"),
    Kind("an Affinity document", _FLAT, rb"\0\xffKA", ".afphoto .afdesign .afpub .af"),
    Kind("a Paint.NET picture (PDN)", _FLAT, rb"PDN3", ".pdn"),
    Kind("a Clip Studio picture", _FLAT, rb"CSFCHUNK", ".clip"),
    Kind("an OpenEXR picture (EXR)", _SCENE, rb"\x76\x2f\x31\x01", ".exr"),
    Kind("a Radiance picture (HDR)", _SCENE, rb"#\?(RADIANCE|RGBE)", ".hdr .rgbe .pic"),
    Kind("a portable float map (PFM)", _SCENE, rb"P[Ff]\s", ".pfm"),
    Kind("a portable pixmap (PNM)", _PLAIN, rb"P[1-7]\s", ".pnm .pbm .pgm .ppm .pam"),
    Kind("a drawing (SVG)", _DRAWING, rb"(?i)(\xef\xbb\xbf)?\s*<(svg\b|(\?xml|!doctype|!--).*<svg\b)", ".svg"),
    Kind("a compressed drawing (SVGZ)", _DRAWING, None, ".svgz"),
    Kind("a PDF document", "export the page as TIFF or PNG first", rb".{0,1000}?%PDF-", ".pdf"),
    Kind("an Illustrator drawing (AI)", _DRAWING, rb"%!PS-Adobe.{0,900}Adobe Illustrator", ".ai"),
    Kind("a PostScript document (EPS)", _DRAWING, rb"%!PS|\xc5\xd0\xd3\xc6", ".eps .ps .epsf"),
    Kind("a CorelDRAW drawing (CDR)", _DRAWING, rb"RIFF....CDR", ".cdr"),
    Kind("a Windows metafile (WMF)", _DRAWING, rb"\xd7\xcd\xc6\x9a", ".wmf"),
    Kind("a Windows metafile (EMF)", _DRAWING, rb"\x01\0\0\0.{36} EMF", ".emf"),
    Kind("a CAD drawing", _DRAWING, rb"AC10[0-9]{2}\0", ".dwg .dxf"),
    Kind("an icon (ICO)", _PLAIN, rb"\0\0\x01\0[^\0]", ".ico"),
    Kind("a cursor (CUR)", _PLAIN, rb"\0\0\x02\0[^\0]\0", ".cur"),
    Kind("an Apple icon (ICNS)", _PLAIN, rb"icns", ".icns"),
    Kind("a texture (DDS)", _PLAIN, rb"DDS ", ".dds"),
    Kind("a texture (KTX)", _PLAIN, rb"\xabKTX ", ".ktx .ktx2"),
    Kind("a PCX picture", _PLAIN, rb"\x0a[\0\x02\x03\x04\x05]\x01[\x01\x02\x04\x08]", ".pcx"),
    Kind("a Targa picture (TGA)", _PLAIN,
         rb".[\0\x01][\x01\x02\x03\x09\x0a\x0b].{13}[\x08\x0f\x10\x18\x20][\0\x08\x20\x28]",
         ".tga .vda .icb .vst"),
    Kind("an SGI picture", _PLAIN, rb"\x01\xda[\0\x01][\x01\x02]", ".sgi .rgb .rgba .bw"),
    Kind("a Sun raster picture", _PLAIN, rb"\x59\xa6\x6a\x95", ".ras"),
    Kind("a JPEG XR picture (JXR)", _PLAIN, rb"II\xbc[\0\x01]", ".jxr .wdp .hdp"),
    Kind("a JPEG XS picture", _PLAIN, rb"\xff\x10\xff\x50", ".jxs"),
    Kind("a FLIF picture", _PLAIN, rb"FLIF", ".flif"),
    Kind("a BPG picture", _PLAIN, rb"BPG\xfb", ".bpg"),
    Kind("a QOI picture", _PLAIN, rb"qoif", ".qoi"),
    Kind("an MNG or JNG animation", _PLAIN, rb"[\x8a\x8b][MJ]NG\r\n", ".mng .jng"),
    Kind("an XPM picture", _PLAIN, rb"/\* XPM \*/", ".xpm"),
    Kind("an XBM picture", _PLAIN, rb"#define \w+_width", ".xbm"),
    Kind("a scanned DjVu document", "export the page as TIFF or PNG first", rb"AT&TFORM", ".djvu .djv"),
    Kind("a JBIG2 picture", _PLAIN, rb"\x97JB2", ".jb2 .jbig2"),
    Kind("an astronomical picture (FITS)", "save its values as a float TIFF first", rb"SIMPLE  =", ".fits .fit .fts"),
    Kind("a medical picture (DICOM)", "save it as a 16-bit TIFF first", rb".{128}DICM", ".dcm .dicom"),
    Kind("a medical picture (NIfTI)", "save its slices as 16-bit TIFFs first", rb".{344}(n\+1|ni1)\0", ".nii"),
    Kind("a NumPy array", "save its values as TIFF or PNG first", rb"\x93NUMPY", ".npy"),
    Kind("an HDF5 file", "save its pictures as TIFF or PNG first", rb"\x89HDF\r\n", ".h5 .hdf5 .nc"),
    Kind("a MATLAB file", "save its pictures as TIFF or PNG first", rb"MATLAB \d", ".mat"),
    Kind("a video (AVI)", _FRAME, rb"RIFF....AVI ", ".avi"),
    Kind("a sound file", _NAME_A_PICTURE,
         rb"RIFF....WAVE|ID3[\x02-\x04]|\xff[\xf2\xf3\xfa\xfb]|fLaC|OggS|....ftypM4[AB] ",
         ".wav .mp3 .flac .ogg .opus .m4a .aac"),
    Kind("a video (Matroska or WebM)", _FRAME, rb"\x1a\x45\xdf\xa3", ".mkv .webm"),
    Kind("a video (MP4 or QuickTime)", _FRAME,
         rb"....(ftyp(isom|iso\d|mp4\d|avc1|qt  |M4V|MSNV|3g|dash|XAVC|mmp4|f4v)|moov|mdat|wide|free|skip)",
         ".mp4 .mov .m4v .3gp .mts .m2ts .insv"),
    Kind("a video (MPEG)", _FRAME, rb"\0\0\x01[\xb3\xba]|G.{187}G", ".mpg .mpeg .ts .vob"),
    Kind("a video (Windows Media)", _FRAME, rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11", ".wmv .asf .wma"),
    Kind("a video (Flash)", _FRAME, rb"FLV\x01", ".flv"),
    Kind("a raw film", "export its frames as DNG or TIFF first",
         rb"....RED[12]|CI.{12}[\x01\x02]\0", ".r3d .braw .cine"),
    Kind("a Git LFS pointer", "run `git lfs pull` to download the file", rb"version https://git-lfs"),
    Kind("a web page (HTML)", "download the picture itself, not the page around it",
         rb"(?i)(\xef\xbb\xbf)?\s*(<!--.{0,500}?-->\s*)?<(!doctype html|html|head|body)\b", ".html .htm .xhtml"),
    Kind("a link to a web page", "download the picture that it leads to", rb"\[InternetShortcut\]|.{0,300}\[\{0000",
         ".url .webloc"),
    Kind("a Windows shortcut", "name the file that it leads to", rb"L\0\0\0\x01\x14\x02\0", ".lnk"),
    Kind("a sidecar of develop settings (XMP)", _NAME_A_PICTURE, rb"(\xef\xbb\xbf)?\s*<(\?xpacket|x:xmpmeta)",
         ".xmp .pp3 .dop .cos .aae .on1"),
    Kind("macOS's side file of another file (AppleDouble)", "name the file without the leading `._`",
         rb"\0\x05\x16[\0\x07]"),
    Kind("a zip archive", _UNPACK, rb"PK[\x03\x05\x07][\x04\x06\x08]", ".zip .cbz .eip"),
    Kind("a tar archive", _UNPACK, rb".{257}ustar", ".tar"),
    Kind("a gzip archive", _UNPACK, rb"\x1f\x8b", ".gz .tgz"),
    Kind("a 7z archive", _UNPACK, rb"7z\xbc\xaf\x27\x1c", ".7z"),
    Kind("a RAR archive", _UNPACK, rb"Rar!\x1a\x07", ".rar .cbr"),
    Kind("a compressed file", _UNPACK, rb"BZh[1-9]|\xfd7zXZ\0|\x28\xb5\x2f\xfd", ".bz2 .xz .zst"),
    Kind("a program", _NAME_A_PICTURE, rb"\x7fELF|MZ.{58}|\xcf\xfa\xed\xfe|\xca\xfe\xba\xbe|#!", ".exe .dll .so .sh"),
    Kind("a database of thumbnails or an old Office document", _NAME_A_PICTURE, rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
         ".db .doc .xls .ppt"),
    Kind("a catalogue or database (SQLite)", _NAME_A_PICTURE, rb"SQLite format 3", ".sqlite .lrcat .sqlite3"),
    Kind("an office document", "save its pictures as PNG first", None, ".docx .xlsx .pptx .odt"),
    Kind("JSON text", _NAME_A_PICTURE, rb"(\xef\xbb\xbf)?\s*(\{\s*[\"}]|\[\s*[\"{\[\]0-9-])", ".json"),
    Kind("XML text", _NAME_A_PICTURE, rb"(\xef\xbb\xbf)?\s*<\?xml", ".xml"),
    Kind("an unfinished download", "finish the download first", None,
         ".crdownload .part .partial .download .opdownload"),
    Kind("a temporary or backup file", _NAME_A_PICTURE, None, ".tmp .bak"),
    Kind("text", _NAME_A_PICTURE, None, ".txt .csv .md .log .ini .yaml .toml"),
    Kind("camera RAW of an unsupported kind", _DNG, None,
         ".gpr .ari .bay .cap .cs1 .dc2 .drf .k25 .kc2 .mdc .ptx .pxn .qtk .rwz .sti"),
)  # fmt: skip

_PATTERNS = [(re.compile(kind.pattern, re.DOTALL), kind) for kind in _FOREIGN if kind.pattern]
_BY_SUFFIX = {suffix: kind for kind in _FOREIGN for suffix in kind.suffixes.split()}
_STARTS = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"BM", "BMP"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (jpeg2000.SIGNATURE, "JP2"),
    (jpeg2000.STREAM, "J2K"),
    (jpeg_xl.SIGNATURE, "JXL"),
    (jpeg_xl.STREAM, "JXL"),
)


def kind_of(head: bytes, suffix: str) -> str:
    """The format of a file, from its first `HEAD` bytes; one that only its extension tells is camera RAW.

    >>> kind_of(b"BM\\0\\0", ".png")
    'BMP'

    Raises:
        Refusal: The file is empty, or of a kind that `restore` does not read; the reason names the kind.
    """
    if not head:
        raise Refusal("the file is empty", _AGAIN)
    for start, kind in _STARTS:
        if head.startswith(start):
            return kind
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WEBP"
    if raw.is_raw(head):
        return "RAW"
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    if kind_of_boxes := heif.kind_of(head):
        return kind_of_boxes
    foreign = _foreign(head, suffix)
    if foreign is None and suffix in RAW_SUFFIXES:
        return "RAW"
    if foreign is None:
        raise Refusal("it is not a picture in a known format", f"use {_READABLE}; the name does not matter")
    raise Refusal(f"it is {foreign.name}", foreign.hint)


def _foreign(head: bytes, suffix: str) -> Kind | None:
    named = _BY_SUFFIX.get(suffix)
    for pattern, kind in _PATTERNS:
        if pattern.match(head):
            # Illustrator saves PDF, XML holds drawings, and zip holds documents: there the extension tells more.
            is_inside = kind.name in ("a PDF document", "XML text", "a zip archive", "a gzip archive")
            return named if is_inside and named else kind
    if not any(head):
        return Kind("empty: it holds only zeros at its start", _AGAIN, None)
    if named is None and _is_text(head):
        return _BY_SUFFIX[".txt"]
    return named


def _is_text(head: bytes) -> bool:
    try:
        text = head[:-3].decode() if len(head) == HEAD else head.decode()  # the last character may be cut
    except UnicodeDecodeError:
        return False
    return all(c.isprintable() or c in "\t\r\n\f" for c in text)

"""The tags of a TIFF beside its pixels: which are kept, made void or noted.

`Picture.parts` holds a kept tag as (b"TIFF 33550 12", values): number, type, and the values in little-endian order.
EXIF, GPS, XMP, the colour profile and the tags that describe the photo lie in other fields of `Picture`.
"""

from __future__ import annotations

import math
import re
import struct
from typing import Any

from PIL.TiffImagePlugin import IFDRational

from restore.images.metadata import photoshop
from restore.images.picture import Picture
from restore.images.tiff.directories import Directories

# fmt: off
_VOID = frozenset({
    254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 274, 277, 278, 279, 280, 281, 282, 283, 284, 288, 289,
    292, 293, 296, 297, 317, 322, 323, 324, 325, 326, 327, 328, 332, 333, 334, 336, 338, 339, 340, 341, 347, 512, 513,
    514, 515, 517, 518, 519, 520, 521, 529, 530, 531, 559,
})
"""How the pixels are stored, and their range; the writer states these anew."""
_ELSEWHERE = frozenset({
    270, 271, 272, 305, 306, 315, 316, 700, 18246, 18249, 33432, 33723, 34377, 34665, 34675, 34853,
    40091, 40092, 40093, 40094, 40095,
})
_FOREIGN = frozenset({  # they make readers look for the layout of a microscope's or a scanner's file
    33471, 33560, 33628, 33629, 33630, 33631, 34118, 34361, 34362, 34412, 34680, 34682, 51123, *range(65420, 65460),
})
# fmt: on
_CURVES = frozenset({290, 291, 301, 318, 319, 342, 532})  # what the numbers of the file mean as colours
_DEEP_CURVES = frozenset({290, 291, 301, 342, 532})  # those that also depend on the depth
_PLACE = frozenset({33550, 33922, 34264})  # GeoTIFF: where the pixels lie on the map
_MAP = frozenset({34735, 34736, 34737, 42112, 42113})  # GeoTIFF and GDAL: the rest
_NO_DATA = 42113
_RATIONAL_PLACE = 50844  # RPC coefficients, in pixels
_PAGE_NUMBER = 297  # kept in a file of one page, which another program took from a document
_CLIPPING = frozenset({343, 344, 345, 346})
_LOST = {320: "a colour table", 330: "pictures inside this one", 37724: "Photoshop's layers"}
_IPTC, _PHOTOSHOP = 33723, 34377
_NUMBERS = {3: "H", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d"}
_PLAIN = frozenset({1, 2, 5, 7, 10, *_NUMBERS})
"""Types whose values cannot be places in the file."""
_LAYOUTS = re.compile(r"ImageJ=|SCIFIO=|\s*<\?xml[^>]*>.*<OME\b|\s*<OME\b|\{\"shape\":|shape=\(", re.DOTALL)
_STACK = re.compile(r"ImageJ=.*?^images=(\d{1,9})\s*$", re.DOTALL | re.MULTILINE)
_SHAPE = re.compile(r"\{\"shape\": \[(\d+(?:, ?\d+)*)\]")
_SIZE = b"TIFF size"


def take(directories: Directories, offset: int, orientation: int, page: Any, picture: Picture) -> None:
    """Keeps or notes the tags of the directory at `offset`; the pixels of `picture` must be set, not yet turned."""
    entries, _, _ = directories.at(offset)
    lost: list[str] = []
    others: list[int] = []
    keeps_depth = page.bitspersample == 8 * picture.pixels.itemsize
    for tag, entry in entries.items():
        is_number = tag == _PAGE_NUMBER and picture.pages == 1 and directories.numbers(entry) != (0, 1)
        if (tag in _VOID and not is_number) or tag in _ELSEWHERE or (tag == 320 and page.photometric == 3):
            continue
        data = directories.value(entry, entry.size)
        if tag in _LOST:
            lost.append(_LOST[tag])
        elif tag in _CURVES and (page.photometric > 2 or (tag in _DEEP_CURVES and not keeps_depth)):
            if page.photometric <= 2:
                lost.append("tone curves of another depth")
        elif tag in _PLACE | _CLIPPING | {_RATIONAL_PLACE} and orientation != 1:
            lost.append("places in the picture, which was turned")
        elif entry.kind in _PLAIN and tag not in _FOREIGN and entry.count and len(data) == entry.size:
            picture.parts.append((b"TIFF %d %d" % (tag, entry.kind), _little(data, entry.kind, directories)))
        else:
            others.append(tag)
    _take_aspect(directories, entries, orientation, picture)
    _take_records(directories, entries, orientation, picture)
    if any(number in _PLACE | {_RATIONAL_PLACE} for number, _, _ in _tags(picture)) or _is_layout(page.description):
        height, width = picture.pixels.shape[:2]
        picture.parts.append((_SIZE, struct.pack("<II", width, height)))
    if lost:
        picture.note(f"not kept from the TIFF: {', '.join(sorted(set(lost)))}")
    if others:
        some = ", ".join(map(str, others[:8])) + (", ..." if len(others) > 8 else "")
        count = "1 private tag is" if len(others) == 1 else f"{len(others)} private tags are"
        picture.note(f"{count} dropped ({some})")


def _little(data: bytes, kind: int, directories: Directories) -> bytes:
    size = {3: 2, 8: 2, 5: 4, 9: 4, 10: 4, 11: 4, 12: 8}.get(kind, 1)
    if directories.layout.order == "<" or size == 1:
        return data
    return b"".join(data[k : k + size][::-1] for k in range(0, len(data), size))


def _take_aspect(directories: Directories, entries: Any, orientation: int, picture: Picture) -> None:
    """Keeps a resolution without a unit where it states pixels that are not square."""
    if directories.numbers(entries.get(296), 1) != (1,) or not {282, 283} <= entries.keys():
        return
    across, down = (directories.value(entries[tag], 8) for tag in (282, 283))
    if across == down or not entries[282].kind == entries[283].kind == 5 or len(across) + len(down) != 16:
        return
    across, down = (_little(value, 5, directories) for value in (across, down))
    if orientation > 4:
        across, down = down, across
    picture.parts += [(b"TIFF 282 5", across), (b"TIFF 283 5", down), (b"TIFF 296 3", b"\1\0")]


def _take_records(directories: Directories, entries: Any, orientation: int, picture: Picture) -> None:
    """Sets the IPTC records, and keeps the resources of Photoshop without their thumbnails."""
    if entry := entries.get(_IPTC):
        data = directories.value(entry, entry.size)
        if entry.kind == 4 and data[3:4] == b"\x1c" != data[:1]:  # stored as numbers of the other byte order
            data = b"".join(data[k : k + 4][::-1] for k in range(0, len(data), 4))
        if data[:1] == b"\x1c" and len(data) == entry.size:
            picture.iptc = data
        else:
            picture.note("damaged IPTC is dropped")
    if entry := entries.get(_PHOTOSHOP):
        iptc, kept, is_whole = photoshop.taken(directories.value(entry, entry.size))
        picture.iptc = picture.iptc or iptc
        if orientation > 1 and (rest := photoshop.without_places(kept)) != kept:
            picture.note(photoshop.TURNED)
            kept = rest
        if kept:
            picture.parts.append((photoshop.TIFF_PART, kept))
        if not is_whole:
            picture.note("damaged resources of Photoshop are dropped")


def _tags(picture: Picture) -> list[tuple[int, int, bytes]]:
    """Number, type and values of the kept tags."""
    split = [(name.split(b" "), data) for name, data in picture.parts if name.startswith(b"TIFF ") and name != _SIZE]
    return [(int(words[1]), int(words[2]), data) for words, data in split]


def kept(picture: Picture) -> dict[int, tuple[int, Any]]:
    """Tags to write back: number -> type and value, as Pillow's directories take them."""
    tags = {number: (kind, data) for number, kind, data in _tags(picture)}
    scale = _scale(picture)
    if scale != (1, 1):
        tags.pop(_RATIONAL_PLACE, None)
        _move(tags, scale)
    found: dict[int, tuple[int, Any]] = {}
    for number, (kind, data) in tags.items():
        if number == _PHOTOSHOP:
            data = photoshop.with_iptc(data, picture.iptc)
        if kind in (5, 10):
            pairs = list(struct.iter_unpack("<II" if kind == 5 else "<ii", data))
            if all(below for _, below in pairs):
                found[number] = kind, tuple(IFDRational(above, below) for above, below in pairs)
        elif kind in _NUMBERS:
            found[number] = (
                kind,
                struct.unpack(f"<{len(data) // struct.calcsize(_NUMBERS[kind])}{_NUMBERS[kind]}", data),
            )
        else:
            found[number] = kind, data.removesuffix(b"\0") if kind == 2 else data  # Pillow ends text with a zero
    if picture.iptc:
        found[_IPTC] = 7, picture.iptc
    return found


def names(picture: Picture, format: str) -> str:
    """What another format does not hold of the kept tags; empty for nothing."""
    numbers = {number for number, _, _ in _tags(picture)}
    words = []
    if numbers & {269, 285, _PAGE_NUMBER}:
        words.append("the TIFF's names of document and page")
    if numbers & (_PLACE | _MAP):
        words.append("the place on the map (GeoTIFF)")
    if {282, 283} <= numbers:
        words.append("the shape of its pixels")
    if format != "JPEG" and photoshop.with_iptc(dict(picture.parts).get(photoshop.TIFF_PART, b""), None):
        words.append("Photoshop resources")
    if others := numbers - {269, 285, _PAGE_NUMBER, 282, 283, 296, _PHOTOSHOP} - _PLACE - _MAP:
        words.append("1 other TIFF tag" if len(others) == 1 else f"{len(others)} other TIFF tags")
    return ", ".join(words)


def _scale(picture: Picture) -> tuple[float, float]:
    """How much wider and higher the picture is than in its file."""
    height, width = picture.pixels.shape[:2]
    size = dict(picture.parts).get(_SIZE)
    before = struct.unpack("<II", size) if size else (width, height)
    return width / before[0], height / before[1]


def _move(tags: dict[int, tuple[int, bytes]], scale: tuple[float, float]) -> None:
    """Fits the place on the map to a picture enlarged by `scale` (GeoTIFF 1.1, requirements class 7.2)."""
    x, y = scale
    keys = struct.iter_unpack("<4H", tags[34735][1][: len(tags[34735][1]) // 8 * 8]) if 34735 in tags else ()
    is_point = any(key[0] == 1025 and key[3] == 2 for key in keys)  # places are centres of pixels, not corners
    centre = 0.5 if is_point else 0.0
    values = {tag: list(struct.unpack(f"<{len(tags[tag][1]) // 8}d", tags[tag][1])) for tag in _PLACE & tags.keys()}
    if sizes := values.get(33550):
        sizes[:2] = sizes[0] / x, sizes[1] / y
    points = values.get(33922, [])
    for k in range(0, len(points) - 5, 6):
        points[k : k + 2] = (points[k] + centre) * x - centre, (points[k + 1] + centre) * y - centre
    matrix = values.get(34264, [])
    for k in range(0, len(matrix) - 3, 4):
        across, down, deep, shift = matrix[k : k + 4]
        shift += across * centre * (1 / x - 1) + down * centre * (1 / y - 1)
        matrix[k : k + 4] = across / x, down / y, deep, shift
    for tag, numbers in values.items():
        tags[tag] = 12, struct.pack(f"<{len(numbers)}d", *numbers)


def note_voided(picture: Picture) -> None:
    """Notes what is dropped or no longer true because the picture was enlarged."""
    numbers = {number for number, _, _ in _tags(picture)}
    if _RATIONAL_PLACE in numbers and _scale(picture) != (1, 1):
        picture.note("the RPC coefficients count the pixels of the source; they are dropped")
    if _NO_DATA in numbers:
        picture.note("pixels that GDAL's tag marks as empty may have other values after restoring")


def _is_layout(description: object) -> bool:
    return isinstance(description, str) and _LAYOUTS.match(description) is not None


def stated_pictures(description: object, samples: int) -> int:
    """How many pictures of `samples` numbers the description by ImageJ or tifffile states; 0 for other descriptions."""
    if not isinstance(description, str):
        return 0
    if found := _STACK.match(description):
        return int(found[1])
    found = _SHAPE.match(description)
    return math.prod(int(side[:9]) for side in found[1].split(",")) // samples if found else 0


def describes_other_file(description: object, picture: Picture, pages: int) -> bool:
    """Whether a description states the size or the pages of the source, as ImageJ's and OME's do, and others now."""
    samples = picture.pixels.size + picture.pixels[..., 0].size * (
        (picture.alpha is not None) + len(picture.extra_kinds)
    )
    is_stack = stated_pictures(description, samples) > 1 and picture.pages == 1
    return _is_layout(description) and (_scale(picture) != (1, 1) or pages != picture.pages or is_stack)

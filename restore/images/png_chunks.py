"""Chunks of a PNG: which ones are kept, which ones lose their meaning, and where its frames are."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

from restore.images.animation import CLEAR, Frame
from restore.images.picture import Picture, Refusal

SIGNATURE = b"\x89PNG\r\n\x1a\n"
XMP = b"XML:com.adobe.xmp\0"
COLOUR = (b"cICP", b"gAMA", b"cHRM", b"sRGB")
_TEXT = (b"tEXt", b"zTXt", b"iTXt")
_RAW = b"Raw profile type "
_XMP_HEAD = b"http://ns.adobe.com/xap/1.0/\0"
_LONGEST_TEXT = 64 << 20
_PIXELS = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_OWN_FIELD = (b"tRNS", b"iCCP", b"eXIf", b"acTL", b"fcTL", b"fdAT")  # kept as pixels, metadata and frames
# They tell the history or the coding of the file, so a new file needs none: time of the last change, significant
# bits, use of the palette, a palette for poor screens, and places in Apple's compressed data.
_VOID = (b"tIME", b"sBIT", b"hIST", b"sPLT", b"iDOT")
_HDR = (b"mDCV", b"cLLI")  # screen and brightness that HDR was made for
_NAMES = {
    b"caBX": "content credentials (C2PA)",
    b"dSIG": "digital signature",
    b"gmAP": "gain map",
    b"gdAT": "gain map",
}


@dataclass
class Chunks:
    """What a walk over a PNG found.

    Attributes:
        header: IHDR.
        palette: PLTE and tRNS, as chunks.
        frames: The animation; empty for a single picture.
        has_own_still: The picture for viewers without animation is none of the frames.
    """

    header: bytes = b""
    palette: list[tuple[bytes, bytes]] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)
    has_own_still: bool = False


def chunks(file: IO[bytes]) -> Iterator[tuple[bytes, int]]:
    """Name and length of every chunk; `file` stands at its data."""
    position, name = 8, b""
    while name != b"IEND":
        file.seek(position)
        length, name = struct.unpack(">I4s", file.read(8))
        yield name, length
        position += 12 + length


def packed(name: bytes, data: bytes) -> bytes:
    """A chunk."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(name)))


def survey(file: IO[bytes], picture: Picture) -> Chunks:
    """Sets text, colour and parts of `picture`, notes what is dropped, and finds the frames.

    Checks all checksums, because Pillow skips those of the pixels.

    Raises:
        OSError: A checksum or a frame is wrong.
        Refusal: It holds a chunk that changes the meaning of the pixels and is unknown.
        struct.error: The file is incomplete.
    """
    found, dropped, is_animation, has_pixels, number = Chunks(), dict[str, None](), False, False, 0
    for name, length in chunks(file):
        if not name.isalpha():
            raise OSError(f"a chunk has no name but {name.decode('latin-1')!r}")
        place = file.tell()
        data = _checked(file, name, length, is_wanted=name != b"IDAT" and name != b"fdAT")
        if name == b"IHDR":
            found.header = data
        elif name in (b"PLTE", b"tRNS"):
            found.palette.append((name, data))
        elif name == b"acTL":
            is_animation = not has_pixels  # after the pixels it means nothing
        elif name == b"fcTL" and is_animation:
            found.frames.append(_frame(data))
        elif name == b"IDAT":
            has_pixels = True
            if found.frames:
                found.frames[-1].data.append((place, length))
            elif is_animation:
                found.has_own_still = True
        elif name == b"fdAT" and found.frames:
            if length < 4:
                raise OSError("a frame has no pixels")
            found.frames[-1].data.append((place + 4, length - 4))
        elif name == b"bKGD":
            _take_background(data, found, picture)
        else:
            _sort(name, data, picture, dropped)
        if is_animation and name in (b"fcTL", b"fdAT"):
            file.seek(place)
            if file.read(4) != struct.pack(">I", number):
                raise OSError("its frames are not in order")
            number += 1
    if any(not frame.data for frame in found.frames):
        raise OSError("a frame has no pixels")
    if dropped:
        picture.note(f"parts that describe the unrestored picture are dropped: {', '.join(dropped)}")
    if found.frames and found.has_own_still:
        picture.note("its still picture for viewers without animation is not one of the frames; it is dropped")
    if rest := _bytes_after(file):
        picture.note(f"{rest:,} bytes after the picture are dropped")
    return found


def _checked(file: IO[bytes], name: bytes, length: int, *, is_wanted: bool) -> bytes:
    """The data of a chunk, read in pieces: the stated length may be a lie."""
    pieces, checksum = [], zlib.crc32(name)
    for start in range(0, length, 1 << 20):
        piece = file.read(min(1 << 20, length - start))
        checksum = zlib.crc32(piece, checksum)
        if is_wanted:
            pieces.append(piece)
        if not piece:
            break
    if file.read(4) != struct.pack(">I", checksum):
        raise OSError(f"wrong checksum in chunk {name.decode('latin-1')!r}")
    return b"".join(pieces)


def _bytes_after(file: IO[bytes]) -> int:
    end = file.tell()
    return file.seek(0, io.SEEK_END) - end


def _frame(data: bytes) -> Frame:
    """A frame from its control chunk (PNG 3, section 11.3.6.2)."""
    _, width, height, left, top, delay, per, after, blend = struct.unpack(">IIIIIHHBB", data)
    return Frame(left, top, width, height, 1000 * delay / (per or 100), min(after, CLEAR + 1), blend == 1)


def _take_background(data: bytes, found: Chunks, picture: Picture) -> None:
    """Keeps the colour that viewers may show behind the picture; an index becomes its colour."""
    colour_type = found.header[9]
    if colour_type == 3:
        colours = dict(found.palette).get(b"PLTE", b"")[3 * data[0] : 3 * data[0] + 3] if data else b""
        data = b"".join(bytes((0, value)) for value in colours)
    if len(data) == (2 if colour_type in (0, 4) else 6) and (colour_type == 3 or found.header[8] >= 8):
        picture.parts.append((b"bKGD", data))


def _sort(name: bytes, data: bytes, picture: Picture, dropped: dict[str, None]) -> None:
    """Keeps a chunk of metadata, or adds what it is to `dropped`."""
    if name in COLOUR:
        picture.colour[name] = data
    elif name in _TEXT:
        if not data.startswith(XMP) and not raw_profile(name, data)[0]:  # these have their own fields
            picture.text.append((name, data))
    elif name == b"pHYs":
        if data[8:] == b"\0":  # the shape of a pixel, no density
            picture.parts.append((name, data))
    elif name in _OWN_FIELD or name in _VOID or name in _PIXELS:
        pass
    elif not name[0] & 32:  # a capital: nobody may show the picture without knowing it
        raise Refusal(
            f"its chunk {name.decode('latin-1')!r} changes the meaning of the pixels and is unknown",
            "save it as a plain PNG with the program that made it",
        )
    elif name in _HDR or name[3] & 32:  # a small letter: it fits changed pixels, too
        picture.parts.append((name, data))
    else:
        dropped[_NAMES.get(name, f"the chunk {name.decode('latin-1')}")] = None


def raw_profile(name: bytes, data: bytes) -> tuple[str, bytes]:
    """EXIF or XMP that ImageMagick stored as hexadecimal text: "exif" or "xmp", and the bytes; ("", b"") if none.

    The text is a line with the kind, one with the length, and the bytes.
    """
    key, _, rest = data.partition(b"\0")
    kind = key.removeprefix(_RAW).lower()
    if not key.startswith(_RAW) or kind not in (b"exif", b"app1", b"xmp") or name == b"iTXt":
        return "", b""
    try:
        text = zlib.decompressobj().decompress(rest[1:], _LONGEST_TEXT) if name == b"zTXt" else rest
        found = bytes.fromhex(text.split(b"\n", 3)[3].decode("ascii"))
    except (ValueError, IndexError, zlib.error):
        return "", b""
    if kind == b"xmp" or found.startswith(_XMP_HEAD):
        return "xmp", found.removeprefix(_XMP_HEAD)
    return ("exif", found) if found.startswith((b"Exif\0\0", b"II*\0", b"MM\0*")) else ("", b"")


def frame_file(file: IO[bytes], found: Chunks, frame: Frame) -> IO[bytes]:
    """A PNG of one frame alone."""
    header = struct.pack(">II", frame.width, frame.height) + found.header[8:]
    alone = io.BytesIO(SIGNATURE + packed(b"IHDR", header))
    alone.seek(0, io.SEEK_END)
    for chunk in found.palette:
        alone.write(packed(*chunk))
    for place, length in frame.data:
        file.seek(place)
        alone.write(packed(b"IDAT", file.read(length)))
    alone.write(packed(b"IEND", b""))
    alone.seek(0)
    return alone

"""JPEG files whose segments and further pictures are made byte by byte."""

from __future__ import annotations

import hashlib
import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
from made_files import smooth
from PIL import Image

from restore.images import Picture, read_picture, write_picture

XMP_HEAD = b"http://ns.adobe.com/xap/1.0/\0"
EXTENSION_HEAD = b"http://ns.adobe.com/xmp/extension/\0"
RDF = "xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'"
CONTAINER = (
    "xmlns:Container='http://ns.google.com/photos/1.0/container/' "
    "xmlns:Item='http://ns.google.com/photos/1.0/container/item/'"
)


def plain(pixels: np.ndarray | None = None, **options: Any) -> bytes:
    """A JPEG of Pillow; (64, 96) grey or RGB."""
    file = io.BytesIO()
    pixels = smooth(3) if pixels is None else pixels
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    image.save(file, "JPEG", **{"quality": 92} | options)
    return file.getvalue()


def segment(code: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, code, 2 + len(data)) + data


def with_segments(*segments: bytes, data: bytes | None = None) -> bytes:
    """A JPEG with further segments after its first one (JFIF)."""
    data = data or plain()
    start = 4 + int.from_bytes(data[4:6], "big")
    return data[:start] + b"".join(segments) + data[start:]


def segments_of(data: bytes) -> list[tuple[int, bytes]]:
    """Code and content of the segments before the first scan."""
    found, place = [], 2
    while data[place + 1] != 0xDA:
        length = int.from_bytes(data[place + 2 : place + 4], "big")
        found.append((data[place + 1], data[place + 4 : place + 2 + length]))
        place += 2 + length
    return found


def packet(attributes: str = "", content: str = "") -> bytes:
    """An XMP packet with one description."""
    return (
        f"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF {RDF}><rdf:Description rdf:about='' {attributes}>{content}"
        "</rdf:Description></rdf:RDF></x:xmpmeta>"
    ).encode()


def xmp_segment(data: bytes) -> bytes:
    return segment(0xE1, XMP_HEAD + data)


def extension_segments(data: bytes, step: int = 60_000) -> list[bytes]:
    digest = hashlib.md5(data).hexdigest().upper().encode()
    return [
        segment(0xE1, EXTENSION_HEAD + digest + struct.pack(">II", len(data), k) + data[k : k + step])
        for k in range(0, len(data), step)
    ]


def directory(*items: tuple[str, int], more: str = "") -> bytes:
    """A packet with Google's directory: the picture and (meaning, length) of what follows."""
    listed = "".join(
        "<rdf:li rdf:parseType='Resource'><Container:Item Item:Mime='image/jpeg' "
        f"Item:Semantic='{meaning}' Item:Length='{length}'/></rdf:li>"
        for meaning, length in (("Primary", 0), *items)
    )
    return packet(f"{CONTAINER} {more}", f"<Container:Directory><rdf:Seq>{listed}</rdf:Seq></Container:Directory>")


def with_index(first: bytes, *others: tuple[int, bytes], order: str = ">") -> bytes:
    """A file with an index (MPF) of the pictures (attributes, data) after the first."""
    count = 1 + len(others)
    size = 4 + 4 + 8 + 2 + 36 + 4 + 16 * count
    start = 4 + int.from_bytes(first[4:6], "big")
    base, place = start + 8, len(first) + size
    entries = struct.pack(order + "IIIHH", 0x030000, place, 0, 0, 0)
    for attributes, data in others:
        entries += struct.pack(order + "IIIHH", attributes, len(data), place - base, 0, 0)
        place += len(data)
    table = (b"MM\0*" if order == ">" else b"II*\0") + struct.pack(order + "IH", 8, 3)
    table += struct.pack(order + "HHI4s", 0xB000, 7, 4, b"0100") + struct.pack(order + "HHII", 0xB001, 4, 1, count)
    table += struct.pack(order + "HHIII", 0xB002, 7, 16 * count, 50, 0) + entries
    return with_segments(segment(0xE2, b"MPF\0" + table), data=first) + b"".join(data for _, data in others)


def resource(number: int, data: bytes) -> bytes:
    return b"8BIM" + struct.pack(">HHI", number, 0, len(data)) + data + b"\0" * (len(data) % 2)


def copied(data: bytes, folder: Path, name: str = "b.jpg", **options: Any) -> tuple[Picture, bytes]:
    """A file read, made a little darker and written: the picture with its notes, and the bytes of the copy."""
    (folder / "a.jpg").write_bytes(data)
    picture = read_picture(folder / "a.jpg")
    picture.pixels = picture.pixels // 2 + 20
    write_picture(picture, folder / name, **options)
    return picture, (folder / name).read_bytes()

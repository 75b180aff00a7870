"""What the segments of a JPEG hold beside its pixels: each is kept, made void on purpose, or noted."""

from __future__ import annotations

import dataclasses
from typing import Any

from restore.images.jpeg import appended as jpeg_appended
from restore.images.jpeg import extended_xmp
from restore.images.jpeg import segments as jpeg_segments
from restore.images.jpeg.segments import COM, FRAMES, Segment
from restore.images.metadata import photoshop
from restore.images.metadata.packets import Packet
from restore.images.picture import NAMES, Picture

_EXIF, _ICC, _RESOURCES = b"Exif\0\0", b"ICC_PROFILE\0", b"8BIM"
_ENCODERS = (  # what the encoder writes anew, and thumbnails that show the unrestored picture
    (0xE0, b"JFIF\0"),
    (0xE0, b"JFXX\0"),
    (0xEE, b"Adobe"),
    (0xE2, jpeg_appended.MPF),
)
_READ_ELSEWHERE = ((0xE1, _EXIF), (0xE1, extended_xmp.MAIN_HEAD), (0xE1, extended_xmp.HEAD), (0xE2, _ICC))
_MOST_KEPT = 1_000  # segments that are unknown here
_PROVENANCE = ("http://purl.org/dc/terms/", "provenance")


def take(segments: list[Segment], info: dict[str, Any], picture: Picture) -> None:
    """Fills `picture` from the segments, but for EXIF, profile and resolution, which Pillow reads.

    Args:
        segments: All segments of the picture.
        info: What Pillow has read; its profile is checked.
        picture: Gets XMP, IPTC, comments, and the parts that only a JPEG holds.
    """
    heads = {
        (code, head): [s.data for s in segments if s.code == code and s.data.startswith(head)]
        for code, head in (*_READ_ELSEWHERE, (0xED, photoshop.HEAD))
    }
    if heads[0xE2, _ICC] and not info.get("icc_profile"):
        picture.note("the colour profile is damaged; it is dropped")
    _take_xmp(heads, picture)
    _take_resources(b"".join(data[len(photoshop.HEAD) :] for data in heads[0xED, photoshop.HEAD]), picture)
    if frame := next((s.data for s in segments if s.code in FRAMES), None):
        picture.parts.append((jpeg_appended.FRAME, frame))
    comments = [s.data for s in segments if s.code == COM and s.data]
    picture.comment = comments[0] if comments else None
    picture.parts += [(b"COM", data) for data in comments[1:_MOST_KEPT]]
    others = [s for s in segments if 0xE0 <= s.code <= 0xEF and not _is_known(s)]
    kept = [s for s in others if not _void(s, picture)]
    picture.parts += [(b"APP%d" % (s.code - 0xE0), s.data) for s in kept[:_MOST_KEPT]]
    if len(kept) > _MOST_KEPT:
        picture.note(f"it has {len(kept):,} unknown segments; {_MOST_KEPT:,} are kept")


def _is_known(segment: Segment) -> bool:
    known = (*_ENCODERS, *_READ_ELSEWHERE, (0xED, photoshop.HEAD))
    return any(segment.code == code and segment.data.startswith(head) for code, head in known)


def _void(segment: Segment, picture: Picture) -> bool:
    """Whether a segment cannot hold for the restored picture; notes why."""
    code, data = segment.code, segment.data
    if code == 0xE2 and data.startswith(b"FPXR\0"):
        picture.note("FlashPix data, which holds the unrestored picture's previews, is dropped")
    elif code == 0xEB and data.startswith(b"JP") and b"jumb" in data[:64] and _is_c2pa(data, picture):
        picture.note("the C2PA signature does not hold for the restored picture; it is dropped")
    elif code == 0xEB and (data.startswith(b"HDR_RI") or (data.startswith(b"JP") and b"jumb" not in data[:64])):
        picture.note("the HDR data of JPEG XT does not fit the restored picture; it is dropped")
    else:
        return False
    return True


def _is_c2pa(data: bytes, picture: Picture) -> bool:
    """Whether a segment of JUMBF belongs to a C2PA manifest. Also removes the XMP that points to it."""
    # The first segment of a manifest has its name; those that continue it repeat its head.
    if b"c2pa" not in data[:4096]:
        return False
    if picture.xmp and b"provenance" in picture.xmp:
        try:
            parsed = Packet(picture.xmp)
        except ValueError:
            return True
        gone = [node for node in parsed.nodes if (node.namespace, node.name) == _PROVENANCE]
        picture.xmp = parsed.edited(map(parsed.removal, gone))
    return True


def _take_xmp(heads: dict[tuple[int, bytes], list[bytes]], picture: Picture) -> None:
    packets = [data[len(extended_xmp.MAIN_HEAD) :] for data in heads[0xE1, extended_xmp.MAIN_HEAD]]
    pieces = [data[len(extended_xmp.HEAD) :] for data in heads[0xE1, extended_xmp.HEAD]]
    if len(packets) > 1:
        picture.note("only the last of several XMP packets is used")
    if not packets:
        if pieces:
            picture.note("extended XMP without a main packet is dropped")
        return
    packet, is_whole = extended_xmp.joined(packets[-1], pieces)
    if not is_whole:
        picture.note("the extended XMP is damaged or belongs to no packet; it is dropped")
    picture.xmp = packet or None


def _take_resources(data: bytes, picture: Picture) -> None:
    picture.iptc, kept, is_whole = photoshop.taken(data)
    if kept:
        picture.parts.append((_RESOURCES, kept))
    if not is_whole:
        picture.note("Photoshop resources are damaged; the rest of them is dropped")


def turn(picture: Picture) -> None:
    """Drops what a turn of the picture makes wrong."""
    kept = next((data for name, data in picture.parts if name == _RESOURCES), b"")
    if (rest := photoshop.without_places(kept)) != kept:
        picture.parts = [(name, rest if name == _RESOURCES else data) for name, data in picture.parts]
        picture.note(photoshop.TURNED)


def agreeing(picture: Picture, format: str) -> Picture:
    """The picture with the parts that fit it and `format`. Notes what is dropped."""
    if picture.source_format != "JPEG":
        return picture
    picture = jpeg_appended.agreeing(picture, format)
    if format != "JPEG":
        named = {_RESOURCES: "Photoshop resources", b"COM": "further comments"}
        kinds = list(
            dict.fromkeys(
                named.get(name, name.decode("latin-1"))
                for name, data in picture.parts
                if name != jpeg_appended.FRAME
                and not (name == _RESOURCES and (format == "TIFF" or not photoshop.with_iptc(data, None)))
            )
        )
        if kinds:
            picture.note(f"{NAMES.get(format, format)} has no place for {', '.join(kinds)} of the JPEG; dropped")
        held = [(photoshop.TIFF_PART, data) for name, data in picture.parts if name == _RESOURCES and format == "TIFF"]
        picture = dataclasses.replace(picture, parts=held)
    return picture


def packed(picture: Picture, profile: bytes | None) -> bytes:
    """The segments of a JPEG with the metadata of `picture`, without its index of further pictures."""
    parts = picture.parts if picture.source_format == "JPEG" else []
    written = b""
    if picture.exif and len(picture.exif) + len(_EXIF) > jpeg_segments.LONGEST:
        picture.note("the EXIF is too long for JPEG; it is dropped")
    elif picture.exif:
        written += jpeg_segments.packed(0xE1, _EXIF + picture.exif)
    if picture.xmp:
        coded = extended_xmp.segments(picture.xmp)
        if coded is None:
            picture.note("the XMP is too long for JPEG; it is dropped")
        written += coded or b""
    if profile:
        step = jpeg_segments.LONGEST - len(_ICC) - 2
        count = -(-len(profile) // step)
        if count > 255:
            picture.note("the colour profile is too long for JPEG; it is dropped")
        else:
            written += b"".join(
                jpeg_segments.packed(0xE2, _ICC + bytes((k + 1, count)) + profile[k * step : (k + 1) * step])
                for k in range(count)
            )
    kept = next((data for name, data in picture.parts if name in (_RESOURCES, photoshop.TIFF_PART)), b"")
    if resources := photoshop.with_iptc(kept, picture.iptc):
        written += jpeg_segments.split(0xED, photoshop.HEAD, resources)
    for name, data in parts:
        if name.startswith(b"APP"):
            written += jpeg_segments.packed(0xE0 + int(name[3:]), data)
    comments = [data for name, data in parts if name == b"COM"]
    for comment in (picture.comment, *comments):
        if comment and len(comment) > jpeg_segments.LONGEST:
            picture.note("the comment is too long for JPEG; it is dropped")
        elif comment:
            written += jpeg_segments.packed(COM, comment)
    return written

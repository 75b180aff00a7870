"""WebP: stills and animations, decoded and encoded with Pillow; the chunks around the pixels are written here."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Iterator
from typing import IO, Any

from PIL import WebPImagePlugin

from restore.images import metadata, pillow
from restore.images.animation import stop_at_page
from restore.images.picture import DEFAULT_QUALITY, Picture, Refusal, check_page, check_size

_PIXELS = (b"VP8 ", b"VP8L", b"ALPH")
_KNOWN = (*_PIXELS, b"VP8X", b"ANIM", b"ANMF", b"ICCP", b"EXIF", b"XMP ")
_CREDENTIALS = b"C2PA"
_LONGEST = (1 << 24) - 1  # milliseconds; a frame's duration has 24 bits
_LARGEST = (1 << 32) - 11  # bytes; RIFF states its size in 32 bits
_HAS_PROFILE, _HAS_ALPHA, _HAS_EXIF, _HAS_XMP, _IS_ANIMATION = 0x20, 0x10, 0x08, 0x04, 0x02


def read(file: IO[bytes], picture: Picture, max_pixels: int) -> int:
    """Fills `picture`; returns the orientation still to apply."""
    return stop_at_page(read_frames(file, picture, max_pixels), picture)


def read_frames(file: IO[bytes], picture: Picture, max_pixels: int) -> Iterator[int]:
    """Fills `picture` with one frame after the other, as it is shown; yields the orientation still to apply."""
    lossless = _survey(file, picture, max_pixels)
    file.seek(0)
    image: Any = WebPImagePlugin.WebPImageFile(file)
    check_size(image.size, max_pixels, file)
    check_page(picture, image.n_frames)
    orientation = 0
    for number in range(image.n_frames):
        image.seek(number)
        picture.page, picture.source_is_lossless = number + 1, lossless[min(number, len(lossless) - 1)]
        pillow.load(image, picture)
        if image.n_frames > 1:
            picture.duration, picture.loops = float(image.info["duration"]), image.info["loop"]
        if number == 0:
            orientation = pillow.take_metadata(image, picture)
        yield orientation


def _chunks(file: IO[bytes], start: int, end: int) -> Iterator[tuple[bytes, int]]:
    """Name and length of every chunk between two places; `file` stands at its data."""
    while start + 8 <= end:
        file.seek(start)
        name, length = struct.unpack("<4sI", file.read(8).ljust(8, b"\0"))
        yield name, length
        start += 8 + length + length % 2


def _survey(file: IO[bytes], picture: Picture, max_pixels: int) -> list[bool]:
    """Whether each frame is lossless. Sets the parts of `picture` and notes what is dropped.

    Checks the size that VP8X states, because the decoder takes memory for it at once.
    """
    stored = file.seek(0, io.SEEK_END)
    file.seek(4)
    end = 8 + int.from_bytes(file.read(4), "little")
    lossless, odd = [], dict[str, None]()
    for name, length in _chunks(file, 12, min(end, stored)):
        if name == b"VP8X":
            sides = file.read(10)[4:]
            check_size((int.from_bytes(sides[:3], "little") + 1, int.from_bytes(sides[3:], "little") + 1),
                       max_pixels, file)  # fmt: skip
        elif name == b"ANMF":
            place = file.tell()
            inner = [part for part, _ in _chunks(file, place + 16, min(place + length, stored))]
            lossless.append(b"VP8L" in inner)
            odd |= {_shown(part): None for part in inner if part not in _PIXELS}
        elif name in (b"VP8 ", b"VP8L"):
            lossless.append(name == b"VP8L")
        elif name == _CREDENTIALS:
            odd["content credentials (C2PA)"] = None
        elif name not in _KNOWN and file.tell() + length <= stored:
            picture.parts.append((name, file.read(length)))
    if odd:
        picture.note(f"parts that describe the unrestored picture are dropped: {', '.join(odd)}")
    if (rest := stored - end - end % 2) > 0:
        picture.note(f"{rest:,} bytes after the picture are dropped")
    return lossless or [False]


def _shown(name: bytes) -> str:
    return f"the chunk {name.decode('latin-1').strip()}"


def write(file: IO[bytes], picture: Picture, quality: int | None) -> None:
    """Writes a WebP; lossless if the source was and `quality` is None."""
    if picture.parts and picture.source_format == "WEBP":
        _write_chunks(file, [picture], quality, is_animation=False)
    else:
        pillow.save(file, picture, "WEBP", **_options(picture, quality))


def write_frames(file: IO[bytes], frames: Iterable[Picture], quality: int | None) -> None:
    """Writes an animation of whole frames; one frame is in memory. Each is lossless if its source was.

    Raises:
        Refusal: Frames differ in size, or the file would end beyond 4 GB.
    """
    _write_chunks(file, frames, quality, is_animation=True)


def _options(picture: Picture, quality: int | None) -> dict[str, Any]:
    if quality is None and picture.source_is_lossless:
        return {"lossless": True, "exact": True}  # exact: keep colours under full transparency
    return {"quality": quality or max(DEFAULT_QUALITY, picture.jpeg_quality or 0)}


def _write_chunks(file: IO[bytes], frames: Iterable[Picture], quality: int | None, *, is_animation: bool) -> None:
    """Writes the extended format (WebP Container Specification): VP8X, ICCP, ANIM, ANMF ..., EXIF, XMP, others."""
    file.write(bytes(12 + 18))  # RIFF and VP8X are written at the end
    flags, size = _IS_ANIMATION if is_animation else 0, (0, 0)
    exif = xmp = b""
    parts: list[tuple[bytes, bytes]] = []
    for number, frame in enumerate(frames):
        if number == 0:
            size = frame.pixels.shape[1], frame.pixels.shape[0]
            exif, xmp, parts = frame.exif or b"", frame.xmp or b"", frame.parts if frame.source_format == "WEBP" else []
            if profile := metadata.profile_for(frame):
                flags |= _HAS_PROFILE
                _write_chunk(file, b"ICCP", profile)
            if is_animation:
                _write_chunk(file, b"ANIM", struct.pack("<IH", 0, min(frame.loops, 65_535)))  # 0: transparent
        if frame.pixels.shape[1::-1] != size:
            raise Refusal("frames of an animated WebP have one size", "use .tif")
        flags |= 0 if frame.alpha is None else _HAS_ALPHA
        pixels = _encoded(frame, quality)
        if is_animation:
            duration = min(round(frame.duration or 0), _LONGEST)
            # The last byte: this frame replaces all before it.
            control = bytes(6) + b"".join((v).to_bytes(3, "little") for v in (size[0] - 1, size[1] - 1, duration))
            _write_chunk(file, b"ANMF", control + b"\2" + pixels)
        else:
            file.write(pixels)
        del frame, pixels
        if file.tell() > _LARGEST:
            raise Refusal("WebP files end at 4 GB", "use .png")
    for name, data, flag in ((b"EXIF", exif, _HAS_EXIF), (b"XMP ", xmp, _HAS_XMP), *((*part, 0) for part in parts)):
        if data:
            flags |= flag
            _write_chunk(file, name, data)
    end = file.tell()
    if end > _LARGEST:
        raise Refusal("WebP files end at 4 GB", "use .png")
    file.seek(0)
    file.write(b"RIFF" + struct.pack("<I", end - 8) + b"WEBP")
    _write_chunk(file, b"VP8X", struct.pack("<I", flags) + b"".join((v - 1).to_bytes(3, "little") for v in size))


def _write_chunk(file: IO[bytes], name: bytes, data: bytes) -> None:
    file.write(name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2))


def _encoded(frame: Picture, quality: int | None) -> bytes:
    """The chunks of a frame's pixels: VP8L, or VP8 with ALPH before it."""
    alone = io.BytesIO()
    pillow.image_of(frame).save(alone, "WEBP", **_options(frame, quality))
    kept = []
    for name, length in _chunks(alone, 12, alone.getbuffer().nbytes):
        if name in _PIXELS:
            kept.append(name + struct.pack("<I", length) + alone.read(length + length % 2))
    return b"".join(kept)

"""Structural mutations of picture files: parts are dropped, doubled, swapped, resized and given lying numbers.

A file is taken apart into its parts (chunks, segments, entries), changed, and put together with sums and lengths that
fit, so that a decoder gets past its first check. `mutated` picks a mutation at random.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from random import Random

from mutators_boxes import EXTREMES, mutated_boxes

Parts = list[bytes]


def mutated(data: bytes, random: Random) -> bytes:
    """One mutation by the structure of the file, or in one of four cases of its bytes."""
    structural = next((change for start, change in _BY_START if data.startswith(start)), None)
    if data[4:8] in (b"ftyp", b"jP  ", b"JXL "):
        structural = _boxes
    if structural is None or random.random() < 0.25:
        return _bytes(data, random)
    return structural(data, random)


def _bytes(data: bytes, random: Random) -> bytes:
    """Flips, zeros, noise, a cut, a hole or a repetition."""
    if not data:
        return random.randbytes(8)
    changed = bytearray(data)
    start = random.randrange(len(data))
    length = min(len(data) - start, random.choice((1, 1, 2, 4, 16, 256, 2048)))
    kind = random.randrange(7)
    if kind == 0:
        for _ in range(random.choice((1, 2, 8, 64))):
            changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    elif kind == 1:
        changed[start : start + length] = bytes(length)
    elif kind == 2:
        changed[start : start + length] = random.randbytes(length)
    elif kind == 3:
        del changed[start:]
    elif kind == 4:
        del changed[start : start + length]
    elif kind == 5:
        changed[start:start] = changed[start : start + length] * random.choice((1, 2, 50))
    else:
        number = random.choice(EXTREMES)
        size = random.choice((1, 2, 4))
        changed[start : start + size] = (number % 256**size).to_bytes(size, random.choice(("big", "little")))
    return bytes(changed)


def _parts(parts: Parts, random: Random) -> Parts:
    """Drops, doubles, swaps or multiplies whole parts."""
    if not parts:
        return parts
    parts = list(parts)
    at, other = random.randrange(len(parts)), random.randrange(len(parts))
    kind = random.randrange(5)
    if kind == 0:
        del parts[at]
    elif kind == 1:
        parts.insert(other, parts[at])
    elif kind == 2:
        parts[at], parts[other] = parts[other], parts[at]
    elif kind == 3:
        parts[at:at] = [parts[at]] * random.choice((3, 40, 400))
    else:
        parts = parts[: at + 1]
    return parts


def _png(data: bytes, random: Random) -> bytes:
    """Chunks of a PNG; the sums fit again."""
    chunks: Parts = []  # name and data
    at = 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        chunks.append(data[at + 4 : at + 8 + length])
        at += 12 + length
    if not chunks:
        return _bytes(data, random)
    kind = random.randrange(4)
    if kind == 0:
        chunks = _parts(chunks, random)
    else:
        place = random.randrange(len(chunks)) if kind == 1 else 0  # 0 is IHDR
        name, body = chunks[place][:4], chunks[place][4:]
        if kind == 3:  # also of what is compressed
            place = random.randrange(len(chunks))
            name, body = chunks[place][:4], chunks[place][4:]
            name = random.choice(
                (name, b"IDAT", b"acTL", b"fcTL", b"fdAT", b"iCCP", b"zTXt", b"iTXt", b"tRNS", b"PLTE")
            )
        chunks[place] = name + (_bytes(body, random) if body else random.randbytes(8))
    out = data[:8]
    for chunk in chunks:
        length = len(chunk) - 4 if random.random() > 0.02 else random.choice(EXTREMES)
        out += struct.pack(">I", max(0, length)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return out


def _jpeg(data: bytes, random: Random) -> bytes:
    """Segments of a JPEG; the lengths fit again, but for a few that lie."""
    segments: Parts = []  # marker and data
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        (length,) = struct.unpack_from(">H", data, at + 2)
        segments.append(data[at + 1 : at + 2] + data[at + 4 : at + 2 + length])
        at += 2 + length
    scan = data[at:]
    kind = random.randrange(4)
    if kind == 0:
        segments = _parts(segments, random)
    elif kind == 1 and segments:
        place = random.randrange(len(segments))
        segments[place] = segments[place][:1] + _bytes(segments[place][1:], random)
    elif kind == 2:
        scan = scan[:12] + _bytes(scan[12:], random)
    else:
        scan = scan * random.choice((2, 30)) if random.random() < 0.3 else _bytes(scan, random)
    out = data[:2]
    for segment in segments:
        length = len(segment) + 1 if random.random() > 0.03 else random.choice(EXTREMES)
        out += b"\xff" + segment[:1] + struct.pack(">H", length % 65536) + segment[1:]
    return out + scan


def _riff(data: bytes, random: Random) -> bytes:
    """Chunks of a WebP."""
    chunks: Parts = []
    at = 12
    while at + 8 <= len(data):
        (length,) = struct.unpack_from("<I", data, at + 4)
        chunks.append(data[at : at + 4] + data[at + 8 : at + 8 + length])
        at += 8 + length + length % 2
    if random.random() < 0.3 or not chunks:
        chunks = _parts(chunks, random)
    else:
        place = random.randrange(len(chunks))
        chunks[place] = chunks[place][:4] + _bytes(chunks[place][4:], random)
    body = b""
    for chunk in chunks:
        length = len(chunk) - 4 if random.random() > 0.03 else random.choice(EXTREMES)
        body += chunk[:4] + struct.pack("<I", length) + chunk[4:] + bytes(len(chunk) % 2)
    total = 4 + len(body) if random.random() > 0.05 else random.choice(EXTREMES)
    return b"RIFF" + struct.pack("<I", total % 2**32) + b"WEBP" + body


def _tiff(data: bytes, random: Random) -> bytes:
    """Entries of the directories of a classic TIFF: tag, type, count, value, and the offset of the next directory."""
    order = "<" if data[:2] == b"II" else ">"
    if data[2:4] not in (b"*\0", b"\0*"):
        return _bytes(data, random)
    changed = bytearray(data)
    (at,) = struct.unpack_from(order + "I", data, 4)
    directories: list[tuple[int, int]] = []
    while at and at + 2 < len(data) and len(directories) < 8:
        (count,) = struct.unpack_from(order + "H", data, at)
        if at + 6 + 12 * count > len(data):
            break
        directories.append((at, count))
        (at,) = struct.unpack_from(order + "I", data, at + 2 + 12 * count)
    if not directories:
        return _bytes(data, random)
    at, count = random.choice(directories)
    entry = at + 2 + 12 * random.randrange(max(1, count))
    for _ in range(random.choice((1, 1, 2, 5))):
        kind = random.randrange(7)
        if kind == 0:
            struct.pack_into(order + "H", changed, entry, random.choice((254, 256, 257, 258, 259, 262, 277, 322, 338)))
        elif kind == 1:
            struct.pack_into(order + "H", changed, entry + 2, random.choice((*range(19), 65535)))
        elif kind == 2:
            struct.pack_into(order + "I", changed, entry + 4, random.choice(EXTREMES))
        elif kind == 3:
            struct.pack_into(order + "I", changed, entry + 8, random.choice((*EXTREMES, at, len(data) - 1)))
        elif kind == 4:
            struct.pack_into(order + "H", changed, entry + 8, random.randrange(70000) % 65536)
        elif kind == 5:
            following = random.choice((0, at, 8, len(data) - 4, 2**32 - 1))
            struct.pack_into(order + "I", changed, at + 2 + 12 * count, following)
        else:
            struct.pack_into(order + "H", changed, at, random.choice((0, 1, count + 1, 65535)))
        entry = at + 2 + 12 * random.randrange(max(1, count))
    return bytes(changed)


def _boxes(data: bytes, random: Random) -> bytes:
    """Whole boxes of JPEG 2000, AVIF, HEIC and JPEG XL, down to the third level, or fields in them."""
    if random.random() < 0.5:
        return mutated_boxes(data, random)
    changed = bytearray(data)
    found = list(_box_places(data, 0, len(data), 0))
    if not found:
        return _bytes(data, random)
    start, stop = random.choice(found)
    kind = random.randrange(6)
    if kind == 0:
        struct.pack_into(">I", changed, start, random.choice((*EXTREMES, stop - start + 8)))
    elif kind == 1:
        del changed[start:stop]
    elif kind == 2:
        changed[start:start] = changed[start:stop] * random.choice((1, 3, 60))
    elif kind == 3:
        other, end = random.choice(found)
        changed[start:start] = data[other:end]
    elif kind == 4:
        changed[start + 4 : start + 8] = random.choice([data[s + 4 : s + 8] for s, _ in found])
    elif stop - start > 8:
        changed[start + 8 : stop] = _bytes(data[start + 8 : stop], random)
    return bytes(changed)


_CONTAINERS = frozenset((b"jp2h", b"meta", b"iprp", b"ipco", b"moov", b"iinf", b"dinf", b"res "))


def _box_places(data: bytes, at: int, end: int, depth: int) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    while at + 8 <= end and len(found) < 200:
        length, name = struct.unpack_from(">I4s", data, at)
        stop = at + length if length else end
        if length == 1 or not at + 8 <= stop <= end:
            break
        found.append((at, stop))
        if depth < 3 and name in _CONTAINERS:
            found += _box_places(data, at + (12 if name == b"meta" else 8), stop, depth + 1)
        at = stop
    return found


_BY_START: tuple[tuple[bytes, Callable[[bytes, Random], bytes]], ...] = (
    (b"\x89PNG", _png),
    (b"\xff\xd8\xff", _jpeg),
    (b"RIFF", _riff),
    (b"II", _tiff),
    (b"MM", _tiff),
    (b"\xff\x4f\xff\x51", mutated_boxes),
    (b"\xff\x0a", mutated_boxes),
)

"""The header of a JPEG XL codestream (ISO/IEC 18181-1, annexes D and E): what it states, and a profile put into it."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

STREAM = b"\xff\x0a"
SIGNATURE = b"\0\0\0\x0cJXL \r\n\x87\n"
ALPHA, BLACK = 0, 4  # types of extra channels
_LONGEST = 16_384  # bytes; names of extra channels make a header long
_D65, _CUSTOM = 1, 2  # white points; primaries have the same number for custom ones
_SRGB_CURVE = 13


@dataclass
class Header:
    """What a codestream states before its frames.

    Attributes:
        width, height: Pixels, before the orientation is applied.
        orientation: 1..8, as in EXIF; decoders apply it.
        is_animated: It has frames that follow in time.
        tick: Milliseconds, the unit of a frame's duration.
        loops: How often an animation is shown; 0 is for ever.
        bits: Bits per sample.
        is_float: Samples are floating-point numbers.
        extras: Types of the channels beside grey or RGB.
        is_premultiplied: Colours are multiplied by the transparency.
        is_xyb: The pixels are coded in XYB, as in lossy files. Decoders convert them.
        is_grey: The colours are one channel.
        has_profile: The stream holds an ICC profile.
        white: White point: 1 is D65, 2 is `chromaticities[0]`, 10 is E, 11 is DCI.
        primaries: Numbered as in ITU-T H.273: 1 is sRGB, 9 is BT.2100, 11 is P3; 2 is `chromaticities[1:]`.
        transfer: Curve, numbered as in ITU-T H.273: 8 is linear, 13 is sRGB, 16 is PQ, 18 is HLG; None for `gamma`.
        gamma: Exponent from values to light, inverted: 0.4545 is a gamma of 2.2.
        chromaticities: x and y of white, red, green and blue, where they are stated.
        depth_at: Bit position of the depth of the samples; None in a default header.
        colours_at: Bit positions where the colour encoding starts and ends.
        end: Bit position after the header, without the padding; None if it holds fields that are not read here.
    """

    width: int
    height: int
    orientation: int = 1
    is_animated: bool = False
    tick: float = 0
    loops: int = 0
    bits: int = 8
    is_float: bool = False
    extras: list[int] = field(default_factory=list)
    is_premultiplied: bool = False
    is_xyb: bool = True
    is_grey: bool = False
    has_profile: bool = False
    white: int = _D65
    primaries: int = 1
    transfer: int | None = _SRGB_CURVE
    gamma: float | None = None
    chromaticities: list[tuple[float, float]] = field(default_factory=lambda: [(0.3127, 0.329)])
    depth_at: int | None = None
    colours_at: tuple[int, int] | None = None
    end: int | None = None


class _Bits:
    """Reads bits, the lowest of each byte first."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")
        self._left = 8 * len(data)
        self.position = 0

    def take(self, count: int) -> int:
        self.position += count
        if self.position > self._left:
            raise OSError("its header ends early")
        taken = self._value & ((1 << count) - 1)
        self._value >>= count
        return taken

    def number(self, *choices: int | tuple[int, int]) -> int:
        """A number in one of four forms: a constant, or an offset and a count of bits."""
        choice = choices[self.take(2)]
        return choice if isinstance(choice, int) else choice[0] + self.take(choice[1])

    def enum(self) -> int:
        return self.number(0, 1, (2, 4), (18, 6))

    def signed(self) -> int:
        """A coordinate of a colour, in millionths."""
        value = self.number((0, 19), (524288, 19), (1048576, 20), (2097152, 21))
        return -(value + 1) // 2 if value & 1 else value // 2


def read(stream: bytes) -> Header:
    """The header of a codestream; its first 16 KB are enough.

    Raises:
        OSError: It is not one, or it is damaged.
    """
    if not stream.startswith(STREAM):
        raise OSError("it holds no stream of pixels")
    bits = _Bits(stream[2:_LONGEST])
    header = Header(*_size(bits))
    if bits.take(1):  # all values are the defaults
        _finish(bits, header, has_more=False, is_default=True)
        return header
    has_more = bool(bits.take(1))
    if has_more:
        header.orientation = 1 + bits.take(3)
        if bits.take(1):
            _size(bits)  # intrinsic
        if bits.take(1):
            _size(bits, is_preview=True)
        if bits.take(1):
            header.is_animated = True
            ticks, seconds = bits.number(100, 1000, (1, 10), (1, 30)), bits.number(1, 1001, (1, 8), (1, 10))
            header.tick = 1000 * seconds / ticks
            header.loops = bits.number(0, (0, 3), (0, 16), (0, 32))
            bits.take(1)  # time codes
    header.depth_at = bits.position + 16
    header.bits, header.is_float = _depth(bits)
    bits.take(1)  # buffers of 16 bits are enough
    for _ in range(bits.number(0, 1, (2, 4), (1, 12))):
        _take_extra(bits, header)
    header.is_xyb = bool(bits.take(1))
    start = bits.position
    _take_colours(bits, header)
    header.colours_at = start + 16, bits.position + 16
    _finish(bits, header, has_more=has_more, is_default=False)
    return header


def _size(bits: _Bits, *, is_preview: bool = False) -> tuple[int, int]:
    is_small = bits.take(1)

    def length() -> int:
        if is_preview and is_small:
            return 8 * bits.number(16, 32, (1, 5), (33, 9))
        if is_preview:
            return bits.number((1, 6), (65, 8), (321, 10), (1345, 12))
        return 8 * (1 + bits.take(5)) if is_small else bits.number((1, 9), (1, 13), (1, 18), (1, 30))

    height = length()
    ratio = bits.take(3)
    a, b = ((0, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[ratio]
    return height * a // b if ratio else length(), height


def _depth(bits: _Bits) -> tuple[int, bool]:
    if bits.take(1):
        count = bits.number(32, 16, 24, (1, 6))
        bits.take(4)  # bits of the exponent
        return count, True
    return bits.number(8, 10, 12, (1, 6)), False


def _take_extra(bits: _Bits, header: Header) -> None:
    kind = ALPHA
    if not bits.take(1):  # otherwise transparency of 8 bits
        kind = bits.enum()
        _depth(bits)
        bits.number(0, 3, 4, (1, 3))  # subsampling
        bits.take(8 * bits.number(0, (0, 4), (16, 5), (48, 10)))  # name
        if kind == ALPHA and bits.take(1):
            header.is_premultiplied = True
        if kind == 2:  # spot colour
            bits.take(64)
        if kind == 5:  # mosaic
            bits.number(1, (0, 2), (3, 4), (19, 8))
    header.extras.append(kind)


def _take_colours(bits: _Bits, header: Header) -> None:
    if bits.take(1):
        return
    header.has_profile = bool(bits.take(1))
    space = bits.enum()
    header.is_grey = space == 1
    if header.has_profile:
        return
    points: list[tuple[float, float]] = []

    def take_point() -> None:
        points.append((bits.signed() / 1e6, bits.signed() / 1e6))

    if space != 2:  # XYB
        header.white = bits.enum()
        if header.white == _CUSTOM:
            take_point()
    points = points or [{10: (1 / 3, 1 / 3), 11: (0.314, 0.351)}.get(header.white, (0.3127, 0.329))]
    if space not in (1, 2):
        header.primaries = bits.enum()
        if header.primaries == _CUSTOM:
            for _ in range(3):
                take_point()
    if space != 2:
        if bits.take(1):
            header.gamma, header.transfer = bits.take(24) / 1e7, None
        else:
            header.transfer = bits.enum()
    bits.enum()  # rendering intent
    header.chromaticities = points


def _finish(bits: _Bits, header: Header, *, has_more: bool, is_default: bool) -> None:
    """Sets the end of the header where nothing unusual stands before it."""
    if has_more and not bits.take(1):  # tone mapping that is not the default
        bits.take(16 + 16 + 1 + 16)
    has_extensions = not is_default and bits.take(2)
    if not has_extensions and bits.take(1):  # the transforms are the defaults
        header.end = bits.position + 16


def with_depth_of_12(stream: bytes, header: Header) -> bytes:
    """The stream, stating 12 bits instead of 8 or 10. Only for XYB, whose pixels have no depth of their own."""
    if header.depth_at is None or header.is_float or header.bits not in (8, 10):
        return stream
    place = header.depth_at + 1
    patched = bytearray(stream)
    for at, bit in ((place, 0), (place + 1, 1)):
        patched[at // 8] = patched[at // 8] & ~(1 << at % 8) | bit << at % 8
    return bytes(patched)


def with_colours(stream: bytes, *, profile: bytes | None = None, cicp: tuple[int, int] | None = None) -> bytes | None:
    """The stream with other colours stated in its header; None where its header is too unusual.

    Args:
        stream: A codestream.
        profile: The ICC profile to state. It is stored without compression: predicted as by annex E.4 with commands
            that only insert, then coded with one prefix code of 8 bits for every byte.
        cicp: Primaries and curve to state, numbered as in ITU-T H.273. Without it and a profile: sRGB.
    """
    header = read(stream)
    if header.end is None or header.has_profile or (profile and len(profile) < 128):
        return None
    if header.colours_at is None:  # a default header is XYB in sRGB
        return None if profile or cicp else stream
    value = int.from_bytes(stream[: header.end // 8 + 1], "little")

    def old(start: int, stop: int) -> tuple[int, int]:
        return value >> start & ((1 << (stop - start)) - 1), stop - start

    parts = [old(0, header.colours_at[0])]
    if profile:
        parts += [(0, 1), (1, 1), (int(header.is_grey), 2)]
    elif cicp or header.is_grey:
        primaries, transfer = cicp or (1, _SRGB_CURVE)
        parts += [(0, 1), (0, 1), (int(header.is_grey), 2), *_enum(11 if primaries == 11 else _D65)]
        parts += [] if header.is_grey else _enum(11 if primaries == 12 else primaries)
        parts += [(0, 1), *_enum(transfer), *_enum(0)]
    else:
        parts.append((1, 1))
    parts.append(old(header.colours_at[1], header.end))
    if profile:
        parts += _coded(_predicted(profile))
    return _packed(parts) + stream[-(-header.end // 8) :]


def _packed(parts: list[tuple[int, int]]) -> bytes:
    """Values and their counts of bits as bytes, the lowest bits first."""
    joined = place = 0
    pieces = bytearray()
    for bits, count in parts:
        joined |= bits << place
        whole, place = divmod(place + count, 8)
        pieces += (joined & ((1 << 8 * whole) - 1)).to_bytes(whole, "little")
        joined >>= 8 * whole
    return bytes(pieces) + (bytes((joined,)) if place else b"")


def _enum(value: int) -> list[tuple[int, int]]:
    if value < 2:
        return [(value, 2)]
    return [(2, 2), (value - 2, 4)] if value < 18 else [(3, 2), (value - 18, 6)]


def _coded(data: bytes) -> list[tuple[int, int]]:
    """The stream of a predicted profile (annex C), all bytes with one code of 8 bits."""
    parts = _long(len(data))
    parts.append((0, 1))  # no repetitions
    parts += [(1, 1), (0, 2)]  # simple context map: all contexts share one code
    parts.append((1, 1))  # a prefix code
    parts += [(8, 4), (0, 4), (0, 4)]  # numbers below 256 stand for themselves
    parts += [(1, 1), (7, 4), (127, 7)]  # 1 + 128 + 127 symbols
    parts += _flat_code()
    return parts + [(int(f"{byte:08b}"[::-1], 2), 8) for byte in data]


def _flat_code() -> list[tuple[int, int]]:
    """256 symbols of 8 bits each, as a prefix code of RFC 7932, section 3.5: length 8 is the only one in use."""
    order = (1, 2, 3, 4, 0, 5, 17, 6, 16, 7, 8)
    return [(0, 2)] + [(0, 2)] * (len(order) - 1) + [(0b0111, 4)] + [(0, 2)] * 7


def _predicted(profile: bytes) -> bytes:
    """A profile as annex E.4 codes it, all of it inserted after the header of 128 bytes."""
    guess = bytearray(128)
    struct.pack_into(">I4xB", guess, 0, len(profile), 4)
    guess[12:24] = b"mntrRGB XYZ "
    guess[36:40] = b"acsp"
    guess[68:80] = struct.pack(">3I", 0xF6D6, 0x10000, 0xD32D)
    guess[80:84] = profile[4:8]
    platform = {b"A": b"APPL", b"M": b"MSFT"}.get(profile[40:41])
    if platform:
        guess[41:44] = platform[1:]
    if profile[40:42] in (b"SG", b"SU"):
        guess[42:44] = b"I " if profile[41:42] == b"G" else b"NW"
    head = bytes((a - b) & 255 for a, b in zip(profile[:128], guess, strict=True))
    rest = profile[128:]
    commands = b"\0" + (b"\1" + _varint(len(rest)) if rest else b"")
    return _varint(len(profile)) + _varint(len(commands)) + commands + head + rest


def _varint(value: int) -> bytes:
    """
    >>> _varint(300)
    b'\\xac\\x02'
    """
    coded = bytearray()
    while value > 127:
        coded.append(value & 127 | 128)
        value >>= 7
    return bytes(coded) + bytes((value,))


def _long(value: int) -> list[tuple[int, int]]:
    """A U64: of up to 272, or in pieces of 12, 8, 8, ... bits."""
    if value < 17:
        return [(1, 2), (value - 1, 4)] if value else [(0, 2)]
    if value < 273:
        return [(2, 2), (value - 17, 8)]
    parts = [(3, 2), (value & 4095, 12)]
    value >>= 12
    while value:
        parts += [(1, 1), (value & 255, 8)]
        value >>= 8
    return [*parts, (0, 1)]

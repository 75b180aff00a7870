"""XMP of a JPEG that is longer than a segment: a main packet and an extended one.

Source: Adobe's XMP specification, part 3, section 1.1.3.1.
"""

from __future__ import annotations

import hashlib
import html
import re
import struct

from restore.images.jpeg import segments as jpeg_segments
from restore.images.metadata import xmp
from restore.images.metadata.packets import RDF, USUAL, Node, Packet

MAIN_HEAD = b"http://ns.adobe.com/xap/1.0/\0"
HEAD = b"http://ns.adobe.com/xmp/extension/\0"
_LONGEST = jpeg_segments.LONGEST - len(MAIN_HEAD)
_STEP = 65_400  # bytes of an extended packet in a segment; Adobe's encoders take as many
_POINTER = "<{0}:Description {0}:about='{1}' xmlns:xmpNote='{2}' xmpNote:HasExtendedXMP='{3}'/>"
_MOST_DESCRIPTIONS = 100  # real packets have up to about 20
_MOST = 100 << 20  # bytes of an extended packet


def joined(packet: bytes, pieces: list[bytes]) -> tuple[bytes, bool]:
    """The main packet with the content of the extended one, and whether all that it announces is there.

    Args:
        packet: The main packet.
        pieces: Segments of the extended packet without `HEAD`, in any order.
    """
    plain = xmp.without(packet, ["extended"])
    stated = _stated_digest(packet)
    if not stated:
        return plain, not pieces
    try:
        extended = _assembled([piece for piece in pieces if piece[:32].upper() == stated])
        if hashlib.md5(extended, usedforsecurity=False).hexdigest().upper().encode() != stated:
            return plain, False
        return _merged(Packet(plain), Packet(extended)), True
    except (ValueError, struct.error):
        return plain, False


def _stated_digest(packet: bytes) -> bytes | None:
    try:
        parsed = Packet(packet)
    except ValueError:
        return None
    names = (USUAL["xmpNote"], "HasExtendedXMP")
    found = next((node for node in parsed.nodes if (node.namespace, node.name) == names), None)
    return parsed.value(found).strip().upper().encode("utf-8", "replace") if found else None


def _assembled(pieces: list[bytes]) -> bytes:
    """The extended packet. Raises ValueError or struct.error where bytes are missing."""
    length = struct.unpack_from(">I", pieces[0], 32)[0] if pieces else 0
    if not 0 < length <= min(_MOST, sum(len(piece) for piece in pieces)):
        raise ValueError("the extended XMP is not whole")
    whole = bytearray(length)
    for piece in pieces:
        (offset,) = struct.unpack_from(">I", piece, 36)
        part = piece[40 : 40 + max(0, length - offset)]
        whole[offset : offset + len(part)] = part
    return bytes(whole)


def _merged(main: Packet, extended: Packet) -> bytes:
    """The main packet with the descriptions of the extended one."""
    target, source = _rdf(main), _rdf(extended)
    place = target.inner[1]
    if place == target.end:
        raise ValueError("its RDF is empty")
    pieces = [_standing_alone(extended, node) for node in _children(extended, source)]
    return main.edited([(place, place, "".join(pieces))])


def _rdf(parsed: Packet) -> Node:
    found = next((node for node in parsed.nodes if (node.namespace, node.name) == (RDF, "RDF")), None)
    if found is None:
        raise ValueError("it has no RDF")
    return found


def _children(parsed: Packet, parent: Node) -> list[Node]:
    found = [node for node in parsed.nodes if node.parent is parent and not node.is_attribute]
    if len(found) > _MOST_DESCRIPTIONS:
        raise ValueError("it has too many descriptions")
    return found


def _declarations(parsed: Packet, node: Node, *, with_own: bool) -> str:
    """The declarations of prefixes that hold at a node, as attributes."""
    around = [*([node] if with_own else []), *node.ancestors()]
    own = {n.name for n in parsed.nodes if n.namespace == "xmlns" and n.parent is node} if not with_own else set()
    found: dict[str, str] = {}
    for element in around:
        for declared in parsed.nodes:
            if declared.namespace == "xmlns" and declared.parent is element and declared.name not in own:
                found.setdefault(declared.name, parsed.text[declared.start : declared.end])
    return "".join(found.values())


def _standing_alone(parsed: Packet, node: Node) -> str:
    """The text of an element with the prefixes that its ancestors declare."""
    text = parsed.text[node.start : node.end]
    name = re.match(r"<[^\s/>]+", text)
    if not name:
        raise ValueError("it is no element")
    return name[0] + _declarations(parsed, node, with_own=False) + text[name.end() :]


def segments(packet: bytes) -> bytes | None:
    """A packet as segments of a JPEG, with an extended one if it is long. None if it cannot be divided."""
    if len(packet) <= _LONGEST:
        return jpeg_segments.packed(0xE1, MAIN_HEAD + packet)
    packet = re.sub(rb"\s+(?=<\?xpacket end)", b"\n", packet)  # padding
    if len(packet) <= _LONGEST:
        return jpeg_segments.packed(0xE1, MAIN_HEAD + packet)
    try:
        main, extended = _divided(Packet(packet))
    except (ValueError, StopIteration):
        return None
    if len(main) > _LONGEST:
        return None
    head = HEAD + _digest(extended) + struct.pack(">I", len(extended))
    parts = [extended[k : k + _STEP] for k in range(0, len(extended), _STEP)]
    pieces = [jpeg_segments.packed(0xE1, head + struct.pack(">I", k * _STEP) + part) for k, part in enumerate(parts)]
    return jpeg_segments.packed(0xE1, MAIN_HEAD + main) + b"".join(pieces)


def _digest(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).hexdigest().upper().encode()


def _divided(parsed: Packet) -> tuple[bytes, bytes]:
    """A main packet that fits into a segment if it can, and the extended packet with the largest properties."""
    rdf = _rdf(parsed)
    prefix = parsed.text[rdf.start + 1 :].partition(":")[0]
    if not re.fullmatch(r"[\w.-]+", prefix):
        raise ValueError("its RDF has no prefix")
    descriptions = _children(parsed, rdf)
    inside = {id(node) for node in descriptions}
    properties = [
        node
        for node in parsed.nodes
        if id(node.parent) in inside and node.namespace not in ("xmlns", RDF, USUAL["xml"])
    ]
    properties.sort(key=lambda node: node.start - node.end)
    excess = len(parsed.text.encode("utf-8", "surrogateescape")) - _LONGEST + 400  # 400: the pointer
    moved: list[Node] = []
    for node in properties:
        if excess <= 0:
            break
        moved.append(node)
        excess -= len(parsed.text[node.start : node.end].encode("utf-8", "surrogateescape"))
    about = next(
        (n for n in parsed.nodes if n.parent in descriptions and (n.namespace, n.name) == (RDF, "about")), None
    )
    uri = html.escape(parsed.value(about)) if about else ""
    pieces = []
    for description in descriptions:
        nodes = [node for node in sorted(moved, key=lambda n: n.start) if node.parent is description]
        attributes = "".join(parsed.text[n.start : n.end] for n in nodes if n.is_attribute)
        elements = "".join(parsed.text[n.start : n.end] for n in nodes if not n.is_attribute)
        if nodes:
            head = f"<{prefix}:Description {prefix}:about='{uri}'"
            head += _declarations(parsed, description, with_own=True)
            pieces.append(f"{head}{attributes}>{elements}</{prefix}:Description>")
    extended = f"<x:xmpmeta xmlns:x='adobe:ns:meta/'><{prefix}:RDF xmlns:{prefix}='{RDF}'>{''.join(pieces)}"
    coded = f"{extended}</{prefix}:RDF></x:xmpmeta>".encode("utf-8", "surrogateescape")
    pointer = _POINTER.format(prefix, uri, USUAL["xmpNote"], _digest(coded).decode())
    edits = [parsed.removal(node) for node in moved]
    return parsed.edited([*edits, (rdf.inner[1], rdf.inner[1], pointer)]), coded

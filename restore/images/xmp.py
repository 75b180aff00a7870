"""XMP packets: what they state about the pixels."""

from __future__ import annotations

import re
from collections.abc import Collection

from restore.images.packets import RDF, USUAL, Node, Packet
from restore.images.picture import Picture

_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation(?:=[\"']|>))([1-8])")


def take_xmp(xmp: object, picture: Picture) -> int:
    """Sets the XMP of `picture` with orientation 1; returns the original orientation, 0 if there is none."""
    if not (isinstance(xmp, bytes) and xmp):
        return 0
    found = _XMP_ORIENTATION.search(xmp)
    picture.xmp = upright_xmp(xmp)
    return int(found[2]) if found else 0


def upright_xmp(xmp: bytes) -> bytes:
    """The packet with its orientation set to 1.

    >>> upright_xmp(b"<a tiff:Orientation='6'/>")
    b"<a tiff:Orientation='1'/>"
    """
    return _XMP_ORIENTATION.sub(rb"\g<1>1", xmp)


_GOOGLE = "http://ns.google.com/photos/"
_DECLARED = {  # parts of a file, and what a packet that declares one contains
    "gain map": (b"hdr-gain-map", b"hdrgm", b"GainMap"),
    "motion photo": (b"MotionPhoto", b"MicroVideo", b"VideoLength"),
    "extended": (b"HasExtendedXMP",),
}
_SEMANTICS = {"gain map": ("GainMap",), "motion photo": ("MotionPhoto", "MicroVideo")}


def without(packet: bytes, kinds: Collection[str]) -> bytes:
    """The packet without what it states about parts that are gone. All other bytes stay.

    A packet that cannot be parsed and seems to state something about such a part is dropped whole.

    Args:
        kinds: "gain map" (ISO 21496-1, Ultra HDR), "motion photo" (a video behind the picture), and "extended" (the
            second packet of a JPEG).

    >>> without(b"<a b='c' hdrgm:Version='1.0'><hdrgm:Gamma>1</hdrgm:Gamma></a>", ["gain map"])
    b"<a b='c'></a>"
    """
    plain = packet.replace(b"\0", b"")  # ASCII in any encoding
    if not any(mark in plain for kind in kinds for mark in _DECLARED[kind]):
        return packet
    try:
        parsed = Packet(packet)
    except ValueError:
        return b""
    gone = [node for node in parsed.nodes if _declares(node, kinds)]
    gone += _items(parsed, [word for kind in kinds for word in _SEMANTICS.get(kind, ())])
    if not gone:
        return packet
    gone += _unused(parsed, gone)
    return parsed.edited(map(parsed.removal, gone))


def _declares(node: Node, kinds: Collection[str]) -> bool:
    if node.namespace == "xmlns":
        return False
    if "gain map" in kinds and node.namespace in (USUAL["hdrgm"], USUAL["HDRGainMap"]):
        return True
    if "motion photo" in kinds and "/photos/" in node.namespace and node.namespace.endswith("/camera/"):
        return node.name.startswith(("MotionPhoto", "MicroVideo", "OLivePhoto")) or node.name == "VideoLength"
    return "extended" in kinds and (node.namespace, node.name) == (USUAL["xmpNote"], "HasExtendedXMP")


def _is_google(node: Node, ending: str) -> bool:
    return node.namespace.startswith(_GOOGLE) and node.namespace.endswith(f"{ending}/")


def _items(parsed: Packet, semantics: Collection[str]) -> list[Node]:
    """The items of Google's container with such a meaning; the whole directory if only the picture is left in it."""
    gone: list[Node] = []
    directories: dict[int, tuple[Node, list[str]]] = {}
    stated = [node for node in parsed.nodes if _is_google(node, "item") and node.name == "Semantic"]
    for node in stated:
        around = list(node.ancestors())
        directory = next((n for n in around if _is_google(n, "container") and n.name == "Directory"), None)
        meaning = parsed.value(node).strip()
        if directory is not None and meaning != "Primary":
            directories.setdefault(id(directory), (directory, []))[1].append(meaning)
        if meaning in semantics:
            entry = next((n for n in around if (n.namespace, n.name) == (RDF, "li")), None)
            item = next((n for n in around if _is_google(n, "container") and n.name == "Item"), node)
            gone.append(entry or item)
    return gone + [d for d, meanings in directories.values() if all(meaning in semantics for meaning in meanings)]


def _unused(parsed: Packet, gone: Collection[Node]) -> list[Node]:
    """Declarations of namespaces that only the nodes in `gone` use."""
    spans = sorted((node.start, node.end) for node in gone)
    kept: set[str] = set()
    touched: set[str] = set()
    place = reach = 0
    for node in parsed.nodes:
        while place < len(spans) and spans[place][0] <= node.start:
            reach = max(reach, spans[place][1])
            place += 1
        (touched if node.end <= reach else kept).add(node.namespace)
    touched -= kept
    return [n for n in parsed.nodes if n.namespace == "xmlns" and parsed.value(n) in touched]

"""XMP packets: what they state about the pixels."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from html import escape

from restore.images.metadata.packets import RDF, USUAL, Node, Packet
from restore.images.picture import Picture

_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation(?:=[\"']|>))([1-8])")


def take_xmp(xmp: object, picture: Picture) -> int:
    """Sets the XMP of `picture` with orientation 1; returns the original orientation, 0 if there is none."""
    if not (isinstance(xmp, bytes) and xmp):
        return 0
    picture.xmp = xmp
    if b"Orientation" not in xmp.replace(b"\0", b""):
        return 0
    try:
        parsed = Packet(xmp)
    except ValueError:  # a plain search finds what other programs find
        found = _XMP_ORIENTATION.search(xmp)
        picture.xmp = upright_xmp(xmp)
        return int(found[2]) if found else 0
    stated = (n for n in parsed.nodes if (n.namespace, n.name) == (_TIFF, "Orientation") and _is_property(n))
    for node in stated:
        if (value := parsed.value(node).strip()) in tuple("12345678"):
            picture.xmp = parsed.edited([(*node.inner, "1")])
            return int(value)
    return 0


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


_XMP, _XMP_MM, _TIFF, _EXIF = (USUAL[prefix] for prefix in ("xmp", "xmpMM", "tiff", "exif"))
_EMPTY = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
    f'<rdf:RDF xmlns:rdf="{RDF}">\n</rdf:RDF>\n</x:xmpmeta>\n<?xpacket end="w"?>'
).encode()


def agreeing(packet: bytes | None, picture: Picture, longest: int | None = None) -> bytes | None:
    """The packet with the sizes and the resolution of `picture`, and with its history; without thumbnails.

    All other bytes stay. A new history uses up the packet's padding. A packet that cannot be parsed stays as it is.

    Args:
        longest: Bytes that the format can hold. A history that does not fit is left out.
    """
    if packet is None and not picture.history:
        return None
    try:
        parsed = Packet(packet or _EMPTY)
    except ValueError:
        return packet
    edits = _corrections(parsed, picture)
    # A packet longer than a segment is written in two, so that its history is no hindrance.
    is_long = longest is not None and len(packet or b"") > longest
    if picture.history and (added := _history(parsed, picture.history)):
        whole = parsed.edited(edits + added + _less_padding(parsed, added))
        if longest is None or is_long or len(whole) <= longest:
            return whole
    return parsed.edited(edits) if packet else None


def _is_property(node: Node) -> bool:
    """Whether a node describes the picture itself, not an earlier version or a source of it."""
    return node.namespace not in ("xmlns", RDF) and not node.is_listed


def _corrections(parsed: Packet, picture: Picture) -> list[tuple[int, int, str]]:
    """The edits that make the packet agree with the pixels and the resolution."""
    height, width = picture.pixels.shape[:2]
    right: dict[tuple[str, str], float] = {
        (_EXIF, "PixelXDimension"): width,
        (_EXIF, "PixelYDimension"): height,
        (_TIFF, "ImageWidth"): width,
        (_TIFF, "ImageLength"): height,
        (_TIFF, "Orientation"): 1,
    }
    unit = (_TIFF, "ResolutionUnit")
    densities = {(_TIFF, "XResolution"): 0, (_TIFF, "YResolution"): 1} if picture.dpi else {}
    wanted = {*right, *densities, unit, (_XMP, "Thumbnails")}
    found = [n for n in parsed.nodes if (n.namespace, n.name) in wanted and _is_property(n)]
    units = {parsed.value(n).strip() for n in found if (n.namespace, n.name) == unit}
    edits = []
    for node in found:
        name = (node.namespace, node.name)
        value = parsed.value(node).strip()
        if name == (_XMP, "Thumbnails"):
            edits.append(parsed.removal(node))
        elif name in right and value.isdecimal() and value != str(right[name]):
            edits.append((*node.inner, str(right[name])))
        elif name == unit and value == "1" and picture.dpi:
            edits.append((*node.inner, "2"))
        elif name in densities and picture.dpi:
            density = picture.dpi[densities[name]] / (2.54 if "3" in units else 1)
            number = re.fullmatch(r"(\d{1,12})(?:/(\d{1,12}))?", value)
            if number and not math.isclose(int(number[1]), density * int(number[2] or 1), rel_tol=0.002):
                edits.append((*node.inner, f"{round(density * 10_000)}/10000"))
    return edits


def _history(parsed: Packet, history: tuple[str, ...]) -> list[tuple[int, int, str]]:
    """The edits that add one event for each step, behind those of the packet, and the tool if none is named.

    An event names no time, so that the same command writes the same bytes.
    """
    properties = [node for node in parsed.nodes if _is_property(node)]
    events = "".join(_event(step) for step in history)
    root = next((n for n in parsed.nodes if (n.namespace, n.name) == (RDF, "RDF") and n.inner[1] < n.end), None)
    if root is None:
        return []
    edits, new = [], ""
    if not any((n.namespace, n.name) == (_XMP, "CreatorTool") for n in properties):
        new += f"<xmp:CreatorTool>{escape(history[0].partition(': ')[0], quote=False)}</xmp:CreatorTool>\n"
    old = next((n for n in properties if (n.namespace, n.name) == (_XMP_MM, "History") and not n.is_attribute), None)
    sequence = old and next(
        (n for n in parsed.nodes if n.parent is old and (n.namespace, n.name) == (RDF, "Seq")), None
    )
    if sequence and sequence.inner[1] < sequence.end:
        edits.append((sequence.inner[1], sequence.inner[1], events))
    else:
        edits += [parsed.removal(old)] if old else []
        new += f"<xmpMM:History><rdf:Seq>\n{events}</rdf:Seq></xmpMM:History>\n"
    if new:
        about = next((n for n in parsed.nodes if n.is_attribute and (n.namespace, n.name) == (RDF, "about")), None)
        subject = parsed.text[slice(*about.inner)].replace('"', "&quot;") if about else ""
        names = "".join(f' xmlns:{prefix}="{USUAL[prefix]}"' for prefix in ("rdf", "xmp", "xmpMM"))
        new = f'<rdf:Description rdf:about="{subject}"{names}>\n{new}</rdf:Description>\n'
        edits.append((root.inner[1], root.inner[1], new))
    return edits


def _event(step: str) -> str:
    """An event of the type ResourceEvent (XMP part 2, 1.2.3.2) of a step such as "restore 1.0: denoise"."""
    agent, _, parameters = step.partition(": ")
    names = "".join(f' xmlns:{prefix}="{USUAL[prefix]}"' for prefix in ("rdf", "stEvt"))
    values = {"action": "edited", "softwareAgent": agent, "parameters": parameters}
    fields = "".join(
        f"<stEvt:{name}>{escape(value, quote=False)}</stEvt:{name}>" for name, value in values.items() if value
    )
    return f'<rdf:li rdf:parseType="Resource"{names}>{fields}</rdf:li>\n'


def _less_padding(parsed: Packet, added: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """The edit that takes the length of `added` from the spaces before the end of the packet."""
    end = parsed.text.rfind("<?xpacket end")
    start = len(parsed.text[: max(end, 0)].rstrip()) + 1
    length = min(sum(len(new) - (last - first) for first, last, new in added), end - start)
    return [(start, start + length, "")] if length > 0 else []

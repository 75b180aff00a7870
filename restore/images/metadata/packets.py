"""The text of an XMP packet as elements and attributes with their places. Edits keep all other bytes.

XMP is RDF in XML (ISO 16684-1). An XML library would write the packet anew: other prefixes, no padding, no processing
instructions. Nothing is expanded here: entities stay as they are, and a packet with a DTD is refused.
"""

from __future__ import annotations

import codecs
import html
import re
from collections.abc import Iterable, Iterator

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
USUAL = {
    "": "",
    "xml": "http://www.w3.org/XML/1998/namespace",
    "rdf": RDF,
    "x": "adobe:ns:meta/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "xmpMM": "http://ns.adobe.com/xap/1.0/mm/",
    "xmpNote": "http://ns.adobe.com/xmp/note/",
    "stEvt": "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "hdrgm": "http://ns.adobe.com/hdr-gain-map/1.0/",
    "HDRGainMap": "http://ns.apple.com/HDRGainMap/1.0/",
    "GCamera": "http://ns.google.com/photos/1.0/camera/",
    "Container": "http://ns.google.com/photos/1.0/container/",
    "GContainer": "http://ns.google.com/photos/1.0/container/",
    "Item": "http://ns.google.com/photos/1.0/container/item/",
    "GContainerItem": "http://ns.google.com/photos/1.0/container/item/",
}
"""Prefix -> namespace, as the standards print them. They also stand for prefixes that a packet does not declare."""

_MOST_NODES = 100_000  # a packet with so many takes about 1 s and 40 MB
_DEEPEST = 50  # elements; real packets nest about 10
_NAME = r"[^\s/<>=\"'&!?]++"
_ATTRIBUTE = rf"\s++({_NAME})\s*+=\s*+(?:\"([^\"<]*+)\"|'([^'<]*+)')"
_TAG = re.compile(rf"<({_NAME})((?:{_ATTRIBUTE})*+)\s*+(/?)>")
_ATTRIBUTES = re.compile(_ATTRIBUTE)
_SKIPPED = {"<!--": "-->", "<?": "?>", "<![CDATA[": "]]>"}
_END_TAG = re.compile(rf"</({_NAME})\s*+>")


class Node:
    """An element or an attribute.

    Attributes:
        namespace, name: Its name. A declaration (`xmlns:a="b"`) has the namespace "xmlns" and the name "a".
        start, end: Its place in the text; an attribute with the space before it.
        inner: Start and end of its content or value.
        parent: The element that holds it.
        is_attribute: False for an element.
        is_listed: It lies in an entry of a list (`rdf:li`).
    """

    __slots__ = ("end", "inner", "is_attribute", "is_listed", "name", "namespace", "parent", "start")

    def __init__(self, name: tuple[str, str], start: int, parent: Node | None, is_attribute: bool) -> None:
        self.namespace, self.name = name
        self.start, self.parent, self.is_attribute = start, parent, is_attribute
        self.is_listed: bool = parent is not None and (
            parent.is_listed or (parent.namespace, parent.name) == (RDF, "li")
        )
        self.end = start
        self.inner = (start, start)

    def ancestors(self) -> Iterator[Node]:
        """The elements around it, from the inside out."""
        node = self.parent
        while node is not None:
            yield node
            node = node.parent


class Packet:
    """A packet's text and its nodes in the order of the text.

    Raises:
        ValueError: It is not well-formed XML, has a DTD, or has too many nodes.
    """

    def __init__(self, data: bytes) -> None:
        self._encoding, self._errors = _encoding_of(data)
        self.text = data.decode(self._encoding, self._errors)  # UnicodeDecodeError is a ValueError
        self.nodes = _nodes(self.text)

    def value(self, node: Node) -> str:
        """The content of a node without character references."""
        return html.unescape(self.text[slice(*node.inner)])

    def edited(self, edits: Iterable[tuple[int, int, str]]) -> bytes:
        """The packet with spans (start, end) of its text replaced. An edit inside a wider one is left out."""
        pieces, place = [], 0
        for start, end, new in sorted(edits, key=lambda edit: (edit[0], -edit[1])):
            if start >= place:
                pieces += [self.text[place:start], new]
                place = end
        return "".join([*pieces, self.text[place:]]).encode(self._encoding, self._errors)

    def removal(self, node: Node) -> tuple[int, int, str]:
        """The edit that removes a node and the space before it."""
        start = node.start
        while start and self.text[start - 1] in " \t\r\n":
            start -= 1
        return start, node.end, ""


def _encoding_of(data: bytes) -> tuple[str, str]:
    """The encoding and how to treat bytes that do not fit it: all of them come back."""
    for mark, name in ((codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be")):
        if data.startswith((mark, "<".encode(name))):
            return name, "surrogatepass"
    for mark, name in ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")):
        if data.startswith((mark, "<".encode(name))):
            return name, "surrogatepass"
    return "utf-8", "surrogateescape"


def _nodes(text: str) -> list[Node]:
    nodes: list[Node] = []
    opened: list[tuple[Node, str, list[str]]] = []  # element, its tag, the prefixes that it declares
    scopes = {prefix: [space] for prefix, space in USUAL.items()}
    place = 0
    while (place := text.find("<", place)) >= 0:
        if mark := next((mark for mark in _SKIPPED if text.startswith(mark, place)), None):
            close = _SKIPPED[mark]
            place = text.index(close, place + len(mark)) + len(close)
        elif end_tag := _END_TAG.match(text, place):
            if not opened or opened[-1][1] != end_tag[1]:
                raise ValueError("its tags do not match")
            node, _, declared = opened.pop()
            node.inner, node.end = (node.inner[0], place), end_tag.end()
            _forget(declared, scopes)
            place = node.end
        elif tag := _TAG.match(text, place):
            place = tag.end()
            node, declared = _element(tag, opened[-1][0] if opened else None, scopes, nodes)
            if tag[6]:
                _forget(declared, scopes)
            else:
                opened.append((node, tag[1], declared))
        else:
            raise ValueError("its markup is damaged, or is a DTD")
        if len(nodes) > _MOST_NODES or len(opened) > _DEEPEST:
            raise ValueError("it has too many nodes, or they nest too deep")
    if opened or not nodes:
        raise ValueError("its elements are not closed")
    return nodes


def _element(
    tag: re.Match[str], parent: Node | None, scopes: dict[str, list[str]], nodes: list[Node]
) -> tuple[Node, list[str]]:
    """Adds the element of a start tag and its attributes to `nodes`. Returns it and the prefixes that it declares."""
    found = list(_ATTRIBUTES.finditer(tag.string, *tag.span(2)))
    declared = []
    for match in found:
        if match[1] == "xmlns" or match[1].startswith("xmlns:"):
            prefix = match[1][6:]
            scopes.setdefault(prefix, []).append(html.unescape(match[2] or match[3] or ""))
            declared.append(prefix)
    element = Node(_resolved(tag[1], scopes, is_attribute=False), tag.start(), parent, is_attribute=False)
    element.end = tag.end()
    element.inner = (tag.end(), tag.end())
    nodes.append(element)
    for match in found:
        node = Node(_resolved(match[1], scopes, is_attribute=True), match.start(), element, is_attribute=True)
        node.end, node.inner = match.end(), match.span(2 if match[2] is not None else 3)
        nodes.append(node)
    return element, declared


def _resolved(name: str, scopes: dict[str, list[str]], *, is_attribute: bool) -> tuple[str, str]:
    """Namespace and name of a name with a prefix."""
    prefix, colon, local = name.rpartition(":")
    if name == "xmlns" or prefix == "xmlns":
        return "xmlns", local if colon else ""
    if is_attribute and not colon:
        return "", name
    spaces = scopes.get(prefix)
    return spaces[-1] if spaces else prefix, local


def _forget(prefixes: list[str], scopes: dict[str, list[str]]) -> None:
    """Ends the scope of the prefixes that an element declares."""
    for prefix in prefixes:
        scopes[prefix].pop()

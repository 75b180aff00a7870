"""XMP: what it states about parts that are gone, sizes, and the history. All else keeps its bytes."""

from __future__ import annotations

import time
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from made_files import smooth

from restore.images import Picture, read_picture, write_picture
from restore.images.metadata.xmp import agreeing, take_xmp, without

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
XMP, MM = "{http://ns.adobe.com/xap/1.0/}", "{http://ns.adobe.com/xap/1.0/mm/}"
EVENT = "{http://ns.adobe.com/xap/1.0/sType/ResourceEvent#}"
HDRGM = "http://ns.adobe.com/hdr-gain-map/1.0/"
CAMERA = "http://ns.google.com/photos/1.0/camera/"
CONTAINER = "http://ns.google.com/photos/1.0/container/"
STEP = "restore 1.0: denoise, weights a<b&c sha256 12ab, strength 0.8"


def packet(attributes: str = "", content: str = "", end: str = "w", padding: int = 0) -> bytes:
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n'
        '<rdf:Description rdf:about="" xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/" '
        'crs:Exposure2012="+0.5" '
        f'{attributes}>\n{content}</rdf:Description>\n</rdf:RDF></x:xmpmeta>\n{" " * padding}<?xpacket end="{end}"?>'
    ).encode()


def item(semantic: str, rest: str = "") -> str:
    return f"<rdf:li rdf:parseType='Resource'><C:Item I:Semantic='{semantic}' I:Mime='image/jpeg'{rest}/></rdf:li>"


def directory(*semantics: str) -> str:
    return f"<C:Directory><rdf:Seq>{''.join(map(item, semantics))}</rdf:Seq></C:Directory>"


NAMES = f"xmlns:C='{CONTAINER}' xmlns:I='{CONTAINER}item/'"


def content(data: bytes | None) -> ElementTree.Element:
    assert data is not None
    return ElementTree.fromstring(data)


def expanded(data: bytes) -> set[str]:
    """Names of all elements and attributes, and the values of all attributes."""
    root = ElementTree.fromstring(data)
    return {e.tag for e in root.iter()} | {text for e in root.iter() for pair in e.attrib.items() for text in pair}


@pytest.mark.parametrize("prefix", ["hdrgm", "any"])
@pytest.mark.parametrize("as_element", [False, True])
def test_a_gain_map_is_no_longer_declared(prefix: str, as_element: bool) -> None:
    space = f"xmlns:{prefix}='{HDRGM}'"
    attribute, element = f"{space} {prefix}:Version='1.0'", ""
    if as_element:
        attribute, element = "", f"<{prefix}:Gamma {space}><rdf:Seq><rdf:li>1</rdf:li></rdf:Seq></{prefix}:Gamma>"
    data = packet(f"{NAMES} {attribute}", element + directory("Primary", "GainMap") + "<crs:Name>kept</crs:Name>")
    found = without(data, ["gain map"])
    assert b"gain" not in found.lower()
    assert b"Container" not in found
    assert not any(CONTAINER in text for text in expanded(found))
    assert b"<crs:Name>kept</crs:Name>" in found
    assert b'crs:Exposure2012="+0.5"' in found


def test_other_items_of_the_container_stay() -> None:
    data = packet(NAMES, directory("Primary", "GainMap", "MotionPhoto"))
    found = without(data, ["gain map"])
    assert found == packet(NAMES, directory("Primary", "MotionPhoto"))
    assert b"Directory" not in without(found, ["motion photo"])


def test_a_motion_photo_is_no_longer_declared_and_the_camera_is() -> None:
    motion = " G:MotionPhoto='1' G:MotionPhotoVersion='1' G:MicroVideoOffset='123'"
    data = packet(f"xmlns:G='{CAMERA}'{motion} G:BurstID='7'", "<G:MicroVideo>1</G:MicroVideo>")
    found = without(data, ["motion photo"])
    assert not {name for name in expanded(found) if "Motion" in name or "MicroVideo" in name}
    assert f"{{{CAMERA}}}BurstID" in expanded(found)


def test_an_extended_packet_is_no_longer_declared() -> None:
    data = packet("xmlns:xmpNote='http://ns.adobe.com/xmp/note/' xmpNote:HasExtendedXMP='0123456789ABCDEF'")
    assert b"xmpNote" not in without(data, ["extended"])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be", "utf-32-le"])
def test_every_encoding_of_xml_is_kept(encoding: str) -> None:
    text = packet(f"xmlns:h='{HDRGM}' h:Version='1.0'").decode().removeprefix("\ufeff")
    plain = without(text.encode(), ["gain map"])
    assert without(text.encode(encoding), ["gain map"]).decode(encoding) == plain.decode()
    assert b"gain" not in plain


def test_a_packet_without_declarations_keeps_every_byte() -> None:
    data = packet(content="<crs:GainMapName>\xe9</crs:GainMapName>", padding=500, end="r")
    assert without(data, ["gain map", "motion photo", "extended"]) == data


@pytest.mark.parametrize(
    "data",
    [
        b"<!DOCTYPE a [<!ENTITY b 'hdrgm'><!ENTITY c '&b;&b;&b;'>]><a>&c;</a>",
        packet(f"xmlns:h='{HDRGM}' h:Version='1.0'")[:-60],
        b"<a hdrgm:Version=1.0/>",
        b"hdrgm" + b"<" * 3_000_000,
        b"hdrgm" + b"<a>" * 1_000_000,
        b"<!--" * 1_000_000 + b"hdrgm",
        b"<a " + b"b='c' " * 1_000_000 + b"hdrgm",
        b"<a hdrgm:Version='1' " + b" " * 5_000_000,
        b"hdrgm" + b"<?" * 2_000_000,
        "hdrgm<".encode("utf-16") + b"\xd8",
    ],
    ids=lambda data: str(data[:20]),
)
def test_a_hostile_or_damaged_packet_with_a_declaration_is_dropped_at_once(data: bytes) -> None:
    begun = time.perf_counter()
    assert without(data, ["gain map"]) == b""
    assert agreeing(data, Picture(smooth(3), history=(STEP,))) == data  # nothing is changed that is not understood
    assert time.perf_counter() - begun < 10


def test_sizes_resolution_and_orientation_are_those_of_the_output() -> None:
    names = "xmlns:e='http://ns.adobe.com/exif/1.0/' xmlns:t='http://ns.adobe.com/tiff/1.0/'"
    data = packet(
        f"{names} e:PixelXDimension='4000' t:ImageWidth='4000' t:XResolution='72/1' t:YResolution='3000000/10000'",
        "<e:PixelYDimension>3000</e:PixelYDimension><t:ImageLength>3000</t:ImageLength>"
        "<t:Orientation> 6 </t:Orientation><t:ResolutionUnit>2</t:ResolutionUnit>",
    )
    expected = packet(
        f"{names} e:PixelXDimension='96' t:ImageWidth='96' t:XResolution='3000000/10000' t:YResolution='3000000/10000'",
        "<e:PixelYDimension>64</e:PixelYDimension><t:ImageLength>64</t:ImageLength>"
        "<t:Orientation>1</t:Orientation><t:ResolutionUnit>2</t:ResolutionUnit>",
    )
    assert agreeing(data, Picture(smooth(3), dpi=(300, 300))) == expected


def test_sizes_of_an_ingredient_stay() -> None:
    inner = (
        "<xmpMM:Pantry xmlns:xmpMM='http://ns.adobe.com/xap/1.0/mm/'><rdf:Bag><rdf:li><rdf:Description "
        "xmlns:tiff='http://ns.adobe.com/tiff/1.0/' tiff:ImageWidth='7'/></rdf:li></rdf:Bag></xmpMM:Pantry>"
    )
    assert agreeing(packet(content=inner), Picture(smooth(3))) == packet(content=inner)


def test_thumbnails_go() -> None:
    small = (
        "\n<xmp:Thumbnails xmlns:xmp='http://ns.adobe.com/xap/1.0/'><rdf:Alt><rdf:li>AAAA</rdf:li></rdf:Alt>"
        "</xmp:Thumbnails>"
    )
    found = agreeing(packet(content="<crs:Name>kept</crs:Name>" + small), Picture(smooth(3)))
    assert found == packet(content="<crs:Name>kept</crs:Name>")


def events(data: bytes | None) -> list[dict[str, str | None]]:
    """The entries of the history."""
    entries = content(data).findall(f".//{MM}History/{RDF}Seq/{RDF}li")
    return [{child.tag.removeprefix(EVENT): child.text for child in entry} for entry in entries]


EXPECTED = {
    "action": "edited",
    "softwareAgent": "restore 1.0",
    "parameters": "denoise, weights a<b&c sha256 12ab, strength 0.8",
}


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "jp2", "avif"])
@pytest.mark.parametrize("old", [None, packet(), packet(padding=2000), packet(end="r")])
def test_the_history_is_in_every_format_that_holds_xmp(tmp_path: Path, suffix: str, old: bytes | None) -> None:
    picture = Picture(smooth(3), xmp=old, history=(STEP, "restore 1.0: upscale"))
    for name in ("a", "b"):
        write_picture(picture, tmp_path / f"{name}.{suffix}")
    assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()
    found = read_picture(tmp_path / f"a.{suffix}").xmp
    assert events(found) == [EXPECTED, {**EXPECTED, "parameters": "upscale"}]
    tools = content(found).findall(f".//{XMP}CreatorTool")
    assert [tool.text for tool in tools] == ["restore 1.0"]
    assert old is None or b'crs:Exposure2012="+0.5"' in (found or b"")
    assert picture.notes == []


def test_a_format_without_xmp_gets_no_note(tmp_path: Path) -> None:
    picture = Picture(smooth(3), history=(STEP,))
    write_picture(picture, tmp_path / "a.bmp")
    assert picture.notes == []


@pytest.mark.parametrize(
    "old",
    [
        "<M:History><rdf:Seq><rdf:li rdf:parseType='Resource'><E:action>saved</E:action></rdf:li></rdf:Seq>"
        "</M:History>",
        "<M:History><rdf:Seq><rdf:li E:action='saved'/></rdf:Seq></M:History>",
    ],
)
def test_an_older_history_and_tool_stay(old: str) -> None:
    names = f"xmlns:M='{MM[1:-1]}' xmlns:E='{EVENT[1:-1]}' xmlns:xmp='{XMP[1:-1]}' xmp:CreatorTool='Camera'"
    found = agreeing(packet(names, old), Picture(smooth(3), history=(STEP,)))
    assert events(found)[1:] == [EXPECTED]
    assert len(events(found)) == 2
    assert b"<xmp:CreatorTool" not in (found or b"")
    for piece in packet(names, old).split(b"</rdf:Seq>"):
        assert piece in (found or b"")


@pytest.mark.parametrize("old", ["<M:History/>", "<M:History><rdf:Seq/></M:History>"])
def test_an_empty_history_is_filled(old: str) -> None:
    found = agreeing(packet(f"xmlns:M='{MM[1:-1]}'", old), Picture(smooth(3), history=(STEP,)))
    assert events(found) == [EXPECTED]


def test_the_history_uses_up_the_padding() -> None:
    data = packet(padding=3000)
    found = agreeing(data, Picture(smooth(3), history=(STEP,)))
    assert found is not None
    assert len(found) == len(data)


def test_a_history_that_makes_the_packet_too_long_for_a_segment_of_a_jpeg_is_kept(tmp_path: Path) -> None:
    data = packet(content=f"<crs:Name>{'x' * 64_800}</crs:Name>")
    picture = Picture(np.zeros((8, 8, 3), np.uint8), xmp=data, history=(STEP,))
    write_picture(picture, tmp_path / "a.jpg")
    found = read_picture(tmp_path / "a.jpg").xmp
    assert events(found) == [EXPECTED]
    assert b">" + b"x" * 64_800 + b"<" in (found or b"")
    assert picture.notes == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("prefix", ["tiff", "t"])
def test_the_orientation_is_found_under_any_prefix(encoding: str, prefix: str) -> None:
    names = f"xmlns:{prefix}='http://ns.adobe.com/tiff/1.0/'"
    text = packet(f"{names} {prefix}:Orientation='6'").decode()
    picture = Picture(smooth(3))
    assert take_xmp(text.encode(encoding), picture) == 6
    assert (picture.xmp or b"").decode(encoding) == text.replace("'6'", "'1'")


def test_the_orientation_of_an_ingredient_does_not_turn_the_picture() -> None:
    inner = (
        "<xmpMM:Pantry xmlns:xmpMM='http://ns.adobe.com/xap/1.0/mm/'><rdf:Bag><rdf:li><rdf:Description "
        "xmlns:tiff='http://ns.adobe.com/tiff/1.0/' tiff:Orientation='6'/></rdf:li></rdf:Bag></xmpMM:Pantry>"
    )
    picture = Picture(smooth(3))
    assert take_xmp(packet(content=inner), picture) == 0
    assert picture.xmp == packet(content=inner)

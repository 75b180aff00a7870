"""What a command writes beside pixels: its history in XMP, and copies of sidecars."""

from __future__ import annotations

import hashlib
from pathlib import Path
from xml.etree import ElementTree

import pytest
from conftest import Run
from picture_files import save_noise

import restore
from restore.images import read_picture

EVENT = "{http://ns.adobe.com/xap/1.0/sType/ResourceEvent#}"


@pytest.mark.usefixtures("tiny_catalogue")
def test_the_history_names_tool_weights_and_changed_options(run: Run, tiny_file: Path) -> None:
    save_noise(Path("a.png"))
    for name in ("b.png", "c.png"):
        assert run("denoise", "a.png", "-o", name, "--strength", "0.5").code == 0
    assert Path("b.png").read_bytes() == Path("c.png").read_bytes()
    packet = read_picture(Path("b.png")).xmp
    assert packet is not None
    found = {element.tag.removeprefix(EVENT): element.text for element in ElementTree.fromstring(packet).iter()}
    digest = hashlib.sha256(tiny_file.read_bytes()).hexdigest()
    assert found["softwareAgent"] == f"restore {restore.__version__}"
    assert found["parameters"] == f"denoise, weights tiny-denoise sha256 {digest}, strength 0.5"


@pytest.mark.usefixtures("tiny_catalogue")
def test_a_second_run_adds_to_the_history_of_the_first(run: Run) -> None:
    save_noise(Path("a.png"))
    assert run("denoise", "a.png", "-o", "b.png").code == 0
    assert run("denoise", "b.png", "-o", "c.png").code == 0
    packet = read_picture(Path("c.png")).xmp
    assert packet is not None
    assert len(list(ElementTree.fromstring(packet).iter(f"{EVENT}softwareAgent"))) == 2


@pytest.mark.usefixtures("tiny_catalogue")
def test_sidecars_are_copied_only_on_wish(run: Run) -> None:
    save_noise(Path("a.png"))
    Path("a.xmp").write_bytes(b"<a/>")
    assert run("denoise", "a.png", "-o", "b.png").code == 0
    assert not Path("b.xmp").exists()
    assert run("denoise", "a.png", "-o", "c.png", "--sidecars", "copy").code == 0
    assert Path("c.xmp").read_bytes() == b"<a/>"
    Path("d.xmp").write_bytes(b"mine")
    ran = run("denoise", "a.png", "-o", "d.png", "--sidecars", "copy")
    assert ran.code == 0
    assert "the sidecar a.xmp is not copied: d.xmp already exists" in ran.err
    assert Path("d.xmp").read_bytes() == b"mine"

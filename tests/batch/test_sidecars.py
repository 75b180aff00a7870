"""XMP sidecars beside the pictures, and what a run writes into the pictures' history."""

from __future__ import annotations

import os
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import restore
from restore.batch import sidecars
from restore.batch.history import step
from restore.batch.task_restorer import RestorerChoice
from restore.checkpoints import ResolvedWeights, catalogue
from restore.images import Picture
from restore.tasks import TASKS

TIFF = "{http://ns.adobe.com/tiff/1.0/}"
PACKET = (
    b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>"
    b"<rdf:Description rdf:about='' xmlns:tiff='http://ns.adobe.com/tiff/1.0/' tiff:Orientation='6' "
    b"tiff:ImageWidth='4000' xmlns:crs='http://ns.adobe.com/camera-raw-settings/1.0/' crs:Exposure2012='+0.5'/>"
    b"</rdf:RDF></x:xmpmeta>"
)
PICTURE = Picture(np.zeros((20, 30, 3), np.uint8), history=("restore 1.0: denoise",))


@pytest.mark.parametrize(("name", "copied"), [("a.xmp", "b.xmp"), ("a.jpg.xmp", "b.png.xmp"), ("a.XMP", "b.XMP")])
def test_a_sidecar_gets_the_outputs_name_size_and_orientation(tmp_path: Path, name: str, copied: str) -> None:
    (tmp_path / name).write_bytes(PACKET)
    (tmp_path / "out").mkdir()
    assert sidecars.copy(tmp_path / "a.jpg", tmp_path / "out" / "b.png", PICTURE, overwrite=False) == []
    assert [path.name for path in (tmp_path / "out").iterdir()] == [copied]
    data = (tmp_path / "out" / copied).read_bytes()
    assert data == PACKET.replace(b"'6'", b"'1'").replace(b"'4000'", b"'30'")
    (found,) = ElementTree.fromstring(data)[0]
    assert (found.get(f"{TIFF}Orientation"), found.get(f"{TIFF}ImageWidth")) == ("1", "30")


def test_an_existing_sidecar_is_replaced_only_with_overwrite(tmp_path: Path) -> None:
    (tmp_path / "a.xmp").write_bytes(PACKET)
    (tmp_path / "b.xmp").write_bytes(b"mine")
    notes = sidecars.copy(tmp_path / "a.jpg", tmp_path / "b.jpg", PICTURE, overwrite=False)
    assert notes == ["the sidecar a.xmp is not copied: b.xmp already exists"]
    assert (tmp_path / "b.xmp").read_bytes() == b"mine"
    assert sidecars.copy(tmp_path / "a.jpg", tmp_path / "b.jpg", PICTURE, overwrite=True) == []
    assert (tmp_path / "b.xmp").read_bytes() != b"mine"


def test_a_sidecar_that_is_the_outputs_already_stays(tmp_path: Path) -> None:
    (tmp_path / "a.xmp").write_bytes(PACKET)
    assert sidecars.copy(tmp_path / "a.jpg", tmp_path / "a.png", PICTURE, overwrite=True) == []
    assert (tmp_path / "a.xmp").read_bytes() == PACKET


@pytest.mark.skipif(os.name == "nt", reason="Windows has no named pipes in folders")
def test_a_pipe_is_no_sidecar(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.xmp")
    assert sidecars.copy(tmp_path / "a.jpg", tmp_path / "b.jpg", PICTURE, overwrite=False) == []


def test_a_damaged_sidecar_is_copied_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.xmp").write_bytes(b"<a><b>")
    assert sidecars.copy(tmp_path / "a.jpg", tmp_path / "b.jpg", PICTURE, overwrite=False) == []
    assert (tmp_path / "b.xmp").read_bytes() == b"<a><b>"


def test_a_step_names_weights_and_options_but_no_path() -> None:
    entry = catalogue.weights_for("denoise", None)
    how = {"tile": "auto", "overlap": 32, "memory": None, "strength": 1.0, "self_ensemble": False}
    weights = ResolvedWeights(Path("/elsewhere/secret.safetensors"), "12ab", entry)
    plain = step(RestorerChoice(TASKS["denoise"]), weights, how, None)
    assert plain == f"restore {restore.__version__}: denoise, weights {entry.name} sha256 12ab"
    changed = step(
        RestorerChoice(TASKS["denoise"], level=25),
        ResolvedWeights(weights.path, "12ab"),
        how | {"strength": 0.8, "self_ensemble": True},
        None,
    )
    assert changed.endswith(": denoise, weights sha256 12ab, sigma 25, strength 0.8, self-ensemble")

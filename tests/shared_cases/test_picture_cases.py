"""The damaged and hostile files of ../shared/cases/pictures, each with its right outcome."""

from __future__ import annotations

import json
import resource
import time
from pathlib import Path

import pytest
from conftest import Run

from restore.errors import PictureError
from restore.images import read_picture

PICTURES = Path(__file__).parents[3] / "shared" / "cases" / "pictures"
pytestmark = [
    pytest.mark.skipif(not PICTURES.exists(), reason="../shared is not here"),
    pytest.mark.usefixtures("tiny_catalogue"),
]


@pytest.mark.parametrize("name", ["jpeg-2-KB-of-zeros.jpg", "jp2-8-tiles-box-length-0-EOC.jp2"])
def test_damaged_picture_is_restored_with_a_note_that_names_it(run: Run, name: str) -> None:
    ran = run("denoise", str(PICTURES / name), "-o", f"out{Path(name).suffix}", "--json", "report.json")
    assert ran.code == 0
    assert f"{name}: damaged: " in ran.err and "what could be read was restored" in ran.err
    (picture,) = json.loads(Path("report.json").read_text())["pictures"]
    assert picture["damage"]
    refused = run("denoise", str(PICTURES / name), "-o", f"no{Path(name).suffix}", "--on-damage", "fail")
    assert refused.code == 1 and "damaged: " in refused.err
    assert not list(Path().glob("no.*"))


@pytest.mark.parametrize("name", ["jp2-ihdr-450M-rows.jp2", "tiff-lerc-40000.tif"])
def test_picture_that_states_a_huge_size_is_refused_at_once(run: Run, name: str) -> None:
    begun, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ran = run("denoise", str(PICTURES / name), "-o", f"out{Path(name).suffix}")
    assert ran.code == 1 and "hint:" in ran.err and "Traceback" not in ran.err
    assert time.monotonic() - begun < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # KB, with the first import of torch


def test_escape_sequences_of_a_tag_are_refused_and_stay_out_of_the_message() -> None:
    with pytest.raises(PictureError) as caught:
        read_picture(PICTURES / "escape-photometric.tif")
    assert caught.value.message.isprintable()

"""`--report` and `--compare` of the commands that restore."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from conftest import Run
from picture_files import save_flat, save_noise

from restore.images import Picture, read_picture
from restore.viewer.report import HtmlReport, Stored

pytestmark = pytest.mark.usefixtures("tiny_catalogue")


def records(name: str) -> Any:
    found = re.search(r'id="records">(.*?)</script>', Path(name).read_text(encoding="utf-8"))
    assert found is not None
    return json.loads(found[1])


def test_the_report_holds_every_picture_and_how_it_was_made(run: Run) -> None:
    save_flat("in/a.png", 200)
    save_flat("in/b.png", 100)
    Path("in/c.png").write_text("this is no picture")
    ran = run("denoise", "in", "-o", "out", "--report", "report.html", "--strength", "0.5")
    assert ran.code == 1
    assert ran.out == "out/a.png\nout/b.png\n"
    text = Path("report.html").read_text(encoding="utf-8")
    assert [record["name"] for record in records("report.html")] == ["in/a.png", "in/b.png", "in/c.png"]
    assert ["after" in record for record in records("report.html")] == [True, True, False]
    for fact in ("tiny-denoise", "strength 0.5", "<dd>out/a.png</dd>", "<dt>seconds</dt>", "cannot read in/c.png"):
        assert fact in text
    # The tiny network inverts: half of it makes 200 to 127.5.
    assert records("report.html")[0]["places"][0]["difference"] == pytest.approx(72.5, abs=1)


def test_the_pictures_are_the_same_with_a_report(run: Run) -> None:
    save_noise(Path("a.png"))
    assert run("denoise", "a.png", "-o", "plain.png").code == 0
    assert run("denoise", "a.png", "-o", "told.png", "--report", "r.html", "--compare", "s.png").code == 0
    assert Path("plain.png").read_bytes() == Path("told.png").read_bytes()


def test_every_page_has_its_own_entry(run: Run) -> None:
    pages = np.random.default_rng(0).integers(0, 256, (3, 40, 50, 3), dtype=np.uint8)
    with tifffile.TiffWriter("a.tif") as file:
        for one in pages:
            file.write(one, photometric="rgb")
    assert run("denoise", "a.tif", "-o", "b.tif", "--report", "r.html", "--compare", "s.png").code == 0
    assert [record["name"] for record in records("r.html")] == [f"a.tif, page {number}" for number in (1, 2, 3)]
    assert {"s.png", "s-2.png", "s-3.png"} <= set(os.listdir())


def test_compare_writes_a_sheet_per_picture(run: Run) -> None:
    save_flat("in/a.png", 200)
    save_flat("in/b.png", 180)
    assert run("denoise", "in", "-o", "out", "--compare", "sheet.png").code == 0
    for name, before in (("sheet.png", 200), ("sheet-2.png", 180)):
        pixels = read_picture(Path(name)).pixels
        assert pixels[300, 400, 0] == before and pixels[300, 1200, 0] == 255 - before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--report", "a.png"), "--report would replace the picture a.png"),
        (("--report", "r.txt"), "a report is a web page"),
        (("--report", "none/r.html"), "its folder does not exist"),
        (("--compare", "a.png", "--overwrite"), "--compare would replace the picture a.png"),
        (("--compare", "b.png"), "--compare would replace the picture b.png"),
        (("--compare", "s.xyz"), "the extension .xyz is unknown"),
        (("--report", "mine.html"), "exists and is no report"),
        (("--compare", "taken.png"), "it already exists"),
        (("--report", "r.html", "--dry-run"), "nothing to compare"),
        (("--report", "r.html", "--json", "r.html"), "name the same file"),
        (("--watch", "--compare", "s.png"), "--watch and --compare contradict each other"),
        (("--report", ""), "is empty"),
        (("--report", "https://example.org/r.html"), "--report cannot be"),
    ],
)
def test_files_that_cannot_be_written_are_refused_before_the_work(
    run: Run, options: tuple[str, ...], message: str
) -> None:
    save_flat("a.png", 200)
    save_flat("taken.png", 1)
    Path("mine.html").write_text("mine")
    ran = run("denoise", "a.png", "-o", "b.png", *options)
    assert ran.code != 0 and message in ran.err
    assert sorted(os.listdir()) == ["a.png", "mine.html", "taken.png"]
    assert Path("mine.html").read_text() == "mine"


def test_an_earlier_report_is_replaced(run: Run) -> None:
    save_flat("a.png", 200)
    save_flat("b.png", 200)
    assert run("denoise", "a.png", "-o", "out/", "--report", "r.html").code == 0
    assert run("denoise", "b.png", "-o", "out/", "--report", "r.html").code == 0
    assert [record["name"] for record in records("r.html")] == ["b.png"]


def test_a_picture_that_cannot_be_compared_is_restored_all_the_same(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: object) -> None:
        raise OSError(28, "No space left on device")

    save_flat("a.png", 200)
    monkeypatch.setattr(HtmlReport, "store", fails)
    ran = run("denoise", "a.png", "-o", "b.png", "--report", "r.html")
    assert ran.code == 1 and "cannot compare a.png: No space left on device" in ran.err
    assert Path("b.png").is_file()
    assert "cannot be compared: No space left on device" in Path("r.html").read_text(encoding="utf-8")


def test_run_and_auto_have_the_same_options(run: Run) -> None:
    save_noise(Path("a.png"), size=(64, 64))
    assert run("run", "denoise", "a.png", "-o", "b.png", "--report", "r.html").code == 0
    assert "tiny-denoise" in Path("r.html").read_text(encoding="utf-8")
    assert run("auto", "a.png", "-o", "c.png", "--report", "auto.html", "--device", "cpu").code == 0
    assert [record["name"] for record in records("auto.html")] == ["a.png"]


def test_a_part_is_compared_with_the_same_part(run: Run) -> None:
    pixels = save_noise(Path("a.png"), size=(40, 50))
    assert run("denoise", "a.png", "-o", "b.png", "--crop", "8,4,20,16", "--report", "r.html").code == 0
    (record,) = records("r.html")
    assert record["sizes"] == {"before": [20, 16], "after": [20, 16]}
    found = re.search(r'id="before-1">data:image/jpeg;base64,([^<]*)<', Path("r.html").read_text(encoding="utf-8"))
    assert found is not None
    Path("shown.jpg").write_bytes(base64.b64decode(found[1]))
    shown = read_picture(Path("shown.jpg")).pixels.astype(int)
    assert np.abs(shown - pixels[4:20, 8:28]).mean() < 5  # JPEG of quality 95


def test_each_of_several_processes_writes_its_own_report(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    save_flat("in/a.png", 200)
    save_flat("in/b.png", 180)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    run("denoise", "in", "-o", "out", "--report", "r.html", "--compare", "s.png")
    assert [record["name"] for record in records("r.rank1.html")] == ["in/b.png"]
    assert Path("s.rank1.png").is_file()


def test_an_interrupted_run_leaves_the_report_of_what_is_done(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b", "c"):
        save_flat(f"in/{name}.png", 200)
    plain = HtmlReport.store

    def store(self: HtmlReport, *pictures: Picture) -> Stored:
        os.kill(os.getpid(), signal.SIGINT)
        return plain(self, *pictures)

    monkeypatch.setattr(HtmlReport, "store", store)
    ran = run("denoise", "in", "-o", "out", "--report", "r.html")
    assert ran.code == 130 and "interrupted" in ran.err
    assert [record["name"] for record in records("r.html")] == ["in/a.png"]
    assert sorted(os.listdir()) == ["in", "out", "r.html"]


@pytest.mark.skipif(os.name != "posix", reason="names of bytes that are no text")
def test_a_name_that_is_no_text_is_escaped(run: Run) -> None:
    save_flat("a.png", 200)
    name = os.fsdecode(b"\xff<b>.png")
    os.rename("a.png", name)
    assert run("denoise", name, "-o", "out/", "--report", "r.html", "--json", "-").code == 0
    assert records("r.html")[0]["name"] == "\\udcff<b>.png"
    assert "<b>" not in Path("r.html").read_text(encoding="utf-8")

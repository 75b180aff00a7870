"""`restore auto`: what an inspection finds is restored, and a good picture is copied."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Run
from picture_files import save_noise
from times_networks import bundle_times

from restore.images import Picture, read_picture, write_picture
from restore.inspection import inspect as inspection
from restore.inspection.findings import Findings

GOOD = Findings(30, 20, 8, False, None, "PNG", 0.2, 0.2, False, None, None, "none", 0.0, 0.0, 1.0)


@pytest.fixture(autouse=True)
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Multiplying weights, and an inspection that finds noise and blur where the top left pixel is black."""
    bundle_times(tmp_path / "weights", monkeypatch)

    def inspect(picture: Picture) -> Findings:
        is_bad = not picture.pixels[0, 0].any()
        return dataclasses.replace(GOOD, noise=12.0, tasks=("dejpeg", "denoise")) if is_bad else GOOD

    monkeypatch.setattr(inspection, "inspect", inspect)


def save_bad(name: str) -> Any:
    pixels = save_noise(Path(name))
    pixels[0, 0] = 0
    write_picture(Picture(pixels), Path(name))
    return pixels


def save_good(name: str) -> None:
    pixels = np.full((20, 30, 3), 90, np.uint8)
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    write_picture(Picture(pixels), Path(name))


def test_what_is_found_is_restored_and_the_reasons_are_one_line(run: Run) -> None:
    pixels = save_bad("a.png")
    ran = run("auto", "a.png", "-o", "b.png", "--precision", "float32")
    assert (ran.code, ran.out) == (0, "b.png\n")
    assert ran.err == "a.png: denoise (noise of 12 grey levels), dejpeg (JPEG artifacts)\n"
    np.testing.assert_array_equal(read_picture(Path("b.png")).pixels, pixels)  # times 4, times 0.25


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_a_good_picture_is_copied_byte_for_byte(run: Run, suffix: str) -> None:
    save_good(f"a{suffix}")
    with Path(f"a{suffix}").open("ab") as file:
        file.write(b"kept")  # which no encoder would write
    ran = run("auto", f"a{suffix}", "-o", f"out/b{suffix}", "--json", "r.json")
    assert (ran.code, ran.out) == (0, f"out/b{suffix}\n") and f"a{suffix}: nothing to do; copied\n" in ran.err
    assert Path(f"out/b{suffix}").read_bytes() == Path(f"a{suffix}").read_bytes()
    (record,) = json.loads(Path("r.json").read_text())["pictures"]
    assert (record["status"], record["steps"]) == ("copied", [])


def test_a_good_picture_changes_its_format_where_asked(run: Run) -> None:
    save_good("a.png")
    ran = run("auto", "a.png", "-o", "b.tif")
    assert ran.code == 0 and ran.err == "a.png: nothing to do\n"
    np.testing.assert_array_equal(read_picture(Path("b.tif")).pixels, read_picture(Path("a.png")).pixels)


def test_a_copy_replaces_nothing_unless_asked(run: Run) -> None:
    save_good("a.png")
    Path("b.png").write_bytes(b"mine")
    assert run("auto", "a.png", "-o", "b.png").code == 1
    assert Path("b.png").read_bytes() == b"mine"
    assert run("auto", "a.png", "-o", "b.png", "--overwrite").code == 0
    assert Path("b.png").read_bytes() == Path("a.png").read_bytes()
    assert run("auto", "a.png", "-o", "a.png", "--overwrite").code == 0  # itself
    assert Path("b.png").read_bytes() == Path("a.png").read_bytes()


def test_the_report_says_that_a_good_picture_needs_nothing_and_names_no_network(run: Run) -> None:
    save_bad("in/a.png")
    save_good("in/b.png")
    assert run("auto", "in", "-o", "out", "--report", "r.html").code == 0
    bad, good = re.findall(r"<li.*?</li>", Path("r.html").read_text(encoding="utf-8"), re.DOTALL)
    assert "<dd>nothing to do</dd>" in good and "<dd>nothing to do</dd>" not in bad
    for fact in ("(network ", "<dt>device</dt>", "<dt>weights</dt>"):
        assert fact in bad and fact not in good


def test_pictures_of_a_folder_are_told_apart_and_counted(run: Run) -> None:
    save_bad("in/a.png")
    save_good("in/b.png")
    ran = run("auto", "in", "-o", "out", "--json", "r.json")
    assert ran.code == 0 and "1 restored, 1 copied; " in ran.err
    first, second = json.loads(Path("r.json").read_text())["pictures"]
    assert [step["task"] for step in first["steps"]] == ["denoise", "dejpeg"]
    assert [step["why"] for step in first["steps"]] == ["noise of 12 grey levels", "JPEG artifacts"]
    assert first["findings"]["noise"] == 12.0 and second["findings"]["tasks"] == []


def test_no_network_is_loaded_for_good_pictures(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    save_good("a.png")
    monkeypatch.setattr("restore.batch.step_chain.load_restorer", lambda *_: pytest.fail("a network was loaded"))
    assert run("auto", "a.png", "-o", "b.png").code == 0


def test_pictures_are_upscaled_only_if_asked(run: Run) -> None:
    save_good("a.png")
    assert run("auto", "a.png", "-o", "b.png").code == 0
    ran = run("auto", "a.png", "-o", "c.png", "--scale", "2")
    assert ran.err == "a.png: upscale 2x (asked for)\n"
    assert [read_picture(Path(name)).pixels.shape[0] for name in ("b.png", "c.png")] == [20, 40]
    assert run("auto", "a.png", "-o", "d.png", "--scale", "5").code == 2


def test_strength_scales_every_step_and_zero_changes_nothing(run: Run) -> None:
    save_bad("a.png")
    assert run("auto", "a.png", "-o", "b.png", "--strength", "0.5", "--json", "r.json").code == 0
    (record,) = json.loads(Path("r.json").read_text())["pictures"]
    assert [step["strength"] for step in record["steps"]] == [0.5, 0.5]
    assert run("auto", "a.png", "-o", "c.png", "--strength", "0").code == 0
    assert Path("c.png").read_bytes() == Path("a.png").read_bytes()


def test_dry_run_prints_the_plan_of_each_picture_and_writes_nothing(run: Run) -> None:
    save_bad("in/a.png")
    save_good("in/b.png")
    Path("in/c.png").write_bytes(b"no picture")
    ran = run("auto", "in", "-o", "out", "--dry-run")
    assert ran.out.splitlines() == [
        f"in/a.png -> out{os.sep}a.png: denoise (noise of 12 grey levels), dejpeg (JPEG artifacts)",
        f"in/b.png -> out{os.sep}b.png: nothing to do",
    ]
    assert ran.code == 1 and "cannot read in/c.png" in ran.err and "1 of 3 pictures cannot be inspected" in ran.err
    assert not Path("out").exists()


def test_dry_run_at_strength_0_plans_nothing_but_what_is_asked_for(run: Run) -> None:
    save_bad("a.png")
    ran = run("auto", "a.png", "-o", "b.png", "--dry-run", "--strength", "0")
    assert ran.out == "a.png -> b.png: nothing to do\n"
    ran = run("auto", "a.png", "-o", "b.png", "--dry-run", "--strength", "0", "--scale", "2")
    assert ran.out == "a.png -> b.png: upscale 2x (asked for)\n"


def test_dry_run_of_one_picture_that_cannot_be_read_is_one_error(run: Run) -> None:
    Path("a.png").write_bytes(b"no picture")
    ran = run("auto", "a.png", "-o", "b.png", "--dry-run")
    assert ran.code == 1 and "cannot read a.png" in ran.err and ran.err.count("error:") == 1


def test_good_pages_of_a_file_stay_as_they_are(run: Run) -> None:
    from restore.images import write_pages

    good, bad = np.full((20, 30, 3), 90, np.uint8), np.full((20, 30, 3), 60, np.uint8)
    bad[0, 0] = 0
    pages = [Picture(good, page=1, pages=2), Picture(bad, page=2, pages=2)]
    write_pages(iter(pages), Path("a.tif"))
    assert run("auto", "a.tif", "-o", "b.tif", "--json", "r.json", "--precision", "float32").code == 0
    (record,) = json.loads(Path("r.json").read_text())["pictures"]
    assert record["status"] == "restored" and {step["page"] for step in record["steps"]} == {2}
    np.testing.assert_array_equal(read_picture(Path("b.tif"), page=1).pixels, good)

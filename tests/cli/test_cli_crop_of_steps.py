"""`--crop` and `--strengths` of `restore run` and `restore auto`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Run
from picture_files import save_noise
from times_networks import bundle_times

from restore.images import Picture, read_picture
from restore.inspection import inspect as inspection
from restore.inspection.findings import Findings

GOOD = Findings(30, 20, 8, False, None, "PNG", 0.2, 0.2, False, None, None, "none", 0.0, 0.0, 1.0)
CROP = ("--crop", "7,4,11,9")
PART = np.s_[4:13, 7:18]


@pytest.fixture(autouse=True)
def times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Denoising multiplies by 4, dejpeg by 0.25; all pictures have noise and are JPEGs, but for good.png."""
    bundle_times(tmp_path / "weights", monkeypatch)

    def inspect(picture: Picture) -> Findings:
        is_good = not picture.pixels.any()
        return GOOD if is_good else dataclasses.replace(GOOD, noise=12.0, tasks=("dejpeg", "denoise"))

    monkeypatch.setattr(inspection, "inspect", inspect)


def pixels_of(name: str) -> np.ndarray:
    return read_picture(Path(name)).pixels


COMMANDS = [("run", "denoise,dejpeg:strength=0.5"), ("run", "dejpeg"), ("auto",)]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_crop_equals_the_same_part_of_the_whole(run: Run, command: tuple[str, ...]) -> None:
    save_noise(Path("a.png"))
    assert run(*command, "a.png", "-o", "whole.png").code == 0
    assert run(*command, "a.png", "-o", "part.png", *CROP).code == 0
    np.testing.assert_array_equal(pixels_of("part.png"), pixels_of("whole.png")[PART])


def test_a_crop_is_upscaled(run: Run) -> None:
    save_noise(Path("a.png"))
    for command in (("run", "denoise,upscale:2,dejpeg"), ("auto", "--scale", "2")):
        assert run(*command, "a.png", "-o", "whole.png", "--overwrite").code == 0
        assert run(*command, "a.png", "-o", "part.png", "--overwrite", *CROP).code == 0
        np.testing.assert_array_equal(pixels_of("part.png"), pixels_of("whole.png")[8:26, 14:36])


@pytest.mark.parametrize("command", COMMANDS)
def test_a_panel_shows_what_a_run_at_its_strength_gives(run: Run, command: tuple[str, ...]) -> None:
    save_noise(Path("a.png"))
    assert run(*command, "a.png", "-o", "sheet.png", "--strengths", "0.4,1", *CROP).code == 0
    sheet = pixels_of("sheet.png")
    cell = (sheet.shape[1] - 8) // 3
    panels = [sheet[-17:-8, 8 + index * cell :][:, :11].astype(int) for index in range(3)]
    np.testing.assert_array_equal(panels[0], pixels_of("a.png")[PART])
    for panel, strength in zip(panels[1:], ("0.4", "1"), strict=True):
        assert run(*command, "a.png", "-o", "b.png", "--overwrite", "--strength", strength, *CROP).code == 0
        assert np.abs(panel - pixels_of("b.png")).max() <= 1
    assert not np.array_equal(panels[1], panels[2])


def test_a_strength_of_a_run_multiplies_that_of_every_step(run: Run) -> None:
    save_noise(Path("a.png"))
    words = ("a.png", "--precision", "float32", "-o")
    assert run("run", "denoise:strength=0.8,dejpeg,upscale:2", *words, "a1.png", "--strength", "0.5").code == 0
    assert run("run", "denoise:strength=0.4,dejpeg:strength=0.5,upscale:2", *words, "a2.png").code == 0
    assert Path("a1.png").read_bytes() == Path("a2.png").read_bytes()
    assert run("run", "denoise,dejpeg", *words, "a3.png", "--strength", "0").code == 0
    np.testing.assert_array_equal(pixels_of("a3.png"), pixels_of("a.png"))


def test_the_original_of_a_mosaic_is_shown_as_strength_0_mixes_it(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from times_networks import Times

    from restore import checkpoints
    from restore.images import write_picture

    checkpoints.save(tmp_path / "m.safetensors", Times(), "times", {"task": "demosaic"})
    write_picture(Picture(np.random.default_rng(0).integers(20, 60, (30, 40, 1)).astype(np.uint8)), Path("m.png"))
    steps = f"demosaic:pattern=GBRG:weights={tmp_path / 'm.safetensors'},denoise"
    assert run("run", steps, "m.png", "-o", "sheet.png", "--strengths", "1", *CROP).code == 0
    assert run("run", steps, "m.png", "-o", "b.png", "--strength", "0", *CROP).code == 0
    np.testing.assert_array_equal(pixels_of("sheet.png")[-17:-8, 8:19], pixels_of("b.png"))


def test_a_part_of_a_good_picture_is_cut_and_not_the_whole_copied(run: Run) -> None:
    from restore.images import write_picture

    write_picture(Picture(np.zeros((30, 40, 3), np.uint8)), Path("good.png"))
    ran = run("auto", "good.png", "-o", "part.png", *CROP, "--json", "r.json")
    assert ran.code == 0 and ran.err == "good.png: nothing to do\n"
    assert pixels_of("part.png").shape == (9, 11, 3)
    assert json.loads(Path("r.json").read_text())["pictures"][0]["status"] == "restored"
    assert run("auto", "good.png", "-o", "sheet.png", *CROP, "--strengths", "0.5,1").code == 0
    sheet = pixels_of("sheet.png")
    assert all(not sheet[-17:-8, 8 + index * ((sheet.shape[1] - 8) // 3) :][:, :11].any() for index in range(3))


@pytest.mark.parametrize("command", COMMANDS)
def test_the_history_names_the_crop_once_and_the_page_compares_it(run: Run, command: tuple[str, ...]) -> None:
    save_noise(Path("a.png"))
    assert run(*command, "a.png", "-o", "b.png", *CROP, "--report", "r.html", "--compare", "c.png").code == 0
    assert (read_picture(Path("b.png")).xmp or b"").count(b"crop 7,4,11,9") == 1
    assert "11 x 9" in Path("r.html").read_text(encoding="utf-8") and Path("c.png").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--crop", "5"), "--crop is X,Y,W,H or center:N"),
        (("--strengths", "2"), "--strengths is 1 to 9 numbers"),
        (("--strengths", "1", "--strength", "0.5"), "--strengths and --strength contradict"),
        (("--strengths", "1", "--report", "r.html"), "--strengths and --report contradict"),
    ],
)
@pytest.mark.parametrize("command", [("run", "denoise"), ("auto",)])
def test_wrong_usage_is_one_error_and_writes_nothing(
    run: Run, command: tuple[str, ...], words: tuple[str, ...], message: str
) -> None:
    save_noise(Path("a.png"))
    before = Path("a.png").read_bytes()
    ran = run(*command, "a.png", "-o", "b.png", *words)
    assert ran.code == 2 and message in ran.err and ran.err.count("error:") == 1
    assert not Path("b.png").exists() and Path("a.png").read_bytes() == before


@pytest.mark.parametrize("command", [("run", "denoise"), ("auto",)])
def test_a_part_never_replaces_the_whole_picture(run: Run, command: tuple[str, ...]) -> None:
    save_noise(Path("a.png"))
    before = Path("a.png").read_bytes()
    ran = run(*command, "a.png", "-o", "a.png", "--overwrite", *CROP)
    assert ran.code == 2 and "would replace the whole picture" in ran.err
    assert Path("a.png").read_bytes() == before


@pytest.mark.parametrize("command", [("run", "denoise,upscale:2"), ("auto", "--scale", "2")])
def test_a_larger_result_has_no_strengths_to_compare(run: Run, command: tuple[str, ...]) -> None:
    save_noise(Path("a.png"))
    ran = run(*command, "a.png", "-o", "b.png", "--strengths", "0.5,1")
    assert ran.code == 2 and "upscale has no strengths to compare" in ran.err
    assert "leave out --strengths, or the upscaling" in ran.err


def test_dry_runs_estimate_the_time_of_the_whole_and_not_of_a_crop(run: Run) -> None:
    save_noise(Path("a.png"))
    pixels: Any = pixels_of("a.png")
    megapixels = pixels[..., 0].size / 1e6
    for command in (("run", "denoise,dejpeg"), ("auto",)):
        ran = run(*command, "a.png", "-o", "b.png", "--dry-run")
        assert f"note:  1 picture with {megapixels:.2g} megapixels; about 2 s on " in ran.err
        assert "megapixel" not in run(*command, "a.png", "-o", "b.png", "--dry-run", *CROP).err
    ran = run("run", "denoise:weights=times-denoise", "a.png", "-o", "b.png", "--dry-run")
    assert "no speed is known for these options" in ran.err
    assert "megapixel" not in run("auto", "a.png", "-o", "b.png", "--dry-run", "--strength", "0").err

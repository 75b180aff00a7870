"""`--crop` restores a part of each picture, and `--strengths` writes a contact sheet of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Run, save
from PIL import Image
from tiny_networks import Repeats, Tiny

from restore import checkpoints
from restore.images import Picture, read_picture, write_picture
from restore.networks import NETWORKS


@pytest.fixture
def tiny_run(run: Run, tiny_file: Path) -> Any:
    """Runs `restore denoise` with the network that inverts."""
    return lambda *words: run("denoise", *words, "--weights", str(tiny_file))


def pixels_of(name: str) -> np.ndarray:
    return read_picture(Path(name)).pixels


@pytest.mark.parametrize(
    ("crop", "rows", "columns"),
    [("3,5,20,10", (5, 15), (3, 23)), ("center:20x11", (26, 37), (22, 42)), ("center:512", (0, 64), (0, 64))],
)
def test_a_crop_equals_the_same_part_of_the_whole(tiny_run: Any, crop: str, rows: Any, columns: Any) -> None:
    pixels = save("a.png")
    assert tiny_run("a.png", "-o", "b.png", "--crop", crop).code == 0
    assert np.array_equal(pixels_of("b.png"), 255 - pixels[slice(*rows), slice(*columns)])


def test_a_crop_counts_pixels_of_the_upright_picture(tiny_run: Any) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned to the right
    pixels = np.random.default_rng(0).integers(20, 236, (40, 60, 3)).astype(np.uint8)
    Image.fromarray(pixels).save("a.png", exif=exif)
    assert tiny_run("a.png", "-o", "b.png", "--crop", "30,50,10,10").code == 0
    assert np.array_equal(pixels_of("b.png"), 255 - np.rot90(pixels, -1)[50:60, 30:40])


def test_a_crop_is_upscaled(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NETWORKS, "repeats", Repeats)
    checkpoints.save(tmp_path / "x2.safetensors", Repeats(scale=2), "repeats", {"task": "upscale"})
    pixels = save("a.png")
    ran = run("upscale", "a.png", "-o", "b.png", "--crop", "3,5,20,10", "--weights", str(tmp_path / "x2.safetensors"))
    assert ran.code == 0
    assert np.array_equal(pixels_of("b.png"), pixels[5:15, 3:23].repeat(2, 0).repeat(2, 1))


def test_every_picture_and_every_page_is_cut(tiny_run: Any) -> None:
    pages = [Image.fromarray(np.full((64, 64, 3), level, np.uint8)) for level in (50, 90)]
    Path("in").mkdir()
    pages[0].save("in/a.tif", save_all=True, append_images=pages[1:])
    save("in/b.png")
    assert tiny_run("in", "-o", "out", "--crop", "60,0,4,9").code == 0
    with Image.open("out/a.tif") as written:
        assert getattr(written, "n_frames", 1) == 2 and written.size == (4, 9)
    assert pixels_of("out/b.png").shape[:2] == (9, 4)


def test_a_crop_beyond_one_picture_fails_that_picture_alone(tiny_run: Any) -> None:
    save("in/large.png", side=90)
    save("in/small.png", side=40)
    ran = tiny_run("in", "-o", "out", "--crop", "0,0,64,64")
    assert ran.code == 1 and Path("out/large.png").exists() and not Path("out/small.png").exists()
    assert "0,0,64,64 is not inside the picture of 40 x 40 pixels" in ran.err


@pytest.mark.parametrize("words", [("--crop", "5"), ("--crop", "1,2,3,0"), ("--strengths", "2")])
def test_what_is_no_crop_or_strength_is_wrong_usage(tiny_run: Any, words: tuple[str, ...]) -> None:
    save("a.png")
    ran = tiny_run("a.png", "-o", "b.png", *words)
    assert ran.code == 2 and not Path("b.png").exists()


@pytest.mark.parametrize("words", [("--crop", "center:9"), ("--strengths", "1")])
def test_a_part_never_replaces_the_whole_picture(tiny_run: Any, words: tuple[str, ...]) -> None:
    save("a.png")
    before = Path("a.png").read_bytes()
    ran = tiny_run("a.png", "-o", "a.png", "--overwrite", *words)
    assert ran.code == 2 and "would replace the whole picture" in ran.err
    assert Path("a.png").read_bytes() == before


def test_the_history_names_the_crop(tiny_run: Any) -> None:
    save("a.png")
    assert tiny_run("a.png", "-o", "b.png", "--crop", "3,5,20,10").code == 0
    assert b"crop 3,5,20,10" in (read_picture(Path("b.png")).xmp or b"")


def test_the_report_and_the_sheet_compare_the_crop(tiny_run: Any) -> None:
    save("a.png")
    ran = tiny_run("a.png", "-o", "b.png", "--crop", "3,5,20,10", "--report", "r.html", "--compare", "c.png")
    assert ran.code == 0 and Path("r.html").exists() and Path("c.png").exists()
    assert "20 x 10" in Path("r.html").read_text()


def test_a_contact_sheet_costs_one_run(tiny_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []
    forward = Tiny.forward

    def counted(self: Tiny, x: Any) -> Any:
        runs.append(x.shape)
        return forward(self, x)

    monkeypatch.setattr(Tiny, "forward", counted)
    pixels = save("a.png", side=200)
    assert tiny_run("a.png", "-o", "sheet.png", "--strengths", "0.4,0.7,1", "--crop", "10,20,150,100").code == 0
    assert len(runs) == 1
    sheet = pixels_of("sheet.png").astype(int)
    part = pixels[20:120, 10:160].astype(int)
    for index, strength in enumerate((0, 0.4, 0.7, 1)):
        panel = sheet[-108:-8, 8 + 158 * index :][:, :150]
        assert np.abs(panel - (part + strength * (255 - 2 * part))).max() <= 0.51


@pytest.mark.parametrize("strength", ["0.4", "0.75"])
def test_a_panel_is_within_one_level_of_a_run_at_its_strength(tiny_run: Any, strength: str) -> None:
    save("a.png", side=200)
    crop = ("--crop", "10,20,150,100")
    assert tiny_run("a.png", "-o", "sheet.png", "--strengths", strength, *crop).code == 0
    assert tiny_run("a.png", "-o", "b.png", "--strength", strength, *crop).code == 0
    panel = pixels_of("sheet.png")[-108:-8, 166:316]
    assert np.abs(panel.astype(int) - pixels_of("b.png")).max() <= 1


def test_several_inputs_get_a_sheet_each_of_their_middle(tiny_run: Any) -> None:
    save("in/a.png", side=600)
    save("in/b.png", side=200)
    assert tiny_run("in", "-o", "out", "--strengths", "1").code == 0
    assert pixels_of("out/a.png").shape[1] == 2 * (512 + 8) + 8
    assert pixels_of("out/b.png").shape[1] == 2 * (200 + 8) + 8


def test_the_original_of_a_mosaic_is_shown_as_strength_0_mixes_it(run: Run, tmp_path: Path, tiny: Any) -> None:
    checkpoints.save(tmp_path / "m.safetensors", Tiny(), "tiny", {"task": "demosaic"})
    grey = np.random.default_rng(0).integers(20, 236, (150, 150, 1)).astype(np.uint8)
    write_picture(Picture(grey), Path("a.png"))
    options = ("--pattern", "GBRG", "--weights", str(tmp_path / "m.safetensors"), "--crop", "5,7,120,120")
    assert run("demosaic", "a.png", "-o", "sheet.png", "--strengths", "1", *options).code == 0
    assert run("demosaic", "a.png", "-o", "b.png", "--strength", "0", *options).code == 0
    assert np.array_equal(pixels_of("sheet.png")[-128:-8, 8:128], pixels_of("b.png"))


@pytest.mark.parametrize("more", [("--strength", "0.5"), ("--report", "r.html"), ("--compare", "c.png")])
def test_strengths_and_options_for_one_result_contradict_each_other(tiny_run: Any, more: tuple[str, str]) -> None:
    save("a.png")
    ran = tiny_run("a.png", "-o", "b.png", "--strengths", "0.5,1", *more)
    assert ran.code == 2 and f"--strengths and {more[0]} contradict each other" in ran.err


def test_upscale_has_no_strengths(run: Run) -> None:
    save("a.png")
    ran = run("upscale", "a.png", "-o", "b.png", "--strengths", "0.5,1")
    assert ran.code == 2 and "upscale has no strengths" in ran.err


def test_a_dry_run_does_not_estimate_the_whole_for_a_crop(tiny_run: Any) -> None:
    save("a.png")
    ran = tiny_run("a.png", "-o", "b.png", "--crop", "center:9", "--dry-run")
    assert ran.code == 0 and "a.png -> b.png" in ran.out and "megapixel" not in ran.err


def test_the_json_counts_the_tiles_that_ran(tiny_run: Any) -> None:
    save("a.png", side=300)
    words = ("a.png", "-o", "b.png", "--tile", "100", "--crop", "0,0,20,20", "--json", "r.json")
    assert tiny_run(*words).code == 0
    assert json.loads(Path("r.json").read_text())["pictures"][0]["tiles"] == 1

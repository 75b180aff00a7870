"""`restore run`: several steps in one go."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import Run
from picture_files import save_noise
from times_networks import bundle_times

from restore.images import read_picture


@pytest.fixture(autouse=True)
def times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Denoising multiplies by 4, dejpeg by 0.25, derain by 0.01, deblur by 100; upscaling repeats pixels."""
    bundle_times(tmp_path / "weights", monkeypatch)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
def test_one_step_writes_the_bytes_of_its_command(run: Run, name: str) -> None:
    save_noise(Path(name))
    out = Path("out" + Path(name).suffix)
    assert run("dejpeg", name, "-o", f"1{out}", "--strength", "0.7").code == 0
    assert run("run", "dejpeg:strength=0.7", name, "-o", f"2{out}") == (0, f"2{out}\n", "")
    assert Path(f"1{out}").read_bytes() == Path(f"2{out}").read_bytes()


def test_steps_run_in_order_without_rounding_between_them(run: Run) -> None:
    pixels = save_noise(Path("a.png"))
    assert run("run", "derain,deblur,upscale:2", "a.png", "-o", "b.png", "--precision", "float32").code == 0
    np.testing.assert_array_equal(read_picture(Path("b.png")).pixels, pixels.repeat(2, 0).repeat(2, 1))


def test_the_history_in_the_file_has_one_entry_a_step(run: Run) -> None:
    save_noise(Path("a.png"))
    assert run("run", "denoise:strength=0.5,dejpeg", "a.png", "-o", "b.png").code == 0
    packet = read_picture(Path("b.png")).xmp
    assert packet is not None
    assert packet.count(b"<stEvt:parameters>") == 2
    assert packet.index(b"denoise, weights times-denoise") < packet.index(b"dejpeg, weights times-dejpeg")


def test_the_report_lists_the_steps_with_weights_and_hashes(run: Run) -> None:
    save_noise(Path("in/a.png"))
    save_noise(Path("in/b.png"))
    assert run("run", "denoise,upscale:2", "in", "-o", "out", "--json", "r.json").code == 0
    report = json.loads(Path("r.json").read_text())
    assert report["device"] == "cpu" and report["totals"]["restored"] == 2
    for picture in report["pictures"]:
        assert [(step["task"], step["weights"]) for step in picture["steps"]] == [
            ("denoise", "times-denoise"), ("upscale", "x2")
        ]  # fmt: skip
        assert all(len(step["sha256"]) == 64 for step in picture["steps"])


def test_a_recipe_takes_the_place_of_the_list(run: Run) -> None:
    save_noise(Path("a.png"))
    Path("mine.toml").write_text('[[step]]\ntask = "dejpeg"\n[[step]]\ntask = "upscale"\nscale = 2\n')
    assert run("run", "dejpeg,upscale:2", "a.png", "-o", "1.png").code == 0
    for number, recipe in enumerate(("mine.toml", "web-picture"), 2):
        assert run("run", "--recipe", recipe, "a.png", "-o", f"{number}.png").code == 0
        assert Path(f"{number}.png").read_bytes() == Path("1.png").read_bytes()


def test_verbose_and_dry_run_name_the_weights_of_each_step(run: Run) -> None:
    save_noise(Path("a.png"))
    ran = run("run", "denoise:strength=0.5,upscale:2", "a.png", "-o", "b.png", "--dry-run")
    assert (ran.code, ran.out) == (0, "a.png -> b.png\n") and not Path("b.png").exists()
    assert "note:  step 1: denoise with times-denoise, strength 0.5\nnote:  step 2: upscale with x2\n" in ran.err
    ran = run("run", "denoise,upscale:2", "a.png", "-o", "b.png", "-v")
    assert "denoise: weights " in ran.err and "upscale: weights " in ran.err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "STEPS INPUT is missing"),
        (("denoise",), "INPUT is missing\nhint:  restore run denoise,upscale:2 photo.jpg"),
        (("a.png", "-o", "b.png"), "a.png is no list of steps\nhint:  give the steps first"),
        (("denoise:strength=2", "a.png", "-o", "b.png"), "strength of the step denoise is a number from 0 to 1"),
        (("--recipe", "old", "a.png", "-o", "b.png"), "unknown recipe 'old'"),
        (("denoise,upscale:2", "a.png"), "no output given"),
        (("--recipe", "old-scans", "denoise:strength=1", "a.png", "-o", "b.png"), "STEPS and --recipe contradict"),
        (("dejpeg:weights=times-denoise", "a.png", "-o", "b.png"), "are for denoise, not for dejpeg"),
    ],
)
def test_wrong_usage_is_one_error_and_writes_nothing(run: Run, args: tuple[str, ...], message: str) -> None:
    save_noise(Path("a.png"))
    ran = run("run", *args)
    assert ran.code == 2 and message in ran.err and ran.err.count("error:") == 1
    assert not Path("b.png").exists()


def test_usage_errors_come_without_torch() -> None:
    code = (
        "import sys\nfrom restore.cli import app\n"
        "for words in (['run', 'denois', 'a.png', '-o', 'b.png'], ['auto', 'none.png', '-o', 'b.png']):\n"
        "    sys.argv = ['restore', *words]\n"
        "    try: app.main()\n"
        "    except SystemExit as stop: assert stop.code\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)

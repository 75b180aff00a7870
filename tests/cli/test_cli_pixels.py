"""What a run says and does about transparency and smaller tiles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Run
from PIL import Image

from restore.inference.torch_engine import TorchEngine

pytestmark = pytest.mark.usefixtures("tiny_catalogue")


def save_cut_out(name: str) -> None:
    """White, whose lower half is transparent; the tiny network turns it black."""
    values = np.full((64, 64, 4), 255, np.uint8)
    values[32:, :, 3] = 0
    Image.fromarray(values).save(name)


def test_a_background_lets_a_jpeg_take_a_cut_out(run: Run) -> None:
    save_cut_out("a.png")
    refused = run("denoise", "a.png", "-o", "b.jpg")
    assert refused.code == 1
    assert "--background white" in refused.err
    for colour, level in (("white", 255), ("black", 0), ("#ff00ff", 255)):
        assert run("denoise", "a.png", "-o", "b.jpg", "--background", colour, "--overwrite").code == 0
        with Image.open("b.jpg") as image:
            pixels = np.asarray(image)
        assert pixels[8, 8, 0] <= 2
        assert abs(int(pixels[56, 8, 0]) - level) <= 2
    assert run("denoise", "a.png", "-o", "b.png", "--background", "white").code == 0
    with Image.open("b.png") as image:
        assert image.mode == "RGBA"


def test_an_opaque_alpha_is_no_obstacle_for_a_jpeg(run: Run) -> None:
    Image.fromarray(np.full((40, 40, 4), 255, np.uint8)).save("a.png")
    assert run("denoise", "a.png", "-o", "b.jpg").code == 0


def test_a_background_that_is_no_colour_is_wrong_usage(run: Run) -> None:
    save_cut_out("a.png")
    ran = run("denoise", "a.png", "-o", "b.jpg", "--background", "puce")
    assert ran.code == 2
    assert "white, black or #rrggbb" in ran.err
    assert not Path("b.jpg").exists()


def test_the_report_says_that_memory_ran_out(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    restore, calls = TorchEngine.restore, []

    def runs_out(self: TorchEngine, images: Any, **options: Any) -> Any:
        calls.append(images.shape)
        if len(calls) == 2:
            raise MemoryError
        return restore(self, images, **options)

    Image.fromarray(np.full((100, 100, 3), 200, np.uint8)).save("a.png")
    tiles = ("--tile", "64", "--overlap", "8", "--json", "report.json", "--overwrite")
    for retiled in (False, True):
        assert run("denoise", "a.png", "-o", "b.png", *tiles).code == 0
        (record,) = json.loads(Path("report.json").read_text())["pictures"]
        assert record["retiled"] is retiled
        assert [note for note in record["notes"] if note.startswith("memory ran out")] != [] or not retiled
        monkeypatch.setattr(TorchEngine, "restore", runs_out)

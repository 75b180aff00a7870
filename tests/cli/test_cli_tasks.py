"""The options that only some tasks have: strengths, which pick weights, and the pattern of a mosaic."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from conftest import Run, table_of, to_toml
from tiny_networks import Repeats
from torch import Tensor, nn

from restore import checkpoints
from restore.checkpoints import catalogue
from restore.images import Picture, read_picture, write_picture
from restore.images.bayer import PATTERNS, mosaic
from restore.networks import NETWORKS, Network
from restore.tasks import TASKS


class Reveals(Network):
    """Keeps what a pixel of an RGGB mosaic has seen, and makes white of what it has not."""

    CONFIGS: ClassVar[dict[str, dict[str, Any]]] = {"s": {}}
    halo = 0
    runs = 0

    def __init__(self) -> None:
        super().__init__()
        self.config = {}
        self.one = nn.Parameter(torch.ones(1))

    def forward(self, degraded: Tensor) -> Tensor:
        Reveals.runs += 1
        seen = torch.zeros_like(degraded)
        seen[:, 0, ::2, ::2] = seen[:, 1, ::2, 1::2] = seen[:, 1, 1::2, ::2] = seen[:, 2, 1::2, 1::2] = 1
        return torch.where(seen > 0, degraded, self.one)


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A catalogue of weights to upscale twice and four times, to denoise blindly and at sigma 25, and to demosaic."""
    monkeypatch.setitem(NETWORKS, "repeats", Repeats)
    monkeypatch.setitem(NETWORKS, "reveals", Reveals)
    monkeypatch.setattr(Reveals, "runs", 0)
    folder, text = tmp_path / "weights", ""
    folder.mkdir()
    for name, network, task, level in (
        ("x2", Repeats(scale=2), "upscale", 2.0),
        ("x4", Repeats(scale=4), "upscale", 4.0),
        ("blind", Repeats(scale=1), "denoise", None),
        ("sigma-25", Repeats(scale=1), "denoise", 25.0),
        ("rggb", Reveals(), "demosaic", None),
    ):
        file, kind = folder / f"{name}.safetensors", type(network).__name__.lower()
        checkpoints.save(file, network, kind, {"task": task})
        text += to_toml(name, table_of(file, network=kind, task=task, level=level, parameters=1)) + "\n"
    (folder / "catalogue.toml").write_text(text)
    monkeypatch.setattr(catalogue, "weights_folder", lambda: folder)
    return folder


def save(name: str, pixels: np.ndarray) -> np.ndarray:
    write_picture(Picture(pixels), Path(name))
    return pixels


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(1, 255, shape, dtype=np.uint8)


@pytest.mark.parametrize(
    ("task", "own"),
    [
        ("denoise", "--sigma"), ("dejpeg", "--jpeg-quality"), ("upscale", "--scale"), ("demosaic", "--pattern"),
        ("derain", None), ("deblur", None),
    ],
)  # fmt: skip
def test_every_task_has_its_own_options_and_no_others(run: Run, task: str, own: str | None) -> None:
    assert task in TASKS
    shown = run(task, "--help").out
    for option in ("--sigma", "--jpeg-quality", "--scale", "--pattern"):
        assert (option in shown) == (option == own)
    assert "--quality" in shown  # that of the output, for all


@pytest.mark.parametrize("scale", ["2", "4"])
def test_the_scale_picks_the_weights(run: Run, weights: Path, scale: str) -> None:
    pixels = save("a.png", noise(20, 30, 3))
    assert run("upscale", "a.png", "-o", "b.png", "--scale", scale).code == 0
    enlarged = pixels.repeat(int(scale), 0).repeat(int(scale), 1)
    np.testing.assert_array_equal(read_picture(Path("b.png")).pixels, enlarged)


@pytest.mark.parametrize(
    ("asked", "used"), [((), "blind"), (("--sigma", "25"), "sigma-25"), (("--sigma", "30"), "blind")]
)
def test_blind_weights_serve_the_strengths_that_have_no_weights_of_their_own(
    run: Run, weights: Path, asked: tuple[str, ...], used: str
) -> None:
    save("a.png", noise(20, 30, 3))
    ran = run("denoise", "a.png", "-o", "b.png", "-v", *asked)
    assert ran.code == 0 and f"{used}.safetensors" in ran.err


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("upscale",), 2, "error: upscale needs --scale\nhint:  choose one of 2, 4"),
        (("upscale", "--scale", "3"), 1, "for upscale at --scale 3\nhint:  choose one of 2, 4"),
        (("upscale", "--scale", "5"), 2, "--scale"),
        (("upscale", "--weights", "x2", "--scale", "4"), 2, "error: these weights are for --scale 2, not 4"),
        (("denoise", "--weights", "sigma-25", "--sigma", "10"), 2, "error: these weights are for --sigma 25, not 10"),
        (("dejpeg", "--jpeg-quality", "10"), 1, "error: there are no default weights for dejpeg"),
        (("dejpeg", "--jpeg-quality", "0"), 2, "--jpeg-quality"),
        (("derain", "--sigma", "10"), 2, "--sigma"),
        (("demosaic", "--pattern", "RGBG"), 2, "--pattern"),
        (("demosaic",), 1, "error: a.png: the picture is not a mosaic"),
    ],
)  # fmt: skip
def test_a_strength_that_nothing_serves_is_refused_with_what_there_is(
    run: Run, weights: Path, args: tuple[str, ...], code: int, message: str
) -> None:
    save("a.png", noise(20, 30, 3))
    ran = run(args[0], "a.png", "-o", "b.png", *args[1:])
    assert ran.code == code and message in ran.err and not Path("b.png").exists()


def test_a_file_of_weights_of_another_scale_is_refused(run: Run, weights: Path) -> None:
    save("a.png", noise(20, 30, 3))
    ran = run("upscale", "a.png", "-o", "b.png", "--weights", str(weights / "x4.safetensors"), "--scale", "2")
    assert ran.code == 2 and "these weights are for --scale 4, not 2" in ran.err


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("is_grey", [True, False])
def test_a_mosaic_of_any_pattern_and_form_is_demosaiced_in_tiles_too(
    run: Run, weights: Path, pattern: str, is_grey: bool
) -> None:
    seen = mosaic(noise(45, 71, 3), pattern)
    save("a.png", seen.max(axis=-1, keepdims=True) if is_grey else seen)
    expected = np.where(seen > 0, seen, 255)
    for name, tiles in (("whole.png", ()), ("tiles.png", ("--tile", "17", "--overlap", "3"))):
        assert run("demosaic", "a.png", "-o", name, "--pattern", pattern.lower(), *tiles).code == 0
        np.testing.assert_array_equal(read_picture(Path(name)).pixels, expected)


def test_the_pattern_that_fits_is_named(run: Run, weights: Path) -> None:
    save("a.png", mosaic(noise(20, 30, 3), "GBRG"))
    ran = run("demosaic", "a.png", "-o", "b.png")
    assert ran.code == 1 and "not a mosaic of RGGB" in ran.err and "hint:  use --pattern GBRG" in ran.err


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_self_ensemble_of_a_mosaic_is_one_whatever_its_pattern(run: Run, weights: Path, pattern: str) -> None:
    for name, sides in (("even", (20, 30)), ("odd", (21, 31))):
        save(f"{name}.png", mosaic(noise(*sides, 3), pattern))
        for more in ((), ("--self-ensemble",)):
            assert run("demosaic", f"{name}.png", "-o", f"{name}{len(more)}.png", "--pattern", pattern, *more).code == 0
        results = [read_picture(Path(f"{name}{index}.png")).pixels for index in (0, 1)]
        np.testing.assert_array_equal(results[0], results[1])
    assert Reveals.runs == 2 * (1 + 8)


def test_a_self_ensemble_is_scored_and_said(run: Run, weights: Path) -> None:
    Path("clean").mkdir()
    save("clean/a.png", noise(20, 30, 3))
    ran = run(
        "eval", "--clean", "clean", "--task", "demosaic", "--self-ensemble", "--device", "cpu", "--json", "s.json"
    )
    assert ran.code == 0 and ran.out.startswith("clean mosaic, rgb, self-ensemble, mean of 1: restored ")
    assert json.loads(Path("s.json").read_text())["self_ensemble"] is True
    assert Reveals.runs == 8

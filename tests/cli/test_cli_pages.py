"""Pages, frames, damage and the limit of pixels on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from conftest import Run, table_of, to_toml
from PIL import Image
from tiny_networks import Repeats

from restore import checkpoints
from restore.checkpoints import catalogue
from restore.networks import NETWORKS

SHAPES = ((20, 30, 3), (24, 17, 3))


@pytest.fixture(autouse=True)
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that return their input."""
    monkeypatch.setitem(NETWORKS, "repeats", Repeats)
    folder = tmp_path / "weights"
    folder.mkdir()
    file, network = folder / "plain.safetensors", Repeats(scale=1)
    checkpoints.save(file, network, "repeats", {"task": "denoise"})
    table = table_of(file, network="repeats", task="denoise", level=None, parameters=1)
    (folder / "catalogue.toml").write_text(to_toml("plain", table))
    monkeypatch.setattr(catalogue, "weights_folder", lambda: folder)


def pages() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(1, 255, shape, dtype=np.uint8) for shape in SHAPES]


def save_pages() -> None:
    with tifffile.TiffWriter("pages.tif") as writer:
        for page in pages():
            writer.write(page, photometric="rgb", metadata=None)


def save_frames(name: str) -> None:
    images = [Image.new("RGB", (20, 16), (60 * k, 90, 30)) for k in range(3)]
    images[0].save(name, save_all=True, append_images=images[1:], duration=100, loop=0)


def records(file: str) -> Any:
    return json.loads(Path(file).read_text())["pictures"]


def test_every_page_is_restored_and_the_json_says_how_many(run: Run) -> None:
    save_pages()
    result = run("denoise", "pages.tif", "-o", "out.tif", "--json", "run.json")
    assert (result.code, result.out) == (0, "out.tif\n")
    with tifffile.TiffFile("out.tif") as file:
        for page, expected in zip(file.pages, pages(), strict=True):
            np.testing.assert_array_equal(page.asarray(), expected)
    (record,) = records("run.json")
    assert (record["pages"], record["damage"], record["notes"]) == (2, None, [])


def test_a_page_is_picked_by_its_number(run: Run) -> None:
    save_pages()
    assert run("denoise", "pages.tif", "-o", "out.png", "--page", "2").code == 0
    np.testing.assert_array_equal(np.asarray(Image.open("out.png")), pages()[1])
    assert run("denoise", "pages.tif", "-o", "b.png", "--page", "0").code == 2
    assert "no page 3" in run("denoise", "pages.tif", "-o", "b.png", "--page", "3").err


def test_an_output_for_one_picture_names_the_option(run: Run) -> None:
    save_pages()
    result = run("denoise", "pages.tif", "-o", "out.jpg")
    assert result.code == 1
    assert result.err == "error: out.jpg holds one picture, and pages.tif has 2\nhint:  --page 1, or write .tif\n"
    assert not Path("out.jpg").exists()


@pytest.mark.parametrize("source", ["a.gif", "a.webp", "a.png"])
def test_an_animation_stays_one_and_a_gif_becomes_png(run: Run, source: str) -> None:
    save_frames(source)
    assert run("denoise", source, "-o", "out/").code == 0
    target = Path("out") / source.replace(".gif", ".png")
    with Image.open(target) as image:
        assert (image.n_frames, image.info["loop"]) == (3, 0)  # type: ignore[attr-defined]


def test_a_folder_takes_its_gifs(run: Run) -> None:
    Path("in").mkdir()
    save_frames("in/a.gif")
    assert run("denoise", "in", "-o", "out").out == "out/a.png\n"


@pytest.mark.parametrize("text", ["0", "0M", "2e8", "-1", "M", "1G", "٣", "9" * 400])
def test_a_limit_that_is_no_number_of_pixels_is_wrong_usage(run: Run, text: str) -> None:
    Image.new("RGB", (20, 16)).save("a.png")
    result = run("denoise", "a.png", "-o", "b.png", "--max-pixels", text)
    assert result.code == 2
    assert "--max-pixels is a number of pixels such as 800M or 65536" in result.err


def test_a_picture_above_the_limit_is_refused(run: Run) -> None:
    Image.new("RGB", (1000, 1000)).save("a.png")
    assert run("denoise", "a.png", "-o", "b.png", "--max-pixels", "0.9M").code == 1
    assert run("denoise", "a.png", "-o", "b.png", "--max-pixels", "1000000").code == 0

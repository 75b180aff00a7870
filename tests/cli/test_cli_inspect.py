from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import Run
from PIL import Image


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    noise = np.random.default_rng(0).normal(128, 20, (96, 128, 1))
    path = tmp_path / "noisy.png"
    Image.fromarray(np.clip(np.repeat(noise, 3, axis=2), 0, 255).astype(np.uint8)).save(path)
    return path


def test_inspect_prints_a_line_a_picture(run: Run, noisy: Path) -> None:
    code, out, err = run("inspect", str(noisy))
    assert (code, err) == (0, "")
    head, *_ = out.splitlines()
    assert head.split() == ["file", "size", "noise", "jpeg", "task", "findings"]
    assert "128x96" in out
    assert "denoise" in out


def test_json_holds_every_finding(run: Run, noisy: Path) -> None:
    code, out, err = run("inspect", "--json", str(noisy))
    (found,) = json.loads(out)
    assert (code, err) == (0, "")
    assert (found["file"], found["width"], found["height"], found["bits"]) == (str(noisy), 128, 96, 8)
    assert found["noise"] == pytest.approx(20, rel=0.15)
    assert found["tasks"][0] == "denoise"


def test_json_names_the_quality_of_the_file(run: Run, noisy: Path) -> None:
    saved = noisy.with_suffix(".jpg")
    Image.open(noisy).save(saved, quality=42)
    (found,) = json.loads(run("inspect", "--json", str(saved)).out)
    assert (found["format"], found["jpeg_quality"], found["jpeg_quality_seen"]) == ("JPEG", 42, 42)


def test_a_broken_file_does_not_stop_the_others(run: Run, noisy: Path) -> None:
    broken = noisy.with_name("broken.png")
    broken.write_bytes(b"\x89PNG\r\n\x1a\n")
    code, out, err = run("inspect", str(broken), str(noisy), "--json")
    assert code == 1
    assert [one["file"] for one in json.loads(out)] == [str(noisy)]
    assert "broken.png" in err
    assert "cannot inspect 1 of 2 pictures" in err


def test_a_folder_is_inspected_and_nothing_is_written(run: Run, noisy: Path) -> None:
    before = sorted(noisy.parent.iterdir())
    code, out, _ = run("inspect", str(noisy.parent))
    assert code == 0
    assert "noisy.png" in out
    assert sorted(noisy.parent.iterdir()) == before


def test_a_missing_file_is_an_error(run: Run, tmp_path: Path) -> None:
    code, out, err = run("inspect", str(tmp_path / "none.png"))
    assert (code, out) == (1, "")
    assert "none.png" in err


def test_a_picture_in_a_pipe_is_inspected(run: Run, noisy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(noisy.read_bytes())))
    (found,) = json.loads(run("inspect", "-", "--json").out)
    assert (found["file"], found["tasks"][0]) == ("-", "denoise")


def test_a_page_is_inspected_and_other_files_are_named(run: Run, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(128, 20, (64, 64))
    pages = [Image.fromarray(np.clip(page, 0, 255).astype(np.uint8)) for page in (np.full((64, 64), 90.0), noise)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    (tmp_path / "notes.md").touch()
    first, second = (run("inspect", str(tmp_path), "--json", "--page", number) for number in "12")
    assert json.loads(first.out)[0]["noise"] < 1
    assert json.loads(second.out)[0]["noise"] == pytest.approx(20, rel=0.15)
    assert "1 .md" in first.err


def test_a_url_is_refused(run: Run) -> None:
    ran = run("inspect", "s3://bucket/a.png")
    assert (ran.code, ran.out) == (2, "")
    assert "download it first" in ran.err

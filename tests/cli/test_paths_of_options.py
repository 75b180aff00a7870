"""`~` is expanded where the shell does not, and URLs are refused, in every option that takes a path."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Run
from picture_files import save_flat

pytestmark = pytest.mark.usefixtures("tiny_catalogue")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder."""
    folder = tmp_path / "home of me"
    folder.mkdir()
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(folder))
    return folder


def test_a_quoted_tilde_is_the_home_folder_in_every_path(run: Run, home: Path) -> None:
    save_flat(str(home / "in/a.png"), 10)
    ran = run("denoise", "~/in", "--output=~/out", "--json", "~/r.json")
    assert (ran.code, ran.out) == (0, f"{home / 'out/a.png'}\n")
    assert json.loads((home / "r.json").read_text())["totals"]["restored"] == 1
    assert run("denoise", "~/in/*.png", "-o~/other/").out == f"{home / 'other/a.png'}\n"
    ran = run("train", "--data", "~/none", "--out", "~/run")
    assert str(home / "none") in ran.err and not Path("~").exists()


def test_a_tilde_that_is_no_path_stays(run: Run, home: Path) -> None:
    save_flat("a.png", 10)
    assert run("denoise", "a.png", "--suffix", "~").out == "a~.png\n"


@pytest.mark.parametrize(
    ("args", "error", "hint"),
    [
        (
            ["denoise", "a.png", "-o", "b.png", "--weights", "https://huggingface.co/owner/name/tree/main"],
            "--weights cannot be https://huggingface.co/owner/name/tree/main: it is a URL, not a path",
            "did you mean hf://owner/name?",
        ),
        (
            ["denoise", "a.png", "-o", "b.png", "--weights", "https://example.org/w.safetensors"],
            "--weights cannot be https://example.org/w.safetensors: it is a URL, not a path",
            "download it first: curl -LO 'https://example.org/w.safetensors'",
        ),
        (
            ["train", "--data", "https://example.org/photos", "--out", "run"],
            "--data cannot be https:/example.org/photos: it is a URL, not a path",
            "download it first: curl -LO 'https://example.org/photos'",
        ),
        (
            ["denoise", "a.png", "-o", "b.png", "--json", "s3://bucket/r.json"],
            "--json cannot be s3://bucket/r.json: it is a URL, not a path",
            "write to a file, then upload it",
        ),
    ],
)
def test_a_url_is_refused_in_every_option(run: Run, args: list[str], error: str, hint: str) -> None:
    save_flat("a.png", 10)
    ran = run(*args)
    assert (ran.code, ran.err) == (2, f"error: {error}\nhint:  {hint}\n")


@pytest.mark.parametrize(
    ("args", "name"),
    [
        (["denoise", "", "-o", "b.png"], "INPUT"),
        (["denoise", "a.png", "-o", ""], "--output"),
        (["denoise", "a.png", "-o", "b.png", "--weights="], "--weights"),
        (["denoise", "a.png", "-o", "b.png", "--json", ""], "--json"),
        (["train", "--data", "", "--out", "run"], "--data"),
    ],
)
def test_an_empty_value_is_refused(run: Run, args: list[str], name: str) -> None:
    save_flat("a.png", 200)
    ran = run(*args)
    assert (ran.code, ran.err) == (2, f"error: {name} is empty\nhint:  is a variable of the shell not set?\n")
    assert run("denoise", "a.png", "-o", "b.png", "--suffix", "").code == 0

"""Shared fixtures: tests stay offline, child processes run this checkout, and a tiny network stands for real ones."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

# huggingface_hub reads this at import, so set it before other imports.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])
if "PYTEST_XDIST_WORKER" in os.environ:  # several processes of several threads would wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from browser_fixtures import chromium, tab
from tiny_networks import Tiny

from restore import checkpoints
from restore.checkpoints import catalogue
from restore.cli import app
from restore.images import Picture, write_picture
from restore.networks import NETWORKS, Network

__all__ = ["chromium", "tab"]  # fixtures


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for the user's own weights."""
    monkeypatch.setenv("RESTORE_WEIGHTS", str(tmp_path / "own"))
    return catalogue.own_folder()


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of decoded photos, for child processes too."""
    monkeypatch.setenv("RESTORE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def no_config(monkeypatch: pytest.MonkeyPatch) -> None:
    """No config file of the user."""
    monkeypatch.setenv("RESTORE_CONFIG", os.devnull)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> type[Network]:
    """A network that inverts, in `NETWORKS` as `tiny`."""
    monkeypatch.setitem(NETWORKS, "tiny", Tiny)
    return Tiny


@pytest.fixture
def tiny_file(tiny: type[Network], tmp_path: Path) -> Path:
    """A checkpoint of the network that inverts."""
    path = tmp_path / "tiny.safetensors"
    checkpoints.save(path, tiny(), "tiny", {"task": "denoise"})
    return path


def save(name: str, *, seed: int = 0, side: int = 64) -> np.ndarray:
    """Write a picture of noise without black and white, and return its pixels."""
    pixels = np.random.default_rng(seed).integers(20, 236, (side, side, 3)).astype(np.uint8)
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    write_picture(Picture(pixels), Path(name))
    return pixels


def table_of(path: Path, **changes: object) -> dict[str, object]:
    """A catalogue table that describes the file at `path`; None removes a key."""
    table: dict[str, object] = {
        "network": "tiny",
        "config": "s",
        "task": "denoise",
        "default": True,
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "size_bytes": path.stat().st_size,
        "parameters": 3,
        "licence": "Apache-2.0",
        "trained_on": "nothing",
        "summary": "inverts",
        "recipe": "none",
        "steps": 0,
        "hours": 0.5,
        "machine": "none",
    }
    return {key: value for key, value in (table | changes).items() if value is not None}


def to_toml(name: str, table: dict[str, object]) -> str:
    """One table of plain values, in TOML."""
    values = (str(value).lower() if isinstance(value, bool) else repr(value) for value in table.values())
    return f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in zip(table, values, strict=True))


@pytest.fixture
def tiny_catalogue(tiny_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A weights folder whose catalogue has one entry, `tiny-denoise`; returns the catalogue."""
    path = tiny_file.parent / "catalogue.toml"
    path.write_text(to_toml("tiny-denoise", table_of(tiny_file)))
    monkeypatch.setattr(catalogue, "weights_folder", lambda: tiny_file.parent)
    return path


class Ran(NamedTuple):
    """Exit code and output of a command."""

    code: int
    out: str
    err: str


class Run(Protocol):
    def __call__(self, *args: str) -> Ran: ...


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Runs the command in this process, in an empty working folder."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # Typer replaces it

    def run(*args: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["restore", *args])
        code = 0
        try:
            app.main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 0
        return Ran(code, *capsys.readouterr())

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield run
    for number, handler in before.items():  # a command that was interrupted leaves them ignored
        signal.signal(number, handler)


@pytest.fixture
def inverted_pairs(run: Run) -> None:
    """`clean/` and `noisy/`: what the tiny network restores up to one grey level."""
    for name in ("a", "b"):
        pixels = save(f"clean/{name}.png", seed=ord(name))
        Path("noisy").mkdir(exist_ok=True)
        write_picture(Picture(254 - pixels), Path(f"noisy/{name}.png"))

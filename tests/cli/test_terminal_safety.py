"""On a terminal, text of others is shown and never obeyed."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import tifffile
import torch
from conftest import Run
from picture_files import save_flat
from PIL import Image, ImageCms
from safetensors.torch import save_file

from restore.checkpoints import catalogue
from restore.cli import app
from restore.cli.streams import printable

pytestmark = [
    pytest.mark.usefixtures("tiny_catalogue"),
    pytest.mark.skipif(sys.platform == "win32", reason="no pty, and no such names"),
]

pty = pytest.importorskip("pty")  # not on Windows

EVIL = "\x1b]0;owned\x07\x9b31m\u202e"  # sets a title; turns red, in one byte of C1; turns the text around
SHOWN = r"\x1b]0;owned\x07\x9b31m\u202e"

Terminal = Callable[..., str]


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Runs `restore` with stdout and stderr on a terminal, and returns what the terminal got."""

    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    def run(*args: str, columns: str = "1000") -> str:
        ours, theirs = pty.openpty()
        got = bytearray()

        def read() -> None:
            while True:
                try:
                    got.extend(os.read(ours, 65536))
                except OSError:  # the other end is closed
                    return

        reader = threading.Thread(target=read)
        reader.start()
        streams = [os.fdopen(os.dup(theirs), "w", encoding="utf-8", errors="surrogateescape") for _ in range(2)]
        os.close(theirs)
        with monkeypatch.context() as patch:
            patch.setenv("TERM", "xterm")
            patch.setenv("COLUMNS", columns)
            patch.setattr(sys, "argv", ["restore", *args])
            patch.setattr(sys, "stdout", streams[0])
            patch.setattr(sys, "stderr", streams[1])
            with pytest.raises(SystemExit):
                app.main()
            for stream in (sys.stdout, sys.stderr, *streams):
                stream.close()
        reader.join(10)
        os.close(ours)
        return got.decode()

    return run


def _file_name(_: Any) -> list[str]:
    save_flat(f"{EVIL}.png", 10)
    return ["denoise", f"{EVIL}.png", "-o", "out/", "-v"]


def _broken_file_name(_: Any) -> list[str]:
    Path(f"{EVIL}.png").write_text("this is no picture")
    return ["denoise", f"{EVIL}.png", "-o", "out/"]


def _folder_name(_: Any) -> list[str]:
    save_flat(f"{EVIL}/a.png", 10)
    return ["denoise", EVIL, "-o", f"{EVIL}-out", "-v"]


def _dry_run(_: Any) -> list[str]:
    save_flat(f"{EVIL}.png", 10)
    return ["denoise", f"{EVIL}.png", "-o", "out/", "--dry-run"]


def _option_value(_: Any) -> list[str]:
    save_flat("a.png", 10)
    return ["denoise", "a.png", "-o", "b.png", "--format", EVIL]


def _unknown_word(_: Any) -> list[str]:
    return [EVIL]


def _tiff_tag(_: Any) -> list[str]:
    tifffile.imwrite("a.tif", np.zeros((16, 16), np.uint8), photometric="minisblack", metadata=None)
    with tifffile.TiffFile("a.tif", mode="r+") as file:
        file.pages.first.tags[262].overwrite(EVIL[:10], dtype="s")  # text in the place of a number
    return ["denoise", "a.tif", "-o", "b.png"]


def _icc_name(_: Any) -> list[str]:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    named = profile.replace("sRGB built-in".encode("utf-16-be"), (EVIL + "..").encode("utf-16-be"))
    assert named != profile
    Image.new("RGB", (16, 16)).save("a.png", icc_profile=named)
    return ["denoise", "a.png", "-o", "b.bmp", "-v"]


def _decoders_message(_: Any) -> list[str]:
    Image.new("RGB", (16, 16)).save("a.png")
    name = Path("a.png").read_bytes().replace(b"IDAT", b"\x9b]\x1b\x07")
    Path("a.png").write_bytes(name)
    Path("b.jp2").write_bytes(b"\0\0\0\x0cjP  \r\n\x87\n\0\0\xff\0\x1b]\x07\x9b")
    return ["denoise", "a.png", "b.jp2", "-o", "out/"]


def _left_out_kind(_: Any) -> list[str]:
    save_flat("in/a.png", 10)
    Path(f"in/b.{EVIL}").touch()
    return ["denoise", "in", "-o", "out"]


def _json_recipe(_: Any) -> list[str]:
    save_flat("photos/a.png", 10)
    Path("mine.json").write_text(json.dumps({EVIL: 1}))
    return ["train", "mine.json", "--data", "photos", "--out", "run"]


def _url(_: Any) -> list[str]:
    return ["denoise", f"https://{EVIL}", "-o", "b.png"]


def _json_of_weights(tiny_file: Path) -> list[str]:
    metadata = {"format": "restore/1", "network": "tiny", "config": json.dumps({EVIL: 1}), "task": "denoise"}
    save_file({"a": torch.zeros(1)}, tiny_file, metadata=metadata)
    save_flat("a.png", 10)
    return ["denoise", "a.png", "-o", "b.png", "--weights", str(tiny_file)]


def _tensor_name(tiny_file: Path) -> list[str]:
    metadata = {"format": "restore/1", "network": "tiny", "config": "{}", "task": "denoise"}
    save_file({EVIL: torch.zeros(1)}, tiny_file, metadata=metadata)
    save_flat("a.png", 10)
    return ["denoise", "a.png", "-o", "b.png", "--weights", str(tiny_file)]


def _network_name(tiny_file: Path) -> list[str]:
    metadata = {"format": "restore/1", "network": EVIL, "config": "{}", "task": "denoise"}
    save_file({"a": torch.zeros(1)}, tiny_file, metadata=metadata)
    save_flat("a.png", 10)
    return ["denoise", "a.png", "-o", "b.png", "--weights", str(tiny_file)]


def _recipe_key(_: Any) -> list[str]:
    save_flat("photos/a.png", 10)
    Path("mine.toml").write_text(f"{json.dumps(EVIL)} = 1\n")
    return ["train", "mine.toml", "--data", "photos", "--out", "run"]


def _set_key(_: Any) -> list[str]:
    save_flat("photos/a.png", 10)
    return ["train", "--data", "photos", "--out", "run", "--set", f"{EVIL}=1"]


def _catalogue_text(_: Any) -> list[str]:
    own = catalogue.own_folder()
    own.mkdir(parents=True)
    (own / "catalogue.toml").write_text(f"[{json.dumps(EVIL)}]\nx = 1\n")
    return ["weights", "list"]


def _address(_: Any) -> list[str]:
    return ["weights", "pull", f"hf://owner/{EVIL}"]


SOURCES = [value for name, value in list(globals().items()) if name.startswith("_") and callable(value)]


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.__name__[1:])
def test_no_escape_sequence_of_others_reaches_a_terminal(
    source: Callable[[Any], list[str]], terminal: Terminal, tiny_file: Path
) -> None:
    got = terminal(*source(tiny_file))
    assert not has_evil(got)
    if source not in (_icc_name, _decoders_message):  # that name is kept or dropped, and not shown
        assert SHOWN[:13] in got


def test_the_hubs_text_does_not_reach_a_terminal(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(EVIL)

    save_flat("a.png", 10)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    got = terminal("denoise", "a.png", "-o", "b.png", "--weights", "hf://owner/name@main/a.safetensors")
    assert not has_evil(got) and "error: " in got


def test_a_name_with_a_line_break_is_one_line_on_a_terminal(terminal: Terminal) -> None:
    forged = "a.png\n/etc/passwd.png"
    save_flat(f"in/{forged}", 10)
    Path(f"bad/{forged}").parent.mkdir(parents=True)
    Path(f"bad/{forged}").write_text("this is no picture")
    for args in (("in", "-o", "out"), ("in", "-o", "other", "--dry-run"), ("bad", "-o", "out"), ("in", "-o", "out")):
        got = terminal("denoise", "-r", "-v", *args)
        assert r"a.png\n/etc/passwd.png" in got
        assert not any(line.startswith("/etc/passwd") for line in got.splitlines())


@pytest.mark.parametrize("columns", ["0", "1", "", "abc"])
def test_an_odd_width_of_the_terminal_hides_nothing(columns: str, terminal: Terminal) -> None:
    save_flat("a.png", 10)
    got = terminal("denoise", "a.png", "-o", "out/", "-v", columns=columns)
    assert "out/a.png" in got and "a.png: " in got


def test_pipes_get_names_as_they_are(run: Run) -> None:
    save_flat(f"in/{EVIL}\n.png", 10)
    assert run("denoise", "in", "-o", "out").out == f"out/{EVIL}\n.png\n"


def test_print0_ends_every_path_with_nul(run: Run) -> None:
    for name in ("in/a\nb.png", "in/c.png"):
        save_flat(name, 10)
    assert run("denoise", "in", "-o", "out", "--dry-run", "--print0").out == (
        "in/a\nb.png -> out/a\nb.png\0in/c.png -> out/c.png\0"
    )
    assert run("denoise", "in", "-o", "out", "--print0").out == "out/a\nb.png\0out/c.png\0"
    ran = run("denoise", "in", "-o", "out", "--print0", "--json", "-")
    assert ran.code == 2 and ran.err.startswith("error: --print0 ends paths")


@pytest.mark.parametrize("text", ["Grüße 写真.png", "\u202fPM.png", "क\u200dष", "👩\u200d👧"])
def test_names_of_all_languages_stay_readable(text: str) -> None:
    assert printable(text) == text


def has_evil(got: str) -> bool:
    """Whether a piece of `EVIL` is in it. The colours and the cursor of the progress bar are `ESC [`."""
    return any(piece in got for piece in ("\x1b]", "\x07", "\x9b", "\u202e"))

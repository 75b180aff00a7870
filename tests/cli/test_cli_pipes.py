"""Pictures through pipes."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Ran, Run
from picture_files import level_of, save_flat

from restore.cli import task_run
from restore.images import read_picture

pytestmark = pytest.mark.usefixtures("tiny_catalogue")


@pytest.fixture
def pipes(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], io.BytesIO]:
    """Puts bytes into stdin and returns what stdout will get."""

    def open_pipes(content: bytes) -> io.BytesIO:
        out = io.BytesIO()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, write_through=True))
        return out

    return open_pipes


Pipes = Callable[[bytes], io.BytesIO]


def test_a_picture_goes_through_pipes_in_its_own_format(run: Run, pipes: Pipes) -> None:
    for format, name in (("png", "a.png"), ("bmp", "a.bmp")):
        save_flat(name, 200)
        out = pipes(Path(name).read_bytes())
        assert run("denoise", "-", "-o", "-") == Ran(0, "", "")
        Path(f"b.{format}").write_bytes(out.getvalue())
        assert level_of(f"b.{format}") == 55
        assert read_picture(Path(f"b.{format}")).source_format == format.upper()


def test_a_pipe_may_be_on_one_side_only(run: Run, pipes: Pipes) -> None:
    save_flat("a.png", 200)
    out = pipes(b"")
    assert run("denoise", "a.png", "-o", "-", "--format", "bmp", "-v").code == 0
    Path("b.bmp").write_bytes(out.getvalue())
    out = pipes(Path("a.png").read_bytes())
    assert run("denoise", "-", "-o", "c.png").code == 0
    assert out.getvalue() == b"c.png\n"
    assert (level_of("b.bmp"), level_of("c.png")) == (55, 55)


@pytest.mark.parametrize("content", [b"", b"this is no picture"])
def test_what_comes_from_a_pipe_and_is_no_picture_is_one_error(run: Run, pipes: Pipes, content: bytes) -> None:
    out = pipes(content)
    ran = run("denoise", "-", "-o", "-")
    assert (ran.code, out.getvalue()) == (1, b"")
    assert ran.err.startswith("error: cannot read ") and ran.err.count("error:") == 1


def test_an_endless_pipe_is_one_error(run: Run, pipes: Pipes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_run, "_MOST_OF_A_PIPE", 1 << 20)
    for content, why in ((bytes(3 << 20), "it holds only zeros"), (b"BM" * (1 << 20), "it is larger than any picture")):
        pipes(content)
        ran = run("denoise", "-", "-o", "b.png")
        assert (ran.code, ran.err) == (1, f"error: cannot read standard input: {why}\nhint:  check what writes to it\n")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="has no named pipes")
def test_a_named_pipe_can_be_an_input(run: Run) -> None:
    save_flat("a.png", 200)
    os.mkfifo("pipe.png")
    writer = threading.Thread(target=lambda: Path("pipe.png").write_bytes(Path("a.png").read_bytes()))
    writer.start()
    assert run("denoise", "pipe.png", "-o", "b.png") == Ran(0, "b.png\n", "")
    writer.join()
    assert level_of("b.png") == 55


def test_a_terminal_is_no_pipe(run: Run, pipes: Pipes, monkeypatch: pytest.MonkeyPatch) -> None:
    save_flat("a.png", 200)
    for args, stream in ((("-", "-o", "b.png"), "stdin"), (("a.png", "-o", "-"), "stdout")):
        pipes(b"")
        monkeypatch.setattr(getattr(sys, stream), "isatty", lambda: True)
        ran = run("denoise", *args)
        assert ran.code == 2 and ran.err.startswith(f"error: {stream} is a terminal")
    monkeypatch.setattr(sys, "stdin", None)  # as it is where a program was started without one
    ran = run("denoise", "-", "-o", "b.png")
    assert ran.code == 2 and ran.err.startswith("error: stdin is closed")

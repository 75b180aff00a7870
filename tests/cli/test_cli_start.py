"""How the command starts and ends: what it imports, and what is not its own error."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import Run

import restore
from restore.checkpoints import catalogue
from restore.images import Picture, write_picture


def test_a_bug_keeps_its_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "load_catalogue", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run("weights", "list")


LINES = {
    "tasks": {
        "0": [
            "--help", "denoise --help", "--version", "weights list", "weights verify",
            "denoise a.png -o b.png --dry-run",
        ],
        "1": ["weights show x", "denoise gone.png -o b.png", "denoise a.png -o b.png --weights x"],
        "2": [
            "", "denoise", "dnoise", "denoise a.png -o b", "denoise a.png", "denoise a.png -o b.png --memory x",
            "denoise a.png -o b.png --tile x", "denoise a.png -o b.png --device x",
        ],
    },
    "run and auto": {
        "0": [
            "run --help", "auto --help", "run denoise,upscale:2 a.png -o b.png --dry-run",
            "auto a.png -o b.png --dry-run", "auto good.png -o c.png",
        ],
        "1": ["run denoise gone.png -o b.png", "auto gone.png -o b.png", "run denoise:weights=x a.png -o b.png"],
        "2": [
            "run", "run denoise", "run denois a.png -o b.png", "run denoise,demosaic a.png -o b.png",
            "run denoise:strength=2 a.png -o b.png", "run --recipe gone.toml a.png -o b.png",
            "run denoise a.png -o b.png --crop 1", "run denoise a.png -o b.png --strengths 2",
            "run upscale:2 a.png -o b.png --strengths 1", "auto", "auto a.png", "auto a.png -o b.png --scale 5",
            "auto a.png -o b.png --strength 2", "auto a.png -o b.png --crop 1", "auto a.png -o b.png --strengths 2",
            "auto a.png -o b.png --scale 2 --strengths 1",
        ],
    },
    "eval and data": {
        "0": ["eval --help", "data list", "data show SIDD", "data check --clean .", "data check --help"],
        "1": ["eval --clean gone", "eval --dataset PolyU --root .", "data check PolyU --root ."],
        "2": [
            "eval", "eval --sigma x", "eval --clean . --protocol x", "eval --clean . --device x",
            "eval --clean . --weights none", "eval --dataset x --root .", "eval --dataset Set5 --root .",
        ],
    },
    "train": {
        "0": ["train --help"],
        "1": ["train --data gone --out run", "train --data . --out .", "train --data . --out run --from x"],
        "2": [
            "train", *(f"train --data . --out run {wrong}" for wrong in (
                "--max-time x", "--set x", "--set stepz=3", "--set steps=x", "--task x", "--device x", "--resume", "x",
            )),
        ],
    },
}  # fmt: skip


@pytest.mark.parametrize("lines", LINES.values(), ids=LINES.keys())
def test_help_lists_and_usage_errors_do_not_import_torch(tmp_path: Path, lines: dict[str, list[str]]) -> None:
    for name in ("a.png", "good.png"):
        write_picture(Picture(np.zeros((16, 16, 3), np.uint8)), tmp_path / name)
    code = f"""
import sys
from restore.cli.app import main
for code, commands in {lines!r}.items():
    for command in commands:
        sys.argv = ["restore", *command.split()]
        try:
            main()
        except SystemExit as stop:
            assert str(stop.code or 0) == code, (stop.code, command)
        assert "torch" not in sys.modules, command
"""
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize(
    "line",
    [
        "--help",
        "denoise --help",
        "eval --help",
        "train --help",
        "weights list",
        "data list",
        "data check",
        "inspect --help",
        "auto --help",
        "run --help",
        "web --help",
        "inspect",
        "auto a.png --strength 2",
        "run a --tile",
    ],
)
def test_the_first_look_loads_nothing_that_is_slow(line: str) -> None:
    code = (
        "import sys; from restore.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "slow = {'torch', 'numpy', 'cv2', 'PIL', 'rich', 'huggingface_hub', 'tifffile', 'imagecodecs', 'psutil'}\n"
        "print(sorted(slow & set(sys.modules)), file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", code, *line.split()], capture_output=True, text=True, check=True)
    assert ran.stderr.splitlines()[-1] == "[]"


@pytest.mark.skipif(sys.platform != "linux", reason="file names are text here")
def test_a_file_name_that_is_no_text_comes_out_as_it_is(tmp_path: Path) -> None:
    code = "import sys; from restore.cli import app; app.app = lambda **_: print(sys.argv[1]); app.main()"
    name = b"caf\xe9.png"
    ran = subprocess.run([sys.executable, "-c", code, name], capture_output=True, check=True)
    assert ran.stdout == name + b"\n"


def test_the_module_is_the_command() -> None:
    ran = subprocess.run([sys.executable, "-m", "restore", "--version"], capture_output=True, text=True, check=True)
    assert ran.stdout == f"restore {restore.__version__}\n"


def test_warnings_of_libraries_are_not_shown(tmp_path: Path) -> None:
    """A warning is for programmers, and its text can hold bytes of a file."""
    code = (
        "import sys, warnings; sys.argv = ['restore', 'none']; from restore.cli import app, start\n"
        "app.main = lambda: warnings.warn('overflow encountered')\n"
        "start.main()"
    )
    for flags, shown in (((), False), (("-W", "default"), True)):
        ran = subprocess.run([sys.executable, *flags, "-c", code], capture_output=True, text=True, check=False)
        assert (ran.returncode, "overflow encountered" in ran.stderr) == (0, shown)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        ImportError("libtorch.so: failed to map segment from shared object"),
        RuntimeError("can't start new thread"),
    ],
)
def test_too_little_memory_for_libraries_and_threads_is_one_clear_error(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("restore.cli.app.app", fail)
    ran = run("info")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "error: there is not enough memory\nhint:  close other programs\n"


@pytest.mark.parametrize(
    ("line", "own"),
    [
        ("--help", set()), ("--version", set()), ("xyzzy", set()), ("denoise --help", {"task_commands"}),
        ("inspect --help", {"inspect"}), ("weights list", {"weights"}),
    ],
)  # fmt: skip
def test_a_start_imports_only_the_command_that_runs(line: str, own: set[str]) -> None:
    code = (
        "import sys; from restore.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(*(name[12:] for name in sys.modules if name.startswith('restore.cli.')), file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", code, *line.split()], capture_output=True, text=True, check=True)
    commands = {
        "task_commands", "auto", "bench", "config", "data", "evaluate", "info", "inspect", "run", "train", "web",
        "weights",
    }  # fmt: skip
    assert commands & set(ran.stderr.splitlines()[-1].split()) == own


def test_the_collector_of_garbage_works_while_a_command_runs() -> None:
    code = (
        "import gc, sys; sys.argv = ['restore', 'info']\n"
        "from restore.cli import info, start\n"
        "info._found = lambda: {'collector': {'on': str(gc.isenabled())}}\n"
        "start.main()"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["collector:", "on:", "True"]

"""Streams, folders and names that the system refuses: the work is done, or there is one clear error."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest
from conftest import Run
from picture_files import level_of, save_flat

from restore.checkpoints import catalogue

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full and a shell")

pwd = pytest.importorskip("pwd")  # not on Windows

LONG = "x" * 300


SHELL = f'restore() {{ "{sys.executable}" -m restore "$@"; }}; '  # `restore` is this checkout


def shell(line: str) -> subprocess.CompletedProcess[str]:
    """Runs a line of the shell."""
    return subprocess.run(["bash", "-c", SHELL + line], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("line", ["--version", "weights list", "--help", "data list"])
def test_a_full_device_on_stdout_is_one_error(line: str) -> None:
    ran = shell(f"restore {line} > /dev/full")
    assert (ran.returncode, ran.stderr) == (
        1, "error: cannot write to stdout: No space left on device\nhint:  send it elsewhere\n"
    )  # fmt: skip


def test_a_closed_stderr_changes_no_exit_code_and_adds_nothing_to_stdout() -> None:
    for line, code in (("--version", 0), ("weights show none", 1), ("none", 2)):
        ran = shell(f"restore {line} 2>&-")
        assert ran.returncode == code
        assert ran.stdout.count("\n") == (code == 0)


def test_a_full_device_on_stderr_changes_no_exit_code() -> None:
    assert shell("restore weights show none 2> /dev/full").returncode == 1


def test_a_deleted_working_folder_is_noted_and_the_rest_works(tmp_path: Path) -> None:
    ran = shell(f"mkdir {tmp_path}/gone; cd {tmp_path}/gone; rmdir {tmp_path}/gone; restore weights list")
    assert ran.returncode == 0 and "cs-kit-s-denoise" in ran.stdout
    assert ran.stderr == "note:  the working folder does not exist any more; only absolute paths work\n"


@pytest.mark.usefixtures("tiny_catalogue")
def test_an_own_weights_folder_that_cannot_be_used_is_noted(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    save_flat("a.png", 200)
    monkeypatch.setenv("RESTORE_WEIGHTS", LONG)
    ran = run("denoise", "a.png", "-o", "b.png")
    assert (ran.code, ran.out, level_of("b.png")) == (0, "b.png\n", 55)
    assert ran.err.startswith("note:  cannot read xxx") and "File name too long; only bundled weights" in ran.err


@pytest.mark.usefixtures("tiny_catalogue")
def test_an_own_weights_folder_that_cannot_be_entered_is_noted(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    real, own = Path.stat, catalogue.own_folder()

    def stat(path: Path, **how: Any) -> os.stat_result:
        if own in path.parents:  # root can enter every folder
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, **how)

    monkeypatch.setattr(Path, "stat", stat)
    ran = run("weights", "list")
    assert ran.code == 0 and "tiny-denoise" in ran.out
    assert ran.err == f"note:  cannot read {own}: Permission denied; only bundled weights can be used by name\n"


@pytest.mark.usefixtures("tiny_catalogue")
def test_info_needs_no_home(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_user(_: int) -> NoReturn:
        raise KeyError

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", no_user)
    assert run("info").code == 0


@pytest.mark.usefixtures("tiny_catalogue")
@pytest.mark.parametrize(
    "line",
    [
        f"denoise {LONG}.png -o b.png", f"denoise a.png -o {LONG}.png", f"denoise a.png -o {LONG}/",
        f"denoise a.png --suffix {LONG}", f"denoise a.png -o b.png --json {LONG}",
        f"denoise a.png -o b.png --weights {LONG}", f"eval --clean {LONG}", f"data check --clean {LONG}",
        f"train --data {LONG} --out run", f"train --data photos --out {LONG}", f"train {LONG} --data photos --out run",
        f"bench cs-kit:s --json {LONG}", f"eval --clean photos --degraded photos --task denoise --json {LONG}/x.json",
        f"weights import {LONG}.pth --network drsformer --task derain",
    ],
)  # fmt: skip
def test_a_name_that_is_too_long_is_one_error(run: Run, line: str) -> None:
    save_flat("a.png", 200)
    save_flat("photos/a.png", 200)
    ran = run(*line.split())
    assert ran.code in (1, 2) and ran.out == ""
    assert ran.err.startswith("error: ") and ran.err.count("error: ") == 1
    assert sorted(os.listdir()) == ["a.png", "photos"]


def test_ctrl_c_during_the_imports_is_one_line() -> None:
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a job in the background ignores it
        "class Slow:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'restore.cli.app': print(flush=True); time.sleep(60)\n"
        "sys.meta_path.insert(0, Slow())\n"
        "from restore.cli.start import main\n"
        "main()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()  # the import has begun
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=30)
    assert (child.returncode, err) == (130, b"interrupted\n")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_pipe_gets_the_bytes_of_a_name_whatever_its_encoding(encoding: str, tmp_path: Path) -> None:
    names = [os.fsencode("Grüße 写真"), b"bad\xff\xfe"]
    for name in names:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name + b".png")).touch()
    line = f"cd {tmp_path}; PYTHONIOENCODING={encoding} restore denoise . -o out --dry-run --print0 2>/dev/null"
    ran = subprocess.run(["bash", "-c", SHELL + line], capture_output=True, check=False)
    assert sorted(ran.stdout.split(b"\0"))[1:] == sorted(name + b".png -> out/" + name + b".png" for name in names)


def test_json_to_a_closed_stdout_is_refused_before_the_work(tmp_path: Path) -> None:
    save_flat(str(tmp_path / "a.png"), 200)
    ran = shell(f"cd {tmp_path}; restore denoise a.png -o b.png --json - >&-")
    assert (ran.returncode, ran.stderr) == (2, "error: stdout is closed\nhint:  --json FILE\n")
    assert not (tmp_path / "b.png").exists()

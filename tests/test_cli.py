from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import Ran, Run

import restore
from restore import batch, catalogue
from restore.images import Picture, read_picture, write_picture
from restore.tasks import TASKS, Task


def save(name: str, value: int, *, size: tuple[int, int] = (40, 50)) -> None:
    """Write a picture of one grey level."""
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    write_picture(Picture(np.full((*size, 3), value, np.uint8)), Path(name))


def level(name: str) -> int:
    """The grey level of a picture that has only one."""
    (value,) = np.unique(read_picture(Path(name)).pixels)
    return int(value)


pytestmark = pytest.mark.usefixtures("tiny_catalogue")


def test_denoise_writes_the_picture_and_prints_only_its_path(run: Run) -> None:
    save("a.png", 10)
    assert run("denoise", "a.png", "-o", "b.png") == Ran(0, "b.png\n", "")
    assert level("b.png") == 245
    assert sorted(os.listdir()) == ["a.png", "b.png"]


def test_strength_mixes_with_the_input(run: Run) -> None:
    save("a.png", 11)
    for strength, expected in (("0", 11), ("0.25", 70), ("1", 244)):  # 11 + 0.25 * (244 - 11) = 69.25, or 69.5
        assert run("denoise", "a.png", "-o", "b.png", "--strength", strength, "--overwrite").code == 0
        assert abs(level("b.png") - expected) <= 1


def test_tiles_give_what_the_whole_picture_gives(run: Run) -> None:
    save("a.png", 10, size=(150, 70))
    assert run("denoise", "a.png", "-o", "b.png", "--tile", "64", "--overlap", "8").code == 0
    assert level("b.png") == 245


def test_weights_may_be_a_file(run: Run, tiny_file: Path) -> None:
    save("a.png", 10)
    assert run("denoise", "a.png", "-o", "b.png", "--weights", str(tiny_file)).code == 0
    assert level("b.png") == 245


def test_verbose_says_what_is_used_on_stderr(run: Run) -> None:
    save("a.png", 10)
    ran = run("denoise", "a.png", "-o", "b.png", "-v", "--device", "cpu")
    assert ran.out == "b.png\n"
    assert "tiny.safetensors" in ran.err and "device cpu" in ran.err and "a.png: " in ran.err


def test_one_broken_picture_of_many_is_named_and_the_others_are_done(run: Run) -> None:
    for name in ("in/a.png", "in/deep/c.png"):
        save(name, 10)
    Path("in/b.png").write_text("this is no picture")
    ran = run("denoise", "in", "-o", "out")
    assert ran.code == 1
    assert ran.out == "out/a.png\nout/deep/c.png\n"
    assert ran.err.splitlines()[0].startswith("error: cannot read in/b.png: ")
    assert "error: 1 of 3 pictures failed:\n  cannot read in/b.png: " in ran.err
    assert sorted(os.listdir("out")) == ["a.png", "deep"]


def cut_jpeg() -> None:
    save("whole.jpg", 10)
    Path("bad").write_bytes(Path("whole.jpg").read_bytes()[:-40])


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: Path("bad").write_bytes(b""), "bad.png"),
        (lambda: Path("bad").write_text("this is text\n" * 9), "bad.png"),
        (cut_jpeg, "bad.jpg"),
        (lambda: None, "bad.png"),
    ],
    ids=["empty", "text", "truncated", "missing"],
)
def test_a_bad_input_is_one_error_and_leaves_no_output(run: Run, make: object, name: str) -> None:
    assert callable(make)
    make()
    if Path("bad").exists():
        os.rename("bad", name)
    before = sorted(os.listdir())
    ran = run("denoise", name, "-o", "out.png")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("error: cannot ") and ran.err.count("error:") == 1 and "Traceback" not in ran.err
    assert sorted(os.listdir()) == before


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("a.png",), 2, "--output"),
        (("-o", "b.png"), 2, "INPUT"),
        (("a.png", "-o", "b.png", "--strength", "2"), 2, "--strength"),
        (("a.png", "-o", "b.png", "--overlap", "0"), 2, "--overlap"),
        (("a.png", "-o", "b.png", "--tile", "big"), 2, "error: --tile is auto or a number of pixels, not 'big'"),
        (("a.png", "-o", "b.png", "--tile", "32"), 2, "error: tiles of 32 pixels cannot overlap by 32"),
        (("a.png", "-o", "b.png", "--device", "gpu"), 2, "error: there is no device called 'gpu'"),
        (("a.png", "-o", "b"), 2, "error: cannot write b: it has no suffix"),
        (("a.png", "-o", "b.png", "--weights", "tiny-denose"), 1, "hint:  did you mean 'tiny-denoise'?"),
        (("a.png", "-o", "b.png", "--weights", "x.pth"), 1, "error: x.pth is a Python pickle"),
        (("a.png", "-o", "b.png", "--weights", "x.safetensors"), 1, "error: cannot find the weights file"),
        (("a.png", "-o", "b.png", "--weights", "hf://x"), 1, "hint:  write hf://owner/name"),
        (("a.png", "-o", "a.png"), 1, "error: a.png would replace its own source"),
        (("a.png", "-o", "c.png"), 1, "error: c.png is there already"),
        (("A.png", "-o", "b.png"), 1, "hint:  did you mean 'a.png'?"),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_reason(run: Run, args: tuple[str, ...], code: int, message: str) -> None:
    save("a.png", 10)
    save("c.png", 10)
    ran = run("denoise", *args)
    assert (ran.code, ran.out) == (code, "")
    assert message in ran.err
    assert sorted(os.listdir()) == ["a.png", "c.png"]


def test_overwrite_replaces_the_source(run: Run) -> None:
    save("a.png", 10)
    assert run("denoise", "a.png", "-o", "a.png", "--overwrite").code == 0
    assert level("a.png") == 245


def test_weights_for_another_task_are_wrong_usage(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    save("a.png", 10)
    monkeypatch.setitem(TASKS, "derain", Task("derain", summary="", help=""))
    path = catalogue.weights_folder() / "catalogue.toml"
    path.write_text(path.read_text().replace("task = 'denoise'", "task = 'derain'"))
    ran = run("denoise", "a.png", "-o", "b.png", "--weights", "tiny-denoise")
    assert ran.code == 2 and "tiny-denoise are weights to derain, not to denoise" in ran.err


def test_on_a_terminal_a_bar_is_shown_and_stdout_holds_only_paths(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("in/a.png", "in/b.png"):
        save(name, 10)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    ran = run("denoise", "in", "-o", "out")
    assert ran.out == "out/a.png\nout/b.png\n"
    assert "2/2 b.png" in ran.err and "100%" in ran.err


def test_interruption_ends_with_one_line_and_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    save("a.png", 10)
    monkeypatch.setattr(batch, "run", interrupted)
    ran = run("denoise", "a.png", "-o", "b.png")
    assert (ran.code, ran.out, ran.err.count("\n")) == (130, "", 1)
    assert ran.err.startswith("interrupted")


def test_a_bug_keeps_its_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "load_catalogue", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run("weights", "list")


def test_weights_list_names_them_and_marks_the_default(run: Run) -> None:
    ran = run("weights", "list")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[1].split()[:3] == ["tiny-denoise*", "denoise", "blind"]


def test_weights_show_tells_all(run: Run, tiny_catalogue: Path) -> None:
    score = "[[tiny-denoise.scores]]\nset = 'PolyU'\nprotocol = 'rgb'\npsnr = 38\ninput_psnr = 36.04\n"
    tiny_catalogue.write_text(tiny_catalogue.read_text() + score)
    ran = run("weights", "show", "tiny-denoise")
    assert ran.code == 0
    assert ran.out.splitlines()[-1].split() == ["PolyU", "rgb", "38.00", "36.04"]
    for fact in catalogue.find("tiny-denoise").licence, catalogue.find("tiny-denoise").sha256:
        assert fact in ran.out


def test_weights_verify_finds_the_damaged(run: Run, tiny_file: Path) -> None:
    assert run("weights", "verify").code == 0
    tiny_file.write_bytes(tiny_file.read_bytes()[:-1] + b"!")
    for args in ((), ("tiny-denoise",)):
        ran = run("weights", "verify", *args)
        assert ran.code == 1
        assert "SHA-256" in ran.out and "1 of 1 weights cannot be used: tiny-denoise" in ran.err


def test_load_gives_a_restorer(tiny_catalogue: Path) -> None:
    restorer = restore.load("tiny-denoise", device="cpu")
    assert isinstance(restorer, restore.Restorer)
    assert restorer.entry is not None and restorer.entry.name == "tiny-denoise"


# In processes of their own


def test_help_lists_and_usage_errors_do_not_import_torch(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    code = '''
import sys
from restore.cli.app import main
for line in """--help; denoise --help; --version; weights list; weights verify; ; denoise; dnoise; weights show x;
denoise gone.png -o b.png; denoise a.png -o b; denoise a.png -o b.png --tile x; denoise a.png -o b.png --device x;
denoise a.png -o b.png --weights x""".split(";"):
    args = line.split()
    sys.argv = ["restore", *args]
    try:
        main()
    except SystemExit as stop:
        print("CODE", stop.code, *args)
    assert "torch" not in sys.modules, args
'''
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    codes = [line.split()[1] for line in ran.stdout.splitlines() if line.startswith("CODE")]
    assert codes == ["0"] * 5 + ["2"] * 3 + ["1"] * 2 + ["2"] * 3 + ["1"]


@pytest.mark.parametrize("args", [["--help"], ["weights", "list"]])
def test_the_first_look_takes_less_than_0_4_seconds(args: list[str]) -> None:
    def seconds() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime  # of the processor: other programs may be using it as well

    took = []
    for _ in range(3):
        before = seconds()
        subprocess.run([sys.executable, "-m", "restore", *args], capture_output=True, check=True)
        took.append(seconds() - before)
    assert min(took) < 0.4


@pytest.mark.skipif(sys.platform != "linux", reason="file names are text here")
def test_a_file_name_that_is_no_text_comes_out_as_it_is(tmp_path: Path) -> None:
    code = "import sys; from restore.cli import app; app.app = lambda: print(sys.argv[1]); app.main()"
    name = b"caf\xe9.png"
    ran = subprocess.run([sys.executable, "-c", code, name], capture_output=True, check=True)
    assert ran.stdout == name + b"\n"


def test_the_module_is_the_command() -> None:
    ran = subprocess.run([sys.executable, "-m", "restore", "--version"], capture_output=True, text=True, check=True)
    assert ran.stdout == f"restore {restore.__version__}\n"

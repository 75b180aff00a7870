"""Runs of the command of a task."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Ran, Run
from picture_files import level_of, save_flat

import restore
from restore import checkpoints
from restore.batch import pipeline
from restore.checkpoints import catalogue
from restore.images import Picture, read_picture, write_picture
from restore.inference.blending import Seam
from restore.inference.restored import Restored
from restore.inference.restorer import Restorer
from restore.tasks import TASKS, Task

pytestmark = pytest.mark.usefixtures("tiny_catalogue")


def test_denoise_writes_the_picture_and_prints_only_its_path(run: Run) -> None:
    save_flat("a.png", 200)
    assert run("denoise", "a.png", "-o", "b.png") == Ran(0, "b.png\n", "")
    assert level_of("b.png") == 55
    assert sorted(os.listdir()) == ["a.png", "b.png"]


def test_strength_mixes_with_the_input(run: Run) -> None:
    save_flat("a.png", 211)
    for strength, expected in (("0", 211), ("0.25", 169), ("1", 44)):  # 211 + 0.25 * (44 - 211) = 169.25
        assert run("denoise", "a.png", "-o", "b.png", "--strength", strength, "--overwrite").code == 0
        assert abs(level_of("b.png") - expected) <= 1


def test_tiles_give_what_the_whole_picture_gives(run: Run) -> None:
    save_flat("a.png", 200, size=(150, 70))
    assert run("denoise", "a.png", "-o", "b.png", "--tile", "64", "--overlap", "8").code == 0
    assert level_of("b.png") == 55


def test_weights_may_be_a_file(run: Run, tiny_file: Path) -> None:
    save_flat("a.png", 200)
    assert run("denoise", "a.png", "-o", "b.png", "--weights", str(tiny_file)).code == 0
    assert level_of("b.png") == 55


def test_verbose_says_what_is_used_on_stderr(run: Run) -> None:
    save_flat("a.png", 200)
    ran = run("denoise", "a.png", "-o", "b.png", "-v", "--device", "cpu")
    assert ran.out == "b.png\n"
    assert "tiny.safetensors" in ran.err and "device cpu" in ran.err and "a.png: " in ran.err


def test_one_broken_picture_of_many_is_named_and_the_others_are_done(run: Run) -> None:
    for name in ("in/a.png", "in/deep/c.png"):
        save_flat(name, 200)
    Path("in/b.png").write_text("this is no picture")
    ran = run("denoise", "in", "-r", "-o", "out")
    assert ran.code == 1
    assert ran.out == "out/a.png\nout/deep/c.png\n"
    assert ran.err.splitlines()[0].startswith("error: cannot read in/b.png: ")
    assert "\n2 restored, 1 failed; " in ran.err
    assert "error: 1 of 3 pictures failed:\n  cannot read in/b.png: " in ran.err
    assert sorted(os.listdir("out")) == ["a.png", "deep"]


def cut_jpeg() -> None:
    save_flat("whole.jpg", 200)
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
        (("a.png",), 2, "error: no output given\nhint:  -o clean.png"),
        (("-o", "b.png"), 2, "error: INPUT is missing\nhint:  restore denoise photo.jpg -o restored.png\n"),
        (("a.png", "-o", "b.png", "--strength", "2"), 2, "error: --strength is a number from 0 to 1, not '2'\n"),
        (("a.png", "-o", "b.png", "--overlap", "0"), 2, "error: --overlap is a whole number of 1 or more, not '0'\n"),
        (("a.png", "-o", "b.png", "--tile", "big"), 2, "error: --tile is auto or a number of pixels, not 'big'"),
        (("a.png", "-o", "b.png", "--tile", "32"), 2, "error: tiles of 32 pixels cannot overlap by 32"),
        (("a.png", "-o", "b.png", "--memory", "2X"), 2, "error: --memory is a size such as 512M or 2G, not '2X'"),
        (("a.png", "-o", "b.png", "--memory", "0"), 2, "error: --memory is a size such as 512M or 2G, not '0'"),
        (("a.png", "-o", "b.png", "--threads", "x"), 2, "error: --threads is a whole number of 1 or more, not 'x'\n"),
        (
            ("a.png", "-o", "b.png", "--quality", "101"),
            2,
            "error: --quality is a whole number from 1 to 100, not '101'\n",
        ),
        (("a.png", "-o", "b.png", "--format", ""), 2, "error: --format is empty\n"),
        (("a.png", "-o", "b.png", "--format", ".JPG"), 2, "error: the name b.png does not fit --format jpg\n"),
        (("a.png", "-o", "b.png", "--strength", "9" * 5000), 2, "0 to 1, not '" + "9" * 99 + "...9"),
        (("a.png", "-o", "b.png", "--on-error", "cry"), 2, "error: --on-error is continue or stop, not 'cry'\n"),
        (("a.png", "-o", "b.png", "--skip-existing", "--overwrite"), 2, "contradict each other"),
        (("a.png", "-o", "b.png", "--dry-run", "--json", "j"), 2, "--dry-run restores nothing"),
        (("a.png", "-o", "-", "--json", "-"), 2, "stdout cannot take both"),
        (("a.png", "-o", "b.png", "--json", "gone/j"), 2, "error: cannot write gone/j: there is no folder"),
        (("a.png", "-o", "b.png", "--json", "."), 2, "error: cannot write .: it is a folder"),
        (("a.png", "-o", "b.png", "--json", "./a.png"), 2, "error: --json would replace the picture a.png"),
        (("a.png", "-o", "b.png", "--device", "gpu"), 2, "error: unknown device 'gpu'"),
        (("a.png", "-o", "b"), 2, "error: cannot write b: its name has no extension"),
        (("a.png", "-o", "b.png", "--weights", "tiny-denose"), 1, "hint:  did you mean 'tiny-denoise'?"),
        (("a.png", "-o", "b.png", "--weights", "x.pth"), 1, "error: cannot find the weights file x.pth"),
        (("a.png", "-o", "b.png", "--weights", "x.safetensors"), 1, "error: cannot find the weights file"),
        (("a.png", "-o", "b.png", "--weights", "hf://x"), 1, "hint:  write hf://owner/name"),
        (("a.png", "-o", "a.png"), 1, "error: a.png would replace its own source"),
        (("a.png", "-o", "c.png"), 1, "error: c.png already exists"),
        (("A.png", "-o", "b.png"), 1, "hint:  did you mean 'a.png'?"),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_reason(run: Run, args: tuple[str, ...], code: int, message: str) -> None:
    save_flat("a.png", 200)
    save_flat("c.png", 200)
    ran = run("denoise", *args)
    assert (ran.code, ran.out) == (code, "")
    assert message in ran.err
    assert sorted(os.listdir()) == ["a.png", "c.png"]


def test_overwrite_replaces_the_source(run: Run) -> None:
    save_flat("a.png", 200)
    assert run("denoise", "a.png", "-o", "a.png", "--overwrite").code == 0
    assert level_of("a.png") == 55


def test_weights_for_another_task_are_wrong_usage(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    save_flat("a.png", 200)
    monkeypatch.setitem(TASKS, "derain", Task("derain", summary="", help=""))
    path = catalogue.weights_folder() / "catalogue.toml"
    path.write_text(path.read_text().replace("task = 'denoise'", "task = 'derain'"))
    ran = run("denoise", "a.png", "-o", "b.png", "--weights", "tiny-denoise")
    assert ran.code == 2 and "error: the weights tiny-denoise are for derain, not for denoise\n" in ran.err


def test_on_a_terminal_a_bar_is_shown_and_stdout_holds_only_paths(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("in/a.png", "in/b.png"):
        save_flat(name, 200)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    ran = run("denoise", "in", "-o", "out")
    assert ran.out == "out/a.png\nout/b.png\n"
    assert "2/2 b.png" in ran.err and "100%" in ran.err


def test_interruption_ends_with_one_line_and_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    save_flat("a.png", 200)
    monkeypatch.setattr(checkpoints, "load", interrupted)
    ran = run("denoise", "a.png", "-o", "b.png")
    assert (ran.code, ran.out, ran.err.count("\n")) == (130, "", 1)
    assert ran.err.startswith("interrupted")


def test_fifty_photos_of_which_three_are_broken_give_47_and_a_summary_that_names_the_three(run: Run) -> None:
    for i in range(50):
        save_flat(f"in/{i:02}.png", 200 + i, size=(8, 9))
    whole = Path("in/31.png").read_bytes()
    for name, content in (("07", b""), ("31", whole[:-30]), ("44", b"no picture")):
        Path(f"in/{name}.png").write_bytes(content)
    ran = run("denoise", "in", "-o", "out", "--json", "report.json")
    assert ran.code == 1
    assert sorted(os.listdir("out")) == sorted({f"{i:02}.png" for i in range(50)} - {"07.png", "31.png", "44.png"})
    assert all(level_of(f"out/{name}") == 55 - int(name[:2]) for name in os.listdir("out"))
    *_, counts, head, first, second, third = ran.err.splitlines()
    assert counts.startswith("47 restored, 3 failed; ") and head == "error: 3 of 50 pictures failed:"
    assert first == "  cannot read in/07.png: the file is empty"
    assert second.startswith("  cannot read in/31.png: ") and third.startswith("  cannot read in/44.png: ")
    totals = json.loads(Path("report.json").read_text())["totals"]
    assert (totals["pictures"], totals["restored"], totals["failed"]) == (50, 47, 3)


@pytest.fixture
def seams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles that disagree."""
    restore_picture = Restorer.restore_picture

    def disagreeing(self: Restorer, picture: Picture, **options: Any) -> Restored:
        restored = restore_picture(self, picture, **options)
        return Restored(restored.picture, restored.tile, restored.tiles, Seam(0.25, 1.5))

    monkeypatch.setattr(Restorer, "restore_picture", disagreeing)


@pytest.mark.usefixtures("seams")
def test_the_report_tells_of_every_picture(run: Run, tiny_file: Path) -> None:
    save_flat("in/a.png", 10, size=(100, 40))
    save_flat("in/c.png", 20)
    Path("in/b.png").write_text("this is no picture")
    save_flat("out/c.png", 0)
    args = ("denoise", "in", "-o", "out", "--skip-existing", "--device", "cpu", "--tile", "64", "--overlap", "8")
    assert run(*args, "--json", "report.json").code == 1
    report = json.loads(Path("report.json").read_text())
    assert report["device"] == "cpu" and report["versions"]["restore"] == restore.__version__
    assert (report["error"], report["interrupted"]) == (None, False)
    a, b, c = report["pictures"]
    assert (a["source"], a["target"], a["status"]) == ("in/a.png", "out/a.png", "restored")
    assert (a["tile"], a["tiles"]) == ([54, 40], 2)  # 2 * 54 - 8 = 100
    assert a["seam"] == {"mean": 0.25, "max": 1.5} and 0 < a["network_seconds"] < a["seconds"]
    assert a["weights"] == "tiny-denoise" and a["sha256"] == hashlib.sha256(tiny_file.read_bytes()).hexdigest()
    assert b["status"] == "failed" and b["reason"].startswith("cannot read in/b.png: ")
    assert (c["status"], c["reason"]) == ("skipped", "out/c.png already exists")
    assert level_of("out/c.png") == 0


def test_the_report_on_stdout_is_all_of_it(run: Run) -> None:
    save_flat("a.png", 200)
    ran = run("denoise", "a.png", "-o", "b.png", "--json", "-")
    assert json.loads(ran.out)["pictures"][0]["status"] == "restored"


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="has no such files")
def test_the_report_may_go_to_a_device(run: Run) -> None:
    save_flat("a.png", 200)
    read, write = os.pipe()
    assert run("denoise", "a.png", "-o", "b.png", "--json", f"/dev/fd/{write}").code == 0
    os.close(write)
    with open(read, "rb") as pipe:
        assert json.load(pipe)["totals"]["restored"] == 1


def test_a_report_is_written_where_all_fails(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    save_flat("a.png", 200)
    ran = run("denoise", "a.png", "-o", "b.png", "--weights", "x.safetensors", "--json", "report.json")
    report = json.loads(Path("report.json").read_text())
    assert ran.code == 1 and report["error"] == "cannot find the weights file x.safetensors"
    assert report["pictures"][0]["status"] == "not reached"

    monkeypatch.setattr(pipeline, "write_picture", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run("denoise", "a.png", "-o", "b.png", "--json", "report.json")
    report = json.loads(Path("report.json").read_text())
    assert report["error"] == "ZeroDivisionError: division by zero"
    assert report["pictures"][0]["reason"] == "a.png: ZeroDivisionError: division by zero"


def test_a_name_that_is_no_text_is_in_the_report(run: Run) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    try:
        save_flat(name, 200)
    except OSError:
        pytest.skip("file names are text here")
    assert run("denoise", name, "-o", "b.png", "--json", "report.json").code == 0
    assert json.loads(Path("report.json").read_text())["pictures"][0]["source"] == name


def test_skip_existing_does_the_rest(run: Run) -> None:
    for name in ("a", "b"):
        save_flat(f"in/{name}.png", 200)
    save_flat("out/a.png", 0)
    ran = run("denoise", "in", "-o", "out", "--skip-existing")
    assert (ran.code, ran.out) == (0, "out/b.png\n") and "1 restored, 1 skipped; " in ran.err
    ran = run("denoise", "in", "-o", "out", "--skip-existing")
    assert (ran.code, ran.out) == (0, "") and "2 skipped; " in ran.err
    assert (level_of("out/a.png"), level_of("out/b.png")) == (0, 55)


def test_a_dry_run_says_what_it_would_do_and_does_nothing(run: Run) -> None:
    for name in ("a", "b"):
        save_flat(f"in/{name}.png", 200)
    save_flat("in/b_x.jpg", 200)
    args = ("denoise", "in/a.png", "in/b.png", "--suffix", "_x", "--format", "jpg", "--dry-run")
    ran = run(*args, "--skip-existing")
    assert (ran.code, ran.out) == (0, "in/a.png -> in/a_x.jpg\n")
    assert re.fullmatch(r"note:  1 picture with [\d.]+ megapixels; about 2 s on .*\n", ran.err)
    assert run(*args, "--overwrite").out == "in/a.png -> in/a_x.jpg\nin/b.png -> in/b_x.jpg\n"
    assert run(*args).code == 1
    assert sorted(os.listdir("in")) == ["a.png", "b.png", "b_x.jpg"]


def test_nothing_to_dry_run_is_no_line(run: Run) -> None:
    for name in ("a.png", "b.png"):
        save_flat(name, 200)
    assert run("denoise", "a.png", "-o", "b.png", "--dry-run", "--skip-existing") == Ran(0, "", "")


def test_format_and_quality_are_those_of_the_outputs(run: Run) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    write_picture(Picture(pixels), Path("a.png"))
    sizes = []
    for quality in ("20", "90"):
        assert run("denoise", "a.png", "-o", f"{quality}/", "--format", "jpg", "--quality", quality).code == 0
        sizes.append(Path(f"{quality}/a.jpg").stat().st_size)
        assert read_picture(Path(f"{quality}/a.jpg")).source_format == "JPEG"
    assert sizes[0] < sizes[1] / 2


def test_a_closed_stdout_does_not_end_a_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    for name in ("a", "b"):
        save_flat(f"in/{name}.png", 200)
    for stream in (Closed(), None):
        monkeypatch.setattr(sys, "stdout", stream)
        assert run("denoise", "in", "-o", "out", "--overwrite").code == 0
        assert level_of("out/a.png") == level_of("out/b.png") == 55
        shutil.rmtree("out")


def test_on_error_stop_leaves_the_rest(run: Run) -> None:
    for name in ("a", "c"):
        save_flat(f"in/{name}.png", 200)
    Path("in/b.png").write_text("this is no picture")
    ran = run("denoise", "in", "-o", "out", "--on-error", "stop")
    assert ran.code == 1 and "1 restored, 1 failed, 1 not reached; " in ran.err
    assert os.listdir("out") == ["a.png"]


def test_options_of_the_network_reach_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, object] = {}
    restore_picture = Restorer.restore_picture

    def noted(self: Restorer, picture: Picture, **options: Any) -> Restored:
        seen.update(options, threads=torch.get_num_threads())
        return restore_picture(self, picture, **options)

    monkeypatch.setattr(Restorer, "restore_picture", noted)
    save_flat("a.png", 200)
    threads = torch.get_num_threads()
    try:
        assert run("denoise", "a.png", "-o", "b.png", "--memory", "2g", "--threads", "3").code == 0
    finally:
        torch.set_num_threads(threads)
    assert (seen["memory"], seen["threads"]) == (2 * 1024**3, 3)


@pytest.fixture
def measured(tiny_catalogue: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundled weights lose little in bfloat16, and this machine has it."""
    tiny_catalogue.write_text(tiny_catalogue.read_text() + "bfloat16_loss = 0.01\n")
    monkeypatch.setattr("restore.inference.restorer.has_native_bfloat16", lambda device: True)


@pytest.mark.usefixtures("measured")
def test_the_precision_is_chosen_for_each_picture_and_told(run: Run) -> None:
    save_flat("in/a.png", 200)
    write_picture(Picture(np.full((20, 20, 3), 2570, np.uint16)), Path("in/b.png"))
    ran = run("denoise", "in", "-o", "out", "-v", "--json", "r.json")
    assert "precision auto" in ran.err
    assert [p["precision"] for p in json.loads(Path("r.json").read_text())["pictures"]] == ["bfloat16", "float32"]
    assert "pixels, in bfloat16" in ran.err and "pixels, in float32" in ran.err
    ran = run("denoise", "in", "-o", "out2", "--precision", "bfloat16", "--json", "r.json", "-v")
    assert "precision bfloat16" in ran.err
    assert [p["precision"] for p in json.loads(Path("r.json").read_text())["pictures"]] == ["bfloat16"] * 2


@pytest.mark.usefixtures("seams")
def test_verbose_tells_of_tiles_and_seams(run: Run) -> None:
    save_flat("a.png", 10, size=(100, 40))
    err = run("denoise", "a.png", "-o", "b.png", "-v", "--tile", "64", "--overlap", "8").err
    assert "2 tiles of 40 x 54 pixels, seams differ by 0.25 grey levels, 1.5 at most" in err


def test_ranks_share_a_folder_and_write_what_one_process_does(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(7):
        save_flat(f"in/{i}.png", i, size=(8 + i, 9))
    Path("in/broken.png").write_text("this is no picture")
    assert run("denoise", "in", "-o", "one", "--json", "r.json").code == 1
    monkeypatch.setenv("WORLD_SIZE", "3")
    codes, done = [], []
    for rank in "210":  # whoever comes first
        monkeypatch.setenv("RANK", rank)
        ran = run("denoise", "in", "-o", "many", "--json", "r.json")
        codes.append(ran.code)
        report = json.loads(Path(f"r.rank{rank}.json").read_text())
        assert (report["rank"], report["ranks"]) == (int(rank), 3)
        done += [picture["source"] for picture in report["pictures"]]
        assert all(line.startswith(f"rank {rank}: ") for line in ran.err.splitlines())
    assert sorted(codes) == [0, 0, 1]
    assert sorted(done) == sorted(f"in/{name}" for name in os.listdir("in"))
    assert sorted(os.listdir("many")) == sorted(os.listdir("one")) == [f"{i}.png" for i in range(7)]
    assert all(Path("one", name).read_bytes() == Path("many", name).read_bytes() for name in os.listdir("one"))


def test_ranks_refuse_what_they_cannot_share(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    save_flat("a.png", 200)
    monkeypatch.setenv("RANK", "0")
    ran = run("denoise", "a.png", "-o", "b.png")
    assert ran.code == 2 and "RANK and WORLD_SIZE, WORLD_SIZE is missing" in ran.err
    monkeypatch.setenv("WORLD_SIZE", "2")
    for args in (("-", "-o", "b.png"), ("a.png", "-o", "-"), ("a.png", "-o", "b.png", "--json", "-")):
        ran = run("denoise", *args)
        assert ran.code == 2 and "rank 0: error: several processes cannot share " in ran.err

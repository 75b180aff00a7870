from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import Run, save

import restore
from restore import checkpoints
from restore.datasets.registry import datasets
from restore.evaluation.protocols import PROTOCOLS
from restore.evaluation.published import published
from restore.images import Picture, read_picture, write_picture

pytestmark = pytest.mark.usefixtures("tiny_catalogue")


@pytest.fixture
def inverted(run: Run) -> None:
    """`clean/` and `noisy/`: what the tiny network restores up to one grey level."""
    for name in ("a", "b"):
        pixels = save(f"clean/{name}.png", seed=ord(name))
        Path("noisy").mkdir(exist_ok=True)
        write_picture(Picture(254 - pixels), Path(f"noisy/{name}.png"))


def test_eval_prints_the_mean_on_stdout_and_the_table_on_stderr(run: Run, inverted: None) -> None:
    ran = run("eval", "--clean", "clean", "--degraded", "noisy", "--device", "cpu")
    assert ran.code == 0
    start, _, rest = ran.out.partition("restored 48.13 dB, SSIM ")  # 20 log10(255), off by 1 everywhere
    assert (start, ran.out.count("\n")) == ("clean, rgb, mean of 2: ", 1)
    assert "; input " in rest
    lines = [line.split() for line in ran.err.splitlines() if line.strip()]
    assert lines[0] == ["picture", "input", "dB", "SSIM", "restored", "dB", "SSIM"]
    assert [line[0] for line in lines[1:]] == ["a", "b", "mean"]
    assert [line[3] for line in lines[1:]] == ["48.13"] * 3


def test_eval_without_weights_scores_the_input(run: Run, inverted: None) -> None:
    ran = run("eval", "--clean", "clean", "--sigma", "15", "--weights", "none")
    assert ran.out.startswith("clean sigma 15, rgb, mean of 2: input 24.6")  # 20 log10(255 / 15) = 24.61
    assert "restored" not in ran.out + ran.err


def test_eval_of_clean_pictures_says_whether_they_are_left_alone(run: Run, inverted: None) -> None:
    ran = run("eval", "--clean", "clean", "--device", "cpu")
    assert ran.code == 0
    assert ran.out.startswith("clean, rgb, mean of 2: restored ") and "input" not in ran.out + ran.err
    ran = run("eval", "--clean", "clean", "--weights", "none")
    assert ran.code == 2 and "there is nothing to score" in ran.err


def test_eval_takes_a_set_by_name_and_notes_a_wrong_count(run: Run, inverted: None) -> None:
    Path("PolyU").mkdir()
    for name in ("clean", "noisy"):
        Path(name).rename(Path("PolyU") / name)
    ran = run("eval", "--dataset", "PolyU", "--root", "PolyU", "--weights", "none", "--protocol", "y")
    assert ran.code == 0 and ran.out.startswith("PolyU, y, mean of 2: input ")
    assert ran.err.startswith("note:  PolyU holds 2 pictures, PolyU has 45")


def test_eval_scores_in_the_precision_of_the_commands_and_says_which(
    run: Run, inverted: None, tiny_catalogue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_catalogue.write_text(tiny_catalogue.read_text() + "bfloat16_loss = 0.01\n")
    monkeypatch.setattr("restore.inference.restorer.has_native_bfloat16", lambda device: True)
    args = ("eval", "--clean", "clean", "--degraded", "noisy", "--device", "cpu", "--json", "s.json")
    assert run(*args).out.startswith("clean, rgb, bfloat16, mean of 2: ")
    assert json.loads(Path("s.json").read_text())["precision"] == "bfloat16"
    assert run(*args, "--precision", "float32").out.startswith("clean, rgb, mean of 2: ")
    assert json.loads(Path("s.json").read_text())["precision"] == "float32"
    ran = run(*args, "--precision", "half")
    assert ran.code == 2 and "no precision called 'half'" in ran.err


def test_eval_writes_json_in_which_infinity_is_null(run: Run, inverted: None, tiny_file: Path) -> None:
    write_picture(Picture(np.full((64, 64, 3), 255, np.uint8)), Path("clean/a.png"))
    write_picture(Picture(np.zeros((64, 64, 3), np.uint8)), Path("noisy/a.png"))
    assert run("eval", "--clean", "clean", "--degraded", "noisy", "--device", "cpu", "--json", "s.json").code == 0
    found = json.loads(Path("s.json").read_text(), parse_constant=pytest.fail)
    sha256 = checkpoints.resolve("tiny-denoise").sha256
    assert found["weights"] == {"name": "tiny-denoise", "path": str(tiny_file), "sha256": sha256}
    assert (found["set"], found["task"], found["protocol"], found["tile"]) == ("clean", "denoise", "rgb", "none")
    assert found["device"] == "cpu" and found["versions"]["restore"] == restore.__version__
    first, second = found["pictures"]
    assert (first["name"], first["input_psnr"], first["psnr"]) == ("a", 0, None)
    assert second["psnr"] == pytest.approx(48.13, abs=0.01)
    assert found["mean"]["psnr"] is None and found["mean"]["input_psnr"] == second["input_psnr"] / 2


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        ((), 2, "error: name what to score"),
        (("--dataset", "PolyU"), 2, "error: name what to score"),
        (("--clean", "clean", "--root", "clean"), 2, "error: name what to score"),
        (("--clean", "clean", "--dataset", "PolyU", "--root", "x"), 2, "error: name what to score"),
        (("--dataset", "Polyu", "--root", "x"), 2, "hint:  did you mean 'PolyU'?"),
        (("--degraded", "noisy"), 2, "error: --degraded needs --clean"),
        (("--clean", "clean", "--degraded", "noisy", "--sigma", "5"), 2, "error: --sigma degrades clean pictures"),
        (("--clean", "clean", "--rounded"), 2, "error: --rounded is about the noise of --sigma"),
        (("--clean", "clean", "--sigma", "300"), 2, "--sigma"),
        (("--clean", "clean", "--protocol", "Y"), 2, "error: there is no protocol called 'Y'"),
        (("--clean", "clean", "--device", "gpu"), 2, "error: there is no device called 'gpu'"),
        (("--clean", "clean", "--json", "gone/s.json"), 2, "error: cannot write gone/s.json"),
        (("--clean", "clean", "--csv", "gone/s.csv"), 2, "error: cannot write gone/s.csv"),
        (("--clean", "clean", "--sigma", "5", "--scale", "2"), 2, "error: --sigma, --jpeg-quality and --scale exclude"),
        (("--clean", "clean", "--sigma", "5", "--task", "upscale"), 2, "error: --sigma is for --task denoise, not up"),
        (("--clean", "clean", "--task", "denose"), 2, "error: there is no task called 'denose'"),
        (("--clean", "clean", "--task", "dejpeg"), 2, "hint:  give --jpeg-quality"),
        (("--clean", "clean", "--degradation", "mosiac"), 2, "hint:  did you mean 'mosaic'?"),
        (("--clean", "clean", "--tile", "x"), 2, "error: --tile is auto or a number of pixels, not 'x'"),
        (("--clean", "clean", "--restored", "noisy", "--weights", "none"), 2, "error: --restored scores what is there"),
        (("--clean", "clean", "--restored", "noisy", "--self-ensemble"), 2, "error: --self-ensemble is about weights"),
        (("--clean", "clean", "--sigma", "5", "--weights", "none", "--self-ensemble"), 2, "error: --self-ensemble is"),
        (("--clean", "clean", "--submission", "s.csv"), 2, "error: --submission is for --dataset SIDD"),
        (("--clean", "gone"), 1, "error: gone is not a folder"),
        (
            ("--dataset", "PolyU", "--root", "noisy"),
            1,
            "error: noisy holds no test pictures of PolyU in a known layout",
        ),
        (("--clean", "clean", "--weights", "tiny-denose"), 1, "hint:  did you mean 'tiny-denoise'?"),
    ],
)
def test_scoring_that_cannot_be_is_refused_with_a_reason(
    run: Run, inverted: None, args: tuple[str, ...], code: int, message: str
) -> None:
    ran = run("eval", *args)
    assert (ran.code, ran.out) == (code, "")
    assert message in ran.err


def test_a_picture_without_its_partner_is_an_error(run: Run, inverted: None) -> None:
    Path("noisy/b.png").unlink()
    ran = run("eval", "--clean", "clean", "--degraded", "noisy", "--weights", "none")
    assert (ran.code, ran.out) == (1, "")
    assert "error: 1 pictures cannot be paired, first: clean/b.png has no degraded partner" in ran.err
    assert "hint:  `restore data check --clean clean --degraded noisy` lists them" in ran.err


def test_eval_scores_what_another_tool_restored_by_the_same_code(run: Run, inverted: None) -> None:
    for name in ("a", "b"):
        pixels = read_picture(Path(f"clean/{name}.png")).pixels
        Path("theirs").mkdir(exist_ok=True)
        write_picture(Picture(pixels + 2), Path(f"theirs/{name}.bmp"))
    ran = run("eval", "--clean", "clean", "--restored", "theirs")
    assert ran.code == 0
    assert ran.out.startswith("clean, rgb, mean of 2: restored 42.11 dB, SSIM ")  # 20 log10(255 / 2)
    assert "input" not in ran.out + ran.err
    ran = run("eval", "--clean", "clean", "--degraded", "noisy", "--restored", "theirs", "--json", "s.json")
    assert "restored 42.11 dB" in ran.out and "; input " in ran.out
    found = json.loads(Path("s.json").read_text())
    assert (found["weights"], found["device"], found["restored_by_another_tool"]) == (None, None, "theirs")


def test_a_restored_picture_that_is_missing_or_of_another_size_is_named(run: Run, inverted: None) -> None:
    save("theirs/a.png", side=32)
    ran = run("eval", "--clean", "clean", "--restored", "theirs")
    assert ran.code == 1 and "error: theirs holds no restored 'b'" in ran.err
    save("theirs/b.png")
    ran = run("eval", "--clean", "clean", "--restored", "theirs")
    assert ran.code == 1 and "error: 'a' is 64x64 clean and 32x32 restored" in ran.err


@pytest.mark.parametrize(
    ("args", "start"),
    [
        (("--jpeg-quality", "10"), "clean jpeg 10, rgb, mean of 2: input "),
        (("--jpeg-quality", "10", "--degradation", "jpeg-luma"), "clean jpeg-luma 10, luma, mean of 2: input "),
        (("--task", "demosaic"), "clean mosaic, rgb, mean of 2: input "),
        (("--task", "derain"), "clean rain, y, mean of 2: input "),
        (("--task", "deblur"), "clean motion-blur, rgb, mean of 2: input "),
        (("--task", "deblur", "--degradation", "defocus"), "clean defocus, rgb, mean of 2: input "),
        (("--scale", "3"), "clean bicubic 3, y-border, mean of 2: input "),
        (("--sigma", "15", "--rounded"), "clean sigma 15 rounded, rgb, mean of 2: input "),
        (("--sigma", "15", "--protocol", "y-float"), "clean sigma 15, y-float, mean of 2: input "),
    ],
)
def test_clean_pictures_are_degraded_as_the_task_asks(
    run: Run, inverted: None, args: tuple[str, ...], start: str
) -> None:
    ran = run("eval", "--clean", "clean", *args, "--weights", "none")
    assert (ran.code, ran.out[: len(start)]) == (0, start)


def test_the_same_degradation_is_scored_twice_alike(run: Run, inverted: None) -> None:
    for args in (("--sigma", "25"), ("--jpeg-quality", "10")):
        first, second = (run("eval", "--clean", "clean", *args, "--weights", "none").out for _ in range(2))
        assert first == second


def test_weights_that_enlarge_too_little_are_an_error(run: Run, inverted: None) -> None:
    ran = run("eval", "--clean", "clean", "--scale", "2", "--weights", "tiny-denoise", "--device", "cpu")
    assert ran.code == 1 and "error: 'a' is 64x64 clean and 32x32 restored" in ran.err


def test_tiles_are_part_of_the_result(run: Run, inverted: None) -> None:
    args = ("--clean", "clean", "--degraded", "noisy", "--device", "cpu", "--json", "s.json", "--tile", "64")
    ran = run("eval", *args)
    assert ran.out.startswith("clean, rgb, tile 64, mean of 2: restored 48.13 dB")
    found = json.loads(Path("s.json").read_text())
    assert (found["tile"], found["overlap"]) == ("64", 32)


def test_tiles_change_nothing_for_a_network_that_sees_one_pixel(run: Run) -> None:
    save("clean/a.png", side=150)
    whole, tiled = (
        run("eval", "--clean", "clean", "--sigma", "30", "--device", "cpu", "--tile", tile).out.partition("mean")[2]
        for tile in ("none", "64")
    )
    assert whole and whole == tiled


def test_the_table_is_written_as_csv(run: Run, inverted: None) -> None:
    run("eval", "--clean", "clean", "--degraded", "noisy", "--device", "cpu", "--csv", "s.csv")
    rows = list(csv.DictReader(Path("s.csv").read_text().splitlines()))
    assert [row["picture"] for row in rows] == ["a", "b", "mean"]
    assert [float(row["psnr"]) for row in rows] == pytest.approx([48.1308] * 3, abs=1e-3)


def test_restored_pictures_are_saved(run: Run, inverted: None) -> None:
    run("eval", "--clean", "clean", "--degraded", "noisy", "--device", "cpu", "--save-images", "out/here")
    for name in ("a", "b"):
        restored, clean = (read_picture(Path(f"{folder}/{name}.png")).pixels for folder in ("out/here", "clean"))
        assert np.array_equal(restored, clean + 1)


def test_the_papers_figures_stand_beside_the_score_where_it_is_made_as_theirs(run: Run) -> None:
    save("LIVE1/a.png")
    args = ("eval", "--dataset", "LIVE1", "--root", "LIVE1", "--weights", "none", "--jpeg-quality", "10")
    ran = run(*args, "--json", "s.json")
    assert ran.out.startswith("LIVE1 jpeg-luma 10, luma, mean of 1: ")
    lines = [line.split() for line in ran.err.splitlines()]
    assert ["panet", "29.69", "0.8250", "PANet,", "table", "3"] in lines
    assert json.loads(Path("s.json").read_text())["published"][1]["psnr"] == 29.69
    for other in (("--degradation", "jpeg"), ("--protocol", "y")):
        assert "published" not in run(*args, *other).err


def test_a_set_with_two_sides_is_scored_as_its_papers_do(run: Run) -> None:
    for name in ("target/1", "input/1"):
        save(f"Datasets/test/DID-Data/{name}.png", seed=len(name))
    ran = run("eval", "--dataset", "DID-Data", "--root", ".", "--weights", "none")
    assert ran.out.startswith("DID-Data, y-float, mean of 1: input ")
    assert "drsformer  35.35  0.9646  DRSformer, table 1" in ran.err


def test_help_names_the_command_that_lists_the_sets(run: Run) -> None:
    assert "`restore data list`" in run("eval", "--help").out


# restore data


def test_data_list_has_a_line_for_every_set(run: Run) -> None:
    names = [line.split()[0] for line in run("data", "list").out.splitlines()]
    assert names == ["NAME", *datasets()]


@pytest.mark.parametrize("name", datasets())
def test_data_show_tells_source_terms_layout_and_scores(run: Run, name: str) -> None:
    ran = run("data", "show", name)
    assert ran.code == 0
    for label in ("paper:", "source:", "licence:", "used in:"):
        assert label in ran.out
    for split in datasets()[name].splits.values():
        assert all(str(layout) in ran.out for layout in split.layouts)
    for row in published():
        if row.set == name:
            assert str(row.psnr) in ran.out


def test_data_check_names_every_fault_and_fails(run: Run, inverted: None) -> None:
    ran = run("data", "check", "--clean", "clean", "--degraded", "noisy")
    assert (ran.code, ran.out) == (0, "clean: 2 pairs, all whole; clean and noisy\n")
    save("clean/c.png")
    Path("noisy/a.png").write_bytes(Path("noisy/a.png").read_bytes()[:2000])
    save("noisy/b.png", side=32)
    ran = run("data", "check", "--clean", "clean", "--degraded", "noisy")
    lines = ran.out.splitlines()
    assert ran.code == 1 and "error: 3 faults in clean" in ran.err
    assert lines[0] == "clean: clean/c.png has no degraded partner"
    assert "noisy/a.png" in lines[1]
    assert lines[2] == "clean: b: 64x64 clean and 32x32 degraded"
    assert lines[3].startswith("clean: 2 pairs, 3 faults")


def test_data_check_of_a_named_set_looks_at_each_part(run: Run) -> None:
    for index in range(3):
        for side in ("input", "target"):
            save(f"rain/test/Rain200L/{side}/{index}.png", side=16)
    ran = run("data", "check", "Rain200L", "--root", "rain")
    assert ran.code == 1
    assert ran.out.startswith("Rain200L test: 3 pictures instead of 200\nRain200L test: 3 pairs, 1 fault; ")
    assert "Rain200L train: not there" in ran.err and "error: 1 fault in rain" in ran.err


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("show", "Rain100"), 2, "hint:  did you mean 'Rain100L'?"),
        (("check",), 2, "error: name what to check"),
        (("check", "PolyU"), 2, "error: name what to check"),
        (("check", "PolyU", "--root", "gone"), 1, "error: gone is not a folder"),
        (("check", "PolyU", "--root", "."), 1, "hint:  expected noisy/* + clean/*"),
        (("check", "Rain200H", "--root", "."), 1, "error: . holds no part of Rain200H in a known layout"),
        (("check", "Rain200H", "--root", ".", "--split", "val"), 1, "error: Rain200H has no split called 'val'"),
        (("check", "--clean", "gone"), 1, "error: gone is not a folder"),
        (("check", "--clean", "."), 1, "error: no pictures in ."),
    ],
)
def test_data_that_cannot_be_checked_is_refused_with_a_reason(
    run: Run, args: tuple[str, ...], code: int, message: str
) -> None:
    ran = run("data", *args)
    assert (ran.code, ran.out) == (code, "")
    assert message in ran.err


def test_every_protocol_can_be_named(run: Run) -> None:
    save("clean/a.png", side=256)
    for name in PROTOCOLS:
        ran = run("eval", "--clean", "clean", "--sigma", "20", "--weights", "none", "--protocol", name)
        assert ran.out.startswith(f"clean sigma 20, {name}, mean of 1: input ")


def test_data_list_show_and_check_do_not_import_torch(tmp_path: Path) -> None:
    code = """
import sys
from restore.cli.app import main
for command in ("data list", "data show SIDD", "data check PolyU --root .", "eval --dataset Set5 --root ."):
    sys.argv = ["restore", *command.split()]
    try:
        main()
    except SystemExit:
        pass
    assert "torch" not in sys.modules, command
"""
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr.count("error:")) == (0, 2)


def test_float_pictures_are_scored(run: Run) -> None:
    levels = np.random.default_rng(0).random((20, 20, 3)).astype(np.float32)
    for name, offset in (("clean", 0), ("noisy", 3 / 255)):
        Path(name).mkdir()
        write_picture(Picture(np.round(levels * 200 + 20) / np.float32(255) + np.float32(offset)), Path(name, "a.tif"))
    ran = run("eval", "--clean", "clean", "--degraded", "noisy", "--weights", "none")
    assert ran.out.startswith("clean, rgb, mean of 1: input 38.59 dB")  # 20 log10(255 / 3)

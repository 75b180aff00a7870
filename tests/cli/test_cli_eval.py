from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from conftest import Run, save

import restore
from restore import checkpoints
from restore.images import Picture, read_picture, write_picture

pytestmark = pytest.mark.usefixtures("tiny_catalogue")


def test_eval_prints_the_mean_on_stdout_and_the_table_on_stderr(run: Run, inverted_pairs: None) -> None:
    ran = run("eval", "--clean", "clean", "--degraded", "noisy", "--device", "cpu")
    assert ran.code == 0
    start, _, rest = ran.out.partition("restored 48.13 dB, SSIM ")  # 20 log10(255), off by 1 everywhere
    assert (start, ran.out.count("\n")) == ("clean, rgb, mean of 2: ", 1)
    assert "; input " in rest
    lines = [line.split() for line in ran.err.splitlines() if line.strip()]
    assert lines[0] == ["picture", "input", "dB", "SSIM", "restored", "dB", "SSIM"]
    assert [line[0] for line in lines[1:]] == ["a", "b", "mean"]
    assert [line[3] for line in lines[1:]] == ["48.13"] * 3


def test_eval_without_weights_scores_the_input(run: Run, inverted_pairs: None) -> None:
    ran = run("eval", "--clean", "clean", "--sigma", "15", "--weights", "none")
    assert ran.out.startswith("clean sigma 15, rgb, mean of 2: input 24.6")  # 20 log10(255 / 15) = 24.61
    assert "restored" not in ran.out + ran.err


def test_eval_of_clean_pictures_says_whether_they_are_left_alone(run: Run, inverted_pairs: None) -> None:
    ran = run("eval", "--clean", "clean", "--device", "cpu")
    assert ran.code == 0
    assert ran.out.startswith("clean, rgb, mean of 2: restored ") and "input" not in ran.out + ran.err
    ran = run("eval", "--clean", "clean", "--weights", "none")
    assert ran.code == 2 and "there is nothing to score" in ran.err


def test_eval_takes_a_set_by_name_and_notes_a_wrong_count(run: Run, inverted_pairs: None) -> None:
    Path("PolyU").mkdir()
    for name in ("clean", "noisy"):
        Path(name).rename(Path("PolyU") / name)
    ran = run("eval", "--dataset", "PolyU", "--root", "PolyU", "--weights", "none", "--protocol", "y")
    assert ran.code == 0 and ran.out.startswith("PolyU, y, mean of 2: input ")
    assert ran.err.startswith("note:  PolyU holds 2 pictures, not 45")


def test_eval_scores_in_the_precision_of_the_commands_and_says_which(
    run: Run, inverted_pairs: None, tiny_catalogue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_catalogue.write_text(tiny_catalogue.read_text() + "bfloat16_loss = 0.01\n")
    monkeypatch.setattr("restore.inference.restorer.has_native_bfloat16", lambda device: True)
    args = ("eval", "--clean", "clean", "--degraded", "noisy", "--device", "cpu", "--json", "s.json")
    assert run(*args).out.startswith("clean, rgb, bfloat16, mean of 2: ")
    assert json.loads(Path("s.json").read_text())["precision"] == "bfloat16"
    assert run(*args, "--precision", "float32").out.startswith("clean, rgb, mean of 2: ")
    assert json.loads(Path("s.json").read_text())["precision"] == "float32"
    ran = run(*args, "--precision", "half")
    assert ran.code == 2 and "unknown precision 'half'" in ran.err


def test_eval_writes_json_in_which_infinity_is_null(run: Run, inverted_pairs: None, tiny_file: Path) -> None:
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
    assert (
        found["mean"]["psnr"] == second["psnr"]
        and found["infinite"] == {"psnr": 1}
        and found["mean"]["input_psnr"] == second["input_psnr"] / 2
    )


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        ((), 2, "error: name the pictures to score"),
        (("--clean", "gone"), 1, "error: gone is not a folder"),
        (("--clean", "clean", "--sigma", "300"), 2, "error: --sigma is a number from 0 to 255, not "),
        (("--clean", "clean", "--device", "gpu"), 2, "error: unknown device 'gpu'"),
        (("--clean", "clean", "--json", "gone/s.json"), 2, "error: cannot write gone/s.json"),
        (("--clean", "clean", "--csv", "gone/s.csv"), 2, "error: cannot write gone/s.csv"),
        (("--clean", "clean", "--submission", "gone/s.csv"), 2, "error: cannot write gone/s.csv"),
        (("--clean", "clean", "--tile", "x"), 2, "error: --tile is auto or a number of pixels, not 'x'"),
        (("--clean", "clean", "--restored", "noisy", "--weights", "none"), 2, "error: --restored scores existing"),
        (("--clean", "clean", "--restored", "noisy", "--self-ensemble"), 2, "error: --self-ensemble needs weights"),
        (("--clean", "clean", "--sigma", "5", "--weights", "none", "--self-ensemble"), 2, "error: --self-ensemble"),
        (("--clean", "clean", "--weights", "none", "--submission", "s"), 2, "error: --submission needs weights"),
        (("--clean", "clean", "--weights", "tiny-denose"), 1, "hint:  did you mean 'tiny-denoise'?"),
    ],
)
def test_scoring_that_cannot_be_is_refused_with_a_reason(
    run: Run, inverted_pairs: None, args: tuple[str, ...], code: int, message: str
) -> None:
    ran = run("eval", *args)
    assert (ran.code, ran.out) == (code, "")
    assert message in ran.err


def test_eval_scores_what_another_tool_restored_by_the_same_code(run: Run, inverted_pairs: None) -> None:
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


def test_a_restored_picture_that_is_missing_or_of_another_size_is_named(run: Run, inverted_pairs: None) -> None:
    save("theirs/a.png", side=32)
    ran = run("eval", "--clean", "clean", "--restored", "theirs")
    assert ran.code == 1 and "error: theirs holds no restored 'b'" in ran.err
    save("theirs/b.png")
    ran = run("eval", "--clean", "clean", "--restored", "theirs")
    assert ran.code == 1 and "error: 'a' is 64x64 clean and 32x32 restored" in ran.err


def test_weights_that_enlarge_too_little_are_an_error(run: Run, inverted_pairs: None) -> None:
    ran = run("eval", "--clean", "clean", "--scale", "2", "--weights", "tiny-denoise", "--device", "cpu")
    assert ran.code == 1 and "error: 'a' is 64x64 clean and 32x32 restored" in ran.err


def test_tiles_are_part_of_the_result(run: Run, inverted_pairs: None) -> None:
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


def test_the_table_is_written_as_csv(run: Run, inverted_pairs: None) -> None:
    run("eval", "--clean", "clean", "--degraded", "noisy", "--device", "cpu", "--csv", "s.csv")
    rows = list(csv.DictReader(Path("s.csv").read_text().splitlines()))
    assert [row["picture"] for row in rows] == ["a", "b", "mean"]
    assert [float(row["psnr"]) for row in rows] == pytest.approx([48.1308] * 3, abs=1e-3)


def test_restored_pictures_are_saved(run: Run, inverted_pairs: None) -> None:
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


def test_help_names_the_command_that_lists_the_sets(run: Run) -> None:
    assert "`restore data list`" in run("eval", "--help").out


def test_float_pictures_are_scored(run: Run) -> None:
    levels = np.random.default_rng(0).random((20, 20, 3)).astype(np.float32)
    for name, offset in (("clean", 0), ("noisy", 3 / 255)):
        Path(name).mkdir()
        write_picture(Picture(np.round(levels * 200 + 20) / np.float32(255) + np.float32(offset)), Path(name, "a.tif"))
    ran = run("eval", "--clean", "clean", "--degraded", "noisy", "--weights", "none")
    assert ran.out.startswith("clean, rgb, mean of 1: input 38.59 dB")  # 20 log10(255 / 3)

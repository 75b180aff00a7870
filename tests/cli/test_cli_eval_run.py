"""Runs of `restore eval` that go wrong, go on, share their pictures, or compare several weights."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch
from conftest import Run, save

from restore import checkpoints
from restore.evaluation.scoring import score_of
from restore.images import Picture, read_picture, write_picture
from restore.networks import Network

pytestmark = pytest.mark.usefixtures("tiny_catalogue")

PAIRS = ("eval", "--clean", "clean", "--degraded", "noisy", "--device", "cpu")


@pytest.fixture
def four(run: Run, inverted_pairs: None) -> None:
    """Two more pairs: `c` and `d`, which is larger."""
    for name, side in (("c", 64), ("d", 80)):
        pixels = save(f"clean/{name}.png", seed=ord(name), side=side)
        write_picture(Picture(254 - pixels), Path(f"noisy/{name}.png"))


@pytest.fixture
def other(tiny: type[Network]) -> str:
    """Weights whose results are off by two grey levels: 42.11 dB, 6.02 less than the default ones."""
    return weights_off_by(tiny, 2)


def weights_off_by(tiny: type[Network], levels: int) -> str:
    """Weights whose results are off by some grey levels."""
    network = tiny()
    network.offset = torch.nn.Parameter(torch.full((1, 3, 1, 1), (254 + levels) / 255))
    path = Path(f"off{levels}.safetensors")
    checkpoints.save(path, network, "tiny", {"task": "denoise"})
    return str(path)


def cut(path: str) -> None:
    Path(path).write_bytes(Path(path).read_bytes()[:200])


def scores_in(path: str) -> dict[str, Any]:
    """The result without times."""
    found = json.loads(Path(path).read_text(), parse_constant=pytest.fail)
    found.pop("seconds_per_megapixel")
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("side", ["clean", "noisy"])
def test_a_broken_file_costs_its_score_only(run: Run, four: None, side: str) -> None:
    cut(f"{side}/b.png")
    ran = run(*PAIRS, "--json", "s.json")
    assert ran.code == 1
    assert ran.out.startswith("clean, rgb, mean of 3: restored 48.13 dB") and ran.out.count("\n") == 1
    assert ran.out.endswith("; 1 of 4 could not be scored\n")
    assert f"error: cannot read {side}/b.png: " in ran.err
    assert "1 of 4 pictures could not be scored" in ran.err.splitlines()[-1]
    found = scores_in("s.json")
    assert [each["name"] for each in found["pictures"]] == ["a", "c", "d"]
    assert [each["name"] for each in found["failed"]] == ["b"] and "b.png" in found["failed"][0]["error"]
    assert not list(Path().glob("*.part"))


def test_a_pair_of_two_sizes_and_a_tiny_picture_cost_their_scores_only(run: Run, four: None) -> None:
    save("noisy/a.png", side=32)
    for folder in ("clean", "noisy"):
        save(f"{folder}/b.png", side=8)
    ran = run(*PAIRS)
    assert ran.code == 1 and "mean of 2: restored 48.13 dB" in ran.out
    assert "error: 'a' is 64x64 clean and 32x32 degraded" in ran.err and "'b' is smaller than the window" in ran.err


def test_if_no_picture_can_be_scored_there_is_no_result(run: Run, inverted_pairs: None) -> None:
    for name in ("a", "b"):
        cut(f"clean/{name}.png")
    ran = run(*PAIRS, "--json", "s.json")
    assert (ran.code, ran.out) == (1, "") and "error: no picture could be scored" in ran.err
    assert not Path("s.json").exists()


def stop_at(monkeypatch: pytest.MonkeyPatch, number: int) -> list[str]:
    """Ctrl-C while picture `number` (from 0) is compared; the pictures that were."""
    compared: list[str] = []

    def score(pair: Any, *args: Any, **options: Any) -> Any:
        if len(compared) == number:
            raise KeyboardInterrupt
        compared.append(pair.name)
        return score_of(pair, *args, **options)

    monkeypatch.setattr("restore.evaluation.candidates.score_of", score)
    return compared


def test_a_run_that_is_stopped_keeps_its_scores_and_resume_goes_on_with_them(
    run: Run, four: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(*PAIRS, "--json", "whole.json").code == 0
    with monkeypatch.context() as patch:
        stop_at(patch, 2)
        ran = run(*PAIRS, "--json", "s.json")
    assert ran.code == 130 and "s.json.part holds the scores so far; the same command with --resume" in ran.err
    assert [line.split()[0] for line in ran.err.splitlines()[1:3]] == ["a", "b"]  # shown as they came
    before = Path("s.json.part").read_bytes()
    Path("s.json.part").write_bytes(before + b'{"number": 2, "sco')  # killed while it wrote
    ran = run(*PAIRS, "--json", "s.json")
    assert ran.code == 2 and "holds the scores of a run that did not end" in ran.err and "--resume" in ran.err
    ran = run(*PAIRS, "--json", "s.json", "--resume", "--protocol", "y")
    assert ran.code == 2 and "scores of other pictures, weights or options" in ran.err
    with monkeypatch.context() as patch:
        compared = stop_at(patch, 9)
        assert run(*PAIRS, "--json", "s.json", "--resume").code == 0
    assert compared == ["c", "d"]
    assert scores_in("s.json") == scores_in("whole.json")
    assert not Path("s.json.part").exists()


def test_processes_that_cannot_connect_write_parts_which_one_puts_together(
    run: Run, four: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(*PAIRS, "--json", "whole.json").code == 0
    for index in range(3):
        with monkeypatch.context() as patch:
            patch.setenv("RANK", str(index))
            patch.setenv("WORLD_SIZE", "3")
            patch.delenv("MASTER_ADDR", raising=False)
            refused = run(*PAIRS)
            assert refused.code == 2 and "--json FILE" in refused.err
            ran = run(*PAIRS, "--json", "s.json")
        assert (ran.code, ran.out) == (0, "") and f"s.rank{index}.json.part has the scores of this process" in ran.err
    assert not Path("s.json").exists()
    ran = run(*PAIRS, "--json", "s.json", "--resume")
    assert ran.code == 0 and "mean of 4: restored 48.13 dB" in ran.out
    assert scores_in("s.json") == scores_in("whole.json")
    assert not list(Path().glob("*.part"))


def test_resuming_needs_a_file(run: Run, inverted_pairs: None) -> None:
    assert "add --json FILE" in run(*PAIRS, "--resume").err


def test_several_weights_are_compared_in_one_table(run: Run, four: None, other: str) -> None:
    ran = run(*PAIRS, "--weights", f"tiny-denoise,{other}", "--json", "s.json", "--csv", "s.csv")
    assert ran.code == 0, ran.err
    title, head, *rows = ran.out.splitlines()
    assert title == "clean, rgb, mean of 4:"
    assert head.split() == ["weights", "dB", "95", "%", "gain", "95", "%", "SSIM", "s/MP"]
    first, second, before = (row.split() for row in rows)
    assert first[:5] == ["tiny-denoise", "48.13", "48.13", "to", "48.13"]
    assert second[:9] == ["off2", "42.11", "42.11", "to", "42.11", "-6.02", "-6.02", "to", "-6.02"]
    assert before[0] == "input" and float(first[-1]) > 0 and float(second[-1]) > 0
    assert ran.err.splitlines()[0].split() == ["picture", "input", "dB", "tiny-denoise", "off2"]
    found = json.loads(Path("s.json").read_text(), parse_constant=pytest.fail)
    ours, theirs = found["compared"]
    assert theirs["gain"]["psnr"]["mean"] == pytest.approx(-6.0206, abs=1e-4)
    assert [each["name"] for each in ours["pictures"]] == ["a", "b", "c", "d"]
    assert ours["weights"]["sha256"] != theirs["weights"]["sha256"] and ours["seconds_per_megapixel"] > 0
    table = list(csv.DictReader(Path("s.csv").read_text().splitlines()))
    assert [(row["weights"], row["picture"]) for row in table][4:6] == [("tiny-denoise", "mean"), ("off2", "a")]


def test_equal_pictures_are_counted_and_left_out_of_a_comparison(
    run: Run, inverted_pairs: None, tiny: type[Network]
) -> None:
    exact = weights_off_by(tiny, 0)
    ran = run(*PAIRS, "--weights", f"tiny-denoise,{exact}", "--json", "s.json")
    assert ran.code == 0 and "note:  off0: 2 of 2 equal the clean picture and are left out" in ran.err
    found = json.loads(Path("s.json").read_text(), parse_constant=pytest.fail)["compared"][1]
    assert (found["mean"]["psnr"], found["infinite"], found["gain"]["psnr"]["mean"]) == (None, {"psnr": 2}, None)


def test_all_weights_of_a_comparison_are_scored_on_the_same_pictures(
    run: Run, four: None, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut("noisy/c.png")
    ran = run(*PAIRS, "--weights", f"{other},tiny-denoise", "--save-images", "out")
    assert ran.code == 1 and ran.out.startswith("clean, rgb, mean of 3 of 4:")
    for label, off in (("off2", 2), ("tiny-denoise", 1)):
        assert (read_picture(Path(f"out/{label}/a.png")).pixels == read_picture(Path("clean/a.png")).pixels + off).all()
        assert not Path(f"out/{label}/c.png").exists()


def test_weights_of_one_name_get_labels_of_their_own_and_a_comma_may_be_part_of_a_name(
    run: Run, inverted_pairs: None, other: str
) -> None:
    for copy in ("x/off2.safetensors", "a,b.safetensors"):
        Path(copy).parent.mkdir(exist_ok=True)
        shutil.copy(other, copy)
    assert [row.split()[0] for row in run(*PAIRS, "--weights", f"{other},x/off2.safetensors").out.splitlines()[2:]] == [
        "off2", "off2-2", "input",
    ]  # fmt: skip
    assert "mean of 2: restored 42.11 dB" in run(*PAIRS, "--weights", "a,b.safetensors").out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--weights", "tiny-denoise,none"), "--weights is a name, several with commas between them, or none"),
        (("--weights", "tiny-denoise,"), "--weights is a name"),
        (("--weights", "none", "--plot", "p.svg"), "--plot shows how long weights take"),
        (("--plot", "p.pdf"), "--plot writes .svg or .png, not 'p.pdf'"),
        (("--plot", "gone/p.svg"), "cannot write gone/p.svg"),
        (("--suffix", "_x"), "--suffix is what another tool adds to names"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    run: Run, inverted_pairs: None, more: tuple[str, ...], message: str
) -> None:
    ran = run(*PAIRS, *more)
    assert (ran.code, ran.out) == (2, "") and message in ran.err


def test_a_plot_has_a_point_for_each_weights(run: Run, four: None, other: str) -> None:
    for name in ("p.svg", "p.PNG"):
        assert run(*PAIRS, "--weights", f"tiny-denoise,{other}", "--plot", name).code == 0
    chart = ElementTree.fromstring(Path("p.svg").read_text())
    words = [text.text for text in chart.iter("{http://www.w3.org/2000/svg}text")]
    assert {"tiny-denoise", "off2", "input", "clean, rgb, mean of 4"} <= set(words)
    assert len(list(chart.iter("{http://www.w3.org/2000/svg}circle"))) == 2
    assert read_picture(Path("p.PNG")).pixels.shape == (840, 1280, 3)


def test_names_that_another_tool_has_lengthened_are_scored(run: Run, inverted_pairs: None) -> None:
    for name in ("a", "b"):
        pixels = read_picture(Path(f"clean/{name}.png")).pixels
        Path("theirs").mkdir(exist_ok=True)
        write_picture(Picture(pixels + 2), Path(f"theirs/{name}_SwinIR.png"))
        write_picture(Picture(pixels + 1), Path(f"theirs/{name}_EDSR.png"))
    ran = run("eval", "--clean", "clean", "--restored", "theirs")
    assert ran.code == 1 and "theirs holds several pictures for 'a': a_EDSR, a_SwinIR" in ran.err
    ran = run("eval", "--clean", "clean", "--restored", "theirs", "--suffix", "_SwinIR")
    assert ran.out.startswith("clean, rgb, mean of 2: restored 42.11 dB")
    for name in ("a", "b"):
        Path(f"theirs/{name}_EDSR.png").unlink()
    assert run("eval", "--clean", "clean", "--restored", "theirs").out == ran.out

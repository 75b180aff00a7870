from __future__ import annotations

import csv
import dataclasses
import json
import math
from pathlib import Path

import pytest

import restore
from restore.datasets.found import Found, Item
from restore.datasets.registry import Layout
from restore.evaluation.plan import Plan
from restore.evaluation.published import published_for
from restore.evaluation.report import Report, Restoration
from restore.evaluation.scoring import PictureScore, Scores

SCORES = Scores("luma", (PictureScore("a", 20, 0.5, math.inf, 1), PictureScore("b", 22, 0.7, 30, 0.9)))
WEIGHTS = {"name": "tiny", "path": "tiny.safetensors", "sha256": "0" * 64}
BY_WEIGHTS = Restoration(weights=WEIGHTS, device="cpu", precision="float32")


def report(restored: Restoration, *, degraded: Path | None = Path("noisy/a.png")) -> Report:
    found = Found(Layout("own", "*"), Path("photos"), (Item("a", Path("photos/a.png"), degraded),))
    figures = tuple(published_for("LIVE1", "dejpeg", 10))
    return Report(Plan("LIVE1", found, "dejpeg", None, 10, None, "luma", figures), restored, SCORES)


def test_the_line_names_the_set_the_protocol_and_the_means() -> None:
    equal = "(1 of 2 equal the clean picture and are left out)"
    means = f"mean of 2: restored 30.00 dB {equal}, SSIM 0.9500; input 21.00 dB, SSIM 0.6000"
    assert report(BY_WEIGHTS).line() == f"LIVE1, luma, {means}"
    how = dataclasses.replace(BY_WEIGHTS, tile="64", overlap=32, self_ensemble=True, precision="bfloat16")
    assert report(how).line() == f"LIVE1, luma, tile 64, self-ensemble, bfloat16, {means}"


def test_scores_that_say_nothing_are_left_out() -> None:
    assert report(Restoration()).fields == ["input_psnr", "input_ssim"]
    assert report(BY_WEIGHTS, degraded=None).fields == ["psnr", "ssim"]
    assert report(Restoration(restored_by_another_tool="theirs")).fields == ["input_psnr", "input_ssim", "psnr", "ssim"]
    assert "restored" not in report(Restoration()).line()
    assert "input" not in report(BY_WEIGHTS, degraded=None).line()


def test_json_tells_how_the_scores_were_made_and_has_null_for_infinity() -> None:
    found = json.loads(report(BY_WEIGHTS).to_json(), parse_constant=pytest.fail)
    assert found["versions"]["restore"] == restore.__version__
    assert {"torch", "numpy", "opencv-python-headless"} < set(found["versions"])
    expected = {
        "set": "LIVE1", "task": "dejpeg", "degradation": None, "level": 10, "protocol": "luma", "tile": "none",
        "overlap": None, "self_ensemble": False, "weights": WEIGHTS, "device": "cpu", "precision": "float32",
        "restored_by_another_tool": None,
        "mean": {"input_psnr": 21, "input_ssim": pytest.approx(0.6), "psnr": 30, "ssim": pytest.approx(0.95)},
        "infinite": {"psnr": 1},
    }  # fmt: skip
    assert {key: found[key] for key in expected} == expected
    assert [(row["method"], row["psnr"]) for row in found["published"]] == [("input", 27.77), ("panet", 29.69)]
    assert found["pictures"][0] == {"name": "a", "input_psnr": 20, "input_ssim": 0.5, "psnr": None, "ssim": 1}


def test_csv_has_a_row_for_each_picture_and_one_for_the_mean() -> None:
    rows = list(csv.DictReader(report(BY_WEIGHTS).to_csv().splitlines()))
    assert [row["picture"] for row in rows] == ["a", "b", "mean", "infinite"]
    assert [float(row["input_psnr"]) for row in rows] == [20, 22, 21, 0]
    assert [float(row["psnr"]) for row in rows] == [math.inf, 30, 30, 1]


def test_a_mean_is_infinite_only_where_every_picture_equals_the_clean_one() -> None:
    perfect = Scores("rgb", (PictureScore("a", math.inf, 1, math.inf, 1),) * 2)
    of_perfect = dataclasses.replace(report(BY_WEIGHTS), scores=perfect)
    assert "mean of 2: restored inf dB, SSIM 1.0000" in of_perfect.line()
    found = json.loads(of_perfect.to_json(), parse_constant=pytest.fail)
    assert (found["mean"]["psnr"], found["infinite"]) == (None, {"input_psnr": 2, "psnr": 2})

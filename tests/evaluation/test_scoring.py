from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from restore.checkpoints.catalogue import load_catalogue
from restore.datasets.layouts import find
from restore.datasets.pairs import Pair, degrading
from restore.degradations import Image, imresize
from restore.errors import DataError
from restore.evaluation.metrics import psnr, ssim
from restore.evaluation.scoring import PictureScore, Scores, evaluate, restoring, score_of
from restore.images.luma import luma
from restore.inference.restorer import Restorer
from restore.inference.torch_engine import TorchEngine
from restore.networks import Network


def picture(seed: int, *, side: int = 20) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3)).astype(np.float32) / np.float32(255)


def pairs(count: int = 2) -> list[Pair]:
    return [Pair(f"p{i}", picture(i), picture(i + 10)) for i in range(count)]


def test_a_perfect_restoration_scores_infinity_and_1(tiny: type[Network]) -> None:
    clean = picture(0)
    (score,) = evaluate(Restorer(tiny(), device="cpu"), [Pair("a", clean, 1 - clean)]).pictures
    assert (score.name, score.psnr) == ("a", math.inf)
    assert score.ssim == pytest.approx(1)
    assert score.input_psnr < 20 and score.input_ssim < 0.5


def test_the_scores_are_those_of_the_metrics_on_8_bit_pictures(tiny: type[Network]) -> None:
    for score, pair in zip(evaluate(Restorer(tiny(), device="cpu"), pairs()).pictures, pairs(), strict=True):
        clean, before = np.round(pair.clean * 255), np.round(pair.degraded * 255)
        assert score.psnr == pytest.approx(psnr(255 - before, clean))
        assert score.ssim == pytest.approx(ssim(255 - before, clean))
        assert score.input_psnr == pytest.approx(psnr(before, clean))
        assert score.input_ssim == pytest.approx(ssim(before, clean))


def test_without_a_restorer_the_input_is_scored() -> None:
    for score in evaluate(None, pairs()).pictures:
        assert (score.psnr, score.ssim) == (score.input_psnr, score.input_ssim)


def test_what_leaves_the_range_is_clipped_and_rounded_before_it_is_scored() -> None:
    clean = np.ones((20, 20, 3), np.float32)
    (score,) = evaluate(None, [Pair("a", clean, clean + 3)]).pictures
    assert score.psnr == math.inf
    (score,) = evaluate(None, [Pair("a", clean, clean - np.float32(1.2 / 255))]).pictures
    assert score.psnr == pytest.approx(10 * math.log10(255**2))  # off by 1, not by 1.2


def test_the_y_protocol_compares_luma() -> None:
    (pair,) = pairs(1)
    (score,) = evaluate(None, [pair], protocol="y").pictures
    assert score.psnr == pytest.approx(psnr(luma(np.round(pair.degraded * 255)), luma(np.round(pair.clean * 255))))


def test_means_are_taken_over_the_pictures() -> None:
    scores = Scores("rgb", (PictureScore("a", 20, 0.5, 30, 0.7), PictureScore("b", 22, 0.7, 33, 0.9)))
    assert [scores.mean(f) for f in ("input_psnr", "input_ssim", "psnr", "ssim")] == pytest.approx([21, 0.6, 31.5, 0.8])


def test_ssim_can_be_left_out() -> None:
    (score,) = evaluate(None, [Pair("a", picture(0, side=5), picture(1, side=5))], with_ssim=False).pictures
    assert math.isnan(score.ssim) and math.isnan(score.input_ssim) and score.psnr > 0


def test_each_score_is_told_as_it_is_known() -> None:
    told: list[PictureScore] = []
    scores = evaluate(None, pairs(3), on_picture=told.append)
    assert tuple(told) == scores.pictures
    assert [score.name for score in told] == ["p0", "p1", "p2"]


def test_a_picture_too_small_for_ssim_is_named() -> None:
    with pytest.raises(DataError, match="'a' is smaller than the window of SSIM"):
        evaluate(None, [Pair("a", picture(0, side=10), picture(1, side=10))])


def test_nothing_to_score_is_an_error() -> None:
    with pytest.raises(DataError, match="no picture"):
        evaluate(None, [])


def test_a_smaller_input_is_enlarged_by_bicubic_interpolation_for_its_own_score() -> None:
    clean = np.full((24, 24, 3), 0.4, np.float32)
    (score,) = evaluate(None, [Pair("a", clean, clean[::2, ::2])], protocol="y-border").pictures
    assert score.input_psnr == math.inf  # a flat picture stays flat
    clean, small = imresize(picture(0, side=24), 1), picture(1, side=12)
    (score,) = evaluate(None, [Pair("a", clean, small)]).pictures
    levels = imresize(np.round(small * 255).astype(np.uint8), 2)
    assert score.psnr == pytest.approx(psnr(levels, np.round(clean * 255)))


def test_a_network_for_grey_is_given_one_channel_of_a_grey_picture(tiny: type[Network]) -> None:
    network = tiny()
    network.channels = 1
    network.offset = torch.nn.Parameter(torch.ones(1, 1, 1, 1))
    grey = np.repeat(picture(0)[..., :1], 3, axis=2)
    (score,) = evaluate(Restorer(network, device="cpu"), [Pair("a", grey, 1 - grey)], protocol="luma").pictures
    assert score.psnr == math.inf


def test_anything_that_answers_can_be_scored() -> None:
    (pair,) = pairs(1)
    (score,) = evaluate(lambda asked: asked.clean, [pair]).pictures
    assert score.psnr == math.inf and score.input_psnr < 20


def test_a_restored_picture_of_another_size_is_an_error() -> None:
    with pytest.raises(DataError, match="'p0' is 20x20 clean and 10x20 restored"):
        evaluate(lambda pair: pair.clean[:, :10], pairs(1))


def test_tiles_of_noise_beyond_white_are_restored_as_the_whole_is(tiny: type[Network]) -> None:
    noisy = np.random.default_rng(0).normal(0.5, 0.5, (150, 150, 3)).astype(np.float32)
    whole, tiled = (restoring(Restorer(tiny(), device="cpu"), tile=t)(Pair("a", noisy, noisy)) for t in (None, 64))
    np.testing.assert_allclose(tiled, whole, atol=1e-5)
    assert whole.min() < -0.5 and whole.max() > 1.5


@pytest.mark.parametrize("tile", [None, 64])
def test_what_is_scored_is_computed_as_the_commands_compute_files_of_8_bits(
    tiny: type[Network], monkeypatch: pytest.MonkeyPatch, tile: int | None
) -> None:
    monkeypatch.setattr("restore.inference.restorer.has_native_bfloat16", lambda device: True)
    entry = dataclasses.replace(next(iter(load_catalogue().values())), bfloat16_loss=0.0)
    asked = []

    def forward(self: TorchEngine, x: Tensor, precision: str) -> Tensor:
        asked.append(precision)
        return x

    monkeypatch.setattr(TorchEngine, "_forward", forward)
    (pair,) = pairs(1)
    restoring(Restorer(tiny(), device="cpu", entry=entry), tile=tile)(pair)
    restoring(Restorer(tiny(), device="cpu", entry=entry, precision="float32"), tile=tile)(pair)
    assert asked == ["bfloat16", "float32"]


SHARED = Path(__file__).parents[2].parent / "shared"


@pytest.mark.skipif(not (SHARED / "golden/metrics.json").is_file(), reason="the benchmark sets are not beside this")
@pytest.mark.parametrize(
    ("name", "degradation", "level", "protocol", "key"),
    [
        ("Set5", "bicubic", 2, "y-border", "Set5:x2|y"),
        ("Set5", "bicubic", 3, "y-border", "Set5:x3|y"),
        ("Set5", "bicubic", 4, "y-border", "Set5:x4|y"),
        ("Classic5", "jpeg-luma", 10, "luma", "Classic5:y10|y"),
    ],
)
def test_inputs_score_as_an_independent_implementation_says(
    name: str, degradation: str, level: int, protocol: str, key: str
) -> None:
    stored = json.loads((SHARED / "golden/metrics.json").read_text())[key]["per_image"]
    found = find(name, SHARED / "data/bench" / name)
    scores = evaluate(None, found.pairs(degrading(degradation, level)), protocol=protocol)
    assert {score.name for score in scores.pictures} == set(stored)
    for score in scores.pictures:
        assert score.psnr == pytest.approx(stored[score.name][0], abs=1e-3)
        assert score.ssim == pytest.approx(stored[score.name][1], abs=1e-4)


def test_seconds_per_megapixel_are_those_of_all_pictures_that_were_timed_together() -> None:
    timed = [PictureScore(name, 0, 0, 0, 0, seconds=s, megapixels=mp) for name, s, mp in (("a", 3, 1), ("b", 1, 4))]
    scores = Scores("rgb", (*timed, PictureScore("c", 0, 0, 0, 0)))
    assert scores.seconds_per_megapixel == pytest.approx(4 / 5)
    assert Scores("rgb", (PictureScore("c", 0, 0, 0, 0),)).seconds_per_megapixel is None


def test_distances_compare_the_enlarged_input_and_the_restored_picture_with_the_clean_one() -> None:
    clean = np.full((24, 24, 3), 0.4, np.float32)
    pair = Pair("a", clean, clean[::2, ::2] + np.float32(0.1))
    score = score_of(pair, clean, distances={"lpips": lambda x, y: float(np.abs(x - y).mean())})
    assert score.input_lpips == pytest.approx(0.1, abs=1 / 255) and score.lpips == 0
    assert math.isnan(score.dists)
    score = score_of(pair, None, distances={"lpips": lambda x, y: float(np.abs(x - y).mean())})
    assert score.lpips == score.input_lpips

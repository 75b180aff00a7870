"""The bundled weights do what their cards say, on the pictures at hand."""

from __future__ import annotations

import re
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from restore import checkpoints
from restore.checkpoints import catalogue
from restore.checkpoints.cards import HEADINGS
from restore.checkpoints.catalogue import WeightsEntry
from restore.datasets.listing import list_pictures
from restore.datasets.pairs import degraded, degrading, paired, read_rgb, with_gaussian_noise
from restore.evaluation.metrics import psnr
from restore.evaluation.scoring import evaluate, restoring
from restore.images import Picture, read_picture
from restore.inference.restorer import Restorer
from restore.inference.tiling import plan_axis
from restore.training.held_out import middle
from scripts import write_weights_page

SAMPLES = Path(__file__).parents[2] / "docs" / "samples"
BENCH = Path(__file__).parents[3] / "shared" / "data" / "bench"
needs_bench = pytest.mark.skipif(not BENCH.is_dir(), reason="the benchmark pictures are not here")


BUNDLED = [e for e in catalogue.load_catalogue().values() if e.hub_repo is None and e.path.is_file()]


@pytest.fixture(scope="module", params=[e.name for e in BUNDLED if e.task == "denoise" and e.default])
def restorer(request: pytest.FixtureRequest) -> Restorer:
    """The default denoiser."""
    return Restorer(checkpoints.load(request.param)[0], device="cpu")


@needs_bench
def test_real_noise_becomes_less(restorer: Restorer) -> None:
    pairs = islice(paired(BENCH / "PolyU" / "clean", BENCH / "PolyU" / "noisy"), 0, None, 15)
    scores = evaluate(restorer, pairs, with_ssim=False)
    assert scores.mean("psnr") > scores.mean("input_psnr") + 1


@needs_bench
@pytest.mark.parametrize(("sigma", "gain"), [(15, 7), (25, 8), (50, 10)])
def test_gaussian_noise_becomes_much_less(restorer: Restorer, sigma: float, gain: float) -> None:
    pairs = degraded(list_pictures(BENCH / "CBSD68")[:3], with_gaussian_noise(sigma, as_file=True))
    scores = evaluate(restorer, pairs, with_ssim=False)
    assert scores.mean("psnr") > scores.mean("input_psnr") + gain


@needs_bench
def test_a_clean_photo_is_left_nearly_alone(restorer: Restorer) -> None:
    pairs = degraded(list_pictures(BENCH / "Kodak24")[:3], with_gaussian_noise(0, as_file=True))
    assert all(p.psnr > 40 for p in evaluate(restorer, pairs, with_ssim=False).pictures)


def test_a_real_photo_keeps_its_colours_and_loses_its_grain(restorer: Restorer) -> None:
    sky = np.s_[100:356, 100:484]
    before = read_rgb(SAMPLES / "tower-at-night.jpg")[sky]
    after = (
        restorer.restore_tensor(torch.from_numpy(before.transpose(2, 0, 1)[None].copy()))[0].permute(1, 2, 0).numpy()
    )
    assert np.abs(after.mean((0, 1)) - before.mean((0, 1))).max() < 1 / 255

    def grain(x: np.ndarray) -> float:
        return float(np.abs(np.diff(x, axis=0)).mean())

    assert grain(after) < 0.25 * grain(before)


def test_tiles_are_close_to_the_whole(restorer: Restorer) -> None:
    picture = read_picture(SAMPLES / "lantern-at-night.jpg")
    picture.pixels = picture.pixels[:512, :640]
    whole = restorer.restore_picture(picture, tile=1024).picture.pixels
    tiled = restorer.restore_picture(picture, tile=256).picture.pixels
    assert psnr(tiled, whole) > 45


def test_no_step_lies_along_the_grid_of_tiles(restorer: Restorer) -> None:
    # A smooth picture with some noise: the remaining noise is small beside a visible seam.
    rows, columns = np.mgrid[:300, :300].astype(np.float32)
    smooth = np.stack([60 + 0.3 * rows, 90 + 0.2 * columns, 150 - 0.15 * (rows + columns)], axis=2)
    noisy = smooth + np.random.default_rng(0).normal(0, 10, smooth.shape)
    picture = Picture(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))
    restored = restorer.restore_picture(picture, tile=128)
    assert restored.tiles == 9  # three along each axis; neighbours share 32 pixels
    assert restored.seam is not None
    assert 0 < restored.seam.mean < 1
    levels = restored.picture.pixels.astype(np.float64) - smooth
    network = restorer.network
    cuts = plan_axis(300, tile=128, overlap=32, multiple=network.size_multiple, grid=network.tile_grid)
    middles = [(start + before + cuts.side) // 2 for before, start in pairwise(cuts.starts)]
    for axis in (0, 1):
        # Steps between the means of eight lines and the next eight: at mid-overlap, and anywhere.
        lines = levels.mean((1 - axis, 2))
        sums = np.convolve(lines, np.ones(8) / 8, "valid")
        steps = np.abs(sums[8:] - sums[:-8])
        at_cuts = max(steps[middle - 12 : middle - 4].max() for middle in middles)
        assert at_cuts < 1.2 * np.quantile(steps, 0.95)


def test_two_runs_give_the_same_bytes_whatever_the_number_of_threads(restorer: Restorer) -> None:
    picture = read_picture(SAMPLES / "tower-at-night.jpg")
    picture.pixels = picture.pixels[:256, :320]
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 2):
            torch.set_num_threads(threads)
            results.append(restorer.restore_picture(picture, tile=256).picture.pixels)
    finally:
        torch.set_num_threads(before)
    assert all(np.array_equal(results[0], result) for result in results[1:])


@needs_bench
@pytest.mark.parametrize("entry", [e for e in BUNDLED if e.task != "denoise" or not e.default], ids=lambda e: e.name)
def test_weights_undo_what_their_task_is_about(entry: WeightsEntry) -> None:
    network, info = checkpoints.load(entry.name)
    degradation, level, gain = {
        "denoise": ("gaussian-noise", 25, 8.0),
        "derain": ("rain", None, 1.0),
        "deblur": ("motion-blur", None, 0.1),
        "dejpeg": ("jpeg", 10, 0.3),
        "demosaic": ("mosaic", None, 20.0),
        "upscale": ("bicubic", network.scale, 0.5),
    }[info.task]
    pairs = degraded(list_pictures(BENCH / "Kodak24")[:3], degrading(degradation, level))
    scores = evaluate(Restorer(network, device="cpu"), (middle(pair, 192) for pair in pairs), with_ssim=False)
    assert scores.mean("psnr") > scores.mean("input_psnr") + gain


@needs_bench
@pytest.mark.parametrize(
    ("name", "degradation", "level"), [("panet-s-demosaic", "mosaic", None), ("pa-edsr-s-x4", "bicubic", 4)]
)
def test_a_self_ensemble_scores_better(name: str, degradation: str, level: float | None) -> None:
    network, info = checkpoints.load(name)
    restorer = Restorer(network, device="cpu", task=info.task)
    pairs = [middle(p, 192) for p in degraded(list_pictures(BENCH / "Kodak24")[:2], degrading(degradation, level))]
    alone, together = (
        evaluate(restoring(restorer, self_ensemble=way), pairs, with_ssim=False).mean("psnr") for way in (False, True)
    )
    assert together > alone


@needs_bench
def test_a_self_ensemble_does_not_lay_rain_on_its_side() -> None:
    network, info = checkpoints.load("drsformer-s-derain")
    pairs = [middle(pair, 192) for pair in degraded(list_pictures(BENCH / "Kodak24")[:2], degrading("rain"))]
    upright, all_ways = (
        evaluate(
            restoring(Restorer(network, device="cpu", task=task), self_ensemble=True), pairs, with_ssim=False
        ).mean("psnr")
        for task in (info.task, None)
    )
    assert upright > all_ways + 0.2


@needs_bench
def test_whole_shaken_pictures_become_sharper() -> None:
    pairs = degraded(list_pictures(BENCH / "Kodak24")[:4], degrading("motion-blur"))
    scores = evaluate(Restorer(checkpoints.load("cs-kit-s-deblur")[0], device="cpu"), pairs, with_ssim=False)
    assert scores.mean("psnr") > scores.mean("input_psnr") + 0.3


@needs_bench
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_weights_for_the_web_do_not_enlarge_noise_and_jpeg(scale: int) -> None:
    small = list_pictures(BENCH / "Set5")[2:3]  # a butterfly, 256x256
    pairs = [pair for kind in ("small-jpeg", "small-noise") for pair in degraded(small, degrading(kind, scale))]
    names = f"pa-edsr-m-x{scale}-web", f"pa-edsr-s-x{scale}"
    web, default = (
        evaluate(Restorer(checkpoints.load(name)[0], device="cpu"), pairs, protocol="y-border", with_ssim=False)
        for name in names
    )
    assert web.mean("psnr") > default.mean("psnr") + 0.5
    assert web.mean("psnr") > web.mean("input_psnr") + 0.5


def test_one_bundled_network_uses_pyramid_attention() -> None:
    network = checkpoints.load("pa-edsr-m-x4-web")[0]
    assert network.attends
    assert network.largest_auto_tile == 96


def test_the_page_of_the_weights_is_what_the_catalogue_says() -> None:
    catalogued = catalogue.load_catalogue(catalogue.weights_folder() / "catalogue.toml")
    assert write_weights_page.PAGE.read_text(encoding="utf-8") == write_weights_page.page(list(catalogued.values()))


def test_every_bundled_model_has_a_short_card_with_the_scores_of_the_catalogue() -> None:
    catalogued = catalogue.load_catalogue(catalogue.weights_folder() / "catalogue.toml")
    page = (catalogue.weights_folder() / "README.md").read_text(encoding="utf-8")
    cards = {title.strip(): body for title, _, body in (part.partition("\n") for part in page.split("\n## ")[1:])}
    assert {name for title in cards for name in title.split(", ")} == set(catalogued)
    for title, body in cards.items():
        assert body.count("\n") < 40, title
        headings = re.findall(r"^- \*\*(.+?)\*\*", body, re.MULTILINE)
        assert tuple(x for x in headings if x != "Seen at 1:1") == HEADINGS, title
        scores = [score for name in title.split(", ") for score in catalogued[name].scores]
        known = {f"| {s.set} | {s.protocol} | {s.input_psnr:.2f} | {s.psnr:.2f} |" for s in scores}
        rows = body.partition("|---|\n")[2].split("\n")
        assert set(filter(None, rows)) <= known and any(rows), title


def test_what_bfloat16_costs_is_measured_for_every_default() -> None:
    assert all(entry.bfloat16_loss is not None for entry in BUNDLED if entry.default)

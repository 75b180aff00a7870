from __future__ import annotations

from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from restore.datasets.crops import check_photos
from restore.errors import DataError, WeightsError
from restore.images import read_picture
from restore.inspection.examples import makers
from restore.inspection.verdict import CLAIMS, LEVELS, judge, outputs_of
from restore.training.inspection.fitting import NAME, fit, loss_of
from restore.training.inspection.network import InspectionNetwork, to_file
from restore.training.inspection.samples import SIDE, samples, targets_of

SAMPLES = Path(__file__).parents[3] / "docs" / "samples"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 crops of two photographs."""
    folder = tmp_path_factory.mktemp("photos")
    for k in range(24):
        photo = read_picture(SAMPLES / ("lantern-at-night.jpg" if k % 2 else "drops-on-window.jpg")).pixels
        top, left = 10 * k, 15 * k
        cv2.imwrite(str(folder / f"{k:02}.png"), photo[top : top + 300, left : left + 320])
    return folder


def network_of(seed: int) -> InspectionNetwork:
    """A network whose normalisations have seen something."""
    torch.manual_seed(seed)
    network = InspectionNetwork()
    with torch.no_grad():
        for _ in range(3):
            network(torch.rand(4, 3, 64, 64) * 255)
    return network.eval()


@pytest.mark.parametrize("size", [(192, 192), (97, 130), (33, 40)])
def test_numpy_says_what_torch_says(size: tuple[int, int], tmp_path: Path) -> None:
    network = network_of(3)
    (tmp_path / NAME).write_bytes(to_file(network))
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.float32)
    with torch.inference_mode():
        wanted = network(torch.from_numpy(pixels.transpose(2, 0, 1))[None]).numpy()[0]
    assert outputs_of(pixels, tmp_path / NAME) == pytest.approx(wanted, abs=0.02)  # weights of 16 bits


def test_the_same_seed_draws_the_same_samples(photos: Path) -> None:
    decoded = check_photos(sorted(photos.iterdir()))
    first, second = ([*islice(samples(decoded, [], np.random.default_rng(5)), 24)] for _ in range(2))
    for (pixels, targets), (again, same) in zip(first, second, strict=True):
        assert pixels.shape == (SIDE, SIDE, 3)
        assert pixels.dtype == np.uint8
        assert np.array_equal(pixels, again)
        assert np.array_equal(targets, same, equal_nan=True)
        assert set(np.unique(targets[: len(CLAIMS)][~np.isnan(targets[: len(CLAIMS)])])) <= {-1, 1}


def test_the_targets_of_noise_name_noise_and_its_level() -> None:
    example = makers()["gaussian"][0](np.full((64, 64, 3), 0.5, np.float32), np.random.default_rng(0))
    targets = targets_of(example)
    assert (targets["denoise"], targets["derain"], targets["defocus"]) == (1, -1, -1)
    assert np.expm1(targets["sigma"]) == pytest.approx(example.sigma, rel=1e-6)
    assert np.isnan(targets["enlarged"])


def test_what_is_unknown_costs_nothing() -> None:
    outputs = torch.randn(2, len(CLAIMS) + len(LEVELS))
    assert loss_of(outputs, torch.full_like(outputs, float("nan"))) == 0


def test_a_fit_writes_weights_that_inspect_reads(photos: Path, tmp_path: Path) -> None:
    found = fit(photos, tmp_path, pairs=None, seconds=0.01, validated=64)
    assert set(found.right) == set(CLAIMS)
    assert found.path == tmp_path / NAME
    assert np.isfinite(list(judge([np.full((64, 64, 3), 99, np.float32)], found.path).claims.values())).all()


def test_too_few_photos_are_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "one.png"), np.zeros((200, 200, 3), np.uint8))
    with pytest.raises(DataError, match="has 1 photos"):
        fit(tmp_path, tmp_path / "run", pairs=None, seconds=1)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 no zip"])
def test_a_file_that_holds_no_weights_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "w.npz").write_bytes(content)
    with pytest.raises(WeightsError, match=r"no file of `restore train inspect`"):
        judge([np.zeros((64, 64, 3), np.float32)], tmp_path / "w.npz")


def test_arrays_of_other_shapes_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", convolution0=np.zeros((3, 3, 3, 8)))
    with pytest.raises(WeightsError, match=r"no file of `restore train inspect`"):
        judge([np.zeros((64, 64, 3), np.float32)], tmp_path / "w.npz")

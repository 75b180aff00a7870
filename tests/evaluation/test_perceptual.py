"""LPIPS and DISTS by torchmetrics, with networks of the right shapes and random weights in place of ImageNet's."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
from conftest import Run
from torch import nn

from restore.degradations import Image
from restore.errors import DataError, RestoreError
from restore.evaluation.perceptual import distances

torchmetrics = pytest.importorskip("torchmetrics", reason="torchmetrics is not installed: restore-photos[perceptual]")


class Features(nn.Module):
    """What torchvision's AlexNet and VGG-16 have in `features`, random."""

    def __init__(self, name: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        layers: list[nn.Module] = []
        if name == "alexnet":
            for channels, out, side, stride, padding, pool in (
                (3, 64, 11, 4, 2, True), (64, 192, 5, 1, 2, True), (192, 384, 3, 1, 1, False),
                (384, 256, 3, 1, 1, False), (256, 256, 3, 1, 1, True),
            ):  # fmt: skip
                layers += [nn.Conv2d(channels, out, side, stride, padding), nn.ReLU()]
                layers += [nn.MaxPool2d(3, 2)] * pool
        else:
            channels = 3
            for width, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
                for _ in range(count):
                    layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                    channels = width
                layers.append(nn.MaxPool2d(2, 2))
        self.features = nn.Sequential(*layers)


def torchvision_of(monkeypatch: pytest.MonkeyPatch, build: Callable[[str], nn.Module]) -> list[str]:
    """A torchvision with the two networks; the names of those that are built."""
    from torchmetrics.functional.image import dists, lpips

    built: list[str] = []

    def network(name: str) -> Callable[..., nn.Module]:
        def make(weights: Any = None) -> nn.Module:
            assert weights == "ImageNet"
            built.append(name)
            return build(name)

        return make

    models = ModuleType("torchvision.models")
    names = {"alexnet": "AlexNet_Weights", "vgg16": "VGG16_Weights"}
    for name, weights in names.items():
        setattr(models, name, network(name))
        setattr(models, weights, type(weights, (), {"DEFAULT": "ImageNet"}))
        monkeypatch.setattr(dists, name, network(name), raising=False)
        monkeypatch.setattr(dists, weights, getattr(models, weights), raising=False)
    package = ModuleType("torchvision")
    package.models = models  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchvision", package)
    import torchmetrics.image.lpip as metric

    for module in (dists, lpips, metric):
        monkeypatch.setattr(module, "_TORCHVISION_AVAILABLE", True)
    return built


def picture(seed: int, side: int = 40) -> Image:
    return np.random.default_rng(seed).random((side, side, 3)).astype(np.float32)


@pytest.mark.parametrize(("name", "network"), [("lpips", "alexnet"), ("dists", "vgg16")])
def test_a_distance_is_0_for_equal_pictures_and_grows_with_the_difference(
    monkeypatch: pytest.MonkeyPatch, name: str, network: str
) -> None:
    built = torchvision_of(monkeypatch, Features)
    distance = distances([name])[name]
    clean, other = picture(0, 31), picture(1, 31)
    apart = [distance(clean + np.float32(amount) * (other - clean), clean) for amount in (0, 0.2, 0.6)]
    assert apart[0] == pytest.approx(0, abs=1e-4) and apart[0] < apart[1] < apart[2]
    assert built == [network]  # once, not for every picture


def test_a_distance_is_that_of_8_bit_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    torchvision_of(monkeypatch, Features)
    distance = distances(["lpips"])["lpips"]
    clean = np.round(picture(0) * 254) / np.float32(255)
    assert distance(clean + np.float32(0.4 / 255), clean) == distance(clean, clean)
    assert distance(clean * 0 + 7, clean) == distance(clean * 0 + 1, clean)


def test_a_picture_that_is_too_small_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    torchvision_of(monkeypatch, Features)
    distance = distances(["lpips"])["lpips"]
    distance(picture(0, 31), picture(1, 31))
    with pytest.raises(DataError, match="sides of at least 31 pixels, not 30x30"):
        distance(picture(0, 30), picture(1, 30))


def test_without_a_connection_the_error_names_the_file_and_where_it_belongs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(name: str) -> nn.Module:
        raise URLError(OSError(101, "Network is unreachable"))

    torchvision_of(monkeypatch, fail)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    with pytest.raises(RestoreError, match=r"cannot load vgg16-397923af.pth .* of DISTS: .*unreachable") as caught:
        distances(["dists"])
    assert caught.value.hint is not None and str(tmp_path / "checkpoints") in caught.value.hint


def test_without_the_packages_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchmetrics.image.lpip", None)
    with pytest.raises(RestoreError, match="LPIPS needs torchmetrics and torchvision") as caught:
        distances(["lpips"])
    assert caught.value.hint == "pip install 'restore-photos[perceptual]'"


def test_a_torchvision_for_another_torch_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> Callable[[], Any]:
        raise RuntimeError("operator torchvision::nms does not exist\nmore")

    monkeypatch.setattr("restore.evaluation.perceptual._builder", fail)
    with pytest.raises(
        RestoreError, match=r"torchvision that fits torch .*: operator torchvision::nms does not exist$"
    ):
        distances(["lpips"])


@pytest.mark.usefixtures("tiny_catalogue")
def test_eval_has_a_column_for_each_metric(run: Run, inverted_pairs: None, monkeypatch: pytest.MonkeyPatch) -> None:
    torchvision_of(monkeypatch, Features)
    given = ("eval", "--clean", "clean", "--degraded", "noisy", "--device", "cpu", "--json", "s.json")
    ran = run(*given, "--metrics", "LPIPS", "--csv", "s.csv")
    assert ran.code == 0, ran.err
    assert ran.err.splitlines()[0].split().count("LPIPS") == 2
    head, first, *_ = Path("s.csv").read_text().splitlines()
    scores = dict(zip(head.split(","), first.split(","), strict=True))
    assert 0 < float(scores["lpips"]) < float(scores["input_lpips"])  # off by one level, not inverted
    assert ", LPIPS " in ran.out and "DISTS" not in ran.out + ran.err
    assert run(*given, "--metrics", "lpisp").code == 2

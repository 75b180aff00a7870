"""What scripts/train_side_by_side.py makes on the GPU is what the recipes make; here it is made on the CPU."""

import dataclasses

import numpy as np
import pytest
import torch

from restore.bayer import mosaic
from restore.degradations import imresize
from restore.recipes import load_recipe
from scripts.train_side_by_side import OnGPU


def source(recipe: str, crop: int) -> OnGPU:
    photos = np.random.default_rng(0).integers(0, 256, (3, 160, 160, 3), dtype=np.uint8)
    torch.manual_seed(0)
    return OnGPU(torch.from_numpy(photos), dataclasses.replace(load_recipe(recipe), crop=crop))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_pictures_are_reduced_as_matlab_does(scale: int) -> None:
    made = source(f"pa-edsr-s-x{scale}", 16)
    picture = made.photos[0, : 20 * scale, : 20 * scale]
    reduced = made.reduced(picture.permute(2, 0, 1)[None].float())[0].permute(1, 2, 0).numpy()
    expected = imresize(picture.numpy(), 1 / scale)
    assert np.abs(reduced - expected).max() <= 1  # single precision moves what lies on a half
    assert (reduced != expected).mean() < 0.01
    references, inputs = made.batch(4)
    assert references.shape == (4, 3, 16 * scale, 16 * scale)
    assert inputs.shape == (4, 3, 16, 16)
    means = references.unfold(2, scale, scale).unfold(3, scale, scale).mean((-1, -2))
    assert float(torch.corrcoef(torch.stack([means.flatten(), inputs.flatten()]))[0, 1]) > 0.8  # the same place


def test_mosaics_are_rggb_of_the_reference() -> None:
    references, inputs = source("panet-s-demosaic", 32).batch(8)
    for reference, seen in zip(references, inputs, strict=True):
        assert np.array_equal(seen.permute(1, 2, 0).numpy(), mosaic(reference.permute(1, 2, 0).numpy()))


def test_noise_has_the_levels_of_the_recipe() -> None:
    references, inputs = source("panet-s-denoise-gaussian", 64).batch(64)
    sigmas = 255 * (inputs - references).std((1, 2, 3))
    assert 4 < sigmas.min() < 20
    assert 60 < sigmas.max() < 78
    assert references.min() >= 0
    assert references.max() <= 1

"""The fast form of a layer has the values and the gradients of the plain one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import pytest
import torch
from torch import Tensor, nn

from restore.networks import drsformer, panet, pyramid_attention
from restore.networks.blocks import Convolution, Float32Convolution, TwoForms, WinogradConvolution

Module = TypeVar("Module", bound=nn.Module)


def randomised(module: Module) -> Module:
    """In float64, with every parameter away from its initial value."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return module.double()


def features(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


GATE = torch.tensor([[0.3, 0.1, 0.2, 0.05, 0.05, 0.1, 0.15, 0.05], [0.1, 0.4, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05]]).double()
Layer = tuple[TwoForms, tuple[Tensor | nn.Module, ...]]


def attention(channels: int = 6, heads: int = 2, height: int = 5) -> Layer:
    return drsformer.TopKSparseAttention(channels, heads=heads), (
        features(2, channels, height, 4), drsformer.LayerNorm(channels, bias=True).double(),
    )  # fmt: skip


def feed_forward(channels: int = 3, height: int = 5) -> Layer:
    return drsformer.MixedScaleFeedForward(channels, expansion=2.66), (
        features(2, channels, height, 4), drsformer.LayerNorm(channels, bias=False).double(),
    )  # fmt: skip


def experts(channels: int = 2, height: int = 5) -> Layer:
    return drsformer.MixtureOfExperts(channels), (features(2, channels, height, 4), GATE)


LAYERS: dict[str, Callable[..., Layer]] = {
    "attention": attention,
    "feed-forward with an odd hidden width": feed_forward,
    "feed-forward with an even hidden width": lambda height=5: feed_forward(channels=4, height=height),
    "experts": experts,
}


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_are_those_of_the_plain_form(name: str) -> None:
    layer, inputs = LAYERS[name]()
    randomised(layer)
    x = inputs[0]
    assert isinstance(x, Tensor)
    x.requires_grad_()
    weighting = features(*x.shape)
    found = []
    for form in (layer.plain, layer.fast):
        loss = (form(*inputs) * weighting).sum()
        found.append(torch.autograd.grad(loss, [x, *layer.parameters()]))
    for plain, fast in zip(*found, strict=True):
        torch.testing.assert_close(fast, plain)
    assert torch.autograd.gradcheck(lambda x: layer.fast(x, *inputs[1:]), x, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])  # blocks of channels; channels-last
@pytest.mark.parametrize("images", [1, 2])
@pytest.mark.parametrize("name", LAYERS)
def test_strips_change_nothing(name: str, images: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    layer, inputs = LAYERS[name](height=75)
    randomised(layer).to(dtype)
    inputs = tuple(x[:images].to(dtype) if isinstance(x, Tensor) else x.to(dtype) for x in inputs)
    monkeypatch.setattr(drsformer, "_STRIP_BYTES", 1)
    with torch.inference_mode():
        torch.testing.assert_close(layer.fast(*inputs), layer.plain(*inputs))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 9), (13, 10), (24, 7)])
@pytest.mark.parametrize("block_bytes", [1, 1 << 12, 1 << 20])
def test_pyramid_attention_in_bands_is_the_plain_one(
    height: int, width: int, block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pyramid_attention, "_BLOCK_BYTES", (block_bytes, block_bytes))
    layer = pyramid_attention.PyramidAttention(6, reduction=2, res_scale=0.7)
    randomised(layer)
    x = features(2, height, width, 6)
    with torch.inference_mode():
        torch.testing.assert_close(layer.fast(x), layer.plain(x))


def test_pyramid_attention_takes_scores_far_above_a_patch_with_itself() -> None:
    torch.manual_seed(0)
    layer = randomised(pyramid_attention.PyramidAttention(6, reduction=2, res_scale=0.7)).float()
    x = 100 * features(1, 9, 8, 6).float()
    query, levels = layer.embed(x)
    scale = pyramid_attention._Scale(query[0], levels[0][0][0], levels[0][1][0])
    q, k = pyramid_attention._patches(query), pyramid_attention._patches(levels[0][0])
    own = (q * k).sum(1) / k.norm(dim=1).clamp_min(1e-4) * 10 / math.log(2)
    torch.testing.assert_close(scale.own_scores().flatten(), own[0], rtol=1e-3, atol=1e-2)
    assert own.min() < -300  # 2 ** 300 overflows a float
    with torch.inference_mode():
        torch.testing.assert_close(layer.fast(x), layer.plain(x), rtol=1e-3, atol=1e-2)


def test_pyramid_attention_does_not_depend_on_the_number_of_threads() -> None:
    layer = randomised(pyramid_attention.PyramidAttention(6, reduction=2, res_scale=0.7))
    x = features(1, 20, 31, 6)
    threads, results = torch.get_num_threads(), []
    try:
        with torch.inference_mode():
            for count in (1, 3):
                torch.set_num_threads(count)
                results.append(layer(x))
                assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*results)


def test_pyramid_attention_that_is_trained_takes_the_plain_form() -> None:
    layer = pyramid_attention.PyramidAttention(4, reduction=2, res_scale=1.0)
    randomised(layer)
    x = features(1, 4, 5, 4).requires_grad_()
    assert torch.equal(layer(x), layer.plain(x))
    assert torch.autograd.gradcheck(layer, x, atol=1e-4)


@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 9), (3, 3), (13, 10)])
def test_the_last_enlargement_in_one_convolution_is_the_plain_one(factor: int, height: int, width: int) -> None:
    up = randomised(Convolution(4, 4 * factor**2, 3, padding=1))
    tail = randomised(Float32Convolution(4, 3, 3, padding=1))
    x, layer = features(2, height, width, 4), panet.LastEnlargement()
    with torch.inference_mode():
        plain = layer.plain(x, up, tail, factor)
        assert plain.shape == (2, factor * height, factor * width, 3)
        torch.testing.assert_close(layer.fast(x, up, tail, factor), plain)
    gradients = [
        torch.autograd.grad(form(x, up, tail, factor).sum(), up.weight)[0] for form in (layer.plain, layer.fast)
    ]
    assert torch.equal(*gradients)


@pytest.mark.skipif(torch.backends.cpu.get_cpu_capability() != "AVX2", reason="for CPUs with AVX2 and no more")
@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 8), (31, 64)])
def test_winograd_transforms_change_nothing_but_the_last_bits(height: int, width: int) -> None:
    layer = randomised(WinogradConvolution(64, 80, 3, padding=1))
    x = features(2, height, width, 64)
    with torch.inference_mode():
        exact = layer(x)
        assert not layer.uses_winograd(x), "it is for float32"
        found = layer.float()(x.float())
        assert layer.uses_winograd(x.float())
    assert not layer.uses_winograd(x.float()), "it has no gradients"
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=2e-5 * float(exact.abs().max()))

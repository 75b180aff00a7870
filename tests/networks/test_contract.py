"""The contract of every network in `NETWORKS`, with many options."""

from __future__ import annotations

import dataclasses
import importlib
import operator
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from restore import checkpoints
from restore.images import read_picture
from restore.inference.restorer import Restorer
from restore.networks import NETWORKS, Network

PHOTO = Path(__file__).parents[2] / "docs" / "samples" / "tower-at-night.jpg"

SMALL: dict[str, dict[str, Any]] = {
    "cs-kit": {"dim": 8},
    "kit": {"dim": 8},
    "cs-kit-s": {"dim": 8, "h": 1, "shuffle": 2, "refine": 2, "refine_width": 8, "attend": [2, 3, 4]},
    "kit-none": {"dim": 8, "attend": []},
    "cs-kit-k1": {"dim": 8, "k": 1},
    "cs-kit-k8-h2": {"dim": 8, "k": 8, "h": 2, "heads": 2},
    "cs-kit-unshared": {"dim": 8, "share": False, "shift": False, "h": 1},
    "cs-kit-hard": {"dim": 8, "hard_scales": True, "h": 1},
    "cs-kit-grey": {"dim": 8, "channels": 1, "h": 1, "fuse_skips": False},
    "kit-h1": {"dim": 8, "h": 1, "heads": 2},
    "drsformer": {"dim": 8, "blocks": [1, 2, 1, 1]},
    "drsformer-lite": {"dim": 8, "blocks": [2, 1, 1, 1], "compensator": False, "norm_bias": False},
    "drsformer-s": {"dim": 8, "blocks": [1, 1, 1, 1], "compensator": False, "shuffle": 2},
    "panet": {"dim": 8, "blocks": 3},
    "panet-s": {"dim": 16, "blocks": 2, "shuffle": 2},
    "panet-grey": {"dim": 8, "blocks": 2, "channels": 1},
    "pa-edsr-x2": {"dim": 8, "blocks": 2, "reduction": 2},
    "pa-edsr-x3": {"dim": 8, "blocks": 2, "reduction": 2, "scale": 3},
    "pa-edsr-x4": {"dim": 8, "blocks": 2, "reduction": 2, "scale": 4},
}


def key_of(name: str) -> str:
    return max((key for key in NETWORKS if name.startswith(key)), key=len)


def build(name: str) -> Network:
    torch.manual_seed(0)
    return NETWORKS[key_of(name)](**SMALL[name]).eval()


def side(network: Network) -> int:
    """A small valid side with an effect to see."""
    return max(network.size_multiple, 8)


def images(network: Network, batch: int, height: int, width: int) -> Tensor:
    return torch.rand(batch, network.channels, height, width, generator=torch.Generator().manual_seed(1))


@pytest.fixture(params=SMALL)
def network(request: pytest.FixtureRequest) -> Network:
    return build(request.param)


def test_every_network_is_tested() -> None:
    assert {key_of(name) for name in SMALL} == set(NETWORKS)


def test_shape_is_kept_times_scale(network: Network) -> None:
    m = side(network)
    restored = network(images(network, 2, m, 2 * m))
    assert restored.shape == (2, network.channels, network.scale * m, network.scale * 2 * m)


def test_images_of_a_batch_do_not_influence_each_other(network: Network) -> None:
    m = side(network)
    batch = images(network, 3, 2 * m, m)
    together = network(batch)
    for i in range(3):
        torch.testing.assert_close(network(batch[i : i + 1])[0], together[i], atol=1e-5, rtol=0)


def test_every_parameter_gets_a_gradient(network: Network) -> None:
    m = side(network)
    network.train()
    network(images(network, 2, 2 * m, 2 * m)).square().mean().backward()
    without = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == []


def test_stated_size_multiple_is_enough(network: Network) -> None:
    m = network.size_multiple
    for height, width in ((m, m), (3 * m, m), (2 * m, 5 * m)):
        assert network(images(network, 1, height, width)).isfinite().all()


def test_stated_size_multiple_is_needed_and_the_error_names_the_next_size(network: Network) -> None:
    m = network.size_multiple
    if m == 1:
        for height, width in ((1, 1), (1, 7), (13, 2)):
            assert network(images(network, 1, height, width)).isfinite().all()
        return
    with pytest.raises(ValueError, match=f"pad to {2 * m}x{m}"):
        network(images(network, 1, m + m // 2, m))


def test_same_input_gives_same_output_on_every_run_and_build(network: Network, request: pytest.FixtureRequest) -> None:
    m = side(network)
    x = images(network, 1, 2 * m, 2 * m)
    again = build(request.node.callspec.params["network"])
    assert torch.equal(network(x), network(x))
    assert torch.equal(network(x), again(x))


def test_config_builds_the_same_network(network: Network) -> None:
    again = type(network)(**network.config)
    assert again.config == network.config
    assert {k: v.shape for k, v in again.state_dict().items()} == {k: v.shape for k, v in network.state_dict().items()}


def test_strict_safetensors_round_trip(network: Network, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    name = key_of(request.node.callspec.params["network"])
    task = "upscale" if network.scale > 1 else "denoise"
    checkpoints.save(tmp_path / "x.safetensors", network, name, {"task": task})
    loaded, info = checkpoints.load(tmp_path / "x.safetensors")
    m = side(network)
    x = images(network, 1, m, m)
    assert info.network == name
    assert torch.equal(network(x), loaded.eval()(x))


@pytest.mark.parametrize("name", [f"{key} {config}" for key in NETWORKS for config in NETWORKS[key].CONFIGS])
def test_named_configs_can_be_built(name: str) -> None:
    key, config = name.split()
    with torch.device("meta"):
        network = NETWORKS[key](**NETWORKS[key].CONFIGS[config])
    assert network.scale in (1, 2, 3, 4) and network.size_multiple >= 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["kit:paper", "cs-kit:paper", "drsformer:paper", "panet:paper", "pa-edsr:paper-x2"])
def test_a_paper_config_restores_a_photo(name: str) -> None:
    key, config = name.split(":")
    torch.manual_seed(0)
    network = NETWORKS[key](**NETWORKS[key].CONFIGS[config])
    photo = read_picture(PHOTO)
    photo = dataclasses.replace(photo, pixels=np.ascontiguousarray(photo.pixels[:384, :512]))
    calls: list[tuple[int, ...]] = []
    network.register_forward_pre_hook(lambda _, inputs: calls.append(tuple(inputs[0].shape[2:])))
    restored = Restorer(network, device="cpu").restore_picture(photo).picture.pixels
    assert restored.shape == (384 * network.scale, 512 * network.scale, 3)
    assert restored.std() > 0
    assert all(max(shape) <= (network.largest_auto_tile or 512) for shape in calls)


@pytest.mark.parametrize("name", ["panet", "panet-s", "pa-edsr-x2", "pa-edsr-x3", "pa-edsr-x4"])
def test_without_pyramid_attention_a_pixel_sees_as_far_as_the_halo(name: str) -> None:
    network = build(name)
    assert network.halo is None
    network.use_attention(False)
    halo = network.halo
    assert halo is not None
    size = network.size_multiple * (2 * halo + 9)
    picture = images(network, 1, size, size).double()
    network.double()
    reached = []
    for place in range(size // 2, size // 2 + network.size_multiple):  # every position in a cell
        other = picture.clone()
        other[..., place, place] = 0.5
        with torch.inference_mode():
            changed = (network(picture) != network(other)).any(dim=1)[0].any(dim=0).nonzero() // network.scale
        reached += [place - int(changed.min()), int(changed.max()) - place]
    assert halo - 1 <= max(reached) <= halo  # behind an upsampling, fractions of a pixel round up


def test_every_module_and_layer_that_the_page_of_the_networks_names_exists() -> None:
    page = (PHOTO.parents[1] / "networks.md").read_text(encoding="utf-8")
    names = re.findall(r"`((?:kit|knn|cskit|panet|pyramid_attention)\.[A-Za-z_.]+)`", page)
    table = page.partition("code (`drsformer`)")[2].partition("| config |")[0]
    names += [f"drsformer.{name}" for name in re.findall(r"`(\w+)`", table)]
    assert len(names) > 20
    for name in names:
        module, _, path = name.partition(".")
        operator.attrgetter(path)(importlib.import_module(f"restore.networks.{module}"))

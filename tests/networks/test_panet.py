"""PANet and PA-EDSR in lower precision: the path of the picture itself stays in float32."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from restore.networks import NETWORKS
from restore.networks.base import Network


def picture() -> Tensor:
    return torch.rand(1, 3, 12, 16, generator=torch.Generator().manual_seed(0))


def identity(key: str, config: str) -> Network:
    network = NETWORKS[key](**NETWORKS[key].CONFIGS[config])
    network.use_attention(False)
    network.start_as_identity()
    return network.eval()


@torch.inference_mode()
def test_a_picture_that_panet_leaves_alone_is_the_same_under_autocast() -> None:
    x = picture()
    with torch.autocast("cpu", torch.bfloat16):
        restored = identity("panet", "s")(x)
    torch.testing.assert_close(restored, x, rtol=0, atol=1e-6)  # pure bfloat16 is up to 2^-9 = 0.002 off


@pytest.mark.parametrize(("key", "config"), [("panet", "s"), ("pa-edsr", "s-x2"), ("pa-edsr", "s-x4")])
@torch.inference_mode()
def test_the_body_is_computed_in_bfloat16_and_the_last_layer_in_float32(key: str, config: str) -> None:
    network, dtypes = identity(key, config), []
    for module in network.get_submodule("body.blocks").modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda module, inputs, out: dtypes.append(out.dtype))
    network.get_submodule("tail").register_forward_hook(lambda module, inputs, out: dtypes.append(out.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        restored = network(picture())
    assert restored.dtype == torch.float32
    assert dtypes[:16] == [torch.bfloat16] * 16
    assert set(dtypes[16:]) == {torch.float32}


@torch.inference_mode()
def test_what_pa_edsr_only_enlarges_is_the_same_under_autocast() -> None:
    x = picture()
    with torch.autocast("cpu", torch.bfloat16):
        restored = identity("pa-edsr", "s-x2")(x)
    torch.testing.assert_close(restored, x.repeat_interleave(2, 2).repeat_interleave(2, 3), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("key", "config"), [("panet", "s"), ("pa-edsr", "s-x2")])
@torch.inference_mode()
def test_a_network_without_values_computes_shapes(key: str, config: str) -> None:  # to count multiplications
    network = identity(key, config).to("meta")
    assert network(picture().to("meta")).shape == (1, 3, 12 * network.scale, 16 * network.scale)

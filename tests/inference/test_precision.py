"""The precision that a network computes in."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from fake_networks import Identity, noise
from torch import Tensor, nn

from restore.checkpoints.catalogue import load_catalogue
from restore.errors import UsageError
from restore.images import Picture
from restore.inference.restorer import Restorer
from restore.networks.base import Network


class TooLargeForHalf(Network):
    """Its inner values reach 1e5, which float16 cannot hold."""

    def __init__(self) -> None:
        super().__init__()
        self.config = {}
        self.up = nn.Conv2d(3, 3, 1, groups=3, bias=False)
        self.down = nn.Conv2d(3, 3, 1, groups=3, bias=False)
        nn.init.constant_(self.up.weight, 1e5)
        nn.init.constant_(self.down.weight, 1e-5)
        self.dtypes: list[torch.dtype] = []

    def forward(self, degraded: Tensor) -> Tensor:
        x = self.up(degraded)
        self.dtypes.append(x.dtype)
        restored: Tensor = self.down(x)
        return restored


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_lower_precision_is_used_and_what_overflows_is_computed_again_in_float32(precision: str) -> None:
    network = TooLargeForHalf()
    x = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    restored = Restorer(network, device="cpu", precision=precision).restore_tensor(x)
    assert restored.dtype == torch.float32
    if precision == "float16":
        assert network.dtypes == [torch.float16, torch.float32]
        torch.testing.assert_close(restored, x)
    else:
        assert network.dtypes == [torch.bfloat16]
        torch.testing.assert_close(restored, x, atol=0.02, rtol=0)


class Notes(Identity):
    """Records the type of a product under autocast."""

    def __init__(self) -> None:
        super().__init__()
        self.dtypes: list[torch.dtype] = []

    def forward(self, degraded: Tensor) -> Tensor:
        self.dtypes.append((degraded[0, 0, :2, :2] @ degraded[0, 0, :2, :2]).dtype)
        return super().forward(degraded)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Restorer]:
    """Makes a restorer with a loss in the catalogue, on a device with or without bfloat16."""

    def make(loss: float | None = 0.01, *, is_native: bool = True, **options: Any) -> Restorer:
        monkeypatch.setattr("restore.inference.restorer.has_native_bfloat16", lambda device: is_native)
        entry = dataclasses.replace(next(iter(load_catalogue().values())), bfloat16_loss=loss)
        return Restorer(options.pop("network", None) or Notes(), device="cpu", entry=entry, **options)

    return make


def computed_in(restorer: Restorer, picture: Any, **options: Any) -> list[torch.dtype]:
    network = restorer.network
    assert isinstance(network, Notes)
    network.dtypes.clear()
    restorer(picture, **options)
    return list(network.dtypes)


EIGHT_BITS = noise(8, 8, 3)


def test_auto_is_bfloat16_for_pictures_of_8_bits_only(measured: Callable[..., Restorer]) -> None:
    restorer = measured()
    pictures = [EIGHT_BITS, EIGHT_BITS.astype(np.uint16) * 257, EIGHT_BITS / np.float32(255)]
    assert [computed_in(restorer, p) for p in pictures] == [[torch.bfloat16], [torch.float32], [torch.float32]]
    tensor = torch.from_numpy(EIGHT_BITS).permute(2, 0, 1)[None]
    assert computed_in(restorer, tensor) == [torch.bfloat16]
    assert restorer.restore_picture(Picture(EIGHT_BITS)).precision == "bfloat16"
    assert restorer.restore_picture(Picture(EIGHT_BITS), strength=0).precision is None


@pytest.mark.parametrize(("loss", "is_native"), [(0.02, True), (None, True), (-0.01, False)])
def test_auto_is_float32_for_weights_that_lose_by_bfloat16_or_were_not_measured_and_where_it_is_not_native(
    measured: Callable[..., Restorer], loss: float | None, is_native: bool
) -> None:
    assert computed_in(measured(loss, is_native=is_native), EIGHT_BITS) == [torch.float32]


def test_auto_is_float32_for_weights_that_are_in_no_catalogue(measured: Callable[..., Restorer]) -> None:
    measured()
    assert computed_in(Restorer(Notes(), device="cpu"), EIGHT_BITS) == [torch.float32]


def test_a_precision_that_is_asked_for_is_that_of_every_picture(measured: Callable[..., Restorer]) -> None:
    for picture in (EIGHT_BITS, EIGHT_BITS / np.float32(255)):
        assert computed_in(measured(None, precision="bfloat16"), picture) == [torch.bfloat16]
        assert computed_in(measured(precision="float32"), picture) == [torch.float32]


def test_auto_takes_a_tensor_for_the_floats_that_it_is(measured: Callable[..., Restorer]) -> None:
    restorer = measured()
    network = restorer.network
    assert isinstance(network, Notes)
    for precision in (None, restorer.precision_for(np.uint8)):
        restorer.restore_tensor(torch.rand(1, 3, 8, 8), precision=precision)
    assert network.dtypes == [torch.float32, torch.bfloat16]


def test_every_turn_of_a_self_ensemble_is_in_the_pictures_precision(measured: Callable[..., Restorer]) -> None:
    assert computed_in(measured(), EIGHT_BITS, self_ensemble=True) == [torch.bfloat16] * 8


def test_what_auto_makes_infinite_is_computed_again_in_float32(measured: Callable[..., Restorer]) -> None:
    class TooLarge(TooLargeForHalf):
        def forward(self, degraded: Tensor) -> Tensor:
            restored = super().forward(degraded)
            return restored / 0 if self.dtypes[-1] == torch.bfloat16 else restored

    restored = measured(network=TooLarge())(EIGHT_BITS)
    np.testing.assert_array_equal(restored, EIGHT_BITS)


def test_auto_may_be_asked_for_at_a_call_and_what_is_no_precision_is_an_error() -> None:
    restorer, picture = Restorer(Identity(), device="cpu", precision="bfloat16"), Picture(noise(16, 16, 3))
    assert restorer.restore_picture(picture, precision="auto").precision == "float32"  # nobody measured these weights
    with pytest.raises(UsageError, match="unknown precision 'half'"):
        restorer.restore_picture(picture, precision="half")
    with pytest.raises(UsageError, match="unknown precision 'half'"):
        restorer.restore_tensor(torch.zeros(1, 3, 16, 16), precision="half")


def test_an_unknown_precision_is_an_error_that_lists_the_names() -> None:
    with pytest.raises(UsageError, match="unknown precision 'half'") as caught:
        Restorer(Identity(), device="cpu", precision="half")
    assert caught.value.hint == "choose one of auto, float32, bfloat16, float16"

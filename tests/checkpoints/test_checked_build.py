"""A config that does not fit its file is refused before its network takes memory or time."""

from __future__ import annotations

import json
import struct
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from restore import checkpoints
from restore.checkpoints.checked_build import TensorHead, _defaults, build, check_finite
from restore.errors import WeightsError
from restore.networks import NETWORKS, Network

SMALL: dict[str, dict[str, Any]] = {
    "cs-kit": {"dim": 8, "blocks": 1, "attend": [2]},
    "kit": {"dim": 8, "blocks": 1},
    "drsformer": {"dim": 8, "blocks": [1, 1, 1, 1]},
    "panet": {"dim": 8, "blocks": 2},
    "pa-edsr": {"dim": 8, "blocks": 2, "reduction": 2},
}


def header_of(name: str) -> dict[str, TensorHead]:
    state = NETWORKS[name](**SMALL[name]).state_dict()
    return {key: TensorHead(tuple(tensor.shape), "F32") for key, tensor in state.items()}


def one_tensor(path: Path, network: str, config: str) -> Path:
    """A checkpoint of one number."""
    metadata = {"format": "restore/1", "network": network, "task": "denoise", "config": config}
    header = {"__metadata__": metadata, "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(4))
    return path


@pytest.mark.parametrize("name", SMALL)
def test_a_network_that_fits_is_the_one_of_the_config(name: str) -> None:
    torch.manual_seed(0)
    expected = NETWORKS[name](**SMALL[name])
    header = header_of(name)
    torch.manual_seed(0)
    network = build(NETWORKS[name], SMALL[name], header)
    assert network.config == expected.config and network.halo == expected.halo
    for values, wanted in ((network.state_dict(), expected.state_dict()), (buffers(network), buffers(expected))):
        assert values.keys() == wanted.keys() and all(torch.equal(values[key], wanted[key]) for key in wanted)


def buffers(network: Network) -> dict[str, torch.Tensor]:
    return dict(network.named_buffers())


@pytest.mark.parametrize("value", [-1, 10**9, 10**30, "x", None, 1e400, [10**9], [[1]], {"a": 1}, [1] * 1000])
@pytest.mark.parametrize("name", SMALL)
def test_a_hostile_value_in_any_key_of_any_network_is_refused_at_once(name: str, value: object) -> None:
    kind, header = NETWORKS[name], header_of(name)
    for key, default in _defaults(kind).items():
        if (value is None and default is None) or (value == 10**9 and key == "seed"):
            continue  # which may be so
        begun = time.perf_counter()
        with pytest.raises(WeightsError, match=f"{key} in its config is "):
            build(kind, SMALL[name] | {key: value}, header)
        assert time.perf_counter() - begun < 2  # on a busy machine


@pytest.mark.parametrize("value", [0, 3, 7, 256])
@pytest.mark.parametrize("name", SMALL)
def test_a_small_wrong_number_gives_a_network_that_fits_or_an_error_in_a_second(name: str, value: int) -> None:
    kind, header = NETWORKS[name], header_of(name)
    for key, default in _defaults(kind).items():
        begun = time.perf_counter()
        wrong = [value] * 4 if isinstance(default, tuple) else [value] if default is None else value
        try:
            build(kind, SMALL[name] | {key: wrong}, header)
        except WeightsError as error:
            assert "its config" in error.message or "its tensors do not fit" in error.message
        assert time.perf_counter() - begun < 2  # on a busy machine


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("panet", {"channels": 3, "shuffle": 1, "dim": 256, "blocks": 2}, r"\(8,\), not \(256,\)"),
        ("kit", {"dim": 8, "blocks": 1, "heads": 3}, "heads in its config is 3, which does not divide 8 channels"),
        ("kit", {"dim": 8, "blocks": 1, "k": 251}, "no usable network"),  # pictures padded to 8032 pixels a side
        ("kit", {"dim": 8, "blocks": 1, "r": 64, "h": 256}, "no network can be built"),  # 15 thousand million rotations
        ("kit", {"dim": 8, "blocks": 1, "attend": [6, 7]}, "no network can be built"),
        ("pa-edsr", {"dim": 8, "blocks": 2, "scale": 5}, "no network can be built"),
        ("drsformer", {"dim": 8, "blocks": [1, 1, 1]}, "blocks in its config is .*, not a list of 4 times a whole"),
    ],
)
def test_values_in_their_range_that_make_no_usable_network_are_refused(
    name: str, config: dict[str, Any], message: str
) -> None:
    with pytest.raises(WeightsError, match=message):
        build(NETWORKS[name], config, header_of(name))


def test_a_picture_has_one_channel_or_three() -> None:
    shuffled = NETWORKS["panet"](dim=8, blocks=2, shuffle=2).state_dict()
    header = {key: TensorHead(tuple(tensor.shape), "F32") for key, tensor in shuffled.items()}
    build(NETWORKS["panet"], {"dim": 8, "blocks": 2, "shuffle": 2}, header)
    with pytest.raises(WeightsError, match="no usable network"):  # of the same shapes
        build(NETWORKS["panet"], {"dim": 8, "blocks": 2, "channels": 12}, header)


@pytest.mark.parametrize("config", [{"blocks": 6000}, {"blocks": 10**6}, {"dim": 10**7}])
def test_a_file_of_250_bytes_takes_neither_time_nor_memory(tmp_path: Path, config: dict[str, int]) -> None:
    path = one_tensor(tmp_path / "a.safetensors", "panet", json.dumps({"dim": 64, "shuffle": 2} | config))
    begun = time.perf_counter()
    with pytest.raises(WeightsError, match="in its config is"):
        checkpoints.load(path)
    assert time.perf_counter() - begun < 2  # on a busy machine


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_large_finite_values_are_finite(dtype: torch.dtype) -> None:
    largest = torch.full((9,), torch.finfo(dtype).max, dtype=dtype)  # whose sum is not
    check_finite({"a": largest})
    for wrong in (torch.inf, -torch.inf, torch.nan):
        largest[4] = wrong
        with pytest.raises(WeightsError, match="b has values that are not finite"):
            check_finite({"a": torch.ones(1), "b": largest})

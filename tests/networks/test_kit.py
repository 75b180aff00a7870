"""Which stages of KiT and CS-KiT attend."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from restore import checkpoints
from restore.errors import WeightsError
from restore.networks import NETWORKS, Network

SMALL = {"dim": 8, "h": 1, "shuffle": 2}
STAGES = ["encoder.0", "encoder.1", "encoder.2", "bottleneck", "decoder.0", "decoder.1", "decoder.2"]


def built(kind: str, attend: list[int] | None) -> Network:
    torch.manual_seed(0)
    return NETWORKS[kind](**SMALL, attend=attend).eval()


@pytest.mark.parametrize("kind", ["kit", "cs-kit"])
@pytest.mark.parametrize("attend", [[], [0], [2, 3, 4], [6]])
def test_only_the_stages_that_attend_have_parameters_for_it(kind: str, attend: list[int]) -> None:
    every, some = (dict(built(kind, stages).named_parameters()) for stages in (None, attend))
    of_attention = {key for key in every if any(part in key for part in (".attention.", ".norm1.", ".embed."))}
    kept = {key for key in of_attention if any(key.startswith(STAGES[stage] + ".") for stage in attend)}
    assert some.keys() == every.keys() - of_attention | kept


@pytest.mark.parametrize("kind", ["kit", "cs-kit"])
def test_a_network_whose_stages_do_not_attend_is_one_whose_attention_is_left_out(kind: str) -> None:
    whole, none, x = built(kind, None), built(kind, []), torch.rand(1, 3, 64, 128)
    none.load_state_dict({key: value for key, value in whole.state_dict().items() if key in none.state_dict()})
    with torch.no_grad():
        assert not torch.equal(whole(x), none(x))
        whole.use_attention(False)
        assert torch.equal(whole(x), none(x))


def test_putting_the_attention_back_reaches_only_the_stages_that_have_it() -> None:
    network, x = built("cs-kit", [3]), torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        before = network(x)
        network.use_attention(False)
        assert not torch.equal(network(x), before)
        network.use_attention(True)
        assert torch.equal(network(x), before)


def test_a_file_from_before_the_option_loads_with_every_stage_attending(tmp_path: Path) -> None:
    network, path, old = built("cs-kit", None), tmp_path / "new.safetensors", tmp_path / "old.safetensors"
    checkpoints.save(path, network, "cs-kit", {"task": "denoise"})
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    config = json.loads(metadata["config"])
    del config["attend"]
    save_file(load_file(path), old, metadata | {"config": json.dumps(config)})
    loaded, x = checkpoints.load(old)[0].eval(), torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(loaded(x), network(x))


def test_a_stage_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"stages 0 to 6, not all of \[2, 7\]"):
        built("kit", [2, 7])
    network, path = built("kit", [3]), tmp_path / "kit.safetensors"
    network.config["attend"] = [9]
    checkpoints.save(path, network, "kit", {"task": "denoise"})
    with pytest.raises(WeightsError, match=r"for kit: no network can be built from its config \{'attend': \[9\]"):
        checkpoints.load(path)

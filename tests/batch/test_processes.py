from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from restore.batch.processes import Rank, rank_from
from restore.errors import UsageError


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({"RANK": "one", "WORLD_SIZE": "2"}, "RANK is a number of 0 or more, not 'one'"),
        ({"RANK": "-1", "WORLD_SIZE": "2"}, "RANK is a number of 0 or more, not '-1'"),
        ({"RANK": "0", "WORLD_SIZE": "2.0"}, "WORLD_SIZE is a number of 0 or more"),
        ({"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "x"}, "LOCAL_RANK is a number of 0 or more"),
        ({"RANK": "2", "WORLD_SIZE": "2"}, "RANK must be below WORLD_SIZE, but they are 2 and 2"),
        ({"RANK": "0", "WORLD_SIZE": "0"}, "RANK must be below WORLD_SIZE"),
        ({"RANK": "0"}, "RANK and WORLD_SIZE, WORLD_SIZE is missing"),
        ({"WORLD_SIZE": "2"}, "RANK and WORLD_SIZE, RANK is missing"),
    ],
)
def test_an_environment_that_makes_no_sense_is_refused(environment: dict[str, str], why: str) -> None:
    with pytest.raises(UsageError, match=why) as raised:
        rank_from(environment)
    assert raised.value.hint is not None and "torchrun" in raised.value.hint


def test_without_a_launcher_one_process_is_alone() -> None:
    for environment in ({}, {"WORLD_SIZE": "1"}, {"RANK": "", "WORLD_SIZE": ""}, {"RANK": "0", "WORLD_SIZE": "1"}):
        assert rank_from(environment).is_alone
    assert Rank().path(Path("report.json")) == Path("report.json")


PLACES = [f"{folder}/IMG_{i:04}.jpg" for folder in "abc" for i in range(300)]


@pytest.mark.parametrize("count", [1, 2, 3, 16])
def test_every_picture_is_one_ranks_and_the_shares_are_about_as_large(count: int) -> None:
    shares = [[place for place in PLACES if Rank(index, count).owns(place)] for index in range(count)]
    assert sorted(place for share in shares for place in share) == PLACES
    assert all(0.5 < len(share) * count / len(PLACES) < 1.5 for share in shares)


def test_shares_are_the_same_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "from restore.batch.processes import Rank; print([i for i in range(50) if Rank(2, 3).owns(f'in/{i}.png')])"
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    own = [i for i in range(50) if Rank(2, 3).owns(f"in/{i}.png")]
    assert told == {f"{own}\n"} and 5 < len(own) < 30
    # BLAKE2b of 8 bytes, most significant first, modulo the count
    assert int(hashlib.blake2b(b"in/0.png", digest_size=8).hexdigest(), 16) % 3 == 2 and 0 in own
    accent, accent_of_macos = "in/\xe9.png", "in/e\u0301.png"
    for index in range(7):
        assert Rank(index, 7).owns(accent) == Rank(index, 7).owns(accent_of_macos)
    here = [Rank(0, 2).owns(place) for place in PLACES]
    monkeypatch.setattr(os, "sep", "\\")
    assert [Rank(0, 2).owns(place.replace("/", "\\")) for place in PLACES] == here


def test_names_that_are_not_text_have_a_share() -> None:
    assert sum(Rank(index, 3).owns("in/\udcff.png") for index in range(3)) == 1


def test_each_rank_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert [Rank(5, 8, local).device("auto") for local in (0, 1, 3)] == ["cuda:0", "cuda:1", "cuda:3"]
    assert Rank(5, 8, 1).device("cuda") == "cuda:1"
    assert [Rank(5, 8, 1).device(name) for name in ("cpu", "cuda:2")] == ["cpu", "cuda:2"]
    assert Rank().device("cuda") == "cuda"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)  # each process is shown its own only
    assert Rank(5, 8, 3).device("auto") == "cuda:0"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert Rank(5, 8, 3).device("auto") == "auto"

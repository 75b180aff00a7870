from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from restore.batch.planning import Job
from restore.batch.processes import Rank, rank_from, share
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


def jobs(folder: Path, sizes: list[int]) -> list[Job]:
    for i, size in enumerate(sizes):
        (folder / f"{i}.png").write_bytes(bytes(size))
    return [Job(folder / f"{i}.png", folder / "out" / f"{i}.png") for i in range(len(sizes))]


@pytest.mark.parametrize("count", [1, 2, 3, 9, 20])
def test_every_job_is_one_ranks_and_stays_in_order(tmp_path: Path, count: int) -> None:
    plan = jobs(tmp_path, [5, 0, 900, 20, 900, 3, 3, 3, 70])
    shares = [share(plan, Rank(index, count)) for index in range(count)]
    assert sorted((job for jobs in shares for job in jobs), key=plan.index) == plan
    assert all(jobs == sorted(jobs, key=plan.index) for jobs in shares)


def test_shares_have_about_as_many_bytes(tmp_path: Path) -> None:
    plan = jobs(tmp_path, [100, 10, 10, 30, 20, 30])
    assert [job.target.name for job in share(plan, Rank(0, 2)) if isinstance(job.target, Path)] == ["0.png"]
    assert len(share(plan, Rank(1, 2))) == 5  # 100 bytes in all


def test_shares_do_not_depend_on_what_other_ranks_have_written(tmp_path: Path) -> None:
    plan = jobs(tmp_path, [10, 20, 30, 40])
    plan[2] = Job(plan[2].source, plan[2].source)  # replaced, so its size is not to be relied on
    before = share(plan, Rank(1, 2))
    os.mkdir(tmp_path / "out")
    for name in ("out/0.png", "2.png"):
        (tmp_path / name).write_bytes(bytes(999))
    assert share(plan, Rank(1, 2)) == before


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

"""Which share of the pictures a process does, by what its launcher says."""

from __future__ import annotations

from typing import Any

import pytest

from restore.batch.launchers import in_words, parse_shard, share_of_run, unused_tasks
from restore.batch.processes import Rank
from restore.errors import UsageError

SRUN = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_NTASKS": "4", "SLURM_STEP_NUM_TASKS": "4"} | {
    "SLURM_PROCID": "2", "SLURM_LOCALID": "1",
}  # fmt: skip
MPI = {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "3", "OMPI_COMM_WORLD_LOCAL_RANK": "0"}
TORCHRUN = {"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}
KUBERNETES = {"JOB_COMPLETION_INDEX": "4", "JOB_COMPLETIONS": "5"}
SCRIPT = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "16", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}  # of sbatch


def array(number: int, first: int, last: int, count: int, step: int = 1) -> dict[str, str]:
    values = {"ID": number, "MIN": first, "MAX": last, "COUNT": count, "STEP": step}
    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in values.items()}


@pytest.mark.parametrize(
    ("environment", "share", "local", "launcher"),
    [
        (SRUN, "3/4", 1, "srun"),
        ({"SLURM_STEPID": "0", "SLURM_PROCID": "0", "SLURM_NTASKS": "2"}, "1/2", 0, "srun"),
        (MPI, "2/3", 0, "Open MPI"),
        (TORCHRUN, "4/8", 1, "torchrun"),
        (KUBERNETES, "5/5", 0, "Kubernetes job"),
        (array(0, 0, 15, 16), "1/16", 0, "SLURM array"),
        (array(16, 1, 16, 16), "16/16", 0, "SLURM array"),
        (array(5, 1, 7, 4, step=2), "3/4", 0, "SLURM array"),
        (SCRIPT | array(2, 1, 3, 3), "2/3", 0, "SLURM array"),
        (SRUN | array(1, 0, 2, 3), "7/12", 1, "SLURM array and srun"),
        (MPI | SRUN, "2/3", 0, "Open MPI"),  # whose daemons are tasks of srun
        (TORCHRUN | SRUN | {"GROUP_WORLD_SIZE": "4"}, "4/8", 1, "torchrun"),
        (SRUN | {"RANK": "2", "WORLD_SIZE": "4"}, "3/4", 2, "torchrun"),
    ],
)  # fmt: skip
def test_the_share_is_that_of_the_launcher(environment: dict[str, str], share: str, local: int, launcher: str) -> None:
    rank = share_of_run(environment, None)
    assert (rank.share, rank.local, rank.launcher) == (share, local, launcher)
    assert rank.label == f"rank {rank.index}"


@pytest.mark.parametrize(
    "environment",
    [
        {},
        SCRIPT,
        {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "16"},  # the shell of salloc
        SCRIPT | {"SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "1"},  # sbatch typed into srun --pty bash
        {"SLURM_ARRAY_TASK_MIN": "0", "SLURM_ARRAY_TASK_MAX": "3"},
        array(5, 5, 5, 1),
        {"JOB_COMPLETIONS": "4"},
        {"OMPI_COMM_WORLD_RANK": "", "RANK": ""},
    ],
)
def test_a_script_or_shell_of_a_cluster_takes_all_pictures(environment: dict[str, str]) -> None:
    assert share_of_run(environment, None).is_alone


def test_tasks_that_a_script_leaves_unused_are_counted() -> None:
    assert unused_tasks(SCRIPT) == 16
    assert [unused_tasks(one) for one in (SRUN, {}, {"SLURM_NTASKS": "16"}, SCRIPT | {"SLURM_NTASKS": "x"})] == [0] * 4


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({"SLURM_PROCID": "2", "SLURM_NTASKS": "4"}, "SLURM_STEP_ID is missing"),
        ({"SLURM_STEP_ID": "0", "SLURM_PROCID": "2"}, "of SLURM_PROCID and SLURM_NTASKS, SLURM_NTASKS is missing"),
        ({"SLURM_STEP_ID": "0", "SLURM_NTASKS": "2"}, "of SLURM_PROCID and SLURM_NTASKS, SLURM_PROCID is missing"),
        (SRUN | {"SLURM_PROCID": "4"}, "SLURM_PROCID must be below SLURM_NTASKS, but they are 4 and 4"),
        (SRUN | {"SLURM_NTASKS": "3"}, "contradict each other: they are 3 and 4"),
        (SRUN | {"SLURM_PROCID": "x"}, "SLURM_PROCID is a number of 0 or more, not 'x'"),
        ({"OMPI_COMM_WORLD_RANK": "1"}, "OMPI_COMM_WORLD_SIZE is missing"),
        ({"OMPI_COMM_WORLD_SIZE": "1"}, "OMPI_COMM_WORLD_RANK is missing"),
        (MPI | {"OMPI_COMM_WORLD_RANK": "3"}, "OMPI_COMM_WORLD_RANK must be below OMPI_COMM_WORLD_SIZE"),
        ({"JOB_COMPLETION_INDEX": "1"}, "of JOB_COMPLETION_INDEX and JOB_COMPLETIONS, JOB_COMPLETIONS is missing"),
        ({"JOB_COMPLETION_INDEX": "5", "JOB_COMPLETIONS": "5"}, "JOB_COMPLETION_INDEX must be below"),
        ({"SLURM_ARRAY_TASK_ID": "3"}, "SLURM_ARRAY_TASK_ID is set, but SLURM_ARRAY_TASK_MIN is missing"),
        (array(7, 0, 7, 3), "the SLURM array from 0 to 7 has 3 tasks, so the share of task 7 is not known"),
        (array(4, 1, 7, 4, step=2), "the share of task 4 is not known"),
        (array(9, 1, 7, 7), "the share of task 9 is not known"),
        (array(1, 0, 2, 3) | KUBERNETES, "a SLURM array and of a Kubernetes job"),
        (TORCHRUN | SRUN | {"GROUP_WORLD_SIZE": "1"}, "torchrun has 1 groups of processes, but srun started 4"),
        (TORCHRUN | MPI, "torchrun has 8 groups of processes, but Open MPI started 3"),
        ({"RANK": "1"}, "WORLD_SIZE is missing"),
    ],
)
def test_variables_that_are_missing_or_contradict_each_other_are_one_error(
    environment: dict[str, str], why: str
) -> None:
    with pytest.raises(UsageError, match=why) as raised:
        share_of_run(environment, None)
    assert raised.value.hint
    assert share_of_run(environment, "2/3") == parse_shard("2/3")  # the option wins, and they do not count


@pytest.mark.parametrize("text", ["", "0/3", "4/3", "1", "1/0", "a/3", "-1/3", "1/3/3", "\u0661/3", "1 / 3", "1.0/3"])
def test_a_shard_is_one_of_all_counted_from_1(text: str) -> None:
    with pytest.raises(UsageError, match="--shard is a share such as 3/16") as raised:
        parse_shard(text)
    assert raised.value.hint == "the first of 16 is 1/16, the last 16/16"


def test_all_shards_are_all_ranks() -> None:
    ranks = [share_of_run(TORCHRUN, f"{number}/3") for number in (1, 2, 3)]
    assert ranks == [Rank(index, 3) for index in range(3)]
    assert [rank.label for rank in ranks] == ["shard 1/3", "shard 2/3", "shard 3/3"]
    assert share_of_run(KUBERNETES, "1/1").is_alone


@pytest.mark.parametrize(("environment", "is_shared"), [(array(1, 0, 2, 3), False), (KUBERNETES, False), (MPI, True)])
def test_each_task_of_an_array_restores_the_one_picture_that_it_is_given(environment: Any, is_shared: bool) -> None:
    assert share_of_run(environment, None, takes_one=True).is_alone != is_shared


def test_a_task_of_an_array_is_told_how_to_take_all() -> None:
    told = in_words(share_of_run(array(2, 1, 3, 3), None), 5, 17)
    assert told == "share 2/3 (SLURM array): 5 of 17 pictures; --shard 1/1 takes all"
    assert in_words(share_of_run(SRUN, None), 5, 17) == "share 3/4 (srun): 5 of 17 pictures"

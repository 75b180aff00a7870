"""Which share of the pictures a process does, from the variables of torchrun, MPI, SLURM and Kubernetes."""

from __future__ import annotations

import re
from collections.abc import Mapping

from restore.batch.processes import Rank, number_in, rank_from
from restore.errors import UsageError

_MPI = "OMPI_COMM_WORLD_"
_ARRAY = "SLURM_ARRAY_TASK_"
_TO_ALL = "--shard 1/1 takes all pictures"


def share_of_run(environment: Mapping[str, str], shard: str | None, *, takes_one: bool = False) -> Rank:
    """The share of this process.

    `shard` wins, and the environment does not count then. Otherwise torchrun, Open MPI or srun number the processes of
    a job, and a SLURM array or an indexed job of Kubernetes numbers such jobs; with both, the shares multiply.
    The tasks of an array do not know each other, so an input of one picture is not shared among them.
    An sbatch script and the shell of salloc have variables of SLURM, but are one process: they do all the work.

    Args:
        environment: The variables.
        shard: The value of `--shard`, such as 3/16; the first is 1.
        takes_one: The input is one picture, not a folder, a pattern or several files.

    Raises:
        UsageError: Variables are missing, are no numbers or contradict each other.

    >>> share_of_run({}, "3/16").label
    'shard 3/16'
    >>> share_of_run({"SLURM_STEP_ID": "0", "SLURM_PROCID": "2", "SLURM_NTASKS": "4"}, None).label
    'rank 2'
    """
    if shard is not None:
        return parse_shard(shard)
    outer = Rank() if takes_one else _array_or_indexed_job(environment)
    inner = _process_of_job(environment)
    if inner.is_alone or outer.is_alone:
        return outer if inner.is_alone else inner
    launcher = f"{outer.launcher} and {inner.launcher}"
    return Rank(outer.index * inner.count + inner.index, outer.count * inner.count, inner.local, launcher)


def parse_shard(text: str) -> Rank:
    """The value of `--shard`.

    >>> parse_shard("3/16").index
    2

    Raises:
        UsageError: It is not such a share.
    """
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text, re.ASCII)
    number, count = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= number <= count:
        raise UsageError(
            f"--shard is a share such as 3/16, not {text!r}", hint="the first of 16 is 1/16, the last 16/16"
        )
    return Rank(number - 1, count, 0, "--shard")


def in_words(rank: Rank, own: int, total: int) -> str:
    """What a share is, for the user.

    >>> in_words(Rank(2, 16, launcher="srun"), 62, 1000)
    'share 3/16 (srun): 62 of 1000 pictures'
    """
    # The tasks of an array may also have been given different inputs, each of which is then shared.
    by_job = "; --shard 1/1 takes all" if re.search("array|Kubernetes", rank.launcher) else ""
    return f"share {rank.share} ({rank.launcher}): {own} of {total} pictures{by_job}"


def unused_tasks(environment: Mapping[str, str]) -> int:
    """The tasks that SLURM has for a job, if this process is its script or shell and does all the work; else 0."""
    tasks = environment.get("SLURM_NTASKS", "")
    is_step = any(environment.get(name) for name in ("SLURM_STEP_ID", "SLURM_STEPID"))
    return int(tasks) if environment.get("SLURM_PROCID") and not is_step and _is_number(tasks) else 0


def _process_of_job(environment: Mapping[str, str]) -> Rank:
    """The process among those of one job. torchrun and Open MPI may themselves run in tasks of srun."""
    torchrun, mpi, srun = rank_from(environment), _mpi(environment), _srun(environment)
    if torchrun.is_alone:
        return srun if mpi.is_alone else mpi
    above = srun if mpi.is_alone else mpi
    agents = number_in(environment, "GROUP_WORLD_SIZE") or torchrun.count  # which torchrun sets: one for each machine
    if not above.is_alone and agents != above.count:
        raise UsageError(
            f"torchrun has {agents} groups of processes, but {above.launcher} started {above.count}",
            hint="start one torchrun for each machine with --nnodes and --rdzv-endpoint, or use --shard",
        )
    return torchrun


def _mpi(environment: Mapping[str, str]) -> Rank:
    index, count = (number_in(environment, _MPI + name) for name in ("RANK", "SIZE"))
    if index is None and count is None:
        return Rank()
    local = number_in(environment, _MPI + "LOCAL_RANK")
    return _checked((_MPI + "RANK", index), (_MPI + "SIZE", count), local, "Open MPI", "start it with mpirun")


def _srun(environment: Mapping[str, str]) -> Rank:
    index, tasks = (number_in(environment, name) for name in ("SLURM_PROCID", "SLURM_NTASKS"))
    of_step = number_in(environment, "SLURM_STEP_NUM_TASKS")
    if not any(environment.get(name) for name in ("SLURM_STEP_ID", "SLURM_STEPID")):
        if index:  # not 0, so this is no script
            raise UsageError(f"SLURM_PROCID is {index}, but SLURM_STEP_ID is missing", hint=f"use srun; {_TO_ALL}")
        return Rank()
    if of_step == 1 or (of_step is None and tasks == 1):  # also a shell of srun --pty, with what it starts
        return Rank()
    if of_step is not None and tasks is not None and of_step != tasks:
        raise UsageError(
            f"SLURM_NTASKS and SLURM_STEP_NUM_TASKS contradict each other: they are {tasks} and {of_step}",
            hint=f"use srun; {_TO_ALL}",
        )
    if index is None and of_step is None and tasks is None:
        return Rank()
    local = number_in(environment, "SLURM_LOCALID")
    return _checked(("SLURM_PROCID", index), ("SLURM_NTASKS", tasks or of_step), local, "srun", "use srun")


def _array_or_indexed_job(environment: Mapping[str, str]) -> Rank:
    array, indexed = _array(environment), _indexed_job(environment)
    if not array.is_alone and not indexed.is_alone:
        raise UsageError("this is a task of a SLURM array and of a Kubernetes job", hint="use --shard, such as 3/16")
    return indexed if array.is_alone else array


def _array(environment: Mapping[str, str]) -> Rank:
    names = [_ARRAY + name for name in ("ID", "MIN", "MAX", "COUNT", "STEP")]
    number, first, last, count, step = (number_in(environment, name) for name in names)
    if number is None:
        return Rank()
    if first is None or last is None or count is None:
        missing = next(name for name, value in zip(names[1:], (first, last, count), strict=False) if value is None)
        raise UsageError(f"{names[0]} is set, but {missing} is missing", hint=f"use --shard, such as 3/16; {_TO_ALL}")
    # The step is that of the command; for a list of numbers it says nothing, and their places are not known.
    index, rest = divmod(number - first, step or 1)
    if rest or not first <= number <= last or (last - first) // (step or 1) + 1 != count:
        raise UsageError(
            f"the SLURM array from {first} to {last} has {count} tasks, so the share of task {number} is not known",
            hint=f"use numbers without gaps, such as --array=1-16, or --shard; {_TO_ALL}",
        )
    return Rank(index, count, 0, "SLURM array")


def _indexed_job(environment: Mapping[str, str]) -> Rank:
    names = "JOB_COMPLETION_INDEX", "JOB_COMPLETIONS"
    index, count = (number_in(environment, name) for name in names)
    if index is None:
        return Rank()
    hint = f"set JOB_COMPLETIONS to the job's `completions`, or use --shard; {_TO_ALL}"
    return _checked((names[0], index), (names[1], count), 0, "Kubernetes job", hint)


def _checked(
    index: tuple[str, int | None], count: tuple[str, int | None], local: int | None, launcher: str, hint: str
) -> Rank:
    """The rank of two variables: names and values.

    Raises:
        UsageError: One is missing, or they contradict each other.
    """
    for name, value in (index, count):
        if value is None:
            raise UsageError(f"of {index[0]} and {count[0]}, {name} is missing", hint=hint)
    assert index[1] is not None and count[1] is not None
    if index[1] >= count[1]:
        raise UsageError(f"{index[0]} must be below {count[0]}, but they are {index[1]} and {count[1]}", hint=hint)
    return Rank(index[1], count[1], index[1] if local is None else local, launcher)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()

"""Several processes that share the work: each knows its number and their count, and they need not talk."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from restore.errors import UsageError

if TYPE_CHECKING:
    from restore.batch.planning import Job


@dataclass(frozen=True)
class Rank:
    """One of `count` processes.

    Attributes:
        index: Its number, from 0.
        count: The number of processes.
        local: Its number among the processes of this machine.
    """

    index: int = 0
    count: int = 1
    local: int = 0

    @property
    def is_alone(self) -> bool:
        """Whether it is the only process."""
        return self.count == 1

    def device(self, name: str) -> str:
        """The device of this process if all use `name`: each gets its own GPU."""
        if self.is_alone or name not in ("auto", "cuda"):
            return name
        import torch

        if not torch.cuda.is_available():
            return name
        # Some launchers show each process only its own GPU, which is then cuda:0.
        return f"cuda:{self.local % torch.cuda.device_count()}"

    def path(self, path: Path) -> Path:
        """A file of this process alone if all are told to write to `path`.

        >>> Rank(1, 2).path(Path("report.json")).name
        'report.rank1.json'
        """
        return path if self.is_alone else path.with_name(f"{path.stem}.rank{self.index}{path.suffix}")


def rank_from(environment: Mapping[str, str]) -> Rank:
    """The rank that a launcher such as torchrun sets: RANK, WORLD_SIZE, LOCAL_RANK.

    >>> rank_from({"RANK": "1", "WORLD_SIZE": "2"})
    Rank(index=1, count=2, local=1)
    >>> rank_from({})
    Rank(index=0, count=1, local=0)

    Raises:
        UsageError: They are not numbers, or they contradict each other.
    """
    values = {name: environment[name] for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK") if environment.get(name)}
    hint = "start it with torchrun, or `unset RANK WORLD_SIZE LOCAL_RANK`"
    for name, text in values.items():
        if not (text.isascii() and text.isdigit()):
            raise UsageError(f"the environment variable {name} is a number of 0 or more, not {text!r}", hint=hint)
    if "RANK" not in values and int(values.get("WORLD_SIZE", "1")) == 1:
        return Rank()
    for name in ("RANK", "WORLD_SIZE"):
        if name not in values:
            raise UsageError(f"of the environment variables RANK and WORLD_SIZE, {name} is missing", hint=hint)
    index, count = int(values["RANK"]), int(values["WORLD_SIZE"])
    if index >= count:
        raise UsageError(f"RANK must be below WORLD_SIZE, but they are {index} and {count}", hint=hint)
    return Rank(index, count, int(values.get("LOCAL_RANK", index)))


def share(jobs: Sequence[Job], rank: Rank) -> list[Job]:
    """The jobs of one rank, in their order. Each job belongs to one rank; all ranks read about as many bytes.

    All ranks compute the same shares if they see the same inputs. Existing outputs do not matter.
    """
    sizes = [_size(job) for job in jobs]
    load = [0] * rank.count
    owner = [0] * len(jobs)
    for i in sorted(range(len(jobs)), key=lambda i: -sizes[i]):  # the largest first, each to the rank with the least
        owner[i] = load.index(min(load))
        load[owner[i]] += sizes[i]
    return [job for job, index in zip(jobs, owner, strict=True) if index == rank.index]


def _size(job: Job) -> int:
    """Bytes to read; 1 for a picture that replaces its source, because another rank may have replaced it."""
    if not isinstance(job.source, Path) or not isinstance(job.target, Path):
        return 1
    try:
        return 1 if os.path.realpath(job.source) == os.path.realpath(job.target) else 1 + job.source.stat().st_size
    except OSError:
        return 1


def leave(rank: Rank, *, has_failed: bool) -> None:
    """Note that this rank is done. Under torchrun, a rank that has failed waits until all are done.

    torchrun ends all processes as soon as one fails; a broken picture must not stop the other ranks.
    """
    if rank.is_alone or os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return
    from torch.distributed.rendezvous import rendezvous

    store, _, _ = next(rendezvous("env://"))
    done = store.add("restore/done", 1)
    while has_failed and done < rank.count:
        time.sleep(0.2)
        done = store.add("restore/done", 0)

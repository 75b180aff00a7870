"""Several processes that share the work: each knows its number and how many there are, and needs nobody to ask."""

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
        count: How many there are.
        local: Its number among those of this machine.
    """

    index: int = 0
    count: int = 1
    local: int = 0

    @property
    def is_alone(self) -> bool:
        """Whether there is no other."""
        return self.count == 1

    def device(self, name: str) -> str:
        """The device of this process where all are told to use `name`: each has a GPU of its own."""
        import torch

        if self.is_alone or name not in ("auto", "cuda") or not torch.cuda.is_available():
            return name
        # Some launchers show a process its own GPU only, which is cuda:0 then.
        return f"cuda:{self.local % torch.cuda.device_count()}"

    def path(self, path: Path) -> Path:
        """A file of this process's own where all are told to write to `path`.

        >>> Rank(1, 2).path(Path("report.json")).name
        'report.rank1.json'
        """
        return path if self.is_alone else path.with_name(f"{path.stem}.rank{self.index}{path.suffix}")


def rank_from(environment: Mapping[str, str]) -> Rank:
    """The rank that a launcher such as torchrun says: RANK, WORLD_SIZE, LOCAL_RANK.

    >>> rank_from({"RANK": "1", "WORLD_SIZE": "2"})
    Rank(index=1, count=2, local=1)
    >>> rank_from({})
    Rank(index=0, count=1, local=0)

    Raises:
        UsageError: They are no numbers, or do not fit each other.
    """
    values = {name: environment[name] for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK") if environment.get(name)}
    hint = "run it under torchrun, or `unset RANK WORLD_SIZE LOCAL_RANK`"
    for name, text in values.items():
        if not (text.isascii() and text.isdigit()):
            raise UsageError(f"the environment variable {name} is a number from 0 on, not {text!r}", hint=hint)
    if "RANK" not in values and int(values.get("WORLD_SIZE", "1")) == 1:
        return Rank()
    for name in ("RANK", "WORLD_SIZE"):
        if name not in values:
            raise UsageError(f"of the environment variables RANK and WORLD_SIZE only {name} is missing", hint=hint)
    index, count = int(values["RANK"]), int(values["WORLD_SIZE"])
    if index >= count:
        raise UsageError(f"RANK is below WORLD_SIZE, but they are {index} and {count}", hint=hint)
    return Rank(index, count, int(values.get("LOCAL_RANK", index)))


def share(jobs: Sequence[Job], rank: Rank) -> list[Job]:
    """The jobs of one rank, in their order: every job is one rank's, and all have about as many bytes to read.

    All ranks agree without a word as long as they see the same files, whichever outputs are there already.
    """
    sizes = [_size(job) for job in jobs]
    load = [0] * rank.count
    owner = [0] * len(jobs)
    for i in sorted(range(len(jobs)), key=lambda i: -sizes[i]):  # the largest first, each to who has least
        owner[i] = load.index(min(load))
        load[owner[i]] += sizes[i]
    return [job for job, index in zip(jobs, owner, strict=True) if index == rank.index]


def _size(job: Job) -> int:
    """Bytes to read; 1 for a picture that is replaced, for another rank may have done so already."""
    if not isinstance(job.source, Path) or not isinstance(job.target, Path):
        return 1
    try:
        return 1 if os.path.realpath(job.source) == os.path.realpath(job.target) else 1 + job.source.stat().st_size
    except OSError:
        return 1


def leave(rank: Rank, *, has_failed: bool) -> None:
    """Note that this rank is done; one that has failed waits until all are, where torchrun is the launcher.

    torchrun ends all processes as soon as one fails, and pictures that failed must not cost the others theirs.
    """
    if rank.is_alone or os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return
    from torch.distributed.rendezvous import rendezvous

    store, _, _ = next(rendezvous("env://"))
    done = store.add("restore/done", 1)
    while has_failed and done < rank.count:
        time.sleep(0.2)
        done = store.add("restore/done", 0)

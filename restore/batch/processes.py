"""Several processes that share the work: each knows its number and their count, and they need not talk."""

from __future__ import annotations

import hashlib
import os
import time
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from restore.errors import UsageError


@dataclass(frozen=True)
class Rank:
    """One of `count` processes.

    Attributes:
        index: Its number, from 0.
        count: The number of processes.
        local: Its number among the processes of this machine.
        launcher: What says so, such as `srun`; `--shard` is the option.
    """

    index: int = 0
    count: int = 1
    local: int = 0
    launcher: str = field(default="", compare=False)

    @property
    def is_alone(self) -> bool:
        """Whether it is the only process."""
        return self.count == 1

    @property
    def label(self) -> str:
        """Its name in what it says: ranks count from 0, shards from 1 as `--shard` does."""
        return f"shard {self.share}" if self.launcher == "--shard" else f"rank {self.index}"

    @property
    def share(self) -> str:
        """Its share as `--shard` takes it.

        >>> Rank(2, 16).share
        '3/16'
        """
        return f"{self.index + 1}/{self.count}"

    def owns(self, place: str) -> bool:
        """Whether a picture is in its share: by a hash of the path relative to the input.

        The same on every machine, whatever other pictures there are, and without a look at the file.
        """
        if self.is_alone:
            return True
        # Windows has other separators, and macOS other forms of accents.
        text = unicodedata.normalize("NFC", place.replace(os.sep, "/"))
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return int.from_bytes(digest, "big") % self.count == self.index

    def device(self, name: str) -> str:
        """The device of this process if all use `name`: each gets its own GPU."""
        if self.is_alone or name not in ("auto", "cuda"):
            return name
        try:
            import torch
        except ImportError:  # networks run in ONNX Runtime
            return name
        if not torch.cuda.is_available():
            return name
        # Some launchers show each process only its own GPU, which is then cuda:0.
        return f"cuda:{self.local % torch.cuda.device_count()}"

    def path(self, path: Path) -> Path:
        """A file of this process alone if all are told to write to `path`.

        >>> Rank(1, 2).path(Path("report.json")).name
        'report.rank1.json'
        >>> Rank(2, 16, launcher="--shard").path(Path("report.json")).name
        'report.shard3.json'
        """
        number = f"shard{self.index + 1}" if self.launcher == "--shard" else f"rank{self.index}"
        return path if self.is_alone else path.with_name(f"{path.stem}.{number}{path.suffix}")


def rank_from(environment: Mapping[str, str]) -> Rank:
    """The rank that a launcher such as torchrun sets: RANK, WORLD_SIZE, LOCAL_RANK.

    >>> rank_from({"RANK": "1", "WORLD_SIZE": "2"})
    Rank(index=1, count=2, local=1, launcher='torchrun')
    >>> rank_from({}).is_alone
    True

    Raises:
        UsageError: They are not numbers, or they contradict each other.
    """
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    hint = "start it with torchrun, or `unset RANK WORLD_SIZE LOCAL_RANK`"
    index, count, local = (number_in(environment, name, hint) for name in names)
    if index is None and count in (None, 1):
        return Rank()
    if index is None or count is None:
        missing = "RANK" if index is None else "WORLD_SIZE"
        raise UsageError(f"of the environment variables RANK and WORLD_SIZE, {missing} is missing", hint=hint)
    if index >= count:
        raise UsageError(f"RANK must be below WORLD_SIZE, but they are {index} and {count}", hint=hint)
    return Rank(index, count, index if local is None else local, "torchrun")


def number_in(environment: Mapping[str, str], name: str, hint: str = "") -> int | None:
    """The number in an environment variable; None if it is not set or empty.

    Raises:
        UsageError: It is no number of 0 or more.
    """
    text = environment.get(name)
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise UsageError(
            f"the environment variable {name} is a number of 0 or more, not {text!r}", hint=hint or f"`unset {name}`"
        )
    return int(text)


def leave(rank: Rank, *, has_failed: bool) -> None:
    """Note that this rank is done. Under torchrun, a rank that has failed waits until all are done.

    torchrun ends all processes as soon as one fails; a broken picture must not stop the other ranks.
    """
    if rank.is_alone or "torchrun" not in rank.launcher or os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return
    from torch.distributed.rendezvous import rendezvous

    store, _, _ = next(rendezvous("env://"))
    done = store.add("restore/done", 1)
    count = rank_from(os.environ).count  # in an array of such jobs, the rank is one of more
    while has_failed and done < count:
        time.sleep(0.2)
        done = store.add("restore/done", 0)

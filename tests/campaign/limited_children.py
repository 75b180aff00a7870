"""Runs each case in a child process with limits of time and memory, forked from a process that has imported `restore`.

`Children` starts this file as a program: it imports once, then forks per case. So a case costs milliseconds, and no
crash, hang or memory of a case reaches the tests.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

TESTS = Path(__file__).parents[1]
SECONDS = 10
"""Most wall-clock seconds of a case."""
MEMORY = 2 << 30
"""Most bytes of a case, beyond what the imports take."""


@dataclass(frozen=True)
class Result:
    """What became of a case.

    Attributes:
        status: "restored", "refused" (with one clear error), or "failed".
        words: The error, or why it counts as failed.
        seconds: Wall-clock time.
        memory: Peak bytes beyond what the imports take.
    """

    status: str
    words: str
    seconds: float
    memory: int


class Children:
    """A context manager that runs cases, one after the other.

    Args:
        function: `module:name` of a function that takes one string and returns "restored" or "refused: ...". Any
            exception, death or breach of a limit counts as failed.
    """

    def __init__(self, function: str) -> None:
        self._function = function

    def __enter__(self) -> Children:
        folders = [str(TESTS), str(TESTS / "campaign"), str(TESTS.parent), os.environ.get("PYTHONPATH", "")]
        self._process = subprocess.Popen(
            [sys.executable, __file__, self._function],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(filter(None, folders)),
                "OMP_NUM_THREADS": "1",
                "OPENBLAS_NUM_THREADS": "1",
            },
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(SECONDS)

    def run(self, case: str) -> Result:
        """Run one case."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(case) + "\n")
        self._process.stdin.flush()
        return Result(**json.loads(self._process.stdout.readline()))


@dataclass
class Figures:
    """What a campaign prints: tried, survived, failed, and the worst of time and memory."""

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0
    memory: int = 0

    def add(self, name: str, result: Result) -> None:
        """Count one result."""
        self.counts[result.status] += 1
        self.seconds, self.memory = max(self.seconds, result.seconds), max(self.memory, result.memory)
        if result.status == "failed":
            self.failures.append(f"{name}: {result.words}")

    def __str__(self) -> str:
        tried, failed = sum(self.counts.values()), self.counts["failed"]
        return (
            f"tried {tried:,}: restored {self.counts['restored']:,}, refused {self.counts['refused']:,}, "
            f"failed {failed:,}; at most {self.seconds:.1f} s and {self.memory / 1e6:,.0f} MB"
        )

    def check(self, what: str) -> None:
        """Print the figures; fail with the first failures."""
        print(f"\n{what}: {self}", flush=True)
        assert not self.failures, "\n".join(self.failures[:20])


def run_all(function: str, cases: Iterable[tuple[str, str]], what: str) -> Figures:
    """Run cases of (name, argument) and check that none failed."""
    figures = Figures()
    with Children(function) as children:
        for name, case in cases:
            figures.add(name, children.run(case))
    figures.check(what)
    return figures


# ------------------------------------------------------------------------------------------------- in the child process


def _serve(function: str) -> None:
    """Answer each line of stdin, a case in JSON, with a line of a result."""
    import importlib

    module, name = function.split(":")
    work = getattr(importlib.import_module(module), name)
    for line in sys.stdin:
        print(json.dumps(_in_child(work, json.loads(line))), flush=True)


def _in_child(work: Any, case: str) -> dict[str, Any]:
    import signal
    import time

    receiving, sending = os.pipe()
    begun = time.monotonic()
    child = os.fork()
    if child == 0:
        os.close(receiving)
        signal.alarm(SECONDS + 1)  # its default action ends the process, also within C
        _limit_memory()
        _be_quiet()
        try:
            words = work(case)
        except MemoryError:
            words = "failed: MemoryError"
        except BaseException as error:  # whatever a case does
            words = f"failed: {type(error).__name__}: {error}"
        os.write(sending, words.encode("utf-8", "backslashreplace")[:2000])
        os._exit(0)
    os.close(sending)
    with os.fdopen(receiving, "rb") as pipe:
        words = pipe.read().decode("utf-8", "replace")
    _, status, used = os.wait4(child, 0)
    seconds, memory = time.monotonic() - begun, max(0, 1024 * used.ru_maxrss - _IDLE)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        words = f"failed: {'hang' if number == signal.SIGALRM else signal.Signals(number).name}"
    elif seconds > SECONDS:
        words = f"failed: {seconds:.1f} s"
    elif memory > MEMORY:
        words = f"failed: {memory / 1e9:.1f} GB"
    status_word, _, rest = words.partition(": ")
    if status_word not in ("restored", "refused"):
        status_word, rest = "failed", rest or words or "no answer"
    return {"status": status_word, "words": rest, "seconds": seconds, "memory": memory}


def _limit_memory() -> None:
    """Twice the limit, to protect the machine: within it a breach is measured, not provoked."""
    import resource

    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + 2 * MEMORY, held + 2 * MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _be_quiet() -> None:
    """Whatever C prints goes nowhere: tests of messages look at it elsewhere."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)


_IDLE = 0

if __name__ == "__main__":
    import resource

    import restore.images

    if not sys.argv[1].endswith((":copied", ":cut")):
        import restore.networks
        import restore.training.recipe  # noqa: F401
    _IDLE = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _serve(sys.argv[1])

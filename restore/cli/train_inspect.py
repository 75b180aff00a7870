"""`restore train inspect`: the network behind `restore inspect`, which has no recipe."""

from __future__ import annotations

import sys
from pathlib import Path

from restore.cli.streams import one_line, say
from restore.errors import UsageError

NAME = "inspect"
SECONDS = 1800.0  # what a run takes if nothing else is said


def train_inspect(
    data: Path | None, out: Path, *, clean: Path | None, degraded: Path | None, seconds: float, threads: int | None,
    workers: int, others: bool,
) -> None:  # fmt: skip
    """Train on clean photos, with the rain of pairs if they are given; print how well it tells each fault.

    Args:
        others: Whether an option was given that has no meaning here.

    Raises:
        UsageError: Photos are missing, one of two folders is missing, or `others`.
    """
    if others or data is None:
        raise UsageError(
            "`restore train inspect` needs --data" if data is None else "`restore train inspect` has no recipe",
            hint="give --data DIR --out RUN, and if you like --clean, --degraded, --max-time, --threads, --workers",
        )
    if (clean is None) != (degraded is None):
        raise UsageError("--clean and --degraded go together", hint="give both folders of rain pairs, or neither")
    import torch

    from restore.training.inspection.fitting import Report, fit

    if threads is not None:
        torch.set_num_threads(threads)

    def show(report: Report) -> None:
        say(f"batch {report.step}: loss {report.loss:.3f}, {report.share:.0%} of the time")

    pairs = None if clean is None or degraded is None else (clean, degraded)
    found = fit(data, out, pairs=pairs, seconds=seconds, workers=workers, on_report=show)
    for claim, right in found.right.items():
        say(f"{claim}: {right:.1%} of held-out crops right, true and false ones weighted alike")
    print(one_line(str(found.path), sys.stdout))

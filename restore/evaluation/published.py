"""Published figures: what the papers state for a set, a task and a level."""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path


@dataclass(frozen=True)
class Published:
    """One row of a paper's table, with the digits that it prints.

    Attributes:
        set: Name of the dataset.
        task: Key of `TASKS`.
        level: Sigma, JPEG quality or scale; None for a task without a level.
        source: Paper and table.
        method: Key of `NETWORKS`, or "input" for the degraded pictures.
        psnr: In dB.
        ssim: None where the paper gives none.
    """

    set: str
    task: str
    level: float | None
    source: str
    method: str
    psnr: Decimal
    ssim: Decimal | None


@functools.cache
def published() -> tuple[Published, ...]:
    """Every row of `published_scores.toml`: the four papers' figures for their own networks."""
    text = Path(__file__).with_name("published_scores.toml").read_text(encoding="utf-8")
    rows = []
    for table in tomllib.loads(text, parse_float=Decimal)["scores"]:
        about = {key: table.pop(key, None) for key in ("set", "task", "level", "source")}
        rows += [
            Published(**about, method=method, psnr=psnr, ssim=next(iter(ssim), None))
            for method, (psnr, *ssim) in table.items()
        ]
    return tuple(rows)


def published_for(name: str, task: str, level: float | None = None) -> list[Published]:
    """The rows of one set, task and level."""
    return [row for row in published() if (row.set, row.task, row.level) == (name, task, level)]

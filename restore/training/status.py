"""Where a run stands, from the files of its folder: also while it runs, and on another machine."""

from __future__ import annotations

import json
import math
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from restore.errors import DataError
from restore.files import whole_file
from restore.training.json_lines import json_lines

MARK = ".restore-running"  # in the folder of a run, while it runs


@dataclass(frozen=True)
class Status:
    """Where a run stands.

    Attributes:
        run: Its folder.
        step, steps: Steps done, and steps in total.
        hours: Training time of all sessions; None if no step is reported yet.
        images_per_second: Crops per second of the latest session; None if no step is reported yet.
        seconds_left: Estimate for the remaining steps; None if no step is reported yet.
        last, best: (step, input PSNR, PSNR) of validations in dB; None without one.
        is_running: Whether it runs now; None for a run on another machine that left its mark.
        where: Machine and process of the run that left its mark.
    """

    run: str
    step: int
    steps: int
    hours: float | None
    images_per_second: float | None
    seconds_left: float | None
    last: tuple[int, float | None, float | None] | None
    best: tuple[int, float | None, float | None] | None
    is_running: bool | None
    where: str | None


def status_of(run: Path) -> Status:
    """Where a run stands.

    Raises:
        DataError: The folder holds no run.
    """
    try:
        recipe = json.loads((run / "recipe.json").read_text(encoding="utf-8"))
        steps = int(recipe["steps"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{run} holds no run", hint="name the folder of --out") from error
    log = json_lines(run / "log.jsonl")
    since = max((s["step"] for s in json_lines(run / "sessions.jsonl") if s.get("new_data")), default=-1)
    scored = [(entry["step"], *entry["validation"]) for entry in log if entry.get("validation")]
    counted = [score for score in scored if score[0] > since]  # earlier ones are of other pictures
    known = next((entry for entry in log[::-1] if entry.get("loss") is not None), {})
    seconds = known.get("seconds")
    is_running, where = _running(run)
    return Status(
        str(run),
        log[-1]["step"] if log else 0,
        steps,
        None if seconds is None else round(seconds / 3600, 3),
        known.get("images_per_second"),
        known.get("seconds_left"),
        scored[-1] if scored else None,
        max(counted, key=lambda score: -math.inf if score[2] is None else score[2], default=None),
        is_running,
        where,
    )


def mark_running(run: Path) -> None:
    """Leave the mark that this process trains in a folder; `unmark` removes it.

    Raises:
        OSError: The folder is not writable.
    """
    with whole_file(run / MARK) as temporary:
        temporary.write_text(json.dumps(_own()), encoding="utf-8")


def unmark(run: Path) -> None:
    """Remove the mark."""
    (run / MARK).unlink(missing_ok=True)


def refuse_running(run: Path) -> None:
    """Refuse a folder in which another process of this machine trains.

    Raises:
        DataError: One does.
    """
    is_running, where = _running(run)
    if is_running and _mark_of(run).get("pid") != os.getpid():
        raise DataError(f"a run is training in {run} now: {where}", hint="wait for its end, or stop it with Ctrl-C")


def _own() -> dict[str, Any]:
    return {"host": platform.node(), "pid": os.getpid(), "started": psutil.Process().create_time()}


def _mark_of(run: Path) -> dict[str, Any]:
    try:
        found = json.loads((run / MARK).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _running(run: Path) -> tuple[bool | None, str | None]:
    """Whether the process of the mark is alive, and where it is. A killed process leaves its mark."""
    mark = _mark_of(run)
    if not {"host", "pid", "started"} <= mark.keys():
        return False, None
    where = f"process {mark['pid']} on {mark['host']}"
    if mark["host"] != platform.node():
        return None, where
    try:
        started = psutil.Process(mark["pid"]).create_time()
    except (psutil.Error, ValueError, TypeError):
        return False, where
    return abs(started - mark["started"]) < 1, where

"""Scores on disk as they come: a run that is killed loses none, and processes need not talk to share the work.

Beside `scores.json`, each process appends to `scores.json.part` or `scores.rank1.json.part` a line of JSON for each
picture; the first line says how the scores are made. The parts are removed when the whole result is written.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from restore.errors import DataError, RestoreError, UsageError
from restore.evaluation.plan import Plan
from restore.evaluation.report import Restoration
from restore.evaluation.scoring import PictureScore

Kept = dict[int, tuple[PictureScore, ...]]  # number of a picture in the plan -> its scores, one for each candidate


def method_of(plan: Plan, ways: Iterable[Restoration], metrics: Sequence[str]) -> dict[str, Any]:
    """What decides the scores: parts of another method are not taken for those of this one."""
    names = "\0".join(item.name for item in plan.found.items)
    return {
        "set": plan.name,
        "pictures": len(plan.found.items),
        "names": hashlib.sha256(names.encode("utf-8", "surrogatepass")).hexdigest()[:16],
        "protocol": plan.protocol,
        "metrics": list(metrics),
        "ways": [
            {
                "tile": way.tile,
                "self_ensemble": way.self_ensemble,
                "weights": way.weights and way.weights["sha256"],
                "precision": way.precision,
                "restored_by_another_tool": way.restored_by_another_tool,
            }
            for way in ways
        ],
    }


def part_of(path: Path) -> Path:
    """The part of the process that is told to write `path`."""
    return path.with_name(path.name + ".part")


def parts_beside(path: Path) -> list[Path]:
    """The parts of all processes for one result, as far as they exist."""
    fits = re.compile(re.escape(path.stem) + r"(\.(rank|shard)\d+)?" + re.escape(path.suffix) + r"\.part")
    try:
        return sorted(other for other in path.parent.iterdir() if fits.fullmatch(other.name))
    except OSError:
        return []


def read_parts(parts: Iterable[Path], method: dict[str, Any]) -> Kept:
    """The scores of some parts; a line that was cut off when its process was killed is left out.

    Raises:
        UsageError: A part was made in another way.
        DataError: A part cannot be read.
    """
    kept: Kept = {}
    for part in parts:
        try:
            lines = part.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError as error:
            raise DataError(f"cannot read {part}: {error.strerror or error}") from error
        records = [record for line in lines if isinstance(record := _record(line), dict)]
        if records and records[0] != {"method": method}:
            raise UsageError(
                f"{part} holds scores of other pictures, weights or options",
                hint="repeat the command as it was, or delete the file",
            )
        for record in records[1:]:
            with suppress(KeyError, TypeError):
                if len(record["scores"]) == len(method["ways"]):
                    kept[int(record["number"])] = tuple(_score(fields) for fields in record["scores"])
    return kept


class Part:
    """The part of one process; a context manager.

    Args:
        path: Where it is; it is made with the first score if it does not exist, and continued otherwise.
        method: Its first line.
    """

    def __init__(self, path: Path, method: dict[str, Any]) -> None:
        self._path, self._method = path, method
        self._file: TextIO | None = None

    def __enter__(self) -> Part:
        return self

    def __exit__(self, *error: object) -> None:
        if self._file is not None:
            with suppress(OSError):
                self._file.close()

    def add(self, number: int, scores: Sequence[PictureScore]) -> None:
        """Keep the scores of a picture, one for each candidate.

        Raises:
            RestoreError: They cannot be written, as on a full disk.
        """
        try:
            if self._file is None:
                self._file = self._path.open("a", encoding="utf-8")
                is_new = self._path.stat().st_size == 0
                self._file.write(_line({"method": self._method}) if is_new else "\n")  # ends a line that was cut off
            self._file.write(_line({"number": number, "scores": [_fields(score) for score in scores]}))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise RestoreError(f"cannot write {self._path}: {error.strerror or error}") from error


def remove(parts: Iterable[Path]) -> None:
    """Remove parts whose scores are in the result."""
    for part in parts:
        with suppress(OSError):
            part.unlink()


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record, allow_nan=False) + "\n"


def _record(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _fields(score: PictureScore) -> dict[str, Any]:
    """A score for JSON: null is infinity, and what was not computed is left out."""
    fields = ((key, value) for key, value in vars(score).items() if value == value)
    return {key: None if value == math.inf else value for key, value in fields}


def _score(fields: dict[str, Any]) -> PictureScore:
    values: dict[str, Any] = {key: math.inf if value is None else value for key, value in fields.items()}
    return PictureScore(**values)

"""The result of each picture of a run: a summary for people, JSON for programs."""

from __future__ import annotations

import json
import os
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO, get_args

import restore
from restore.batch.listing import Listing
from restore.batch.pipeline import Outcome, Status
from restore.batch.planning import Job
from restore.batch.processes import Rank
from restore.errors import RestoreError, UsageError
from restore.files import whole_file

if TYPE_CHECKING:
    from restore.checkpoints import ResolvedWeights


class RunReport:
    """The outcomes of a run: a context manager that writes them at the end, even after an error.

    Args:
        jobs: All jobs of this process.
        rank: Its place among several processes; each writes its own file.
        file: Where the JSON goes: a file, a text stream, or None for nowhere.

    Attributes:
        weights, device, threads: What the run uses; None before it is known.
        error: What ended the run; None if nothing did.
        signal: Number of the signal that interrupted it; None if none did.
        left_out: As in `planning.Plan`.
        is_growing: Whether jobs can be added.

    Raises:
        UsageError: `file` cannot be written, or is one of the pictures.
    """

    def __init__(self, jobs: Sequence[Job], rank: Rank, file: Path | TextIO | None) -> None:
        self.jobs, self.rank = jobs, rank
        self.weights: ResolvedWeights | None = None
        self.device: str | None = None
        self.threads: int | None = None
        self.error: str | None = None
        self.signal: int | None = None
        self.left_out: dict[str, int] = {}
        self.is_growing = False
        self._outcomes: dict[Job, Outcome] = {}
        self._begun = time.perf_counter()
        self._file = rank.path(file) if isinstance(file, Path) else file
        if isinstance(self._file, Path):
            check_file(self._file, self.jobs, "--json", _is_json)

    def __enter__(self) -> RunReport:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, RestoreError):
            self.error = error.message
        elif error is not None:
            self.error = f"{type(error).__name__}: {error}"
        self.write()

    def extend(self, jobs: Iterable[Job]) -> None:
        """Note more jobs."""
        self.jobs = list(dict.fromkeys([*self.jobs, *jobs]))

    @property
    def is_of_one(self) -> bool:
        """Whether the run is about one picture."""
        return len(self.jobs) == 1 and not self.is_growing

    def skip(self, jobs: Iterable[Job]) -> None:
        """Note that the outputs of these jobs exist."""
        for job in jobs:
            self.add(Outcome(job, "skipped", f"{job.target_path} already exists"))

    def add(self, outcome: Outcome) -> None:
        """Note the outcome of a job."""
        self._outcomes[outcome.job] = outcome

    @property
    def outcomes(self) -> list[Outcome]:
        """One per job, in order."""
        return [self._outcomes.get(job) or Outcome(job, "not reached") for job in self.jobs]

    @property
    def failed(self) -> list[Outcome]:
        """The outcomes of pictures that failed."""
        return [outcome for outcome in self.outcomes if outcome.status == "failed"]

    def summary(self) -> str:
        """One line: how many pictures have each status, the seconds of the run, and the share."""
        counts = self._counts()
        parts = [f"{counts[status]} {status}" for status in get_args(Status) if counts[status]]
        share = "" if self.rank.is_alone else f"; share {self.rank.share}"
        return f"{', '.join(parts) or 'nothing to do'}; {self._seconds():.1f} s{share}"

    def write(self) -> None:
        """Write the JSON, whole or not at all.

        Raises:
            RestoreError: It cannot be written.
        """
        if self._file is None:
            return
        if not isinstance(self._file, Path):
            print(self._json(), file=self._file, flush=True)
            return
        try:
            if self._file.exists() and not self._file.is_file():  # such as /dev/stderr
                self._file.write_text(self._json() + "\n", encoding="ascii")
            else:
                with whole_file(self._file) as temporary:
                    temporary.write_text(self._json() + "\n", encoding="ascii")
        except OSError as error:
            raise RestoreError(f"cannot write {self._file}: {error.strerror}", hint="check --json") from error

    def _counts(self) -> Counter[str]:
        return Counter(outcome.status for outcome in self.outcomes)

    def _seconds(self) -> float:
        return time.perf_counter() - self._begun

    def _backend(self) -> dict[str, str]:
        """The version of what computes the networks."""
        is_onnx = self.device is not None and self.device.startswith("onnx")
        with suppress(metadata.PackageNotFoundError):  # packages for GPUs have other names, and torch may be missing
            return {"onnxruntime" if is_onnx else "torch": metadata.version("onnxruntime" if is_onnx else "torch")}
        return {}

    def _json(self) -> str:
        counts = self._counts()
        report = {
            "versions": {"restore": restore.__version__}
            | self._backend()
            | {"python": platform.python_version(), "system": platform.platform()},
            "device": self.device,
            "threads": self.threads,
            "rank": self.rank.index,
            "ranks": self.rank.count,
            "interrupted": self.signal is not None,
            "error": self.error,
            "totals": {"pictures": len(self.jobs), **{status: counts[status] for status in get_args(Status)}}
            | {"seconds": round(self._seconds(), 3)}
            | {"network_seconds": round(sum(outcome.network_seconds for outcome in self.outcomes), 3)},
            "left_out": self.left_out,
            "pictures": [self.record(outcome) for outcome in self.outcomes],
        }
        return json.dumps(report, indent=2)  # in ASCII, which also holds file names that are not text

    def record(self, outcome: Outcome) -> dict[str, Any]:
        """One picture, with the weights, so that the record stands alone."""
        weights, seam = self.weights, outcome.seam
        return {
            "source": outcome.job.source_path or "-",
            "target": outcome.job.target_path or "-",
            "status": outcome.status,
            "reason": outcome.reason,
            "pages": outcome.pages,
            "damage": outcome.damage,
            "seconds": round(outcome.seconds, 3),
            "network_seconds": round(outcome.network_seconds, 3),
            "tile": outcome.tile,
            "tiles": outcome.tiles,
            "precision": outcome.precision,
            "retiled": outcome.retiled is not None,
            "seam": None if seam is None else {"mean": seam.mean, "max": seam.max},
            "weights": None if weights is None else weights.entry.name if weights.entry else str(weights.path),
            "sha256": None if weights is None else weights.sha256,
            "steps": outcome.steps,
            "findings": outcome.findings,
            "notes": outcome.notes,
        }


def check_file(path: Path, jobs: Sequence[Job], option: str, is_older: Callable[[Path], bool]) -> None:
    """Refuse a file for results that cannot be written, or that would replace something else.

    Args:
        path: The file.
        jobs: The pictures.
        option: That which names the file.
        is_older: Whether a file that exists is one for such results.

    Raises:
        UsageError: It is refused.
    """
    real = Path(os.path.realpath(path))
    if why := _why_not(path, real):
        raise UsageError(f"cannot write {path}: {why}", hint=f"choose another {option}")
    pictures = [end for job in jobs for end in (job.source_path, job.target_path) if end is not None]
    listing, place = Listing(pictures), os.path.split(real)
    if any(listing.real(picture) == place for picture in pictures):
        raise UsageError(f"{option} would replace the picture {path}", hint=f"choose another {option}")
    if real.is_file() and not is_older(real):  # such as a sidecar, or weights
        raise UsageError(f"{option} would replace {path}, which is no report", hint=f"choose another {option}")


def _why_not(path: Path, real: Path) -> str | None:
    """Why no file can be written at `path`, which stands for `real`; None if one probably can."""
    if real.is_dir():
        return "it is a folder"
    if os.path.islink(real):  # a loop
        return "it is a link that leads nowhere"
    if not os.path.lexists(real.parent):
        return f"there is no folder {real.parent if os.path.islink(path) else path.absolute().parent}"
    return None if os.access(real.parent, os.W_OK) else f"cannot write to the folder {real.parent}"


def _is_json(path: Path) -> bool:
    """Whether a file is empty or begins as a report does. One that cannot be read is not."""
    try:
        with path.open("rb") as file:
            return file.read(1) in (b"", b"{")
    except OSError:
        return False

"""One run of `restore eval`: pictures shared by processes, scores shown and kept as they come, and the result."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from restore.batch.processes import Rank, leave
from restore.cli.columns import table
from restore.cli.progress_bar import Progress
from restore.cli.streams import describe, one_line, say
from restore.errors import DataError, RestoreError, UsageError
from restore.evaluation.comparison import Comparison
from restore.evaluation.metrics import DISTANCES
from restore.evaluation.plot import Point, write_plot
from restore.evaluation.report import Report
from restore.files import whole_file

if TYPE_CHECKING:
    from restore.evaluation.candidates import Candidate, Outcome
    from restore.evaluation.parts import Kept, Part
    from restore.evaluation.plan import Plan
    from restore.evaluation.scoring import Distance, PictureScore
    from restore.training.team import Team


@dataclass(frozen=True)
class Outputs:
    """Files that a run writes; None for none of it."""

    json_file: Path | None
    csv_file: Path | None
    plot: Path | None
    save_images: Path | None
    resume: bool


def check_outputs(outputs: Outputs, rank: Rank) -> None:
    """Refuse what cannot be kept, before anything is loaded.

    Raises:
        UsageError: `--resume` has no file, or processes that cannot connect have none.
    """
    if outputs.json_file is not None:
        return
    if outputs.resume:
        raise UsageError("--resume goes on with what --json FILE has kept", hint="add --json FILE")
    if not rank.is_alone and not _can_connect():
        raise UsageError(
            "processes that cannot connect need a file for their scores",
            hint="add --json FILE, or start them with `torchrun -m restore eval ...`",
        )


@dataclass(frozen=True)
class EvalRun:
    """What is scored, by which process, and where the result goes."""

    plan: Plan
    candidates: Sequence[Candidate]
    rank: Rank
    outputs: Outputs
    distances: Mapping[str, Distance]

    def run(self) -> None:
        """Score the pictures, print the result, and write it.

        Raises:
            RestoreError: Some pictures could not be scored, or the result cannot be written.
        """
        from restore.evaluation import parts

        rank, json_file, total = self.rank, self.outputs.json_file, len(self.plan.found.items)
        method = parts.method_of(self.plan, [candidate.how for candidate in self.candidates], list(self.distances))
        kept = _kept_before(self.outputs, rank, method)
        own = [number for number in range(rank.index, total, rank.count) if number not in kept]
        path = None if json_file is None else parts.part_of(rank.path(json_file))
        rows = Rows(self.plan, self.candidates, list(self.distances))
        with _team(rank) as team:
            with _keeping(path, method) as part:
                scored, failed = self._scored(own, rows, part)
            failed = team.gathered(failed)
            kept = kept | dict(team.gathered(list(scored.items())))
        if not rank.is_alone and not _can_connect():
            say(f"note:  {path} has the scores of this process; --resume, without others, puts all parts together")
        elif rank.index == 0:
            self._tell(self._reports(kept, failed), rows)
            if json_file is not None:
                own_parts = [parts.part_of(Rank(i, rank.count).path(json_file)) for i in range(rank.count)]
                parts.remove(parts.parts_beside(json_file) if self.outputs.resume else own_parts)
        leave(rank, has_failed=bool(failed))
        if failed and (rank.index == 0 or not _can_connect()):
            raise DataError(f"{len(failed)} of {total} pictures could not be scored; their errors are above")

    def _scored(self, numbers: Sequence[int], rows: Rows, part: Part | None) -> tuple[Kept, list[tuple[str, str]]]:
        """The scores of some pictures by number, and names and errors of those that fail; shown as they come."""
        from restore.evaluation.candidates import outcomes

        items = self.plan.found.items
        scored: Kept = {}
        failed = []
        with Progress(len(numbers)) if self.rank.index == 0 else nullcontext() as progress:
            tell: Callable[[str], None] = say if progress is None else progress.say
            if self.rank.index == 0:
                tell(rows.head())

            def begun(number: int) -> None:
                if progress is not None:
                    progress.file(items[number].name)

            save_images = self.outputs.save_images
            for outcome in outcomes(
                self.plan, numbers, self.candidates, distances=self.distances, save_images=save_images, begun=begun
            ):
                if outcome.error is not None:
                    failed.append((outcome.name, outcome.error.message))
                    tell(describe(_named(outcome)))
                    continue
                scored[outcome.number] = outcome.scores
                if part is not None:
                    part.add(outcome.number, outcome.scores)
                tell(rows.row(outcome.name, outcome.scores))
        return scored, failed

    def _reports(self, kept: Kept, failed: Sequence[tuple[str, str]]) -> tuple[Report, ...]:
        """A report for each candidate, the pictures in their order.

        Raises:
            DataError: No picture was scored.
        """
        from restore.evaluation.scoring import Scores

        if not kept:
            raise DataError("no picture could be scored" if failed else "there is no picture to score")
        pictures = [kept[number] for number in sorted(kept)]
        return tuple(
            Report(self.plan, candidate.how, Scores(self.plan.protocol, own), tuple(failed), candidate.label)
            for candidate, own in zip(self.candidates, zip(*pictures, strict=True), strict=True)
        )

    def _tell(self, reports: tuple[Report, ...], rows: Rows) -> None:
        """Print and write the result."""
        first, comparison, outputs = reports[0], Comparison(reports), self.outputs
        say(rows.means(reports))
        _print_published(first, [candidate.network for candidate in self.candidates])
        if len(reports) == 1:
            print(first.line())
        else:
            for note in comparison.notes():
                say(f"note:  {note}")
            head, *lines = comparison.table()
            print(f"{comparison.heading()}:\n{table(head, lines)}")
        result: Report | Comparison = first if len(reports) == 1 else comparison
        if outputs.json_file is not None:
            _write(outputs.json_file, result.to_json())
        if outputs.csv_file is not None:
            _write(outputs.csv_file, result.to_csv())
        if outputs.plot is not None:
            _plot(outputs.plot, comparison)


def _can_connect() -> bool:
    return all(os.environ.get(name) for name in ("MASTER_ADDR", "MASTER_PORT"))


@contextmanager
def _team(rank: Rank) -> Iterator[Team]:
    """All processes where a launcher such as torchrun lets them connect; else each alone."""
    import torch

    from restore.training.team import join

    with join(rank if _can_connect() else Rank(), torch.device("cpu")) as team:
        yield team


def _kept_before(outputs: Outputs, rank: Rank, method: dict[str, object]) -> Kept:
    """The scores of earlier runs.

    Raises:
        UsageError: There are some, and nobody asked to go on.
    """
    from restore.evaluation import parts

    if outputs.json_file is None:
        return {}
    beside = parts.parts_beside(outputs.json_file)
    if outputs.resume:
        return parts.read_parts(beside, method)
    # Other processes of this run may have begun their parts.
    own = parts.part_of(rank.path(outputs.json_file))
    if earlier := [part for part in beside if rank.is_alone or part.name == own.name]:
        raise UsageError(
            f"{earlier[0]} holds the scores of a run that did not end",
            hint="add --resume to go on with them, or delete the file",
        )
    return {}


@contextmanager
def _keeping(path: Path | None, method: dict[str, object]) -> Iterator[Part | None]:
    """Where scores are kept as they come; after an error or Ctrl-C, the user is told of them."""
    from restore.evaluation.parts import Part

    if path is None:
        yield None
        return
    try:
        with Part(path, method) as part:
            yield part
    except BaseException:
        if path.is_file():
            say(f"note:  {path} holds the scores so far; the same command with --resume goes on")
        raise


def _named(outcome: Outcome) -> RestoreError:
    """The error of a picture, with its name."""
    error = outcome.error
    assert error is not None
    if outcome.name in error.message:
        return error
    return RestoreError(f"{outcome.name}: {error.message}", hint=error.hint)


class Rows:
    """The lines of the table on stderr: input and result of one candidate, or the PSNR of several."""

    def __init__(self, plan: Plan, candidates: Sequence[Candidate], distances: Sequence[str]) -> None:
        metrics = ["psnr", "ssim", *distances]
        names = {"psnr": "dB", "ssim": "SSIM"} | DISTANCES
        how = candidates[0].how
        has_result = how.weights is not None or how.restored_by_another_tool is not None
        self._columns: list[tuple[str, int, str]] = []  # head, candidate, field
        if len(candidates) == 1:
            if not plan.is_untouched:
                heads = ["input dB", *(names[m] for m in metrics[1:])]
                self._columns += [(head, 0, f"input_{m}") for head, m in zip(heads, metrics, strict=True)]
            if has_result:
                heads = ["restored dB", *(names[m] for m in metrics[1:])]
                self._columns += [(head, 0, m) for head, m in zip(heads, metrics, strict=True)]
        else:
            if not plan.is_untouched:
                self._columns.append(("input dB", 0, "input_psnr"))
            self._columns += [(candidate.label, i, "psnr") for i, candidate in enumerate(candidates)]
        self._width = max(len("picture"), *(len(self._name(item.name)) for item in plan.found.items))

    def head(self) -> str:
        """The names of the columns."""
        return self._line("picture", [head for head, _, _ in self._columns])

    def row(self, name: str, scores: Sequence[PictureScore]) -> str:
        """The scores of one picture, one for each candidate."""
        return self._line(self._name(name), [_cell(field, getattr(scores[i], field)) for _, i, field in self._columns])

    def means(self, reports: Sequence[Report]) -> str:
        """The means of the reports, one for each candidate."""
        return self._line("mean", [_cell(field, reports[i].scores.mean(field)) for _, i, field in self._columns])

    def _line(self, name: str, cells: Sequence[str]) -> str:
        widths = (max(len(head), 6) for head, _, _ in self._columns)
        return "  ".join([name.ljust(self._width), *(c.rjust(w) for c, w in zip(cells, widths, strict=True))])

    def _name(self, name: str) -> str:
        return one_line(name, sys.stderr)


def _cell(field: str, value: float) -> str:
    return f"{value:.2f}" if field.endswith("psnr") else f"{value:.4f}"


def _print_published(report: Report, networks: Sequence[str | None]) -> None:
    """The papers' figures, to stderr; * marks the networks of the weights."""
    lines = [
        (row.method + "*" * (row.method in networks), str(row.psnr), str(row.ssim or ""), row.source)
        for row in report.plan.published
    ]
    if lines:
        say("\n" + table(("published", "dB", "SSIM", "by"), lines))


def _plot(path: Path, comparison: Comparison) -> None:
    from restore.evaluation.bootstrap import interval

    first = comparison.reports[0]
    points = [
        Point(report.label, seconds, report.scores.mean("psnr"), interval(report.values("psnr")))
        for report in comparison.reports
        if (seconds := report.scores.seconds_per_megapixel) is not None
    ]
    before = None if first.plan.is_untouched else first.scores.mean("input_psnr")
    _write_with(
        path, lambda file: write_plot(file, points, title=comparison.heading(), input_psnr=before, kind=path.suffix)
    )


def _write(path: Path, text: str) -> None:
    _write_with(path, lambda file: file.write_text(text, encoding="utf-8"))


def _write_with(path: Path, write: Callable[[Path], object]) -> None:
    try:
        with whole_file(path) as unfinished:
            write(unfinished)
    except OSError as error:
        raise RestoreError(f"cannot write {path}: {error.strerror or error}") from error

"""What restores the pictures of a set - weights, another tool, or nothing - and its scores, picture by picture."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Literal

from restore import checkpoints
from restore.checkpoints import ResolvedWeights
from restore.errors import Cancelled, RestoreError
from restore.evaluation.plan import Plan
from restore.evaluation.report import Restoration
from restore.evaluation.restored_files import reading, save
from restore.evaluation.scoring import Answer, Distance, PictureScore, restoring, score_of
from restore.inference.devices import keep_memory
from restore.inference.restorer import Restorer


@dataclass(frozen=True)
class Candidate:
    """What restores the pictures.

    Attributes:
        label: What tables call it.
        answer: What restores a picture; None scores the input alone.
        how: What `Report` says about it.
        network: Key of `NETWORKS`, where weights restore.
    """

    label: str
    answer: Answer | None
    how: Restoration
    network: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of one picture: a score for each candidate, or an error.

    Attributes:
        number: Of `Plan.found.items`, from 0.
        name: What the tables call it.
    """

    number: int
    name: str
    scores: tuple[PictureScore, ...] = ()
    error: RestoreError | None = None


def candidates_of(
    plan: Plan,
    weights: Sequence[ResolvedWeights],
    how: Restoration,
    *,
    tile: int | Literal["auto"] | None,
    overlap: int,
    device: str,
    precision: str,
) -> list[Candidate]:
    """The candidates of a plan: several weights, else another tool's pictures, else only the input.

    Args:
        plan: What is scored.
        weights: The weights to load.
        how: Facts that hold for all of them.
        tile, overlap: As for `scoring.restoring`.
        device, precision: As for `Restorer`.

    Raises:
        WeightsError: Weights cannot be loaded.
        DeviceError: There is no such device.
    """
    if not weights:
        return [Candidate("input", None if plan.restored is None else reading(plan.restored), how)]
    keep_memory()
    found = []
    for each, label in zip(weights, _labels(weights), strict=True):
        network, checkpoint = checkpoints.load(each, plan.task)
        restorer = Restorer(network, device=device, entry=checkpoint.entry, task=checkpoint.task, precision=precision)
        name = {} if each.entry is None else {"name": each.entry.name}
        facts = dataclasses.replace(
            how,
            weights=name | {"path": str(each.path), "sha256": each.sha256},
            device=str(restorer.device),
            precision=restorer.precision_for("uint8"),
        )
        answer = restoring(restorer, tile=tile, overlap=overlap, self_ensemble=how.self_ensemble)
        found.append(Candidate(label, answer, facts, checkpoint.network))
    return found


def _labels(weights: Sequence[ResolvedWeights]) -> list[str]:
    """The name of each weights, or that of its file; a number is added to those that are not unique."""
    labels: list[str] = []
    for each in weights:
        name = each.path.stem if each.entry is None else each.entry.name
        numbered = (f"{name}-{n}" for n in count(2))
        labels.append(name if name not in labels else next(label for label in numbered if label not in labels))
    return labels


def outcomes(
    plan: Plan,
    numbers: Iterable[int],
    candidates: Sequence[Candidate],
    *,
    distances: Mapping[str, Distance],
    save_images: Path | None = None,
    begun: Callable[[int], None] = lambda number: None,
) -> Iterator[Outcome]:
    """Restore and score pictures; one that cannot be read, restored or compared costs only its own score.

    All candidates restore a picture before the next one is read, so that other work on the machine slows all alike.
    The first picture is not timed if there are others: libraries load and compile then.

    Args:
        plan: What is scored.
        numbers: Which pictures, by number.
        candidates: What restores them. All are scored on the same pictures: the error of one is that of the picture.
        distances: As for `scoring.score_of`.
        save_images: Folder for restored pictures; with a folder for each of several candidates.
        begun: Called with each number before its picture is read.

    Raises:
        RestoreError: A restored picture cannot be saved.
    """
    numbers = list(numbers)
    for number in numbers:
        begun(number)
        name = plan.found.items[number].name
        is_timed = number != numbers[0] or len(numbers) == 1
        scores, pictures = [], []
        try:
            pair = plan.pair(number)
            for candidate in candidates:
                restored, seconds = None, 0.0
                if candidate.answer is not None:
                    start = time.perf_counter()
                    restored = candidate.answer(pair)
                    seconds = time.perf_counter() - start
                score = score_of(pair, restored, protocol=plan.protocol, distances=distances)
                if candidate.how.weights is not None and is_timed:
                    size = pair.degraded.shape[0] * pair.degraded.shape[1] / 1e6
                    score = dataclasses.replace(score, seconds=seconds, megapixels=size)
                scores.append(score)
                if save_images is not None and restored is not None:
                    pictures.append((candidate.label, restored, save_images))
        except Cancelled:
            raise
        except RestoreError as error:
            yield Outcome(number, name, error=error)
            continue
        for label, picture, folder in pictures:
            save(picture, (folder / label if len(candidates) > 1 else folder) / f"{name}.png")
        yield Outcome(number, name, tuple(scores))

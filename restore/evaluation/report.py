"""The result of scoring a set: one line, JSON and CSV."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

import restore
from restore.evaluation.bootstrap import SAMPLES, SEED, interval
from restore.evaluation.metrics import DISTANCES
from restore.evaluation.plan import Plan

if TYPE_CHECKING:
    from restore.evaluation.scoring import Scores

_PACKAGES = ("torch", "numpy", "opencv-python-headless")  # those whose version may change a score


@dataclass(frozen=True)
class Restoration:
    """What restored the pictures, and how. The defaults mean that nothing did.

    Attributes:
        tile: "none" for whole pictures, "auto", or the side of a tile in pixels.
        overlap: Pixels that neighbouring tiles share; None for whole pictures.
        self_ensemble: Whether results are averaged over flips and rotations.
        weights: Their `name` (where the catalogue has them), `path` and `sha256`.
        device: Where the network ran.
        precision: What it computed in.
        restored_by_another_tool: Folder of another tool's pictures.
    """

    tile: str = "none"
    overlap: int | None = None
    self_ensemble: bool = False
    weights: dict[str, str] | None = None
    device: str | None = None
    precision: str | None = None
    restored_by_another_tool: str | None = None


@dataclass(frozen=True)
class Report:
    """Scores, and how they were made.

    Attributes:
        plan, restoration, scores: What was scored, what restored it, and the result.
        failed: Names of the pictures that could not be scored, and why.
        label: What a comparison calls what restored the pictures.
    """

    plan: Plan
    restoration: Restoration
    scores: Scores
    failed: tuple[tuple[str, str], ...] = ()
    label: str = ""

    @property
    def fields(self) -> list[str]:
        """The fields of `PictureScore` that say something: not those of untouched inputs, nor of missing results."""
        metrics = ["psnr", "ssim", *(name for name in DISTANCES if not self._lacks(name))]
        fields = [] if self.plan.is_untouched else [f"input_{metric}" for metric in metrics]
        if self.restoration.weights is not None or self.restoration.restored_by_another_tool is not None:
            fields += metrics
        return fields

    def line(self) -> str:
        """The set, how it was scored, and the means."""
        fields, total = self.fields, len(self.scores.pictures)
        means = "; ".join(
            f"{label} {self._means(kind)}"
            for kind, label in (("", "restored"), ("input_", "input"))
            if f"{kind}psnr" in fields
        )
        failed = f"; {len(self.failed)} of {total + len(self.failed)} could not be scored" if self.failed else ""
        return f"{self.heading()}, mean of {total}: {means}{failed}"

    def heading(self) -> str:
        """The set, and how it was scored."""
        how = self.restoration
        words = [self.plan.name, self.plan.protocol]
        words += [f"tile {how.tile}"] * (how.overlap is not None and how.weights is not None)
        words += ["self-ensemble"] * how.self_ensemble
        words += [how.precision] if how.precision not in (None, "float32") else []
        return ", ".join(words)

    def values(self, field: str) -> list[float]:
        """One field of all pictures."""
        return [getattr(p, field) for p in self.scores.pictures]

    def infinite(self) -> dict[str, int]:
        """How many pictures have no finite value, for each field that has such pictures."""
        return {field: count for field in self.fields if (count := self.scores.infinite(field))}

    def to_json(self) -> str:
        """Every score and how it was made; infinity is null."""
        report = about(self.plan, self.failed) | self.facts()
        return json.dumps(report, indent=2, allow_nan=False) + "\n"

    def facts(self) -> dict[str, Any]:
        """What restored the pictures and the scores, for JSON."""
        fields, seconds = self.fields, self.scores.seconds_per_megapixel
        return {
            **dataclasses.asdict(self.restoration),
            "mean": {field: number(self.scores.mean(field)) for field in fields},
            "interval": {field: interval(self.values(field)) for field in fields},
            "infinite": self.infinite(),
            "seconds_per_megapixel": seconds,
            "pictures": [
                {"name": p.name} | {field: number(getattr(p, field)) for field in fields} for p in self.scores.pictures
            ],
        }

    def to_csv(self) -> str:
        """A row for each picture and one for the mean; if some scores are infinite, one for their number."""
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(("picture", *self.fields))
        rows.writerows(self.rows())
        return text.getvalue()

    def rows(self) -> list[tuple[object, ...]]:
        """The rows of the CSV file below its head."""
        fields = self.fields
        rows: list[tuple[object, ...]] = [
            (p.name, *(getattr(p, field) for field in fields)) for p in self.scores.pictures
        ]
        rows.append(("mean", *(self.scores.mean(field) for field in fields)))
        if self.infinite():
            rows.append(("infinite", *(self.scores.infinite(field) for field in fields)))
        return rows

    def _lacks(self, field: str) -> bool:
        return all(math.isnan(value) for value in self.values(field))

    def _means(self, kind: str) -> str:
        """The means of the input or of the restored pictures; a note where some pictures are left out."""
        count, total = self.scores.infinite(f"{kind}psnr"), len(self.scores.pictures)
        equal = f" ({count} of {total} equal the clean picture and are left out)" if 0 < count < total else ""
        words = [f"{self.scores.mean(f'{kind}psnr'):.2f} dB{equal}", f"SSIM {self.scores.mean(f'{kind}ssim'):.4f}"]
        words += [
            f"{title} {self.scores.mean(kind + name):.4f}" for name, title in DISTANCES.items() if not self._lacks(name)
        ]
        return ", ".join(words)


def about(plan: Plan, failed: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """What was scored, for JSON."""
    return {
        "set": plan.name,
        "task": plan.task,
        "degradation": plan.degradation,
        "level": plan.level,
        "protocol": plan.protocol,
        "versions": {"restore": restore.__version__, **{name: metadata.version(name) for name in _PACKAGES}},
        "published": [
            {
                "method": row.method,
                "psnr": float(row.psnr),
                "ssim": None if row.ssim is None else float(row.ssim),
                "source": row.source,
            }
            for row in plan.published
        ],
        "failed": [{"name": name, "error": error} for name, error in failed],
        "bootstrap": {"level": 0.95, "samples": SAMPLES, "seed": SEED},
    }


def number(value: float) -> Any:
    """For JSON, which has no infinity."""
    return value if math.isfinite(value) else None

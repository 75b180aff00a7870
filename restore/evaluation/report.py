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
    """Scores, and how they were made."""

    plan: Plan
    restoration: Restoration
    scores: Scores

    @property
    def fields(self) -> list[str]:
        """The fields of `PictureScore` that say something: not those of untouched inputs, nor of missing results."""
        fields = [] if self.plan.is_untouched else ["input_psnr", "input_ssim"]
        if self.restoration.weights is not None or self.restoration.restored_by_another_tool is not None:
            fields += ["psnr", "ssim"]
        return fields

    def line(self) -> str:
        """The set, how it was scored, and the means."""
        fields, how = self.fields, self.restoration
        means = "; ".join(
            f"{label} {self.scores.mean(f'{kind}psnr'):.2f} dB{self._left_out(f'{kind}psnr')}, "
            f"SSIM {self.scores.mean(f'{kind}ssim'):.4f}"
            for kind, label in (("", "restored"), ("input_", "input"))
            if f"{kind}psnr" in fields
        )
        words = [self.plan.name, self.plan.protocol]
        words += [f"tile {how.tile}"] * (how.overlap is not None and how.weights is not None)
        words += ["self-ensemble"] * how.self_ensemble
        words += [how.precision] if how.precision not in (None, "float32") else []
        return f"{', '.join(words)}, mean of {len(self.scores.pictures)}: {means}"

    def infinite(self) -> dict[str, int]:
        """How many pictures have no finite value, for each field that has such pictures."""
        return {field: count for field in self.fields if (count := self.scores.infinite(field))}

    def _left_out(self, field: str) -> str:
        """What follows a mean that leaves out some pictures."""
        count, total = self.scores.infinite(field), len(self.scores.pictures)
        return f" ({count} of {total} equal the clean picture and are left out)" if 0 < count < total else ""

    def to_json(self) -> str:
        """Every score and how it was made; infinity is null."""
        plan, fields = self.plan, self.fields
        report = {
            "set": plan.name,
            "task": plan.task,
            "degradation": plan.degradation,
            "level": plan.level,
            "protocol": plan.protocol,
            **dataclasses.asdict(self.restoration),
            "versions": {"restore": restore.__version__, **{name: metadata.version(name) for name in _PACKAGES}},
            "mean": {field: _number(self.scores.mean(field)) for field in fields},
            "infinite": self.infinite(),
            "published": [
                {
                    "method": row.method,
                    "psnr": float(row.psnr),
                    "ssim": None if row.ssim is None else float(row.ssim),
                    "source": row.source,
                }
                for row in plan.published
            ],
            "pictures": [
                {"name": p.name} | {field: _number(getattr(p, field)) for field in fields} for p in self.scores.pictures
            ],
        }
        return json.dumps(report, indent=2, allow_nan=False) + "\n"

    def to_csv(self) -> str:
        """A row for each picture and one for the mean; if some scores are infinite, one for their number."""
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(("picture", *self.fields))
        rows.writerows((p.name, *(getattr(p, field) for field in self.fields)) for p in self.scores.pictures)
        rows.writerow(("mean", *(self.scores.mean(field) for field in self.fields)))
        if self.infinite():
            rows.writerow(("infinite", *(self.scores.infinite(field) for field in self.fields)))
        return text.getvalue()


def _number(value: float) -> Any:
    """For JSON, which has no infinity."""
    return value if math.isfinite(value) else None

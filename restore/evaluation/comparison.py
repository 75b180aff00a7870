"""Several weights on the same pictures: one table, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from restore.evaluation.bootstrap import Interval, differences, interval
from restore.evaluation.metrics import DISTANCES
from restore.evaluation.report import Report, about, number


@dataclass(frozen=True)
class Comparison:
    """Reports on the same pictures in the same order, one for each of several weights."""

    reports: tuple[Report, ...]

    def heading(self) -> str:
        """The set, how it was scored, and the number of pictures."""
        first = self.reports[0]
        scored, failed = len(first.scores.pictures), len(first.failed)
        return f"{first.heading()}, mean of {scored}" + (f" of {scored + failed}" if failed else "")

    def gain(self, report: Report, field: str) -> tuple[float | None, Interval | None]:
        """The mean over the pictures of the difference to the first weights, and its interval."""
        gains = differences(report.values(field), self.reports[0].values(field))
        return (fmean(gains) if gains else None), interval(gains)

    def table(self) -> list[tuple[str, ...]]:
        """The head and a row for each weights: means, 95 % intervals of the PSNR, and seconds a megapixel."""
        first = self.reports[0]
        others = [name for name in DISTANCES if name in first.fields]
        rows: list[tuple[str, ...]] = [
            ("weights", "dB", "95 %", "gain", "95 %", "SSIM", *(DISTANCES[name] for name in others), "s/MP")
        ]
        for report in self.reports:
            gain, gain_range = self.gain(report, "psnr") if report is not first else (None, None)
            seconds = report.scores.seconds_per_megapixel
            rows.append(
                (
                    report.label,
                    f"{report.scores.mean('psnr'):.2f}",
                    _range(interval(report.values("psnr")), ".2f"),
                    "" if gain is None else f"{gain:+.2f}",
                    _range(gain_range, "+.2f"),
                    *(f"{report.scores.mean(name):.4f}" for name in ("ssim", *others)),
                    "" if seconds is None else f"{seconds:.3g}",
                )
            )
        if "input_psnr" in first.fields:
            means = [first.scores.mean(f"input_{name}") for name in ("psnr", "ssim", *others)]
            dB, *rest = means
            before = _range(interval(first.values("input_psnr")), ".2f")
            rows.append(("input", f"{dB:.2f}", before, "", "", *(f"{mean:.4f}" for mean in rest), ""))
        return rows

    def notes(self) -> list[str]:
        """What the table does not show: pictures without a finite PSNR."""
        return [
            f"{report.label}: {count} of {len(report.scores.pictures)} equal the clean picture and are left out"
            for report in self.reports
            if (count := report.scores.infinite("psnr"))
        ]

    def to_json(self) -> str:
        """Every score and how it was made; infinity is null."""
        first = self.reports[0]
        compared = []
        for report in self.reports:
            gains = {field: self.gain(report, field) for field in report.fields if not field.startswith("input_")}
            facts: dict[str, Any] = {"label": report.label} | report.facts()
            facts["gain"] = {
                field: {"mean": None if mean is None else number(mean), "interval": of_mean}
                for field, (mean, of_mean) in gains.items()
            }
            compared.append(facts)
        return json.dumps(about(first.plan, first.failed) | {"compared": compared}, indent=2, allow_nan=False) + "\n"

    def to_csv(self) -> str:
        """The rows of each report, with its label."""
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(("weights", "picture", *self.reports[0].fields))
        for report in self.reports:
            rows.writerows((report.label, *row) for row in report.rows())
        return text.getvalue()


def _range(ends: Interval | None, form: str) -> str:
    """Two ends of an interval.

    >>> _range((29.456, 31.0), ".2f"), _range(None, ".2f")
    ('29.46 to 31.00', '')
    """
    return "" if ends is None else f"{ends[0]:{form}} to {ends[1]:{form}}"

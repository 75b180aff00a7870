from __future__ import annotations

import io
import json
import os
import re
from pathlib import Path

import pytest

from restore.batch.pipeline import Outcome
from restore.batch.planning import Job
from restore.batch.processes import Rank
from restore.batch.report import RunReport
from restore.errors import PictureError, UsageError


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)


JOBS = [Job(Path(f"{name}.png"), Path("out") / f"{name}.png") for name in "abcd"]


def test_the_summary_counts_each_status_in_order() -> None:
    report = RunReport(JOBS, Rank(), None)
    report.skip([JOBS[3]])
    report.add(Outcome(JOBS[1], "failed", "b.png: broken"))
    report.add(Outcome(JOBS[0], "restored", seconds=1.0))
    assert report.summary().startswith("1 restored, 1 skipped, 1 failed, 1 not reached; ")
    assert [outcome.status for outcome in report.outcomes] == ["restored", "failed", "not reached", "skipped"]
    assert [outcome.job for outcome in report.failed] == [JOBS[1]]
    assert RunReport([], Rank(), None).summary().startswith("nothing to do; ")


def test_the_report_goes_to_a_stream_or_a_file_of_the_rank() -> None:
    stream = io.StringIO()
    for file in (stream, Path("report.json")):
        with RunReport(JOBS, Rank(1, 2), file) as report:
            report.add(Outcome(JOBS[0], "restored"))
    from_stream, from_file = json.loads(stream.getvalue()), json.loads(Path("report.rank1.json").read_text())
    for found in (from_stream, from_file):
        assert (found["rank"], found["ranks"], found["totals"]["pictures"]) == (1, 2, 4)
        assert [one["status"] for one in found["pictures"]] == ["restored"] + ["not reached"] * 3
    assert os.listdir() == ["report.rank1.json"]


def test_an_error_ends_the_run_and_is_in_the_report() -> None:
    with pytest.raises(PictureError), RunReport(JOBS, Rank(), Path("r.json")):
        raise PictureError("a.png is broken")
    assert json.loads(Path("r.json").read_text())["error"] == "a.png is broken"


@pytest.mark.parametrize(
    ("file", "why"),
    [
        ("a.png", "would replace the picture a.png"),
        (".", "it is a folder"),
        ("gone/r.json", "there is no folder"),
        ("loop", "a link that leads nowhere"),
        ("dangling", "there is no folder"),
        ("a.xmp", "would replace a.xmp, which is no report"),
    ],
)
def test_a_report_that_cannot_be_written_is_refused_before_the_run(file: str, why: str) -> None:
    if os.name == "posix":
        os.symlink("loop", "loop")
        os.symlink("gone/r.json", "dangling")
    Path("a.xmp").write_text("<x/>")
    with pytest.raises(UsageError, match=why):
        RunReport(JOBS, Rank(), Path(file))
    assert Path("a.xmp").read_text() == "<x/>"


def test_the_docs_list_every_key_of_the_report() -> None:
    stream = io.StringIO()
    with RunReport(JOBS, Rank(), stream) as report:
        report.left_out = {".psd": 2}
    found = json.loads(stream.getvalue())
    section = (Path(__file__).parents[2] / "docs/batches.md").read_text(encoding="utf-8")
    section = section.split("## A report for programs")[1].split("\n## ")[0]
    tables = [
        re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`[^|]*) \|", part, re.MULTILINE)))
        for part in section.split("| key | what it holds |")[1:]
    ]
    assert [set(table) for table in tables] == [set(found), set(found["pictures"][0])]
    assert found["left_out"] == {".psd": 2}

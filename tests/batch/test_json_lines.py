"""Lines of JSON: written as they come, kept when a run goes on."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from restore.batch import json_lines
from restore.batch.json_lines import JsonLines
from restore.batch.planning import Job
from restore.batch.processes import Rank
from restore.errors import RestoreError, UsageError

JOBS = [Job(f"{name}.png", f"out/{name}.png") for name in "ab"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)


def found(file: str = "r.jsonl") -> list[Any]:
    return [json.loads(line) for line in Path(file).read_text(encoding="ascii").splitlines()]


def test_a_line_is_in_the_file_as_soon_as_its_picture_is_done() -> None:
    with JsonLines(JOBS, Rank(), Path("r.jsonl")) as lines:
        for number in (1, 2):
            lines.add({"source": f"\udcff{number}\n"})
            assert len(found()) == number
    assert found() == [{"source": "\udcff1\n"}, {"source": "\udcff2\n"}]


def test_a_second_run_keeps_the_lines_of_the_first_but_for_a_half_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "_BLOCK", 7)
    for half in ("", '{"source": "a half', '{"half'):
        Path("r.jsonl").write_text('{"source": 1}\n{"source": 2}\n' + half)
        with JsonLines(JOBS, Rank(), Path("r.jsonl")) as lines:
            lines.add({"source": 3})
        assert found() == [{"source": 1}, {"source": 2}, {"source": 3}]
    Path("r.jsonl").write_text('{"only a half')
    with JsonLines(JOBS, Rank(), Path("r.jsonl")) as lines:
        lines.add({"source": 3})
    assert found() == [{"source": 3}]


def test_each_process_has_a_file_of_its_own_and_a_stream_gets_lines() -> None:
    stream = io.StringIO()
    for file in (stream, Path("r.jsonl")):
        with JsonLines(JOBS, Rank(1, 3), file) as lines:
            lines.add({"source": 3})
    assert stream.getvalue() == '{"source": 3}\n'
    assert found("r.rank1.jsonl") == [{"source": 3}] and os.listdir() == ["r.rank1.jsonl"]


@pytest.mark.parametrize(
    ("file", "content", "why"),
    [
        ("a.png", "", "--json-lines would replace the picture a.png"),
        ("report.json", '{\n  "versions": {}\n}\n', "would replace report.json, which is no report"),
        ("notes.txt", "mine", "would replace notes.txt, which is no report"),
    ],
)
def test_other_files_are_left_alone(file: str, content: str, why: str) -> None:
    Path(file).write_text(content)
    with pytest.raises(UsageError, match=why):
        JsonLines(JOBS, Rank(), Path(file))
    assert Path(file).read_text() == content


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="has no /dev/full")
def test_a_full_disk_does_not_end_the_work_and_is_an_error_at_the_end() -> None:
    done = []
    with (
        pytest.raises(RestoreError, match="cannot write /dev/full: No space left"),
        JsonLines(JOBS, Rank(), Path("/dev/full")) as lines,
    ):
        for number in (1, 2):
            lines.add({"source": number})
            done.append(number)
    assert done == [1, 2]

"""The estimate of a dry run: from headers alone, with the speeds that docs/performance.md lists."""

from __future__ import annotations

import re
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restore.batch.estimate import MEASURED_ON, SECONDS_PER_MEGAPIXEL, START_SECONDS, estimate
from restore.batch.planning import Job
from restore.batch.steps import parse_steps
from restore.tasks import TASKS

PERFORMANCE = (Path(__file__).parents[2] / "docs/performance.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)


def jobs_of(*names: str) -> list[Job]:
    return [Job(Path(name), Path("out") / name) for name in names]


def told(jobs: list[Job], steps: str = "denoise", *, is_on_cpu: bool = True) -> str | None:
    return estimate(jobs, parse_steps(steps), is_on_cpu=is_on_cpu)


def test_the_speeds_are_those_of_the_table_in_the_docs() -> None:
    assert f"start-up of {START_SECONDS} s" in PERFORMANCE
    for (task, scale), speed in SECONDS_PER_MEGAPIXEL.items():
        command = task + (f" --scale {scale}" if scale else "")
        found = re.search(rf"\| `{command}` \| (\d+)x(\d+)[^|]*\| ([\d.]+) \|", PERFORMANCE)
        assert found, task
        megapixels = int(found[1]) * int(found[2]) / 1e6
        assert (float(found[3]) - START_SECONDS) / megapixels == pytest.approx(speed, abs=0.006)


def test_every_task_has_a_speed() -> None:
    assert {task for task, _ in SECONDS_PER_MEGAPIXEL} == set(TASKS)


def test_the_time_is_the_pixels_times_the_speed() -> None:
    Image.new("L", (3000, 2000)).save("a.png")
    Image.new("L", (2000, 2000)).save("b.jpg")
    assert told(jobs_of("a.png", "b.jpg")) == (
        f"2 pictures with 10 megapixels; about 11 s on {MEASURED_ON}, 0.88 s a megapixel"  # 1.9 + 10 * 0.88
    )
    assert "; about 72 s on" in (
        told(jobs_of("a.png", "b.jpg"), "denoise:self-ensemble") or ""
    )  # 8 times 8.8, and the start
    assert "; about 37 s on" in (told(jobs_of("a.png", "b.jpg"), "derain:self-ensemble") or "")
    unknown = "1 picture with 6 megapixels; no speed is known for these options"
    assert told(jobs_of("a.png"), is_on_cpu=False) == unknown
    for steps in ("denoise:weights=kit-s-denoise", "denoise,upscale:3"):
        assert told(jobs_of("a.png"), steps) == unknown


def test_a_step_after_an_enlargement_has_more_pixels() -> None:
    Image.new("L", (2000, 1000)).save("a.png")
    assert told(jobs_of("a.png"), "denoise,upscale:2,dejpeg") == (
        f"1 picture with 2 megapixels; about 15 s on {MEASURED_ON}, 6.3 s a megapixel"  # 0.88 + 1.83 + 4 * 0.90
    )


def test_damaged_and_missing_pictures_do_not_count_and_do_not_disturb() -> None:
    Image.new("L", (2000, 1000)).save("a.png")
    Path("b.png").write_bytes(np.random.default_rng(0).bytes(100))
    assert (told(jobs_of("a.png", "b.png", "gone.png")) or "").startswith("3 pictures with about 6 megapixels; ")
    assert told(jobs_of("b.png", "gone.png")) is None
    assert told([]) is None


def test_ten_thousand_pictures_take_no_longer_than_a_sample() -> None:
    Image.new("L", (4000, 3000)).save("a.jpg")
    begun = time.perf_counter()
    note = told(jobs_of("a.jpg") * 10_000) or ""
    assert note.startswith("10,000 pictures with about 120,000 megapixels; about 29 h 20 min on")
    assert time.perf_counter() - begun < 5
